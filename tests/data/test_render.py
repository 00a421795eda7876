"""Rendering: the same pictures however it is run, nothing done twice, nothing stale reused, nothing lost silently."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import librosa
import numpy as np
import pytest
import soundfile
from PIL import Image

from spectro.core.config import MelConfig, RenderConfig, SegmentConfig
from spectro.core.errors import AudioError, DataError
from spectro.core.tables import read_clips
from spectro.data import png
from spectro.data.estimate import estimate_rendering
from spectro.data.render import render, render_clip
from spectro.data.store import open_store


@pytest.fixture
def source(tmp_path, corpus):
    """Six clips of two classes that a test may spoil."""
    root = tmp_path / "source"
    for label in ("hum", "hiss"):
        (root / label).mkdir(parents=True)
        for take in range(3):
            [file] = corpus.glob(f"{label}/{label}-{take}-0.*")
            shutil.copy(file, root / label)
    return root


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def rows(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_it_writes_tables_and_self_describing_pictures(rendered, small):
    store = open_store(rendered)
    assert len(store.segments) == 72
    assert {segment.clip.label for segment in store.segments} == {"chirp", "hiss", "hum", "pulse"}
    assert all(clip.seconds == pytest.approx(3) for clip in read_clips(rendered / "clips.csv"))
    assert rows(rendered / "failed.csv") == []
    segment = store.segments[4]
    with Image.open(store.picture_path(segment)) as image:
        assert (image.mode, image.size) == ("L", (44, 32))
        text = image.text
    assert text["config_id"] == store.config_id == small.config_id()
    assert RenderConfig.from_dict(json.loads(text["config"])) == small
    assert text["source"] == segment.clip.id
    assert float(text["start"]) == segment.start == 1.0


def test_files_hold_exactly_what_render_clip_yields(rendered, corpus_csv, small):
    store = open_store(rendered)
    pictures = store.pictures()
    assert pictures.shape == (72, 32, 44)
    root = json.loads((rendered / "source.json").read_text())["root"]
    for item, segment in enumerate(store.segments[:9]):
        made = dict(render_clip(f"{root}/{segment.clip.id}", small))
        np.testing.assert_array_equal(pictures[item], made[segment.start])
        np.testing.assert_array_equal(np.asarray(Image.open(store.picture_path(segment))), made[segment.start])


def test_pictures_agree_with_librosa_from_the_file_on(corpus, write_audio, tmp_path, noise, tone):
    config = RenderConfig(segment=SegmentConfig(seconds=2.0))
    stereo = np.stack([tone(5, 300, 44100), noise(5, 44100)], axis=1)
    files = [write_audio(tmp_path / f"a.{suffix}", stereo, 44100) for suffix in ("wav", "flac", "ogg", "mp3")]
    for path in files:
        decoded = librosa.to_mono(soundfile.read(path, dtype="float32")[0].T)  # what librosa.load does
        samples = librosa.resample(decoded, orig_sr=44100, target_sr=22050)
        for start, picture in render_clip(path, config):
            part = samples[round(start * 22050) :][:44100]
            power = librosa.feature.melspectrogram(y=part, sr=22050)
            db = librosa.power_to_db(power, ref=np.max, top_db=80)
            theirs = np.floor((db[::-1] + 80) / 80 * 255 + 0.5)
            assert np.abs(picture - theirs).max() <= 1


def test_processes_make_the_same_files_as_one(source, tmp_path, small):
    one = render(source, out=tmp_path / "one", config=small, workers=1)
    two = render(source, out=tmp_path / "two", config=small, workers=2, progress=True)
    assert one.made == two.made == 18
    assert contents(one.data) == contents(two.data)


def test_a_second_run_reuses_everything_and_repairs_only_what_is_missing(source, tmp_path, small):
    first = render(source, out=tmp_path / "data", config=small, workers=1)
    before = contents(first.data)
    again = render(source, out=tmp_path / "data", config=small, workers=1)
    assert (again.made, again.reused) == (0, 18)
    lost, cut = first.store.segments[3], first.store.segments[7]
    first.store.picture_path(lost).unlink()
    whole = first.store.picture_path(cut).read_bytes()
    first.store.picture_path(cut).write_bytes(whole[:-30])
    (first.data / ".123.tmp").write_text("half")
    repaired = render(source, out=tmp_path / "data", config=small, workers=1)
    assert (repaired.made, repaired.reused) == (2, 16)
    assert contents(first.data) == before


def test_a_changed_source_file_is_noticed(source, tmp_path, small, tone, write_audio):
    render(source, out=tmp_path / "data", config=small, workers=1)
    write_audio(source / "hum" / "hum-0-0.wav", tone(2.0, 999))
    again = render(source, out=tmp_path / "data", config=small, workers=1)
    assert again.made == 2
    starts = [s.start for s in again.store.segments if s.clip.id == "hum/hum-0-0.wav"]
    assert starts == [0.0, 1.0]


def test_a_changed_setting_stands_beside_the_old_one(source, tmp_path, small):
    other = replace(small, mel=replace(small.mel, n_mels=16))
    first = render(source, out=tmp_path / "data", config=small, workers=1)
    second = render(source, out=tmp_path / "data", config=other, workers=1)
    assert second.made == 18
    assert open_store(first.data, small.config_id()).pictures().shape == (18, 32, 44)
    assert open_store(first.data, other.config_id()).pictures().shape == (18, 16, 44)
    with pytest.raises(DataError, match=r"mel.n_mels: \d+ in .*, \d+ in") as caught:
        open_store(first.data)
    assert small.config_id() in str(caught.value)
    with pytest.raises(DataError, match="no pictures with config_id 0123"):
        open_store(first.data, "0123")


def test_another_source_is_refused(source, corpus, tmp_path, small):
    render(source, out=tmp_path / "data", config=small, workers=1)
    with pytest.raises(DataError, match=r"holds pictures of .*source .*give another --out"):
        render(corpus, out=tmp_path / "data", config=small, workers=1)


def test_packed_pictures_follow_their_pngs(source, tmp_path, small):
    store = render(source, out=tmp_path / "data", config=small, workers=1).store
    assert not store.pictures().flags.writeable
    path = store.picture_path(store.segments[5])
    tags = png.read_tags(path)
    png.write(path, np.full((32, 44), 7, np.uint8), tags)
    assert (store.pictures()[5] == 7).all()
    png.write(path, np.full((32, 40), 7, np.uint8), tags)
    with pytest.raises(DataError, match=r"measures \(32, 40\), not \(32, 44\)"):
        store.pictures()
    png.write(path, np.full((32, 44), 7, np.uint8), {**tags, "config_id": "another"})
    with pytest.raises(DataError, match="carries the config_id another"):
        store.pictures()
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match="is damaged"):
        store.pictures()
    path.unlink()
    with pytest.raises(DataError, match=r"is missing; run `spectro render` again"):
        store.pictures()


@pytest.fixture
def spoilt(source, noise, write_audio):
    """The source with one file of every fault."""
    write_audio(source / "bad" / "silent.wav", np.zeros(66150, np.float32))
    write_audio(source / "bad" / "blip.wav", noise(0.2))
    write_audio(source / "bad" / "second.wav", noise(1.0))
    nan = noise(2.0)
    nan[30000] = np.nan
    write_audio(source / "bad" / "nan.wav", nan, subtype="FLOAT")
    (source / "bad" / "text.wav").write_text("not found")
    (source / "bad" / "zero.wav").write_bytes(b"")
    cut = write_audio(source / "bad" / "cut.mp3", noise(3.0))
    cut.write_bytes(cut.read_bytes()[:-10000])
    return source


def test_faulty_files_are_reported_and_the_rest_is_rendered(spoilt, tmp_path, small):
    done = render(spoilt, out=tmp_path / "data", config=small, workers=2)
    reasons = {f.path: f.reason for f in done.failed}
    assert reasons == {
        "bad/silent.wav": "silent",
        "bad/blip.wav": "too-short",
        "bad/nan.wav": "not-finite",
        "bad/text.wav": "unreadable",
        "bad/zero.wav": "empty",
        "bad/cut.mp3": "truncated",
    }
    table = {row["path"]: row for row in rows(done.data / "failed.csv")}
    assert {path: row["reason"] for path, row in table.items()} == reasons
    assert float(table["bad/silent.wav"]["seconds"]) == 3
    assert all("\n" not in row["message"] and row["message"] for row in table.values())
    assert not {s.clip.id for s in done.store.segments} & set(reasons)
    assert "bad/second.wav" in {s.clip.id for s in done.store.segments}
    assert len(list(done.store.path.rglob("*.png"))) == len(done.store.segments) == 19
    again = render(spoilt, out=tmp_path / "data", config=small, workers=1)
    assert (again.made, again.failed) == (0, done.failed)


def test_strict_stops_at_the_first_fault_and_exclude_leaves_faults_out(spoilt, tmp_path, small):
    with pytest.raises(AudioError, match="bad/"):
        render(spoilt, out=tmp_path / "strict", config=small, strict=True, workers=1)
    done = render(spoilt, out=tmp_path / "data", config=small, workers=1)
    clean = render(
        spoilt, out=tmp_path / "clean", config=small, exclude=done.data / "failed.csv", strict=True, workers=2
    )
    assert not clean.failed
    assert len(clean.store.segments) == 19
    (tmp_path / "stale.csv").write_text("path\nelsewhere.wav\n")
    with pytest.raises(DataError, match="names no clip of"):
        render(spoilt, out=tmp_path / "data", config=small, exclude=tmp_path / "stale.csv")


def test_silence_within_a_clip_is_black(tmp_path, noise, write_audio, small):
    quiet = np.zeros(22050, np.float32)
    path = write_audio(tmp_path / "a.wav", np.concatenate([quiet, noise(1.0), quiet]))
    pictures = dict(render_clip(path, small))
    assert list(pictures) == [0.0, 1.0, 2.0]
    assert not pictures[0.0].any()
    assert pictures[1.0].max() == 255
    assert not pictures[2.0][:, 2:].any()


def test_a_missing_file_in_a_csv_is_a_failure_of_that_clip(tmp_path, noise, write_audio, small):
    write_audio(tmp_path / "a.wav", noise(1.0))
    (tmp_path / "clips.csv").write_text("path,label\na.wav,x\nb.wav,y\n")
    done = render(tmp_path / "clips.csv", out=tmp_path / "data", config=small)
    assert [(f.path, f.reason) for f in done.failed] == [("b.wav", "missing")]
    (tmp_path / "clips.csv").write_text("path,label\nc.wav,x\nb.wav,y\n")
    with pytest.raises(DataError, match=r"none of 2 clips could be rendered: .*b.wav does not exist .*failed.csv"):
        render(tmp_path / "clips.csv", out=tmp_path / "data", config=small)


def test_labels_and_names_of_any_kind_survive(tmp_path, noise, write_audio, small):
    names = ['drum & bass, 90s/it\'s "it".wav', "žluťoučký kůň/日本.flac", "a b/c@d #1%.ogg"]
    for name in names:
        write_audio(tmp_path / "in" / name, noise(1.0))
    store = render(tmp_path / "in", out=tmp_path / "data", config=small, workers=2).store
    assert sorted(s.clip.id for s in store.segments) == sorted(names)
    assert store.pictures().shape[0] == 3
    assert png.read_tags(store.picture_path(store.segments[-1]))["source"] == store.segments[-1].clip.id


def test_missing_or_unfinished_data_says_what_to_run(source, tmp_path, small):
    with pytest.raises(DataError, match="spectro render SOURCE --out"):
        open_store(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no rendered pictures"):
        open_store(tmp_path / "empty")
    done = render(source, out=tmp_path / "data", config=small, workers=1)
    (done.store.path / "segments.csv").unlink()
    with pytest.raises(DataError, match="did not finish"):
        open_store(done.data)
    settings = done.store.path / "config.json"
    settings.write_text(settings.read_text().replace("22050", "16000"))
    with pytest.raises(DataError, match="was changed after rendering"):
        open_store(done.data)


def test_a_folder_that_cannot_be_written_is_one_line(source, tmp_path, small):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="is a file"):
        render(source, out=tmp_path / "file", config=small)
    render(source, out=tmp_path / "data", config=small, workers=1)
    target = tmp_path / "data" / f"mel-{small.config_id()}" / "hum"
    shutil.rmtree(target)
    target.write_text("in the way")
    for workers in (1, 2):
        with pytest.raises(DataError, match="cannot write"):
            render(source, out=tmp_path / "data", config=small, workers=workers)


def test_a_plan_writes_nothing_and_comes_near(spoilt, tmp_path, small):
    before = contents(tmp_path)
    planned = estimate_rendering(spoilt, config=small, workers=1)
    assert contents(tmp_path) == before
    done = render(spoilt, out=tmp_path / "data", config=small, workers=1)
    written = sum(done.store.picture_path(s).stat().st_size for s in done.store.segments)
    assert planned.clips >= 7
    assert planned.segments >= len(done.store.segments)
    assert planned.picture_bytes == pytest.approx(written, rel=0.5)
    assert planned.packed_bytes == planned.segments * 32 * 44
    assert {f.path for f in planned.failed} >= {"bad/text.wav", "bad/zero.wav", "bad/blip.wav"}
    assert planned.seconds > 0


def test_a_worker_needs_no_heavy_library():
    heavy = ("torch", "timm", "sklearn", "matplotlib", "librosa", "pandas")
    code = (
        f"import sys, spectro.data.engines.local, spectro.data.render; print([n for n in {heavy} if n in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert out.stdout.strip() == "[]"


def test_it_works_from_a_script_without_a_guard(source, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from spectro.data.render import render\n"
        f"done = render({str(source)!r}, out={str(tmp_path / 'data')!r}, workers=2)\n"
        "print(done.made)\n"
    )
    out = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert out.stdout == "6\n"


def test_defaults_make_the_pictures_the_field_knows(source, tmp_path):
    store = render(source, out=tmp_path / "data", workers=1).store
    assert store.config == RenderConfig(mel=MelConfig(), segment=SegmentConfig())
    assert store.pictures().shape == (6, 128, 431)
