"""Ranking: a run is not ranked by predictions that are not of its classes, or by a vote that does not exist."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from spectro.core.errors import RunError
from spectro.reports.ranking import rank
from tests.builders import LABELS, make_run, model_card


@pytest.mark.parametrize(
    ("change", "message"),
    [({"labels": tuple(reversed(LABELS))}, "their order differs"), ({"vote": "loudest"}, "the vote 'loudest'")],
)
def test_a_run_whose_card_does_not_fit_its_predictions_is_refused(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    good, odd = make_run(tmp_path / "good"), make_run(tmp_path / "odd", card=model_card("odd", **change))
    for runs in ([good, odd], [odd, good], [odd]):
        with pytest.raises(RunError, match=message) as error:
            rank(runs)
        assert str(odd.card_path) in str(error.value)
