"""Explain one prediction: Grad-CAM and occlusion maps over frequency and time, and audio of the important region."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import librosa
import numpy as np
from scipy.ndimage import gaussian_filter

from spectro.audio.features.mel import mel_filters
from spectro.audio.segment import iter_segments
from spectro.core.alignment import require_vote
from spectro.core.arrays import Floats32, Image
from spectro.core.config import MelConfig, RenderConfig
from spectro.core.errors import ConfigError, RunError, did_you_mean
from spectro.core.predictions import VOTES
from spectro.core.runs import Run
from spectro.data.render import render_clip
from spectro.explain.saliency import Deletion, Predict, deletion, grad_cam, occlusion, random_deletion
from spectro.inference.classifier import load_classifier
from spectro.inference.reading import input_of
from spectro.inference.torch_classifier import TorchClassifier

KEPT = 0.5
"""Share of all importance that the region in the audio holds."""


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """Why a model predicted a class for one segment of a file."""

    file: str
    label: str
    """The class that is explained."""
    start: float
    """Start of the segment, in seconds."""
    probability: float
    """Probability of the class in this segment."""
    clip_probability: float
    """Probability of the class after all segments voted."""
    config: RenderConfig
    picture: Image
    """`[bands, frames]`, the segment's mel-spectrogram."""
    samples: Floats32
    """`[n]`, the segment's samples at `config.mel.sample_rate`."""
    cam: Floats32 | None
    """`[bands, frames]` in 0..1, Grad-CAM; None where the network has no feature map to look at."""
    occlusion: Floats32
    """`[bands, frames]`, fall of the probability when the patch of a point is blacked out."""
    deletions: Mapping[str, Deletion]
    """Deletion curves of the orders `grad-cam` (if there is one), `occlusion` and `random`."""

    @property
    def importance(self) -> Floats32:
        """`[bands, frames]`, not negative: Grad-CAM, or occlusion where there is none."""
        return np.maximum(self.occlusion, 0) if self.cam is None else self.cam

    @property
    def kept(self) -> Floats32:
        """`[bands, frames]` in 0..1, the smallest region that holds half of the importance, with soft edges."""
        importance = self.importance
        falling = np.sort(importance, axis=None)[::-1]
        threshold = falling[np.searchsorted(falling.cumsum(), KEPT * falling.sum())]
        inside = (importance >= threshold) & (importance > 0)
        soft: Floats32 = gaussian_filter(inside.astype(np.float32), sigma=1.0)
        return soft

    @property
    def verdict(self) -> str:
        """Whether the deletion curves confirm the explanation, in one sentence."""
        chance = self.deletions["random"].area
        failing = [order for order in self.deletions if order != "random" and self.deletions[order].area >= chance]
        if not failing:
            return "The check passes: blacked out in this order, the class is lost sooner than in a random order"
        return f"The check fails: a random order loses the class as soon as {' and '.join(failing)}; do not rely on it"

    def sound(self) -> Floats32:
        """Return `[n]`, the segment with everything muted but the important region."""
        mel = self.config.mel
        spectrum = librosa.stft(self.samples, n_fft=mel.n_fft, hop_length=mel.hop_length, pad_mode="constant")
        gains = bin_gains(self.kept[::-1], mel)  # images have the highest band on top
        samples: Floats32 = librosa.istft(spectrum * gains, hop_length=mel.hop_length, length=len(self.samples))
        return samples

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as plain JSON values."""
        return {
            "file": self.file,
            "label": self.label,
            "start": self.start,
            "seconds": self.config.segment.seconds,
            "probability": self.probability,
            "clip_probability": self.clip_probability,
            "deletion_area": {order: curve.area for order, curve in self.deletions.items()},
            "verdict": self.verdict,
        }


def explain(
    run: Run | Path | str,
    file: Path | str,
    *,
    label: str | None = None,
    start: float | None = None,
    device: str = "auto",
) -> Explanation:
    """Explain a prediction for one segment of an audio file.

    Grad-CAM shows which region the network used, and occlusion, which blacks out patch by patch, shows it
    independently. Deletion curves check both: in a true order of importance, the probability falls sooner than in a
    random one.

    Parameters
    ----------
    run
        A run of one network that takes mel-spectrograms, or its folder.
    file
        An audio file.
    label
        The class to explain; by default the predicted one.
    start
        A time within the segment to look at, in seconds; by default the segment where the class is most probable.
    device
        `auto`, `cpu`, `cuda` or `mps`.

    Raises
    ------
    RunError
        the run is an ensemble, has no network, or one that takes something else than mel-spectrograms.
    ConfigError
        the model has no such class, the file is shorter than `start`, or there is no such device.
    AudioError
        the file cannot be used.
    """
    classifier = _load_network(Run.open(run), device)
    config = classifier.card.of_model()[0].render_config
    path = Path(file)
    starts, pictures = zip(*render_clip(path, config), strict=True)
    probs = classifier.predict_proba(np.stack(pictures))
    clip = VOTES[classifier.card.vote](probs)
    target = _target(label, classifier.labels, int(clip.argmax()))
    chosen = (
        int(probs[:, target].argmax()) if start is None else _segment_at(start, starts, config.segment.seconds, path)
    )
    picture: Image = pictures[chosen]
    cam = grad_cam(classifier.network, picture, target)
    black = occlusion(classifier.predict_proba, picture, target)
    return Explanation(
        file=str(file),
        label=classifier.labels[target],
        start=starts[chosen],
        probability=float(probs[chosen, target]),
        clip_probability=float(clip[target]),
        config=config,
        picture=picture,
        samples=_samples(path, config, starts[chosen]),
        cam=cam,
        occlusion=black,
        deletions=_deletions(classifier.predict_proba, picture, target, cam, black),
    )


def _load_network(run: Run, device: str) -> TorchClassifier:
    """Return the network of a run; raises RunError where there is none that can be explained."""
    if run.card.is_ensemble:
        names = ", ".join(os.path.normpath(run.path / member.path) for member in run.card.members)
        raise RunError(f"{run.path} is an ensemble; explain one of its members: {names}")
    feature, _ = run.card.of_model()
    if not feature.is_image:
        raise RunError(
            f"{run.path} takes the feature '{feature.name}', but only mel-spectrograms can be explained; "
            "choose another run"
        )
    require_vote(run)
    try:
        input_of(feature)
    except ConfigError as error:
        raise RunError(f"{run.path} cannot be used: {error}; make the run again") from None
    classifier = load_classifier(run, device)
    if not isinstance(classifier, TorchClassifier):
        raise RunError(f"{run.path} has no neural network, so there is no feature map to explain")
    return classifier


def _target(label: str | None, labels: tuple[str, ...], default: int) -> int:
    if label is None:
        return default
    if label not in labels:
        raise ConfigError(f"the model has no class '{label}'{did_you_mean(label, labels)} (has: {', '.join(labels)})")
    return labels.index(label)


def _segment_at(time: float, starts: tuple[float, ...], seconds: float, path: Path) -> int:
    """Return the index of the last segment that holds a time, in seconds."""
    holding = [item for item, begin in enumerate(starts) if begin <= time < begin + seconds]
    if not holding:
        raise ConfigError(f"{path} has no segment at {time:g} s; its segments end at {starts[-1] + seconds:g} s")
    return holding[-1]


def _samples(path: Path, config: RenderConfig, start: float) -> Floats32:
    """Return `[n]`, the samples of the segment that starts at `start`."""
    segments = iter_segments(path, config.mel.sample_rate, config.segment)
    return next(samples.copy() for begin, samples in segments if begin == start)


def _deletions(
    predict: Predict, picture: Image, target: int, cam: Floats32 | None, black: Floats32
) -> dict[str, Deletion]:
    """Return the deletion curve of each order of importance, and of random ones."""
    orders = {"occlusion": black} if cam is None else {"grad-cam": cam, "occlusion": black}
    curves = {order: deletion(predict, picture, target, importance) for order, importance in orders.items()}
    return {**curves, "random": random_deletion(predict, picture, target)}


def bin_gains(bands: Floats32, config: MelConfig) -> Floats32:
    """Return gains per frequency from gains per mel band.

    Between the centres of two bands the gains change linearly; frequencies outside all bands are muted.

    Parameters
    ----------
    bands
        `[n_mels, frames]` in 0..1, lowest band first.
    config
        Settings of the mel bands.

    Returns
    -------
    Floats32
        `[n_fft // 2 + 1, frames]` in 0..1.
    """
    filters = mel_filters(config)
    triangles = filters / np.maximum(filters.max(axis=1, keepdims=True), 1e-12)
    total = triangles.sum(axis=0)[:, None]
    gains: Floats32 = (triangles.T @ bands) / np.where(total > 0, total, 1)
    return gains
