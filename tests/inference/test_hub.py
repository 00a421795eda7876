"""Runs on the hub: fetched by the real client from a stand-in, checked, kept, and refused in one line."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub.constants
import numpy as np
import pytest

from spectro.core.config import RenderConfig
from spectro.core.errors import ConfigError, RunError
from spectro.core.runs import Run
from spectro.inference.hub import FETCHED, local_run
from spectro.inference.predict import Predictor
from tests.conftest import RATE, texture
from tests.inference.conftest import MakeRun
from tests.stand_in import Handler, StandIn

COMMIT = "1" * 40


class Hub(StandIn):
    """A hub with one repository, `someone/first`."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.asked: list[str] = []
        hub = self

        class Answers(Handler):
            def do_HEAD(self) -> None:
                self.answer(body=False)

            def do_GET(self) -> None:
                self.answer(body=True)

            def answer(self, *, body: bool) -> None:
                path = self.path.partition("?")[0]
                if body:
                    hub.asked.append(path)
                if path.startswith("/api/models/someone/first"):
                    siblings = [{"rfilename": name} for name in hub.files]
                    values = {"id": "someone/first", "sha": COMMIT, "siblings": siblings, "private": False}
                    tree = [
                        {"type": "file", "path": name, "size": len(hub.files[name]), "oid": "0"} for name in hub.files
                    ]
                    content = json.dumps(tree if "/tree/" in path else values).encode()
                    return self.reply(200, content, {"Content-Type": "application/json"}, body=body)
                name = path.rpartition("/")[2]
                if not path.startswith("/someone/first/resolve/") or name not in hub.files:
                    headers = {"X-Error-Code": "RepoNotFound" if "first" not in path else "EntryNotFound"}
                    return self.reply(404, b"", headers, body=body)
                content = hub.files[name]
                headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": COMMIT}
                return self.reply(200, content, headers, body=body)

        super().__init__(Answers)


@pytest.fixture
def run(make_network_run: MakeRun, small: RenderConfig, tmp_path: Path) -> Run:
    return make_network_run(tmp_path / "first", small)


@pytest.fixture
def hub(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    files = {path.name: path.read_bytes() for path in run.path.iterdir() if path.is_file()}
    stand_in = Hub({**files, "pytorch_model.bin": b"never fetched", "handler.py": b"never run"})
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", stand_in.address)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    template = f"{stand_in.address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    yield stand_in
    stand_in.stop()


def test_a_run_on_the_hub_answers_as_the_run_itself(hub: Hub, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = (texture("hum", 1, 1), RATE)
    (here,) = Predictor.load(run, "cpu")([sound])
    (there,) = Predictor.load("hf:someone/first", "cpu")([sound])
    assert np.array_equal(here.probs, there.probs)  # type: ignore[union-attr]
    fetched = {path.rpartition("/")[2] for path in hub.asked if "/resolve/" in path}
    assert fetched == {"card.json", "weights.safetensors"}
    hub.stop()
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert Predictor.load(Path("hf:someone/first"), "cpu").labels == run.card.labels


def test_damaged_weights_are_refused(hub: Hub) -> None:
    hub.files["weights.safetensors"] = hub.files["weights.safetensors"][:-4] + b"oops"
    with pytest.raises(RunError, match=r"weights\.safetensors is damaged"):
        Predictor.load("hf:someone/first", "cpu")


def test_what_is_no_run_is_one_line(hub: Hub, tmp_path: Path) -> None:
    del hub.files["card.json"]
    with pytest.raises(RunError, match=r"has no card\.json") as refused:
        local_run("hf:someone/first")
    assert "\n" not in str(refused.value)
    with pytest.raises(RunError, match="could not be fetched") as refused:
        local_run("hf:someone/other")
    assert "\n" not in str(refused.value)
    for address in ("hf:first", "hf:a/b/c", "hf:../x", "hf:a/b@"):
        with pytest.raises(ConfigError, match="must be hf:owner/name"):
            local_run(address)
    assert local_run(tmp_path) == tmp_path
    assert not any(name.endswith((".bin", ".py", ".pt")) for name in FETCHED)
