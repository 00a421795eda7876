"""Hostile sources: pipes, sockets, long names and names that lead elsewhere are a line each, and never opened."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import pytest

from spectro.core.config import RenderConfig
from spectro.core.errors import DataError
from spectro.data.audit import audit
from spectro.data.check import check_audio
from spectro.data.estimate import estimate_rendering
from spectro.data.features import extract
from spectro.data.layouts import scan
from spectro.data.render import render
from tests.conftest import Tone, WriteAudio

pytestmark = pytest.mark.skipif(os.name == "nt", reason="makes pipes and sockets")


@pytest.fixture
def hostile(source: Path) -> Iterator[Path]:
    """The source with a named pipe, a socket and a folder that are called like sound."""
    (source / "odd").mkdir()
    os.mkfifo(source / "odd" / "pipe.wav")
    os.mkfifo(source / "odd" / "pipe.mp3")
    with socket.socket(socket.AF_UNIX) as listener:
        with chdir(source / "odd"):  # the path of a socket must be short
            listener.bind("socket.wav")
        yield source


ODD = {f"odd/{name}" for name in ("pipe.wav", "pipe.mp3", "socket.wav")}


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_what_is_no_file_is_reported_and_not_opened(
    hostile: Path, tmp_path: Path, small: RenderConfig, workers: int
) -> None:
    rendering = render(hostile, out=tmp_path / "data", config=small, workers=workers)
    assert {failure.path: failure.reason for failure in rendering.failed} == dict.fromkeys(ODD, "unreadable")
    assert any("is a named pipe" in failure.message for failure in rendering.failed)
    assert len(rendering.store.segments) == 18
    assert {one.path for one in check_audio(hostile, workers=workers).findings if one.unusable} == ODD
    assert {failure.path for failure in estimate_rendering(hostile, config=small, workers=workers).failed} == ODD
    assert set(audit(rendering.data, workers=workers).unread) == ODD


def test_a_file_that_became_a_pipe_has_no_features(source: Path, tmp_path: Path, small: RenderConfig) -> None:
    data = render(source, out=tmp_path / "data", config=small, workers=1).data
    extract(data, "rms", workers=1)
    lost = source / "hum" / "hum-0-0.wav"
    lost.unlink()
    os.mkfifo(lost)
    assert [failure.path for failure in extract(data, "rms", workers=1).failed] == ["hum/hum-0-0.wav"]
    assert list(audit(data, workers=1).unread) == ["hum/hum-0-0.wav"]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_name_that_is_too_long_is_a_failure(
    source: Path, tmp_path: Path, small: RenderConfig, tone: Tone, write_audio: WriteAudio, workers: int
) -> None:
    for size in (243, 244, 253):
        write_audio(source / "hum" / f"{'n' * (size - 4)}.wav", tone(2.0))
    rendering = render(source, out=tmp_path / "data", config=small, workers=workers)
    assert [failure.reason for failure in rendering.failed] == ["name-too-long"] * 2
    assert all("too long" in failure.message for failure in rendering.failed)
    assert len(rendering.store.segments) == 20
    assert not list((tmp_path / "data").rglob(".*.tmp"))


BAD_NAMES = ("../../x.wav", "/etc/passwd", "a/../../x.wav", "a\0b.wav")


@pytest.mark.parametrize("name", BAD_NAMES)
def test_layouts_refuse_names_that_lead_elsewhere(tmp_path: Path, name: str) -> None:
    esc, urban, hub = tmp_path / "esc", tmp_path / "urban", tmp_path / "hub"
    for folder in (esc / "meta", urban / "metadata", urban / "audio", hub):
        folder.mkdir(parents=True)
    (esc / "meta" / "esc50.csv").write_text(f"filename,fold,category,esc10,src_file\n{name},1,dog,True,1\n")
    (urban / "metadata" / "UrbanSound8K.csv").write_text(f"slice_file_name,fsID,fold,class\n{name},1,1/../..,dog\n")
    (hub / "metadata.csv").write_text(f"file_name,label\n{name},dog\n")
    for folder, layout in ((esc, "esc50"), (esc, "esc10"), (urban, "urbansound8k"), (hub, "audiofolder")):
        with pytest.raises(DataError, match=r"not inside its folder|is not a CSV table|holds NUL bytes"):
            scan(folder, layout)


def test_a_csv_layout_may_name_files_anywhere(source: Path, tmp_path: Path) -> None:
    (tmp_path / "lists").mkdir()
    table = tmp_path / "lists" / "clips.csv"
    table.write_text(f"path,label\n{source / 'hum' / 'hum-0-0.wav'},hum\n")
    assert [clip.id for clip in scan(table).clips] == ["hum-0-0.wav"]


@pytest.mark.parametrize("layout", ["csv", "esc50", "fma-small", "audiofolder"])
def test_a_huge_field_is_one_line(tmp_path: Path, layout: str) -> None:
    names = {"csv": "clips.csv", "esc50": "meta/esc50.csv", "fma-small": "tracks.csv", "audiofolder": "metadata.csv"}
    path = tmp_path / names[layout]
    path.parent.mkdir(exist_ok=True)
    (tmp_path / "fma_small").mkdir()
    path.write_text("path,label,filename,fold,category,esc10,src_file,file_name\n" + "x" * 200_000 + ",b,c,d,e,f,g,h\n")
    with pytest.raises(DataError, match=r"field larger than field limit"):
        scan(tmp_path, layout)


def test_a_clip_that_is_listed_twice_or_without_label_is_refused(tmp_path: Path) -> None:
    (tmp_path / "meta").mkdir()
    table = tmp_path / "meta" / "esc50.csv"
    head = "filename,fold,category,esc10,src_file\n"
    table.write_text(head + "1-1-A-1.wav,1,dog,True,1\n" * 2)
    with pytest.raises(DataError, match="twice"):
        scan(tmp_path, "esc50")
    table.write_text(head + "1-1-A-1.wav,1,,True,1\n")
    with pytest.raises(DataError, match="no label"):
        scan(tmp_path, "esc50")


def test_a_torn_table_of_tracks_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "fma_small").mkdir()
    rows = ["x,set,set,artist,track", "x,split,subset,id,genre_top", "track_id,,,,", "2,training,sm"]
    (tmp_path / "tracks.csv").write_text("\n".join(rows))
    with pytest.raises(DataError, match="breaks off in track 2"):
        scan(tmp_path, "fma-small")


def test_a_data_folder_with_names_that_lead_elsewhere_writes_nothing(rendered: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(rendered, tmp_path / "data"))
    table = data / "clips.csv"
    table.write_text(table.read_text().replace("chirp/chirp-0-0.wav", "../../chirp-0-0.wav"))
    for use in (extract, audit):
        with pytest.raises(DataError, match="not inside its folder"):
            use(data)
