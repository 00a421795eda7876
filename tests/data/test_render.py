"""Rendering: the same images however it is run, nothing done twice, nothing stale reused, no fault unreported."""

from __future__ import annotations

import csv
import json
import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile
from PIL import Image

from spectro.core.config import MelConfig, RenderConfig, SegmentConfig
from spectro.core.data_folder import DataFolder
from spectro.core.errors import AudioError, DataError, StorageError
from spectro.core.files import HOST
from spectro.data import png
from spectro.data.render import render, render_clip
from spectro.data.store import open_store
from tests.conftest import Noise, Tone, WriteAudio

Contents = Callable[[Path], dict[str, bytes]]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_it_writes_tables_and_self_describing_images(rendered: Path, small: RenderConfig) -> None:
    store = open_store(rendered)
    assert len(store.segments) == 72
    assert {segment.clip.label for segment in store.segments} == {"chirp", "hiss", "hum", "pulse"}
    assert all(clip.seconds == pytest.approx(3) for clip in DataFolder.open(rendered).clips)
    assert rows(rendered / "failed.csv") == []
    segment = store.segments[4]
    with Image.open(store.picture_path(segment)) as image:
        assert (image.mode, image.size) == ("L", (44, 32))
        text = image.text  # type: ignore[attr-defined]  # a PNG has it
    assert text["config_id"] == store.config_id == small.config_id()
    assert RenderConfig.from_dict(json.loads(text["config"])) == small
    assert text["source"] == segment.clip.id
    assert float(text["start"]) == segment.start == 1.0


def test_files_are_exactly_what_render_clip_yields(rendered: Path, small: RenderConfig) -> None:
    store = open_store(rendered)
    images = store.spectrograms()
    assert images.shape == (72, 32, 44)
    root = DataFolder.open(rendered).source_root()
    for item, segment in enumerate(store.segments[:9]):
        expected = dict(render_clip(root / segment.clip.id, small))[segment.start]
        np.testing.assert_array_equal(images[item], expected)
        np.testing.assert_array_equal(np.asarray(Image.open(store.picture_path(segment))), expected)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_images_agree_with_librosa(
    suffix: str, write_audio: WriteAudio, tmp_path: Path, noise: Noise, tone: Tone
) -> None:
    stereo = np.stack([tone(5, 300, 44100), noise(5, 44100)], axis=1)
    path = write_audio(tmp_path / f"a.{suffix}", stereo, 44100)
    decoded = librosa.to_mono(soundfile.read(path, dtype="float32")[0].T)  # what librosa.load does
    samples = librosa.resample(decoded, orig_sr=44100, target_sr=22050)
    for start, image in render_clip(path, RenderConfig(segment=SegmentConfig(seconds=2.0))):
        part = samples[round(start * 22050) :][:44100]
        power = librosa.feature.melspectrogram(y=part, sr=22050)
        db = librosa.power_to_db(power, ref=np.max, top_db=80)
        expected = np.floor((db[::-1] + 80) / 80 * 255 + 0.5)
        assert np.abs(image - expected).max() <= 1


def test_processes_make_the_same_files_as_one(
    source: Path, tmp_path: Path, small: RenderConfig, contents: Contents
) -> None:
    one = render(source, out=tmp_path / "one", config=small, workers=1)
    two = render(source, out=tmp_path / "two", config=small, workers=2, progress=True)
    assert one.made == two.made == 18
    assert contents(one.data) == contents(two.data)


def test_a_second_run_repairs_only_what_is_missing(
    source: Path, tmp_path: Path, small: RenderConfig, contents: Contents
) -> None:
    first = render(source, out=tmp_path / "data", config=small, workers=1)
    before = contents(first.data)
    again = render(source, out=tmp_path / "data", config=small, workers=1)
    assert (again.made, again.reused) == (0, 18)
    lost, cut = first.store.segments[3], first.store.segments[7]
    first.store.picture_path(lost).unlink()
    whole = first.store.picture_path(cut).read_bytes()
    first.store.picture_path(cut).write_bytes(whole[:-30])
    (first.data / f".{HOST}-999999999-0.tmp").write_text("half")
    repaired = render(source, out=tmp_path / "data", config=small, workers=1)
    assert (repaired.made, repaired.reused) == (2, 16)
    assert contents(first.data) == before


def test_a_changed_source_file_is_noticed(
    source: Path, tmp_path: Path, small: RenderConfig, tone: Tone, write_audio: WriteAudio
) -> None:
    render(source, out=tmp_path / "data", config=small, workers=1)
    write_audio(source / "hum" / "hum-0-0.wav", tone(2.0, 999))
    again = render(source, out=tmp_path / "data", config=small, workers=1)
    assert again.made == 2
    starts = [segment.start for segment in again.store.segments if segment.clip.id == "hum/hum-0-0.wav"]
    assert starts == [0.0, 1.0]


def test_a_damaged_png_is_found_and_repaired(source: Path, tmp_path: Path, small: RenderConfig) -> None:
    first = render(source, out=tmp_path / "data", config=small, workers=1)
    before = np.array(first.store.spectrograms())
    path = first.store.picture_path(first.store.segments[7])
    whole, chance = path.read_bytes(), random.Random(0)
    contents = [b"", bytes(len(whole)), whole[:-30], whole + b"x", whole[len(whole) // 2 :]]
    for _ in range(25):
        flipped = bytearray(whole)
        flipped[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        contents.append(bytes(flipped))
    other = Image.fromarray(np.zeros((32, 44), np.uint8))
    for content in [*contents, None]:
        path.write_bytes(content or b"")
        if content is None:
            other.save(path, format="PNG")
        with pytest.raises(DataError, match=f"{re.escape(str(path))} .*; run `spectro render` again"):
            open_store(first.data).spectrograms()
        assert render(source, out=first.data, config=small, workers=1).made == 1
        assert path.read_bytes() == whole
    assert np.array_equal(open_store(first.data).spectrograms(), before)


def test_a_source_of_equal_size_and_time_is_noticed(source: Path, tmp_path: Path, small: RenderConfig) -> None:
    render(source, out=tmp_path / "data", config=small, workers=1)
    path = source / "hum" / "hum-0-0.wav"
    status = path.stat()
    samples, rate = soundfile.read(path, dtype="int16")
    soundfile.write(path, samples[::-1], rate)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (status.st_size, status.st_mtime_ns)
    assert render(source, out=tmp_path / "data", config=small, workers=1).made == 3


def test_other_times_of_the_source_render_nothing(source: Path, tmp_path: Path, small: RenderConfig) -> None:
    render(source, out=tmp_path / "data", config=small, workers=1)
    for path in source.rglob("*.*"):
        path.write_bytes(path.read_bytes())
        os.utime(path, ns=(1, 1))
    assert render(source, out=tmp_path / "data", config=small, workers=1).made == 0


def test_another_source_is_refused(source: Path, corpus: Path, tmp_path: Path, small: RenderConfig) -> None:
    render(source, out=tmp_path / "data", config=small, workers=1)
    with pytest.raises(DataError, match=r"was rendered from .*source .*another --out"):
        render(corpus, out=tmp_path / "data", config=small, workers=1)


FAULTS = {
    "bad/silent.wav": "silent",
    "bad/blip.wav": "too-short",
    "bad/nan.wav": "not-finite",
    "bad/text.wav": "unreadable",
    "bad/zero.wav": "empty",
    "bad/cut.mp3": "truncated",
}


def test_faulty_files_are_reported_and_the_others_rendered(faulty: Path, tmp_path: Path, small: RenderConfig) -> None:
    rendering = render(faulty, out=tmp_path / "data", config=small, workers=2)
    assert {failure.path: failure.reason for failure in rendering.failed} == FAULTS
    table = {row["path"]: row for row in rows(rendering.data / "failed.csv")}
    assert {path: row["reason"] for path, row in table.items()} == FAULTS
    assert float(table["bad/silent.wav"]["seconds"]) == 3
    assert float(table["bad/text.wav"]["seconds"]) == 0
    assert all("\n" not in row["message"] and row["message"] for row in table.values())
    clips = {segment.clip.id for segment in rendering.store.segments}
    assert not clips & set(FAULTS)
    assert "bad/second.wav" in clips
    assert len(list(rendering.store.path.rglob("*.png"))) == len(rendering.store.segments) == 19
    again = render(faulty, out=tmp_path / "data", config=small, workers=1)
    assert (again.made, again.failed) == (0, rendering.failed)


def test_strict_stops_at_the_first_fault(faulty: Path, tmp_path: Path, small: RenderConfig) -> None:
    with pytest.raises(AudioError, match="bad/"):
        render(faulty, out=tmp_path / "strict", config=small, strict=True, workers=1)


def test_exclude_leaves_clips_out(faulty: Path, tmp_path: Path, small: RenderConfig) -> None:
    first = render(faulty, out=tmp_path / "data", config=small, workers=1)
    failed = first.data / "failed.csv"
    clean = render(faulty, out=tmp_path / "clean", config=small, exclude=failed, strict=True, workers=2)
    assert not clean.failed
    assert len(clean.store.segments) == 19
    (tmp_path / "stale.csv").write_text("path\nelsewhere.wav\n")
    with pytest.raises(DataError, match="names no clip of"):
        render(faulty, out=tmp_path / "data", config=small, exclude=tmp_path / "stale.csv")


def test_a_clip_that_kills_its_worker_is_a_failure(source: Path, tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "sys.path.insert(0, sys.argv[2])\n"  # workers use it too
        "import killer\n"
        "from spectro.data import render as module\n"
        "module.render_one = killer.render_one\n"
        "done = module.render(sys.argv[1], out=sys.argv[3], workers=2)\n"
        "print([(failure.path, failure.reason, failure.seconds) for failure in done.failed])\n"
    )
    (tmp_path / "killer.py").write_text(
        "import os, signal\n"
        "from spectro.data.engines import ClipTask\n"
        "from spectro.data.render import RenderedClip, RenderJob, render_one as original\n"
        "def render_one(job: RenderJob, task: ClipTask) -> RenderedClip:\n"
        "    if task.clip == 'hum/hum-0-0.wav':\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return original(job, task)\n"
    )
    command = [sys.executable, "-c", script, str(source), str(tmp_path), str(tmp_path / "data")]
    out = subprocess.run(command, capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[('hum/hum-0-0.wav', 'crashed', 0.0)]"


def test_silence_within_a_clip_is_black(
    tmp_path: Path, noise: Noise, write_audio: WriteAudio, small: RenderConfig
) -> None:
    quiet = np.zeros(22050, np.float32)
    path = write_audio(tmp_path / "a.wav", np.concatenate([quiet, noise(1.0), quiet]))
    images = dict(render_clip(path, small))
    assert list(images) == [0.0, 1.0, 2.0]
    assert not images[0.0].any()
    assert images[1.0].max() == 255
    assert not images[2.0][:, 2:].any()


def test_a_missing_file_is_a_failure_of_that_clip(
    tmp_path: Path, noise: Noise, write_audio: WriteAudio, small: RenderConfig
) -> None:
    write_audio(tmp_path / "a.wav", noise(1.0))
    (tmp_path / "clips.csv").write_text("path,label\na.wav,x\nb.wav,y\n")
    rendering = render(tmp_path / "clips.csv", out=tmp_path / "data", config=small)
    assert [(failure.path, failure.reason) for failure in rendering.failed] == [("b.wav", "missing")]
    (tmp_path / "clips.csv").write_text("path,label\nc.wav,x\nb.wav,y\n")
    with pytest.raises(DataError, match=r"none of 2 clips could be rendered: .*b.wav does not exist .*failed.csv"):
        render(tmp_path / "clips.csv", out=tmp_path / "data", config=small)


def test_labels_and_names_of_any_kind_survive(
    tmp_path: Path, noise: Noise, write_audio: WriteAudio, small: RenderConfig
) -> None:
    names = ['drum & bass, 90s/it\'s "it".wav', "žluťoučký kůň/日本.flac", "a b/c@d #1%.ogg"]
    for name in names:
        write_audio(tmp_path / "in" / name, noise(1.0))
    store = render(tmp_path / "in", out=tmp_path / "data", config=small, workers=2).store
    assert sorted(segment.clip.id for segment in store.segments) == sorted(names)
    assert store.spectrograms().shape[0] == 3
    tags = png.read_tags(store.picture_path(store.segments[-1]))
    assert tags is not None
    assert tags["source"] == store.segments[-1].clip.id


def test_a_folder_that_cannot_be_written_is_one_line(source: Path, tmp_path: Path, small: RenderConfig) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="is a file"):
        render(source, out=tmp_path / "file", config=small)
    render(source, out=tmp_path / "data", config=small, workers=1)
    target = tmp_path / "data" / f"mel-{small.config_id()}" / "hum"
    shutil.rmtree(target)
    target.write_text("in the way")
    for workers in (1, 2):
        with pytest.raises(StorageError, match=r"cannot write .* a file is in the place of a folder above it"):
            render(source, out=tmp_path / "data", config=small, workers=workers)


def test_a_worker_needs_no_heavy_library() -> None:
    heavy = ("torch", "timm", "sklearn", "matplotlib", "librosa", "pandas")
    code = (
        f"import sys, spectro.data.engines.local, spectro.data.render; print([n for n in {heavy} if n in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert out.stdout.strip() == "[]"


def test_it_works_from_a_script_without_a_guard(source: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from spectro.data.render import render\n"
        f"done = render({str(source)!r}, out={str(tmp_path / 'data')!r}, workers=2)\n"
        "print(done.made)\n"
    )
    out = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert out.stdout == "6\n"


def test_defaults_make_the_images_the_field_knows(source: Path, tmp_path: Path) -> None:
    store = render(source, out=tmp_path / "data", workers=1).store
    assert store.config == RenderConfig(mel=MelConfig(), segment=SegmentConfig())
    assert store.spectrograms().shape == (6, 128, 431)


def test_settings_side_by_side(source: Path, tmp_path: Path, small: RenderConfig) -> None:
    other = replace(small, mel=replace(small.mel, n_mels=16))
    first = render(source, out=tmp_path / "data", config=small, workers=1)
    assert render(source, out=tmp_path / "data", config=other, workers=1).made == 18
    assert open_store(first.data, small.config_id()).spectrograms().shape == (18, 32, 44)
    assert open_store(first.data, other.config_id()).spectrograms().shape == (18, 16, 44)
    with pytest.raises(DataError, match=r"mel.n_mels: \d+ in .*, \d+ in") as caught:
        open_store(first.data)
    assert small.config_id() in str(caught.value)
    with pytest.raises(DataError, match="no spectrograms with config_id 0123"):
        open_store(first.data, "0123")
