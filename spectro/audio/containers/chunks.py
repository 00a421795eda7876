"""WAV, AIFF, W64, CAF, AU and NIST: whether the size of the sound in the header is that of the sound in the file."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from spectro.audio.containers.layout import (
    LEAST_REST,
    NOT_SOUND,
    UNKNOWN_SIZE,
    Layout,
    joined,
    truncated,
    unfinished,
    wrong_length,
)
from spectro.audio.info import AudioWarning

MOST_CHUNKS = 4096
"""Chunks that are looked at before the sound."""
LONGEST_FRONT = 1 << 24
"""Bytes in front of the sound that are copied to correct a header."""
OFF_BY = (0, 8, 36, 44)
"""Bytes by which writers miss: they count the header, or parts of it, as sound."""
READ_BY_LIBSNDFILE = {0x1, 0x2, 0x3, 0x6, 0x7, 0x11, 0x31, 0x38, 0x40, 0x55}
"""Codecs in WAV files that libsndfile decodes."""
MP3_IN_WAV = 0x55
WAV_CODECS = {
    0x50: "MP2",
    0x92: "AC-3",
    0xFF: "AAC",
    0x160: "WMA",
    0x161: "WMA",
    0x162: "WMA Pro",
    0x163: "WMA Lossless",
    0x270: "ATRAC3",
    0x674F: "Vorbis",
    0x1600: "AAC",
    0x2000: "AC-3",
    0x2001: "DTS",
    0xF1AC: "FLAC",
}
"""Names of codecs in WAV files that libsndfile does not decode."""
AIFC_CODECS = {b"QDM2": "QDesign 2", b"QDMC": "QDesign", b"Qclp": "QCELP", b"MAC3": "MACE 3", b"MAC6": "MACE 6"}
"""Names of codecs in AIFF-C files that libsndfile does not decode."""
SIZES = {"little": "<4sI", "big": ">4sI", "w64": "<16sQ", "caf": ">4sq"}
"""How the header of a chunk is laid out."""


@dataclass(frozen=True)
class _Sound:
    """The chunk with the sound, and the place in the header that states its size."""

    at: int
    declared: int
    unknown: bool
    """Whether the declared size is one that means "not known yet"."""
    chunks: str
    """Kind of the chunks behind it; empty if there are none."""


def look(path: Path, file: BinaryIO, size: int, key: str) -> Layout:
    """Return how to read a file of the format `key`, whose size is `size` bytes.

    Raises
    ------
    AudioError
        `truncated`: there is less sound than the header says.
    """
    file.seek(0)
    head = file.read(64)
    if key == "au":
        return _au(path, file, size, head)
    if key == "nist":
        return _nist(path, file, size)
    if key == "svx":
        found = _chunks_until(b"BODY", file, 12, size, "big")
        at, declared = found.get(b"BODY", (size, 0))
        if declared > size - at:
            raise truncated(path, max(0, size - at), declared)
    looks = {"wav": _wav, "aiff": _aiff, "w64": _w64, "caf": _caf}
    return looks[key](path, file, size, head) if key in looks else Layout()


def _wav(path: Path, file: BinaryIO, size: int, head: bytes) -> Layout:
    kind = "big" if head[:4] == b"RIFX" else "little"
    found = _chunks_until(b"data", file, 12, size, kind)
    if b"data" not in found:
        return Layout()
    at, declared = found[b"data"]
    codec = _wav_codec(_read(file, found[b"fmt "][0], 40), kind) if b"fmt " in found else 1
    if b"ds64" in found and declared == 0xFFFFFFFF:
        declared = int.from_bytes(_read(file, found[b"ds64"][0] + 8, 8), "little") or declared
    needs = "" if codec in READ_BY_LIBSNDFILE else f"WAV with {WAV_CODECS.get(codec, f'codec 0x{codec:04x}')}"
    if head[:4] == b"BW64":
        needs = "BW64"
    unknown = declared >= UNKNOWN_SIZE and declared > size - at
    present, warning = _settle(path, file, size, _Sound(at, declared, unknown, kind))
    if codec == MP3_IN_WAV:
        return Layout(begin=at, end=at + present, warnings=(warning,) if warning else ())
    riff = int.from_bytes(head[4:8], _order(kind))
    open_end = head[:3] == b"RIF" and riff in (0, 0xFFFFFFFF) and declared > 0
    if (warning is None and not open_end) or at > LONGEST_FRONT:
        return Layout(needs=needs, warnings=(warning,) if warning else ())
    front = _wav_header(_read(file, 0, at), present, kind)
    return Layout(front=front, begin=at, end=at + present, needs=needs, warnings=(warning or unfinished(path),))


def _wav_header(header: bytes, present: int, kind: str) -> bytes:
    """Return a header whose sizes are right for `present` bytes of sound behind it."""
    start = b"RIFX" if kind == "big" else b"RIFF"
    if len(header) + present < 0xFFFFFFFF:
        sizes = [value.to_bytes(4, _order(kind)) for value in (len(header) + present - 8, present)]
        return start + sizes[0] + header[8:-4] + sizes[1]
    wide = struct.pack("<4sIQQQI", b"ds64", 28, len(header) + 28 + present, present, 0, 0)  # beyond 4 GB
    return b"RF64" + b"\xff" * 4 + b"WAVE" + wide + header[12:-4] + b"\xff" * 4


def _wav_codec(fmt: bytes, kind: str) -> int:
    codec = int.from_bytes(fmt[:2], _order(kind))
    if codec == 0xFFFE and len(fmt) >= 26:  # WAVE_FORMAT_EXTENSIBLE: the codec stands in the GUID
        codec = int.from_bytes(fmt[24:26], _order(kind))
    return codec


def _order(kind: str) -> Literal["big", "little"]:
    return "big" if kind == "big" else "little"


def _aiff(path: Path, file: BinaryIO, size: int, head: bytes) -> Layout:
    found = _chunks_until(b"SSND", file, 12, size, "big")
    if b"SSND" not in found:
        return Layout()
    at, declared = found[b"SSND"]
    comm = found.get(b"COMM", (0, 0))[0]
    common = _read(file, comm, 22).ljust(22, b"\0")
    channels, bits = struct.unpack(">H4xH", common[:8])
    frame_bytes = channels * ((bits + 7) // 8)
    encoding = common[18:22]
    needs = ""
    if comm and head[8:12] == b"AIFC" and encoding in AIFC_CODECS:
        needs = f"AIFF-C with {AIFC_CODECS[encoding]}"
    present, warning = _settle(path, file, size, _Sound(at, declared, declared >= UNKNOWN_SIZE, "big"), begin=8)
    if warning is None or not comm or not frame_bytes or at + present >= 0xFFFFFFFF or at > LONGEST_FRONT:
        return Layout(needs=needs, warnings=(warning,) if warning else ())
    front = bytearray(_read(file, 0, at))
    front[4:8] = struct.pack(">I", at + present - 8)
    front[comm + 2 : comm + 6] = struct.pack(">I", max(0, present - 8) // frame_bytes)
    front[at - 4 : at] = struct.pack(">I", present)
    return Layout(front=bytes(front), begin=at, end=at + present, needs=needs, warnings=(warning,))


def _w64(path: Path, file: BinaryIO, size: int, head: bytes) -> Layout:
    found = _chunks_until(b"data", file, 40, size, "w64")
    if b"data" not in found:
        return Layout()
    at, declared = found[b"data"]
    present, warning = _settle(path, file, size, _Sound(at, declared, declared >= 1 << 62, "w64"))
    if warning is None or at > LONGEST_FRONT:
        return Layout(warnings=(warning,) if warning else ())
    front = bytearray(_read(file, 0, at))
    front[16:24] = struct.pack("<Q", at + present)
    front[at - 8 : at] = struct.pack("<Q", present + 24)
    return Layout(front=bytes(front), begin=at, end=at + present, warnings=(warning,))


def _caf(path: Path, file: BinaryIO, size: int, head: bytes) -> Layout:
    found = _chunks_until(b"data", file, 8, size, "caf")
    if b"data" not in found:
        return Layout()
    at, declared = found[b"data"]
    codec = _read(file, found[b"desc"][0] + 8, 4) if b"desc" in found else b"lpcm"
    needs = "" if codec in (b"lpcm", b"alac", b"ulaw", b"alaw") else f"CAF with {codec.decode('latin-1').strip()}"
    if declared == -1:  # as the format allows: up to the end of the file
        return Layout(needs=needs)
    present, warning = _settle(path, file, size, _Sound(at, declared, False, "caf"), begin=4)
    if warning is None or at > LONGEST_FRONT or codec == b"alac":
        return Layout(needs=needs, warnings=(warning,) if warning else ())
    front = _read(file, 0, at - 8) + struct.pack(">q", present)
    return Layout(front=front, begin=at, end=at + present, needs=needs, warnings=(warning,))


def _au(path: Path, file: BinaryIO, size: int, head: bytes) -> Layout:
    order = "<" if head[:4] == b"dns." else ">"
    at, declared = struct.unpack(f"{order}II", head[4:12].ljust(8, b"\0"))
    if not 24 <= at <= min(size, LONGEST_FRONT) or declared == 0xFFFFFFFF:  # which the format allows
        return Layout()
    present, warning = _settle(path, file, size, _Sound(at, declared, declared >= UNKNOWN_SIZE, ""))
    if warning is None:
        return Layout()
    front = _read(file, 0, 8) + b"\xff" * 4 + _read(file, 12, at - 12)
    return Layout(front=front, begin=at, end=at + present, warnings=(warning,))


def _nist(path: Path, file: BinaryIO, size: int) -> Layout:
    """Only notice a file that was cut: its header is text, which nobody writes before the sound is known."""
    fields: dict[str, str] = {}
    lines = _read(file, 0, 4096).decode("latin-1").splitlines()
    for line in lines[2:]:
        words = line.split(maxsplit=2)
        if words[:1] == ["end_head"]:
            break
        if len(words) == 3:
            fields[words[0]] = words[2].strip()
    try:
        begin = int(lines[1])
        wide, channels = int(fields["sample_n_bytes"]), int(fields.get("channel_count", "1"))
        declared = int(fields["sample_count"]) * wide * channels
    except (IndexError, KeyError, ValueError):
        return Layout()
    if fields.get("sample_coding", "pcm") in ("pcm", "ulaw", "alaw", "mu-law") and size - begin < declared:
        raise truncated(path, max(0, size - begin), declared)
    coding = fields.get("sample_coding", "pcm")
    return Layout(needs=f"NIST SPHERE with {coding}" if "shorten" in coding else "")


def _settle(path: Path, file: BinaryIO, size: int, sound: _Sound, begin: int = 0) -> tuple[int, AudioWarning | None]:
    """Return how many bytes of sound there are, and a warning if the header promises others.

    The first `begin` bytes of the chunk are not sound. Raises AudioError when bytes are missing.
    """
    there = max(0, size - sound.at)
    declared = max(0, sound.declared)
    if sound.unknown:
        return there, unfinished(path)
    if declared > there:
        if declared - there in OFF_BY or declared in (size, size - 8):
            return there, unfinished(path)
        raise truncated(path, there, declared)
    rest = there - declared
    empty = declared <= begin
    if rest < (1 if empty else LEAST_REST) or _other_chunk(file, sound, declared, rest):
        return declared, None
    follows = _read(file, sound.at + declared, 16)
    if follows[:4] in (b"RIFF", b"RIFX", b"RF64", b"FORM", b"riff", b"caff", b".snd"):
        return declared, joined(path)
    if any(follows.startswith(tag) for tag in NOT_SOUND):
        return declared, None
    if empty:
        return there, unfinished(path)
    return there, wrong_length(path, f"{declared} bytes of sound", f"{there}")


def _other_chunk(file: BinaryIO, sound: _Sound, declared: int, rest: int) -> bool:
    """Return whether another chunk begins behind the sound, padded as it should be or not."""
    if not sound.chunks:
        return False
    form = SIZES[sound.chunks]
    width = struct.calcsize(form)
    behind = sound.at + declared
    places = {behind, -(-behind // 8) * 8} if sound.chunks == "w64" else {behind, behind + declared % 2}
    for place in places:
        header = _read(file, place, width)
        if len(header) < width:
            return True
        name, length = struct.unpack(form, header)
        printable = all(32 <= byte < 127 for byte in name[:4])
        if printable and name[:4] not in (b"RIFF", b"FORM", b"riff") and 0 <= length <= rest:
            return True
    return False


def _chunks_until(last: bytes, file: BinaryIO, at: int, size: int, kind: str) -> dict[bytes, tuple[int, int]]:
    """Return place of the content and declared size of the chunks from `at` up to the one named `last`."""
    form = SIZES[kind]
    width = struct.calcsize(form)
    found: dict[bytes, tuple[int, int]] = {}
    for _ in range(MOST_CHUNKS):
        header = _read(file, at, width) if 0 <= at < size else b""
        if len(header) < width:
            break
        name, declared = struct.unpack(form, header)
        if kind == "w64":
            declared -= width
        found.setdefault(name[:4], (at + width, declared))
        if declared < 0 or name[:4] == last:
            break
        at += width + declared
        at = -(-at // 8) * 8 if kind == "w64" else at + (declared % 2 if kind != "caf" else 0)
    return found


def _read(file: BinaryIO, at: int, count: int) -> bytes:
    file.seek(at)
    return file.read(count)
