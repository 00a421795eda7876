"""The guides about unknown, similar and unlabelled sounds: their commands run on the shipped music."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, command_lines

GUIDES = ("none-of-these", "similar", "hugging-face")
RUN = (
    "spectro openset",
    "spectro predict runs/first",
    "spectro similar",
    "spectro data export",
    "spectro render shared",
)
"""Commands that need no network, no server and no hour."""


@pytest.mark.slow
def test_commands_of_the_guides_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])))
    Path("music").symlink_to(ROOT / "assets" / "demo" / "singularity")
    shutil.copy(next((ROOT / "assets" / "demo" / "hyperrogue").iterdir()), "song.mp3")
    prepare = [
        f"spectro render {ROOT / 'assets' / 'demo' / 'clips.csv'} --out data",
        "spectro split data --val 0.2",
        "spectro finetune data --model cnn5 --epochs 1 --out runs/first --no-baseline",
    ]
    pages = {f"docs/pages/guides/{name}.md" for name in GUIDES}
    lines = [line for page, line in command_lines() if page in pages and line.startswith(RUN)]
    assert len(lines) >= 7
    for line in [*prepare, *lines]:
        done = subprocess.run(line, shell=True, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    assert "none_of_these,novelty" in Path("predictions.csv").read_text(encoding="utf-8").splitlines()[0]
    assert "<audio" in Path("neighbours.html").read_text(encoding="utf-8")
    assert Path("songs.npz").is_file()
    assert Path("shared/train/metadata.csv").is_file()
