"""Frozen dataclasses to JSON and back, strictly: an unknown, missing, mistyped or non-finite field is named."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import UnionType
from typing import Annotated, Any, Literal, Self, Union, get_args, get_origin, get_type_hints

from spectro.core.errors import ConfigError, did_you_mean

NanAsNull = Annotated[float, "nan as null"]
"""A float that may be nan, which JSON writes as null."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """Base of everything that is written as JSON and read again."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, nested records as dictionaries; a float is one even if 3 was given for 3.0."""
        hints = _hints(type(self))  # type: ignore[arg-type]  # a class is hashable
        return {name: _plain(_as_float(hint, getattr(self, name))) for name, hint in hints.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str = "") -> Self:
        """Build from what `to_dict` returned; `where` stands before a field's name in a message.

        Raises
        ------
        ConfigError
            a field is unknown, missing, mistyped or out of range; the message names it.
        """
        where = where or cls.__name__
        if not isinstance(values, Mapping):
            raise ConfigError(f"{where} is {_short(values)}, but must be an object with named fields")
        hints = _hints(cls)  # type: ignore[arg-type]  # a class is hashable
        unknown = next((key for key in values if key not in hints), None)
        if unknown is not None:
            raise ConfigError(f"{where} has no setting '{unknown}'{did_you_mean(str(unknown), hints)}")
        missing = next((name for name in cls._required() if name not in values), None)
        if missing is not None:
            raise ConfigError(f"{where} lacks '{missing}'")
        return cls(**{key: read_value(hints[key], value, f"{where}.{key}") for key, value in values.items()})

    @classmethod
    def _required(cls) -> tuple[str, ...]:
        """Return the fields that must be there: all of them, for what is written is complete."""
        return tuple(field.name for field in dataclasses.fields(cls))


def read_value(hint: Any, value: Any, where: str) -> Any:
    """Return a JSON value as the type `hint` wants it; raises ConfigError naming `where` when it does not fit."""
    origin, parts = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if hint is NanAsNull or (origin is Annotated and "nan as null" in parts):
        return math.nan if value is None else read_value(float, value, where)
    if origin is Literal:
        if value in parts and not isinstance(value, bool):
            return value
        raise ConfigError(f"{where} is {_short(value)}, but must be one of {', '.join(map(str, parts))}")
    if origin in (UnionType, Union):
        return _read_union(parts, value, where)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise ConfigError(f"{where} is {_short(value)}, but must be a list")
        kinds = [parts[0]] * len(value) if parts[1:] == (...,) else list(parts)
        if len(kinds) != len(value):
            raise ConfigError(f"{where} has {len(value)} values, but must have {len(kinds)}")
        return tuple(
            read_value(kind, one, f"{where}[{n}]") for n, (kind, one) in enumerate(zip(kinds, value, strict=True))
        )
    if isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise ConfigError(f"{where} is {_short(value)}, but must be an object with named fields")
        return {key: read_value(parts[1], one, f"{where}.{key}") for key, one in value.items()}
    if isinstance(hint, type) and issubclass(hint, Record):
        return value if isinstance(value, hint) else hint.from_dict(value, where)
    return _read_scalar(hint, value, where)


def _read_union(parts: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and type(None) in parts:
        return None
    kinds = [part for part in parts if part is not type(None)]
    for kind in kinds[:-1]:
        try:
            return read_value(kind, value, where)
        except ConfigError:
            continue
    return read_value(kinds[-1], value, where)


def _read_scalar(hint: Any, value: Any, where: str) -> Any:
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        if abs(value) > 2**1000:
            raise ConfigError(f"{where} is {_short(value)}, but must be a finite number")
        value = float(value)
    if isinstance(hint, type) and (not isinstance(value, hint) or (hint is not bool and isinstance(value, bool))):
        raise ConfigError(f"{where} is {_short(value)}, but must be of type {hint.__name__}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{where} is {value}, but must be a finite number")
    return value


@cache
def _hints(cls: Any) -> dict[str, Any]:
    hints = get_type_hints(cls, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls)}


def _as_float(hint: Any, value: Any) -> Any:
    """Return an integer as a float where only that is meant, as it will be when it is read again."""
    kinds = (hint, *get_args(hint))
    is_integer = isinstance(value, int) and not isinstance(value, bool)
    return float(value) if is_integer and float in kinds and int not in kinds else value


def _plain(value: Any) -> Any:
    if isinstance(value, Record):
        return value.to_dict()
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _short(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."
