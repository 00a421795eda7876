"""Extraction: the values of each segment's own sound, made once, resumed, and made again when anything changed."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from spectro import cli
from spectro.audio.features.mfcc import MfccConfig
from spectro.audio.features.stats import StatsConfig
from spectro.core.config import RenderConfig
from spectro.core.errors import ConfigError, DataError
from spectro.data.features import Extraction, extract, extract_clip
from spectro.data.render import render
from spectro.data.splits import split
from spectro.data.store import open_store
from spectro.training.dataset import TrainingData

MFCC = MfccConfig(n_mfcc=13, n_fft=1024)


@pytest.fixture
def data(corpus: Path, small: RenderConfig, tmp_path: Path) -> Path:
    """A rendered folder of its own copy of the first two classes."""
    source = tmp_path / "source"
    for label in ("chirp", "hum"):
        shutil.copytree(corpus / label, source / label)
    return render(source, out=tmp_path / "data", config=small, workers=1).data


def test_values_stand_in_the_order_of_the_pictures(data: Path) -> None:
    found = extract(data, "mfcc", config=MFCC, workers=2)
    pictures = open_store(data)
    assert found.store.segments == pictures.segments
    assert found.store.columns == tuple(f"mfcc_{n}" for n in range(1, 14))
    values = found.store.values()
    assert values.shape == (len(pictures.segments), 13, 44)
    extraction = found.store.extraction
    for item in (0, 17, 35):
        segment = pictures.segments[item]
        alone = dict(extract_clip(data.parent / "source" / segment.clip.id, extraction))
        assert np.array_equal(values[item], alone[segment.start])


def test_what_is_there_is_not_made_again_and_settings_stand_side_by_side(data: Path) -> None:
    first = extract(data, "mfcc", config=MFCC, workers=1)
    assert (first.made, first.reused) == (12, 0)
    again = extract(data, "mfcc", config=MFCC, workers=1)
    assert (again.made, again.reused) == (0, 12)
    assert again.store.digest() == first.store.digest()
    other = extract(data, "mfcc", config=MfccConfig(n_mfcc=14), workers=1)
    assert other.made == 12
    assert other.store.path != first.store.path
    assert other.store.config_id != first.store.config_id


def test_only_a_changed_file_is_read_again(data: Path) -> None:
    first = extract(data, "stats", workers=1).store
    before = first.values().copy()
    changed = data.parent / "source" / first.segments[4].clip.id
    os.utime(changed, ns=(1, 1))
    again = extract(data, "stats", workers=1)
    assert (again.made, again.reused) == (1, 11)
    assert np.array_equal(again.store.values(), before)


SCRIPT = """
import os, signal, sys
from spectro.data import features
one, count = features.extract_one, 0
def counted(shared, task):
    global count
    count += 1
    if count == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return one(shared, task)
features.extract_one = counted
features.extract(sys.argv[1], "rms", workers=1)
"""


def test_killed_and_repeated_it_ends_like_the_uninterrupted_one(data: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", SCRIPT, data], check=False)
    assert killed.returncode == -signal.SIGKILL
    resumed = extract(data, "rms", workers=1)
    assert (resumed.made, resumed.reused) == (8, 4)
    values = resumed.store.values().copy()
    shutil.rmtree(data / "features")
    assert np.array_equal(extract(data, "rms", workers=1).store.values(), values)


def test_a_clip_that_can_no_longer_be_read_is_listed_and_no_model_is_trained_without_it(
    data: Path,
) -> None:
    lost = open_store(data).segments[0].clip.id
    (data.parent / "source" / lost).write_bytes(b"")
    found = extract(data, "rms", workers=1)
    assert [(failure.path, failure.reason) for failure in found.failed] == [(lost, "empty")]
    assert lost in (found.store.path / "failed.csv").read_text()
    assert len(found.store.values()) == len(found.store.segments) == 33
    assert lost not in {segment.clip.id for segment in found.store.segments}
    split(data)
    with pytest.raises(DataError, match=r"'rms' cannot be computed of 1 clips .*failed\.csv"):
        TrainingData.open(data, "group", feature="rms")


def test_export_names_every_column(data: Path, tmp_path: Path) -> None:
    store = extract(data, "stats", config=StatsConfig(set="rms+tempo"), workers=1).store
    with store.export(tmp_path / "out.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[:6] == ["segment", "clip", "label", "group", "start", "rms_max"]
    assert list(rows[0])[-1] == "tempo"
    assert float(rows[7]["rms_mean"]) == pytest.approx(store.values()[7, 2], rel=1e-5)
    with pytest.raises(ConfigError, match="'rms' has many frames a segment; export its statistics"):
        extract(data, "rms", workers=1).store.export(tmp_path / "no.csv")


def test_parquet_holds_the_same_table_with_every_digit(data: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    store = extract(data, "stats", config=StatsConfig(set="rms+tempo"), workers=1).store
    table = parquet.read_table(store.export(tmp_path / "new" / "out.parquet"))
    with store.export(tmp_path / "out.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert table.column_names == list(rows[0])
    assert table.column("segment").to_pylist() == [row["segment"] for row in rows]
    assert table.column("start").to_pylist() == [segment.start for segment in store.segments]
    values = np.stack([table.column(name).to_numpy() for name in store.columns], axis=1)
    assert values.dtype == np.float32
    assert np.array_equal(values, store.values())
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["out.parquet"]


def test_without_pyarrow_the_fix_is_named(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    store = extract(data, "tempo", workers=1).store
    with pytest.raises(ConfigError, match=r"pip install 'spectro\[parquet\]'"):
        store.export(tmp_path / "out.parquet")
    assert not (tmp_path / "out.parquet").exists()


def test_features_from_the_command_line(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def spectro(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stopped:
            cli.main(["features", str(data), "--workers", "1", *map(str, arguments)])
        said = capsys.readouterr()
        return int(stopped.value.code or 0), said.out, said.err

    code, out, _ = spectro("--set", "rms+zcr", "--out", tmp_path / "out.csv")
    assert code == 0
    assert "36 segments, 12 columns of stats" in out
    with (tmp_path / "out.csv").open(encoding="utf-8") as file:
        assert len(list(csv.reader(file))) == 37
    for wrong in (("--set", "rmss"), ("--feature", "tempo", "--set", "D")):
        code, out, err = spectro(*wrong)
        assert (code, out, err.count("\n")) == (2, "", 1)


def test_mistakes_are_named(data: Path) -> None:
    with pytest.raises(ConfigError, match="unknown feature 'mfc'; did you mean 'mfcc'"):
        extract(data, "mfc")
    with pytest.raises(ConfigError, match="'mfcc' takes a MfccConfig, not a StatsConfig"):
        extract(data, "mfcc", config=StatsConfig())
    shutil.rmtree(data.parent / "source")
    with pytest.raises(DataError, match="is gone"):
        extract(data, "mfcc")


def test_settings_survive_the_card(small: RenderConfig) -> None:
    extraction = Extraction(feature="mfcc", config=MFCC, segment=small.segment)
    again = Extraction.from_dict("mfcc", extraction.to_dict())
    assert again == extraction
    assert again.config_id() == extraction.config_id()
