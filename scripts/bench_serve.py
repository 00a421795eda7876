"""The server against a FastAPI and torch endpoint as most people write it, paired: throughput, latency and memory.

The rival needs two packages that spectro does not: pip install fastapi python-multipart
"""

from __future__ import annotations

import http.client
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import count
from pathlib import Path

import numpy as np
import soundfile
from bench_job import tones
from cyclopts import App

import spectro
from spectro.core.config import FinetuneConfig, ModelConfig, SplitConfig

ROOT = Path(__file__).resolve().parent.parent
CLIENTS = (1, 8, 64)
AIM = 2.0
"""Times the throughput of the faster rival."""
BOUNDARY = "bench-serve"
SHORT = 2.0
"""Length of the sounds that the memory is measured with, in seconds."""

app = App(help=__doc__)


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where requests go, and what is sent there."""

    port: int
    path: str
    bodies: Sequence[bytes]
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(kw_only=True)
class Load:
    """What some clients saw in a while."""

    times: list[float] = field(default_factory=list)
    """Duration of each request that was answered, in seconds."""
    statuses: Counter[int] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.times) / self.seconds

    def percentile(self, share: float) -> float:
        """Return a percentile of the times, in seconds; not a number where nothing was answered."""
        return float(np.percentile(self.times, share)) if self.times else float("nan")


def load(target: Target, clients: int, seconds: float, most: int = sys.maxsize) -> Load:
    """Let clients ask again and again, each on its own connection, coming again when and where they are told to."""
    seen, lock, numbers, begin = Load(), threading.Lock(), count(), time.perf_counter()

    def ask() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", target.port, timeout=120)
        while (number := next(numbers)) < most and (sent := time.perf_counter()) < begin + seconds:
            connection.request("POST", target.path, target.bodies[number % len(target.bodies)], dict(target.headers))
            response = connection.getresponse()
            response.read()
            now = time.perf_counter()
            with lock:
                seen.statuses[response.status] += 1
                if response.status == 200:
                    seen.times.append(now - sent)
            if retry := response.getheader("Retry-After"):
                pause = float(retry) * np.random.default_rng(number).uniform(0.75, 1.25)
                time.sleep(max(0.0, min(pause, begin + seconds - time.perf_counter())))
        connection.close()

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seen.seconds = time.perf_counter() - begin
    return seen


@app.default
def main(run: Path | None = None, /, *, seconds: float = 6.0, rounds: int = 5, requests: int = 5000) -> None:
    """Measure both servers by turns, on this machine only.

    Parameters
    ----------
    run
        A run of one network; by default MobileNetV2 with random weights, for time does not depend on them.
    seconds
        Duration of one measurement.
    rounds
        Measurements of each server at each number of clients; medians are printed.
    requests
        Requests after which the memory must not have grown; 0 leaves that out.
    """
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        folder = Path(scratch)
        run = run or make_run(folder)
        sounds = [path.read_bytes() for path in sorted((ROOT / "assets" / "demo").rglob("*.ogg"))[:16]]
        port, process = stack.enter_context(own_server(run))
        own = Target(port=port, path="/v1/predictions?name=sound.ogg", bodies=sounds)
        targets = {"spectro serve": own}
        if find_spec("fastapi") and find_spec("python_multipart"):
            rival = stack.enter_context(rival_server(run))
            headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
            forms = [as_form(sound) for sound in sounds]
            for path in ("/async", "/threads"):
                targets[f"FastAPI {path[1:]}"] = Target(port=rival, path=path, bodies=forms, headers=headers)
        else:
            print("SKIPPED: the rival, for there is no FastAPI: pip install fastapi python-multipart")
        for target in targets.values():
            load(target, 2, seconds)  # the first requests load what is loaded late
        for clients in CLIENTS:
            loads: dict[str, list[Load]] = {name: [] for name in targets}
            for _ in range(rounds):
                for name, target in targets.items():
                    loads[name].append(load(target, clients, seconds))
            print_loads(clients, loads)
        if requests:
            measure_memory(port, process, requests)


def make_run(folder: Path) -> Path:
    """Return a run of MobileNetV2 that has hardly been trained."""
    tones(folder / "sounds", 40)
    spectro.render(folder / "sounds", out=folder / "data")
    spectro.split(folder / "data", config=SplitConfig(by="group"))
    config = FinetuneConfig(frozen_epochs=0, epochs=1, device="cpu", augment="none")
    network = ModelConfig(name="mobilenetv2_100")
    return spectro.finetune(
        folder / "data", out=folder / "run", model=network, config=config, weights="none"
    ).path  # fmt: skip


@contextmanager
def own_server(run: Path) -> Iterator[tuple[int, int]]:
    """Start `spectro serve`; yield its port and its process id."""
    command = (sys.executable, "-m", "spectro", "serve", str(run), "--port", "0")
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        line = process.stderr.readline()
        try:
            yield int(line.rsplit(":", 1)[1]), process.pid
        finally:
            process.terminate()


@contextmanager
def rival_server(run: Path) -> Iterator[int]:
    """Start the rival; yield its port."""
    options = ("--port", "0", "--app-dir", str(ROOT / "scripts"), "--no-access-log")
    command = (sys.executable, "-m", "uvicorn", "rival_server:app", *options)
    environment = {**os.environ, "RIVAL_RUN": str(run)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr
        try:
            for line in process.stderr:
                if match := re.search(r"running on http://\S+:(\d+)", line):
                    yield int(match[1])
                    break
            else:
                raise SystemExit("the rival did not start")
        finally:
            process.terminate()


def as_form(sound: bytes) -> bytes:
    """Return a file as a browser's form sends it."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="sound.ogg"\r\n\r\n'
    return head.encode() + sound + f"\r\n--{BOUNDARY}--\r\n".encode()


def print_loads(clients: int, loads: Mapping[str, Sequence[Load]]) -> None:
    """Print medians over the rounds, and how many times as many answers a second the own server gave."""
    print(f"{clients} clients: answers/s, seconds at p50, p95, p99, and all statuses")
    for name, rounds in loads.items():
        values = [statistics.median(one.percentile(share) for one in rounds) for share in (50, 95, 99)]
        statuses = sum((one.statuses for one in rounds), Counter())
        rate = statistics.median(one.rate for one in rounds)
        print(f"  {name:16} {rate:6.2f}/s " + " ".join(f"{value:6.2f}" for value in values), dict(statuses))
    own, *rivals = loads.values()
    for name, rival in zip(list(loads)[1:], rivals, strict=True):
        ratio = statistics.median(first.rate / max(second.rate, 1e-9) for first, second in zip(own, rival, strict=True))
        print(f"  {ratio:.2f} times {name} (aim {AIM:g})", flush=True)


def measure_memory(port: int, process: int, requests: int) -> None:
    """Print the memory of the server and its decoder while it answers many short requests."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "short.wav"
        soundfile.write(path, 0.1 * rng.standard_normal(int(SHORT * 22050)), 22050)
        target = Target(port=port, path="/v1/predictions?name=short.wav", bodies=[path.read_bytes()])
    statuses: Counter[int] = Counter()
    for part in range(10):
        statuses += load(target, 8, 600, requests // 10).statuses
        print(f"  after {requests // 10 * (part + 1)} requests {memory(process)} MB", dict(statuses), flush=True)


def memory(process: int) -> int:
    """Return the memory of a process and its children in MB."""
    children = " ".join(path.read_text() for path in Path(f"/proc/{process}/task").glob("*/children")).split()
    kilobytes = 0
    for number in (process, *children):
        status = Path(f"/proc/{number}/status").read_text("ascii")
        kilobytes += int(re.search(r"VmRSS:\s+(\d+)", status)[1])  # type: ignore[index]
    return kilobytes // 1000


if __name__ == "__main__":
    app()
