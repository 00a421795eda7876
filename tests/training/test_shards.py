"""Training on sealed shards: as on the folder they were packed from where they fit; else streamed, and resumed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from spectro.core.config import FinetuneConfig
from spectro.core.sealed_tables import LIMIT
from spectro.data import shard_store
from spectro.data.packing import pack
from spectro.inference.classifier import predict_spectrograms
from spectro.training import finetune as module
from spectro.training.checkpoint import save_checkpoint
from spectro.training.finetune import finetune
from tests.training.shared import QUICK, TINY, differing, history

CONFIG = replace(QUICK, frozen_epochs=1)


@pytest.fixture
def url(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """URL of the packed data folder; copies of it are kept for one test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    place = f"memory://training/{tmp_path.name}"
    pack(data, place, shard_mb=0.02)
    return place


def train(place: Path | str, out: Path, config: FinetuneConfig = CONFIG) -> Path:
    return finetune(place, out=out, model=TINY, config=config, weights="none").path


@pytest.mark.slow
def test_packed_shards_train_the_same_network(data: Path, url: str, tmp_path: Path) -> None:
    plain, sealed = train(data, tmp_path / "plain"), train(url, tmp_path / "sealed")
    assert differing(plain, sealed) == {}
    assert history(plain) == history(sealed)
    assert (predict_spectrograms(sealed, url).probs == predict_spectrograms(plain, data).probs).all()


@pytest.mark.slow
@pytest.mark.parametrize("balance", ["none", "sampler"])
def test_streamed_training_resumes_to_the_same_network(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, balance: str
) -> None:
    monkeypatch.setattr(shard_store, "WINDOW", 30_000)
    monkeypatch.setenv(LIMIT, "0.000095")
    config = replace(CONFIG, frozen_epochs=0, epochs=3, balance=balance)  # type: ignore[arg-type]  # one of its names
    straight = train(url, tmp_path / "straight", config)

    def save_and_stop(*args: object) -> None:
        save_checkpoint(*args)  # type: ignore[arg-type]  # passed on as they come
        raise KeyboardInterrupt

    for _ in range(2):
        with monkeypatch.context() as patch:
            patch.setattr(module, "save_checkpoint", save_and_stop)
            with pytest.raises(KeyboardInterrupt):
                train(url, tmp_path / "stopped", config)
    stopped = train(url, tmp_path / "stopped", config)
    assert differing(straight, stopped) == {}
    assert history(straight) == history(stopped)
