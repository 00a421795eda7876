"""Write and read shards: tar files in the layout of WebDataset, whose bytes depend on what is in them alone."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from spectro.core.tables import Segment

ESCAPES = str.maketrans({"%": "%25", ".": "%2E"})
"""WebDataset takes what follows the first dot of a file name for its kind."""
BUFFER = 1 << 20


def key_of(segment_id: str) -> str:
    """Return the name of a segment's files in a shard, without their suffix.

    >>> key_of("rock/song.mp3@0010.00")
    'rock/song%2Emp3@0010%2E00'
    """
    folder, slash, name = segment_id.rpartition("/")
    return folder + slash + name.translate(ESCAPES)


def segment_id_of(name: str) -> str:
    """Return the segment that a file of a shard belongs to."""
    folder, slash, last = name.rpartition("/")
    key = last.partition(".")[0]
    return folder + slash + key.replace("%2E", ".").replace("%25", "%")


class ShardWriter:
    """Writes a shard; use it in a `with` statement."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb", buffering=BUFFER)
        self._tar = tarfile.TarFile(fileobj=self._file, mode="w", format=tarfile.PAX_FORMAT)

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._tar.close()
        self._file.close()

    def add(self, segment: Segment, image: bytes) -> tuple[int, int]:
        """Add the PNG of a segment, and a JSON file with what is known of it; return where the PNG is, and its size."""
        clip, key = segment.clip, key_of(segment.id)
        facts = {
            "segment": segment.id,
            "clip": clip.id,
            "start": segment.start,
            "seconds": segment.seconds,
            "label": clip.label,
            "group": clip.group,
            "fold": clip.fold,
        }
        self._add(f"{key}.json", json.dumps(facts, ensure_ascii=False).encode())
        self._add(f"{key}.png", image)
        size = len(image)
        return self._tar.offset - -(-size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE, size

    def _add(self, name: str, data: bytes) -> None:
        info = tarfile.TarInfo(name)  # of no owner and no time, so that equal content makes equal bytes
        info.size = len(data)
        self._tar.addfile(info, io.BytesIO(data))


def iter_shard(file: BinaryIO) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of each file of a shard, reading it once from start to end."""
    with tarfile.open(fileobj=file, mode="r|", bufsize=BUFFER) as tar:
        for member in tar:
            content = tar.extractfile(member)
            assert content is not None
            yield member.name, content.read()
