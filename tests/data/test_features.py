"""Extraction: the values of each segment's own sound, made once, resumed, and made again when anything changed."""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from spectro.audio.features.mfcc import MfccConfig
from spectro.audio.features.stats import StatsConfig
from spectro.audio.segment import segment_starts
from spectro.core.card import FeatureFacts
from spectro.core.config import RenderConfig, SegmentConfig
from spectro.core.errors import ConfigError, DataError
from spectro.core.files import read_csv
from spectro.core.tables import Clip, Failure, Segment, read_segments_csv, write_failures, write_segments
from spectro.data.feature_table import write_feature_table
from spectro.data.features import Extraction, extract, extract_clip
from spectro.data.render import render
from spectro.data.splits import split
from spectro.data.store import open_store, tags
from spectro.training.dataset import TrainingData
from tests.conftest import Tone, WriteAudio

MFCC = MfccConfig(n_mfcc=13, n_fft=1024)


@pytest.fixture
def data(corpus: Path, small: RenderConfig, tmp_path: Path) -> Path:
    """A rendered folder of its own copy of the first two classes."""
    source = tmp_path / "source"
    for label in ("chirp", "hum"):
        shutil.copytree(corpus / label, source / label)
    return render(source, out=tmp_path / "data", config=small, workers=1).data


@pytest.mark.slow
def test_values_are_in_the_order_of_the_spectrograms(data: Path) -> None:
    extracted = extract(data, "mfcc", config=MFCC, workers=2)
    spectrograms = open_store(data)
    assert extracted.store.segments == spectrograms.segments
    assert extracted.store.columns == tuple(f"mfcc_{n}" for n in range(1, 14))
    values = extracted.store.values()
    assert values.shape == (len(spectrograms.segments), 13, 44)
    extraction = extracted.store.extraction
    for item in (0, 17, 35):
        segment = spectrograms.segments[item]
        alone = dict(extract_clip(data.parent / "source" / segment.clip.id, extraction))
        assert np.array_equal(values[item], alone[segment.start])


def test_what_is_there_is_not_made_again(data: Path) -> None:
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
    kept = first.values()
    changed = data.parent / "source" / first.segments[4].clip.id
    status = changed.stat()
    samples, rate = soundfile.read(changed)
    soundfile.write(changed, samples / 2, rate)
    os.utime(changed, ns=(status.st_atime_ns, status.st_mtime_ns))
    again = extract(data, "stats", workers=1)
    assert (again.made, again.reused) == (1, 11)
    assert again.store.digest() != first.digest()
    assert not np.array_equal(again.store.values(), before)
    assert np.array_equal(kept, before)  # whoever has the values open keeps them


def test_other_times_of_the_files_change_nothing(data: Path) -> None:
    first = extract(data, "stats", workers=1).store
    for path in (data.parent / "source").rglob("*.*"):
        os.utime(path, ns=(1, 1))
    again = extract(data, "stats", workers=1)
    assert (again.made, again.reused) == (0, 12)
    assert again.store.digest() == first.digest()


def test_a_source_in_a_new_place_changes_nothing(data: Path, small: RenderConfig) -> None:
    first = extract(data, "rms", workers=1).store
    source = data.parent / "source"
    render(shutil.copytree(source, data.parent / "new"), out=data, config=small, workers=1)
    shutil.rmtree(source)
    again = extract(data, "rms", workers=1)
    assert (again.made, again.store.digest()) == (0, first.digest())


SCRIPT = """
import os, signal, sys
from spectro.data import features
one, count = features.extract_one, 0
def counted(job, task):
    global count
    count += 1
    if count == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return one(job, task)
features.extract_one = counted
features.extract(sys.argv[1], "rms", workers=1)
"""


@pytest.mark.slow
def test_killed_and_repeated_it_ends_like_the_uninterrupted_one(data: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", SCRIPT, data], check=False)
    assert killed.returncode == -signal.SIGKILL
    resumed = extract(data, "rms", workers=1)
    assert (resumed.made, resumed.reused) == (8, 4)
    values = resumed.store.values().copy()
    shutil.rmtree(data / "features")
    assert np.array_equal(extract(data, "rms", workers=1).store.values(), values)


def test_an_unreadable_clip_is_listed_and_no_model_is_trained(data: Path) -> None:
    lost = open_store(data).segments[0].clip.id
    (data.parent / "source" / lost).write_bytes(b"")
    extracted = extract(data, "rms", workers=1)
    assert [(failure.path, failure.reason) for failure in extracted.failed] == [(lost, "empty")]
    assert lost in (extracted.store.path / "failed.csv").read_text()
    assert len(extracted.store.values()) == len(extracted.store.segments) == 33
    assert lost not in {segment.clip.id for segment in extracted.store.segments}
    split(data)
    with pytest.raises(DataError, match=r"'rms' cannot be computed .*failed\.csv"):
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
    with pytest.raises(ConfigError, match=r"pip install 'spectro-audio\[parquet\]'"):
        store.export(tmp_path / "out.parquet")
    assert not (tmp_path / "out.parquet").exists()


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
    facts = FeatureFacts(
        name="mfcc",
        kind="frames",
        config_id=extraction.config_id(),
        config=json.loads(json.dumps(extraction.to_dict())),
    )
    again = Extraction.of(facts)
    assert again == extraction
    assert again.config_id() == extraction.config_id()
    with pytest.raises(ConfigError, match="feature 'mfcc' lack 'segment'"):
        Extraction.from_dict("mfcc", {"mfcc": {}})


@pytest.mark.slow
def test_the_journal_of_several_processes_is_that_of_one(data: Path) -> None:
    one = extract(data, "rms", workers=1).store.digest()
    shutil.rmtree(data / "features")
    assert extract(data, "rms", workers=2).store.digest() == one


def test_a_torn_journal_costs_the_last_clips_only(data: Path) -> None:
    store = extract(data, "rms", workers=1).store
    before, digest = store.values().copy(), store.digest()
    journal = store.path / "done.csv"
    whole = journal.read_bytes()
    for cut in range(1, 240, 11):
        journal.write_bytes(whole[:-cut])
        again = extract(data, "rms", workers=1)
        assert again.made == whole[-cut:].count(b"\n")
        assert np.array_equal(again.store.values(), before)
        assert again.store.digest() == digest


def flips(whole: bytes, chance: random.Random, count: int) -> list[bytes]:
    """Return copies with one flipped bit each."""
    copies = []
    for _ in range(count):
        flipped = bytearray(whole)
        flipped[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        copies.append(bytes(flipped))
    return copies


@pytest.mark.slow
@pytest.mark.parametrize("name", ["config.json", "values.npy", "done.csv"])
def test_a_damaged_cache_is_made_again(data: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    store = extract(data, "rms", workers=1).store
    before, digest = store.values().copy(), store.digest()
    path = store.path / name
    whole, chance = path.read_bytes(), random.Random(name)
    cuts = [whole[: len(whole) * part // 4] for part in range(4)]
    for content in [b"\xff", bytes(len(whole)), *cuts, *flips(whole, chance, 12), None]:
        path.unlink()
        if content is not None:
            path.write_bytes(content)
        again = extract(data, "rms", workers=1)
        assert np.array_equal(again.store.values(), before)
        assert again.store.digest() == digest
    assert (name == "done.csv") or "again" in caplog.text


def test_values_of_another_feature_of_the_same_shape_are_noticed(data: Path) -> None:
    store = extract(data, "rms", workers=1).store
    before = store.values().copy()
    values = np.array(store.values())
    np.save(store.path / "values.npy", values[::-1])
    again = extract(data, "rms", workers=1)
    assert again.made == 12
    assert np.array_equal(again.store.values(), before)


LIMITED = """
import resource, sys
from spectro.core.errors import StorageError
from spectro.data.features import extract
from spectro.data.store import open_store
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
data, workers = sys.argv[1], int(sys.argv[3])
for use in (lambda: extract(data, "rms", workers=workers), lambda: open_store(data).spectrograms()):
    try:
        use()
    except StorageError as error:
        print(error)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits the size of files")
@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("limit", ["0", "4000", "20000"])
def test_no_room_for_the_arrays_is_one_line(data: Path, limit: str, workers: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, data, limit, workers], capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert all(line.startswith("cannot write ") for line in lines)
    assert "packed.npy" in lines[-1] or limit == "0"
    assert not list(data.rglob(".*.tmp"))
    assert len(extract(data, "rms", workers=1).store.values()) == 36
    assert len(open_store(data).spectrograms()) == 36


@settings(max_examples=200, deadline=None)
@given(
    frames=st.integers(1, 20_000_000),
    rate=st.integers(1000, 192_000),
    seconds=st.sampled_from([0.333333, 1.0, 2.97, 3.0, 10.0]) | st.floats(0.1, 30.0),
    overlap=st.sampled_from([0.0, 0.5, 1 / 3, 0.9]),
    tail=st.sampled_from(["shift", "pad", "drop"]),
)
def test_a_start_is_the_same_after_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, frames: int, rate: int, seconds: float, overlap: float, tail: Any
) -> None:
    config = SegmentConfig(seconds=seconds, overlap=overlap, tail=tail, min_tail=0.01, min_seconds=0.0)
    clip = Clip(id="a.wav", label="a", group="a")
    length = min(frames / rate, 300.0)
    segments = [Segment(clip=clip, start=start, seconds=seconds) for start in segment_starts(length, config)]
    path = tmp_path_factory.getbasetemp() / "starts.csv"
    write_segments(path, segments)
    assert [one.start for one in read_segments_csv(path, [clip])] == [one.start for one in segments]
    assert all(float(tags(RenderConfig(), one, "")["start"]) == one.start for one in segments)


def test_clips_of_an_uneven_length_have_features(tmp_path: Path, tone: Tone, write_audio: WriteAudio) -> None:
    config = RenderConfig(segment=SegmentConfig(seconds=10.0))
    for label in ("a", "b"):
        write_audio(tmp_path / "source" / label / "1.wav", tone(25.00005))
    data = render(tmp_path / "source", out=tmp_path / "data", config=config, workers=1).data
    extracted = extract(data, "rms", workers=1)
    assert extracted.failed == ()
    assert [segment.start for segment in extracted.store.segments[:3]] == [0.0, 10.0, 15.0]


def test_names_that_a_spreadsheet_would_run_are_defused_in_the_table(tmp_path: Path) -> None:
    clip = Clip(id="-a.wav", label="=1+2", group="@home")
    write_feature_table(
        tmp_path / "out.csv", [Segment(clip=clip, start=0, seconds=1)], ["rms"], np.array([[-1.5]], np.float32)
    )
    row = read_csv(tmp_path / "out.csv", ("clip", "label", "group", "rms"))[0]
    assert (row["clip"], row["label"], row["group"], row["rms"]) == ("'-a.wav", "'=1+2", "'@home", "-1.5")


def test_a_list_of_failures_that_is_not_of_the_values_is_written_again(data: Path) -> None:
    store = extract(data, "rms", workers=1).store
    path = store.path / "failed.csv"
    whole = path.read_bytes()
    write_failures(path, (Failure(path="hum/gone.wav", reason="missing", seconds=0, message="gone"),))
    for _ in range(2):
        assert extract(data, "rms", workers=1).made == 0
        assert path.read_bytes() == whole
        path.unlink(missing_ok=True)
