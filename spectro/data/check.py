"""Check every audio file before rendering and report what is broken or suspicious."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spectro.audio.decode import open_sound
from spectro.core.arrays import Floats32
from spectro.core.config import SegmentConfig
from spectro.core.errors import AudioError
from spectro.core.records import Record
from spectro.core.tables import Failure, write_failures
from spectro.data.engines import ClipTask, Done
from spectro.data.engines import local as engine
from spectro.data.layouts import scan
from spectro.data.ownership import require_own_table
from spectro.data.source import require_file

SILENT = 1e-4  # highest sample of a silent file: -80 dB of full scale
FULL_SCALE = 0.999
CLIPPED_SHARE = 0.001  # of the samples, in runs of at least three at full scale
OFFSET = 0.02  # mean from which a file has DC

MAGIC = {
    b"RIFF": (".wav",),
    b"RF64": (".wav",),
    b"fLaC": (".flac",),
    b"OggS": (".ogg", ".oga", ".opus"),
    b"FORM": (".aif", ".aiff"),
    b".snd": (".au", ".snd"),
    b"caff": (".caf",),
    b"riff": (".w64",),
    b"ID3": (".mp3",),
}
"""First bytes of a container, and the suffixes that announce it."""


@dataclass(frozen=True, kw_only=True)
class Finding(Record):
    """One thing that is wrong with one clip; a clip may have several."""

    path: str
    """Id of the clip."""
    reason: str
    """A reason of AudioError, or `crashed`, `clipped`, `dc`, `wrong-extension`, `mixed-rates`."""
    seconds: float
    """Duration, in seconds; 0 where it cannot be read."""
    message: str
    """What it is, and what to do about it."""
    unusable: bool
    """Whether rendering would fail or be pointless; otherwise the clip is suspicious, but can be used."""


@dataclass(frozen=True, kw_only=True)
class CheckReport:
    """What `check_audio` found."""

    root: Path
    """Folder that clip ids are relative to."""
    clips: int
    """Number of clips checked."""
    seconds: float
    """Duration of those that can be decoded, in seconds."""
    findings: tuple[Finding, ...]
    """In order of clip id."""

    @property
    def unusable(self) -> tuple[str, ...]:
        """Ids of the clips that cannot be used."""
        return tuple(dict.fromkeys(finding.path for finding in self.findings if finding.unusable))

    def counts(self) -> dict[str, int]:
        """Return the number of clips by reason, the most frequent first."""
        return dict(Counter(finding.reason for finding in self.findings).most_common())


@dataclass(frozen=True, kw_only=True)
class CheckJob(Record):
    """What all clips of one check have in common."""

    root: str
    """Folder of the source."""
    min_seconds: float
    """Shorter clips are too short."""


@dataclass(frozen=True, kw_only=True)
class CheckedClip(Record):
    """What decoding one clip showed."""

    seconds: float = 0.0
    """Duration, in seconds; 0 where it cannot be decoded."""
    sample_rate: int = 0
    """In Hz; 0 where it cannot be opened."""
    findings: tuple[Finding, ...] = ()


def check_audio(
    source: Path | str,
    *,
    layout: str = "auto",
    bad_files: Path | str | None = None,
    config: SegmentConfig | None = None,
    workers: int = 0,
) -> CheckReport:
    """Decode every clip of a source and report what is unreadable, truncated, silent, clipped, misnamed or unusual.

    Parameters
    ----------
    source, layout
        What `scan` takes.
    bad_files
        CSV to write, with a line (path, reason, seconds, message) for each clip that cannot be used; `render` leaves
        these out when it is given as `exclude`.
    config
        What counts as too short; the defaults when None.
    workers
        Number of processes; 0 for one per core.

    Returns
    -------
    CheckReport

    Raises
    ------
    DataError
        the source is not laid out that way, or `bad_files` is there and is another kind of file.
    """
    config = config or SegmentConfig()
    if bad_files is not None:
        require_own_table(Path(bad_files))
    listing = scan(source, layout)
    shortest = max(config.min_seconds, config.seconds if config.short == "fail" else 0.0)
    job = CheckJob(root=str(listing.root), min_seconds=shortest)
    tasks = [ClipTask(clip=clip.id) for clip in listing.clips]
    checked: dict[str, CheckedClip] = {}
    for task, outcome in engine.run(check_one, job, tasks, workers=workers):
        if isinstance(outcome, Done):
            checked[task.clip] = outcome.value
        else:
            message = f"{listing.root / task.clip}: {outcome.message}"
            finding = Finding(path=task.clip, reason=outcome.reason, seconds=0.0, message=message, unusable=True)
            checked[task.clip] = CheckedClip(findings=(finding,))
    findings = tuple(_findings(listing.root, checked))
    if bad_files is not None:
        rows = [f for f in findings if f.unusable]
        write_failures(
            Path(bad_files),
            (Failure(path=f.path, reason=f.reason, seconds=f.seconds, message=f.message) for f in rows),
        )
    seconds = sum(clip.seconds for clip in checked.values())
    return CheckReport(root=listing.root, clips=len(listing.clips), seconds=seconds, findings=findings)


def check_one(job: CheckJob, task: ClipTask) -> CheckedClip:
    """Decode one clip and return what is wrong with it."""
    path = Path(job.root) / task.clip
    seconds, sample_rate = 0.0, 0
    findings: list[Finding] = []

    def add(reason: str, message: str, unusable: bool) -> None:
        findings.append(Finding(path=task.clip, reason=reason, seconds=seconds, message=message, unusable=unusable))

    try:
        require_file(path)
    except AudioError as error:
        add(error.reason, str(error), True)
        return CheckedClip(findings=tuple(findings))
    announced = _announced(path)
    try:
        with open_sound(path) as sound:
            sample_rate = sound.info.sample_rate
            seconds, peak, mean, clipped = _measure(sound.blocks(sample_rate), sample_rate)
    except AudioError as error:
        if announced:
            add("wrong-extension", _rename(path, announced), False)
        add(error.reason, str(error), True)
        return CheckedClip(seconds=seconds, sample_rate=sample_rate, findings=tuple(findings))
    if announced:
        add("wrong-extension", _rename(path, announced), False)
    if seconds < job.min_seconds:
        add("too-short", f"{path} lasts {seconds:.2f} s, but must last at least {job.min_seconds:g} s", True)
    if peak < SILENT:
        add("silent", f"{path} is silent (no sample above {peak:.5f}); fetch or export it again", True)
    if clipped > CLIPPED_SHARE:
        add("clipped", f"{path} is clipped: {clipped:.1%} of its samples are at full scale", False)
    if abs(mean) > OFFSET:
        add("dc", f"{path} has a DC offset of {mean:+.3f} of full scale; a high-pass filter removes it", False)
    return CheckedClip(seconds=seconds, sample_rate=sample_rate, findings=tuple(findings))


def _findings(root: Path, checked: Mapping[str, CheckedClip]) -> Iterator[Finding]:
    """Yield the findings of all clips in order of id, with those whose sample rate is not the usual one."""
    usual = Counter(clip.sample_rate for clip in checked.values() if clip.sample_rate).most_common(1)
    for name, clip in sorted(checked.items()):
        yield from clip.findings
        if clip.sample_rate and clip.sample_rate != usual[0][0]:
            message = (
                f"{root / name} has {clip.sample_rate} Hz, but most clips have {usual[0][0]} Hz: it will be resampled"
            )
            yield Finding(path=name, reason="mixed-rates", seconds=clip.seconds, message=message, unusable=False)


def _measure(blocks: Iterator[Floats32], rate: int) -> tuple[float, float, float, float]:
    """Return duration in seconds, highest magnitude, mean, and share of clipped samples of mono blocks."""
    count, peak, total, clipped = 0, 0.0, 0.0, 0
    for block in blocks:
        magnitude = np.abs(block)
        full = magnitude >= FULL_SCALE
        count += len(block)
        peak = max(peak, float(magnitude.max(initial=0.0)))
        total += float(block.sum(dtype=np.float64))
        clipped += int((full[2:] & full[1:-1] & full[:-2]).sum())
    return count / rate, peak, total / max(count, 1), clipped / max(count, 1)


def _announced(path: Path) -> tuple[str, ...]:
    """Return the suffixes that would suit the file's first bytes, if its own does not; otherwise nothing."""
    try:
        with path.open("rb") as file:
            head = file.read(4)
    except OSError:
        return ()
    suitable = next((suffixes for magic, suffixes in MAGIC.items() if head.startswith(magic)), ())
    if not suitable and len(head) == 4 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2:  # MPEG layer 3 without a tag
        suitable = (".mp3",)
    return () if path.suffix.lower() in suitable else suitable


def _rename(path: Path, announced: tuple[str, ...]) -> str:
    return f"{path} begins like a {announced[0]} file; rename it, or check where it came from"
