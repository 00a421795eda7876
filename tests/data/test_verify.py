"""Verification of named data sets: what is missing, and known faults."""

from __future__ import annotations

from pathlib import Path

import pytest

from spectro.core.errors import ConfigError
from spectro.data.layouts.gtzan import GENRES
from spectro.data.verify import verify
from tests.data.miniatures import fma, gtzan, urbansound8k


def test_a_whole_copy_has_only_its_known_faults(tmp_path: Path) -> None:
    verified = verify("gtzan", gtzan(tmp_path))
    assert verified.problems == ()
    assert verified.counts == dict.fromkeys(GENRES, 100)
    assert set(verified.known_faults) == {"jazz/jazz.00054.wav", "reggae/reggae.00086.wav"}


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    root = gtzan(tmp_path)
    (root / "Data/genres_original/jazz/jazz.00054.wav").unlink()
    (root / "Data/genres_original/pop/pop.00001.wav").write_bytes(b"")
    verified = verify("gtzan", root)
    assert verified.missing == ("jazz.00054", "pop/pop.00001.wav")
    assert verified.problems == (
        "2 files are missing or empty: jazz.00054, pop/pop.00001.wav",
        "class 'jazz' has 99 clips, but should have 100",
        "class 'pop' has 99 clips, but should have 100",
    )


def test_counts_are_compared_with_what_was_published(tmp_path: Path) -> None:
    root = urbansound8k(tmp_path)
    (root / "audio/fold10/100648-1-0-0.wav").unlink()
    problems = verify("urbansound8k", root).problems
    assert problems[0] == "1 file is missing or empty: audio/fold10/100648-1-0-0.wav"
    assert problems[1] == "4 clips are listed, but 8732 were published"


def test_broken_tracks_of_fma_are_known(tmp_path: Path) -> None:
    assert verify("fma-small", fma(tmp_path)).known_faults == {"098/098565.mp3": "lasts 1.6 s, not 30"}


def test_an_unknown_data_set_is_guessed(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'gtzan'"):
        verify("gtzn", tmp_path)
