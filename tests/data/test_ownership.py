"""Nothing that belongs to others is replaced or removed, and two renderings of one folder never mix."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from spectro.core.config import RenderConfig
from spectro.core.errors import AudioError, BusyError, DataError
from spectro.core.files import HOST
from spectro.core.locks import writing
from spectro.data.audit import audit
from spectro.data.check import check_audio
from spectro.data.features import extract
from spectro.data.preview import contact_sheet
from spectro.data.render import render
from spectro.data.splits import split
from spectro.data.store import open_store

DEAD = f".{HOST}-999999999-0.tmp"


def test_a_folder_of_others_is_not_rendered_into(source: Path, tmp_path: Path, small: RenderConfig) -> None:
    run, notes = tmp_path / "run", tmp_path / "notes"
    run.mkdir()
    (run / "card.json").write_text("{}")
    notes.mkdir()
    (notes / "clips.csv").write_text("path,label\n")
    for folder, message in ((run, "is the folder of a run"), (notes, "is no data folder"), (source, "no data folder")):
        before = sorted(folder.iterdir())
        with pytest.raises(DataError, match=f"{message}.*choose another --out"):
            render(source, out=folder, config=small, workers=1)
        assert sorted(folder.iterdir()) == before
    assert (notes / "clips.csv").read_text() == "path,label\n"


def test_what_a_killed_rendering_began_is_taken_over(source: Path, tmp_path: Path, small: RenderConfig) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for name in (".lock", ".owner.json", DEAD):
        (data / name).touch()
    assert render(source, out=data, config=small, workers=1).made == 18
    assert not (data / DEAD).exists()


def test_only_files_of_dead_processes_in_its_own_folders_are_removed(
    source: Path, tmp_path: Path, small: RenderConfig
) -> None:
    first = render(source, out=tmp_path / "data", config=small, workers=1)
    alive = f".{HOST}-{os.getppid()}-3.tmp"
    own, other = first.store.path / "hum", first.data / "features" / "rms-0123"
    other.mkdir(parents=True)
    for folder in (first.data, own, other):
        for name in (alive, DEAD, ".notes.tmp"):
            (folder / name).write_text("half")
    render(source, out=tmp_path / "data", config=small, workers=1)
    for folder in (first.data, own):
        assert (folder / alive).exists()
        assert (folder / ".notes.tmp").exists()
        assert not (folder / DEAD).exists()
    assert (other / DEAD).exists()


def test_the_next_command_clears_what_a_killed_one_left(source: Path, tmp_path: Path, small: RenderConfig) -> None:
    data = render(source, out=tmp_path / "data", config=small, workers=1).data
    split(data)
    features = extract(data, "rms", workers=1).store.path
    (features / "done.csv").unlink()
    folders = (data, data / "splits", open_store(data).path, features)
    for folder in folders:
        (folder / DEAD).write_text("half")
    split(data)
    audit(data, workers=1)
    open_store(data).spectrograms()
    extract(data, "rms", workers=1)
    assert not [folder for folder in folders if (folder / DEAD).exists()]


HOLD = """
import sys, time
from pathlib import Path
from spectro.core.locks import writing
with writing(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_rendering_names_the_first(source: Path, tmp_path: Path, small: RenderConfig) -> None:
    data = tmp_path / "data"
    with subprocess.Popen([sys.executable, "-c", HOLD, data], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(BusyError, match=f"is written by process {holder.pid} on"):
            render(source, out=data, config=small, workers=1)
        holder.kill()
    assert render(source, out=data, config=small, workers=1).made == 18


def test_features_wait_for_another_process(
    source: Path, tmp_path: Path, small: RenderConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = render(source, out=tmp_path / "data", config=small, workers=1).data
    path = extract(data, "rms", workers=1).store.path
    monkeypatch.setattr("spectro.data.features.PATIENCE", 0.0)
    with writing(path):
        assert extract(data, "rms", workers=1).made == 0  # what is complete needs no lock
        (path / "done.csv").unlink()
        with pytest.raises(BusyError, match="is written by process"):
            extract(data, "rms", workers=1)


@pytest.mark.slow
def test_lists_and_drawings_replace_only_their_like(rendered: Path, source: Path, tmp_path: Path) -> None:
    other = tmp_path / "thesis.csv"
    other.write_text("chapter,words\n1,2000\n")
    with pytest.raises(DataError, match="not a list of bad files"):
        check_audio(source, bad_files=other, workers=1)
    with pytest.raises(DataError, match="not a contact sheet"):
        contact_sheet(rendered, other)
    with pytest.raises(DataError, match="not a table of features"):
        extract(rendered, "stats", workers=1).store.export(other)
    assert other.read_text() == "chapter,words\n1,2000\n"
    for _ in range(2):
        check_audio(source, bad_files=tmp_path / "bad.csv", workers=1)
        contact_sheet(rendered, tmp_path / "sheet.png")


def test_a_rendering_that_stops_leaves_nothing_half_written(source: Path, tmp_path: Path, small: RenderConfig) -> None:
    first = render(source, out=tmp_path / "data", config=small, workers=1)
    (first.store.path / "hum" / DEAD).touch()  # of a worker that was killed
    (source / "hum" / "text.wav").write_text("not a sound")
    with pytest.raises(AudioError):
        render(source, out=tmp_path / "data", config=small, workers=2, strict=True)
    assert not list((tmp_path / "data").rglob("*.tmp"))
