"""The spectrograms that a graph computes are those that `render` makes."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from spectro.audio.features.mel import mel_spectrogram, to_picture
from spectro.core.arrays import Floats32
from spectro.core.config import MelConfig
from spectro.inference.onnx_classifier import open_session
from spectro.serving.export.mel_graph import BATCH, SAMPLES, Stft, add_images, choose_stft
from spectro.serving.export.report import CELLS, LEVELS
from tests.conftest import CLASSES, texture

RATE = 22050
CONFIGS = [
    MelConfig(n_fft=1024, n_mels=64),
    MelConfig(n_fft=2048, hop_length=700, n_mels=128, fmin=50, fmax=9000, top_db=60),
    MelConfig(n_fft=1000, hop_length=250, n_mels=40),
]


def graph_of(config: MelConfig, samples: int, stft: Stft) -> Any:
    """Return a session that computes nothing but spectrograms."""
    graph = helper.make_graph(
        [], "mel", [helper.make_tensor_value_info(SAMPLES, TensorProto.FLOAT, [BATCH, samples])], []
    )
    add_images(graph, config, samples, stft, "spectrograms")
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    return open_session(model.SerializeToString(), "mel")


def sounds(samples: int) -> Floats32:
    """Return sounds `[n, samples]`: those of the corpus, faint, clipped, silent, with silence in the middle."""
    plain = [texture(label, 0, 0, samples / RATE + 1, RATE)[:samples] for label in CLASSES]
    torn = plain[0].copy()
    torn[samples // 4 : samples // 2] = 0
    click = np.zeros(samples, np.float32)
    click[samples // 2] = 1
    extra = [plain[1] * np.float32(1e-4), np.clip(plain[2] * 20, -1, 1), np.zeros(samples, np.float32), torn, click]
    return np.stack([*plain, *extra]).astype(np.float32)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: f"{config.n_fft}-{config.hop_length}")
@pytest.mark.parametrize("samples", [RATE, 900])
def test_images_in_a_graph_are_those_of_render(config: MelConfig, samples: int) -> None:
    given = sounds(samples)
    expected = np.stack([to_picture(mel_spectrogram(one, config), config.top_db) for one in given])
    stft: tuple[Stft, ...] = ("conv", "operator") if choose_stft(config, "auto") == "operator" else ("conv",)
    for how in stft:
        (images,) = graph_of(config, samples, how).run(["spectrograms"], {SAMPLES: given})
        assert images.shape == expected.shape
        assert images.dtype == np.uint8
        apart = np.abs(images.astype(int) - expected)
        assert apart.max() <= LEVELS
        assert (apart > 0).sum() <= max(3, CELLS * apart.size)
        assert not images[6].any(), "a silent segment is black"


def test_the_operator_is_chosen_where_it_is_exact() -> None:
    assert [choose_stft(config, "auto") for config in CONFIGS] == ["operator", "operator", "conv"]
    assert choose_stft(CONFIGS[0], "conv") == "conv"
