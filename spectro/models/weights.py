"""Where a backbone's first weights come from: a package that ships them, a cache, the hub, a file, or chance."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import huggingface_hub
import timm
import torch
from huggingface_hub.errors import RemoteEntryNotFoundError
from safetensors.torch import load_file
from timm.models import PretrainedCfg
from torch import Tensor

from spectro.core.errors import WeightsError, first_line
from spectro.models.embedders import EMBEDDERS
from spectro.models.pretrained import HUB_FILES, SHIPPED, WeightsInfo, cached_file, find_shipped, sha256_of

MAX_SIZE = 64 << 30
"""Largest file of weights that is read, in bytes."""


def resolve(name: str, weights: str = "auto") -> WeightsInfo:
    """Find first weights of one of timm's models or of an embedder; download them if `weights` asks for that.

    Parameters
    ----------
    name
        Name of the model.
    weights
        `auto` takes the first of: an installed package that ships them, the caches of the hub and of torch, the hub;
        `hub` asks the hub (which uses its cache); `none` starts at random; anything else is the path of a file.

    Raises
    ------
    WeightsError
        they are not to be found, or a file's hash is not the known one; never a silent random start.
    """
    if weights == "none":
        return WeightsInfo(origin="random")
    if weights == "auto":
        return find_installed(name) or _from_hub(name)
    if weights == "hub":
        return _from_hub(name)
    path = Path(weights)
    try:
        size = path.stat().st_size if path.is_file() else -1
        _require_size(path, size)
        sha256 = sha256_of(path) if size >= 0 else ""
    except (OSError, ValueError) as error:
        raise WeightsError(f"weights '{weights[:200]}' cannot be read ({error.args[-1]})") from None
    if size < 0:
        raise WeightsError(f"weights '{weights[:200]}' is neither auto, none, hub nor a file that exists")
    known = next((shipped for shipped in SHIPPED.values() if shipped.sha256 == sha256), None)
    licence, citation = (known.licence, known.citation) if known else ("", "")
    return WeightsInfo(origin="file", path=path, sha256=sha256, licence=licence, citation=citation)


def find_installed(name: str) -> WeightsInfo | None:
    """Return the weights of timm's model `name` that this machine already has, or None.

    Raises
    ------
    WeightsError
        a package's file is missing or is not the known one.
    """
    return find_shipped(name) or _find_cached(name)


def read(name: str, info: WeightsInfo) -> dict[str, Tensor]:
    """Read a file of weights under timm's names, or those of our embedder, without running code from it.

    Parameters
    ----------
    name
        Name of the model.
    info
        What `resolve` returned.

    Raises
    ------
    WeightsError
        the file is not a safetensors or PyTorch file, or holds more than weights.
    """
    path = info.path
    if path is None:
        raise ValueError("a random start has no file")
    known = any(shipped.sha256 == info.sha256 for shipped in SHIPPED.values())
    if known and name in EMBEDDERS:
        return EMBEDDERS[name].read(path)
    try:
        content = _read_tensors(path)
    except Exception as error:  # a file that is no file of weights can fail in any way
        again = "; remove it, and it is downloaded again" if info.origin.endswith("cache") else ""
        raise WeightsError(
            f"{path} cannot be read as weights: it is no whole .safetensors or .pth file of tensors only{again}"
        ) from error
    for key in ("state_dict", "model"):  # training checkpoints wrap them
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not content or not all(map(_is_weight, content.keys(), content.values())):
        raise WeightsError(f"{path} holds no table of weights by name; save a model's state_dict")
    if any(key.startswith("backbone.") for key in content):  # the weights of one of our runs
        prefix = "backbone.model." if any(key.startswith("backbone.model.") for key in content) else "backbone."
        return {key.removeprefix(prefix): value for key, value in content.items() if key.startswith(prefix)}
    return _in_order(name, content, str(path)) if known else dict(content)


def _require_size(path: Path, size: int) -> None:
    """Raise WeightsError where a file is larger than any backbone, before it is read."""
    if size > MAX_SIZE:
        raise WeightsError(f"{path} has {size / 1e9:.3g} GB, more than any backbone ({MAX_SIZE / 1e9:.3g} GB)")


def _read_tensors(path: Path) -> Any:
    """Return what a file of weights holds; it takes no more memory than the file is long."""
    if path.suffix == ".safetensors":
        return load_file(path)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if sum(entry.file_size for entry in entries) > path.stat().st_size:  # compressed, or one above the other
                raise ValueError("it holds more than its size")
    return torch.load(path, map_location="cpu", weights_only=True)


def _is_weight(name: object, value: object) -> bool:
    """Tell whether an entry is a plain tensor under a name, and not a sparse, quantized or nested one."""
    if not isinstance(name, str) or not isinstance(value, Tensor) or value.layout != torch.strided:
        return False
    return value.device.type == "cpu" and not value.is_quantized and not value.is_nested


def _in_order(name: str, weights: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """Rename weights that have other names but timm's order of layers; kinds and shapes must agree one by one."""
    with torch.device("meta"):
        wanted = timm.create_model(name, pretrained=False).state_dict()
    targets = [(key, value.shape) for key, value in wanted.items() if not key.endswith("num_batches_tracked")]
    sources = [(key, value) for key, value in weights.items() if not key.endswith("num_batches_tracked")]
    if len(targets) != len(sources):
        raise WeightsError(f"{source} has {len(sources)} weights, but '{name}' has {len(targets)}; is it another's?")
    for (ours, shape), (theirs, value) in zip(targets, sources, strict=True):
        if shape != value.shape or ours.rpartition(".")[2] != theirs.rpartition(".")[2]:
            raise WeightsError(f"{source} does not fit '{name}': {theirs} is where {ours} should be; is it another's?")
    return {ours: value for (ours, _), (_, value) in zip(targets, sources, strict=True)}


def _find_cached(name: str) -> WeightsInfo | None:
    facts = _facts(name)
    cached = cached_file(facts.hf_hub_id or "", url_of(facts)) if facts else None
    if facts is None or cached is None:
        return None
    origin, path = cached
    return WeightsInfo(origin=origin, path=path, sha256=sha256_of(path), licence=facts.license or "")


def _from_hub(name: str) -> WeightsInfo:
    facts = _facts(name)
    repository = facts.hf_hub_id if facts else None
    if facts is None or not repository:
        where = f"; timm knows only {facts.url}" if facts and facts.url else ""
        raise WeightsError(f"the hub has no pretrained weights of '{name}'{where}; ways out: {_ways_out(name)}")
    for file in HUB_FILES:
        try:
            # Asked first, because this fails at once without a network, while a download retries for half a minute.
            huggingface_hub.get_hf_file_metadata(huggingface_hub.hf_hub_url(repository, file))
            path = Path(huggingface_hub.hf_hub_download(repository, file))
        except RemoteEntryNotFoundError:
            continue
        except Exception as error:  # which kinds mean "no network" differs between versions of the hub's client
            if cached := _find_cached(name):
                return cached
            reason = first_line(error).rstrip(".")
            raise WeightsError(
                f"no weights of '{name}' are installed: {file} of {repository} is in no cache and could not be "
                f"downloaded ({reason}); ways out: {_ways_out(name)}"
            ) from error
        origin = f"hub {repository}"
        return WeightsInfo(origin=origin, path=path, sha256=sha256_of(path), licence=facts.license or "")
    raise WeightsError(f"{repository} on the hub has neither {' nor '.join(HUB_FILES)}; ways out: {_ways_out(name)}")


def _ways_out(name: str) -> str:
    fits = name if name in SHIPPED else "tf_efficientnet_lite0"
    backbone = "" if fits == name else f"--backbone {fits} after "
    package = f"{backbone}`{SHIPPED[fits].install}`"
    return f"{package}, or a file of yours with --weights FILE, or a random start with --weights none"


def url_of(facts: PretrainedCfg) -> str:
    """Return where torch would download the weights from; empty for nowhere."""
    return facts.url if isinstance(facts.url, str) else ""


def _facts(name: str) -> PretrainedCfg | None:
    return timm.get_pretrained_cfg(name)
