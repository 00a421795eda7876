"""Headers that lie, streams that are joined or cut, tags in odd places, and channels that cancel."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tests.audio import flac_writer
from tests.audio.odd_case import Build, Case
from tests.audio.sounds import encode, sound, write

Patch = Callable[[bytearray], bytearray]
FF = b"\xff" * 4


def patched(patch: Patch, rate: int = 44100, channels: int = 2, seconds: float = 4.0, **options: Any) -> Build:
    """Return a builder that writes a file with libsndfile and changes its bytes."""

    def build(path: Path) -> bytearray:
        return patch(write(path, sound(seconds, rate, channels), rate, **options))

    return build


def put(at: int, *words: bytes) -> Patch:
    """Return a change of the bytes from `at` on."""

    def patch(data: bytearray) -> bytearray:
        joined = b"".join(words)
        data[at : at + len(joined)] = joined
        return data

    return patch


def little(value: int) -> bytes:
    """Return 4 bytes."""
    return struct.pack("<I", value)


def cases() -> Iterator[Case]:
    """Yield them."""
    yield from _wav()
    yield from _other_chunks()
    yield from _flac()
    yield from _mp3()
    yield from _ogg()
    yield from _av()
    yield from _channels()


def _wav() -> Iterator[Case]:
    size = 4 * 44100 * 4
    lies: dict[str, tuple[Patch, str]] = {
        "data-0": (put(40, bytes(4)), "unfinished-header"),
        "data-ff": (put(40, FF), "unfinished-header"),
        "riff-0": (put(4, bytes(4)), "unfinished-header"),
        "riff-ff": (put(4, FF), "unfinished-header"),
        "both-0": (lambda d: put(4, bytes(4))(put(40, bytes(4))(d)), "unfinished-header"),
        "both-ff": (lambda d: put(4, FF)(put(40, FF)(d)), "unfinished-header"),
        "data-7f": (put(40, little(0x7FFFF000)), "unfinished-header"),
        "off-44": (put(40, little(size + 44)), "unfinished-header"),
        "off-36": (put(40, little(size + 36)), "unfinished-header"),
        "off-8": (put(40, little(size + 8)), "unfinished-header"),
        "riff-44": (put(4, little(size + 80)), ""),
        "quarter": (put(40, little(size // 4)), "wrong-length"),
        "both-quarter": (lambda d: put(4, little(36 + size // 4))(put(40, little(size // 4))(d)), "wrong-length"),
        "list-behind": (lambda d: d + b"LIST" + little(26) + b"INFOISFT" + little(14) + b"Lavf58.29.100\0", ""),
        "odd-chunk-behind": (lambda d: d + b"id3 " + little(5000) + bytes(5000), ""),
        "id3v1-behind": (lambda d: d + b"TAG" + bytes(125), ""),
        "ape-behind": (lambda d: d + b"APETAGEX" + bytes(9000), ""),
        "zeros-behind": (lambda d: d + bytes(1000), ""),
        "junk-before": (lambda d: _before(d, b"JUNK" + little(2000) + bytes(2000)), ""),
        "list-before": (lambda d: _before(d, b"LIST" + little(7) + b"INFOabc\0"), ""),
        "bext-before": (lambda d: _before(d, b"bext" + little(602) + bytes(602)), ""),
        "riff-before-0": (
            lambda d: put(2048, bytes(0))(_zero_data(_before(d, b"JUNK" + little(2000) + bytes(2000)))),
            "unfinished-header",
        ),
        "joined": (lambda d: d + d, "joined-streams"),
    }
    for name, (patch, warns) in lies.items():
        yield Case(name=f"lie-{name}.wav", build=patched(patch), warns=warns)
    yield Case(name="lie-24-bit.wav", build=patched(_zero_data, subtype="PCM_24"), warns="unfinished-header")
    yield Case(name="lie-float.wav", build=patched(_zero_data, subtype="FLOAT"), warns="unfinished-header")
    yield Case(name="lie-ulaw.wav", build=patched(_zero_data, subtype="ULAW"), warns="unfinished-header")
    for kept in (0.3, 0.9, 0.99):
        yield Case(name=f"cut-{kept}.wav", build=patched(_cut(kept)), reason="truncated")
    yield Case(
        name="header-only.wav", build=patched(lambda d: put(4, little(36))(put(40, bytes(4))(d))[:44]), reason="empty"
    )
    yield Case(name="promises.wav", build=patched(lambda d: d[:44]), reason="truncated|empty")
    yield Case(name="half-header.wav", build=patched(lambda d: d[:30]), reason="unreadable")
    yield Case(
        name="empty-data-with-list.wav",
        build=patched(lambda d: put(40, bytes(4))(d)[:44] + b"LIST" + little(4) + b"INFO"),
        reason="empty",
    )
    yield Case(name="rf64-0.wav", build=patched(_rf64_zero, format="RF64"), warns="unfinished-header")
    yield Case(name="rf64-cut.wav", build=patched(_cut(0.5), format="RF64"), reason="truncated")
    yield Case(name="upper.WAV", build=patched(lambda d: d))
    yield Case(name="named-mp3.mp3", build=lambda path: _as(path, "wav"))
    yield Case(name="named-wav.wav", build=lambda path: _as(path, "mp3"))
    yield Case(name="named-flac.flac", build=lambda path: _as(path, "ogg"))
    yield Case(name="named-raw.raw", build=lambda path: _as(path, "wav"))
    yield Case(name="named-vox.vox", build=lambda path: _as(path, "wav"))
    yield Case(name="no suffix", build=lambda path: _as(path, "flac"))


def _other_chunks() -> Iterator[Case]:
    size = 4 * 44100 * 4
    for suffix in ("aiff", "w64", "caf", "au", "8svx"):
        options: dict[str, Any] = {"format": "SVX"} if suffix == "8svx" else {}
        channels = 1 if suffix == "8svx" else 2
        yield Case(name=f"cut.{suffix}", build=patched(_cut(0.6), channels=channels, **options), reason="truncated")
    yield Case(name="cut.sph", build=patched(_cut(0.6), format="NIST"), reason="truncated")
    yield Case(name="lie-0.aiff", build=patched(lambda d: _aiff(d, 0, 0)), warns="unfinished-header")
    yield Case(name="lie-quarter.aiff", build=patched(lambda d: _aiff(d, size // 4 + 8, 44100)), warns="wrong-length")
    yield Case(name="tail.aiff", build=patched(lambda d: d + b"NAME" + struct.pack(">I", 4) + b"abcd"))
    yield Case(name="lie-0.au", build=patched(put(8, bytes(4))), warns="unfinished-header")
    yield Case(name="open.au", build=patched(put(8, FF)))
    yield Case(name="lie-quarter.au", build=patched(put(8, struct.pack(">I", size // 4))), warns="wrong-length")
    yield Case(name="open.caf", build=patched(lambda d: _caf(d, -1)))
    yield Case(name="lie-quarter.caf", build=patched(lambda d: _caf(d, size // 4 + 4)), warns="wrong-length")
    yield Case(name="lie-quarter.w64", build=patched(lambda d: _w64(d, size // 4 + 24)), warns="wrong-length")
    yield Case(name="lie-0.w64", build=patched(lambda d: _w64(d, 24)), warns="unfinished-header")


def _flac() -> Iterator[Case]:
    total = 4 * 44100
    yield Case(name="uncounted.flac", build=patched(lambda d: _flac_total(d, 0)))
    yield Case(name="quarter.flac", build=patched(lambda d: _flac_total(d, total // 4)), warns="wrong-length")
    yield Case(name="double.flac", build=patched(lambda d: _flac_total(d, 2 * total)), reason="truncated")
    yield Case(name="id3.flac", build=patched(lambda d: _id3(1000) + d))
    yield Case(
        name="id3-quarter.flac", build=patched(lambda d: _id3(1000) + _flac_total(d, total // 4)), warns="wrong-length"
    )
    yield Case(name="id3v1.flac", build=patched(lambda d: d + b"TAG" + bytes(125)))
    yield Case(name="broken.flac", build=patched(_noise_inside), reason="truncated")
    yield Case(
        name="uncounted-broken.flac", build=patched(lambda d: _noise_inside(_flac_total(d, 0))), reason="truncated"
    )
    yield Case(name="uncounted-cut.flac", build=patched(lambda d: _flac_total(d, 0)[:-30000]), reason="truncated")
    yield Case(name="header.flac", build=patched(lambda d: d[:60]), reason="unreadable|truncated|empty")
    for kept in (0.5, 0.95):
        yield Case(name=f"cut-{kept}.flac", build=patched(_cut(kept)), reason="truncated")
    for name, rate, channels in (("rate", 48000, 2), ("channels", 44100, 1)):
        yield Case(
            name=f"changes-{name}.flac",
            build=_changing(rate, channels, 12 * 44100 // 3),
            reason="changed-format|truncated",
        )
        yield Case(
            name=f"changes-{name}-uncounted.flac", build=_changing(rate, channels, 0), reason="changed-format|truncated"
        )


def _mp3() -> Iterator[Case]:
    yield Case(name="count-40.mp3", build=patched(lambda d: _xing(d, 40)), warns="wrong-length")
    yield Case(name="count-0.mp3", build=patched(lambda d: _xing(d, 0)), within=0.09)
    yield Case(name="count-double.mp3", build=patched(lambda d: _xing(d, 310)), reason="truncated")
    yield Case(
        name="uncounted.mp3",
        build=patched(lambda d: d.replace(b"Xing", bytes(4)).replace(b"Info", bytes(4))),
        within=0.09,
    )
    yield Case(name="joined.mp3", build=patched(lambda d: d + d), seconds=8.0, within=0.1, warns="wrong-length")
    yield Case(
        name="joined-tags.mp3",
        build=patched(lambda d: d + b"TAG" + bytes(125) + _id3(500) + d),
        seconds=8.0,
        within=0.1,
        warns="wrong-length",
    )
    yield Case(name="rate-changes.mp3", build=_two_mp3(44100, 2, 48000, 2), reason="changed-format")
    yield Case(name="version-changes.mp3", build=_two_mp3(44100, 2, 22050, 2), reason="changed-format")
    yield Case(name="channels-change.mp3", build=_two_mp3(44100, 2, 44100, 1), reason="changed-format")
    yield Case(name="id3.mp3", build=patched(lambda d: _id3(70000) + d))
    yield Case(name="id3-twice.mp3", build=patched(lambda d: _id3(300) + _id3(500) + d), within=0.09)
    yield Case(name="tags-behind.mp3", build=patched(lambda d: d + b"APETAGEX" + bytes(5000) + b"TAG" + bytes(125)))
    yield Case(name="garbage-before.mp3", build=patched(lambda d: bytearray(range(250)) * 20 + d), within=0.09)
    yield Case(name="zeros-before.mp3", build=patched(lambda d: bytearray(3000) + d), within=0.09)
    yield Case(name="vbri.mp3", build=patched(_vbri(None)), within=0.09)
    yield Case(name="vbri-40.mp3", build=patched(_vbri(40)), warns="wrong-length", within=0.09)
    for kept in (0.5, 0.9):
        yield Case(name=f"cut-{kept}.mp3", build=patched(_cut(kept)), reason="truncated")
    yield Case(name="first-frame.mp3", build=patched(lambda d: d[:300]), reason="truncated|unreadable|empty")
    yield Case(name="inside.wav", build=patched(lambda d: _riff(0x55, 44100, 2, d)))
    yield Case(
        name="inside-uncounted.wav",
        build=patched(lambda d: _riff(0x55, 44100, 2, d.replace(b"Xing", bytes(4)))),
        within=0.09,
    )
    yield Case(name="inside-cut.wav", build=patched(lambda d: _riff(0x55, 44100, 2, d)[:-20000]), reason="truncated")


def _ogg() -> Iterator[Case]:
    for suffix, subtype in (("ogg", "VORBIS"), ("opus", "OPUS")):
        options: dict[str, Any] = {"format": "OGG", "subtype": subtype, "rate": 48000}
        yield Case(name=f"whole.{suffix}", build=patched(lambda d: d, **options))
        yield Case(name=f"cut.{suffix}", build=patched(_cut(0.6), **options), reason="truncated")
        yield Case(name=f"tail.{suffix}", build=patched(lambda d: d + b"TAG" + bytes(125), **options))
        yield Case(name=f"chain.{suffix}", build=_chain(options, 48000), seconds=8.0, within=0.05, by="ffmpeg")
        yield Case(name=f"broken.{suffix}", build=patched(_noise_inside, **options), reason="truncated")
    vorbis: dict[str, Any] = {"format": "OGG", "subtype": "VORBIS", "rate": 48000}
    yield Case(name="chain-rates.ogg", build=_chain(vorbis, 44100), reason="truncated|changed-format")
    yield Case(name="no-begin.ogg", build=patched(lambda d: d[4000:], **vorbis), reason="unreadable")


def _av() -> Iterator[Case]:
    def cut(codec: str, kept: float, container: str | None = None, **extra: Any) -> Build:
        return lambda path: bytes(data := encode(path, sound(4.0, 44100, 2), 44100, codec, container, **extra))[
            : int(len(data) * kept)
        ]

    yield Case(name="cut.m4a", build=cut("aac", 0.6), reason="unreadable")
    yield Case(name="cut-faststart.m4a", build=cut("aac", 0.6, options={"movflags": "+faststart"}), reason="truncated")
    yield Case(name="cut.mka", build=cut("aac", 0.6), reason="truncated")
    yield Case(name="cut.wma", build=cut("wmav2", 0.6), reason="truncated")
    yield Case(name="cut.wv", build=cut("wavpack", 0.6), reason="truncated")
    yield Case(name="cut.tta", build=cut("tta", 0.6), reason="truncated")
    yield Case(name="header.mkv", build=cut("vorbis", 0.02, "matroska"), reason="unreadable|empty|truncated")
    yield Case(name="header.wv", build=cut("wavpack", 0.0005), reason="unreadable|empty|truncated")

    def aac(path: Path) -> bytearray:
        return encode(path, sound(4.0, 44100, 2), 44100, "aac", "adts")

    yield Case(name="aac-named.mp3", build=aac, within=0.09, by="ffmpeg")
    yield Case(name="aac-named.wav", build=aac, within=0.09, by="ffmpeg")
    yield Case(name="aac-id3.aac", build=lambda path: _id3(400) + aac(path), within=0.09)
    yield Case(
        name="m4a-named.mp3", build=lambda path: encode(path, sound(4.0, 44100, 2), 44100, "aac", "mp4"), within=0.09
    )

    def changing(path: Path) -> bytes:
        return bytes(aac(path) + encode(path, sound(4.0, 48000, 2), 48000, "aac", "adts"))

    yield Case(name="aac-changes.aac", build=changing, reason="changed-format")


def _channels() -> Iterator[Case]:
    def opposite(path: Path, **options: Any) -> None:
        samples = sound(4.0, 44100, 1)
        write(path, np.concatenate([samples, -samples], axis=1), 44100, **options)

    for suffix in ("wav", "flac", "mp3", "ogg", "aiff"):
        yield Case(name=f"opposite.{suffix}", build=opposite, warns="channels-cancel")
    yield Case(name="opposite-float.wav", build=lambda path: opposite(path, subtype="FLOAT"), warns="channels-cancel")

    def late(path: Path) -> None:
        samples = np.concatenate([sound(4.0, 44100, 1), -sound(4.0, 44100, 1)], axis=1)
        samples = np.concatenate([np.zeros((4 * 44100, 2), np.float32), samples])
        write(path, samples, 44100)

    yield Case(name="opposite-late.wav", build=late, seconds=8.0, warns="channels-cancel", tones=False)

    def three(path: Path) -> None:
        tone = sound(4.0, 44100, 1)
        write(path, np.concatenate([tone, -tone / 2, -tone / 2], axis=1), 44100)

    yield Case(name="opposite-three.wav", build=three, warns="channels-cancel")

    def one_sided(path: Path) -> None:
        tone = sound(4.0, 44100, 1)
        write(path, np.concatenate([np.zeros_like(tone), tone], axis=1), 44100)

    yield Case(name="one-sided.wav", build=one_sided)


def _before(data: bytearray, chunk: bytes) -> bytearray:
    return data[:36] + chunk + data[36:]


def _zero_data(data: bytearray) -> bytearray:
    at = data.index(b"data")
    data[at + 4 : at + 8] = bytes(4)
    return data


def _rf64_zero(data: bytearray) -> bytearray:
    at = data.index(b"ds64")
    data[at + 8 : at + 32] = bytes(24)
    return data


def _cut(kept: float) -> Patch:
    return lambda data: data[: int(len(data) * kept)]


def _as(path: Path, suffix: str) -> bytes:
    other = path.with_name(f"{path.name}.{suffix}")
    content = write(other, sound(4.0, 44100, 2), 44100)
    other.unlink()
    return bytes(content)


def _aiff(data: bytearray, size: int, frames: int) -> bytearray:
    common, sound_at = data.index(b"COMM"), data.index(b"SSND")
    data[common + 10 : common + 14] = struct.pack(">I", frames)
    data[sound_at + 4 : sound_at + 8] = struct.pack(">I", size)
    return data


def _caf(data: bytearray, size: int) -> bytearray:
    at = data.index(b"data")
    data[at + 4 : at + 12] = struct.pack(">q", size)
    return data


def _w64(data: bytearray, size: int) -> bytearray:
    at = data.index(b"data\xf3\xac\xd3\x11")
    data[at + 16 : at + 24] = struct.pack("<Q", size)
    return data


def _flac_total(data: bytearray, total: int) -> bytearray:
    data[21] = data[21] & 0xF0 | total >> 32
    data[22:26] = (total & 0xFFFFFFFF).to_bytes(4, "big")
    return data


def _noise_inside(data: bytearray) -> bytearray:
    middle = len(data) // 2
    data[middle : middle + 200] = np.random.default_rng(1).bytes(200)
    return data


def _changing(rate: int, channels: int, total: int) -> Build:
    def build(path: Path) -> bytes:
        first, second = sound(2.0, 44100, 2), sound(2.0, rate, channels)
        parts = flac_writer.frames(first, 44100, 16), flac_writer.frames(second, rate, 16, first=22)
        return flac_writer.stream_info(44100, 2, 16, total) + b"".join(parts)

    return build


def _id3(size: int) -> bytearray:
    return bytearray(b"ID3\3\0\0" + bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0)) + bytes(size))


def _xing(data: bytearray, count: int) -> bytearray:
    at = max(data.find(b"Xing"), data.find(b"Info"))
    data[at + 8 : at + 12] = count.to_bytes(4, "big")
    return data


def _vbri(count: int | None) -> Patch:
    """Return a change of LAME's first frame into Fraunhofer's, with the true count or another."""

    def patch(data: bytearray) -> bytearray:
        at = max(data.find(b"Xing"), data.find(b"Info"))
        frames = int.from_bytes(data[at + 8 : at + 12], "big") if count is None else count
        data[36:140] = bytes(104)
        data[36:62] = struct.pack(">4sHHHIIHHHH", b"VBRI", 1, 0, 100, len(data), frames, 0, 1, 2, 1)
        return data

    return patch


def _two_mp3(rate: int, channels: int, other_rate: int, other_channels: int) -> Build:
    def build(path: Path) -> bytes:
        first = write(path, sound(4.0, rate, channels), rate)
        return bytes(first + write(path, sound(4.0, other_rate, other_channels), other_rate))

    return build


def _riff(codec: int, rate: int, channels: int, data: bytearray) -> bytearray:
    """Return MP3 data as a WAV."""
    fmt = struct.pack("<HHIIHHHHIHHH", codec, channels, rate, 16000, 1, 0, 12, 1, 2, 417, 1, 1393)
    body = (
        b"WAVEfmt "
        + little(len(fmt))
        + fmt
        + b"fact"
        + little(4)
        + little(4 * rate)
        + b"data"
        + little(len(data))
        + data
    )
    return bytearray(b"RIFF") + little(len(body)) + body


def _chain(options: dict[str, Any], other_rate: int) -> Build:
    def build(path: Path) -> bytes:
        extra = {key: value for key, value in options.items() if key != "rate"}
        first = write(path, sound(4.0, 48000, 2), 48000, **extra)
        return bytes(first + write(path, sound(4.0, other_rate, 2), other_rate, **extra))

    return build
