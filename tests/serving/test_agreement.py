"""One model, one answer: the card's predictions, the library, the command line, the server and the exported file."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import spectro
from spectro.core.config import FinetuneConfig, MelConfig, ModelConfig, RenderConfig, SegmentConfig, SplitConfig
from spectro.core.runs import Run
from spectro.inference.answers import Answer
from spectro.inference.predict import Predictor
from spectro.inference.temperature import apply_temperature
from tests.serving.server_process import ServerProcess

pytest.importorskip("uvicorn", reason="THE SERVER IS UNTESTED: no uvicorn")
pytest.importorskip("onnxscript", reason="THE EXPORT IS UNTESTED: no onnxscript")
pytestmark = pytest.mark.slow
DEMO = Path(__file__).parents[2] / "assets" / "demo"
LABELS = ("fretsonfire-metal", "hyperrogue", "unknown-horizons")
CONFIG = FinetuneConfig(frozen_epochs=0, epochs=3, device="cpu", augment="none", mixup=0, cutmix=0, seed=1)
RENDERING = RenderConfig(mel=MelConfig(n_mels=64, hop_length=1024), segment=SegmentConfig(seconds=5.0))
Probs = Mapping[str, Mapping[str, float]]
"""By clip and class."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """An ensemble of two networks, trained for a moment on some of the demo's clips."""
    folder = tmp_path_factory.mktemp("demo")
    rows = list(csv.DictReader((DEMO / "clips.csv").read_text("utf-8").splitlines()))
    some = [row for label in LABELS for row in [row for row in rows if row["label"] == label][:6]]
    with (folder / "clips.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows({**row, "path": DEMO / row["path"]} for row in some)
    data = folder / "data"
    spectro.render(folder / "clips.csv", out=data, config=RENDERING)
    spectro.split(data, config=SplitConfig(by="group", test=0.34, val=0.3))
    members = [
        spectro.finetune(data, out=folder / name, model=ModelConfig(name=name), config=CONFIG, weights="none")
        for name in ("cnn5", "mobilenetv2_050")
    ]
    return spectro.ensemble(members, out=folder / "both")


def test_card_library_command_server_and_exported_file_agree(run: Run, tmp_path: Path, quick: None) -> None:
    clips = apply_temperature(run.clip_predictions("test"), run.card.temperature)
    files = [Path(clip) if Path(clip).is_absolute() else DEMO / clip for clip in clips.clip_ids]
    card = {
        path.name: dict(zip(clips.labels, map(float, probs), strict=True))
        for path, probs in zip(files, clips.probs, strict=True)
    }
    assert len(card) >= 4
    exported = spectro.export(run, out=tmp_path / "model.onnx").path
    hears = spectro.export(run, out=tmp_path / "hears.onnx", front="audio").path
    server = ServerProcess([run.path, exported], tmp_path / "served")
    try:
        others = {
            "library": by_library(run.path, files),
            "command": by_command(run.path, files),
            "server": by_server(server, run.name, files),
            "file": by_library(exported, files),
            "file that takes samples": by_library(hears, files),
            "command with the file": by_command(exported, files),
            "server with the file": by_server(server, exported.stem, files),
        }
        job = server.post(files[0], later=True, run=exported.stem).json()["id"]
        assert server.until(job, "done")["explainable"] == []
        refused = server.ask("GET", f"/v1/jobs/{job}/segments/0/explanation.png")
        assert (refused.status, refused.json()["reason"]) == (404, "no-explanation")
    finally:
        assert server.stop() == 0
    for name, answers in others.items():
        assert answers.keys() == card.keys(), name
        for clip, probs in card.items():
            values = answers[clip]
            assert max(values, key=values.__getitem__) == max(probs, key=probs.__getitem__), (name, clip)
            np.testing.assert_allclose([values[label] for label in probs], list(probs.values()), atol=1e-4)


def by_library(model: Path, files: Sequence[Path]) -> Probs:
    """Return what the library answers."""
    answers = list(Predictor.load(model, "cpu")(files))
    assert all(isinstance(answer, Answer) for answer in answers)
    return by_clip([answer.to_dict() for answer in answers if isinstance(answer, Answer)])


def by_command(model: Path, files: Sequence[Path]) -> Probs:
    """Return what the command line prints."""
    command = [sys.executable, "-m", "spectro", "predict", str(model), *map(str, files), "--json"]
    return by_clip(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)["files"])


def by_server(server: ServerProcess, run: str, files: Sequence[Path]) -> Probs:
    """Return what the server answers."""
    return by_clip([server.post(path, run=run).json()["files"][0] for path in files])


def by_clip(answers: Sequence[Mapping[str, Any]]) -> Probs:
    """Return probabilities by the names of the files; each answer's label is the most probable."""
    for answer in answers:
        assert answer["label"] == max(answer["probabilities"], key=answer["probabilities"].__getitem__)
    return {Path(answer["file"]).name: answer["probabilities"] for answer in answers}
