"""Every format that can be written here, as its encoders write it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.audio import flac_writer
from tests.audio.odd_case import Build, Case
from tests.audio.sounds import by_tool, encode, sound, video, write

SUBTYPES = {
    "WAV": "PCM_16 PCM_24 PCM_32 PCM_U8 FLOAT DOUBLE ULAW ALAW IMA_ADPCM MS_ADPCM GSM610 G721_32 NMS_ADPCM_16 "
    "NMS_ADPCM_24 NMS_ADPCM_32",
    "WAVEX": "PCM_16 FLOAT",
    "RF64": "PCM_16 FLOAT",
    "AIFF": "PCM_S8 PCM_16 PCM_24 PCM_32 FLOAT DOUBLE ULAW ALAW IMA_ADPCM GSM610 DWVW_16 DWVW_24",
    "AU": "PCM_16 PCM_24 FLOAT ULAW G721_32 G723_24 G723_40",
    "CAF": "PCM_16 PCM_24 FLOAT ALAC_16 ALAC_24 ULAW",
    "FLAC": "PCM_S8 PCM_16 PCM_24",
    "OGG": "VORBIS OPUS",
    "MP3": "MPEG_LAYER_III",
    "W64": "PCM_16 PCM_24 FLOAT ULAW IMA_ADPCM MS_ADPCM GSM610",
    "NIST": "PCM_16 ULAW",
    "VOC": "PCM_16 PCM_U8 ULAW",
    "SVX": "PCM_16 PCM_S8",
    "PAF": "PCM_16 PCM_24",
    "IRCAM": "PCM_16 FLOAT ULAW",
    "AVR": "PCM_16",
    "PVF": "PCM_16",
    "MAT4": "PCM_16",
    "MAT5": "FLOAT",
    "SDS": "PCM_16",
    "HTK": "PCM_16",
    "MPC2K": "PCM_16",
}
SUFFIX = {"WAVEX": "wav", "SVX": "8svx", "NIST": "sph"}
COARSE = {"SDS": 0.05, "IMA_ADPCM": 0.06, "MS_ADPCM": 0.06, "GSM610": 0.06, "NMS": 0.06, "G721": 0.06, "G723": 0.06}
"""Seconds by which formats miss that round up to their blocks, which are up to 4096 samples."""
ENCODED: list[tuple[str, str, int, int, str | None]] = [
    ("m4a", "aac", 44100, 2, None),
    ("mp4", "aac", 48000, 1, None),
    ("m4b", "aac", 22050, 1, "mp4"),
    ("alac.m4a", "alac", 44100, 2, None),
    ("opus.mp4", "libopus", 48000, 2, None),
    ("pcm.mov", "pcm_s16le", 44100, 2, None),
    ("3gp", "libopencore_amrnb", 8000, 1, None),
    ("amr", "libopencore_amrnb", 8000, 1, None),
    ("webm", "libopus", 48000, 2, None),
    ("vorbis.mka", "vorbis", 48000, 2, None),
    ("mp3.mkv", "libmp3lame", 44100, 2, None),
    ("aac.mka", "aac", 44100, 2, None),
    ("ac3.mka", "ac3", 48000, 2, None),
    ("pcm.mkv", "pcm_s24le", 44100, 2, None),
    ("wma", "wmav2", 44100, 2, None),
    ("v1.wma", "wmav1", 44100, 2, None),
    ("aac", "aac", 44100, 2, "adts"),
    ("mono.aac", "aac", 16000, 1, "adts"),
    ("latm.ts", "aac", 44100, 2, "mpegts"),
    ("ac3", "ac3", 48000, 2, None),
    ("5.1.ac3", "ac3", 48000, 6, None),
    ("eac3", "eac3", 48000, 2, None),
    ("wv", "wavpack", 44100, 2, None),
    ("tta", "tta", 44100, 2, None),
    ("flv", "libmp3lame", 44100, 2, None),
    ("mpegts", "mp2", 48000, 2, "mpegts"),
    ("mpg", "mp2", 48000, 2, None),
    ("avi", "libmp3lame", 44100, 2, None),
    ("pcm.avi", "pcm_s16le", 44100, 2, None),
    ("rm", "ac3", 48000, 2, None),
    ("mp2", "mp2", 48000, 2, None),
    ("low.mp2", "mp2", 24000, 1, None),
    ("mp3.wav", "libmp3lame", 44100, 2, "wav"),
    ("ac3.wav", "ac3", 48000, 2, "wav"),
    ("g722.wav", "g722", 16000, 1, "wav"),
    ("g726.wav", "g726", 8000, 1, "wav"),
    ("yamaha.wav", "adpcm_yamaha", 44100, 1, "wav"),
    ("qt.aiff", "adpcm_ima_qt", 44100, 1, "aiff"),
    ("s24.au", "pcm_s24be", 44100, 2, None),
    ("tta.mka", "tta", 44100, 2, "matroska"),
    ("dsp.w64", "pcm_s16le", 44100, 2, None),
]
"""Suffix (and more), encoder, rate, channels and container of what PyAV writes."""
BY_FFMPEG: list[tuple[str, list[str]]] = [
    ("ogg-flac.oga", ["-c:a", "flac", "-f", "oga"]),
    ("speex.spx", ["-ar", "16000", "-ac", "1", "-c:a", "libspeex"]),
    ("speex-narrow.ogg", ["-ar", "8000", "-ac", "1", "-c:a", "libspeex", "-f", "ogg"]),
    ("flac.mka", ["-c:a", "flac"]),
    ("flac.mp4", ["-c:a", "flac", "-strict", "-2"]),
    ("dca.dts", ["-ar", "48000", "-c:a", "dca", "-strict", "-2", "-f", "dts"]),
    ("truehd.thd", ["-ar", "48000", "-c:a", "truehd", "-strict", "-2", "-f", "truehd"]),
    ("fragmented.mp4", ["-c:a", "aac", "-movflags", "frag_keyframe+empty_moov"]),
    ("faststart.m4a", ["-c:a", "aac", "-movflags", "+faststart"]),
    ("live.webm", ["-c:a", "libopus", "-live", "1"]),
    ("vorbis.webm", ["-c:a", "libvorbis"]),
    ("aac.caf", ["-c:a", "aac"]),
    ("alac.caf", ["-c:a", "alac"]),
    ("cbr.mp3", ["-c:a", "libmp3lame", "-b:a", "64k"]),
    ("vbr.mp3", ["-c:a", "libmp3lame", "-q:a", "6"]),
    ("pipe.wav", ["-f", "wav", "-bitexact"]),
    ("sixteen.wma", ["-c:a", "wmav2", "-ar", "16000", "-b:a", "32k"]),
    ("he.ogg", ["-c:a", "libvorbis", "-q:a", "-1"]),
    ("rf64.wav", ["-rf64", "always"]),
    ("sox.aifc", ["-c:a", "pcm_s16be", "-f", "aiff"]),
]
LOOSE = 0.09
"""Seconds of delay and padding that encoders add and most containers do not state: up to 3 frames of AAC."""


def cases() -> Iterator[Case]:
    """Yield them."""
    for container, subtypes in SUBTYPES.items():
        for subtype in subtypes.split():
            yield _plain(container, subtype)
    for channels in (2, 3, 4, 5, 6, 7, 8):
        yield Case(name=f"channels-{channels}.wav", build=_writer(channels=channels))
    for rate in (8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000):
        yield Case(name=f"rate-{rate}.mp3", build=_writer(rate=rate, channels=2), by="libsndfile")
    for rate in (1000, 96000, 192000, 384000, 768000):
        yield Case(name=f"rate-{rate}.wav", build=_writer(rate=rate), by="libsndfile", tones=rate > 1600)
    for name, encoder, rate, channels, written_as in ENCODED:
        yield _encoded(name, encoder, rate, channels, written_as)
    for name, arguments in BY_FFMPEG:
        yield Case(name=f"cli-{name}", build=_tool("ffmpeg", *arguments), within=LOOSE)
    yield Case(name="sox.aifc", build=_tool("sox"), by="libsndfile")
    yield Case(name="sox-rifx.wav", build=_tool("sox", "-B"), by="libsndfile")
    for bits in (8, 12, 16, 20, 24):
        yield Case(name=f"bits-{bits}.flac", build=_flac(bits), by="ffmpeg" if bits in (12, 20) else "libsndfile")
    yield Case(
        name="film.mp4", build=lambda path: encode(path, sound(4.0, 44100, 2), 44100, "aac", video=True), within=LOOSE
    )
    yield Case(
        name="film.mkv",
        build=lambda path: encode(path, sound(4.0, 48000, 2), 48000, "libopus", video=True),
        within=LOOSE,
    )
    yield Case(
        name="film.avi",
        build=lambda path: encode(path, sound(4.0, 44100, 2), 44100, "libmp3lame", video=True),
        within=LOOSE,
    )
    for name in ("tracks.mp4", "tracks.mov", "tracks.mkv"):
        yield Case(
            name=name,
            build=lambda path: encode(path, sound(4.0, 44100, 2), 44100, "aac", tracks=2),
            within=LOOSE,
            warns="several-streams",
        )
    for suffix in ("mp4", "mkv", "avi", "mov"):
        yield Case(name=f"mute.{suffix}", build=video, reason="empty")


def _plain(container: str, subtype: str) -> Case:
    suffix = SUFFIX.get(container, container.lower())
    channels = 1 if container in ("SVX", "MAT4", "SDS", "HTK", "MPC2K") or "G72" in subtype or "NMS" in subtype else 2
    if subtype in ("GSM610",) or "DWVW" in subtype:
        channels = 1
    rate = 48000 if subtype == "OPUS" else 44100
    options: dict[str, Any] = {"format": container, "subtype": subtype}
    within = next((value for key, value in COARSE.items() if key in (container, subtype[: len(key)])), 0.03)
    return Case(
        name=f"{container.lower()}-{subtype.lower()}.{suffix}",
        build=_writer(rate=rate, channels=channels, **options),
        within=within,
        by="libsndfile",
    )


def _writer(rate: int = 44100, channels: int = 1, **options: Any) -> Build:
    return lambda path: write(path, sound(4.0, rate, channels), rate, **options)


def _encoded(name: str, encoder: str, rate: int, channels: int, container: str | None) -> Case:
    def build(path: Path) -> bytearray:
        return encode(path, sound(4.0, rate, channels), rate, encoder, container)

    return Case(name=f"av-{name}" if "." in name else f"av.{name}", build=build, within=max(LOOSE, 2500 / rate))


def _tool(tool: str, *arguments: str) -> Build:
    return lambda path: by_tool(path, tool, *arguments)


def _flac(bits: int) -> Build:
    def build(path: Path) -> bytes:
        samples = sound(4.0, 44100, 2)
        return flac_writer.stream_info(44100, 2, bits, len(samples)) + flac_writer.frames(samples, 44100, bits)

    return build
