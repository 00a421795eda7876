"""Explanations: of a network that can only use one band, that band is marked, and the checks confirm it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image
from sklearn.naive_bayes import GaussianNB
from torch import nn

import spectro
from spectro.cli import main
from spectro.core.card import FeatureFacts
from spectro.core.config import FinetuneConfig, MelConfig, ModelConfig, RenderConfig, SegmentConfig, SplitConfig
from spectro.core.errors import ConfigError, RunError
from spectro.core.runs import Run
from spectro.explain.explain import bin_gains, explain
from spectro.explain.saliency import deletion, grad_cam, occlusion, random_deletion
from spectro.models import NETWORKS, build
from spectro.models.classical import save
from spectro.models.network import Network, Normalize
from spectro.plots.explanation import frequency_ticks, save_explanation
from spectro.reports.cam_overlay import CamOverlay
from tests.builders import ensemble_card, make_run, model_card

RATE, SECONDS = 22050, 1.0
LOW, HIGH = 400.0, 6500.0  # Hz of a short tone in noise; the classes differ in nothing else
WHEN = 0.6  # seconds into each segment
CONFIG = RenderConfig(mel=MelConfig(n_fft=1024, hop_length=256), segment=SegmentConfig(seconds=SECONDS))


@pytest.fixture(scope="module")
def bands(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path]:
    """A small network trained to tell tones at LOW from tones at HIGH, both in noise; and a clip of HIGH."""
    root = tmp_path_factory.mktemp("bands")
    for label, hz in (("low", LOW), ("high", HIGH)):
        for number in range(8):
            rng = np.random.default_rng([number, label == "low"])
            time = np.arange(round(4 * SECONDS * RATE)) / RATE
            tone = 0.3 * np.sin(2 * np.pi * hz * time) * (np.abs(time % SECONDS - WHEN) < 0.08)
            (root / "music" / label).mkdir(parents=True, exist_ok=True)
            samples = tone + 0.0003 * rng.standard_normal(len(time))
            soundfile.write(root / "music" / label / f"{label}{number}.wav", samples, RATE)
    data = spectro.render(root / "music", out=root / "data", config=CONFIG, workers=1).data
    spectro.split(data, config=SplitConfig(test=0.25, val=0.25))
    config = FinetuneConfig(epochs=8, batch_size=8, lr=3e-3, device="cpu")
    run = spectro.finetune(data, out=root / "run", model=ModelConfig(name="cnn5"), config=config)
    return run, root / "music" / "high" / "high0.wav"


def row_of(hz: float) -> int:
    """Return the row of the image, from the top, in which a frequency lies."""
    places, names = frequency_ticks(CONFIG.mel)
    return CONFIG.mel.n_mels - 1 - int(np.interp(hz, [float(name.replace(",", "")) for name in names], places))


@pytest.mark.slow
def test_the_planted_band_is_found_and_deletion_confirms_it(bands: tuple[Run, Path]) -> None:
    explanation = explain(*bands, device="cpu")
    assert (explanation.label, explanation.picture.shape) == ("high", (128, 87))
    assert explanation.probability > 0.8
    falls = explanation.occlusion.mean(axis=1)
    assert abs(int(falls.argmax()) - row_of(HIGH)) <= 128 // 8  # a patch is an eighth of the bands
    areas = {order: curve.area for order, curve in explanation.deletions.items()}
    assert areas["occlusion"] < areas["random"]
    assert areas["grad-cam"] < areas["random"]
    assert "fails" not in explanation.verdict
    curves = explanation.deletions
    swapped = {**curves, "random": curves["occlusion"], "occlusion": curves["random"]}
    failing = replace(explanation, deletions=swapped).verdict
    assert "fails" in failing
    assert "occlusion" in failing
    assert explanation.cam is not None
    upper, lower = np.split(explanation.cam, 2)  # the map's four rows for 128 bands depend on their neighbours too
    assert upper.mean() > 2 * lower.mean()


@pytest.mark.slow
def test_what_is_kept_of_the_sound_is_the_band_that_decided(bands: tuple[Run, Path]) -> None:
    explanation = explain(*bands, device="cpu")
    assert len(explanation.sound()) == len(explanation.samples) == RATE * SECONDS
    noisy = np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    kept = replace(explanation, samples=noisy, cam=None).sound()
    power = np.abs(np.fft.rfft(kept)) ** 2
    hz = np.fft.rfftfreq(len(kept), 1 / RATE)
    around = (hz > HIGH / 1.6) & (hz < HIGH * 1.6)
    assert power[around].sum() > 0.5 * power.sum()


@pytest.mark.slow
def test_another_class_and_another_time_can_be_asked_for(bands: tuple[Run, Path]) -> None:
    explanation = explain(*bands, label="low", start=2.5, device="cpu")
    assert (explanation.label, explanation.start) == ("low", 2.0)
    assert explanation.probability < 0.5
    with pytest.raises(ConfigError, match="did you mean 'low'"):
        explain(*bands, label="lo", device="cpu")
    with pytest.raises(ConfigError, match=r"segments end at 4 s"):
        explain(*bands, start=5, device="cpu")


def test_an_ensemble_names_its_members(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.write_card(ensemble_card(run, {"one": tmp_path.parent / "one"}))
    with pytest.raises(RunError, match=r"explain one of its members: .*one"):
        explain(tmp_path, "song.wav")


def test_models_without_images_or_network_are_refused(tmp_path: Path) -> None:
    settings = {"stats": {}, "segment": CONFIG.segment.to_dict()}
    feature = FeatureFacts(name="stats", kind="vector", config_id="0", config=settings)
    stats = make_run(tmp_path / "stats", {}, model_card(feature=feature))
    with pytest.raises(RunError, match="takes the feature 'stats'"):
        explain(stats, "song.wav")
    pipeline = make_run(tmp_path / "pipeline", {}, model_card(kind="sklearn"))
    save(pipeline.pipeline_path, GaussianNB())
    pipeline.write_card(pipeline.card)
    with pytest.raises(RunError, match="no neural network"):
        explain(pipeline, "song.wav")


@pytest.mark.slow
def test_the_command_writes_a_figure_audio_and_numbers(
    bands: tuple[Run, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["explain", str(bands[0].path), str(bands[1]), "--out", str(tmp_path / "new"), "--device", "cpu"]
    with pytest.raises(SystemExit) as stopped:
        main([*arguments, "--json"])
    assert not stopped.value.code
    printed = json.loads(capsys.readouterr().out)
    assert {path.suffix for path in (tmp_path / "new").iterdir()} == {".png", ".wav", ".json"}
    assert len(list((tmp_path / "new").iterdir())) == 4
    assert json.loads(Path(printed["figure"]).with_suffix(".json").read_text()).items() <= printed.items()
    with Image.open(printed["figure"]) as image:
        assert image.width > 1200


@pytest.mark.parametrize(
    ("name", "head"), [("test_resnet", "multi"), *((name, "auto") for name in ("test_resnet", *NETWORKS))]
)
def test_grad_cam_works_on_every_network_or_returns_none(name: str, head: str) -> None:
    torch.manual_seed(0)
    network = build(ModelConfig(name=name, head=head), 3, (64, 87)).eval()
    image = np.random.default_rng(0).integers(0, 256, (64, 87), dtype=np.uint8)
    cells = network.maps(torch.zeros(1, 1, 64, 87))[-1].shape[2:].numel()
    cam = grad_cam(network, image, 1)
    if cells == 1:
        assert cam is None
    elif cam is not None:  # of an untrained network, maybe no cell supports the class
        assert cam.shape == image.shape
        assert 0 <= cam.min() <= cam.max() <= 1
    assert all(parameter.grad is None or not parameter.grad.any() for parameter in network.parameters())


@pytest.mark.slow
def test_a_network_without_a_map_is_explained_by_occlusion(bands: tuple[Run, Path], tmp_path: Path) -> None:
    explanation = explain(*bands, device="cpu")
    blind = replace(explanation, cam=None)
    assert (blind.importance >= 0).all()
    assert save_explanation(blind, tmp_path)[0].exists()


def test_saliency_of_a_network_worked_out_by_hand() -> None:
    """The score of class 1 is the mean of the top left corner, so only that corner can matter."""
    weights = torch.zeros(1, 1, 64, 64)
    weights[..., :8, :4] = 0.3
    linear, backbone = nn.Linear(64 * 64, 2, bias=False), nn.Conv2d(1, 1, 1, bias=False)
    linear.weight.data = torch.cat([torch.zeros(1, 64 * 64), weights.view(1, -1)])
    backbone.weight.data.fill_(1.0)
    head = nn.Sequential(nn.Flatten(), linear)
    network = Network(normalize=Normalize([0.0], [1.0]), backbone=backbone, head=head).eval()

    def predict(pictures: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return torch.softmax(network(torch.from_numpy(pictures).unsqueeze(1).float() / 255), 1).numpy()

    picture = np.full((64, 64), 200, np.uint8)
    fall = occlusion(predict, picture, 1)
    assert (fall[:8, :4] > 0.4).all()
    assert np.abs(fall[8:]).max() < 1e-6
    assert np.abs(fall[:, 4:]).max() < 1e-6
    curve = deletion(predict, picture, 1, fall)
    assert curve.probability[0] > 0.99
    assert curve.probability[1:] == pytest.approx(0.5)  # the corner went first
    assert curve.area == pytest.approx(0.5 + curve.share[1] * (curve.probability[0] - 0.5) / 2)
    assert curve.area < random_deletion(predict, picture, 1).area
    assert deletion(predict, picture, 1, -fall).area > 0.95  # the corner went last

    overlay = CamOverlay(name="hand", labels=("other", "corner"), network=network, cells=(64, 64), predict=predict)
    bright, dark = np.full((64, 64), 20, np.uint8), np.full((64, 64), 255, np.uint8)
    bright[:8, :4], dark[:8, :4] = 200, 180
    assert overlay.passes_check(bright, "corner")  # Grad-CAM marks what is bright, here the corner that decides
    assert not overlay.passes_check(dark, "corner")  # here it marks all but that corner


def test_gains_of_bands_become_gains_of_frequencies() -> None:
    config = CONFIG.mel
    bands = np.zeros((config.n_mels, 3), np.float32)
    assert not bin_gains(bands, config).any()
    gains = bin_gains(bands + 1, config)
    assert gains.shape == (config.n_fft // 2 + 1, 3)
    assert gains[1:-1] == pytest.approx(1)
    bands[-1 - row_of(HIGH)] = 1
    loudest = bin_gains(bands, config)[:, 0].argmax() * RATE / config.n_fft
    assert abs(loudest - HIGH) < 400
