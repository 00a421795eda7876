"""Rendered spectrograms on disk: one folder per configuration, and all of them as one memory-mapped array."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from spectro.core.arrays import Image
from spectro.core.config import RenderConfig
from spectro.core.data_folder import DataFolder
from spectro.core.errors import DataError
from spectro.core.files import digest_text, read_document, replacing, write_document
from spectro.core.tables import Segment
from spectro.data import png

PACKED_VERSION = 1


@dataclass(frozen=True)
class Store:
    """The spectrograms of one configuration: `config.json`, `segments.csv`, one PNG per segment, `packed.npy`."""

    path: Path
    """Its folder, `DATA/mel-<config id>`."""
    config: RenderConfig
    """The settings the spectrograms were rendered with."""
    segments: tuple[Segment, ...]
    """All segments that have a spectrogram, in order of clip id and start."""

    @cached_property
    def config_id(self) -> str:
        """Id of the settings, the one that PNG files and model cards carry."""
        return self.config.config_id()

    def picture_path(self, segment: Segment) -> Path:
        """Return the path of a segment's PNG."""
        return picture_path(self.path, segment)

    def spectrograms(self) -> Image:
        """Return all spectrograms as one memory-mapped, read-only array.

        It is packed from the PNGs on first use, and again whenever a PNG is no longer the one that was packed.

        Returns
        -------
        array
            `[items, bands, frames]`, in the order of `segments`.

        Raises
        ------
        DataError
            a PNG is missing, damaged, of another shape, or rendered with other settings.
        """
        digest = self.digest()
        array = self._packed(digest)
        if array is None:
            self._pack()
            write_document(self._note_path, "packed", PACKED_VERSION, {"digest": digest, "items": len(self.segments)})
            array = np.load(self._packed_path, mmap_mode="r", allow_pickle=False)
        return array

    def digest(self) -> str:
        """Hash name, size and time of every PNG: cheap to take, and different as soon as one is written again."""
        lines = []
        for segment in self.segments:
            try:
                stat = self.picture_path(segment).stat()
            except OSError:
                raise self._unusable(segment, "is missing") from None
            lines.append(f"{segment.id}\t{stat.st_size}\t{stat.st_mtime_ns}")
        return digest_text(*lines)

    @property
    def _packed_path(self) -> Path:
        return self.path / "packed.npy"

    @property
    def _note_path(self) -> Path:
        return self.path / "packed.json"

    def _packed(self, digest: str) -> Image | None:
        """Return the packed array if it is there, whole, and of the PNGs with this digest."""
        try:
            note = read_document(self._note_path, "packed", PACKED_VERSION, remedy="it is made again")
        except DataError:
            return None
        shape = (len(self.segments), *picture_shape(self.config))
        return map_array(self._packed_path, shape, np.uint8) if note.get("digest") == digest else None

    def _pack(self) -> None:
        shape = picture_shape(self.config)
        with replacing(self._packed_path) as temporary:
            array = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=(len(self.segments), *shape))
            for item, segment in enumerate(self.segments):
                array[item] = self._read(segment, shape)
            array.flush()
            del array

    def _read(self, segment: Segment, shape: tuple[int, int]) -> Image:
        try:
            with Pillow.open(self.picture_path(segment)) as file:
                file.load()
                text = getattr(file, "text", {})
                image = np.asarray(file)
        except (OSError, SyntaxError) as error:
            raise self._unusable(segment, f"is damaged ({error})") from None
        if text.get("config_id") != self.config_id:
            raise self._unusable(segment, f"was rendered with other settings (its config_id: {text.get('config_id')})")
        if image.shape != shape:
            raise self._unusable(segment, f"measures {image.shape}, not {shape}")
        return image

    def _unusable(self, segment: Segment, what: str) -> DataError:
        return DataError(f"{self.picture_path(segment)} {what}; run `spectro render` again, it repairs only that")


def open_store(data: DataFolder | Path | str, config_id: str | None = None) -> Store:
    """Open the spectrograms in a data folder.

    Parameters
    ----------
    data
        Folder that `render` made.
    config_id
        Which configuration; may be left out when there is only one.

    Returns
    -------
    Store

    Raises
    ------
    DataError
        there is none, several and no config_id given, no such one, or rendering did not finish.
    """
    data = DataFolder.open(data)
    configs = data.configs()
    if not configs:
        raise DataError(f"{data.path} has no spectrograms; make them with `spectro render SOURCE --out {data.path}`")
    if config_id is not None and config_id not in configs:
        raise DataError(f"{data.path} has no spectrograms with config_id {config_id} (have: {', '.join(configs)})")
    if config_id is None and len(configs) > 1:
        listing = _list_differences(configs)
        raise DataError(f"{data.path} has spectrograms of several settings; choose one by --config-id: {listing}")
    config = configs[config_id or next(iter(configs))]
    return Store(path=data.rendered_path(config), config=config, segments=data.segments(config))


def picture_shape(config: RenderConfig) -> tuple[int, int]:
    """Return (bands, frames) of every spectrogram rendered with these settings."""
    samples = round(config.segment.seconds * config.mel.sample_rate)
    return config.mel.n_mels, 1 + samples // config.mel.hop_length


def picture_path(folder: Path, segment: Segment) -> Path:
    """Return the path of a segment's PNG in the folder of its configuration."""
    return folder / f"{segment.id}.png"


def tags(config: RenderConfig, segment: Segment, stamp: str) -> dict[str, str]:
    """Return the text chunks of a PNG, which name everything that made it.

    Parameters
    ----------
    config
        Settings of the rendering.
    segment
        What the spectrogram shows.
    stamp
        State of the source file, as `source_stamp` returns it.
    """
    return _common_tags(config) | {"source": segment.clip.id, "start": f"{segment.start:.4f}", "stamp": stamp}


def source_stamp(path: Path) -> str:
    """Return size and time of a source file, which differ once it was changed; raises OSError when it is gone."""
    stat = path.stat()
    return f"{stat.st_size} {stat.st_mtime_ns}"


def fresh(path: Path, expected: Mapping[str, str]) -> bool:
    """Tell whether a PNG is there, whole, and carries exactly the expected text chunks."""
    return png.read_tags(path) == expected


def map_array(path: Path, shape: tuple[int, ...], dtype: type[np.generic]) -> NDArray[Any] | None:
    """Return a memory-mapped, read-only array; None where it is missing, damaged or another one."""
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, EOFError, ValueError):
        return None
    return array if array.shape == shape and array.dtype == dtype else None


@lru_cache(maxsize=8)
def _common_tags(config: RenderConfig) -> dict[str, str]:
    text = json.dumps(config.to_dict(), sort_keys=True)
    return {"Software": "spectro", "config_id": config.config_id(), "config": text}


def _list_differences(configs: Mapping[str, RenderConfig]) -> str:
    """Return the ids, each but the first followed by how its settings differ from those of the first."""
    (first_id, first), *others = configs.items()
    parts = [first_id]
    for config_id, config in others:
        parts.append(f"{config_id} ({'; '.join(first.differences(config))})".replace(" there", f" in {config_id}"))
    return ", ".join(parts).replace(" here", f" in {first_id}")
