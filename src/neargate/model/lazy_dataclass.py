"""`dataclass`: the standard library's, with methods that are made when they are first needed.

Making a class with all its methods takes the library 0.7 ms, nearly all of it to compile code that most processes never
run, and a process has 150 such classes when it starts. Here the library finds the fields and makes the slots (0.04 ms);
`__init__` is compiled when a third object is made, `__eq__` and `__hash__` when they are first called. A class behaves
as the library's in all that is offered (a test compares them); `field`, `fields`, `replace` and `asdict` are the
library's own. Type checkers see the library's. Not offered: `order`, `unsafe_hash`, `InitVar`; and what is frozen stays
so in a subclass that is no dataclass.
"""

import dataclasses
from collections.abc import Callable
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any

__all__ = ("dataclass",)

UNCOMPILED_MAX = 2  # objects of a class whose `__init__` is not compiled for them
_NOT_GIVEN = object()

if TYPE_CHECKING:
    from dataclasses import dataclass
else:

    def dataclass(cls=None, /, *, eq=True, frozen=False, kw_only=False, slots=False):
        """As `dataclasses.dataclass`, of the options that this package uses."""

        def make(body):
            if body.__doc__ is None:
                body.__doc__ = body.__name__  # else the library would work out a signature for it
            bare = dataclasses.dataclass(init=False, repr=False, eq=False, kw_only=kw_only, slots=slots)
            made = bare(body)
            if eq and made.__dict__.get("__hash__") is None and "__hash__" in made.__dict__:
                del made.__hash__  # the language's own, beside an `__eq__` of the class
            for name, method in _methods(made, eq=eq, frozen=frozen, slots=slots).items():
                if name not in made.__dict__:
                    setattr(made, name, method)
            return made

        return make if cls is None else make(cls)


def _methods(made: type, *, eq: bool, frozen: bool, slots: bool) -> dict[str, Any]:
    """What the class gets where it has none of its own."""
    found: dict[str, Any] = {"__init__": _first_init(made, frozen=frozen), "__repr__": _repr}
    if eq:
        found["__eq__"] = _when_used(made, "__eq__", _compiled_eq)
        found["__hash__"] = _when_used(made, "__hash__", _compiled_hash) if frozen else None
    if frozen:
        found |= {"__setattr__": _no_set, "__delattr__": _no_delete}
    if frozen and slots:
        found |= {"__getstate__": _getstate, "__setstate__": _setstate}
    return found


def _first_init(made: type, *, frozen: bool) -> Callable[..., None]:
    """Stands in for the first objects: of many classes a process makes one, for which nothing is compiled."""
    objects = 0

    def first(self: Any, *values: Any, **named: Any) -> None:
        nonlocal objects
        objects += 1
        if objects <= UNCOMPILED_MAX and not values and _is_set_by_name(self, made, named):
            return
        compiled = _compiled_init(made, frozen=frozen)
        made.__init__ = compiled  # type: ignore[misc]
        compiled(self, *values, **named)

    return first


def _is_set_by_name(self: Any, made: Any, named: dict[str, Any]) -> bool:
    """Sets every field. False for anything out of the ordinary, which the compiled `__init__` refuses in its words."""
    fields = dataclasses.fields(made)
    for field in fields:
        if field.init and field.name in named:
            value = named[field.name]
        elif field.default is not dataclasses.MISSING:
            value = field.default
        elif field.default_factory is not dataclasses.MISSING:
            value = field.default_factory()
        else:
            return False
        object.__setattr__(self, field.name, value)
    if not named.keys() <= {field.name for field in fields if field.init}:
        return False
    if hasattr(made, "__post_init__"):
        self.__post_init__()
    return True


def _compiled_init(made: Any, *, frozen: bool) -> Callable[..., None]:
    """Parameters in the library's order: those by keyword alone come last."""
    scope: dict[str, Any] = {"_not_given": _NOT_GIVEN, "_set": object.__setattr__}
    positional, by_keyword, lines = ["self"], list[str](), list[str]()
    for field in dataclasses.fields(made):
        parameter, value = _given(field, scope)
        if field.init:
            (by_keyword if field.kw_only else positional).append(parameter)
        if value:
            lines.append(f"_set(self, {field.name!r}, {value})" if frozen else f"self.{field.name} = {value}")
    if hasattr(made, "__post_init__"):
        lines.append("self.__post_init__()")
    parameters = ", ".join([*positional, "*", *by_keyword] if by_keyword else positional)
    body = "\n".join(f" {line}" for line in lines or ["pass"])
    return _compiled(made, "__init__", parameters, body, scope)


def _given(field: "dataclasses.Field[Any]", scope: dict[str, Any]) -> tuple[str, str]:
    """The parameter of `__init__` and the expression that is stored; no expression for a field that is set later."""
    name, default = field.name, f"_default_{field.name}"
    if field.default is not dataclasses.MISSING:
        scope[default] = field.default
        return f"{name}={default}", name if field.init else default
    if field.default_factory is not dataclasses.MISSING:
        scope[default] = field.default_factory
        return (
            f"{name}=_not_given",
            f"{default}() if {name} is _not_given else {name}" if field.init else f"{default}()",
        )
    return name, name if field.init else ""


def _when_used(made: Any, name: str, compiled: Callable[[Any], Callable[..., Any]]) -> Callable[..., Any]:
    """Stands in for a method until its first call."""

    def first(self: Any, *values: Any) -> Any:
        method = compiled(made)
        setattr(made, name, method)
        return method(self, *values)

    return first


def _compiled_eq(made: Any) -> Callable[..., Any]:
    names = [field.name for field in dataclasses.fields(made) if field.compare]
    lines = (
        " if other.__class__ is not self.__class__:",
        "  return NotImplemented",
        f" return {_tuple('self', names)} == {_tuple('other', names)}",
    )
    return _compiled(made, "__eq__", "self, other", "\n".join(lines), {})


def _compiled_hash(made: Any) -> Callable[..., Any]:
    fields = dataclasses.fields(made)
    names = [field.name for field in fields if (field.compare if field.hash is None else field.hash)]
    return _compiled(made, "__hash__", "self", f" return hash({_tuple('self', names)})", {})


def _tuple(owner: str, names: list[str]) -> str:
    return f"({''.join(f'{owner}.{name}, ' for name in names)})"


def _compiled(made: Any, name: str, parameters: str, body: str, scope: dict[str, Any]) -> Callable[..., Any]:
    exec(f"def {name}({parameters}):\n{body}", scope)  # noqa: S102 - nothing but names that a class body had
    method: Callable[..., Any] = scope[name]
    method.__qualname__ = f"{made.__qualname__}.{name}"
    method.__module__ = made.__module__
    return method


def _no_set(self: Any, name: str, value: object) -> None:  # noqa: ARG001 - the language's signature
    raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")


def _no_delete(self: Any, name: str) -> None:  # noqa: ARG001
    raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")


@recursive_repr()
def _repr(self: Any) -> str:
    shown = (f"{field.name}={getattr(self, field.name)!r}" for field in dataclasses.fields(self) if field.repr)
    return f"{self.__class__.__qualname__}({', '.join(shown)})"


def _getstate(self: Any) -> list[Any]:
    """For copies: what is frozen cannot be set the usual way."""
    return [getattr(self, field.name) for field in dataclasses.fields(self)]


def _setstate(self: Any, state: list[Any]) -> None:
    for field, value in zip(dataclasses.fields(self), state, strict=True):
        object.__setattr__(self, field.name, value)
