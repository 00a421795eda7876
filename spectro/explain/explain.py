"""Why a model said what it said of a file: what it heeded, where in Hz and seconds, to look at and to listen to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import librosa
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from spectro.audio.features.mel import mel_filters
from spectro.audio.segment import iter_segments
from spectro.core.config import MelConfig, RenderConfig
from spectro.core.errors import ConfigError, RunError, did_you_mean
from spectro.core.predictions import VOTES
from spectro.core.runs import Run
from spectro.data.render import render_clip
from spectro.explain.saliency import Deletion, Map, Picture, deletion, grad_cam, occlusion, random_deletion
from spectro.inference.classifier import load_classifier
from spectro.models.network import Network

Samples = NDArray[np.float32]

KEPT = 0.5
"""Share of all importance that the smallest region to be heard in the explanation holds."""


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """What decided about one segment of a file."""

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
    picture: Picture
    """`[bands, frames]`, the segment's mel-spectrogram."""
    samples: Samples
    """`[n]`, the segment's sound at `config.mel.sample_rate`."""
    cam: Map | None
    """`[bands, frames]` in 0..1, Grad-CAM; None where the network has no feature map to look at."""
    occlusion: Map
    """`[bands, frames]`, fall of the probability when the patch of a point is blacked out."""
    deletions: dict[str, Deletion]
    """Deletion curves of the orders `grad-cam` (if there is one), `occlusion` and `random`."""

    @property
    def importance(self) -> Map:
        """`[bands, frames]`, not negative: Grad-CAM, or occlusion where there is none."""
        return np.maximum(self.occlusion, 0) if self.cam is None else self.cam

    @property
    def kept(self) -> Map:
        """`[bands, frames]` in 0..1, the smallest region that holds half of the importance, with soft edges."""
        importance = self.importance
        falling = np.sort(importance, axis=None)[::-1]
        threshold = falling[np.searchsorted(falling.cumsum(), KEPT * falling.sum())]
        inside = (importance >= threshold) & (importance > 0)
        soft: Map = gaussian_filter(inside.astype(np.float32), sigma=1.0)
        return soft

    @property
    def verdict(self) -> str:
        """What the deletion curves say of the explanation, in one sentence."""
        chance = self.deletions["random"].area
        failing = [order for order in self.deletions if order != "random" and self.deletions[order].area >= chance]
        if not failing:
            return "The check holds: blacked out in this order, the class is lost sooner than in random order"
        return f"The check fails: a random order loses the class as soon as {' and '.join(failing)}; do not rely on it"

    def sound(self) -> Samples:
        """Return `[n]`, the segment with everything muted but what mattered."""
        mel = self.config.mel
        spectrum = librosa.stft(self.samples, n_fft=mel.n_fft, hop_length=mel.hop_length, pad_mode="constant")
        gains = bin_gains(self.kept[::-1], mel)  # pictures have the highest band on top
        heard: Samples = librosa.istft(spectrum * gains, hop_length=mel.hop_length, length=len(self.samples))
        return heard

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as plain JSON values."""
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
    """Show what decided about one segment of an audio file.

    Grad-CAM says what the network heeded, occlusion whether that is so: patches are blacked out, and the deletion
    curve of a true explanation falls faster than that of a random order.

    Parameters
    ----------
    run : a run that holds one network, or its folder
    file : an audio file
    label : the class to explain; by default the one that the file is given
    start : a time within the segment to look at, in seconds; by default the segment that speaks most for the class
    device : `auto`, `cpu`, `cuda` or `mps`

    Raises
    ------
    RunError
        the run is an ensemble, holds no network, or one that hears something else than mel-spectrograms.
    ConfigError
        the model has no such class, or the file is shorter than `start`.
    AudioError
        the file cannot be used.
    """
    run = run if isinstance(run, Run) else Run.open(run)
    members = run.card().get("members") or []
    if members:
        names = ", ".join(str(run.path / member["path"]) for member in members)
        raise RunError(f"{run.path} is an ensemble; explain one of its members: {names}")
    feature = run.card()["feature"]["name"]
    if feature != "mel":
        raise RunError(f"{run.path} hears '{feature}', but only mel-spectrograms have the axes that are drawn here")
    classifier = load_classifier(run, device)
    network = getattr(classifier, "network", None)
    if not isinstance(network, Network):
        raise RunError(f"{run.path} holds no neural network, so there is no feature map to explain")
    config = RenderConfig.from_dict(classifier.card["feature"]["config"])
    path = Path(file)
    starts, pictures = zip(*render_clip(path, config), strict=True)
    probs = classifier.predict_proba(np.stack(pictures))
    clip = VOTES[classifier.card["vote"]](probs)
    target = _target(label, classifier.labels, int(clip.argmax()))
    chosen = int(probs[:, target].argmax()) if start is None else _at(start, starts, config.segment.seconds, path)
    picture: Picture = pictures[chosen]
    segments = iter_segments(path, config.mel.sample_rate, config.segment)
    samples = next(part.copy() for begin, part in segments if begin == starts[chosen])
    cam = grad_cam(network, picture, target)
    black = occlusion(classifier.predict_proba, picture, target)
    deletions = {} if cam is None else {"grad-cam": deletion(classifier.predict_proba, picture, target, cam)}
    return Explanation(
        file=str(file),
        label=classifier.labels[target],
        start=starts[chosen],
        probability=float(probs[chosen, target]),
        clip_probability=float(clip[target]),
        config=config,
        picture=picture,
        samples=samples,
        cam=cam,
        occlusion=black,
        deletions={
            **deletions,
            "occlusion": deletion(classifier.predict_proba, picture, target, black),
            "random": random_deletion(classifier.predict_proba, picture, target),
        },
    )


def _target(label: str | None, labels: tuple[str, ...], default: int) -> int:
    if label is None:
        return default
    if label not in labels:
        raise ConfigError(f"the model has no class '{label}'{did_you_mean(label, labels)} (has: {', '.join(labels)})")
    return labels.index(label)


def _at(start: float, starts: tuple[float, ...], seconds: float, path: Path) -> int:
    """Return the last segment that holds the time `start`."""
    holding = [item for item, begin in enumerate(starts) if begin <= start < begin + seconds]
    if not holding:
        raise ConfigError(f"{path} has no segment at {start:g} s; its segments end at {starts[-1] + seconds:g} s")
    return holding[-1]


def bin_gains(bands: Map, config: MelConfig) -> NDArray[np.float32]:
    """Return `[n_fft // 2 + 1, frames]` in 0..1, gains per frequency from gains per mel band, lowest band first.

    Between two bands' centres the gains change linearly; what no band hears is muted.
    """
    filters = mel_filters(config)
    triangles = filters / np.maximum(filters.max(axis=1, keepdims=True), 1e-12)
    total = triangles.sum(axis=0)[:, None]
    gains: NDArray[np.float32] = (triangles.T @ bands) / np.where(total > 0, total, 1)
    return gains
