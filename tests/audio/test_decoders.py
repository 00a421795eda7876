"""The contract of every decoder, and which of them is chosen, with and without PyAV."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spectro.audio.containers.formats import FORMATS, LIBSNDFILE_SUFFIXES
from spectro.audio.containers.layout import Layout
from spectro.audio.decode import AV_SUFFIXES, SUFFIXES, open_sound, probe
from spectro.audio.decoders import ffmpeg, libsndfile
from spectro.audio.decoders.stream import Refused, Stream
from spectro.audio.segment import iter_segments
from spectro.core.arrays import Floats32
from spectro.core.config import SegmentConfig
from spectro.core.errors import AudioError
from tests.audio import flac_writer
from tests.audio.sounds import CannotBuild, encode, sound, write

pytest.importorskip("av", reason="the second decoder is PyAV, which is not installed")

Open = Callable[[Path], AbstractContextManager[Stream]]


@contextmanager
def with_libsndfile(path: Path) -> Iterator[Stream]:
    with libsndfile.open_stream(path, Layout(), path.stat().st_size) as stream:
        yield stream


@contextmanager
def with_ffmpeg(path: Path) -> Iterator[Stream]:
    formats = {suffix: one for one in FORMATS.values() for suffix in one.suffixes}
    with ffmpeg.open_stream(path, formats[path.suffix], Layout()) as stream:
        yield stream


DECODERS = [pytest.param(with_libsndfile, id="libsndfile"), pytest.param(with_ffmpeg, id="ffmpeg")]


def read(stream: Stream, size: int) -> Floats32:
    """Return the whole sound, `[n, channels]`, in -1..1, read `size` frames at once."""
    raw = np.empty((size, stream.channels), np.int16 if stream.native else np.float32)
    parts, count = [], size
    while count == size:
        count = stream.read(raw)
        parts.append(raw[:count].astype(np.float32) / (32768 if stream.native else 1))
    assert stream.read(raw) == 0
    return np.concatenate(parts)


@pytest.mark.parametrize("open_stream", DECODERS)
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.wav", {}),
        ("b.wav", {"subtype": "PCM_24"}),
        ("c.wav", {"subtype": "FLOAT"}),
        ("d.wav", {"subtype": "PCM_U8"}),
        ("e.flac", {}),
        ("f.flac", {"subtype": "PCM_24"}),
        ("g.aiff", {}),
        ("h.ogg", {}),
        ("i.mp3", {}),
    ],
)
@pytest.mark.parametrize("channels", [1, 2])
def test_samples_of_a_decoder(
    tmp_path: Path, open_stream: Open, name: str, options: dict[str, Any], channels: int
) -> None:
    path = tmp_path / name
    original = sound(2.0, 44100, channels)
    write(path, original, 44100, **options)
    with open_stream(path) as stream:
        assert (stream.sample_rate, stream.channels) == (44100, channels)
        assert stream.frames == pytest.approx(2 * 44100, abs=stream.slack + 1200)
        assert stream.decoder
        assert stream.codec == stream.codec.lower()
        assert stream.warnings == ()
        whole = read(stream, 1 << 16)
    assert len(whole) == pytest.approx(stream.frames, abs=stream.slack)
    if path.suffix in (".wav", ".flac", ".aiff"):
        np.testing.assert_allclose(whole, original, atol=0.01 if "PCM_U8" in options.values() else 1e-4)
    for size in (1000, 4096):
        with open_stream(path) as again:
            np.testing.assert_array_equal(read(again, size), whole)


def test_both_decoders_agree_on_lossless_files(tmp_path: Path) -> None:
    for name, options in (("a.wav", {}), ("b.flac", {"subtype": "PCM_24"}), ("c.wav", {"subtype": "FLOAT"})):
        write(tmp_path / name, sound(1.0, 44100, 2), 44100, **options)
        with with_libsndfile(tmp_path / name) as one, with_ffmpeg(tmp_path / name) as other:
            np.testing.assert_array_equal(read(one, 4096), read(other, 5000))


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
@pytest.mark.parametrize("tagged", [True, False])
def test_both_decoders_agree_on_the_length_of_an_mp3(tmp_path: Path, rate: int, tagged: bool) -> None:
    path = tmp_path / "a.mp3"
    data = write(path, sound(3.0, rate, 2), rate)
    if not tagged:
        path.write_bytes(data.replace(b"Xing", bytes(4)).replace(b"Info", bytes(4)))
    with with_ffmpeg(path) as other:
        tolerance = 0.03 if tagged or rate > 16000 else 0.09  # 529 samples of delay are 66 ms at 8 kHz
        assert probe(path).seconds == pytest.approx(other.frames / rate, abs=tolerance)


@pytest.mark.parametrize("open_stream", DECODERS)
@pytest.mark.parametrize("content", [b"nonsense" * 100, b"RIFF\x10\0\0\0WAVE", bytes(5000)])
def test_what_a_decoder_cannot_open_it_refuses(tmp_path: Path, open_stream: Open, content: bytes) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    with pytest.raises((Refused, AudioError)), open_stream(path):
        pass


def test_ffmpeg_decodes_the_same_each_time_and_in_any_blocks(tmp_path: Path) -> None:
    path = tmp_path / "a.m4a"
    encode(path, sound(3.0, 44100, 2), 44100, "aac")
    once, again = (np.concatenate([b.copy() for b in blocks(path, 22050)]) for _ in range(2))
    np.testing.assert_array_equal(once, again)
    info = probe(path)
    assert (info.codec, info.decoder.split()[0], info.channels) == ("aac", "ffmpeg", 2)


def blocks(path: Path, rate: int) -> Iterator[Floats32]:
    with open_sound(path) as opened:
        yield from opened.blocks(rate)


def test_suffixes_are_split_by_decoder() -> None:
    assert SUFFIXES == LIBSNDFILE_SUFFIXES | AV_SUFFIXES
    assert not LIBSNDFILE_SUFFIXES & AV_SUFFIXES
    assert {".wav", ".wave", ".aifc", ".mp2", ".flac", ".opus", ".w64"} <= LIBSNDFILE_SUFFIXES
    wanted = "m4a mp4 m4b aac webm mkv mka wma ac3 eac3 spx ape wv mpc tak tta mov 3gp amr"
    assert {f".{suffix}" for suffix in wanted.split()} <= AV_SUFFIXES
    assert all(suffix == suffix.lower() for suffix in SUFFIXES)
    assert ".raw" not in SUFFIXES


NAMED: list[tuple[str, bytes, str]] = [
    ("a.m4a", b"\0\0\0\x20ftypM4A " + bytes(500), "M4A"),
    ("a.mp3", b"\0\0\0\x20ftypM4A " + bytes(500), "M4A"),
    ("a.webm", b"\x1a\x45\xdf\xa3" + bytes(500), "WebM"),
    ("a.wma", b"\x30\x26\xb2\x75\x8e\x66\xcf\x11" + bytes(500), "WMA"),
    ("a.aac", b"\xff\xf1\x50\x80\x02\x1f\xfc" + bytes(9) + b"\xff\xf1\x50\x80\x02\x1f\xfc", "AAC"),
    ("a.ac3", b"\x0b\x77\0\0\x10\x40" + bytes(500), "AC-3"),
    ("a.eac3", b"\x0b\x77\0\0\x10\x80" + bytes(500), "E-AC-3"),
    ("a.ape", b"MAC \x96\x0f" + bytes(500), "Monkey's Audio"),
    ("a.wv", b"wvpk" + bytes(500), "WavPack"),
    ("a.mpc", b"MP+\x07" + bytes(500), "Musepack"),
    ("a.mpc", b"MPCKSH" + bytes(500), "Musepack"),
    ("a.tak", b"tBaK" + bytes(500), "TAK"),
    ("a.tta", b"TTA1" + bytes(500), "TTA"),
    ("a.amr", b"#!AMR\n" + bytes(500), "AMR"),
    ("a.dts", b"\x7f\xfe\x80\x01" + bytes(500), "DTS"),
    ("a.spx", b"OggS\0\2" + bytes(20) + b"\1\x08Speex   ", "Speex"),
    ("a.ogg", b"OggS\0\2" + bytes(20) + b"\1\x05\x7fFLAC", "FLAC in Ogg"),
    ("a.flac", flac_writer.stream_info(44100, 2, 20, 100) + bytes(400), "FLAC of 20 bits"),
]


@pytest.mark.parametrize(("name", "content", "called"), NAMED, ids=[f"{name}-{called}" for name, _, called in NAMED])
def test_without_pyav_a_message_names_the_format_and_two_ways_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: bytes, called: str
) -> None:
    monkeypatch.setattr(ffmpeg, "installed", lambda: False)
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(AudioError) as caught:
        probe(path)
    assert caught.value.reason == "needs-av"
    assert all(part in str(caught.value) for part in (str(path), f"is {called}", "spectro-audio[av]", "ffmpeg -i"))


def test_without_pyav_a_damaged_wav_is_not_called_another_format(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ffmpeg, "installed", lambda: False)
    path = tmp_path / "a.wav"
    path.write_bytes(b"RIFF\x10\0\0\0WAVE")
    with pytest.raises(AudioError, match="header is damaged") as caught:
        probe(path)
    assert caught.value.reason == "unreadable"


def test_without_pyav_joined_ogg_files_warn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ffmpeg, "installed", lambda: False)
    path = tmp_path / "a.ogg"
    first = write(path, sound(2.0), 22050)
    path.write_bytes(first + write(path, sound(1.0), 22050))
    assert [warning.reason for warning in probe(path).warnings] == ["joined-streams"]
    assert probe(path).seconds == pytest.approx(2.0)


def test_segments_pass_on_what_decoding_shows(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    write(path, np.concatenate([sound(2.0), -sound(2.0)], axis=1))
    assert probe(path).warnings == ()
    reasons: list[str] = []
    segments = [
        samples.copy()
        for _, samples in iter_segments(
            path, 22050, SegmentConfig(seconds=1.0), on_warning=lambda one: reasons.append(one.reason)
        )
    ]
    assert reasons == ["channels-cancel"]
    np.testing.assert_allclose(np.concatenate(segments), sound(2.0)[:, 0], atol=1e-4)


def test_a_file_that_was_overwritten_is_looked_at_again(tmp_path: Path) -> None:
    path = tmp_path / "a.m4a"
    lengths = []
    for seconds in (1.0, 2.0):
        try:
            encode(path, sound(seconds, 44100, 2), 44100, "aac")
        except CannotBuild as tool:
            pytest.skip(str(tool))
        lengths.append(probe(path).seconds)
    assert lengths == pytest.approx([1.0, 2.0], abs=0.09)
