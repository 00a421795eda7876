"""The hub gets weights and cards only, with the stored token, and refusals are named."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import numpy as np
import pytest
import safetensors.numpy

from spectro.cli import main
from spectro.core.errors import ConfigError, RunError
from spectro.core.runs import Run
from spectro.evaluation.evaluate import evaluate
from spectro.serving.hub import push
from tests import builders
from tests.stand_in import Handler, StandIn


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """An evaluated run with weights, and files that must not leave it."""
    path = tmp_path / "first"
    path.mkdir()
    safetensors.numpy.save_file({"head.weight": np.zeros((3, 4), np.float32)}, path / "weights.safetensors")
    for name in ("checkpoint.pt", "job.json", "history.csv"):
        (path / name).write_text("not for others")
    run = builders.make_run(path)
    evaluate(run)
    return run


class Hub(StandIn):
    """A stand-in for the hub on this machine: keeps what is committed, and can refuse."""

    def __init__(self) -> None:
        self.created: list[dict[str, Any]] = []
        self.files: dict[str, bytes] = {}
        self.tokens: set[str | None] = set()
        self.refuse = False
        hub = self

        class Answers(Handler):
            def do_GET(self) -> None:
                self.answer({"id": "someone/first", "siblings": [], "sha": "0" * 40, "private": False})

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hub.tokens.add(self.headers.get("Authorization"))
                if hub.refuse:
                    self.answer({"error": "Invalid username or password."}, 401)
                elif self.path == "/api/repos/create":
                    hub.created.append(json.loads(body))
                    self.answer({"url": f"{hub.address}/someone/first", "name": "someone/first"})
                elif self.path == "/api/validate-yaml":
                    self.answer({"errors": [], "warnings": []})
                elif "/preupload/" in self.path:
                    files = [file["path"] for file in json.loads(body)["files"]]
                    answers = [{"path": path, "uploadMode": "regular", "shouldIgnore": False} for path in files]
                    self.answer({"files": answers})
                elif "/commit/" in self.path:
                    for line in map(json.loads, body.splitlines()):
                        if line["key"] == "file":
                            hub.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
                    address = f"{hub.address}/someone/first/commit/{'1' * 40}"
                    self.answer({"commitUrl": address, "commitOid": "1" * 40, "success": True})
                else:
                    self.answer({}, 404)

            def answer(self, value: Any, code: int = 200) -> None:
                self.reply(code, json.dumps(value).encode(), {"Content-Type": "application/json"})

        super().__init__(Answers)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The real client, talking to a stand-in with a token of its own."""
    stand_in = Hub()
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", stand_in.address)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    yield stand_in
    stand_in.stop()


def test_weights_and_cards_are_pushed_and_nothing_else(run: Run, hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["models", "push", str(run.path), "hf:someone/first", "--private"])
    output = capsys.readouterr()
    assert not stopped.value.code, output.err
    assert f"{hub.address}/someone/first" in output.out
    assert (hub.created[0]["name"], hub.created[0]["organization"]) == ("first", "someone")
    assert set(hub.files) == {"weights.safetensors", "card.json", "README.md"}
    assert hub.files["weights.safetensors"] == run.weights_path.read_bytes()
    assert hub.files["card.json"] == run.card_path.read_bytes()
    assert hub.files["README.md"].startswith(b"---\nlibrary_name: spectro\n")
    assert hub.tokens == {"Bearer hf_test"}


def test_an_edited_model_card_is_pushed_as_it_is(run: Run, hub: Hub) -> None:
    (run.path / "README.md").write_text("---\nlicense: mit\n---\nMine.\n")
    push(run, "hf:someone/first")
    assert hub.files["README.md"].endswith(b"Mine.\n")


def test_what_cannot_be_pushed_is_explained(run: Run, hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="hf:owner/name"):
        push(run, "someone/first")
    hub.refuse = True
    with pytest.raises(RunError, match="someone/first could not be uploaded"):
        push(run, "hf:someone/first")
    run.weights_path.unlink()
    both = Run(tmp_path / "both")
    members = {"a": run.path, "b": run.path}
    builders.make_run(both.path, {"test": builders.random_predictions().pool()}, builders.ensemble_card(both, members))
    with pytest.raises(RunError, match="push its members: a, b"):
        push(both, "hf:someone/first")
