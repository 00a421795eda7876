"""The card: it survives JSON, and any single field that is changed is taken as it is or refused by name."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from spectro.core.card import Card, Combination, FeatureFacts, Member
from spectro.core.config import RenderConfig
from spectro.core.errors import ConfigError
from tests.builders import model_card

WRONG: list[Any] = [None, "../../etc/passwd", [], {}, 10**9, -1, 1e308, True, [[1]]]


def places(values: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path to every value in nested JSON."""
    items = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from places(value, (*path, key))


def changed(values: Any, path: tuple[Any, ...], value: Any) -> Any:
    """Return a copy with one value replaced."""
    values = copy.deepcopy(values)
    part = values
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    return values


def test_a_card_survives_json() -> None:
    card = model_card()
    assert Card.from_dict(json.loads(json.dumps(card.to_dict()))) == card


def test_every_single_mutation_is_read_as_it_is_or_refused() -> None:
    values = json.loads(json.dumps(model_card().to_dict()))
    tried = 0
    for path in places(values):
        for wrong in WRONG:
            tried += 1
            try:
                card = Card.from_dict(changed(values, path, wrong), "card")
            except ConfigError as error:
                assert "\n" not in str(error)
            else:
                assert isinstance(card, Card)
    assert tried > 500


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"temperature": 0.0}, "temperature"),
        ({"temperature": 1e9}, "temperature"),
        ({"labels": ()}, "labels"),
        ({"labels": ("a", "a")}, "labels"),
        ({"input": (10**9, 1)}, "input"),
        ({"input": None}, "input"),
        ({"feature": None}, "feature"),
        ({"kind": "ensemble"}, "members"),
        ({"files": {"../x": ""}}, "own folder"),
        ({"generation": ".."}, "own folder"),
    ],
)
def test_values_out_of_range_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        model_card(**change)


def test_an_id_that_is_not_of_its_settings_is_refused() -> None:
    config = RenderConfig()
    with pytest.raises(ConfigError, match="config_id"):
        FeatureFacts(name="mel", kind="frames", config_id="123456789abc", config=config.to_dict())


def test_a_member_is_never_the_ensemble_itself() -> None:
    with pytest.raises(ConfigError, match="itself"):
        Member(path=".", name="me", weight=1.0)


@pytest.mark.parametrize("weights", [(0.0, 0.0), (-1.0, 2.0), ((1.0, 0.0), (1.0, 0.0)), ((1.0,), (1.0, 1.0))])
def test_weights_that_leave_a_class_undecided_are_refused(weights: Any) -> None:
    with pytest.raises(ConfigError, match="weights"):
        Combination(weights=weights)
