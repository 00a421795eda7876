"""The commands of lots, from the plan to the sealed tables."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Spectro

SMALL = ("--n-fft", 1024, "--n-mels", 32, "--seconds", 1)


def test_plan_render_status_and_seal(spectro: Spectro, corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = ("render", corpus, "--out", out, *SMALL, "--workers", 1, "--shard-mb", 0.05)
    code, printed, _ = spectro(*command, "--plan")
    assert code == 0
    assert "2 lots of 24 clips" in printed
    assert spectro("seal", out)[0] == 2
    code, printed, _ = spectro(*command, "--engine", "shard:1/2", "--json")
    assert code == 0
    assert json.loads(printed)["complete"] is False
    assert "1 of 2 lots are done" in spectro("status", out)[1]
    code, printed, _ = spectro(*command, "--engine", "local")
    assert code == 0
    assert f"next: spectro seal {out}" in printed
    code, printed, _ = spectro("seal", out, "--json")
    assert code == 0
    assert json.loads(printed)["segments"] == 72
    now = json.loads(spectro("status", out, "--json")[1])
    assert (now["done"], now["lots"], now["sealed"]) == (2, 2, True)
    assert (out / "clips.csv").exists()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--engine", "slurm"), "must be local, shard:I/N, ray or ray:ADDRESS"),
        (("--engine", "local", "--prune"), "--prune does not go with --engine"),
        (("--plan", "--n-mels", 0), "n_mels"),
        (("--engine", "local", "--layout", "nosuch"), "nosuch"),
    ],
)
def test_mistakes_are_one_line(
    words: tuple[object, ...], expected: str, spectro: Spectro, corpus: Path, tmp_path: Path
) -> None:
    code, _, error = spectro("render", corpus, "--out", tmp_path / "out", *words)
    assert code == 2
    assert expected in error
    assert error.count("\n") == 1


def test_a_url_is_taken_as_one(spectro: Spectro, tmp_path: Path) -> None:
    code, _, error = spectro("render", "s4://music", "--out", tmp_path)
    assert (code, error.count("\n")) == (2, 1)
    assert "s4://music is of no known kind; did you mean 's3'?" in error
    code, _, error = spectro("predict", tmp_path, "memory://nothing", "--out", "memory://answers", "--top", 1)
    assert (code, error.count("\n")) == (2, 1)
    assert "--top does not go with" in error


def test_nothing_planned_is_one_line(spectro: Spectro, tmp_path: Path) -> None:
    for command in ("status", "seal"):
        code, _, error = spectro(command, tmp_path)
        assert (code, error.count("\n")) == (2, 1)
        assert "has no plan.json" in error
