"""The tables of a data folder: edits of labels and groups count, everything else is noticed."""

from __future__ import annotations

import logging
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from spectro.core.config import RenderConfig
from spectro.core.data_folder import DataFolder
from spectro.core.errors import DataError, SpectroError
from spectro.core.tables import Clip
from spectro.data import tables
from spectro.data.audit import audit
from spectro.data.render import render
from spectro.data.rerender import rerender
from spectro.data.splits import split
from spectro.data.store import open_store
from spectro.training.dataset import TrainingData


@pytest.fixture
def data(rendered: Path, tmp_path: Path) -> DataFolder:
    return DataFolder.open(shutil.copytree(rendered, tmp_path / "data"))


def edit(data: DataFolder, change: Callable[[Clip], Clip]) -> None:
    data.write_clips(tuple(map(change, DataFolder(data.path).clips)))


def relabel(clip: Clip) -> Clip:
    return replace(clip, label="buzz") if clip.label == "hum" else clip


def test_an_edit_of_labels_counts_and_is_noted(data: DataFolder, caplog: pytest.LogCaptureFixture) -> None:
    assert not open_store(data).edited
    edit(data, relabel)
    store = open_store(data.path)
    assert store.edited
    assert {segment.clip.label for segment in store.segments} == {"buzz", "chirp", "hiss", "pulse"}
    open_store(data.path)
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert "clips.csv was edited since rendering" in record.getMessage()
    split(data.path)
    facts = TrainingData.open(data.path, "group").data_facts()
    assert facts.edited
    assert "buzz" in facts.labels


def test_an_edit_of_groups_counts(data: DataFolder) -> None:
    edit(data, lambda clip: replace(clip, group="all" if clip.label == "hum" else clip.group))
    assert open_store(data.path).edited


def test_the_order_of_the_rows_and_durations_are_no_edit(data: DataFolder) -> None:
    data.write_clips(tuple(replace(clip, seconds=3.01) for clip in reversed(data.clips)))
    assert not open_store(data.path).edited


def test_rendering_again_keeps_the_edits(data: DataFolder, corpus_csv: Path, small: RenderConfig) -> None:
    edit(data, relabel)
    for _ in range(2):
        assert render(corpus_csv, out=data.path, config=small, workers=1).store.edited
    assert {clip.label for clip in DataFolder(data.path).clips} == {"buzz", "chirp", "hiss", "pulse"}
    data.clips_path.unlink()
    assert not render(corpus_csv, out=data.path, config=small, workers=1).store.edited
    assert {clip.label for clip in DataFolder(data.path).clips} == {"hum", "chirp", "hiss", "pulse"}


def test_rows_that_are_missing_are_written_again_with_a_line(
    data: DataFolder, corpus_csv: Path, small: RenderConfig, caplog: pytest.LogCaptureFixture
) -> None:
    whole = data.clips_path.read_bytes()
    data.clips_path.write_bytes(whole[: whole.index(b"\n", len(whole) // 2) + 1])
    render(corpus_csv, out=data.path, config=small, workers=1)
    assert data.clips_path.read_bytes() == whole
    assert "clips.csv lacked" in caplog.text


def test_other_labels_in_the_source_are_no_edit(tmp_path: Path, source: Path, small: RenderConfig) -> None:
    table = tmp_path / "list.csv"
    rows = [f"{path},{path.parent.name}" for path in sorted(source.rglob("*.*"))]
    table.write_text("\n".join(["path,label", *rows]) + "\n")
    render(table, out=tmp_path / "data", config=small, workers=1)
    table.write_text(table.read_text().replace(",hum", ",buzz"))
    again = render(table, out=tmp_path / "data", config=small, workers=1)
    assert (again.made, again.store.edited) == (0, False)
    assert {segment.clip.label for segment in again.store.segments} == {"buzz", "hiss"}


def test_other_settings_inherit_the_edit(data: DataFolder, small: RenderConfig) -> None:
    edit(data, relabel)
    split(data.path)
    longer = replace(small, segment=replace(small.segment, seconds=1.5))
    assert rerender(data.path, longer, split="group", workers=1).store.edited


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda clips: clips[1:], "has other clips than were rendered"),
        (lambda clips: (*clips, replace(clips[0], id="new.wav")), "has other clips than were rendered"),
        (lambda clips: (replace(clips[0], id="new.wav"), *clips[1:]), "has other clips than were rendered"),
        (lambda clips: (replace(clips[0], id="../../etc/passwd"), *clips[1:]), "not inside its folder"),
        (lambda clips: (replace(clips[0], id="/etc/passwd"), *clips[1:]), "not inside its folder"),
        (lambda clips: (*clips, clips[0]), "twice"),
        (lambda clips: (replace(clips[0], label=" "), *clips[1:]), "has no label"),
        (lambda clips: (replace(clips[0], group=""), *clips[1:]), "has no group"),
        (lambda clips: (replace(clips[0], seconds=float("nan")), *clips[1:]), "lasts nan seconds"),
        (lambda clips: (replace(clips[0], seconds=-1.0), *clips[1:]), "lasts -1.0 seconds"),
    ],
)
def test_other_edits_are_refused(
    data: DataFolder, change: Callable[[tuple[Clip, ...]], tuple[Clip, ...]], message: str
) -> None:
    data.write_clips(change(data.clips))
    for use in (open_store, split, audit):
        with pytest.raises(DataError, match=message) as caught:
            use(data.path)
        assert "\n" not in str(caught.value)


def test_a_spoilt_table_is_kept_beside_the_new_one(data: DataFolder, corpus_csv: Path, small: RenderConfig) -> None:
    data.clips_path.write_text("clip;label\n")
    render(corpus_csv, out=data.path, config=small, workers=1)
    assert (data.path / "clips.csv.old").read_text() == "clip;label\n"
    assert len(open_store(data.path).segments) == 72


MACHINE = ("failed.csv", "clips.json", "source.json", "segments.csv", "segments.json", "sources.csv", "config.json")


@pytest.mark.parametrize("name", MACHINE)
def test_a_damaged_table_is_one_line_and_render_repairs_it(
    data: DataFolder, corpus_csv: Path, small: RenderConfig, name: str
) -> None:
    folder = data.rendered_path(small)
    path = folder / name if (folder / name).exists() else data.path / name
    whole, chance = path.read_bytes(), random.Random(name)
    contents: list[bytes | None] = [b"", bytes(len(whole)), *(whole[: len(whole) * part // 4] for part in (1, 2, 3))]
    for _ in range(10):
        flipped = bytearray(whole)
        flipped[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        contents.append(bytes(flipped))
    for content in [*contents, None]:
        path.unlink()
        if content is None:
            path.mkdir()
        elif content:
            path.write_bytes(content)
        else:
            path.touch()
        try:
            open_store(data.path)
            DataFolder(data.path).source_root()
        except SpectroError as error:
            assert name in str(error) or "did not finish" in str(error) or "source.json" in str(error)
            assert "\n" not in str(error)
        else:
            assert content == whole
        path.rmdir() if content is None else path.unlink()
        if name in ("config.json", "source.json"):  # these name their remedy: remove it and render again
            render(corpus_csv, out=data.path, config=small, workers=1)
        else:
            path.write_bytes(content or b"")
            render(corpus_csv, out=data.path, config=small, workers=1)
        assert path.read_bytes() == whole
        assert len(open_store(data.path).segments) == 72


def test_a_rendering_killed_amid_other_files_is_not_used(
    source: Path, tmp_path: Path, small: RenderConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = render(source, out=tmp_path / "data", config=small, workers=1).data
    shutil.copy(source / "hum" / "hum-0-0.wav", source / "hiss" / "hiss-0-0.wav")

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("spectro.data.render.keep_edits", die)
        with pytest.raises(KeyboardInterrupt):
            render(source, out=data, config=small, workers=1)
    with pytest.raises(DataError, match="of another version of its clip; run `spectro render` again"):
        open_store(data).spectrograms()
    assert render(source, out=data, config=small, workers=1).made == 0
    assert open_store(data).spectrograms().shape == (18, 32, 44)


def test_the_note_of_an_edit_is_written_once_a_process(data: DataFolder, caplog: pytest.LogCaptureFixture) -> None:
    edit(data, relabel)
    for _ in range(3):
        tables.require_tables(DataFolder(data.path))
    assert len(caplog.records) == 1
