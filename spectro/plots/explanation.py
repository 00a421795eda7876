"""An explanation as files: one figure with axes in Hz and seconds, the sound before and after, and the figures."""

from __future__ import annotations

import json
import os
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import soundfile
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from spectro.core.config import MelConfig
from spectro.core.tables import write_text
from spectro.explain.explain import Explanation
from spectro.explain.saliency import Map

TICKS_HZ = (60, 125, 250, 500, 1000, 2000, 4000, 8000, 16000)
TICK_GAP = 0.05  # least distance of two names, as a share of the height
INK, FAINT = "#333333", "#999999"
TINT = 0.75  # opacity of the colour where importance is highest
COLOURS = {"grad-cam": "#0072b2", "occlusion": "#d55e00", "random": FAINT}  # Okabe and Ito: safe for the colour-blind
TINTS = {"grad-cam": "#56b4e9", "occlusion": "#e69f00"}  # the same hues, bright enough to lie on black


def save_explanation(made: Explanation, out: Path | str) -> tuple[Path, ...]:
    """Write `<file>@<start>.png`, `.json`, `.wav` (the segment) and `-mattered.wav` into the folder `out`."""
    stem = Path(out) / f"{Path(made.file).stem}@{made.start:07.2f}"
    stem.parent.mkdir(parents=True, exist_ok=True)
    figure, facts, whole, mattered = (
        stem.with_name(stem.name + end) for end in (".png", ".json", ".wav", "-mattered.wav")
    )
    rate = made.config.mel.sample_rate
    _replace(figure, lambda path: draw(made).savefig(path, format="png", dpi=150))
    for target, samples in ((whole, made.samples), (mattered, made.sound())):
        _replace(target, lambda path, s=samples: soundfile.write(path, np.clip(s, -1, 1), rate, format="WAV"))  # type: ignore[misc]
    write_text(facts, json.dumps(made.to_dict(), indent=2, ensure_ascii=False) + "\n")
    return figure, whole, mattered, facts


def _replace(path: Path, write: Callable[[Path], Any]) -> None:
    """Write a file whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def draw(made: Explanation) -> Figure:
    """Draw the segment, what the network heeded, what it missed when blacked out, and the deletion curves."""
    figure = Figure(figsize=(11, 7.2), layout="constrained")
    figure.suptitle(
        f"{Path(made.file).name}: {made.label}, {made.probability:.0%} in this segment, "
        f"{made.clip_probability:.0%} in the whole file",
        color=INK,
        fontsize=12,
    )
    (sound, cam), (black, curve) = figure.subplots(2, 2)
    _spectrogram(sound, made, "The sound, as the model sees it", cmap="magma")
    if made.cam is None:
        cam.axis("off")
        reason = "This network has no feature map\nthat shows where it looked:\nocclusion has to do."
        cam.text(0.5, 0.5, reason, ha="center", va="center", color=FAINT)
    else:
        _spectrogram(cam, made, "What it heeded (Grad-CAM)", cmap="gray")
        _tint(cam, made, made.cam, TINTS["grad-cam"])
    fall = np.maximum(made.occlusion, 0)
    title = f"What it missed when blacked out (at most {fall.max():.0%})"
    _spectrogram(black, made, title, cmap="gray")
    _tint(black, made, (fall / max(float(fall.max()), 1e-9)).astype(np.float32), TINTS["occlusion"])
    _curves(curve, made)
    return figure


def _spectrogram(axes: Any, made: Explanation, title: str, *, cmap: str) -> None:
    axes.imshow(made.picture, cmap=cmap, vmin=0, vmax=255, aspect="auto", extent=_extent(made))
    axes.set_yticks(*frequency_ticks(made.config.mel))
    axes.set_ylabel("Hz")
    axes.set_xlabel("seconds")
    _calm(axes, title)


def _tint(axes: Any, made: Explanation, shown: Map, colour: str) -> None:
    """Colour the picture where `shown`, in 0..1, is high."""
    overlay = np.empty((*shown.shape, 4), np.float32)
    overlay[...] = to_rgba(colour)
    overlay[..., 3] = TINT * shown
    axes.imshow(overlay, aspect="auto", extent=_extent(made))


def _extent(made: Explanation) -> tuple[float, float, float, float]:
    """Return left and right in seconds, bottom and top in bands."""
    return made.start, made.start + made.config.segment.seconds, 0, made.picture.shape[0]


def frequency_ticks(config: MelConfig) -> tuple[list[float], list[str]]:
    """Return heights, in bands from the bottom, and names of round frequencies in Hz."""
    top = config.sample_rate / 2 if config.fmax is None else config.fmax
    centres = librosa.mel_frequencies(n_mels=config.n_mels + 2, fmin=config.fmin, fmax=top)[1:-1]
    places: dict[int, float] = {}
    last = float("inf")
    for hz in reversed(TICKS_HZ):
        place = float(np.interp(hz, centres, np.arange(config.n_mels) + 0.5))
        if centres[0] <= hz <= centres[-1] and last - place > TICK_GAP * config.n_mels:
            places[hz] = last = place
    return list(places.values())[::-1], [f"{hz:,}" for hz in places][::-1]


def _curves(axes: Any, made: Explanation) -> None:
    for order, curve in made.deletions.items():
        style = "--" if order == "random" else "-"
        label = f"{order} order: area {curve.area:.2f}"
        axes.plot(curve.share, curve.probability, style, color=COLOURS[order], label=label, linewidth=1.8)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_xlabel("share blacked out, most important first")
    axes.set_ylabel(f"probability of {made.label}")
    axes.legend(frameon=False, fontsize=9, labelcolor=INK)
    _calm(axes, "\n".join(textwrap.wrap(made.verdict, 66)))


def _calm(axes: Any, title: str) -> None:
    axes.set_title(title, fontsize=10, loc="left", color=INK)
    axes.tick_params(labelsize=8, colors=INK, length=2)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(FAINT)
