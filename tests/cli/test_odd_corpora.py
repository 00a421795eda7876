"""Small and lopsided data: the whole way from sound to metrics works, or ends in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from spectro.core.runs import Run
from spectro.data.store import open_store
from tests.conftest import Noise, Tone, WriteAudio, texture

Spectro = Callable[..., tuple[int, str, str]]
NETWORK = ("--backbone", "test_resnet", "--weights", "none", "--epochs", 1, "--device", "cpu")


@pytest.fixture
def lone(tmp_path: Path, write_audio: WriteAudio) -> Path:
    """Two classes of six clips, each its own group, all but the last of their four seconds silent."""
    for label in ("hum", "hiss"):
        for group in range(6):
            samples = np.concatenate([np.zeros(3 * 22050, np.float32), texture(label, group, 0, 1.0)])
            write_audio(tmp_path / "music" / label / f"{group}.wav", samples)
    return tmp_path / "music"


def rendered(spectro: Spectro, source: Path, data: Path, seconds: float = 1, bands: int = 16) -> Path:
    settings = ("--n-fft", 512, "--n-mels", bands, "--seconds", seconds, "--workers", 1)
    code, _, err = spectro("render", source, "--out", data, *settings)
    assert code == 0, err
    return data


def one_line(result: tuple[int, str, str]) -> str:
    code, _, err = result
    assert code == 2
    return err.splitlines()[-1]


@pytest.mark.slow
@pytest.mark.parametrize(("seconds", "bands", "batch"), [(1.0, 16, 1), (0.2, 8, 32)])
def test_lone_silent_tiny_and_few_are_trained(
    seconds: float, bands: int, batch: int, lone: Path, tmp_path: Path, spectro: Spectro
) -> None:
    data = rendered(spectro, lone, tmp_path / "data", seconds, bands)
    images = open_store(data).spectrograms()
    assert images.shape[:2] == (12 * round(4 / seconds), bands)
    assert not images[0].any()
    assert images[round(4 / seconds) - 1].any()
    assert spectro("split", data, "--test", 0.3, "--val", 0.3)[0] == 0
    code, _, err = spectro("finetune", data, *NETWORK, "--batch-size", batch, "--out", tmp_path / "run")
    assert code == 0, err
    assert spectro("evaluate", tmp_path / "run")[0] == 0
    code, out, err = spectro("predict", tmp_path / "run", lone / "hum" / "0.wav")
    assert (code, "0.wav" in out) == (0, True), err


@pytest.mark.slow
def test_one_segment_on_one_cell_is_refused_in_a_line(lone: Path, tmp_path: Path, spectro: Spectro) -> None:
    data = rendered(spectro, lone, tmp_path / "data", 0.2, 8)
    assert spectro("split", data)[0] == 0
    alone = ("--batch-size", 1, "--frozen-epochs", 0)
    assert "batch normalization" in one_line(spectro("finetune", data, *NETWORK, *alone, "--out", tmp_path / "run"))


@pytest.mark.slow
@pytest.mark.parametrize("absent", ["val", "test", "train"])
def test_a_class_that_a_subset_lacks(absent: str, lone: Path, tmp_path: Path, spectro: Spectro) -> None:
    rows = ["path,label,fold"]
    for path in sorted(lone.rglob("*.wav")):
        fold = ("train", "val", "test")[int(path.stem) % 3]
        if path.parent.name == "hum" and fold == absent:
            fold = "val" if absent == "test" else "test"
        rows.append(f"{path.relative_to(lone)},{path.parent.name},{fold}")
    rows += [
        f"{path.relative_to(lone)},hush,{fold}"
        for path, fold in zip(spare(lone), ("train", "val", "test"), strict=True)
    ]
    (lone / "clips.csv").write_text("\n".join(rows) + "\n")
    data = rendered(spectro, lone / "clips.csv", tmp_path / "data")
    assert spectro("split", data, "--by", "official")[0] == 0
    result = spectro("finetune", data, *NETWORK, "--split", "official", "--out", tmp_path / "run")
    if absent == "train":
        assert "has no training clip of class 'hum'" in one_line(result)
        return
    assert result[0] == 0, result[2]
    assert Run.open(tmp_path / "run").card.split.statistics.absent == {absent: ("hum",)}
    code, _, err = spectro("evaluate", tmp_path / "run")
    assert code == 0, err


def spare(lone: Path) -> list[Path]:
    """Return copies of three clips, for a class that every subset has."""
    copies = []
    for number in range(3):
        copies.append(lone / f"spare-{number}.wav")
        copies[-1].write_bytes((lone / "hiss" / f"{number}.wav").read_bytes())
    return copies


def test_what_cannot_be_learned_is_one_line(
    tmp_path: Path, spectro: Spectro, tone: Tone, noise: Noise, write_audio: WriteAudio
) -> None:
    for number in range(3):
        write_audio(tmp_path / "music" / "hum" / f"{number}.wav", tone(1.0, 100 + number))
    data = rendered(spectro, tmp_path / "music", tmp_path / "data")
    assert "needs at least 2 classes" in one_line(spectro("split", data))
    write_audio(tmp_path / "music" / "hiss" / "0.wav", noise(1.0))
    rendered(spectro, tmp_path / "music", tmp_path / "data")
    assert "class 'hiss' has only one group" in one_line(spectro("split", data))
    write_audio(tmp_path / "music" / "hiss" / "1.wav", noise(1.0, seed=1))
    rendered(spectro, tmp_path / "music", tmp_path / "data")
    assert spectro("split", data, "--val", 0)[0] == 0
    result = spectro("finetune", data, "--model", "cnn5", "--device", "cpu", "--out", tmp_path / "run")
    assert "'cnn5' cannot take inputs of 16 bands x 44 frames" in one_line(result)
