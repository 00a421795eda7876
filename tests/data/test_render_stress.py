"""Rendering under stress: killed anywhere it resumes to the same bytes, and a long file needs no more memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "stress_render.py"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc, forks"),
]


def stress(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, SCRIPT, *options], capture_output=True, text=True)


def test_twenty_kills_lose_nothing() -> None:
    done = stress("--kills", "20", "--hours", "0")
    assert done.returncode == 0, done.stderr
    assert "every resumed run byte-identical" in done.stdout


def test_memory_is_bounded_by_the_segment_not_the_file() -> None:
    done = stress("--kills", "0", "--hours", "0.25", "--megabytes", "110")  # the samples alone would take 79 MB
    assert done.returncode == 0, done.stderr
