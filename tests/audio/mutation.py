"""Small files of every format, and damage done to them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tests.audio.odd_formats import ENCODED, SUBTYPES
from tests.audio.sounds import CannotBuild, encode, sound, write

SECONDS = 0.6
HEADER = 400
"""Bytes at the beginning that count as header."""
Originals = dict[str, bytes]


def originals(folder: Path) -> Originals:
    """Return the content of a short file in every format that libsndfile and PyAV write, by name."""
    made: Originals = {}
    for container, subtypes in SUBTYPES.items():
        for subtype in subtypes.split():
            rate = 48000 if subtype == "OPUS" else 22050
            options: dict[str, Any] = {"format": container, "subtype": subtype}
            made[f"{container}-{subtype}"] = bytes(write(folder / "a", sound(SECONDS, rate), rate, **options))
    for name, encoder, rate, channels, container_name in ENCODED:
        try:
            path = folder / f"a.{name}"
            made[name] = bytes(encode(path, sound(SECONDS, rate, channels), rate, encoder, container_name))
        except CannotBuild:
            continue
    return made


def mutate(data: bytes, seed: int) -> bytes:
    """Return a damaged copy: bytes of the header or the body changed, a part cut out, doubled or put at the end."""
    rng = np.random.default_rng(seed)
    damaged = bytearray(data)
    for _ in range(int(rng.integers(1, 4))):
        if not damaged:
            break
        end = max(1, min(len(damaged), HEADER if rng.random() < 0.6 else len(damaged)))
        at = int(rng.integers(end))
        kind = rng.integers(6)
        if kind == 0:
            damaged[at] = int(rng.integers(256))
        elif kind == 1:
            damaged[at : at + 4] = bytes(rng.choice(np.array([0, 1, 0x7F, 0x80, 0xFF], np.uint8), 4))
        elif kind == 2:
            damaged[at : at + 40] = rng.bytes(int(rng.integers(1, 40)))
        elif kind == 3:
            del damaged[at : at + int(rng.integers(1, 60))]
        elif kind == 4:
            damaged[at:at] = damaged[at : at + int(rng.integers(1, 200))]
        else:
            del damaged[max(at, 1) :]
    return bytes(damaged)
