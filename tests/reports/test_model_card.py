"""The model card says what the run's files say, and the hub gets weights and cards only."""

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
import yaml
from huggingface_hub import ModelCard

from spectro import Predictions, RenderConfig, Run, evaluate, model_card, push
from spectro.cli import main
from spectro.core.errors import ConfigError, RunError
from tests.stand_in import Handler, StandIn

LABELS = ("hiss", "hum", "pulse")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A folder like that of a finished run: 24 clips in 12 groups, judged; and what must not leave it."""
    rng = np.random.default_rng(0)
    truth = np.repeat(np.arange(24) % 3, 3)
    probs = rng.dirichlet(np.ones(3), 72) * 0.5 + 0.5 * np.eye(3)[truth]
    clips = [f"clip{number // 3}" for number in range(72)]
    said = Predictions(
        ids=tuple(f"{clip}@{item % 3}" for item, clip in enumerate(clips)),
        clip_ids=tuple(clips),
        groups=tuple(f"group{number // 6}" for number in range(72)),
        labels=LABELS,
        probs=probs,
        truth=truth,
    )
    made = Run(tmp_path / "first")
    said.save(made.predictions_path("test"))
    safetensors.numpy.save_file({"head.weight": np.zeros((3, 4), np.float32)}, made.weights_path)
    for name in ("checkpoint.pt", "job.json", "history.csv"):
        (made.path / name).write_text("not for others")
    made.write_card(
        {
            "name": "first",
            "kind": "torch",
            "model": {"name": "resnet18", "parameters": 11_200_000},
            "labels": list(LABELS),
            "weights": {"origin": "hub timm/resnet18", "file": "r.safetensors", "sha256": "0", "licence": "Apache-2.0"},
            "feature": {"name": "mel", "config": RenderConfig().to_dict()},
            "vote": "soft",
            "temperature": 1.0,
            "split": {"name": "group", "title": "group", "by": "group", "sha256": "ab" * 32, "leaky": False},
            "data": {"path": "/home/someone/sounds", "clips": 24, "segments": 72, "labels": dict.fromkeys(LABELS, 8)},
            "command": "spectro finetune sounds",
        }
    )
    evaluate(made)
    return made


def test_the_card_says_what_the_files_say(run: Run) -> None:
    text = model_card(run, data_licence="CC-BY-4.0")
    accuracy = run.metrics()["clip"]["accuracy"]
    assert "{value:.3f} ({low:.3f} to {high:.3f})".format(**accuracy) in text
    for words in ("24 clips in 12 groups", "11.20 M parameters", "ab" * 32, "licence: Apache-2.0", "CC-BY-4.0"):
        assert words in text
    assert "Only 12 independent groups" in text
    assert "up to 11025 Hz" in text
    assert "LEAKY" not in text
    assert "/home" not in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {row.count("|") for row in rows[:-5]} == {4}  # one column for segments, one for clips
    assert [row.split("|")[1].strip() for row in rows[-3:]] == list(LABELS)


def test_hugging_face_can_read_its_metadata(run: Run) -> None:
    metadata = ModelCard(model_card(run), ignore_metadata_errors=False).data
    assert (metadata.license, metadata.library_name) == ("apache-2.0", "spectro")
    assert metadata.pipeline_tag == "audio-classification"
    assert metadata.eval_results is not None
    found = {result.metric_type: result.metric_value for result in metadata.eval_results}
    assert found["accuracy"] == round(run.metrics()["clip"]["accuracy"]["value"], 4)
    own = {**run.card(), "weights": {"origin": "mine", "licence": "Unlicense"}}
    run.write_card(own)
    assert yaml.safe_load(model_card(run).split("---")[1])["license_name"] == "unlicense"


def test_a_leak_stands_on_top(run: Run) -> None:
    split = {**run.card()["split"], "title": "clip (LEAKY)", "leaky": True}
    run.write_card({**run.card(), "split": split})
    text = model_card(run)
    assert text.index("> **LEAKY**") < text.index("## How good it is")
    assert "leaky-split" in yaml.safe_load(text.split("---")[1])["tags"]


def test_a_run_that_was_not_judged_has_no_card_yet(run: Run) -> None:
    run.metrics_path.unlink()
    with pytest.raises(RunError, match="run `spectro evaluate"):
        model_card(run)


class Hub(StandIn):
    """A stand-in for the hub on this machine: keeps what is committed, and refuses when told to."""

    def __init__(self) -> None:
        self.made: list[dict[str, Any]] = []
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
                    hub.made.append(json.loads(body))
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
        main(["push", str(run.path), "hf:someone/first", "--private"])
    said = capsys.readouterr()
    assert not stopped.value.code, said.err
    assert f"{hub.address}/someone/first" in said.out
    assert (hub.made[0]["name"], hub.made[0]["organization"]) == ("first", "someone")
    assert set(hub.files) == {"weights.safetensors", "card.json", "README.md"}
    assert hub.files["weights.safetensors"] == run.weights_path.read_bytes()
    assert hub.files["card.json"] == run.card_path.read_bytes()
    assert hub.files["README.md"].startswith(b"---\nlibrary_name: spectro\n")
    assert hub.tokens == {"Bearer hf_test"}


def test_an_edited_model_card_is_pushed_as_it_is(run: Run, hub: Hub) -> None:
    (run.path / "README.md").write_text("---\nlicense: mit\n---\nMine.\n")
    push(run, "hf:someone/first")
    assert hub.files["README.md"].endswith(b"Mine.\n")


def test_what_cannot_be_pushed_says_why(run: Run, hub: Hub) -> None:
    with pytest.raises(ConfigError, match="hf:owner/name"):
        push(run, "someone/first")
    hub.refuse = True
    with pytest.raises(RunError, match="someone/first could not be uploaded"):
        push(run, "hf:someone/first")
    run.weights_path.unlink()
    run.write_card({**run.card(), "members": [{"path": "../a", "name": "a"}, {"path": "../b", "name": "b"}]})
    with pytest.raises(RunError, match="push its members: a, b"):
        push(run, "hf:someone/first")
