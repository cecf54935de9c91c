"""Text where a number is meant -> that number: papermill, YAML and the shell hand over ``"1e-4"`` and ``"false"``."""

import types
import typing
from typing import Any

from seglib.errors import InputError


def coerce_value(name: str, value: Any, hint: Any) -> Any:
    """A value as the type that a setting has.

    Args:
        name: of the setting, for the message.
        value: text, or of the type already.
        hint: that type: int, float, bool, str, or one of them or None.

    Returns:
        The value as that type; None for ``"none"`` and ``"null"`` where that may be.

    Raises:
        InputError: if it cannot be had without a loss, as 2.5 where a whole number is meant.

    Example:
        >>> coerce_value("seed", "1e3", int), coerce_value("compile", "false", bool)
        (1000, False)
        >>> coerce_value("white", "none", float | None) is None
        True
    """
    kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if isinstance(value, str) and value.strip().lower() in {"none", "null"} and type(None) in kinds:
        return None
    kind = next(kind for kind in kinds if kind is not type(None))
    try:
        return _AS[kind](value)
    except (TypeError, ValueError, KeyError):
        raise InputError(f"{name}={value!r} is not {_KIND_WORDS[kind]}; give one") from None


def _as_int(value: Any) -> int:
    number = float(value)
    if isinstance(value, bool) or not number.is_integer():
        raise ValueError(value)
    return int(number)


def _as_float(value: Any) -> float:
    if isinstance(value, bool):
        raise ValueError(value)
    return float(value)


def _as_bool(value: Any) -> bool:
    return {"true": True, "false": False, "1": True, "0": False}[str(value).strip().lower()]


_AS = {int: _as_int, float: _as_float, bool: _as_bool, str: str}
_KIND_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
