"""Maps of a run's clips, from a run that was trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spectro.core.runs import Run
from spectro.evaluation.ensemble import ensemble
from spectro.evaluation.projection import run_vectors


@pytest.mark.slow
def test_a_run_is_mapped_with_its_test_clips_in_front(run: Run, data: Path, tmp_path: Path) -> None:
    whole = run_vectors(run)
    tested = set(run.predictions("test").clip_ids)
    assert {clip.id for clip, flag in zip(whole.clips, whole.tested, strict=True) if flag} == tested
    assert len(whole.clips) == 24
    few = run_vectors(run, most=10)
    assert len(few.clips) == 10
    assert tested <= {clip.id for clip in few.clips} or all(few.tested)
    assert "10 of 24 clips" in few.title
    values = {clip.id: value for clip, value in zip(whole.clips, whole.values, strict=True)}
    assert all(
        np.allclose(values[clip.id], value, atol=1e-2) for clip, value in zip(few.clips, few.values, strict=True)
    )
    both = ensemble([run, run], out=tmp_path / "both")
    assert "first member of both" in run_vectors(both).title
