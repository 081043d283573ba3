"""How machines are run where KVM may turn out to boot none."""

from neargate.sandbox.microvm.accelerators import Accelerators
from neargate.sandbox.microvm.vmm import Accelerator


def test_the_only_way_is_tried_twice() -> None:
    for only in ("kvm", "tcg"):
        made = Accelerators((only,))
        assert (made.attempts, made.attempt(1), made.attempt(2), made.settled) == (2, only, only, only)


def test_the_slow_way_follows_the_fast_one() -> None:
    made = Accelerators(("kvm", "tcg"))
    assert made.attempts == 3 and made.settled is None
    assert [made.attempt(number) for number in (1, 2, 3)] == ["kvm", "tcg", "tcg"]


def test_what_worked_first_is_the_only_way_from_then_on() -> None:
    """Else machines of both kinds would run, and what the host says of them would be true of some."""
    ways: tuple[Accelerator, ...] = ("kvm", "tcg")
    for first, other in (ways, ways[::-1]):
        chosen = Accelerators(("kvm", "tcg"))
        chosen.worked(first)
        chosen.worked(other)
        assert (chosen.attempt(1), chosen.attempt(2), chosen.settled) == (first, first, first)
