"""Mel-spectrograms: equal to librosa's with both FFTs; a tone lights its band; images are upright."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import librosa
import numpy as np
import pytest

from spectro.audio import stft
from spectro.audio.features.mel import mel_filters, mel_spectrogram, silent, to_picture
from spectro.core.arrays import Floats32, Image
from spectro.core.config import MelConfig

MakeSound = Callable[..., Floats32]

CONFIGS = [
    MelConfig(),
    MelConfig(sample_rate=32000, n_fft=1024, hop_length=640),
    MelConfig(n_mels=64, fmin=50.0, fmax=8000.0, top_db=60.0),
    MelConfig(sample_rate=16000, n_fft=512, hop_length=160, n_mels=40),
]


@pytest.fixture(params=["ducc", "scipy"])
def either_fft(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "ducc":
        pytest.importorskip("ducc0")
    else:
        monkeypatch.setattr(stft, "rfft_rows", stft.scipy_rfft)


@pytest.mark.parametrize("config", CONFIGS)
def test_filters_are_librosas(config: MelConfig) -> None:
    expected = librosa.filters.mel(
        sr=config.sample_rate, n_fft=config.n_fft, n_mels=config.n_mels, fmin=config.fmin, fmax=config.fmax
    )
    np.testing.assert_allclose(mel_filters(config), expected, atol=1e-8)


def librosa_image(samples: Floats32, config: MelConfig) -> Image:
    power = librosa.feature.melspectrogram(
        y=samples,
        sr=config.sample_rate,
        n_fft=config.n_fft,
        hop_length=config.hop_length,
        n_mels=config.n_mels,
        fmin=config.fmin,
        fmax=config.fmax,
    )
    db = librosa.power_to_db(power, ref=np.max, top_db=config.top_db)
    grey: Image = np.floor((db[::-1] + config.top_db) / config.top_db * 255 + 0.5).astype(np.uint8)
    return grey


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("gain", [0.5, 1e-3])
@pytest.mark.usefixtures("either_fft")
def test_images_are_librosas_within_one_level(
    config: MelConfig, gain: float, noise: MakeSound, tone: MakeSound
) -> None:
    rate = config.sample_rate
    rising = np.linspace(0, 1, 4 * rate, dtype=np.float32)
    samples = np.float32(gain) * (tone(4, 440, rate) + np.float32(0.1) * noise(4, rate) * rising)
    image = to_picture(mel_spectrogram(samples, config), config.top_db)
    off = np.abs(image.astype(int) - librosa_image(samples, config))
    assert image.shape == (config.n_mels, 1 + len(samples) // config.hop_length)
    assert off.max() <= 1
    assert np.mean(off > 0) <= 1e-3  # scripts/bench measures the 1e-4 on real music


@pytest.mark.parametrize("hz", [100, 440, 2000, 9000])
def test_a_tone_lights_its_band_low_notes_at_the_bottom(tone: MakeSound, hz: float) -> None:
    config = MelConfig()
    db = mel_spectrogram(tone(2, hz), config)
    centres = librosa.mel_frequencies(130)[1:-1]
    band = np.abs(centres - hz).argmin()
    assert abs(db[:, 40].argmax() - band) <= 1
    assert db.max() == pytest.approx(0, abs=1e-4)
    assert db.min() >= -80
    assert to_picture(db, 80)[:, 40].argmax() == 127 - db[:, 40].argmax()


def test_loudness_does_not_matter(noise: MakeSound) -> None:
    config = MelConfig()
    one, other = (mel_spectrogram(gain * noise(2), config) for gain in (1.0, 0.25))
    np.testing.assert_allclose(one, other, atol=1e-3)


def test_silence_is_quiet(noise: MakeSound) -> None:
    config = MelConfig(top_db=60)
    db = mel_spectrogram(np.zeros(22050, np.float32), config)
    assert silent(db)
    assert (db == -60).all()
    assert (to_picture(db, 60) == 0).all()
    assert not silent(mel_spectrogram(noise(1, gain=1e-3), config))


def test_grey_levels_span_the_range() -> None:
    db = np.array([[-80.0, -40.0], [-79.9, 0.0]], np.float32)
    assert to_picture(db, 80).tolist() == [[0, 255], [0, 128]]


@pytest.mark.parametrize(("n_fft", "hop"), [(2048, 512), (512, 160), (1024, 2000)])
@pytest.mark.parametrize("length", [1, 700, 5000, 22050, 300_000])
@pytest.mark.usefixtures("either_fft")
def test_power_spectra_of_any_length_are_librosas(noise: MakeSound, n_fft: int, hop: int, length: int) -> None:
    samples = noise(length / 22050 + 1e-6)[:length]
    power = np.concatenate([block.copy() for block in stft.power_spectra(samples, n_fft, hop)])
    padded = np.pad(samples, n_fft // 2)  # by hand, for librosa warns where a sound is shorter than a window
    expected = np.abs(librosa.stft(padded, n_fft=n_fft, hop_length=hop, center=False)) ** 2
    assert power.shape == (1 + length // hop, n_fft // 2 + 1)
    np.testing.assert_allclose(power.T, expected, rtol=1e-3, atol=1e-4)


def test_mel_spectrograms_load_no_learning_library_and_no_openmp() -> None:
    code = (
        "import sys, numpy; from spectro.audio.features.mel import mel_spectrogram; from spectro.core.config import "
        "MelConfig; mel_spectrogram(numpy.ones(22050, numpy.float32), MelConfig()); print(*sys.modules); "
        "print(open('/proc/self/maps').read() if sys.platform == 'linux' else '')"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    modules, _, libraries = output.partition("\n")
    assert not {name.split(".")[0] for name in modules.split()} & {"torch", "timm", "sklearn", "matplotlib", "librosa"}
    assert not any(name in libraries for name in ("libmkl", "libgomp", "libiomp", "libomp"))
