"""Streams of answers into tables: killed at any point they go on, and ask again only what is new or changed."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import spectro
from spectro.core.config import RenderConfig
from spectro.core.errors import ConfigError
from spectro.core.runs import Run
from spectro.core.tables import Failure, read_failures
from spectro.inference.answer_journal import AnswerJournal, Entry
from spectro.inference.events import EventRule
from spectro.inference.predict import Predictor
from spectro.inference.stream import JOURNAL, Target, predict_to
from spectro.inference.tables import TableOptions
from tests.inference.conftest import MakeRun

POSIX = pytest.mark.skipif(os.name != "posix", reason="kills a process group")
SLOW_READING = """
import sys, time
from spectro.inference import predict, reading, supply
read = reading.read_recording
def slowly(*arguments, **settings):
    time.sleep(0.2)
    yield from read(*arguments, **settings)
supply.read_recording = slowly
predict.BLOCK = 3
import spectro
spectro.predict_to(sys.argv[1], sys.argv[2], sys.argv[3], device="cpu", workers=1)
"""
"""A program that classifies five recordings a second, each on its own."""


@pytest.fixture(scope="module")
def run(make_network_run: MakeRun, small: RenderConfig, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return make_network_run(tmp_path_factory.mktemp("stream") / "run", small, temperature=1.7)


@pytest.fixture
def music(corpus: Path, tmp_path: Path) -> Path:
    """A copy of the corpus, and a file that is no sound."""
    copy = shutil.copytree(corpus, tmp_path / "music")
    (copy / "text.wav").write_text("no sound")
    return copy


def tables(folder: Path) -> dict[str, bytes]:
    """Return every file that is not hidden below a folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    inside = {str(path.relative_to(folder)): path.read_bytes() for path in files}
    return {name: content for name, content in inside.items() if not name.startswith(".")}


def test_a_table_has_the_answers_in_order_and_failures_beside_it(run: Run, music: Path, tmp_path: Path) -> None:
    written = predict_to(run, music, tmp_path / "p.csv", workers=2)
    predicted = spectro.predict(run, music, workers=1)
    rows = list(csv.DictReader((tmp_path / "p.csv").read_text().splitlines()))
    files = [row for row in rows if not row["start"]]
    assert [row["file"] for row in files] == [answer.source for answer in predicted.answers]
    assert [row["probability"] for row in files] == [f"{answer.probability:.6f}" for answer in predicted.answers]
    assert len(rows) == 4 * len(files)
    assert written.failed == predicted.failed == tuple(read_failures(tmp_path / "p.failed.csv"))
    assert (written.asked, written.kept) == (25, 0)


@POSIX
def test_a_killed_stream_goes_on_and_ends_with_the_same_bytes(run: Run, music: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole.csv", tmp_path / "killed.csv"
    predict_to(run, music, whole, device="cpu")
    journal = Target.of(killed).state / JOURNAL
    command = [sys.executable, "-c", SLOW_READING, str(run.path), str(music), str(killed)]
    process = subprocess.Popen(command, start_new_session=True)
    while process.poll() is None and (not journal.exists() or journal.read_bytes().count(b"\n") < 3):
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    known = journal.read_bytes().count(b"\n")
    with journal.open("ab") as file:
        file.write(b"0123 half a li")  # what a kill in the middle of a line leaves
    assert 3 <= known < 25
    assert not killed.exists()
    written = predict_to(run, music, killed, device="cpu")
    assert (written.asked, written.kept) == (25 - known, known)
    assert killed.read_bytes() == whole.read_bytes()
    assert (tmp_path / "killed.failed.csv").read_bytes() == (tmp_path / "whole.failed.csv").read_bytes()


def test_only_new_changed_and_failed_files_are_asked_again(
    run: Run, music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "found"
    predict_to(run, music, out, workers=1)
    before = tables(out)
    changed, other = sorted(music.rglob("*.flac"))[:2]
    os.utime(other, (1, 1))  # another time, the same content
    changed.write_bytes(other.read_bytes())
    shutil.copy(other, music / "new.flac")
    asked: list[list[str]] = []
    results = Predictor.results

    def noting(self: Predictor, sources: list[Path], **settings: object) -> object:
        asked.append(sorted(path.name for path in sources))
        return results(self, sources, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr(Predictor, "results", noting)
    written = predict_to(run, music, out, workers=1)
    assert asked == [sorted([changed.name, "new.flac", "text.wav"])]
    assert (written.asked, written.kept) == (3, 23)
    predict_to(run, music, tmp_path / "fresh", workers=1)
    assert tables(out) == tables(tmp_path / "fresh") != before


def test_formats_and_options_may_change_without_asking_again(run: Run, music: Path, tmp_path: Path) -> None:
    out = tmp_path / "found"
    predict_to(run, music, out, workers=1)
    options = TableOptions(events=EventRule(gap=1), top=1)
    again = predict_to(run, music, out, formats=("jsonl", "audacity", "raven"), options=options, workers=1)
    assert again.asked == 1  # the one that failed
    names = set(tables(out))
    assert {"predictions.csv", "predictions.jsonl", "predictions.selections.txt", "failed.csv"} <= names
    assert len([name for name in names if name.endswith(".labels.txt")]) == 24
    predict_to(run, music, out, formats=("csv", "raven"), per_file=True, workers=1)
    assert (out / "hum" / "hum-0-0.wav.selections.txt").exists()
    assert (out / "hum" / "hum-0-0.wav.csv").exists()


def test_answers_of_another_run_or_overlap_are_not_mixed(run: Run, music: Path, tmp_path: Path) -> None:
    out, [file, *_] = tmp_path / "p.jsonl", sorted(music.rglob("*.wav"))
    predict_to(run, file, out)
    other = Run(shutil.copytree(run.path, tmp_path / "other"))
    predict_to(other, file, out)  # a copy gives the same answers
    with pytest.raises(ConfigError, match="the card's overlap; choose another --out, or delete"):
        predict_to(run, file, out, overlap=0.5)
    other.write_card(replace(other.card, temperature=3.0))
    with pytest.raises(ConfigError, match="another model"):
        predict_to(other, file, out)


def test_an_answer_comes_back_from_the_journal_to_the_last_bit(run: Run, music: Path, tmp_path: Path) -> None:
    journal = AnswerJournal(tmp_path / "journal")
    results = list(Predictor(run, "cpu").results([*sorted(music.rglob("hum*")), music / "text.wav"], stamped=True))
    with journal.adding() as adder:
        for outcome, ending in results:
            name = outcome.path if isinstance(outcome, Failure) else outcome.source
            adder.add(Entry.of(name, outcome, ending))
    content = bytearray((tmp_path / "journal").read_bytes())
    content[100] ^= 1  # within the first line
    (tmp_path / "journal").write_bytes(content)
    read = AnswerJournal(tmp_path / "journal")
    assert str(sorted(music.rglob("hum*"))[0]) not in read
    labels = run.card.labels
    for outcome, _ in results[1:]:
        if isinstance(outcome, Failure):
            assert read[outcome.path].outcome(labels) == outcome
            continue
        again = read[outcome.source].outcome(labels)
        assert not isinstance(again, Failure)
        assert (again.starts, again.duration, again.seconds) == (outcome.starts, outcome.duration, outcome.seconds)
        np.testing.assert_array_equal(again.probs, outcome.probs)
        np.testing.assert_array_equal(again.segment_probs, outcome.segment_probs)


@pytest.mark.parametrize(
    ("out", "settings"),
    [("p.csv", {"formats": ("csv", "raven")}), ("p.csv", {"per_file": True}), ("p.txt", {"formats": ("audacity",)})],
)
def test_one_file_holds_one_table(out: str, settings: dict[str, object], run: Run, music: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="name a folder"):
        predict_to(run, music, tmp_path / out, **settings)  # type: ignore[arg-type]
