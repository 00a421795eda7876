"""The distribution: its name on the package index, its version, and which of its extras installs a package."""

from __future__ import annotations

import importlib.metadata
from importlib.util import find_spec

from spectro.core.errors import ConfigError

DISTRIBUTION = "spectro-audio"
"""Name on the package index, where `spectro` is another program; command and import are called spectro."""
EXTRAS = {
    "train": (
        "torch",
        "torchvision",
        "timm",
        "lightning_fabric",
        "albumentations",
        "huggingface_hub",
        "librosa",
        "skops",
        "sklearn",
    ),
    "report": ("jinja2", "matplotlib"),
    "explain": ("pytorch_grad_cam",),
    "classical": ("xgboost",),
    "cleanlab": ("cleanlab",),
    "umap": ("umap",),
    "parquet": ("pyarrow",),
    "av": ("av",),
    "remote": ("obstore",),
    "ray": ("ray",),
    "onnx": ("onnx", "onnxscript"),
    "serve": ("starlette", "uvicorn"),
    "similar": ("faiss",),
    "tracking": ("tensorboard", "mlflow", "wandb"),
}
"""Modules that an installation without extras lacks, by the extra of pyproject.toml that brings them."""


def version() -> str:
    """Return the version of the installed distribution, which pyproject.toml declares."""
    return importlib.metadata.version(DISTRIBUTION)


def install_command(extra: str) -> str:
    """Return the command that installs what an extra adds, for messages about a missing package."""
    return f"pip install '{DISTRIBUTION}[{extra}]'"


def require_packages(purpose: str, *modules: str, otherwise: str = "") -> None:
    """Ask for packages before work begins that needs them.

    Parameters
    ----------
    purpose
        What needs them, as the beginning of a message: `Parquet`.
    modules
        Names that are imported; each is one of `EXTRAS`, or has the name of its package.
    otherwise
        What can be done without them, as the end of the message.

    Raises
    ------
    ConfigError
        One is not installed; the message names the command that installs it.
    """
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        remedy = f"{_remedy(missing)}{otherwise and f'; or {otherwise}'}"
        raise ConfigError(f"{purpose} needs {' and '.join(missing)}, which is not installed: {remedy}")


def of_missing_package(error: ModuleNotFoundError) -> ConfigError | None:
    """Return the error that names the remedy for a package that was not found, if it is one that an extra installs."""
    module = (error.name or "").partition(".")[0]
    if not any(module in modules for modules in EXTRAS.values()):
        return None
    return ConfigError(f"this needs {module}, which is not installed: {_remedy([module])}")


def _remedy(missing: list[str]) -> str:
    extras = [extra for extra, modules in EXTRAS.items() if set(modules) & set(missing)]
    others = [module for module in missing if not any(module in modules for modules in EXTRAS.values())]
    return " && ".join([install_command(",".join(extras))] * bool(extras) + [f"pip install {name}" for name in others])
