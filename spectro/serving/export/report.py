"""What the gate found: how far a file's answers lie from the run's, and which limits they exceed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from spectro.core.records import Record
from spectro.evaluation.results import Estimate

LOGITS, PROBABILITIES, MARGIN = 1e-3, 1e-4, 1e-3
"""Largest differences of logits and of probabilities, and the margin below which another label is no failure."""
CELLS, LEVELS = 1e-4, 1
"""Largest share of an image's cells that may differ, and by how many of 255 grey levels."""
LOSS = 0.01
"""Accuracy that 8-bit weights may cost."""


@dataclass(frozen=True, kw_only=True)
class BatchFacts(Record):
    """Largest differences in batches of one size, for networks that are fed the same."""

    size: int
    segments: int
    logits: float
    probabilities: float


@dataclass(frozen=True, kw_only=True)
class CellFacts(Record):
    """How the images that the graph computes differ from those of `render`."""

    share: float
    """Share of cells that differ."""
    levels: int
    """By how many grey levels at most."""
    probabilities: float
    """By how much that moves probabilities at most: a network amplifies a grey level, and torch's does as well."""


@dataclass(frozen=True, kw_only=True)
class LabelDifference(Record):
    """A segment that the file gives another label."""

    segment: str
    run: str
    file: str
    margin: float
    """How far the run's two highest probabilities lie apart."""


@dataclass(frozen=True, kw_only=True)
class LossFacts(Record):
    """What 8-bit weights and activations cost, on the run's test clips."""

    calibrated_on: int
    """Training segments that the ranges were measured on."""
    clips: int
    run_accuracy: float
    accuracy: float
    difference: Estimate
    """Of the accuracies, file - run, with the interval of a paired bootstrap over groups."""
    same_label: float
    """Share of test segments that keep their label."""
    float_bytes: int
    """Size of the file without 8-bit weights."""
    float_seconds: float
    """Time of that file for one segment."""


@dataclass(frozen=True, kw_only=True)
class GateReport(Record):
    """The comparison of a file with its run, on all test segments of the run."""

    run: str
    file: str
    digest: str
    """xxh3-128 checksum of the file."""
    bytes: int
    format: str
    front: str
    stft: str
    exporter: str
    segments: int
    batches: tuple[BatchFacts, ...]
    cells: CellFacts | None
    labels: tuple[LabelDifference, ...]
    """Every segment that is given another label; of an 8-bit file none are listed."""
    int8: LossFacts | None
    seconds: float
    """Time of the file for one segment, in batches of the largest size."""
    run_seconds: float
    """Time of torch for one segment on the same CPU."""
    environment: Mapping[str, str]

    def lines(self) -> Iterator[str]:
        """Yield what it found, in words."""
        yield f"compared with the run on {self.segments} test segments, exported by torch's '{self.exporter}'"
        if self.cells:
            yield f"images: {self.cells.share:.1e} of the cells differ, by up to {self.cells.levels} grey level"
            yield f"which moves probabilities by up to {self.cells.probabilities:.1g}; below, networks on equal images:"
        if self.int8 is not None:
            yield from self._cost(self.int8)
            return
        logits = max(one.logits for one in self.batches)
        probs = max(one.probabilities for one in self.batches)
        yield f"logits differ by up to {logits:.1e}, probabilities by up to {probs:.1e}, in batches of 1, 2 and 7"
        for one in self.labels:
            yield f"{one.segment} is '{one.file}' instead of '{one.run}', whose lead was {one.margin:.1e}"
        if not self.labels:
            yield "all labels are equal"
        torch = f"torch: {1e3 * self.run_seconds:.1f} ms"
        yield f"{self.bytes / 1e6:.1f} MB, {1e3 * self.seconds:.1f} ms a segment ({torch})"

    def _cost(self, loss: LossFacts) -> Iterator[str]:
        value, low, high = (100 * one for one in (loss.difference.value, loss.difference.low, loss.difference.high))
        between = f" (95 % of resamples: {low:+.1f} to {high:+.1f})" if low == low else ""
        yield f"accuracy {loss.accuracy:.3f} instead of {loss.run_accuracy:.3f}: {value:+.1f} points{between}"
        yield f"of {loss.clips} clips; {loss.same_label:.1%} of the segments keep their label"
        yield f"ranges were measured on {loss.calibrated_on} training segments"
        plain = f"{loss.float_bytes / 1e6:.1f} MB, {1e3 * loss.float_seconds:.1f} ms"
        yield f"{self.bytes / 1e6:.1f} MB, {1e3 * self.seconds:.1f} ms a segment (float: {plain})"

    def failures(self, *, allow_loss: bool = False) -> Iterator[str]:
        """Yield each limit that is exceeded, in words; what is not a number exceeds every limit."""
        if self.cells and not (self.cells.share <= CELLS and self.cells.levels <= LEVELS):
            yield f"{self.cells.share:.1e} of the images' cells differ, by up to {self.cells.levels} grey levels"
        if self.int8 is not None:
            yield from self._too_lossy(self.int8, allow_loss)
            return
        for batch in self.batches:
            if not batch.logits <= LOGITS:
                yield f"logits differ by {batch.logits:.1e} in batches of {batch.size}"
            if not batch.probabilities <= PROBABILITIES:
                yield f"probabilities differ by {batch.probabilities:.1e} in batches of {batch.size}"
        clear = [label for label in self.labels if not label.margin < MARGIN]
        if clear:
            first = clear[0]
            yield f"{len(clear)} segments have another label ({first.segment}: {first.file} instead of {first.run})"

    def _too_lossy(self, loss: LossFacts, allowed: bool) -> Iterator[str]:
        if not -loss.difference.value <= LOSS and not allowed:
            yield (
                f"8-bit weights cost {-100 * loss.difference.value:.1f} points of accuracy; "
                "--allow-loss writes the file all the same"
            )
        spread = max(batch.logits for batch in self.batches)
        if not spread <= LOGITS:
            yield f"logits differ by {spread:.1e} between batches of {', '.join(str(one.size) for one in self.batches)}"
