"""Records: what is written is read back equal, and whatever does not fit is named in one line."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

import pytest

from spectro.core.errors import ConfigError
from spectro.core.records import NanAsNull, Record


@dataclass(frozen=True, kw_only=True)
class Inner(Record):
    value: NanAsNull
    names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Outer(Record):
    number: int
    share: float
    yes: bool
    kind: Literal["a", "b"]
    side: tuple[int, int]
    maybe: float | None
    weight: float | tuple[float, ...] | None
    parts: tuple[Inner, ...]
    counts: Mapping[str, int]
    free: Mapping[str, Any]


GOOD = Outer(
    number=3,
    share=0.5,
    yes=True,
    kind="a",
    side=(4, 5),
    maybe=None,
    weight=(0.25, 0.75),
    parts=(Inner(value=1.0, names=("x", "y")),),
    counts={"hum": 2},
    free={"deep": [1, {"er": None}]},
)
WRONG: list[Any] = [None, "../../etc/passwd", [], {}, 10**9, 1e308, True, [[1]], "NaN"]


def test_a_record_survives_json() -> None:
    assert Outer.from_dict(json.loads(json.dumps(GOOD.to_dict()))) == GOOD


def test_nan_is_written_as_null_and_read_as_nan() -> None:
    inner = Inner(value=math.nan, names=())
    written = json.loads(json.dumps(inner.to_dict(), allow_nan=False))
    assert written["value"] is None
    assert math.isnan(Inner.from_dict(written).value)


@pytest.mark.parametrize("name", [field.name for field in fields(Outer)])
def test_a_missing_field_is_named(name: str) -> None:
    values = GOOD.to_dict()
    del values[name]
    with pytest.raises(ConfigError, match=f"lacks '{name}'"):
        Outer.from_dict(values)


def test_an_unknown_field_is_named_with_a_guess() -> None:
    with pytest.raises(ConfigError, match="no setting 'shares'; did you mean 'share'"):
        Outer.from_dict({**GOOD.to_dict(), "shares": 1})


@pytest.mark.parametrize("name", [field.name for field in fields(Outer)])
@pytest.mark.parametrize("value", WRONG, ids=str)
def test_any_value_is_taken_as_its_type_or_refused_by_name(name: str, value: Any) -> None:
    try:
        record = Outer.from_dict({**GOOD.to_dict(), name: value}, "card")
    except ConfigError as error:
        assert f"card.{name}" in str(error)
        assert "\n" not in str(error)
    else:
        assert record.to_dict()[name] in (value, float(value) if isinstance(value, int) else value)


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, 10**400])
def test_a_number_that_is_not_finite_is_refused(value: float) -> None:
    with pytest.raises(ConfigError, match="finite"):
        Outer.from_dict({**GOOD.to_dict(), "share": value})


def test_a_nested_field_is_named_with_its_place() -> None:
    values = GOOD.to_dict()
    values["parts"][0]["names"] = "x"
    with pytest.raises(ConfigError, match=r"card\.parts\[0\]\.names is \"x\", but must be a list"):
        Outer.from_dict(values, "card")
