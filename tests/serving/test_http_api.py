"""The server as a process: the answers of `spectro predict`, every refusal, and nothing lost under load."""

from __future__ import annotations

import http.client
import io
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image as Pillow

import spectro
from spectro.core.runs import Run
from spectro.data.clip_rendering import render_clip
from tests.conftest import RATE, Noise, Tone, texture
from tests.serving.server_process import WAIT, Answered, ServerProcess, Upload, read

pytest.importorskip("uvicorn", reason="THE SERVER IS UNTESTED: no uvicorn")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="signals and /proc as on Linux"),
]
LIMITS = ("--max-megabytes", "2", "--max-minutes", "0.5", "--keep-megabytes", "50", "--stall-seconds", "60")
QUEUE, POSTS = 16, 200


@pytest.fixture(scope="module")
def server(runs: Mapping[str, Run], tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    started = ServerProcess([runs["both"].path, runs["cnn5"].path], tmp_path_factory.mktemp("served"), *LIMITS)
    yield started
    assert started.stop() == 0
    assert started.log == []
    assert list(started.folder.iterdir()) == []


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("sounds")
    paths = [folder / "first one.wav", folder / "second.flac"]
    for number, path in enumerate(paths):
        soundfile.write(path, texture("hum", number, 7, seconds=2.5 + number), RATE)
    return paths


def predicted(run: Run, sounds: list[Path], *options: str) -> bytes:
    """Return what the command line prints."""
    names = [path.name for path in sounds]
    command = [sys.executable, "-m", "spectro", "predict", str(run.path), *names, *options]
    return subprocess.run(command, cwd=sounds[0].parent, check=True, stdout=subprocess.PIPE).stdout


def job_of(answered: Answered) -> str:
    """Return the id of a job that was accepted."""
    assert answered.status == 202, answered.body
    assert answered.headers["location"] == f"/v1/jobs/{answered.json()['id']}"
    return str(answered.json()["id"])


def test_page_and_command_line_give_the_same_bytes(
    server: ServerProcess, runs: Mapping[str, Run], sounds: list[Path]
) -> None:
    answered = server.post(sounds[0])
    assert (answered.status, answered.headers["content-type"]) == (200, "application/json")
    assert answered.body == predicted(runs["both"], sounds[:1], "--json")
    jobs = [job_of(server.post(path, later=True)) for path in sounds]
    for job in jobs:
        server.until(job, "done")
    assert server.ask("GET", f"/v1/jobs/{jobs[0]}/result.json").body == answered.body
    ids = "\n".join(jobs).encode()
    table = server.ask("POST", "/v1/tables/result.csv", ids)
    assert table.body == predicted(runs["both"], sounds, "--out", "-")
    assert server.ask("GET", f"/v1/jobs/{jobs[1]}/labels.txt").body.startswith(b"0.000000\t1.000000\t")
    assert server.ask("GET", f"/v1/jobs/{jobs[1]}/selections.txt").body.count(b"\n") == 1 + 4


def test_members_are_added_on_demand(server: ServerProcess, runs: Mapping[str, Run], sounds: list[Path]) -> None:
    values = server.post(sounds[1], members="true").json()
    assert [member["name"] for member in values.pop("members")] == ["cnn5", "crnn"]
    assert values == server.post(sounds[1]).json()
    alone = server.post(sounds[1], run="cnn5", members="true").json()
    assert alone["members"] == []
    member = server.post(sounds[1], members="true").json()["members"][0]
    assert member["segments"] == alone["files"][0]["segments"]


def test_a_job_shows_and_plays_its_sound(server: ServerProcess, runs: Mapping[str, Run], sounds: list[Path]) -> None:
    path = sounds[1]
    job = job_of(server.post(path, later=True))
    values = server.until(job, "done")
    assert values["sound"] == {"seconds": 3.5, "sample_rate": RATE, "channels": 1, "playable": True}
    config = runs["cnn5"].card.of_model()[0].render_config
    for number, (start, image) in enumerate(render_clip(path, config)):
        assert values["spectrogram"]["starts"][number] == start
        answered = server.ask("GET", f"/v1/jobs/{job}/segments/{number}.png")
        assert answered.headers["content-type"] == "image/png"
        np.testing.assert_array_equal(np.asarray(Pillow.open(io.BytesIO(answered.body))), image)
    content = path.read_bytes()
    part = server.ask("GET", f"/v1/jobs/{job}/audio", Range="bytes=100-299")
    assert (part.status, part.body) == (206, content[100:300])
    assert part.headers["content-type"] == "audio/flac"
    assert server.ask("GET", f"/v1/jobs/{job}/audio").body == content
    assert server.ask("DELETE", f"/v1/jobs/{job}").status == 204
    for what in ("", "/audio", "/result.json", "/segments/0.png"):
        assert server.ask("GET", f"/v1/jobs/{job}{what}").status == 404


def test_states_come_as_events_until_the_job_has_ended(server: ServerProcess, sounds: list[Path]) -> None:
    worker = server.worker()
    os.kill(worker, signal.SIGSTOP)
    first, second = (job_of(server.post(path, later=True)) for path in sounds)
    server.until(first, "decoding")
    stream = http.client.HTTPConnection("127.0.0.1", server.port, timeout=WAIT)
    stream.request("GET", f"/v1/jobs/{second}/events")
    response = stream.getresponse()
    assert response.getheader("content-type") == "text/event-stream; charset=utf-8"
    states = [event_of(response)]
    os.kill(worker, signal.SIGCONT)
    states += iter(lambda: event_of(response), None)
    stream.close()
    assert (states[0]["state"], states[0]["ahead"]) == ("waiting", 1)
    assert states[-1] == server.ask("GET", f"/v1/jobs/{second}").json()
    assert states[-1]["state"] == "done"
    assert len({json.dumps(state) for state in states}) == len(states)


def event_of(response: http.client.HTTPResponse) -> Any:
    """Return the data of the next event of a stream; None where it has ended."""
    lines = list(iter(lambda: response.readline().decode().rstrip("\n"), ""))
    if not lines:
        return None
    assert lines[0] == "event: state"
    return json.loads(lines[1].removeprefix("data: "))


def test_what_decided_is_what_the_command_explain_finds(
    server: ServerProcess, runs: Mapping[str, Run], sounds: list[Path]
) -> None:
    job = job_of(server.post(sounds[1], later=True))
    values = server.until(job, "done")
    assert [network["name"] for network in values["explainable"]] == ["cnn5", "crnn"]
    label = server.ask("GET", f"/v1/jobs/{job}/result.json").json()["files"][0]["label"]
    for name, number in (("cnn5", 2), ("crnn", 1)):
        before = server.stored()
        path = f"/v1/jobs/{job}/segments/{number}/explanation.png?member={name}"
        answered = server.ask("GET", path)
        explained = spectro.explain(runs[name], sounds[1], label=label, start=values["spectrogram"]["starts"][number])
        grey = np.asarray(Pillow.open(io.BytesIO(answered.body)), np.float64)
        importance = explained.importance / max(explained.importance.max(), 1e-9)
        np.testing.assert_allclose(grey, 255 * importance, atol=0.51)
        assert answered.headers["spectro-method"] == ("occlusion" if explained.cam is None else "grad-cam")
        order = explained.deletions[answered.headers["spectro-method"]]
        passes = order.area < explained.deletions["random"].area
        assert answered.headers["spectro-check"] == ("passes" if passes else "fails")
        assert server.stored() == before + len(answered.body)
        assert server.ask("GET", path).body == answered.body
        assert server.stored() == before + len(answered.body)
    for wrong, reason in (("9/explanation.png", "no-such-segment"), ("0/explanation.png?member=x", "no-such-member")):
        refused = server.ask("GET", f"/v1/jobs/{job}/segments/{wrong}")
        assert (refused.status, refused.json()["reason"]) == (404, reason)


def test_nothing_of_an_answered_request_is_kept(server: ServerProcess, sounds: list[Path]) -> None:
    before = server.stored()
    assert server.post(sounds[0]).status == 200
    assert server.stored() <= before


def encoded(samples: Any, rate: int = RATE, kind: str = "WAV") -> bytes:
    """Return a file."""
    buffer = io.BytesIO()
    container, _, coding = kind.partition("_")
    soundfile.write(buffer, samples, rate, format=container, subtype=coding or None)
    return buffer.getvalue()


def test_what_cannot_be_used_is_refused_with_the_reason(server: ServerProcess, tone: Tone, noise: Noise) -> None:
    sound = encoded(tone())
    long = encoded(np.zeros(8000 * 31, np.int16), 8000, "FLAC")  # a few bytes that hold 31 seconds
    bomb = encoded(np.zeros(8000 * 600, np.float32), 8000, "OGG_OPUS")  # ten minutes
    assert len(bomb) < 200_000
    stereo = encoded(np.zeros((8000 * 16, 2), np.int16), 8000, "FLAC")
    cases: list[tuple[int, str, bytes, str, dict[str, str]]] = [
        (400, "unreadable", b"<html>no sound</html>", "", {}),
        (400, "truncated", encoded(noise(seconds=5), kind="FLAC")[:20_000], "", {}),
        (400, "empty", b"", "", {}),
        (422, "silent", encoded(np.zeros(RATE)), "", {}),
        (422, "too-short", encoded(tone(seconds=0.1)), "", {}),
        (413, "too-long", long, "", {}),
        (413, "too-long", bomb, "", {}),
        (413, "too-long", stereo, "", {}),
        (413, "too-large", b"\0" * 2_000_001, "", {}),
        (415, "multipart", sound, "", {"Content_Type": "multipart/form-data; boundary=x"}),
        (415, "encoded", sound, "", {"Content_Encoding": "gzip"}),
        (404, "no-such-run", sound, "run=..%2Fcnn5", {}),
        (400, "parameter", sound, "min_confidence=nan", {}),
        (400, "parameter", sound, "overlap=1", {}),
        (400, "parameter", sound, "nmae=a.wav", {}),
        (400, "parameter", sound, "name=a&name=b", {}),
        (421, "wrong-host", sound, "", {"Host": "attacker.example"}),
        (403, "wrong-origin", sound, "", {"Origin": "https://attacker.example"}),
    ]
    for status, reason, body, query, headers in cases:
        answered = server.ask("POST", f"/v1/predictions?{query}", body, **headers)
        assert (answered.status, answered.json()["reason"]) == (status, reason)
        assert answered.headers["content-type"] == "application/problem+json"
        assert str(server.folder) not in answered.json()["detail"]
    assert server.ask("POST", "/v1/predictions", sound).status == 200


@pytest.mark.parametrize(
    "path", ["/page/..%2fapi.py", "/page/../api.py", "/page//etc/hosts", "/v1/jobs/..%2f..", "/v1/runs/%2e%2e", "/x"]
)
def test_no_path_leads_to_a_file(server: ServerProcess, path: str) -> None:
    answered = server.ask("GET", path)
    assert answered.status == 404
    assert answered.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("size", [1_000_000_000, None], ids=["declared", "chunked"])
def test_a_large_body_is_refused_and_not_written(server: ServerProcess, size: int | None) -> None:
    before = server.stored()
    upload = Upload(server, size)
    block = b"\0" * 65_536
    most = 0
    try:
        for _ in range(64):  # 4 MB; the limit is 2 MB
            upload.send(block if size else b"%x\r\n%b\r\n" % (len(block), block))
            most = max(most, server.stored() - before)
            if select.select([upload.socket], [], [], 0)[0]:
                break
    except (BrokenPipeError, ConnectionResetError):  # it hung up, having said why
        pass
    answered = read(upload.connection)
    assert (answered.status, answered.json()["reason"]) == (413, "too-large")
    assert most < 1_000_000 if size else most <= 2_000_000
    assert server.stored() <= before


def test_of_two_hundred_at_once_none_is_lost(server: ServerProcess, sounds: list[Path]) -> None:
    content = sounds[0].read_bytes()
    uploads = [Upload(server, len(content)) for _ in range(POSTS)]
    for upload in uploads:
        upload.send(content[:1000])
    refused: list[Upload] = []
    waiting = {upload.socket: upload for upload in uploads}
    while len(refused) < POSTS - QUEUE:
        ready, _, _ = select.select(list(waiting), [], [], 60)
        assert ready, f"only {len(refused)} were refused"
        refused += [waiting.pop(one) for one in ready]
    for upload in refused:
        answered = read(upload.connection)
        assert (answered.status, answered.json()["reason"]) == (503, "busy")
        assert int(answered.headers["retry-after"]) > 0
    for upload in waiting.values():
        upload.send(content[1000:])
    answers = [read(upload.connection) for upload in waiting.values()]
    assert [answered.status for answered in answers] == [200] * QUEUE
    assert len({answered.body for answered in answers}) == 1


def test_a_killed_decoder_costs_one_job(server: ServerProcess, sounds: list[Path]) -> None:
    worker = server.worker()
    os.kill(worker, signal.SIGSTOP)
    first, second = (job_of(server.post(path, later=True)) for path in sounds)
    server.until(first, "decoding")
    os.kill(worker, signal.SIGKILL)
    problem = server.until(first, "failed")["problem"]
    assert (problem["status"], problem["reason"]) == (422, "crashed")
    server.until(second, "done")


def test_work_for_a_client_that_is_gone_is_dropped(server: ServerProcess, sounds: list[Path]) -> None:
    worker = server.worker()
    os.kill(worker, signal.SIGSTOP)
    content = sounds[0].read_bytes()
    upload = Upload(server, len(content))
    upload.send(content)
    active = "spectro_jobs_active "
    lines = iter(lambda: server.ask("GET", "/metrics").body.decode(), None)
    assert any(f"{active}1" in text for text in lines)
    upload.close()
    assert any(f"{active}0" in text for text in lines)
    with suppress(ProcessLookupError):  # it was ended, unless the client was gone before the decoder had its task
        os.kill(worker, signal.SIGCONT)
    assert server.post(sounds[0]).status == 200


def test_a_signal_lets_work_under_way_finish(runs: Mapping[str, Run], sounds: list[Path], tmp_path: Path) -> None:
    server = ServerProcess([runs["cnn5"].path], tmp_path / "served")
    worker = server.worker()
    os.kill(worker, signal.SIGSTOP)
    answers: list[Answered] = []
    client = threading.Thread(target=lambda: answers.append(server.post(sounds[0])))
    client.start()
    while "spectro_jobs_active 1" not in server.ask("GET", "/metrics").body.decode():
        time.sleep(0.05)
    server.process.send_signal(signal.SIGTERM)
    while True:
        try:
            server.ask("GET", "/healthz")
            time.sleep(0.05)
        except (ConnectionError, OSError):  # it no longer listens
            break
    os.kill(worker, signal.SIGCONT)
    client.join()
    assert answers[0].status == 200
    assert server.stop() == 0
    assert list(server.folder.iterdir()) == []


def test_the_description_is_valid_and_complete(server: ServerProcess, sounds: list[Path]) -> None:
    validator = pytest.importorskip("openapi_spec_validator")
    description = server.ask("GET", "/openapi.json").json()
    validator.validate(description)
    job = job_of(server.post(sounds[0], later=True))
    server.until(job, "done")
    values = {"id": job, "name": "cnn5", "number": "0", "form": "result.csv"}
    for path, methods in description["paths"].items():
        for method in ("get", "post", "delete"):
            if method == "delete" or (method, path) == ("post", "/v1/session"):
                continue
            body = job.encode() if path.startswith("/v1/tables") else sounds[0].read_bytes()
            answered = server.ask(method.upper(), path.format(**values), body if method == "post" else None)
            status = str(answered.status)
            assert (status == "405") == (method not in methods), (method, path)
            if method in methods:
                assert status in methods[method]["responses"]
                kind = answered.headers["content-type"].partition(";")[0]
                content = methods[method]["responses"][status]["content"]
                assert kind in content or f"{kind.partition('/')[0]}/*" in content


def test_facts_of_a_run_and_the_metrics(server: ServerProcess, runs: Mapping[str, Run]) -> None:
    listed = server.ask("GET", "/v1/runs").json()
    assert [run["name"] for run in listed["runs"]] == ["both", "cnn5"]
    assert listed["limits"]["bytes"] == 2_000_000
    facts = server.ask("GET", "/v1/runs/both").json()
    assert facts["labels"] == list(runs["both"].card.labels)
    assert facts["split"]["leaking_groups"] == 0
    assert json.dumps(facts)
    text = server.ask("GET", "/metrics").body.decode()
    assert "# TYPE spectro_answer_seconds histogram" in text
    assert all(line.startswith(("#", "spectro_")) for line in text.splitlines())
    assert server.ask("GET", "/readyz").status == 200
