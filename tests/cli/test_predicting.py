"""What `predict` prints and writes."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from spectro.cli import predicting
from spectro.core.config import RenderConfig
from spectro.core.runs import Run
from spectro.core.tables import Failure
from spectro.inference.events import EventRule
from spectro.inference.predict import Answer, Predicted
from spectro.inference.tables import TableFormat, TableOptions
from tests.inference.conftest import make_network_run as make_network_run  # a fixture

Spectro = Callable[..., tuple[int, str, str]]
LABELS = ("rock", "jazz")


def answer(source: str, segments: list[float]) -> Answer:
    """Return an answer whose segments have these probabilities of rock, 30 s apart."""
    probs = np.array([[rock, 1 - rock] for rock in segments])
    starts = tuple(30.0 * number for number in range(len(segments)))
    return Answer(
        source=source, labels=LABELS, probs=probs.mean(axis=0), starts=starts, segment_probs=probs, seconds=30.0
    )


@pytest.fixture
def predicted(monkeypatch: pytest.MonkeyPatch) -> Predicted:
    """What `spectro.predict` returns: two files with an answer, one without."""
    value = Predicted(
        labels=LABELS,
        answers=(answer("rock/a song.ogg", [0.9, 0.8, 0.2, 0.7]), answer("unsure.wav", [0.55])),
        failed=(Failure(path="bad.wav", reason="silent", seconds=1.0, message="bad.wav is silent"),),
        min_confidence=0.6,
    )
    monkeypatch.setattr("spectro.predict", lambda *_, **__: value, raising=False)
    return value


@pytest.fixture
def run(make_network_run: Callable[..., Run], small: RenderConfig, tmp_path: Path) -> Run:
    return make_network_run(tmp_path / "run", small)


def test_without_an_output_a_table_is_printed(predicted: Predicted, spectro: Spectro) -> None:
    code, out, err = spectro("predict", "run", "music", "--min-confidence", "0.6")
    assert code == 3
    assert "silent" in err
    assert "unsure" in out
    assert "0:00 rock, 1:00 jazz, 1:30 rock" in out
    assert "a song.ogg" in out
    assert max(map(len, out.splitlines())) <= 80
    assert "rock 0.65, jazz 0.35" in " ".join(spectro("predict", "run", "music", "--top", "2")[1].split())


@pytest.mark.parametrize("options", [("--json",), ("--out", "-"), ("--out", "-", "--format", "raven")])
def test_one_table_can_be_printed(
    options: tuple[str, ...], predicted: Predicted, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    from spectro import cli

    with pytest.raises(SystemExit):
        cli.main(["predict", "run", "music", *options])
    out = capfdbinary.readouterr().out.decode()
    if "--json" in options:
        assert json.loads(out) == Predicted(labels=LABELS, answers=predicted.answers, failed=predicted.failed).to_dict()
    else:
        assert len(out.splitlines()) == (1 + 5 if "raven" in options else 1 + 5 + 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--out",), "--out"),
        (("--out", "--json"), "--json"),
        (("--json", "--out", "p.json"), "--json"),
        (("--format", "csv"), "--out"),
        (("--out", "-", "--format", "csv", "json"), "folder"),
        (("--out", "-", "--format", "parquet"), "Parquet"),
        (("--events", "gaps=1"), "did you mean 'gap'"),
        (("--top", "0"), "--top"),
        (("--out", "p.csv", "--per-file"), "one file"),
        (("--nonsense",), "--nonsense"),
    ],
)
def test_a_mistake_is_one_line(
    options: tuple[str, ...], message: str, predicted: Predicted, spectro: Spectro, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    code, out, err = spectro("predict", "run", "music", *options)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err


def test_a_list_from_standard_input_is_written_into_a_folder(
    run: Run, corpus: Path, tmp_path: Path, spectro: Spectro, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = sorted(corpus.rglob("*.ogg"))[:2]
    (tmp_path / "text.wav").write_text("no sound")
    content = "\n".join(map(str, [*files, tmp_path / "text.wav"])).encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    formats = ("csv", "jsonl", "json", "raven", "audacity")
    options = ("--out", tmp_path / "found", "--format", *formats, "--events", "gap=0", "--workers", "1")
    code, out, err = spectro("predict", run.path, "-", *options)
    assert code == 3
    assert "unreadable" in err
    written = {path.name for path in (tmp_path / "found").iterdir() if not path.name.startswith(".")}
    assert {f"predictions{suffix}" for suffix in (".csv", ".jsonl", ".json", ".selections.txt")} <= written
    assert all(str(tmp_path / "found" / name) in out for name in written if name.startswith("predictions"))
    with (tmp_path / "found" / "failed.csv").open() as file:
        assert [row["path"] for row in csv.DictReader(file)] == [str(tmp_path / "text.wav")]
    names = [json.loads(line)["file"] for line in (tmp_path / "found" / "predictions.jsonl").read_text().splitlines()]
    assert names == list(map(str, files))
    assert len(list((tmp_path / "found").rglob("*.labels.txt"))) == 2


def test_a_list_in_a_file_names_files_and_folders(
    run: Run, corpus: Path, tmp_path: Path, spectro: Spectro, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(corpus / "hum", tmp_path / "hum")
    lone = sorted(corpus.rglob("*.wav"))[0]
    for number, between in enumerate((b"\r\n", b"\n", b"\0")):
        Path(f"list{number}.txt").write_bytes(between.join([os.fsencode(lone), b"hum", b""]))
        code, out, _ = spectro("predict", run.path, f"@list{number}.txt", "--json")
        assert code == 0
        assert [one["file"] for one in json.loads(out)["files"]][:2] == [str(lone), "hum/hum-0-0.wav"]
    code, _, err = spectro("predict", run.path, "@gone.txt")
    assert (code, "./@gone.txt" in err) == (2, True)


def test_a_file_of_something_else_is_not_replaced(predicted: Predicted, tmp_path: Path, spectro: Spectro) -> None:
    for name in ("p.csv", "p.jsonl", "p.json", "p.parquet", "p.txt"):
        (tmp_path / name).write_text("my notes")
        code, _, err = spectro("predict", "run", "music", "--out", tmp_path / name)
        assert (code, "is not replaced" in err) == (2, True), name
        assert (tmp_path / name).read_text() == "my notes"


def test_the_formats_are_those_of_the_library() -> None:
    assert get_args(predicting.Format) == get_args(TableFormat)


def test_a_timeline_has_an_entry_for_each_change_or_event() -> None:
    song = answer("song.mp3", [0.9, 0.8, 0.2, 0.7])
    assert predicting.timeline(song, TableOptions()) == "0:00 rock, 1:00 jazz, 1:30 rock"
    assert predicting.timeline(song, TableOptions(events=EventRule(gap=30))) == "0:00 rock, 1:00 jazz"


def test_a_stopped_stream_says_that_it_resumes(
    tmp_path: Path, spectro: Spectro, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("spectro.predict_to", stopped, raising=False)
    code, _, err = spectro("predict", "run", "music", "--out", tmp_path / "p.csv")
    assert (code, "the same command resumes" in err) == (130, True)
