"""The estimate of a rendering: it writes nothing and comes near."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from spectro.core.config import RenderConfig
from spectro.data.estimate import estimate_rendering
from spectro.data.render import render


def test_an_estimate_writes_nothing_and_comes_near(
    faulty: Path, tmp_path: Path, small: RenderConfig, contents: Callable[[Path], dict[str, bytes]]
) -> None:
    before = contents(tmp_path)
    estimate = estimate_rendering(faulty, config=small, workers=1)
    assert contents(tmp_path) == before
    store = render(faulty, out=tmp_path / "data", config=small, workers=1).store
    written = sum(store.picture_path(segment).stat().st_size for segment in store.segments)
    assert estimate.clips >= 7
    assert estimate.segments >= len(store.segments)
    assert estimate.picture_bytes == pytest.approx(written, rel=0.5)
    assert estimate.packed_bytes == estimate.segments * 32 * 44
    assert {failure.path for failure in estimate.failed} >= {"bad/text.wav", "bad/zero.wav", "bad/blip.wav"}
    assert estimate.seconds > 0


def test_processes_estimate_what_one_does(faulty: Path, small: RenderConfig) -> None:
    one, two = (estimate_rendering(faulty, config=small, workers=workers) for workers in (1, 2))
    assert (one.clips, one.segments, one.failed) == (two.clips, two.segments, two.failed)
