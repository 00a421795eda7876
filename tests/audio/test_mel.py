"""Mel-spectrograms: equal to librosa's, on both FFTs; tones land where they sound; pictures stand upright."""

from __future__ import annotations

import librosa
import numpy as np
import pytest

from spectro.audio import stft as fourier
from spectro.audio.features import FEATURES
from spectro.audio.features.mel import mel_filters, mel_spectrogram, silent, to_picture
from spectro.core.config import MelConfig

CONFIGS = [
    MelConfig(),
    MelConfig(sample_rate=32000, n_fft=1024, hop_length=640),
    MelConfig(n_mels=64, fmin=50.0, fmax=8000.0, top_db=60.0),
    MelConfig(sample_rate=16000, n_fft=512, hop_length=160, n_mels=40),
]


@pytest.fixture(params=["fast", "always there"])
def either_fft(request, monkeypatch):
    if request.param == "always there":
        monkeypatch.setattr(fourier, "rfft_rows", lambda: fourier.scipy_rfft)


@pytest.mark.parametrize("config", CONFIGS)
def test_filters_are_librosas(config):
    theirs = librosa.filters.mel(
        sr=config.sample_rate, n_fft=config.n_fft, n_mels=config.n_mels, fmin=config.fmin, fmax=config.fmax
    )
    np.testing.assert_allclose(mel_filters(config), theirs, atol=1e-8)


def librosa_picture(samples, config):
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
    return np.floor((db[::-1] + config.top_db) / config.top_db * 255 + 0.5).astype(np.uint8)


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("gain", [0.5, 1e-3])
@pytest.mark.usefixtures("either_fft")
def test_pictures_are_librosas_within_one_level(config, gain, noise, tone):
    rate = config.sample_rate
    samples = gain * (tone(4, 440, rate) + 0.1 * noise(4, rate) * np.linspace(0, 1, 4 * rate, dtype=np.float32))
    mine = to_picture(mel_spectrogram(samples, config), config.top_db)
    off = np.abs(mine.astype(int) - librosa_picture(samples, config))
    assert mine.shape == (config.n_mels, 1 + len(samples) // config.hop_length)
    assert off.max() <= 1
    assert np.mean(off > 0) <= 1e-3  # scripts/bench measures the 1e-4 on real music


@pytest.mark.parametrize("hz", [100, 440, 2000, 9000])
def test_a_tone_lights_its_band_low_notes_at_the_bottom(tone, hz):
    config = MelConfig()
    db = mel_spectrogram(tone(2, hz), config)
    centres = librosa.mel_frequencies(130)[1:-1]
    band = np.abs(centres - hz).argmin()
    assert abs(db[:, 40].argmax() - band) <= 1
    assert db.max() == pytest.approx(0, abs=1e-4)
    assert db.min() >= -80
    assert to_picture(db, 80)[:, 40].argmax() == 127 - db[:, 40].argmax()


def test_loudness_does_not_matter(noise):
    config = MelConfig()
    one, other = (mel_spectrogram(gain * noise(2), config) for gain in (1.0, 0.25))
    np.testing.assert_allclose(one, other, atol=1e-3)


def test_silence_is_quiet(noise):
    config = MelConfig(top_db=60)
    db = mel_spectrogram(np.zeros(22050, np.float32), config)
    assert silent(db)
    assert (db == -60).all()
    assert (to_picture(db, 60) == 0).all()
    assert not silent(mel_spectrogram(noise(1, gain=1e-3), config))


def test_grey_levels_span_the_range():
    db = np.array([[-80.0, -40.0], [-79.9, 0.0]], np.float32)
    assert to_picture(db, 80).tolist() == [[0, 255], [0, 128]]


@pytest.mark.parametrize("name", FEATURES)
def test_every_feature_keeps_its_contract(name, noise):
    feature = FEATURES[name]
    assert feature.name == name
    values = feature.function(noise(1.0), feature.config())
    assert values.dtype == np.float32
    assert values.ndim == (2 if feature.kind == "frames" else 1)
    assert np.isfinite(values).all()
