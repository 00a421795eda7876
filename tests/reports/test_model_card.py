"""The model card agrees with the run's files, and Hugging Face can read it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]
from huggingface_hub import ModelCard, ModelCardData

from spectro.core.card import Card, ModelFacts, WeightsFacts
from spectro.core.errors import RunError
from spectro.core.runs import Run
from spectro.evaluation.ensemble import ensemble
from spectro.evaluation.evaluate import evaluate, read_metrics
from spectro.reports.model_card import model_card, save_model_card
from tests import builders


def card(name: str = "first") -> Card:
    """The card of a pretrained network."""
    return builders.model_card(
        name,
        model=ModelFacts(name="resnet18", parameters=11_200_000, network=None, settings={}),
        weights=WeightsFacts(origin="hub timm/resnet18", file="r.safetensors", sha256="0", licence="Apache-2.0"),
        data=builders.data_facts("/home/someone/sounds"),
        command="spectro finetune sounds",
    )


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """An evaluated run: 24 clips in 12 groups."""
    predictions = builders.random_predictions(0, clips=24)
    run = builders.make_run(tmp_path / "first", {"test": predictions}, card())
    evaluate(run)
    return run


def test_the_card_agrees_with_the_files(run: Run) -> None:
    text = model_card(run, data_licence="CC-BY-4.0")
    accuracy = read_metrics(run).clip.accuracy
    assert f"{accuracy.value:.3f} ({accuracy.low:.3f} to {accuracy.high:.3f})" in text
    assert run.card.split.sha256 in text
    for fact in ("11.20 M", "Apache-2.0", "CC-BY-4.0", "11025 Hz", run.card.command):
        assert fact in text
    assert "LEAKY" not in text
    assert "/home" not in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {row.count("|") for row in rows[:-5]} == {4}  # the metric, segments and clips
    assert [row.split("|")[1].strip() for row in rows[-3:]] == list(builders.LABELS)


def test_hugging_face_can_read_its_metadata(run: Run) -> None:
    metadata = ModelCard(model_card(run), ignore_metadata_errors=False).data
    assert isinstance(metadata, ModelCardData)
    assert (metadata.license, metadata.library_name) == ("apache-2.0", "spectro")
    assert metadata.pipeline_tag == "audio-classification"
    assert metadata.eval_results is not None
    values = {result.metric_type: result.metric_value for result in metadata.eval_results}
    assert values["accuracy"] == round(read_metrics(run).clip.accuracy.value, 4)
    own = WeightsFacts(origin="mine", file="", sha256="", licence="Unlicense")
    run.write_card(replace(run.card, weights=own))
    assert yaml.safe_load(model_card(run).split("---")[1])["license_name"] == "unlicense"


def test_a_leak_is_named_before_the_metrics(run: Run) -> None:
    run.write_card(replace(run.card, split=builders.split_facts(by="clip", leaking_groups=2)))
    text = model_card(run)
    assert text.index("> **LEAKY**") < text.index("## ")
    assert "leaky-split" in yaml.safe_load(text.split("---")[1])["tags"]


def test_a_run_without_metrics_has_no_model_card_yet(run: Run) -> None:
    run.metrics_path.unlink()
    with pytest.raises(RunError, match="spectro evaluate"):
        model_card(run)


def test_an_ensemble_names_its_members(run: Run, tmp_path: Path) -> None:
    other = builders.make_run(tmp_path / "second", {"test": builders.random_predictions(0, clips=24)}, card("second"))
    both = ensemble([run, other], out=tmp_path / "both")
    evaluate(both)
    path = save_model_card(both)
    assert path == both.path / "README.md"
    assert "first, second" in path.read_text(encoding="utf-8")
