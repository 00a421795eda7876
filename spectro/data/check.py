"""Check every audio file before rendering and report what is broken or suspicious."""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spectro.audio.containers.formats import FORMATS, sniff, tag_bytes
from spectro.audio.decode import open_sound
from spectro.core.arrays import Floats32
from spectro.core.config import SegmentConfig
from spectro.core.errors import AudioError
from spectro.core.records import Record
from spectro.core.tables import Failure, write_failures
from spectro.data.engines import ClipTask, Done
from spectro.data.engines import local as engine
from spectro.data.layouts import Skipped, scan
from spectro.data.ownership import require_own_table
from spectro.data.source import require_file

SILENT = 1e-4  # highest sample of a silent file: -80 dB of full scale
FULL_SCALE = 0.999
CLIPPED_SHARE = 0.001  # of the samples, in runs of at least three at full scale
OFFSET = 0.02  # mean from which a file has DC

HEAD = 4096  # bytes from which a format is recognized


@dataclass(frozen=True, kw_only=True)
class Finding(Record):
    """One thing that is wrong with one clip; a clip may have several."""

    path: str
    """Id of the clip."""
    reason: str
    """A reason of AudioError or AudioWarning, or `crashed`, `clipped`, `dc`, `wrong-extension`, `mixed-rates`."""
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
    pyav: int
    """Number of clips that PyAV decodes, or would if it were installed."""
    similar_labels: tuple[tuple[str, ...], ...]
    """Labels that differ only in case, blanks or the form of their letters, and are perhaps one class."""
    skipped: tuple[Skipped, ...]
    """What is in the source and is no clip, counted."""

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
    pyav: bool = False
    """Whether it takes PyAV to decode it."""
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
    return CheckReport(
        root=listing.root,
        clips=len(listing.clips),
        seconds=sum(clip.seconds for clip in checked.values()),
        findings=findings,
        pyav=sum(clip.pyav for clip in checked.values()),
        similar_labels=similar_labels(clip.label for clip in listing.clips),
        skipped=listing.skipped,
    )


def similar_labels(labels: Iterable[str]) -> tuple[tuple[str, ...], ...]:
    """Return the labels that differ only in case, blanks or the form of their letters, together; sorted."""
    alike: defaultdict[str, set[str]] = defaultdict(set)
    for label in labels:
        alike[" ".join(unicodedata.normalize("NFKC", label).casefold().split())].add(label)
    return tuple(sorted(tuple(sorted(own)) for own in alike.values() if len(own) > 1))


def check_one(job: CheckJob, task: ClipTask) -> CheckedClip:
    """Decode one clip and return what is wrong with it."""
    path = Path(job.root) / task.clip
    seconds, sample_rate, pyav = 0.0, 0, False
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
            sample_rate, pyav = sound.info.sample_rate, sound.info.decoder.startswith("ffmpeg")
            seconds, peak, mean, clipped = _measure(sound.blocks(sample_rate), sample_rate)
            warnings = sound.warnings
    except AudioError as error:
        if announced:
            add("wrong-extension", _rename(path, announced), False)
        add(error.reason, str(error), True)
        pyav = pyav or error.reason == "needs-av"
        return CheckedClip(seconds=seconds, sample_rate=sample_rate, pyav=pyav, findings=tuple(findings))
    if announced:
        add("wrong-extension", _rename(path, announced), False)
    for warning in warnings:
        add(warning.reason, warning.message, False)
    if seconds < job.min_seconds:
        add("too-short", f"{path} lasts {seconds:.2f} s, but must last at least {job.min_seconds:g} s", True)
    if peak < SILENT:
        add("silent", f"{path} is silent (no sample above {peak:.5f}); fetch or export it again", True)
    if clipped > CLIPPED_SHARE:
        add("clipped", f"{path} is clipped: {clipped:.1%} of its samples are at full scale", False)
    if abs(mean) > OFFSET:
        add("dc", f"{path} has a DC offset of {mean:+.3f} of full scale; a high-pass filter removes it", False)
    return CheckedClip(seconds=seconds, sample_rate=sample_rate, pyav=pyav, findings=tuple(findings))


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
            head = file.read(HEAD)
            key = sniff(head)
            if tag := tag_bytes(head[:10]):
                file.seek(tag)
                key = sniff(file.read(HEAD)) or "mp3"
    except OSError:
        return ()
    suitable = FORMATS[key].suffixes if key is not None else ()
    return () if path.suffix.lower() in suitable else suitable


def _rename(path: Path, announced: tuple[str, ...]) -> str:
    return f"{path} begins like a {announced[0]} file; rename it, or check where it came from"
