"""Damaged files of every format: sound or an AudioError, no other exception, no hang, no crash, nothing printed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.audio.decode_worker import Worker
from tests.audio.mutation import Originals, mutate, originals

REASONS = {"sound", "unreadable", "truncated", "empty", "not-finite", "changed-format", "implausible", "needs-av"}
FEW, MANY = 60, 500
DAMAGE: dict[str, Any] = {
    "derandomize": True,
    "database": None,
    "deadline": None,
    "suppress_health_check": list(HealthCheck),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Originals:
    return originals(tmp_path_factory.mktemp("originals"))


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    decoder = Worker()
    yield decoder
    decoder.stop()


def check(worker: Worker, whole: Originals, folder: Path, number: int, seed: int) -> None:
    name = sorted(whole)[number % len(whole)]
    path = folder / f"damaged-{name}"
    path.write_bytes(mutate(whole[name], seed))
    outcome = worker.decode(path)
    assert outcome in REASONS, f"{name}, seed {seed}: {outcome}"


@settings(max_examples=FEW, **DAMAGE)
@given(number=st.integers(0, 10_000), seed=st.integers(0, 2**32))
def test_damage_ends_in_sound_or_an_audio_error(
    worker: Worker, whole: Originals, tmp_path_factory: pytest.TempPathFactory, number: int, seed: int
) -> None:
    check(worker, whole, tmp_path_factory.getbasetemp(), number, seed)


@pytest.mark.slow
@settings(max_examples=MANY, **DAMAGE)
@given(number=st.integers(0, 10_000), seed=st.integers(2**33, 2**40))
def test_much_damage_ends_in_sound_or_an_audio_error(
    worker: Worker, whole: Originals, tmp_path_factory: pytest.TempPathFactory, number: int, seed: int
) -> None:
    check(worker, whole, tmp_path_factory.getbasetemp(), number, seed)


def test_undamaged_files_are_sound(worker: Worker, whole: Originals, tmp_path: Path) -> None:
    for name, content in whole.items():
        path = tmp_path / name
        path.write_bytes(content)
        assert worker.decode(path) == "sound", name
