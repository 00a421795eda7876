"""The server as a process under abuse: slow clients, a violent death, and requests that a fuzzer makes up."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import soundfile

from spectro.core.runs import Run
from tests.conftest import RATE, texture
from tests.serving.server_process import WAIT, ServerProcess, Upload, read

pytest.importorskip("uvicorn", reason="THE SERVER IS UNTESTED: no uvicorn")
schemathesis = pytest.importorskip("schemathesis", reason="THE API IS NOT FUZZED: no schemathesis")
hypothesis = pytest.importorskip("hypothesis")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="signals and /proc as on Linux"),
]
QUICK = list(hypothesis.HealthCheck)
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
)
"""What is asked of every answer; that a valid request is accepted is not, for random bytes are no sound."""


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sound") / "sound.wav"
    soundfile.write(path, texture("hum", 1, 7, seconds=2.5), RATE)
    return path


@pytest.fixture(scope="module")
def server(runs: Mapping[str, Run], tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    started = ServerProcess([runs["both"].path], tmp_path_factory.mktemp("served"), "--stall-seconds", "1")
    yield started
    assert started.stop() == 0
    assert list(started.folder.iterdir()) == []


@pytest.mark.parametrize("part", [b"", b"a"], ids=["silent", "a byte at a time"])
def test_a_slow_body_is_refused_and_its_place_is_free(server: ServerProcess, sound: Path, part: bytes) -> None:
    upload = Upload(server, 1_000_000)
    upload.send(b"RIFF")
    upload.socket.settimeout(0.2)
    for _ in range(int(5 * WAIT)):
        try:
            if upload.socket.recv(1, socket.MSG_PEEK):
                break
        except TimeoutError:
            upload.send(part)
    upload.socket.settimeout(WAIT)
    answered = read(upload.connection)
    assert (answered.status, answered.json()["reason"]) == (408, "slow-body")
    assert b"spectro_jobs_active 0" in server.ask("GET", "/metrics").body
    assert server.post(sound).status == 200


@pytest.mark.parametrize("head", [b"", b"GET /v1/runs HTTP/1.1\r\nHost: localhost\r\n"], ids=["nothing", "half a head"])
def test_connections_that_do_not_ask_are_closed(server: ServerProcess, head: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=WAIT) as connection:
        connection.send(head)
        assert connection.recv(1) == b""


def test_after_a_violent_death_the_next_server_cleans_up(runs: Mapping[str, Run], sound: Path, tmp_path: Path) -> None:
    first = ServerProcess([runs["cnn5"].path], tmp_path)
    worker = first.worker()
    assert first.post(sound, later=True).status == 202
    assert first.stored() > 0
    first.process.send_signal(signal.SIGKILL)
    assert first.stop() == -signal.SIGKILL
    second = ServerProcess([runs["cnn5"].path], tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    assert second.post(sound).status == 200
    assert not os.path.exists(f"/proc/{worker}")
    assert second.stop() == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", schemathesis.GenerationMode)
def test_whatever_is_asked_the_answer_is_as_described(server: ServerProcess, sound: Path, mode: Any) -> None:
    job = server.post(sound, later=True).json()["id"]
    server.until(job, "done")
    description = server.ask("GET", "/openapi.json").json()
    description["components"]["parameters"]["JobId"]["schema"]["enum"] = [job, "none"]
    schemathesis.checks.load_all_checks()
    checks = schemathesis.checks.CHECKS.get_by_names(CHECKS)
    asked = 0
    for operation in schemathesis.openapi.from_dict(description).exclude(method="DELETE").get_all_operations():

        @hypothesis.given(case=operation.ok().as_strategy(generation_mode=mode))
        @hypothesis.settings(
            max_examples=12, deadline=None, derandomize=True, database=None, suppress_health_check=QUICK
        )
        def ask(case: Any) -> None:
            nonlocal asked
            asked += 1
            case.call_and_validate(base_url=server.address, timeout=WAIT, checks=checks)

        with suppress(hypothesis.errors.Unsatisfiable):  # nothing can be wrong with a request without parameters
            ask()
    assert asked > 70
    assert server.log == []
