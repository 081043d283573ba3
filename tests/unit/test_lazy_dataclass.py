"""Our `dataclass` against the standard library's: the same class body, the same behaviour, whatever is done with it."""

import copy
import dataclasses
import inspect
import pickle
from collections.abc import Callable
from dataclasses import field
from typing import Any, ClassVar

import pytest

from neargate.model import lazy_dataclass
from neargate.model.lazy_dataclass import dataclass as ours

Decorator = Callable[..., Any]


def ours_compiled(**options: Any) -> Any:
    """Past its first objects."""

    def make(body: type) -> Any:
        made: Any = ours(**options)(body)
        made.__init__ = lazy_dataclass._compiled_init(made, frozen=options.get("frozen", False))
        return made

    return make


both = pytest.mark.parametrize(
    "dataclass", [dataclasses.dataclass, ours, ours_compiled], ids=["library", "ours", "compiled"]
)


def frozen(dataclass: Decorator) -> Any:
    @dataclass(frozen=True, kw_only=True, slots=True)
    class Lamp:
        """A lamp."""

        name: str
        watts: int = 5
        kind: ClassVar[str] = "lamp"
        places: list[str] = field(default_factory=list)
        secret: str = field(default="x", repr=False)
        seen: int = field(default=0, compare=False)

        @property
        def label(self) -> str:
            return f"{self.name}/{self.watts}"

    return Lamp


@both
def test_what_is_given_and_what_is_default(dataclass: Decorator) -> None:
    lamp = frozen(dataclass)(name="a", places=["hall"])
    assert (lamp.name, lamp.watts, lamp.places, lamp.secret, lamp.label) == ("a", 5, ["hall"], "x", "a/5")
    first, second = frozen(dataclass)(name="b"), frozen(dataclass)(name="b")
    assert first.places == [] and first.places is not second.places


@both
def test_a_lists_default_is_not_shared(dataclass: Decorator) -> None:
    lamp = frozen(dataclass)
    assert lamp(name="a").places is not lamp(name="a").places


@both
def test_wrong_arguments_are_refused_by_name_before_and_after_the_first_object(dataclass: Decorator) -> None:
    lamp = frozen(dataclass)
    for _ in range(2):
        with pytest.raises(TypeError, match=r"Lamp\.__init__\(\) missing 1 required keyword-only argument: 'name'"):
            lamp()
        with pytest.raises(TypeError, match=r"Lamp\.__init__\(\) got an unexpected keyword argument 'colour'"):
            lamp(name="a", colour="red")
        with pytest.raises(TypeError, match="positional"):
            lamp("a")
        lamp(name="a")


@both
def test_what_is_frozen_is_not_set_nor_deleted_and_has_no_room(dataclass: Decorator) -> None:
    lamp = frozen(dataclass)(name="a")
    for name in ("name", "places"):
        with pytest.raises(dataclasses.FrozenInstanceError, match=f"cannot assign to field '{name}'"):
            setattr(lamp, name, "b")
        with pytest.raises(dataclasses.FrozenInstanceError, match=f"cannot delete field '{name}'"):
            delattr(lamp, name)
    assert not hasattr(lamp, "__dict__") and lamp.name == "a"


def test_a_name_that_is_no_field_is_refused_too() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        frozen(ours)(name="a").colour = "red"


@both
def test_equality_and_hash_are_of_the_compared_fields_and_the_class(dataclass: Decorator) -> None:
    lamp = frozen(dataclass)
    assert lamp(name="a", seen=1) == lamp(name="a", seen=2) != lamp(name="b")
    assert lamp(name="a") != frozen(dataclass)(name="a")
    assert lamp(name="a", places=()).__hash__() == lamp(name="a", places=(), seen=3).__hash__()
    with pytest.raises(TypeError, match="unhashable"):
        hash(lamp(name="a"))


@both
def test_the_text_shows_what_may_be_shown(dataclass: Decorator) -> None:
    assert repr(frozen(dataclass)(name="a")).endswith("Lamp(name='a', watts=5, places=[], seen=0)")


@both
def test_the_librarys_functions_know_it(dataclass: Decorator) -> None:
    lamp = frozen(dataclass)(name="a", places=["hall"])
    brighter = dataclasses.replace(lamp, watts=60)
    assert (brighter.name, brighter.watts, brighter.places) == ("a", 60, ["hall"])
    assert dataclasses.asdict(lamp) == {"name": "a", "watts": 5, "places": ["hall"], "secret": "x", "seen": 0}
    assert [item.name for item in dataclasses.fields(lamp)] == ["name", "watts", "places", "secret", "seen"]
    assert copy.copy(lamp) == copy.deepcopy(lamp) == lamp
    assert copy.deepcopy(lamp).places is not lamp.places


@both
def test_a_class_that_is_set_later(dataclass: Decorator) -> None:
    @dataclass(slots=True)
    class Count:
        start: int
        step: int = field(default=1, kw_only=True)
        now: int = field(init=False)
        seen: list[int] = field(default_factory=list, init=False)
        mark: str = field(default="m", init=False)

        def __post_init__(self) -> None:
            self.now = self.start + self.step

    count = Count(4, step=2)
    assert (count.start, count.now, count.seen, count.mark) == (4, 6, [], "m")
    count.now += 1
    assert count != Count(4, step=2) and count.now == 7
    assert vars(Count)["__hash__"] is None
    with pytest.raises(TypeError, match="positional argument"):
        Count(1, 2)  # type: ignore[call-arg]


@both
def test_methods_of_the_class_itself_stay(dataclass: Decorator) -> None:
    @dataclass(frozen=True, kw_only=True, slots=True)
    class Own:
        value: int

        def __repr__(self) -> str:
            return "own"

        def __eq__(self, other: object) -> bool:
            return True

    assert repr(Own(value=1)) == "own" and Own(value=1) == Own(value=2)
    assert hash(Own(value=1)) == hash(Own(value=1)) != hash(Own(value=2))

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Hashed:
        value: int

        def __hash__(self) -> int:
            return 7

    assert hash(Hashed(value=1)) == 7


@both
def test_identity_where_equality_is_not_wanted(dataclass: Decorator) -> None:
    @dataclass(frozen=True, kw_only=True, slots=True, eq=False)
    class Thing:
        value: list[int]

    thing = Thing(value=[])
    assert thing == thing and thing != Thing(value=[])
    assert hash(thing) == hash(thing)


@both
def test_a_subclass_adds_fields(dataclass: Decorator) -> None:
    @dataclass(frozen=True, kw_only=True, slots=True)
    class Base:
        name: str
        size: int = 1

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Sub(Base):
        size: int = 2
        more: str = "m"

    sub = Sub(name="a")
    assert (sub.name, sub.size, sub.more) == ("a", 2, "m") and Base(name="a").size == 1
    assert sub != Base(name="a") and not hasattr(sub, "__dict__")
    assert dataclasses.replace(sub, more="n") == Sub(name="a", more="n")


@ours(frozen=True, kw_only=True, slots=True)
class Kept:
    """At the module's top, as pickle wants it."""

    name: str
    numbers: tuple[int, ...] = ()


def test_it_is_pickled() -> None:
    assert pickle.loads(pickle.dumps(Kept(name="a", numbers=(1,)))) == Kept(name="a", numbers=(1,))


def test_the_third_object_has_it_compiled_and_then_it_stays() -> None:
    lamp = frozen(ours)
    seen = []
    for _ in range(4):
        lamp(name="a")
        seen.append(lamp.__init__)
    assert seen[0] is seen[1] and seen[1] is not seen[2] and seen[2] is seen[3]
    assert list(inspect.signature(lamp).parameters) == ["name", "watts", "places", "secret", "seen"]


def test_one_field_or_none() -> None:
    @ours(frozen=True, slots=True)
    class One:
        value: int

    @ours(frozen=True, slots=True)
    class Empty:
        pass

    assert One(1) == One(1) != One(2) and hash(One(1)) == hash(One(1))
    assert Empty() == Empty() and hash(Empty()) == hash(Empty())


@pytest.mark.parametrize("option", ["order", "unsafe_hash", "weakref_slot"])
def test_what_is_not_offered_is_refused(option: str) -> None:
    with pytest.raises(TypeError, match=option):
        ours(**{option: True})
