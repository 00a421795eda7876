"""Files below a folder: audio of every suffix is listed, all else is counted, links are followed once, loops end."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest

from spectro.audio.decode import SUFFIXES
from spectro.core.errors import DataError
from spectro.data.audio_files import AudioFiles, NamesOnDisk, Skipped, describe_skipped, list_audio
from tests.data.miniatures import touch


def counts(files: AudioFiles) -> dict[tuple[str, str], int]:
    return {(one.reason, one.suffix): one.count for one in files.skipped()}


def test_every_suffix_that_is_decoded_is_listed_and_nothing_else(tmp_path: Path) -> None:
    names = sorted([f"a/x{suffix}" for suffix in SUFFIXES] + [f"b/X{suffix.upper()}" for suffix in SUFFIXES])
    touch(tmp_path, *names, "a/notes.TXT", "notes.txt", "b/Makefile", "b/Mr. Smith sings", "b/x.wav.bak", "b/x.")
    files = list_audio(tmp_path)
    assert list(files.names) == names
    assert counts(files) == {("suffix", ".txt"): 2, ("suffix", ".bak"): 1, ("suffix", ""): 3}


def test_hidden_files_and_folders_are_counted_once_each(tmp_path: Path) -> None:
    touch(tmp_path, "a/x.wav", "a/._x.wav", "a/.DS_Store", ".git/y.wav", ".git/z/y.wav", "__MACOSX/a/._x.wav")
    files = list_audio(tmp_path)
    assert files.names == ("a/x.wav",)
    assert counts(files) == {("hidden", ""): 4}


def test_audio_that_is_not_taken_is_counted_by_suffix(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.wav", "a/2.wav", "b/3.M4B", "c.txt")
    assert list_audio(tmp_path).skipped(["a/1.wav"]) == (
        Skipped(suffix=".txt", count=1, reason="suffix"),
        Skipped(suffix=".m4b", count=1, reason="unlisted"),
        Skipped(suffix=".wav", count=1, reason="unlisted"),
    )
    assert list_audio(tmp_path, "a").names == ("a/1.wav", "a/2.wav")


def test_a_line_describes_what_was_left_out() -> None:
    assert describe_skipped(()) == ""
    few = [
        Skipped(suffix=".txt", count=3, reason="suffix"),
        Skipped(suffix="", count=1, reason="suffix"),
        Skipped(suffix="", count=2, reason="hidden"),
    ]
    assert describe_skipped(few) == "left out: 3 x .txt, 1 without a suffix, 2 hidden"
    many = [Skipped(suffix=f".x{number}", count=2, reason="suffix") for number in range(20)]
    line = describe_skipped(many)
    assert line.count(" x .") == 8
    assert line.endswith("24 with other suffixes")


@pytest.mark.skipif(os.name == "nt", reason="links take privileges there")
def test_links_are_followed_once_and_loops_end(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "music", tmp_path / "disk"
    touch(root, "rock/a.wav", "rock/live/b.wav")
    touch(elsewhere, "jazz/c.wav", "one.wav")
    (root / "jazz").symlink_to(elsewhere / "jazz")
    (root / "rock" / "linked.wav").symlink_to(elsewhere / "one.wav")
    (root / "again").symlink_to(root / "rock")  # sorted first, yet the folder keeps its own name
    (root / "rock" / "live" / "loop").symlink_to(root)
    (root / "rock" / "up").symlink_to(tmp_path)  # contains the source
    (root / "rock" / "self").symlink_to("self")
    (root / "pop").symlink_to(tmp_path / "gone")
    (root / "rock" / "lost.wav").symlink_to(tmp_path / "gone.wav")
    files = list_audio(root)
    assert files.names == ("jazz/c.wav", "rock/a.wav", "rock/linked.wav", "rock/live/b.wav", "rock/lost.wav")
    assert counts(files) == {("repeated", ""): 3, ("broken", ""): 2}


def test_what_is_no_folder_is_named_and_what_is_missing_is_empty(tmp_path: Path) -> None:
    touch(tmp_path, "a.wav")
    with pytest.raises(DataError, match=r"a\.wav cannot be read"):
        list_audio(tmp_path, "a.wav")
    assert list_audio(tmp_path, "nowhere").skipped() == ()


def test_a_folder_without_permission_is_counted(tmp_path: Path) -> None:
    touch(tmp_path, "a/x.wav", "lost+found/y.wav")
    (tmp_path / "lost+found").chmod(0)
    try:
        if os.access(tmp_path / "lost+found", os.R_OK):
            pytest.skip("this user may read everything")
        files = list_audio(tmp_path)
    finally:
        (tmp_path / "lost+found").chmod(0o755)
    assert files.names == ("a/x.wav",)
    assert counts(files) == {("unreadable", ""): 1}


def test_sources_that_are_read_only_and_names_of_255_bytes(tmp_path: Path) -> None:
    longest = "é" * 125 + "x.wav"
    assert len(longest.encode()) == 255
    touch(tmp_path, f"a/{longest}")
    (tmp_path / "a").chmod(0o555)
    assert list_audio(tmp_path).names == (f"a/{longest}",)
    (tmp_path / "a").chmod(0o755)


@pytest.mark.parametrize("on_disk", ["NFC", "NFD"])
def test_names_are_spelled_as_on_disk(on_disk: str, tmp_path: Path) -> None:
    folder, file = (unicodedata.normalize(on_disk, name) for name in ("žánr", "písně é.wav"))  # type: ignore[arg-type]
    touch(tmp_path, f"{folder}/x/{file}")
    there = str(tmp_path / folder / "x" / file)
    spelled = NamesOnDisk()
    for form in ("NFC", "NFD"):
        assert spelled(unicodedata.normalize(form, there)) == there  # type: ignore[arg-type]
    assert spelled(there + "x") == there + "x"
    assert spelled(str(tmp_path / "a.wav")) == str(tmp_path / "a.wav")
