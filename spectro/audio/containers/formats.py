"""The kinds of audio files that are known: their names, suffixes, first bytes, and which decoder reads them."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Format:
    """One kind of file."""

    name: str
    """What messages call it."""
    magic: re.Pattern[bytes] | None
    """What it begins with; None if only `mpeg_kind` can tell."""
    suffixes: tuple[str, ...]
    """Lower-case suffixes that announce it."""
    demuxer: str = ""
    """Name of FFmpeg's reader of it; empty if it has none."""
    libsndfile: bool = False
    """Whether libsndfile reads it, at least with the usual codecs."""
    timed: bool = True
    """Whether its header states the duration, so that a file cut short can be noticed by it."""


def _format(
    name: str, magic: bytes | None, suffixes: str, demuxer: str = "", *, libsndfile: bool = False, timed: bool = True
) -> Format:
    pattern = None if magic is None else re.compile(magic, re.DOTALL)
    ends = tuple(f".{suffix}" for suffix in suffixes.split())
    return Format(name=name, magic=pattern, suffixes=ends, demuxer=demuxer, libsndfile=libsndfile, timed=timed)


FORMATS = {
    "wav": _format("WAV", rb"(RIFF|RIFX|RF64|BW64)....WAVE", "wav wave bwf rf64", "wav", libsndfile=True),
    "aiff": _format("AIFF", rb"FORM....AIF[FC]", "aif aiff aifc", "aiff", libsndfile=True),
    "flac": _format("FLAC", rb"fLaC", "flac", "flac", libsndfile=True),
    "ogg": _format("Ogg", rb"OggS", "ogg oga opus spx", "ogg", libsndfile=True, timed=False),
    "mp3": _format("MP3", None, "mp3 mp2 mp1 mpga", "mp3", libsndfile=True, timed=False),
    "au": _format("AU", rb"\.snd|dns\.", "au snd", "au", libsndfile=True),
    "caf": _format("CAF", rb"caff\x00\x01", "caf", "caf", libsndfile=True),
    "w64": _format("W64", rb"riff\x2e\x91\xcf\x11", "w64", "w64", libsndfile=True),
    "nist": _format("NIST SPHERE", rb"NIST_1A", "sph nist", "nistsphere", libsndfile=True),
    "voc": _format("VOC", rb"Creative Voice File", "voc", "voc", libsndfile=True, timed=False),
    "svx": _format("8SVX", rb"FORM....(8SVX|16SV)", "8svx", "iff", libsndfile=True),
    "mp4": _format("M4A or MP4", rb"....(ftyp|moov|mdat|free|wide|skip)", "m4a mp4 m4b m4v mov 3gp 3g2", "mov"),
    "matroska": _format("WebM or Matroska", rb"\x1a\x45\xdf\xa3", "webm mkv mka", "matroska"),
    "asf": _format("WMA", rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "wma asf wmv", "asf"),
    "aac": _format("AAC", None, "aac adts", "aac", timed=False),
    "adif": _format("AAC", rb"ADIF", "", "aac", timed=False),
    "loas": _format("AAC in LOAS", rb"\x56[\xe0-\xff]", "", "loas", timed=False),
    "ac3": _format("AC-3", rb"\x0b\x77", "ac3", "ac3", timed=False),
    "eac3": _format("E-AC-3", rb"\x0b\x77...[\x58-\x87]", "eac3 ec3", "eac3", timed=False),
    "dts": _format("DTS", rb"\x7f\xfe\x80\x01|\xfe\x7f\x01\x80", "dts", "dts", timed=False),
    "truehd": _format("TrueHD", rb"....\xf8\x72\x6f\xba", "thd", "truehd", timed=False),
    "mlp": _format("MLP", rb"....\xf8\x72\x6f\xbb", "mlp", "mlp", timed=False),
    "ape": _format("Monkey's Audio", rb"MAC ", "ape", "ape"),
    "wavpack": _format("WavPack", rb"wvpk", "wv", "wv"),
    "musepack7": _format("Musepack", rb"MP\+", "mpc", "mpc"),
    "musepack8": _format("Musepack", rb"MPCK", "", "mpc8"),
    "tak": _format("TAK", rb"tBaK", "tak", "tak"),
    "tta": _format("TTA", rb"TTA1", "tta", "tta"),
    "amr": _format("AMR", rb"#!AMR", "amr awb", "amr", timed=False),
    "avi": _format("AVI", rb"RIFF....AVI ", "avi", "avi", timed=False),
    "flv": _format("FLV", rb"FLV\x01", "flv", "flv", timed=False),
    "mpegts": _format("MPEG-TS", rb"\x47.{187}\x47.{187}\x47", "ts m2ts", "mpegts", timed=False),
    "mpegps": _format("MPEG", rb"\x00\x00\x01\xba", "mpg mpeg vob", "mpeg", timed=False),
    "dsf": _format("DSF", rb"DSD ", "dsf", "dsf"),
    "dff": _format("DSDIFF", rb"FRM8........DSD ", "dff", "iff"),
    "shorten": _format("Shorten", rb"ajkg", "shn", "shn", timed=False),
    "realmedia": _format("RealMedia", rb"\.RMF|\.ra\xfd", "rm ra", "rm", timed=False),
}
"""Formats by key; `eac3` is looked for before `ac3`, whose bytes it shares."""
NO_SOUND = {
    b"MThd": "MIDI: notes, not sound",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
    b"%PDF": "a PDF document",
    b"PK\3\4": "a ZIP archive",
    b"\x1f\x8b": "compressed by gzip",
    b"Rar!": "a RAR archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"OFR ": "OptimFROG",
}
"""First bytes of files that are named like audio now and then, and what messages call them."""
ORDER = ("eac3", *(key for key in FORMATS if key != "eac3"))

_ANNOUNCED = frozenset(suffix for format_ in FORMATS.values() for suffix in format_.suffixes)
LIBSNDFILE_SUFFIXES = frozenset(s for format_ in FORMATS.values() if format_.libsndfile for s in format_.suffixes) - {
    ".spx"
}
"""Suffixes of what libsndfile opens."""
AV_SUFFIXES = _ANNOUNCED - LIBSNDFILE_SUFFIXES - {".ts"}
"""Suffixes of what only PyAV opens; without `.ts`, which is TypeScript more often than a recording of television."""


def sniff(head: bytes) -> str | None:
    """Return the key of the format whose first bytes these are, or None.

    Parameters
    ----------
    head
        The file's first few kilobytes, behind an ID3 tag if there is one.
    """
    for key in ORDER:
        magic = FORMATS[key].magic
        if magic is not None and magic.match(head):
            return key
    return mpeg_kind(head)


def mpeg_kind(head: bytes) -> str | None:
    """Return `mp3` or `aac` for bytes that begin with the header of a frame of MPEG audio, otherwise None."""
    if len(head) < 7 or head[0] != 0xFF:
        return None
    if head[1] & 0xF6 == 0xF0 and head[2] >> 2 & 15 < 13:
        step = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
        follower = head[step : step + 2]
        return (
            "aac" if step > 7 and (len(follower) < 2 or (follower[0] == 0xFF and follower[1] & 0xF6 == 0xF0)) else None
        )
    valid = head[1] & 0xE0 == 0xE0 and head[1] & 0x18 != 0x08 and head[1] & 6 and head[2] >> 4 != 15
    return "mp3" if valid and head[2] & 0x0C != 0x0C else None


def tag_bytes(head: bytes) -> int:
    """Return the length of the ID3v2 tag that begins with these ten bytes, 0 if they begin none."""
    if head[:3] != b"ID3" or len(head) < 10:
        return 0
    size = 0
    for byte in head[6:10]:
        size = size << 7 | byte & 0x7F
    return 10 + size
