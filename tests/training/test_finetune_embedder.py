"""A network pretrained on sound is trained, predicts, votes and is refused like any other, on its own feature."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spectro.core.config import FinetuneConfig, ModelConfig
from spectro.core.data_folder import DataFolder
from spectro.core.errors import ConfigError, RunError
from spectro.data.engines import local as engine
from spectro.evaluation.ensemble import ensemble
from spectro.explain.explain import explain
from spectro.inference.predict import predict
from spectro.models.weights import find_installed
from spectro.training.finetune import finetune

BRIEF = FinetuneConfig(frozen_epochs=2, epochs=1, batch_size=8, baseline=False, device="cpu")
WEIGHTS = "auto" if find_installed("vgg_mtt") else "none"


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute features here: fresh workers would take longer to import librosa than these clips take."""
    monkeypatch.setattr(engine, "cores", lambda: 1)


@pytest.mark.slow
@pytest.mark.parametrize("head", ["auto", "linear"])
def test_it_has_a_frozen_stage_and_predicts_files_alike(head: str, data: Path, tmp_path: Path, finished: Path) -> None:
    model = ModelConfig(name="vgg_mtt", head=head)
    run = finetune(data, out=tmp_path / "run", model=model, config=BRIEF, feature="logmel16k", weights=WEIGHTS)
    assert {row["stage"] for row in run.history()} == {"frozen", "finetune"}
    assert run.card.of_model()[0].name == "logmel16k"
    tested = run.predictions("test")
    file = DataFolder.open(data).source_root() / tested.clip_ids[0]
    predicted = predict(run, [file]).segments
    assert predicted is not None
    assert np.abs(predicted.probs - tested.probs[:3]).max() < 1e-4

    vote = ensemble([run, finished], out=tmp_path / "vote")
    assert predict(vote, [file]).clips.probs.shape == (1, len(run.card.labels))
    with pytest.raises(RunError, match="takes the feature 'logmel16k', but only mel-spectrograms can be explained"):
        explain(run, file)


def test_another_feature_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    model = ModelConfig(name="musicnn_msd")
    with pytest.raises(ConfigError, match="was trained on the feature logmel16k, not mel; set the feature to logmel16"):
        finetune(tmp_path / "nowhere", out=tmp_path / "run", model=model)
