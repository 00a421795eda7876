"""render on the command line: what changed in the source since, what is odd, and what is removed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from spectro.core.data_folder import DataFolder
from spectro.data.store import open_store
from tests.conftest import Noise, Tone, WriteAudio

Spectro = Callable[..., tuple[int, str, str]]


@pytest.fixture
def music(tmp_path: Path, corpus: Path) -> Path:
    """A CSV of eight clips of two classes, in four groups, beside their files."""
    rows = ["path,label,group"]
    for label in ("hum", "hiss"):
        (tmp_path / "music" / label).mkdir(parents=True)
        for path in sorted(corpus.glob(f"{label}/*-[01]-*.*")):
            shutil.copy(path, tmp_path / "music" / label)
            rows.append(f"{label}/{path.name},{label},{label}-{path.stem.split('-')[1]}")
    (tmp_path / "music" / "clips.csv").write_text("\n".join(rows) + "\n")
    return tmp_path / "music"


@pytest.fixture
def render(tmp_path: Path, spectro: Spectro) -> Spectro:
    """`render(source, *options)` into the data folder `data`."""
    settings = ("--seconds", 1, "--n-mels", 16, "--n-fft", 512, "--workers", 1)
    return lambda source, *options: spectro("render", source, "--out", tmp_path / "data", *settings, *options)


def edit(table: Path, change: Callable[[str], str]) -> None:
    table.write_text(change(table.read_text()))


def test_every_change_of_the_source_is_counted(
    music: Path, render: Spectro, tone: Tone, write_audio: WriteAudio
) -> None:
    table = music / "clips.csv"
    code, out, _ = render(table)
    assert (code, out.count("\n")) == (0, 1)
    assert "24 new" in out
    assert "clips:" not in render(table)[1]
    renamed, relabelled, changed = sorted((music / "hum").iterdir())[:3]
    removed, regrouped = sorted((music / "hiss").iterdir())[:2]
    renamed.rename(renamed.with_stem("new"))
    write_audio(changed, tone(3.0))
    removed.unlink()
    write_audio(music / "buzz" / "buzz.wav", tone(2.0, 50))
    rows = [row.split(",") for row in table.read_text().splitlines() if removed.name not in row]
    for row in rows:
        row[0] = row[0].replace(renamed.name, renamed.with_stem("new").name)
        row[1] = "drone" if relabelled.name in row[0] else row[1]
        row[2] = "other" if regrouped.name in row[0] else row[2]
    table.write_text("\n".join(map(",".join, [*rows, ["buzz/buzz.wav", "buzz", "b"]])) + "\n")
    code, out, err = render(table)
    assert code == 0, err
    first, second = out.splitlines()
    assert first == "8 clips: 1 added, 1 removed, 1 renamed, 1 relabelled, 1 regrouped, 1 changed, 3 as before"
    assert "(8 new, 15 reused)" in second
    changes = json.loads(render(table, "--json")[1])["changes"]
    assert changes["clips"] == 8
    assert not any(count for name, count in changes.items() if name != "clips")


def test_a_file_in_the_folder_of_another_class_is_relabelled(music: Path, render: Spectro) -> None:
    render(music)
    path = next((music / "hum").iterdir())
    path.rename(music / "hiss" / path.name)
    assert render(music)[1].startswith("8 clips: 1 relabelled, 7 as before\n")


def test_edits_stay_and_other_rows_follow_the_source(music: Path, tmp_path: Path, render: Spectro) -> None:
    table = music / "clips.csv"
    render(table)
    first, second, *_ = DataFolder(tmp_path / "data").clips
    edit(tmp_path / "data" / "clips.csv", lambda text: text.replace(f"{first.id},hiss,", f"{first.id},steam,"))
    edit(table, lambda text: text.replace(f"{second.id},hiss,", f"{second.id},rain,"))
    assert render(table)[1].startswith("8 clips: 1 relabelled, 7 as before\n")
    labels = {clip.id: clip.label for clip in DataFolder(tmp_path / "data").clips}
    assert (labels[first.id], labels[second.id]) == ("steam", "rain")


def test_a_moved_or_copied_source_is_known_by_its_content(music: Path, tmp_path: Path, render: Spectro) -> None:
    render(music)
    moved = Path(shutil.copytree(music, tmp_path / "elsewhere", copy_function=shutil.copyfile))
    for path in moved.rglob("*.*"):
        os.utime(path, (1, 1))
    shutil.rmtree(music)
    code, out, _ = render(moved)
    assert code == 0
    assert out.startswith(f"8 clips: 8 as before (the source moved here from {music})\n")
    assert "(0 new, 24 reused)" in out
    assert DataFolder(tmp_path / "data").source_root() == moved
    assert "moved here" not in render(moved)[1]


def test_a_moved_source_of_other_content_must_be_named(
    music: Path, tmp_path: Path, render: Spectro, tone: Tone, write_audio: WriteAudio
) -> None:
    render(music)
    moved = music.rename(tmp_path / "elsewhere")
    for number, path in enumerate(sorted(moved.rglob("*-*.*"))):
        write_audio(path.with_suffix(".wav"), tone(3.0, 100 + number))
        if path.suffix != ".wav":
            path.unlink()
    code, _, err = render(moved)
    assert (code, err.count("\n")) == (2, 1)
    assert "add --source-moved" in err
    code, out, err = render(moved, "--source-moved")
    assert (code, "as before" in out) == (0, False), err
    assert len(open_store(tmp_path / "data").segments) == 24


def test_prune_removes_what_is_of_clips_that_are_gone_only(music: Path, tmp_path: Path, render: Spectro) -> None:
    render(music)
    data = DataFolder(tmp_path / "data")
    folder = open_store(data.path).path
    lost = sorted((music / "hum").iterdir())
    for path in lost:
        path.unlink()
    (music / "hum" / "left out.wav").write_bytes((music / "hiss" / "hiss-0-0.wav").read_bytes())
    mine = [folder / "hum" / "notes@0000.00.png", folder / "hiss" / "notes.txt", data.path / "hum@0000.00.png"]
    for path in mine:
        path.write_text("mine")
    exclude = tmp_path / "exclude.csv"
    exclude.write_text("path\nhiss/hiss-1-1.ogg\n")
    render(music)
    assert len(list(folder.rglob("*.png"))) == 24 + 3 + 1
    before = {path for path in data.path.rglob("*") if path.is_file()}
    code, out, err = render(music, "--prune", "--exclude", exclude)
    assert code == 0, err
    assert "removed 12 spectrograms of 4 clips that are gone" in out
    gone = before - set(data.path.rglob("*"))
    assert gone == {path for path in before if path.match("hum/hum-*.png")}
    assert not (folder / "sources.csv").read_text().count("hum/hum-")
    assert "removed 0 spectrograms of 0 clips" in render(music, "--prune")[1]
    shutil.copytree(music, tmp_path / "again")
    assert len(open_store(data.path).spectrograms()) == 15


def unfinished(path: Path) -> Path:
    """Make a WAV that of a recorder which was stopped: its sizes are not filled in."""
    whole = path.read_bytes()
    at = whole.index(b"data") + 4
    path.write_bytes(whole[:4] + b"\xff" * 4 + whole[8:at] + b"\xff" * 4 + whole[at + 4 :])
    return path


@pytest.fixture
def odd(music: Path, noise: Noise, write_audio: WriteAudio) -> Path:
    """The source with a WAV whose recorder was stopped, and one whose channels cancel."""
    samples = noise(2.0)
    write_audio(music / "hum" / "wires.wav", np.stack([samples, -samples], axis=1))
    unfinished(write_audio(music / "hum" / "stopped.wav", samples))
    return music


REASONS = {"hum/stopped.wav": "unfinished-header", "hum/wires.wav": "channels-cancel"}


def test_warnings_are_listed_and_stay_with_what_is_reused(odd: Path, tmp_path: Path, render: Spectro) -> None:
    for made in (28, 0):
        code, out, _ = render(odd)
        assert code == 0
        assert f"({made} new" in out
        assert "2 warnings (1 unfinished-header, 1 channels-cancel): hum/stopped.wav" in out
        warnings = DataFolder(tmp_path / "data").warnings
        assert {warning.path: warning.reason for warning in warnings} == REASONS
        assert all(warning.message.startswith(warning.path) for warning in warnings)
    assert [warning["path"] for warning in json.loads(render(odd, "--json")[1])["warnings"]] == sorted(REASONS)
    shutil.rmtree(odd / "hum")
    render(odd)
    assert DataFolder(tmp_path / "data").warnings == ()


def test_a_killed_rendering_remembers_its_warnings(
    odd: Path, tmp_path: Path, render: Spectro, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("spectro.data.render.keep_edits", die)
        assert render(odd)[0] == 130
    assert "(0 new, 28 reused)" in render(odd)[1]
    assert {warning.path: warning.reason for warning in DataFolder(tmp_path / "data").warnings} == REASONS
    assert not list((tmp_path / "data").rglob("done.csv"))


def test_strict_refuses_what_is_odd_now_or_was_before(odd: Path, render: Spectro) -> None:
    for _ in range(2):
        code, _, err = render(odd, "--strict")
        assert code == 2
        assert err.splitlines()[-1].startswith("spectro: hum/stopped.wav")
        render(odd)


def test_a_dry_run_tells_what_headers_show_and_what_is_left_out(odd: Path, render: Spectro) -> None:
    out = render(odd, "--dry-run")[1]
    assert "1 warning (1 unfinished-header)" in out
    assert "left out: 1 x .csv" in out
    facts = json.loads(render(odd, "--dry-run", "--json")[1])
    assert [warning["reason"] for warning in facts["warnings"]] == ["unfinished-header"]
    assert "left out: 1 x .csv" in render(odd)[1]


def test_the_decoder_is_noted_for_each_clip(music: Path, tmp_path: Path, render: Spectro) -> None:
    render(music)
    store = open_store(tmp_path / "data")
    assert store.decoders() == {f"libsndfile {soundfile.__libsndfile_version__}": 8}
    render(music)
    assert open_store(tmp_path / "data").decoders() == store.decoders()


def test_equal_names_in_different_folders_are_different_clips(
    tmp_path: Path, render: Spectro, tone: Tone, write_audio: WriteAudio
) -> None:
    for number, folder in enumerate(("a", "a/live", "b", "b/a")):
        write_audio(tmp_path / "in" / folder / "song.wav", tone(1.0, 200 * (number + 1)))
    render(tmp_path / "in")
    images = open_store(tmp_path / "data").spectrograms()
    assert len({image.tobytes() for image in images}) == 4


@pytest.mark.skipif(os.name == "nt" or not hasattr(os, "geteuid"), reason="needs permissions of POSIX")
def test_a_read_only_source_is_left_as_it_is(music: Path, render: Spectro) -> None:
    def state() -> dict[str, tuple[int, int]]:
        return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in music.rglob("*")}

    folders = [music, music / "hum", music / "hiss"]
    for folder in folders:
        folder.chmod(0o555)
    try:
        before = state()
        assert render(music)[0] == 0
        assert state() == before
    finally:
        for folder in folders:
            folder.chmod(0o755)


def test_a_split_does_not_outlive_its_clips_or_groups(
    music: Path, tmp_path: Path, render: Spectro, spectro: Spectro
) -> None:
    render(music / "clips.csv")
    data, train = tmp_path / "data", ("finetune", tmp_path / "data", "--model", "knn", "--out", tmp_path / "run")
    assert spectro("split", data, "--test", 0.5, "--val", 0)[0] == 0
    whole = (data / "clips.csv").read_text()
    (data / "clips.csv").write_text(whole.replace("hum-1,", "hum-0,"))
    code, _, err = spectro(*train)
    assert (code, "1 groups in two subsets ('hum-0', ...)" in err) == (2, True), err
    (data / "clips.csv").write_text(whole)
    edit(music / "clips.csv", lambda text: text[: text.rstrip().rindex("\n") + 1])
    render(music / "clips.csv")
    code, _, err = spectro(*train)
    assert code == 2
    assert "names 1 of 8 clips that are gone" in err
    assert err.splitlines()[-1].endswith("or split again")
    assert not (tmp_path / "run").exists()
