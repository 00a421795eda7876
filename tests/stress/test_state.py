"""A seeded sample of `scripts/stress state`: damage to files, forged cards, kills, rivals and full disks."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts.attacks.cards import VALUES, compared, fields, mutate
from scripts.attacks.children import Outcome
from scripts.attacks.damages import DAMAGES
from scripts.attacks.verdict import Case, crashed_or_hung, refused, table
from spectro.cli import main
from spectro.core import files
from spectro.core.runs import CARD_VERSION
from tests.builders import make_run

ROOT = Path(__file__).parents[2]
RUN_FILES = ("card.json", "predictions-test.npz", "predictions-val.npz")
DATA_FILES = ("clips.csv", "failed.csv", "source.json", "config.json", "segments.csv")
FIELDS_PER_VALUE = 6
Command = Callable[..., Outcome]
HEAD = ("format", "version", "checksum")


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Command:
    """Run a command here, as a new process would: without the memory of which files are whole."""

    def run(*arguments: str) -> Outcome:
        files._verified.clear()
        capsys.readouterr()
        caplog.clear()
        with pytest.raises(SystemExit) as end:
            main(arguments)
        out, err = capsys.readouterr()
        assert end.value.code is None or isinstance(end.value.code, int)
        return Outcome(end.value.code or 0, out, err + caplog.text)

    return run


def damaged(folder: Path, name: str, damage: str) -> Path:
    """Damage the file of that name below a folder, in the same way each time."""
    path = next(one for one in sorted(folder.rglob(name)) if one.is_file())
    DAMAGES[damage](path, random.Random(f"{name}-{damage}"))
    return path


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", RUN_FILES)
def test_a_damaged_run_is_refused(name: str, damage: str, tmp_path: Path, command: Command) -> None:
    run = make_run(tmp_path / "run")
    damaged(run.path, name, damage)
    outcome = command("evaluate", str(run.path), "--json")
    verdict = refused(Case("damage", 0, "evaluate", f"{damage} {name}"), outcome, (name, str(run.path)))
    assert verdict.result == "right", verdict.line


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", DATA_FILES)
def test_a_damaged_data_folder_is_refused_or_gives_the_same_sheet(
    name: str, damage: str, rendered: Path, tmp_path: Path, command: Command
) -> None:
    preview = ["data", "preview", str(tmp_path / "data"), "--per-class", "2", "--out"]
    shutil.copytree(rendered, tmp_path / "data")
    assert command(*preview, str(tmp_path / "whole.png")).code == 0
    path = damaged(tmp_path / "data", name, damage)
    outcome = command(*preview, str(tmp_path / "sheet.png"))
    case = Case("damage", 0, "preview", f"{damage} {name}")
    if outcome.code:
        verdict = refused(case, outcome, (name, str(path.parent), f"{tmp_path / 'data'} has no spectrograms"))
        assert verdict.result == "right", verdict.line
    elif name not in outcome.err:
        assert (tmp_path / "sheet.png").read_bytes() == (tmp_path / "whole.png").read_bytes()


@pytest.mark.parametrize("value", VALUES)
def test_a_changed_card_is_refused_or_changes_no_number(value: str, tmp_path: Path, command: Command) -> None:
    run = make_run(tmp_path / "run")
    evaluate = ["evaluate", str(run.path), "--json"]
    before = command(*evaluate).out
    card = json.loads(run.card_path.read_text())
    known = [path for path in fields(card) if path[0] not in HEAD]
    for path in random.Random(value).sample(known, FIELDS_PER_VALUE):
        changed = {key: one for key, one in mutate(card, path, VALUES[value]).items() if key not in HEAD}
        files.write_document(run.card_path, "card", CARD_VERSION, changed)
        case = Case("mutation", 0, "evaluate", f"{'.'.join(map(str, path))} = {value}")
        outcome = command(*evaluate)
        if outcome.code:
            verdict = refused(case, outcome, ("card.json", str(run.path)))
        else:
            verdict = compared(case, before, outcome, path)
        assert verdict.result == "right", verdict.line


def test_the_table_counts_each_result() -> None:
    case = Case("damage", 0, "evaluate", "cut card.json")
    verdicts = [case.verdict("right"), case.verdict("silent"), case.verdict("right")]
    lines = [line.split() for line in table(verdicts).splitlines()]
    assert lines[1] == ["damage", "3", "2", "1", "0", "0", "0", "0"]
    assert lines[-1][1:] == lines[1][1:]


@pytest.mark.parametrize(
    ("code", "err", "result"),
    [
        (None, "", "hung"),
        (-7, "", "traceback"),
        (1, "Traceback (most recent call last):\nKeyError: 'a'", "traceback"),
        (2, "spectro: card.json is damaged", "right"),
        (2, "spectro: something is damaged", "unclear"),
        (2, "spectro: card.json\nspectro: is damaged", "unclear"),
    ],
)
def test_a_result_is_recognized(code: int | None, err: str, result: str) -> None:
    case, outcome = Case("damage", 0, "evaluate", "cut card.json"), Outcome(code, "", err)
    verdict = crashed_or_hung(case, outcome) or refused(case, outcome, ("card.json",))
    assert verdict.result == result


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks its commands")
def test_a_sample_of_every_attack_is_right() -> None:
    counts = {"damages": 40, "mutations": 40, "kills": 12, "rivals": 10, "disks": 10, "seed": 12}
    sample = [word for name, count in counts.items() for word in (f"--{name}", str(count))]
    done = subprocess.run(
        [sys.executable, "-m", "scripts.stress_state", *sample],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
