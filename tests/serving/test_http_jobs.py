"""What a server keeps, for how long, and what it makes of sounds that go on for too long."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import tempfile
import threading
import time
from collections.abc import Iterator
from contextvars import copy_context
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import pytest
import soundfile

from spectro.audio.decode import most_samples, open_sound
from spectro.core import distribution
from spectro.core.config import MelConfig, RenderConfig, SegmentConfig
from spectro.core.errors import AudioError, ConfigError
from spectro.data.engines import Done, Failed
from spectro.inference.reading import input_to_json
from tests.conftest import RATE, Noise, Tone

pytest.importorskip("starlette", reason="THE SERVER IS UNTESTED: no starlette")
from spectro.serving.http import serve as starting
from spectro.serving.http.decode_process import DecodeProcess
from spectro.serving.http.jobs import PREFIX, Job, JobStore, remove_abandoned
from spectro.serving.http.problems import Problem
from spectro.serving.http.served_run import ServedRun
from spectro.serving.http.settings import ServerConfig
from spectro.serving.http.upload_decoding import DecodeLimits, DecodeTask, read_input

MEGABYTE = 1_000_000
CONFIG = RenderConfig(mel=MelConfig(n_fft=1024, n_mels=32), segment=SegmentConfig(seconds=1.0))


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[JobStore]:
    """A store of 10 MB and 3 jobs at a time."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    kept = JobStore(ServerConfig(queue=3, max_megabytes=8, keep_megabytes=10, keep_minutes=1))
    yield kept
    kept.close()
    assert list(tmp_path.iterdir()) == []


def admit(store: JobStore, megabytes: float) -> Job:
    """Let a job in."""
    run = cast(ServedRun, None)
    return store.admit(run, "a.wav", ".wav", size=int(megabytes * MEGABYTE), overlap=None, min_confidence=0.0)


def finish(store: JobStore, job: Job, megabytes: float) -> None:
    """Let a job end with a sound of that size."""
    job.sound.write_bytes(b"\0" * int(megabytes * MEGABYTE))
    store.end(job, "done")


def test_a_full_queue_and_a_full_disk_are_told_apart(store: JobStore) -> None:
    assert stat.S_IMODE(store.folder.stat().st_mode) == 0o700
    jobs = [admit(store, 3) for _ in range(2)]
    with pytest.raises(Problem) as caught:
        admit(store, 5)
    assert (caught.value.status, caught.value.reason) == (429, "no-room")
    admit(store, 1)
    with pytest.raises(Problem) as caught:
        admit(store, 0)
    assert (caught.value.status, caught.value.reason) == (503, "busy")
    with pytest.raises(Problem):
        store.grow(jobs[0], 7 * MEGABYTE)
    assert [store.ahead(job) for job in jobs] == [0, 1]


def test_the_oldest_finished_sounds_make_room(store: JobStore) -> None:
    first, second, third = (admit(store, 2) for _ in range(3))
    for job in (second, first, third):
        finish(store, job, 2)
    fourth = admit(store, 5)
    assert list(store) == [second, third, fourth]
    with pytest.raises(Problem) as caught:
        store.get(first.id)
    assert caught.value.status == 404
    assert not first.folder.exists()


def test_old_answers_are_forgotten(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    job, other = admit(store, 1), admit(store, 1)
    finish(store, job, 1)
    store.expire()
    assert store.get(job.id) is job
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 61)
    store.expire()
    assert list(store) == [other]  # which is still under way


def test_a_job_that_is_worked_on_is_removed_when_that_ends(store: JobStore) -> None:
    job = admit(store, 1)
    job.state = "decoding"
    store.forget(job)
    assert job.stopped.is_set()
    assert job.folder.exists()
    with pytest.raises(Problem):
        store.get(job.id)
    store.end(job, "stopped")
    assert not job.folder.exists()
    assert store.active == 0


def test_what_a_killed_server_left_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    dead, alive, other = (tmp_path / f"{PREFIX}{name}" for name in (f"{2**22 + 1}-a", f"{os.getpid()}-b", "x-c"))
    for folder in (dead, alive, other):
        folder.mkdir()
    remove_abandoned()
    assert sorted(tmp_path.iterdir()) == sorted((alive, other))


def test_without_its_packages_the_install_line_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distribution, "find_spec", lambda name: None if name == "uvicorn" else find_spec(name))
    with pytest.raises(ConfigError, match=r"needs uvicorn, .*: pip install '.*\[serve\]'"):
        starting.serve(["runs/x"])


def test_samples_are_counted_while_decoding(tmp_path: Path, tone: Tone) -> None:
    path = tmp_path / "long.wav"
    soundfile.write(path, tone(seconds=10), RATE)

    def decode(limit: float) -> int:
        most_samples.set(limit)
        with open_sound(path) as sound:
            return sum(len(block) for block in sound.blocks(RATE))

    assert copy_context().run(decode, 10 * RATE) == 10 * RATE
    with pytest.raises(AudioError) as caught:
        copy_context().run(decode, 4 * RATE)
    assert caught.value.reason == "too-long"


def task(path: Path) -> DecodeTask:
    """Return the task of a file, beside which its segments go."""
    return DecodeTask(path=str(path), name="mine.wav", inputs=(input_to_json(CONFIG),))


@pytest.mark.slow
def test_a_process_that_takes_too_long_is_replaced(tmp_path: Path, noise: Noise) -> None:
    path = tmp_path / "sound.wav"
    soundfile.write(path, noise(seconds=3), RATE)
    process = DecodeProcess(DecodeLimits(seconds=60), 20)
    process.start()
    try:
        outcome = process.decode(task(path), threading.Event())
        assert isinstance(outcome, Done)
        assert read_input(tmp_path, 0, outcome.value.inputs[0]).shape == (3, 32, 44)
        process._seconds = 0.2
        os.kill(process.pid, signal.SIGSTOP)
        failed = process.decode(task(path), threading.Event())
        assert isinstance(failed, Failed)
        assert Problem.of(failed).status == 504
        process._seconds = 20
        path.write_bytes(b"nothing")
        failed = process.decode(task(path), threading.Event())
        assert isinstance(failed, Failed)
        assert failed.message.startswith("mine.wav")
        assert str(tmp_path) not in failed.message
    finally:
        process.close()


def test_jobs_can_be_awaited(store: JobStore) -> None:
    async def wait() -> Any:
        job = admit(store, 1)
        asyncio.get_running_loop().call_soon(store.end, job, "failed", Problem(422, "silent", "It is silent."))
        await asyncio.wait_for(job.ended.wait(), 30)
        return job

    assert asyncio.run(wait()).problem.to_dict()["status"] == 422
