"""The state of the code and the libraries that decide what a spectrogram or an answer is, to the last bit."""

from __future__ import annotations

import importlib.metadata
from functools import lru_cache
from pathlib import Path

from spectro.core.distribution import version
from spectro.core.files import digest_text

RENDERING = (
    *("audio", "core/config.py", "core/arrays.py", "core/records.py"),
    *("data/png.py", "data/clip_rendering.py", "data/store.py", "data/provenance.py", "data/source.py"),
    *("data/lots/rendering.py", "data/lots/shard.py", "data/lots/attempt.py", "data/lots/records.py"),
)
"""Files and folders of the package that spectrograms depend on."""
LIBRARIES = ("numpy", "scipy", "soundfile", "soxr", "ducc0", "isal", "av")
"""Packages that they depend on; some need not be there."""
PREDICTION = (*RENDERING, "models", "inference")
PREDICTION_LIBRARIES = (*LIBRARIES, "torch", "timm", "onnxruntime", "scikit-learn", "pyarrow")


@lru_cache(maxsize=2)
def code_version(*, prediction: bool = False) -> str:
    """Return the version of spectro, and a checksum of the code and of the versions of the libraries it works with.

    Parameters
    ----------
    prediction
        Of what answers depend on, instead of spectrograms.
    """
    root = Path(__file__).parents[2]
    texts = []
    for name in PREDICTION if prediction else RENDERING:
        path = root / name
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            texts.append(f"{file.relative_to(root).as_posix()}\t{file.read_text(encoding='utf-8')}")
    texts += [f"{name} {_version(name)}" for name in (PREDICTION_LIBRARIES if prediction else LIBRARIES)]
    return f"{version()}-{digest_text(*texts)[:12]}"


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "none"
