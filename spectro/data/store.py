"""Rendered pictures on disk: one folder per configuration, and all of them as one memory-mapped array."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from spectro.core.config import RenderConfig
from spectro.core.errors import DataError
from spectro.core.tables import Segment, read_clips, read_segments_csv, write_text
from spectro.data import png

PREFIX = "mel-"


@dataclass(frozen=True)
class Store:
    """The pictures of one configuration: `config.json`, `segments.csv`, one PNG per segment, `pictures.npy`."""

    path: Path
    """Its folder, `DATA/mel-<config_id>`."""
    config: RenderConfig
    """The settings the pictures were rendered with."""
    segments: tuple[Segment, ...]
    """All segments that have a picture, in order of clip id and start."""

    @cached_property
    def config_id(self) -> str:
        """Id of the settings, the one that pictures and model cards carry."""
        return self.config.config_id()

    def picture_path(self, segment: Segment) -> Path:
        """Return the path of a segment's PNG."""
        return picture_path(self.path, segment)

    def pictures(self) -> NDArray[np.uint8]:
        """Return `[items, bands, frames]`, memory-mapped and read-only, in the order of `segments`.

        It is packed from the PNGs on first use, and again whenever a PNG is no longer the one that was packed.

        Raises
        ------
        DataError
            a PNG is missing, damaged, of another shape, or rendered with other settings.
        """
        packed, facts = self.path / "pictures.npy", self.path / "pictures.json"
        digest = self.digest()
        try:
            known = json.loads(facts.read_text(encoding="utf-8")).get("digest")
        except (OSError, ValueError):
            known = None
        if known != digest or not packed.exists():
            self._pack(packed)
            write_text(facts, json.dumps({"digest": digest, "items": len(self.segments)}) + "\n")
        array: NDArray[np.uint8] = np.load(packed, mmap_mode="r", allow_pickle=False)
        return array

    def digest(self) -> str:
        """Hash name, size and time of every PNG: cheap to take, and different as soon as one is written again."""
        digest = hashlib.sha256()
        for segment in self.segments:
            try:
                stat = self.picture_path(segment).stat()
            except OSError:
                raise self._spoilt(segment, "is missing") from None
            digest.update(f"{segment.id}\t{stat.st_size}\t{stat.st_mtime_ns}\n".encode())
        return digest.hexdigest()

    def _pack(self, packed: Path) -> None:
        temporary = packed.with_name(f".{packed.name}.{os.getpid()}.tmp")
        shape = picture_shape(self.config)
        array = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=(len(self.segments), *shape))
        for item, segment in enumerate(self.segments):
            path = self.picture_path(segment)
            try:
                with Image.open(path) as image:
                    image.load()
                    tags = getattr(image, "text", {})
                    picture = np.asarray(image)
            except (OSError, SyntaxError) as error:
                raise self._spoilt(segment, f"is damaged ({error})") from None
            if tags.get("config_id") != self.config_id:
                raise self._spoilt(segment, f"carries the config_id {tags.get('config_id')}")
            if picture.shape != shape:
                raise self._spoilt(segment, f"measures {picture.shape}, not {shape}")
            array[item] = picture
        array.flush()
        del array
        os.replace(temporary, packed)

    def _spoilt(self, segment: Segment, what: str) -> DataError:
        return DataError(f"{self.picture_path(segment)} {what}; run `spectro render` again, it repairs only that")


def picture_shape(config: RenderConfig) -> tuple[int, int]:
    """Return (bands, frames) of every picture rendered with these settings."""
    samples = round(config.segment.seconds * config.mel.sample_rate)
    return config.mel.n_mels, 1 + samples // config.mel.hop_length


def picture_path(folder: Path, segment: Segment) -> Path:
    """Return the path of a segment's PNG in the folder of its configuration."""
    return folder / f"{segment.id}.png"


def tags(config: RenderConfig, segment: Segment, stamp: str) -> dict[str, str]:
    """Return the text chunks of a picture: all that made it, so that it can be judged without any other file."""
    return _common_tags(config) | {"source": segment.clip.id, "start": f"{segment.start:.4f}", "stamp": stamp}


@lru_cache(maxsize=8)
def _common_tags(config: RenderConfig) -> dict[str, str]:
    text = json.dumps(config.to_dict(), sort_keys=True)
    return {"Software": "spectro", "config_id": config.config_id(), "config": text}


def fresh(path: Path, expected: dict[str, str]) -> bool:
    """Tell whether a picture is there, whole, and carries exactly the expected text chunks."""
    return png.read_tags(path) == expected


def folder_of(data: Path, config: RenderConfig) -> Path:
    """Return the folder of the pictures of one configuration."""
    return data / f"{PREFIX}{config.config_id()}"


def open_store(data: Path | str, config_id: str | None = None) -> Store:
    """Open the pictures in a DATA folder.

    Parameters
    ----------
    config_id
        Which configuration; may be left out when there is only one.

    Raises
    ------
    DataError
        there is none, several and no config_id given, no such one, or rendering did not finish.
    """
    data = Path(data)
    if not data.is_dir():
        raise DataError(f"there is no folder {data}; make it with `spectro render SOURCE --out {data}`")
    configs = _configs(data)
    if not configs:
        raise DataError(f"{data} holds no rendered pictures; make them with `spectro render SOURCE --out {data}`")
    if config_id is not None and config_id not in configs:
        raise DataError(f"{data} has no pictures with config_id {config_id} (have: {', '.join(configs)})")
    if config_id is None and len(configs) > 1:
        raise DataError(f"{data} holds pictures of several settings, name one config_id: {_compared(configs)}")
    config = configs[config_id or next(iter(configs))]
    path = folder_of(data, config)
    if not (path / "segments.csv").exists():
        raise DataError(f"rendering into {path} did not finish; run the same `spectro render` again, it resumes")
    segments = read_segments_csv(path / "segments.csv", read_clips(data / "clips.csv"))
    return Store(path=path, config=config, segments=tuple(segments))


def read_config(path: Path) -> RenderConfig:
    """Read a `config.json`; raises DataError when it is not one, or does not belong to its folder."""
    try:
        config = RenderConfig.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise DataError(f"{path} is not JSON ({error}); remove its folder and render again") from None
    if path.parent.name != f"{PREFIX}{config.config_id()}":
        raise DataError(f"{path} was changed after rendering; remove its folder and render again")
    return config


def _configs(data: Path) -> dict[str, RenderConfig]:
    found = [read_config(path) for path in sorted(data.glob(f"{PREFIX}*/config.json"))]
    return {config.config_id(): config for config in found}


def _compared(configs: dict[str, RenderConfig]) -> str:
    flat: Sequence[tuple[str, RenderConfig]] = list(configs.items())
    first_name, first = flat[0]
    parts = [first_name]
    for name, config in flat[1:]:
        parts.append(f"{name} ({'; '.join(first.differences(config))})".replace(" there", f" in {name}"))
    return ", ".join(parts).replace(" here", f" in {first_name}")
