"""Cached arrays: used only while they are whole and made from the same facts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spectro.core import caches, files
from spectro.core.caches import open_cached, write_cached

FACTS = {"of": "a", "view": 1}


def make(path: Path) -> np.ndarray:
    blocks = [np.full((2, 3, 4), 1.5, np.float16), np.zeros((1, 3, 4), np.float16)]
    return write_cached(path, FACTS, 3, blocks)


def test_what_was_written_is_read_without_copying(tmp_path: Path) -> None:
    written = make(tmp_path / "deep" / "a.npy")
    read = open_cached(tmp_path / "deep" / "a.npy", FACTS)
    assert read is not None
    np.testing.assert_array_equal(read, written)
    assert isinstance(read, np.memmap)
    assert not read.flags.writeable


def test_other_facts_mean_another_array(tmp_path: Path) -> None:
    make(tmp_path / "a.npy")
    assert open_cached(tmp_path / "a.npy", {**FACTS, "view": 2}) is None
    assert open_cached(tmp_path / "none.npy", FACTS) is None


@pytest.mark.parametrize("name", ["a.npy", "a.json"])
def test_damage_is_noticed(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path / "a.npy")
    whole = (tmp_path / name).read_bytes()
    for damaged in (b"", whole[:-3], whole[:50], whole[:60] + b"\xff" + whole[61:], bytes(len(whole))):
        monkeypatch.setattr(files, "_verified", set())
        (tmp_path / name).write_bytes(damaged)
        assert open_cached(tmp_path / "a.npy", FACTS) is None


def test_an_interruption_leaves_no_array_that_looks_whole(tmp_path: Path) -> None:
    def blocks() -> object:
        yield np.zeros((1, 2), np.float32)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_cached(tmp_path / "a.npy", FACTS, 2, blocks())  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_too_few_items_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="1 items were given"):
        write_cached(tmp_path / "a.npy", FACTS, 2, [np.zeros((1, 2), np.float32)])
    assert caches.open_cached(tmp_path / "a.npy", FACTS) is None
