"""Runs whose files are attacked, and the commands that then read them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import soundfile
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from spectro.core.card import FeatureFacts, ModelFacts
from spectro.core.config import MelConfig, ModelConfig, RenderConfig, SegmentConfig
from spectro.core.errors import SpectroError
from spectro.core.files import write_document
from spectro.core.runs import CARD_VERSION, Run
from spectro.data.features import Extraction
from spectro.evaluation.compare import compare
from spectro.evaluation.ensemble import ensemble
from spectro.evaluation.evaluate import evaluate
from spectro.evaluation.statistics import BootstrapConfig
from spectro.explain.explain import explain
from spectro.inference.predict import predict
from spectro.models import build, classical
from tests.builders import LABELS, make_run, model_card, random_predictions

CONFIG = RenderConfig(mel=MelConfig(n_fft=512, hop_length=256, n_mels=32), segment=SegmentConfig(seconds=0.5))
SHAPE = (32, 44)
QUICK = BootstrapConfig(repeats=10)
WRONG: list[Any] = [None, "../../etc/passwd", "", [], {}, 0, -1, 3, 10**9, 1e308, True, [[1]]]
"""What a single value of a card is replaced by."""


def network_run(path: Path, seed: int = 0) -> Run:
    """Return a run of a small network with random weights."""
    network = ModelConfig(name="cnn5")
    torch.manual_seed(seed)
    weights = build(network, len(LABELS), SHAPE).state_dict()
    path.mkdir(parents=True)
    safetensors.torch.save_file({name: value.contiguous() for name, value in weights.items()}, Run(path).weights_path)
    feature = FeatureFacts(name="mel", kind="frames", config_id=CONFIG.config_id(), config=CONFIG.to_dict())
    model = ModelFacts(name="cnn5", parameters=1, network=network, settings={})
    return make_run(path, predictions(seed), model_card(path.name, feature=feature, input=SHAPE, model=model))


def vector_run(path: Path, seed: int = 0) -> Run:
    """Return a run of a classical model on feature vectors."""
    settings = {"stats": {"set": "D57"}, "segment": CONFIG.segment.to_dict()}
    extraction = Extraction.from_dict("stats", settings)
    width = len(extraction.silence())
    rng = np.random.default_rng(seed)
    pipeline = make_pipeline(StandardScaler(), LogisticRegression())
    pipeline.fit(rng.standard_normal((30, width)), np.arange(30) % len(LABELS))
    path.mkdir(parents=True)
    classical.save(Run(path).pipeline_path, pipeline)
    feature = FeatureFacts(name="stats", kind="vector", config_id=extraction.config_id(), config=extraction.to_dict())
    model = ModelFacts(name="logistic", parameters=None, network=None, settings={"C": 1.0})
    card = model_card(path.name, kind="sklearn", feature=feature, input=(width, 1), model=model)
    return make_run(path, predictions(seed), card)


def predictions(seed: int) -> dict[Any, Any]:
    return {"test": random_predictions(seed + 1), "val": random_predictions(seed + 2)}


def sound(path: Path) -> Path:
    """Write a second of noise."""
    soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal(22050), 22050)
    return path


def commands(run: Path, other: Run, file: Path, out: Path) -> dict[str, Callable[[], Any]]:
    """Return what reads a run, by name."""
    return {
        "predict": lambda: predict(run, file, device="cpu").clips.probs,
        "evaluate": lambda: [evaluate(run, config=QUICK).clip.accuracy.value],
        "compare": lambda: [pair.difference.value for pair in compare([run, other], config=QUICK).pairs],
        "ensemble": lambda: ensemble([run, other], out=out).predictions("test").probs,
        "explain": lambda: [explain(run, file, device="cpu").probability],
    }


def outcome(command: Callable[[], Any], where: Path) -> str:
    """Return `right` or the one line that a command ends in; anything else raises."""
    try:
        values = np.asarray(command(), dtype=np.float64)
    except SpectroError as error:
        message = str(error)
        assert message
        assert "\n" not in message
        return message
    assert np.isfinite(values).all()
    assert (values >= -1).all()
    assert (values <= 1).all()
    return "right"


def places(values: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path to every value in nested JSON."""
    items = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from places(value, (*path, key))


def mutations(run: Run) -> Iterator[tuple[tuple[Any, ...], Any, dict[str, Any]]]:
    """Yield place, value and all values of a card with one value replaced or, as `...`, removed."""
    text = json.dumps(run.card.to_dict())
    for path in places(json.loads(text)):
        for wrong in (*WRONG, ...):
            values = json.loads(text)
            part = values
            for key in path[:-1]:
                part = part[key]
            if wrong is ...:
                del part[path[-1]]
            else:
                part[path[-1]] = wrong
            yield path, wrong, values


def write_values(run: Run, values: dict[str, Any]) -> None:
    """Write a card of any values with the checksum that they have."""
    write_document(run.card_path, "card", CARD_VERSION, values)


def damages(data: bytes, foreign: bytes, rng: np.random.Generator) -> dict[str, bytes | None]:
    """Return what a file holds after each kind of damage; None stands for a folder in its place."""
    zeroed = bytearray(data)
    middle = len(data) // 3
    zeroed[middle : middle + 64] = bytes(64)
    flipped = {}
    for number, at in enumerate(rng.integers(len(data), size=4)):
        flipped[f"flipped {number}"] = data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :]
    cut = {f"cut {share}": data[: int(share * len(data))] for share in (0.01, 0.3, 0.9)}
    whole = {"empty": b"", "zeros": bytes(len(data)), "zeroed": bytes(zeroed), "longer": data + b"x"}
    return {**cut, **flipped, **whole, "foreign": foreign, "text": b"not this\n" * 99, "folder": None}
