"""Ogg: which codecs it holds, whether it is one stream, and whether its last page is whole."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from spectro.audio.containers.layout import Layout
from spectro.core.errors import AudioError

CODECS = {
    b"\x01vorbis": "vorbis",
    b"OpusHead": "opus",
    b"\x7fFLAC": "FLAC in Ogg",
    b"Speex   ": "Speex",
    b"\x80theora": "",
    b"\x01video": "",
    b"BBCD": "",
    b"fishead": "",
}
"""What the first packet of a stream begins with; an empty name is video, or a directory of what follows."""
LIBSNDFILE = ("vorbis", "opus")
TAIL = 1 << 17
"""Bytes of two of the longest pages."""
MOST_STREAMS = 64


def look(path: Path, file: BinaryIO, size: int) -> Layout:
    """Return how to read an Ogg file.

    Raises
    ------
    AudioError
        `truncated`: it ends within a page; `empty`: it is a video without sound.
    """
    codecs, serials = _streams(file)
    serial = _last_page(path, file, size)
    sounds = [codec for codec in codecs if codec]
    if codecs and not sounds:
        raise AudioError("empty", f"{path} is a video without sound")
    needs = next((codec for codec in sounds if codec not in LIBSNDFILE), "")
    several = len(codecs) > 1 or (bool(serials) and serial not in serials)
    return Layout(needs=needs, several=several)


def _streams(file: BinaryIO) -> tuple[list[str], list[bytes]]:
    """Return the codec and the serial number of each stream that begins at the start of the file."""
    codecs, serials = [], []
    at = 0
    for _ in range(MOST_STREAMS):
        file.seek(at)
        page = file.read(27)
        if len(page) < 27 or page[:4] != b"OggS" or not page[5] & 2:
            break
        lengths = file.read(page[26])
        packet = file.read(sum(lengths))
        name = next((name for mark, name in CODECS.items() if packet.startswith(mark)), None)
        codecs.append("an unknown codec in Ogg" if name is None else name)
        serials.append(page[14:18])
        at += 27 + len(lengths) + sum(lengths)
    return codecs, serials


def _last_page(path: Path, file: BinaryIO, size: int) -> bytes:
    """Return the serial number of the last page; raises AudioError if it breaks off."""
    file.seek(max(0, size - TAIL))
    end = file.read()
    at = end.rfind(b"OggS")
    page = end[at:] if at >= 0 else b""
    lengths = page[27 : 27 + page[26]] if len(page) > 26 else b""
    if len(page) < 27 or len(page) < 27 + page[26] + sum(lengths):
        raise AudioError("truncated", f"{path} breaks off within its last page; fetch or export it again")
    return page[14:18]
