"""A source for lots, and what a sealed rendering of it must be."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from spectro.core.config import RenderConfig
from spectro.core.storage import Storage, open_storage
from spectro.data.lots.listing import list_items
from spectro.data.lots.names import COMMITS, RUNNING, SHARD_FOLDER, SHARDS
from spectro.data.lots.plan import Bounds, make_plan
from spectro.data.lots.records import Plan
from spectro.data.lots.seal import seal
from spectro.data.render import render

RATE = 22050
SMALL = Bounds(megabytes=0.02)
"""About three of the clips."""

Sealed = Callable[[Path | str], dict[str, bytes]]
Planned = Callable[[Path | str], tuple[Storage, Plan]]


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of six clips of 2 s, and one that is no sound; do not write into it."""
    root = tmp_path_factory.mktemp("lots-source")
    rng = np.random.default_rng(0)
    for label in ("high", "low"):
        (root / label).mkdir()
        for number in range(6):
            samples = (0.1 * rng.standard_normal(2 * RATE)).astype(np.float32)
            soundfile.write(root / label / f"{number}.{'wav' if number % 2 else 'flac'}", samples, RATE)
    (root / "high" / "bad.mp3").write_bytes(b"no sound at all, but long enough to be looked at")
    return root


@pytest.fixture(scope="session")
def plain(source: Path, small: RenderConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same source rendered without lots."""
    return render(source, out=tmp_path_factory.mktemp("lots-plain"), config=small, workers=1).data


@pytest.fixture(scope="session")
def planned(source: Path, small: RenderConfig) -> Planned:
    """Return a function that plans small lots of the source below a folder or URL."""

    def plan(out: Path | str) -> tuple[Storage, Plan]:
        storage = open_storage(out)
        root = str(source.resolve())
        made = make_plan(
            storage, lambda: list_items(source, "folder"), source=root, layout="folder", work=small, bounds=SMALL
        )
        return storage, made

    return plan


@pytest.fixture(scope="session")
def sealed(plain: Path, planned: Planned, tmp_path_factory: pytest.TempPathFactory) -> Sealed:
    """Return a function that seals `out` and returns all that must not depend on chance; it checks what may."""

    def read(out: Path | str) -> dict[str, bytes]:
        seal(out)
        storage = open_storage(out)
        names = [entry.name for entry in storage.list()]
        commits = [name for name in names if name.startswith(COMMITS)]
        shards = [name for name in names if name.startswith(SHARD_FOLDER)]
        assert len(commits) == len(shards)  # nothing twice, nothing left over
        assert not [name for name in names if name.startswith(RUNNING)]
        content = {name: storage.get(name) for name in names if name not in (*commits, *shards, SHARDS)}
        own = {name.partition(".")[0]: storage.get(name) for name in shards}
        for file in plain.rglob("*"):
            if file.is_file() and file.suffix in (".csv", ".json") and not file.name.startswith("."):
                assert content[file.relative_to(plain).as_posix()] == file.read_bytes(), file.name
        return content | own

    return read


@pytest.fixture
def copy_of(tmp_path: Path) -> Callable[[Path], Path]:
    """Return a function that copies a folder, to be spoiled."""

    def copy(folder: Path) -> Path:
        return Path(shutil.copytree(folder, tmp_path / "copy"))

    return copy
