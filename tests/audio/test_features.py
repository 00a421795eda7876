"""Every feature keeps one contract; those of librosa have its values, and the studies' sets have their sizes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import librosa
import numpy as np
import pytest
from scipy import stats as reference

from spectro.audio.features import FEATURES, FrameConfig
from spectro.audio.features.logmel16k import LogMelConfig
from spectro.audio.features.mfcc import MfccConfig
from spectro.audio.features.stack import StackConfig
from spectro.audio.features.stats import SIX, STATISTICS, StatsConfig
from spectro.audio.features.stft import StftConfig
from spectro.core.arrays import Floats32
from spectro.core.config import Config
from spectro.core.errors import ConfigError

MakeSound = Callable[..., Floats32]
RATE = 22050


@pytest.mark.parametrize("name", FEATURES)
@pytest.mark.parametrize("sound", ["silence", "tone", "noise"])
def test_contract(name: str, sound: str, tone: MakeSound, noise: MakeSound) -> None:
    samples = {"silence": np.zeros(RATE, np.float32), "tone": tone(), "noise": noise()}[sound]
    before, feature = samples.copy(), FEATURES[name]
    config = feature.config()
    values = feature.function(samples, config)
    assert values.dtype == np.float32
    assert np.isfinite(values).all()
    assert values.ndim == {"frames": 2, "vector": 1}[feature.kind]
    if feature.kind == "frames":
        assert values.shape[1] == 1 + RATE // config.hop_length
    columns = feature.columns(config, len(values))
    assert len(columns) == len(set(columns)) == len(values)
    assert np.array_equal(feature.function(samples, config), values)
    assert np.array_equal(samples, before)
    assert feature.config.from_dict(config.to_dict()) == config


def test_values_are_librosas_under_any_setting(noise: MakeSound) -> None:
    samples = noise()
    config = MfccConfig(n_fft=512, hop_length=256, n_mfcc=40, n_mels=64)
    expected = librosa.feature.mfcc(y=samples, sr=RATE, n_mfcc=40, n_fft=512, hop_length=256, n_mels=64)
    assert np.array_equal(FEATURES["mfcc"].function(samples, config), expected)
    contrast = FEATURES["contrast"].function(samples, FEATURES["contrast"].config())
    assert contrast == pytest.approx(librosa.feature.spectral_contrast(y=samples, sr=RATE), rel=1e-4)
    assert np.isfinite(FEATURES["contrast"].function(samples, FrameConfig(sample_rate=8000))).all()


def test_logmel16k_is_that_of_the_package_musicnn(noise: MakeSound) -> None:
    """Its call of librosa, whose frames mirrored the ends then: Slaney's filters, whole and in single precision."""
    samples = noise(rate=16000)
    levels = FEATURES["logmel16k"].function(samples, LogMelConfig())
    padded = np.pad(samples, 256, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, 512)[::256] * np.hanning(513)[:-1]
    power = np.abs(np.fft.rfft(frames)) ** 2
    expected = np.log10(10000 * (librosa.filters.mel(sr=16000, n_fft=512, n_mels=96, norm="slaney") @ power.T) + 1)
    assert levels.shape == (96, 1 + len(samples) // 256)
    assert levels == pytest.approx(expected, abs=1e-4)
    assert not FEATURES["logmel16k"].function(np.zeros(4000, np.float32), LogMelConfig()).any()


def test_physics_of_the_spectral_features(tone: MakeSound, noise: MakeSound) -> None:
    def middle(name: str, samples: Floats32) -> float:
        return float(np.median(FEATURES[name].function(samples, FEATURES[name].config())))

    low, high = tone(hz=440.0), tone(hz=3520.0)
    assert middle("centroid", low) == pytest.approx(440, rel=0.05)
    assert middle("rolloff", high) == pytest.approx(3520, rel=0.02)
    assert middle("zcr", low) == pytest.approx(2 * 440 / RATE, rel=0.05)
    assert middle("rms", low) == pytest.approx(0.5 / np.sqrt(2), rel=0.01)
    assert middle("flatness", low) < 0.01 < middle("flatness", noise())
    assert middle("flux", low) < 0.05 < middle("flux", noise())
    assert middle("bandwidth", low) < middle("bandwidth", noise())
    chroma = FEATURES["chroma"]
    strongest = chroma.function(low, chroma.config()).mean(axis=1).argmax()
    assert chroma.columns(chroma.config(), 12)[strongest] == "chroma_A"


def test_a_tone_is_harmonic_and_clicks_are_percussive(tone: MakeSound) -> None:
    clicks = np.zeros(8 * RATE, np.float32)
    clicks[:: RATE // 2] = 0.9  # 120 beats a minute
    config = FEATURES["harmonic"].config()
    steady, struck = (FEATURES["harmonic"].function(sound, config).mean(axis=1) for sound in (tone(), clicks))
    assert steady[0] > 10 * steady[1]
    assert struck[1] > 10 * struck[0]
    assert FEATURES["tempo"].function(clicks, FEATURES["tempo"].config())[0] == pytest.approx(120, rel=0.05)


def test_db_spectrogram_spans_0_to_1_and_averages_cells(noise: MakeSound) -> None:
    stft = FEATURES["stft"].function
    full = stft(noise(), StftConfig(n_fft=256))
    assert full.shape == (129, 44)
    assert 0 <= full.min() < full.max() == 1
    small = stft(noise(), StftConfig(n_fft=256, mean_bins=8, mean_frames=2))
    assert small.shape == (16, 22)
    assert small[0, 0] == pytest.approx(full[:8, :2].mean(), abs=1e-6)
    assert not stft(np.zeros(RATE, np.float32), StftConfig()).any()


def test_statistics_are_those_of_scipy() -> None:
    rows = np.random.default_rng(0).gamma(2.0, size=(3, 200))
    assert STATISTICS["skew"](rows) == pytest.approx(reference.skew(rows, axis=1))
    assert STATISTICS["kurtosis"](rows) == pytest.approx(reference.kurtosis(rows, axis=1))
    constant = np.full((1, 50), 0.1)
    assert [float(STATISTICS[name](constant)[0]) for name in SIX] == pytest.approx([0.1, 0.1, 0.1, 0, 0, 0])


@pytest.mark.parametrize(("name", "count"), [("C", 49), ("D", 58), ("D57", 57), ("mfcc+tempo", 121), ("chroma", 72)])
def test_sets_have_their_sizes_and_names(name: str, count: int, noise: MakeSound) -> None:
    config = StatsConfig(set=name)
    values = FEATURES["stats"].function(noise(), config)
    columns = FEATURES["stats"].columns(config, len(values))
    assert len(values) == len(set(columns)) == count


def test_a_stack_is_its_parts_on_top_of_each_other(noise: MakeSound) -> None:
    samples, config = noise(), StackConfig(parts=("chroma", "mfcc"), n_mfcc=13)
    stacked = FEATURES["stack"].function(samples, config)
    assert np.array_equal(stacked[12:], FEATURES["mfcc"].function(samples, MfccConfig(n_mfcc=13)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MfccConfig(n_mfcc=200), "n_mfcc is 200"),
        (lambda: StftConfig(mean_bins=0), "mean_bins is 0"),
        (lambda: StatsConfig(set="mfc+chroma"), "'mfc' is no set or feature; did you mean 'mfcc'"),
        (lambda: StackConfig(parts=("tempo",)), "'tempo' has no frames"),
        (lambda: MfccConfig(sample_rate=22), "did you mean 22000"),
        (lambda: FEATURES["mfc"], "unknown feature 'mfc'; did you mean 'mfcc'"),
    ],
)
def test_mistakes_are_named(make: Callable[[], Config], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()


def test_naming_features_loads_no_librosa() -> None:
    code = "import sys, spectro.audio.features; print(*sys.modules)"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {name.split(".")[0] for name in process.stdout.split()} & {"librosa", "numba", "sklearn"}
