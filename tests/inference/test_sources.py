"""What can be classified: files as given, folders searched as a rendering searches them, and open files."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import soundfile

from spectro.audio.decode import probe
from spectro.core.errors import DataError
from spectro.data.audio_files import Skipped
from spectro.inference.sources import as_file, find_audio_files
from tests.conftest import RATE, Tone
from tests.data.miniatures import touch


def test_folders_are_searched_and_files_taken_as_they_are(tmp_path: Path) -> None:
    touch(tmp_path, "a/b/2.m4a", "a/1.WAV", "a/._1.wav", "a/.x/3.wav", "a/cover.jpg", "odd.bin")
    files, skipped = find_audio_files([tmp_path / "odd.bin", tmp_path / "a", tmp_path / "a" / "1.WAV"])
    assert files == [tmp_path / "odd.bin", tmp_path / "a" / "1.WAV", tmp_path / "a" / "b" / "2.m4a"]
    assert skipped == (
        Skipped(suffix=".jpg", count=1, reason="suffix"),
        Skipped(suffix="", count=2, reason="hidden"),
    )


def test_a_folder_without_audio_says_what_is_in_it(tmp_path: Path) -> None:
    touch(tmp_path, "a/cover.jpg")
    with pytest.raises(DataError, match=r"has no audio files at any depth \(left out: 1 x \.jpg\)"):
        find_audio_files(tmp_path)
    with pytest.raises(DataError, match="no audio file was given"):
        find_audio_files([])


@pytest.mark.parametrize("form", ["WAV", "FLAC", "OGG", "MP3"])
@pytest.mark.parametrize("name", ["sound 1", "upload.mp3", "upload.wav", "x.exe"])
def test_an_open_file_is_known_by_its_content(form: str, name: str, tone: Tone) -> None:
    file = io.BytesIO()
    soundfile.write(file, tone(), RATE, format=form)
    file.seek(0)
    with as_file(file, name) as path:
        assert probe(path).seconds == pytest.approx(1.0, abs=0.03)
    assert not path.exists()
