"""Claims that no recording makes, files that are no sound, and places that are no files."""

from __future__ import annotations

import gzip
import json
import os
import struct
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from tests.audio import flac_writer
from tests.audio.odd_case import Build, Case
from tests.audio.odd_headers import little, patched, put
from tests.audio.sounds import sound, write

DAY = 24 * 3600


def cases() -> Iterator[Case]:
    """Yield them."""
    for rate in (0, 1, 2, 999, 768_001, 5_000_000, 0xFFFFFFFF):
        yield Case(name=f"claims-{rate}-hz.wav", build=patched(put(24, little(rate))), reason="implausible|unreadable")
    for channels in (0, 65, 1024, 65535):
        yield Case(
            name=f"claims-{channels}-channels.wav",
            build=patched(
                put(22, struct.pack("<HIIHH", channels, 8000, 8000 * channels * 2, (channels * 2) & 0xFFFF, 16))
            ),
            reason="implausible|unreadable|empty|truncated",
        )
    yield Case(name="claims-0-bits.wav", build=patched(put(34, bytes(2))), reason="unreadable")
    yield Case(name="claims-0-align.wav", build=patched(put(32, bytes(2))))
    yield Case(name="slow.flac", build=_slow_flac, reason="implausible|unreadable")
    yield Case(name="slow.au", build=patched(put(16, struct.pack(">I", 1))), reason="implausible")
    yield Case(name="day-of-silence.flac", build=_day_of_flac, reason="implausible")
    yield Case(name="day-of-silence-uncounted.flac", build=lambda path: _day_of_flac(path, 0), reason="implausible")
    yield Case(name="day-of-silence.ogg", build=_day_of_ogg, reason="implausible")
    yield Case(name="claims-a-day.ogg", build=_claims_a_day, reason="implausible|truncated")
    yield Case(
        name="claims-a-year.flac", build=patched(put(21, b"\xf0\xff\xff\xff\xff")), reason="implausible|truncated"
    )
    yield Case(name="claims-a-year.wav", build=patched(put(40, little(0x7FFEFFFF))), reason="truncated")
    yield Case(name="silence.ogg", build=lambda path: _silence(path, 60), seconds=60.0, tones=False)
    for value in (np.nan, np.inf, -np.inf):
        yield Case(name=f"holds-{value}.wav", build=_with(value), reason="not-finite")
    yield Case(name="huge-floats.wav", build=_with(3e38), tones=False, reason="not-finite")
    yield from _no_sound()


def _no_sound() -> Iterator[Case]:
    picture, packed = BytesIO(), BytesIO()
    Image.new("L", (64, 64)).save(picture, "PNG")
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.txt", "hello " * 100)
    random = np.random.default_rng(7).bytes(20000)
    contents: dict[str, bytes] = {
        "text.wav": b"hello\n" * 50,
        "page.mp3": b"<!doctype html><html><title>404</title>" * 9,
        "table.ogg": b"path,label\na.wav,rock\n" * 9,
        "data.flac": json.dumps({"error": "not found"}).encode() * 9,
        "utf-16.mp3": ("\ufeff" + "hello there " * 50).encode("utf-16-le"),
        "picture.wav": picture.getvalue(),
        "archive.mp3": packed.getvalue(),
        "zipped.wav": gzip.compress(random),
        "paper.mp3": b"%PDF-1.7\n" + random,
        "program.wav": b"MZ" + random,
        "elf.raw": b"\x7fELF" + random,
        "random.wav": random,
        "random.raw": random,
        "random.mp3": random,
        "random.vox": random,
        "random.gsm": random,
        "zeros.wav": bytes(20000),
        "zeros.mp3": bytes(20000),
        "ones.mp3": b"\xff" * 20000,
        "one-byte.wav": b"R",
        "four-bytes.flac": b"fLaC",
        "four-bytes.ogg": b"OggS",
        "four-bytes.mp3": b"\xff\xfb\x90\x00",
        "four-bytes.m4a": b"\0\0\0\x20",
        "ftyp.m4a": b"\0\0\0\x20ftypM4A " + bytes(5000),
        "ebml.webm": b"\x1a\x45\xdf\xa3" + random,
        "asf.wma": b"\x30\x26\xb2\x75\x8e\x66\xcf\x11" + random,
        "ape.ape": b"MAC \x96\x0f" + random,
        "wavpack.wv": b"wvpk" + random,
        "musepack.mpc": b"MP+\x07" + random,
        "musepack8.mpc": b"MPCKSH" + random,
        "tak.tak": b"tBaK" + random,
        "tta.tta": b"TTA1" + random,
        "ac3.ac3": b"\x0b\x77" + random,
        "speex.spx": b"OggS\0\2" + random,
        "id3.mp3": b"ID3\3\0\0\0\0\0\x10" + bytes(16),
        "id3-huge.mp3": b"ID3\3\0\0\x7f\x7f\x7f\x7f" + bytes(100),
        "playlist.mp3": b"#EXTM3U\n#EXTINF:10,\n/etc/passwd\n" * 3,
        "concat.m4a": b"ffconcat version 1.0\nfile /etc/passwd\n",
        "riff-only.wav": b"RIFF\x10\0\0\0WAVE",
        "form-only.aiff": b"FORM\0\0\0\x10AIFF",
        "caff-only.caf": b"caff\0\1\0\0",
        "snd-only.au": b".snd",
        "nist-only.sph": b"NIST_1A\n   1024\n",
    }
    for name, content in contents.items():
        yield Case(name=f"no-{name}", build=_bytes(content), reason="unreadable|empty|truncated")
    yield Case(name="nothing.wav", build=_bytes(b""), reason="empty")
    yield Case(name="missing.wav", build=lambda path: None, reason="missing")
    yield Case(name="folder.wav", build=lambda path: path.mkdir(), reason="unreadable")
    yield Case(name="loop.wav", build=lambda path: path.symlink_to(path), reason="unreadable")
    yield Case(name="dangling.wav", build=lambda path: path.symlink_to("nowhere"), reason="missing")
    if hasattr(os, "mkfifo"):
        yield Case(name="pipe.wav", build=lambda path: os.mkfifo(path), reason="unreadable")
    yield Case(name="Žluťoučký kůň 'n\" (1).wav", build=patched(lambda data: data))


def _bytes(content: bytes) -> Build:
    return lambda path: content


def _with(value: float) -> Build:
    def build(path: Path) -> None:
        samples = sound(4.0, 44100, 2).copy()
        samples[100_000] = value
        write(path, samples, 44100, subtype="FLOAT")

    return build


def _slow_flac(path: Path) -> bytes:
    samples = sound(1.0, 44100, 1)
    return flac_writer.stream_info(1, 1, 16, len(samples)) + flac_writer.frames(samples, 1, 16)


def _day_of_flac(path: Path, total: int = DAY * 44100) -> bytes:
    """Return a day of silence in frames of 65,535 samples."""
    block = np.zeros((65535, 2), np.int64)
    frames = (flac_writer.frame(block, 44100, 16, number, constant=True) for number in range(DAY * 44100 // 65535))
    return flac_writer.stream_info(44100, 2, 16, total, block=65535) + b"".join(frames)


def _silence(path: Path, seconds: int) -> bytearray:
    return write(path, np.zeros((seconds * 44100, 1), np.float32), 44100, format="OGG", subtype="VORBIS")


def _claims_a_day(path: Path) -> bytes:
    """Return ten seconds whose last page has the position of a day."""
    data = _silence(path, 10)
    at = data.rfind(b"OggS")
    data[at + 6 : at + 14] = struct.pack("<q", DAY * 44100)
    data[at:] = _page_with_sum(bytes(data[at:]))
    return bytes(data)


def _day_of_ogg(path: Path) -> bytes:
    """Return a day of silence: the packets of the middle of ten seconds, over and over, in pages of 255."""
    data = bytes(_silence(path, 10))
    starts = [at for at in range(len(data)) if data[at : at + 4] == b"OggS"]
    pages = [data[a:b] for a, b in zip(starts, [*starts[1:], len(data)], strict=True)]
    last = pages[-2] if len(pages) > 3 else pages[-1]
    lengths = last[27 : 27 + last[26]]
    packet = last[27 + last[26] :][-lengths[-2] - lengths[-1] : -lengths[-1]]
    made, samples, serial = [b"".join(pages[:2])], 0, last[14:18]
    number = 2
    while samples < DAY * 44100:
        samples += 255 * 1024
        flags = 4 if samples >= DAY * 44100 else 0
        head = b"OggS" + bytes([0, flags]) + struct.pack("<q", samples) + serial + little(number) + bytes(4)
        made.append(_page_with_sum(head + bytes([255]) + bytes([len(packet)]) * 255 + packet * 255))
        number += 1
    return b"".join(made)


def _page_with_sum(page: bytes) -> bytes:
    page = page[:22] + bytes(4) + page[26:]
    return page[:22] + little(flac_writer.crc(page, 32, 0x04C11DB7)) + page[26:]
