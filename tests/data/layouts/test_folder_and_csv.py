"""The folder and CSV layouts: what they find, and one clear line for each way a source can be wrong."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest

from spectro.core.errors import ConfigError, DataError
from spectro.data.layouts import describe_skipped, scan

Touch = Callable[..., Path]
Table = Callable[..., Path]
Form = Literal["NFC", "NFD"]


@pytest.fixture
def touch(tmp_path: Path) -> Touch:
    def make(*names: str) -> Path:
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(b"")
        return tmp_path

    return make


@pytest.fixture
def table(tmp_path: Path) -> Table:
    def make(text: str, name: str = "clips.csv") -> Path:
        (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path / name

    return make


def test_a_folder_per_class_nested_upper_case_and_any_name(touch: Touch) -> None:
    root = touch(
        "rock, hard/one.WAV", "rock, hard/live/two.mp3", "žluťoučký kůň/a.b.flac", "日本/c.Ogg", "rock, hard/cover.jpg"
    )
    listing = scan(touch(".git/x.wav", "日本/._c.Ogg", "日本/.hidden/d.wav"))
    assert listing.root == root.resolve()
    assert listing.layout == "folder"
    assert [(clip.id, clip.label) for clip in listing.clips] == [
        ("rock, hard/live/two.mp3", "rock, hard"),
        ("rock, hard/one.WAV", "rock, hard"),
        ("žluťoučký kůň/a.b.flac", "žluťoučký kůň"),
        ("日本/c.Ogg", "日本"),
    ]
    assert all(clip.group == clip.id for clip in listing.clips)
    assert describe_skipped(listing.skipped) == "left out: 1 x .jpg, 3 hidden"


def test_a_csv_gives_labels_groups_and_folds(table: Table, tmp_path: Path) -> None:
    path = table('path,label,group,fold,more\n"a, b.wav","hip hop, old",album 1,3,x\nsub/c.wav,日本,,,\n')
    listing = scan(path)
    assert listing.root == tmp_path.resolve()
    assert listing.layout == "csv"
    first, second = listing.clips
    assert (first.id, first.label, first.group, first.fold) == ("a, b.wav", "hip hop, old", "album 1", "3")
    assert (second.id, second.label, second.group, second.fold) == ("sub/c.wav", "日本", "sub/c.wav", "")


def test_absolute_paths_have_their_common_folder_as_root(table: Table, tmp_path: Path) -> None:
    path = table(f"path,label\n{tmp_path}/x/a/1.wav,a\n{tmp_path}/x/b/2.wav,b\n", "lists/clips.csv".replace("/", "-"))
    moved = tmp_path / "lists" / "clips.csv"
    moved.parent.mkdir()
    path.rename(moved)
    listing = scan(moved)
    assert listing.root == tmp_path.resolve() / "x"
    assert [clip.id for clip in listing.clips] == ["a/1.wav", "b/2.wav"]


def test_a_csv_from_a_spreadsheet_on_windows(touch: Touch, tmp_path: Path) -> None:
    touch("rock/a.wav", "jazz/a.wav")
    rows = ["Path;Label ;Group", "rock\\a.wav;01;x", '"jazz/a.wav";rock ;', ";;", ""]
    (tmp_path / "clips.csv").write_bytes("\r\n".join(rows).encode("utf-16"))
    clips = scan(tmp_path / "clips.csv").clips
    assert [(clip.id, clip.label, clip.group) for clip in clips] == [
        ("jazz/a.wav", "rock", "jazz/a.wav"), ("rock/a.wav", "01", "x"),
    ]  # fmt: skip


@pytest.mark.skipif(os.name == "nt", reason="drives are real there")
@pytest.mark.parametrize("above", [r"C:\Users\me\music", "D:/music", r"\\server\share"])
def test_paths_on_a_windows_drive_are_found_beside_the_table(above: str, touch: Touch, table: Table) -> None:
    touch("rock/a.wav", "rock/live/é.wav")
    slash = "/" if "/" in above else "\\"
    names = ("rock/gone.wav", "rock/a.wav", unicodedata.normalize("NFD", "rock/live/é.wav"))
    path = table("path,label\n" + "".join(f"{above}{slash}{name.replace('/', slash)},x\n" for name in names))
    assert [clip.id for clip in scan(path).clips] == ["rock/a.wav", "rock/gone.wav", "rock/live/é.wav"]


def test_paths_on_a_drive_without_such_files_end_in_a_line(table: Table) -> None:
    if os.name != "nt":
        with pytest.raises(DataError, match=r"line 2: 'C:\\a\\b.wav' is on a Windows drive.* no such file is below"):
            scan(table("path,label\nC:\\a\\b.wav,x\n"))


@pytest.mark.parametrize(("on_disk", "in_table"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_a_name_is_found_in_either_form_of_unicode(on_disk: Form, in_table: Form, touch: Touch, table: Table) -> None:
    touch(there := unicodedata.normalize(on_disk, "žánr/é.wav"))
    path = table(f"path,label\n{unicodedata.normalize(in_table, there)},x\n")
    assert [(clip.id, clip.group) for clip in scan(path).clips] == [(there, there)]
    with pytest.raises(DataError, match="line 3 repeats"):
        scan(table(f"path,label\n{there},x\n{unicodedata.normalize(in_table, there)},x\n"))


def test_a_folder_with_a_csv_can_be_named_as_such(table: Table, tmp_path: Path) -> None:
    table("path,label\na.wav,x\n")
    assert scan(tmp_path, "csv").clips[0].id == "a.wav"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,lable\na.wav,x\n", "no column 'label'; did you mean 'lable'"),
        ("path,label\na.wav,x\nb.wav,y\n./a.wav,x\n", "line 4 repeats './a.wav' of line 2"),
        ("path,label\na.wav,\n", "line 2 has an empty label"),
        ("path,label\n,x\n", "line 2 has an empty path"),
        ("path,label\n../a.wav,x\n", "leads out of"),
        ("path,label\nx/../../a.wav,x\n", "leads out of"),
        ("path,label\n", "lists no clips"),
        ("", "no column 'path'"),
        ("path,label\na.wav,x,y\n", "more values than the header"),
        ("path,label\n._a.wav,x\n", r"lists no clips \(left out: 1 hidden\)"),
    ],
)
def test_a_wrong_csv_is_named_with_its_line(table: Table, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        scan(table(text))
    assert "clips.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_wrong_folders(touch: Touch, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no"):
        scan(tmp_path / "nowhere")
    with pytest.raises(DataError, match="has no audio files"):
        scan(touch("readme.txt"))
    with pytest.raises(DataError, match=r"stray.wav is outside a class folder"):
        scan(touch("stray.wav", "rock/a.wav"))
    with pytest.raises(DataError, match="is one sound; give a folder"):
        scan(tmp_path / "stray.wav")
    with pytest.raises(DataError, match="is not a folder"):
        scan(tmp_path / "stray.wav", "folder")


def test_an_unknown_layout_is_guessed(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'folder'"):
        scan(tmp_path, "foldr")


def test_a_name_that_is_not_text_is_named(touch: Touch, tmp_path: Path) -> None:
    try:
        touch("rock/a.wav", "rock/\udcff.wav")
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    with pytest.raises(DataError, match=r"udcff.wav' in .* is not UTF-8"):
        scan(tmp_path)
