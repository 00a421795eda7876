"""Models: timm's networks and our own, with heads and first weights, and classical ones; names load on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spectro.models.embedders import EMBEDDERS
    from spectro.models.factory import build, build_pretrained
    from spectro.models.heads import HEADS
    from spectro.models.network import NETWORKS, Network
    from spectro.models.pretrained import WeightsInfo

__all__ = ["EMBEDDERS", "HEADS", "NETWORKS", "Network", "WeightsInfo", "build", "build_pretrained"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from spectro.models import factory  # imports torch and timm, and every family of networks, which fills the registry

    return getattr(factory, name)


def __dir__() -> list[str]:
    return list(__all__)
