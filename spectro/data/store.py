"""Rendered spectrograms on disk: one folder per configuration, and all of them as one memory-mapped array."""

from __future__ import annotations

import json
import logging
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import xxhash

from spectro.core.arrays import Image
from spectro.core.caches import open_cached, write_cached
from spectro.core.config import RenderConfig
from spectro.core.data_folder import DataFolder
from spectro.core.errors import DataError, StorageError
from spectro.core.files import digest_text, read_document, write_document
from spectro.core.locks import writing
from spectro.core.sealed_tables import SEALED
from spectro.core.tables import Segment
from spectro.data import png
from spectro.data.ownership import clear_dead
from spectro.data.provenance import Provenance, read_provenance
from spectro.data.source import signature
from spectro.data.storage import PATIENCE
from spectro.data.tables import read_segments, require_tables

PICTURES_VERSION = 1

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Store:
    """The spectrograms of one configuration: `config.json`, `segments.csv`, one PNG per segment, `packed.npy`.

    It keeps the generation that it met first: another process may render again meanwhile.
    """

    path: Path
    """Its folder, `DATA/mel-<config id>`."""
    config: RenderConfig
    """The settings the spectrograms were rendered with."""
    segments: tuple[Segment, ...]
    """All segments that have a spectrogram, in order of clip id and start."""
    edited: bool = False
    """Whether labels, groups or folds in `clips.csv` were edited since rendering."""

    @cached_property
    def config_id(self) -> str:
        """Id of the settings, the one that PNG files and model cards carry."""
        return self.config.config_id()

    def picture_path(self, segment: Segment) -> Path:
        """Return the path of a segment's PNG."""
        return picture_path(self.path, segment)

    def spectrograms(self) -> Image:
        """Return all spectrograms as one memory-mapped, read-only array.

        It is packed from the PNGs on first use, and again when a PNG is no longer the one that was packed.

        Returns
        -------
        array
            `[items, bands, frames]`, in the order of `segments`.

        Raises
        ------
        DataError
            a PNG is missing, damaged, of another shape, or not what `render` made of this segment.
        BusyError
            another process renders into the data folder.
        StorageError
            the disk is full or failing.
        """
        return self._array

    def is_packed(self) -> bool:
        """Tell whether the packed array is there, undamaged, and of these spectrograms."""
        return open_cached(self._packed_path, self._facts()) is not None

    def digest(self) -> str:
        """Hash the content of every PNG; they are read for that only when one of them changed."""
        return self._content

    def images(self) -> Iterator[tuple[Segment, bytes]]:
        """Yield each segment with the bytes of its PNG, checked; raises DataError as `spectrograms` does."""
        for segment in self.segments:
            data = self._bytes(segment)
            self._decode(segment, data)
            yield segment, data

    def read(self, segment: Segment) -> Image:
        """Return one spectrogram `[bands, frames]` from its PNG; raises DataError as `spectrograms` does."""
        return self._decode(segment, self._bytes(segment))

    @cached_property
    def _array(self) -> Image:
        path, facts = self._packed_path, self._facts()
        array = open_cached(path, facts)
        if array is None:
            with writing(self.path.parent, wait=PATIENCE):
                array = open_cached(path, facts)  # another process may have packed it meanwhile
                if array is None:
                    clear_dead(self.path)
                    if path.exists():
                        log.warning("%s is damaged, or of other spectrograms: it is packed again", path)
                    array = write_cached(path, facts, len(self.segments), self._blocks())
        return array

    @property
    def _packed_path(self) -> Path:
        return self.path / "packed.npy"

    def _facts(self) -> dict[str, str | int]:
        return {"digest": self.digest(), "config_id": self.config_id, "items": len(self.segments)}

    @cached_property
    def _content(self) -> str:
        note, signature = self.path / "pictures.json", self._signature()
        try:
            known = read_document(note, "pictures", PICTURES_VERSION, remedy="it is made again")
        except (DataError, OSError):
            known = {}
        if signature and known.get("signature") == signature:
            return str(known.get("digest"))
        content = digest_text(*(_line(segment, self._bytes(segment)) for segment in self.segments))
        if signature and signature == self._signature():
            clear_dead(self.path)
            with suppress(StorageError, OSError):  # it only saves reading them all
                write_document(note, "pictures", PICTURES_VERSION, {"signature": signature, "digest": content})
        return content

    @cached_property
    def provenance(self) -> Mapping[str, Provenance]:
        """What the spectrograms of each clip were made from, by the clip's id."""
        return read_provenance(self.path / "sources.csv")

    def decoders(self) -> dict[str, int]:
        """Return the number of clips by the decoder that read them."""
        clips = {segment.clip.id for segment in self.segments}
        return dict(sorted(Counter(self.provenance[clip].decoder for clip in clips).items()))

    def _signature(self) -> str:
        """Hash what the file system knows of every PNG; empty where that says nothing of their content."""
        lines = []
        for segment in self.segments:
            try:
                lines.append(f"{segment.id}\t{signature(self.picture_path(segment))}")
            except OSError:
                raise self._unusable(segment, "is missing") from None
        return "" if any(line.endswith("\t") for line in lines) else digest_text(*lines)

    def _blocks(self) -> Iterator[Image]:
        """Yield the spectrograms one by one; raises DataError where they are not those of `digest`."""
        lines = []
        for segment in self.segments:
            data = self._bytes(segment)
            lines.append(_line(segment, data))
            yield self._decode(segment, data)[None]
        if digest_text(*lines) != self._content:
            raise DataError(f"the spectrograms in {self.path} were rendered again meanwhile; repeat the command")

    def _bytes(self, segment: Segment) -> bytes:
        data = png.read(self.picture_path(segment))
        if data is None:
            there = os.path.lexists(self.picture_path(segment))
            raise self._unusable(segment, "is damaged (not a readable file)" if there else "is missing")
        return data

    def _decode(self, segment: Segment, data: bytes) -> Image:
        parsed, shape = png.parse(data), picture_shape(self.config)
        if parsed is None:
            raise self._unusable(segment, "is damaged")
        config_id = parsed.tags.get("config_id")
        if config_id != self.config_id:
            raise self._unusable(segment, f"was rendered with other settings (its config_id: {config_id})")
        if parsed.shape != shape:
            raise self._unusable(segment, f"measures {parsed.shape}, not {shape}")
        source = self.provenance.get(segment.clip.id)
        if parsed.tags != tags(self.config, segment, source.stamp if source else ""):
            raise self._unusable(segment, "is not what was rendered of this segment, or of another version of its clip")
        try:
            return png.decode(parsed)
        except DataError as error:
            raise self._unusable(segment, f"is damaged ({error})") from None

    def _unusable(self, segment: Segment, what: str) -> DataError:
        return DataError(f"{self.picture_path(segment)} {what}; run `spectro render` again, it repairs only that")


def open_store(data: DataFolder | Path | str, config_id: str | None = None) -> Store:
    """Open the spectrograms in a data folder.

    Parameters
    ----------
    data
        Folder that `render` made, or folder or URL of a sealed one.
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
    edited, segments = require_tables(data), read_segments(data, config)
    path, sealed = data.rendered_path(config), data.url or (data.path / SEALED).exists()
    if sealed:
        from spectro.data.shard_store import ShardStore

        return ShardStore(path=path, config=config, segments=segments, edited=edited, url=data.place)
    return Store(path=path, config=config, segments=segments, edited=edited)


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


def fresh(path: Path, expected: Mapping[str, str], shape: tuple[int, int]) -> bool:
    """Tell whether a PNG is there, undamaged, of the expected shape, and carries exactly the expected text chunks."""
    data = png.read(path)
    parsed = None if data is None else png.parse(data)
    return parsed is not None and parsed.tags == expected and parsed.shape == shape


def _line(segment: Segment, data: bytes) -> str:
    return f"{segment.id}\t{xxhash.xxh3_128(data).hexdigest()}"


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
