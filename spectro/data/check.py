"""Check every audio file before rendering and report what is broken or suspicious."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spectro.audio.decode import Samples, open_sound
from spectro.core.config import SegmentConfig
from spectro.core.errors import AudioError
from spectro.core.tables import write_csv
from spectro.data.engines import local as engine
from spectro.data.layouts import scan

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
class Finding:
    """One thing that is wrong with one clip; a clip may have several."""

    path: str
    """Id of the clip."""
    reason: str
    """A reason of AudioError, or `crashed`, `clipped`, `dc`, `wrong-extension`, `mixed-rates`."""
    seconds: float
    """Duration, in seconds; 0 where it cannot be told."""
    message: str
    """What it is, and what to do about it."""
    unusable: bool
    """Whether rendering would fail or be in vain; else the clip is worth a look, but can be used."""


@dataclass(frozen=True, kw_only=True)
class CheckReport:
    """What `doctor` found."""

    root: Path
    """Folder that clip ids are relative to."""
    clips: int
    """Number of clips examined."""
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


def check_audio(
    source: Path | str,
    *,
    layout: str = "auto",
    quarantine: Path | str | None = None,
    config: SegmentConfig | None = None,
    workers: int = 0,
) -> CheckReport:
    """Decode every clip of a source and report what is unreadable, cut off, silent, clipped, mislabelled or odd.

    Parameters
    ----------
    source, layout
        What `scan` takes.
    quarantine
        CSV to write, with a line (path, reason, seconds, message) for each clip that cannot be used; `render` leaves
        these out when it is given as `exclude`.
    config
        What counts as too short; the defaults when None.
    workers
        Number of processes; 0 for one per core.

    Raises
    ------
    DataError
        the source is not laid out that way.
    """
    config = config or SegmentConfig()
    found = scan(source, layout)
    least = max(config.min_seconds, config.seconds if config.short == "fail" else 0.0)
    shared = {"root": str(found.root), "least": least}
    results: dict[str, Mapping[str, Any]] = {}
    for task, result in engine.run(examine, shared, [{"clip": clip.id} for clip in found.clips], workers=workers):
        if result is None:
            message = (
                f"{found.root / task['clip']} killed the process that read it (no memory, or a fault in a decoder)"
            )
            result = {"seconds": 0.0, "rate": 0, "findings": [("crashed", message, True)]}
        results[task["clip"]] = result
    findings = []
    usual = Counter(result["rate"] for result in results.values() if result["rate"]).most_common(1)
    for clip, seen in sorted(results.items()):
        noted = [*seen["findings"]]
        if seen["rate"] and seen["rate"] != usual[0][0]:
            message = f"{found.root / clip} has {seen['rate']} Hz, but most clips have {usual[0][0]}: it is resampled"
            noted.append(("mixed-rates", message, False))
        for reason, message, unusable in noted:
            seconds = seen["seconds"]
            findings.append(Finding(path=clip, reason=reason, seconds=seconds, message=message, unusable=unusable))
    if quarantine is not None:
        _write(Path(quarantine), findings)
    seconds = sum(result["seconds"] for result in results.values())
    return CheckReport(root=found.root, clips=len(found.clips), seconds=seconds, findings=tuple(findings))


def _write(path: Path, findings: Sequence[Finding]) -> None:
    rows = [(f.path, f.reason, f"{f.seconds:.3f}", f.message) for f in findings if f.unusable]
    write_csv(path, ("path", "reason", "seconds", "message"), rows)


def examine(shared: Mapping[str, Any], task: Mapping[str, Any]) -> dict[str, Any]:
    """Decode one clip; the work of one engine task."""
    path = Path(shared["root"]) / task["clip"]
    findings: list[tuple[str, str, bool]] = []
    seconds, rate = 0.0, 0
    if announced := _announced(path):
        guess = f"{path} begins like a {announced[0]} file; rename it, or check where it came from"
        findings.append(("wrong-extension", guess, False))
    try:
        with open_sound(path) as sound:
            rate = sound.info.sample_rate
            seconds, peak, mean, clipped = _measure(sound.blocks(rate), rate)
    except AudioError as error:
        findings.append((error.reason, str(error), True))
        return {"seconds": seconds, "rate": rate, "findings": findings}
    if seconds < shared["least"]:
        message = f"{path} lasts {seconds:.2f} s, but must last at least {shared['least']:g} s"
        findings.append(("too-short", message, True))
    if peak < SILENT:
        findings.append(("silent", f"{path} is silent (no sample above {peak:.5f}); fetch or export it again", True))
    if clipped > CLIPPED_SHARE:
        findings.append(("clipped", f"{path} is clipped: {clipped:.1%} of its samples lie at full scale", False))
    if abs(mean) > OFFSET:
        findings.append(
            ("dc", f"{path} is off centre by {mean:+.3f} of full scale; a high-pass filter mends it", False)
        )
    return {"seconds": seconds, "rate": rate, "findings": findings}


def _measure(blocks: Iterator[Samples], rate: int) -> tuple[float, float, float, float]:
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
    """Return the suffixes that would suit the file's first bytes, if its own does not; else nothing."""
    try:
        with path.open("rb") as file:
            head = file.read(4)
    except OSError:
        return ()
    suits = next((suffixes for magic, suffixes in MAGIC.items() if head.startswith(magic)), ())
    if not suits and len(head) == 4 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2:  # MPEG layer 3 without a tag
        suits = (".mp3",)
    return () if path.suffix.lower() in suits else suits
