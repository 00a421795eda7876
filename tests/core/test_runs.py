"""Runs: members are found down to the last, a circle is refused, and damage ends in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from spectro.core.errors import RunError
from spectro.core.files import write_csv, write_document
from spectro.core.runs import CARD_VERSION, Run
from tests.builders import ensemble_card, make_run


@pytest.fixture
def nested(tmp_path: Path) -> Run:
    """An ensemble of a model and of another ensemble that holds the same model and one more."""
    first, second = make_run(tmp_path / "a"), make_run(tmp_path / "b")
    inner = tmp_path / "deep" / "inner"
    make_run(inner, {}, ensemble_card(Run(inner), {"a": first.path, "b": second.path}))
    outer = tmp_path / "outer"
    return make_run(outer, {}, ensemble_card(Run(outer), {"a": first.path, "inner": inner}))


def test_leaves_are_the_models_each_once(nested: Run) -> None:
    assert [run.name for run in nested.leaves()] == ["a", "b"]
    assert [run.name for run in nested.members()] == ["a", "inner"]


def test_a_model_is_its_own_only_leaf(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a")
    assert run.leaves() == (run,)


def test_a_circle_of_members_is_refused(nested: Run) -> None:
    inner = nested.members()[1]
    inner.write_card(ensemble_card(inner, {"outer": nested.path}))
    with pytest.raises(RunError, match="member of itself"):
        Run.open(nested.path).leaves()


def test_a_member_that_is_gone_is_named(nested: Run) -> None:
    nested.members()[0].card_path.unlink()
    with pytest.raises(RunError, match=r"a has no card\.json"):
        nested.leaves()


def test_a_run_is_opened_by_path_or_as_it_is(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a")
    assert Run.open(run) is run
    assert Run.open(str(run.path)) == run
    with pytest.raises(RunError, match="no run folder"):
        Run.open(tmp_path / "none")


def test_a_card_changed_by_hand_is_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a")
    text = run.card_path.read_text(encoding="utf-8")
    run.card_path.write_text(text.replace('"temperature": 1.0', '"temperature": 0.5'), encoding="utf-8")
    with pytest.raises(RunError, match=r"card\.json was changed"):
        _ = Run.open(run.path).card


def test_missing_predictions_are_named_with_those_there(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a")
    with pytest.raises(RunError, match=r"no predictions of subset 'train' \(have: val, test\)"):
        run.predictions("train")


def test_the_card_lists_every_file_of_the_model(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a")
    assert set(run.card.files) == {"predictions-test.npz", "predictions-val.npz"}


@pytest.mark.parametrize("name", ["predictions-val.npz", "history.csv"])
def test_a_file_that_the_card_does_not_list_is_no_missing_one(name: str, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    write_csv(run.history_path, ("epoch", "stage"), ())
    run.write_card(run.card)
    values = run.card.to_dict()
    del values["files"][name]
    write_document(run.card_path, "card", CARD_VERSION, values)
    found = Run.open(run.path)
    with pytest.raises(RunError, match=f"{name} is there, but .*card.json does not list it"):
        found.history() if name == "history.csv" else found.has_predictions("val")
    (run.path / name).unlink()
    assert not (found.history() if name == "history.csv" else found.has_predictions("val"))


def test_an_ensemble_whose_card_lost_a_member_is_refused(tmp_path: Path) -> None:
    members = {name: make_run(tmp_path / name).path for name in "abc"}
    run = make_run(tmp_path / "all", card=ensemble_card(Run(tmp_path / "all"), members))
    values = run.card.to_dict()
    del values["members"][0]
    write_document(run.card_path, "card", CARD_VERSION, values)
    with pytest.raises(RunError, match="do not add up to 1"):
        Run.open(run.path).card  # noqa: B018  # it is read here
