"""Parameters held against their annotations, and as plain JSON: what a user passes and what a file says, alike."""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np
from torch import nn

__all__ = ["OWN_MODULE", "check_parameters", "fits", "from_plain", "to_plain"]

OWN_MODULE = "own module"
"""Stands in a file for an encoder or decoder that the user passed."""

CLASS = "class"
"""Stands in a file beside a dataclass's fields for its own name; no field can have that name."""

_WORDS = {
    int: "an integer",
    float: "a finite number",
    bool: "True or False",
    str: "text",
    type(None): "None",
    nn.Module: "a torch.nn.Module",
}


def check_parameters(estimator: Any) -> None:
    """Hold each parameter of a dataclass against the type that its field is annotated with.

    Raises:
        ValueError: a value that is not among those named.
        TypeError: a value of another type.
    """
    hints = get_type_hints(type(estimator))
    for field in dataclasses.fields(estimator) if dataclasses.is_dataclass(estimator) else ():
        value, hint = getattr(estimator, field.name), hints[field.name]
        if not fits(value, hint):
            kind = ValueError if isinstance(value, str) and "one of" in _describe(hint) else TypeError
            raise kind(f"Expected {field.name} as {_describe(hint)}, got {value!r}.")


def fits(value: Any, hint: Any) -> bool:
    """Whether a value is of an annotated type; NumPy's numbers count as Python's, lists as tuples."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if origin in (Union, types.UnionType):
        return any(fits(value, argument) for argument in arguments)
    if origin is Literal:
        return any(isinstance(value, type(argument)) and value == argument for argument in arguments)
    if origin in (tuple, list):  # of any length: tuple[int, ...], list[str]
        return isinstance(value, (tuple, list)) and all(fits(item, arguments[0]) for item in value)
    if origin is dict:  # whose names are text
        return isinstance(value, dict) and all(fits(item, arguments[1]) for item in value.values())
    if hint is bool:
        return isinstance(value, (bool, np.bool_))
    if hint is int:
        return isinstance(value, Integral) and not isinstance(value, bool)
    if hint is float:
        return isinstance(value, Real) and not isinstance(value, bool) and _is_finite(value)
    return isinstance(value, origin or hint)


def _is_finite(value: Any) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer too large for a float
        return False


def _describe(hint: Any) -> str:
    """An annotated type in words."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(map(_describe, arguments))
    if origin is Literal:
        return f"one of {', '.join(map(repr, arguments))}"
    if origin in (tuple, list):
        return f"a {origin.__name__}, each {_describe(arguments[0])}"
    return _WORDS.get(hint, f"{getattr(hint, '__name__', hint)}")


def to_plain(name: str, value: Any) -> Any:
    """A parameter as JSON holds it: modules by a mark, a random generator by nothing, a dataclass by its fields.

    An estimator is there as its own file would have it. A dataclass that derives from another, one of several kinds,
    has the name of its class beside its fields.

    Raises:
        ValueError: a parameter that JSON can't hold.
    """
    if isinstance(value, nn.Module):
        return OWN_MODULE
    if isinstance(value, np.random.RandomState):
        return None  # its state when fit began is gone
    if hasattr(value, "configuration"):
        return value.configuration()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = _kind(value) | {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_plain(f"{name}.{key}", item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [to_plain(name, item) for item in value]
    if isinstance(value, np.ndarray):
        return to_plain(name, value.tolist())
    value = value.item() if isinstance(value, np.generic) else value
    if value is None or isinstance(value, (bool, int, str)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise ValueError(
        f"Expected parameters that a file can hold, got {name}={value!r}; use numbers, text or a dataclass."
    )


def _kind(value: Any) -> dict[str, str]:
    """{CLASS: name} where the annotation names a base, from whose classes `from_plain` has to choose."""
    if "__dataclass_fields__" not in vars(type(value)):
        raise ValueError(
            f"Expected a dataclass whose fields are all of it, got {type(value).__name__}, which derives from one; "
            "use @dataclass(frozen=True) on it."
        )
    return {CLASS: type(value).__name__} if any(map(dataclasses.is_dataclass, type(value).__mro__[1:])) else {}


def _class_named(kind: type, name: str) -> type:
    """A dataclass, or what derives from it, by name: of several, as a notebook may define them, the newest."""
    kinds = [kind]
    for known in kinds:
        kinds += known.__subclasses__()
    named = [known for known in kinds if known.__name__ == name]
    if not named:
        raise ValueError(f"{name!r} is no {kind.__name__} known here; import what defines it first")
    return named[-1]


def from_plain(value: Any, hint: Any) -> Any:
    """A parameter from JSON: lists become tuples, and fields the dataclass that the annotation (no file) names.

    Raises:
        TypeError, ValueError: fields that the dataclass does not have or refuses.
    """
    if isinstance(value, list):
        return tuple(from_plain(item, Any) for item in value)
    if isinstance(value, dict) and value.get("kind") == "estimator":
        from .saved import Saved  # which needs this module

        return Saved.from_configuration(value)
    if isinstance(value, dict):
        for kind in (hint, *get_args(hint)):
            if isinstance(kind, type) and dataclasses.is_dataclass(kind):
                kind = _class_named(kind, value.get(CLASS, kind.__name__))
                hints, fields = get_type_hints(kind), {name: value[name] for name in value if name != CLASS}
                made = kind(**{str(name): from_plain(item, hints.get(name, Any)) for name, item in fields.items()})
                check_parameters(made)
                return made
    return value
