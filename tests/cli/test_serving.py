"""What `predict` prints and writes."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from spectro.cli import serving
from spectro.core.tables import Failure
from spectro.inference.predict import Answer, Predicted

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


def test_without_an_output_a_table_is_printed(predicted: Predicted, spectro: Spectro) -> None:
    code, out, err = spectro("predict", "run", "music")
    assert code == 3
    assert "silent" in err
    assert "unsure" in out
    assert "0:00 rock, 1:00 jazz, 1:30 rock" in out
    assert "a song.ogg" in out
    assert max(map(len, out.splitlines())) <= 80


def test_csv_json_and_parquet_are_files(predicted: Predicted, tmp_path: Path, spectro: Spectro) -> None:
    names = {kind: tmp_path / f"p.{kind}" for kind in ("csv", "json", "parquet")}
    options = [text for kind, path in names.items() for text in (f"--{kind}", path)]
    code, out, _ = spectro("predict", "run", "music", *options)
    assert code == 3
    assert all(str(path) in out for path in names.values())

    rows = list(csv.reader(names["csv"].read_text().splitlines()))
    assert rows[0] == ["file", "start", "label", "probability", "rock", "jazz"]
    assert [row[1] for row in rows[1:]] == ["", "0.0", "30.0", "60.0", "90.0", "", "0.0"]
    assert rows[1][:4] == ["rock/a song.ogg", "", "rock", "0.650000"]
    assert rows[6][:3] == ["unsure.wav", "", ""]

    files = json.loads(names["json"].read_text())["files"]
    assert [one["label"] for one in files] == ["rock", None]

    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(names["parquet"]).to_pylist()
    assert [row["start"] for row in table] == [None, 0.0, 30.0, 60.0, 90.0, None, 0.0]
    assert table[0]["rock"] == pytest.approx(0.65)


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_a_dash_is_standard_output(
    kind: str, predicted: Predicted, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    from spectro import cli

    with pytest.raises(SystemExit):
        cli.main(["predict", "run", "music", f"--{kind}", "-"])
    out = capfdbinary.readouterr().out.decode()
    assert "wrote" not in out
    if kind == "csv":
        assert len(out.splitlines()) == 1 + 5 + 2
    else:
        assert len(json.loads(out)["files"]) == 2


@pytest.mark.parametrize("rest", [("--csv",), ("--csv", "--json", "p.json")])
def test_an_output_without_a_path_is_a_mistake(rest: tuple[str, ...], predicted: Predicted, spectro: Spectro) -> None:
    code, out, err = spectro("predict", "run", "music", *rest)
    assert (code, out) == (2, "")
    assert "--csv" in err


def test_a_timeline_has_an_entry_for_each_change() -> None:
    assert serving.timeline(answer("song.mp3", [0.9, 0.8, 0.2, 0.7])) == "0:00 rock, 1:00 jazz, 1:30 rock"
