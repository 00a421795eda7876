"""Which decoder reads a file, by what its first bytes say it is, and what is wrong with one that none can read."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from spectro.audio.containers import chunks, flac, mpeg, ogg
from spectro.audio.containers.formats import FORMATS, NO_SOUND, sniff, tag_bytes
from spectro.audio.containers.layout import Layout, joined
from spectro.audio.decoders import ffmpeg, libsndfile
from spectro.audio.decoders.stream import Refused, Stream
from spectro.audio.info import remembered
from spectro.core.distribution import install_command
from spectro.core.errors import AudioError

HEAD = 4096
"""Bytes from which a format is recognized."""
CHUNKED = frozenset({"wav", "aiff", "w64", "caf", "au", "nist", "svx"})
TEXT_SAMPLE = 64


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What looking into a file found, without decoding it."""

    key: str | None
    """Of its format in `FORMATS`; None if it is not known."""
    layout: Layout
    size: int
    """In bytes."""
    head: bytes
    """Its first bytes."""


@contextmanager
def open_stream(path: Path) -> Iterator[Stream]:
    """Open a file with the decoder that can read it.

    Raises
    ------
    AudioError
        `missing`, `empty`, `unreadable`, `needs-av`, `truncated`, `changed-format` or `implausible`.
    """
    with ExitStack() as stack:
        yield _enter(path, examine(path), stack)


def _enter(path: Path, contents: Contents, stack: ExitStack) -> Stream:
    """Return the stream of the first decoder that does not refuse the file; the stack closes it."""
    layout, cause = contents.layout, ""
    format_ = None if contents.key is None else FORMATS[contents.key]
    if (format_ is None or format_.libsndfile) and not layout.needs and not (layout.several and ffmpeg.installed()):
        if layout.several:
            layout = replace(layout, warnings=(*layout.warnings, joined(path)))
        try:
            return stack.enter_context(libsndfile.open_stream(path, layout, contents.size))
        except Refused as refused:
            cause = str(refused)
    if format_ is None or not format_.demuxer:
        raise _unreadable(path, contents, cause)
    if not ffmpeg.installed():
        raise _needs_av(path, contents, cause)
    try:
        return stack.enter_context(ffmpeg.open_stream(path, format_, layout))
    except Refused as refused:
        raise _unreadable(path, contents, str(refused)) from None


def examine(path: Path) -> Contents:
    """Return what a file is and how to read it; raises AudioError if its container already shows that it is broken."""
    try:
        return _examined(path)
    except FileNotFoundError:
        raise AudioError("missing", f"{path} does not exist") from None
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        why = getattr(error, "strerror", None) or error
        raise AudioError("unreadable", f"{path} cannot be opened: {why}") from None


@remembered
def _examined(path: Path) -> Contents:
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):  # reading a pipe could wait for ever
        kind = "a folder" if stat.S_ISDIR(mode) else "a pipe or a device"
        raise AudioError("unreadable", f"{path} cannot be opened: it is {kind}, not a file")
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(HEAD)
        if not head:
            raise AudioError("empty", f"{path} is empty (0 bytes); fetch or export it again")
        key, begin = sniff(head), 0
        if tag := tag_bytes(head[:10]):
            file.seek(tag)
            behind = sniff(file.read(HEAD))
            key, begin = behind or "mp3", tag
        if key is None and path.suffix.lower() in FORMATS["mp3"].suffixes:
            key = "mp3"  # garbage in front of the first frame
        layout = _layout(path, file, size, key, begin)
        if layout is None:
            key, layout = None, Layout()
    return Contents(key=key, layout=layout, size=size, head=head)


def _layout(path: Path, file: BinaryIO, size: int, key: str | None, begin: int) -> Layout | None:
    """Return how to read a file of a format, or None if it turns out not to be of that format."""
    if key == "flac":
        return flac.look(path, file, size, begin)
    if key == "ogg":
        return ogg.look(path, file, size)
    if key == "mp3":
        return mpeg.look(path, file, size)
    if key not in CHUNKED:
        return Layout()
    layout = chunks.look(path, file, size, key)
    if key == "wav" and layout.begin and not layout.front:  # MP3 inside WAV: its own frames count
        inner = mpeg.look(path, file, size, end=layout.end, begin=layout.begin)
        return replace(inner or layout, warnings=layout.warnings + (inner.warnings if inner else ()))
    return layout


def _needs_av(path: Path, contents: Contents, cause: str) -> AudioError:
    """Return the error of a file that PyAV would perhaps read."""
    assert contents.key is not None
    format_ = FORMATS[contents.key]
    if format_.libsndfile and not contents.layout.needs:
        return _unreadable(path, contents, cause)
    name = contents.layout.needs or format_.name
    ways = f"{install_command('av')}, or convert it: ffmpeg -i '{path.name}' '{path.stem}.flac'"
    return AudioError("needs-av", f"{path} is {name}, which takes PyAV to decode: {ways}")


def _unreadable(path: Path, contents: Contents, cause: str) -> AudioError:
    """Guess why no decoder knows a file."""
    head = contents.head[:TEXT_SAMPLE]
    other = next((name for magic, name in NO_SOUND.items() if head.startswith(magic)), "")
    if contents.key is not None:
        name = FORMATS[contents.key].name
        why = f" ({cause})" if cause else ""
        guess = f"it begins like {name}, but its header is damaged{why}; fetch or export it again"
    elif other:
        guess = f"it is {other}"
    elif min(head) >= 9 and "\N{REPLACEMENT CHARACTER}" not in head[:-4].decode("utf-8", "replace")[:-1]:
        guess = "it is a text, not audio; was a web page saved instead of the sound?"
    else:
        guess = "it is not WAV, FLAC, Ogg, MP3 or another known format, whatever its suffix is"
    return AudioError("unreadable", f"{path} cannot be decoded: {guess}")
