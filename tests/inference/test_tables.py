"""Tables of answers: each format as other programs read it, and the same values in all of them."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spectro.core.tables import Failure
from spectro.inference.events import EventRule
from spectro.inference.predict import Answer, Predicted
from spectro.inference.tables import LINES, PREDICTION_COLUMNS, TableFormat, TableOptions, write_table

LABELS = ("rock", "jazz", "=folk")
FAILED = Failure(path="bad.wav", reason="silent", seconds=1.0, message="bad.wav is silent")


def answer(source: str, segments: list[float], duration: float) -> Answer:
    """Return an answer whose segments of 10 s have these probabilities of rock, and the others of jazz."""
    probs = np.array([[rock, 1 - rock, 0.0] for rock in segments])
    starts = tuple(10.0 * number for number in range(len(segments)))
    return Answer(
        source=source, labels=LABELS, probs=probs.mean(axis=0), starts=starts, segment_probs=probs, seconds=10.0,
        duration=duration,
    )  # fmt: skip


ANSWERS = (answer("rock/a\tsong.ogg", [0.9, 0.8, 0.2, 0.7], 38.5), answer("=unsure.wav", [0.55], 5.0))
OUTCOMES = (ANSWERS[0], FAILED, ANSWERS[1])


def text(kind: TableFormat, options: TableOptions) -> str:
    return "".join(LINES[kind](LABELS, OUTCOMES, options))


def test_a_csv_has_a_row_for_each_file_and_segment() -> None:
    rows = list(csv.reader(text("csv", TableOptions(min_confidence=0.6)).splitlines()))
    assert rows[0] == [*PREDICTION_COLUMNS, "rock", "jazz", "'=folk"]
    assert [row[1] for row in rows[1:]] == ["", "0.0", "10.0", "20.0", "30.0", "", "0.0"]
    assert rows[1] == ["rock/a\tsong.ogg", "", "", "rock", "0.650000", "0.650000", "0.350000", "0.000000"]
    assert rows[5][1:4] == ["30.0", "38.5", "rock"]
    assert rows[6][:4] == ["'=unsure.wav", "", "", ""]


def test_events_and_the_best_classes_replace_segments_and_all_classes() -> None:
    options = TableOptions(events=EventRule(), top=2)
    rows = list(csv.reader(text("csv", options).splitlines()))
    assert rows[0] == [*PREDICTION_COLUMNS, "label 2", "probability 2"]
    assert [row[1:4] for row in rows[2:5]] == [
        ["0.0", "20.0", "rock"],
        ["20.0", "30.0", "jazz"],
        ["30.0", "38.5", "rock"],
    ]
    assert rows[2][4:] == ["0.850000", "jazz", "0.150000"]
    first = json.loads(text("jsonl", options).splitlines()[0])
    assert [(one["start"], one["end"], one["label"]) for one in first["events"]] == [
        (0.0, 20.0, "rock"),
        (20.0, 30.0, "jazz"),
        (30.0, 38.5, "rock"),
    ]
    assert list(first["probabilities"]) == ["rock", "jazz"]


@pytest.mark.parametrize("outcomes", [OUTCOMES, (), (FAILED,), ANSWERS])
def test_json_is_written_piece_by_piece_as_it_would_be_whole(outcomes: tuple[Answer | Failure, ...]) -> None:
    answers = tuple(one for one in outcomes if isinstance(one, Answer))
    failed = tuple(one for one in outcomes if isinstance(one, Failure))
    whole = Predicted(labels=LABELS, answers=answers, failed=failed).to_dict()
    assert "".join(LINES["json"](LABELS, outcomes, TableOptions())) == json.dumps(whole, indent=2) + "\n"


def test_audacity_reads_start_end_and_label() -> None:
    lines = text("audacity", TableOptions(min_confidence=0.75)).splitlines()
    cells = [line.split("\t") for line in lines]
    assert cells == [
        ["0.000000", "10.000000", "rock 0.90"],
        ["10.000000", "20.000000", "rock 0.80"],
        ["20.000000", "30.000000", "jazz 0.80"],
    ]


def test_raven_reads_selections_of_several_files_in_a_row() -> None:
    lines = text("raven", TableOptions(events=EventRule(), band=(50.0, 11025.0))).splitlines()
    rows = list(csv.DictReader(lines, delimiter="\t"))
    assert [row["Selection"] for row in rows] == ["1", "2", "3", "4"]
    assert {(row["View"], row["Channel"]) for row in rows} == {("Spectrogram 1", "1")}
    assert {(row["Low Freq (Hz)"], row["High Freq (Hz)"]) for row in rows} == {("50.0", "11025.0")}
    last = rows[-1]
    assert [float(last[name]) for name in ("Begin Time (s)", "End Time (s)", "File Offset (s)")] == [38.5, 43.5, 0]
    assert rows[0]["Begin Path"] == "rock/a song.ogg"


def test_parquet_has_the_values_of_the_csv(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    for options in (TableOptions(), TableOptions(top=2, events=EventRule())):
        write_table(tmp_path / "p.parquet", "parquet", LABELS, OUTCOMES, options)
        rows = parquet.read_table(tmp_path / "p.parquet").to_pylist()
        expected = list(csv.reader(text("csv", options).splitlines()))
        assert [name.removeprefix("'") for name in expected[0]] == list(rows[0])
        assert [row["start"] for row in rows] == [float(row[1]) if row[1] else None for row in expected[1:]]
        np.testing.assert_allclose(
            [row["probability"] for row in rows], [float(row[4]) for row in expected[1:]], atol=1e-6
        )
    write_table(tmp_path / "p.parquet", "parquet", LABELS, [replace(ANSWERS[0], source="\udcff.wav")], TableOptions())
    assert parquet.read_table(tmp_path / "p.parquet").to_pylist()[0]["file"] == r"\udcff.wav"
