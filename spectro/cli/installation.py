"""What is installed, in one screen that people can paste: versions, device, decoders, weights, disk and extras."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, packages_distributions
from importlib.metadata import version as version_of
from importlib.util import find_spec
from pathlib import Path

from spectro.cli.app import Json, app, put_json
from spectro.core.distribution import DISTRIBUTION, EXTRAS, install_command, version
from spectro.core.errors import first_line
from spectro.core.records import Record
from spectro.data.worker import physical_memory

WIDTH = 80
NAMED = 6
"""Backbones with weights that are named; others are counted."""
GIB = 1 << 30
COMPUTING = ("numpy", "scipy", "torch", "torchvision", "timm", "onnxruntime", "sklearn", "librosa", "soundfile", "soxr")
"""Packages that decide a result, by the name they are imported under."""


@dataclass(frozen=True, kw_only=True)
class Installation(Record):
    """What a bug report needs to tell of the machine; no names of folders or users."""

    spectro: str
    python: str
    platform: str
    packages: dict[str, str]
    """Versions of the packages that compute."""
    devices: tuple[str, ...]
    """What networks can run on."""
    cores: int
    """Processor cores that this process may use."""
    memory_gib: float
    """Memory of the machine; 0 where that is not known."""
    decoders: tuple[str, ...]
    weights: tuple[str, ...]
    """Backbones whose pretrained weights are here."""
    free_gib: dict[str, float]
    """Free room of the disks that matter, by what is kept there."""
    extras: dict[str, tuple[str, ...]]
    """Modules that are missing, by extra; none where it is complete."""
    problems: tuple[str, ...]
    """What was found broken while looking."""


def inspect() -> Installation:
    """Look at the installation; what cannot be looked at is listed among the problems, and nothing is raised."""
    from spectro.data.engines.local import cores

    problems: list[str] = []
    return Installation(
        spectro=version(),
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.release()} {platform.machine()}",
        packages={name: found for name in COMPUTING if (found := _version(name))},
        devices=_devices(problems),
        cores=cores(),
        memory_gib=round(physical_memory() / GIB, 1),
        decoders=_decoders(problems),
        weights=_weights(problems),
        free_gib=_free(),
        extras={name: tuple(one for one in modules if find_spec(one) is None) for name, modules in EXTRAS.items()},
        problems=tuple(problems),
    )


def _version(module: str) -> str:
    if find_spec(module) is None:
        return ""
    for name in (module, *packages_distributions().get(module, ())):
        try:
            return version_of(name)
        except PackageNotFoundError:
            continue
    return "unknown version"


def _devices(problems: list[str]) -> tuple[str, ...]:
    if find_spec("torch") is None:
        return ("cpu (ONNX files only; no torch)",)
    try:
        import torch

        cards = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
        apple = ["mps"] if torch.backends.mps.is_available() else []
    except Exception as error:  # a broken installation is what this is to find
        problems.append(f"torch cannot be used: {first_line(error)}")
        return ("cpu",)
    return ("cpu", *(f"cuda:{number} {name}" for number, name in enumerate(cards)), *apple)


def _decoders(problems: list[str]) -> tuple[str, ...]:
    names = []
    try:
        from spectro.audio.decoders import libsndfile

        names.append(libsndfile.VERSION)
        if find_spec("av") is not None:
            import av

            names.append(f"PyAV {av.__version__}")
    except Exception as error:
        problems.append(f"a decoder cannot be used: {first_line(error)}")
    return tuple(names)


def _weights(problems: list[str]) -> tuple[str, ...]:
    if find_spec("timm") is None:
        return ()
    try:
        from spectro.models.catalogue import entry, known

        names = [name for name, cost in known().items() if cost.kind in ("timm", "embedder")]
        return tuple(name for name in names if entry(name).weights not in ("hub", "none", ""))
    except Exception as error:
        problems.append(f"weights cannot be looked for: {first_line(error)}")
        return ()


def _free() -> dict[str, float]:
    """Return the free room by what is kept there; folders are not named, so that the screen can be pasted."""
    cache = Path(os.environ.get("HF_HOME") or Path.home() / ".cache")
    places = {"this folder": Path.cwd(), "temporary files": Path(tempfile.gettempdir()), "weights": cache}
    free = {}
    for name, place in places.items():
        while not place.exists() and place != place.parent:
            place = place.parent
        try:
            free[name] = round(shutil.disk_usage(place).free / GIB, 1)
        except OSError:
            continue
    return free


def screen(installation: Installation) -> str:
    """Return the installation as lines of at most 80 characters."""
    return "\n".join(_lines(installation)) + "\n"


def _lines(found: Installation) -> Iterator[str]:
    yield from _row("spectro", f"{found.spectro} ({DISTRIBUTION}), Python {found.python}, {found.platform}")
    yield from _row("packages", ", ".join(f"{name} {number}" for name, number in found.packages.items()))
    memory = f", {found.memory_gib:g} GiB memory" if found.memory_gib else ""
    yield from _row("device", f"{'; '.join(found.devices)}; {found.cores} cores{memory}")
    yield from _row("decoders", ", ".join(found.decoders) or "none")
    names = [*found.weights[:NAMED], *([f"{len(found.weights) - NAMED} more"] if len(found.weights) > NAMED else [])]
    yield from _row("weights", ", ".join(names) or "none: spectro finetune needs the network once, or --weights none")
    yield from _row("free", ", ".join(f"{name} {room:g} GiB" for name, room in found.free_gib.items()))
    complete = [name for name, missing in found.extras.items() if not missing]
    yield from _row("extras", ", ".join(complete) or "none")
    for name, missing in found.extras.items():
        if missing:
            yield f"{'':10} no {name}: {install_command(name)}"
    for problem in found.problems:
        yield from _row("PROBLEM", problem)


def _row(title: str, text: str) -> Iterator[str]:
    """Yield a title and a text behind it, wrapped at spaces."""
    line = f"{title:10}"
    for word in text.split():
        if len(line) + 1 + len(word) > WIDTH and line.strip():
            yield line.rstrip()
            line = " " * 10
        line += f" {word[: WIDTH - 12]}"
    yield line.rstrip()


def check(*, as_json: Json = False) -> int:
    """Show what is installed, in one screen to paste into a question or a bug report."""
    found = inspect()
    if as_json:
        put_json(found.to_dict())
    else:
        print(screen(found), end="")
    return 2 if found.problems else 0


app.command(check, name="--check", group=app["--version"].group)
