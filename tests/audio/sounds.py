"""Sound whose pitch names its second, and ways to write it: libsndfile, PyAV, ffmpeg and sox."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from spectro.core.arrays import Floats32

FIRST_HZ, STEP_HZ = 300.0, 100.0
RATE = 22050


class CannotBuild(Exception):
    """A tool that a file needs is not on this machine."""


@cache
def sound(seconds: float = 4.0, rate: int = RATE, channels: int = 1, gain: float = 0.3) -> Floats32:
    """Return `[n, channels]` of a tone that is 100 Hz higher each second, a little noise, loudest at first."""
    time = np.arange(round(seconds * rate)) / rate
    hz = FIRST_HZ + STEP_HZ * np.floor(time)
    tone = gain * np.sin(2 * np.pi * hz * (time - np.floor(time)))
    tone = tone + 0.003 * np.random.default_rng(0).standard_normal(len(time))
    made = np.stack([tone * 0.95**channel for channel in range(channels)], axis=1).astype(np.float32)
    made.flags.writeable = False
    return made


def pitch(samples: Floats32, rate: int) -> float:
    """Return the strongest frequency of mono samples, in Hz."""
    power = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(power) * rate / len(samples))


def write(path: Path, samples: NDArray[Any], rate: int = RATE, **options: Any) -> bytearray:
    """Write with libsndfile, a block at a time (its Vorbis encoder dies of long ones); return the file's bytes."""
    with soundfile.SoundFile(path, "w", rate, samples.shape[1], **options) as file:
        for begin in range(0, len(samples), 8192):
            file.write(samples[begin : begin + 8192])
    return bytearray(path.read_bytes())


def encode(
    path: Path, samples: Floats32, rate: int, codec: str, container: str | None = None, **extra: Any
) -> bytearray:
    """Write with PyAV; return the file's bytes.

    Parameters
    ----------
    path
        The file to write.
    samples
        `[n, channels]`.
    rate
        Sample rate, in Hz.
    codec
        FFmpeg's name of the encoder.
    container
        FFmpeg's name of the container; by the suffix when None.
    extra
        `options` of the container, `tracks` (several of the same sound), `video` (a track of it in front).
    """
    try:
        import av
        from av.audio.resampler import AudioResampler
    except ImportError:
        raise CannotBuild("PyAV") from None
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[samples.shape[1]]
    try:
        with av.open(str(path), "w", format=container, options=extra.get("options", {})) as file:
            if extra.get("video"):
                picture: Any = file.add_stream("mpeg4", rate=10)
                picture.width, picture.height, picture.pix_fmt = 64, 64, "yuv420p"
            tracks: list[Any] = [
                file.add_stream(codec, rate=rate, layout=layout, options={"strict": "-2"})
                for _ in range(extra.get("tracks", 1))
            ]
            for track in tracks:
                if codec.startswith(("wma", "ac3", "eac3")):
                    track.bit_rate = 128_000
            file.start_encoding()
            if extra.get("video"):
                for number in range(10):
                    frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), number * 20, np.uint8), format="rgb24")
                    file.mux(picture.encode(frame))
                file.mux(picture.encode(None))
            for track in tracks:
                context = track.codec_context
                whole = av.AudioFrame.from_ndarray(
                    np.ascontiguousarray(samples.reshape(1, -1)), format="flt", layout=layout
                )
                whole.sample_rate = rate
                resampler = AudioResampler(context.format, context.layout, rate, frame_size=context.frame_size or 1024)
                for part in [*resampler.resample(whole), *resampler.resample(None)]:
                    file.mux(track.encode(part))
                file.mux(track.encode(None))
    except (av.error.FFmpegError, av.codec.codec.UnknownCodecError, ValueError) as error:
        raise CannotBuild(f"PyAV's encoder {codec} ({error})") from None
    return bytearray(path.read_bytes())


def video(path: Path) -> bytearray:
    """Write a second of video without sound."""
    try:
        import av
    except ImportError:
        raise CannotBuild("PyAV") from None
    with av.open(str(path), "w") as file:
        track = file.add_stream("mpeg4", rate=10)
        track.width, track.height, track.pix_fmt = 64, 64, "yuv420p"
        for number in range(10):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), number * 20, np.uint8), format="rgb24")
            file.mux(track.encode(frame))
        file.mux(track.encode(None))
    return bytearray(path.read_bytes())


def run(tool: str, *arguments: str | Path) -> None:
    """Run ffmpeg or sox; raises CannotBuild where there is none, or where it cannot do it."""
    if not shutil.which(tool):
        raise CannotBuild(tool)
    quiet = ["-hide_banner", "-loglevel", "error", "-y"] if tool == "ffmpeg" else ["-V1"]
    done = subprocess.run([tool, *quiet, *map(str, arguments)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotBuild(f"{tool} ({done.stderr.strip()[:80]})")


def by_tool(path: Path, tool: str, *arguments: str, rate: int = 44100, channels: int = 2) -> bytearray:
    """Write 4 s with ffmpeg or sox from a WAV; return the file's bytes."""
    source = path.with_name(f"{path.stem}-source.wav")
    write(source, sound(4.0, rate, channels), rate)
    try:
        run(tool, *(["-i"] if tool == "ffmpeg" else []), source, *arguments, path)
    finally:
        source.unlink()
    return bytearray(path.read_bytes())
