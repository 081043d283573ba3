"""How machines are run where KVM may turn out to boot none."""

from neargate.sandbox.microvm.accelerators import Accelerators


def test_the_only_way_is_tried_twice() -> None:
    for only in ("kvm", "tcg"):
        assert Accelerators((only,)).attempts() == (only, only)


def test_the_slow_way_follows_the_fast_one() -> None:
    assert Accelerators(("kvm", "tcg")).attempts() == ("kvm", "tcg")


def test_what_worked_after_another_is_taken_from_then_on() -> None:
    chosen = Accelerators(("kvm", "tcg"))
    chosen.worked("kvm")
    assert chosen.attempts() == ("kvm", "tcg")
    chosen.worked("tcg")
    assert chosen.attempts() == ("tcg", "tcg")
