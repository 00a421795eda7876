"""What is known of leakage in the data of a run: the summary of the audit, and how much leakage inflates accuracy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from spectro.core.card import SplitFacts
from spectro.core.data_folder import DataFolder
from spectro.core.errors import SpectroError
from spectro.data.audit import AuditSummary, read_audit
from spectro.experiments.leakage import read_leakage
from spectro.experiments.results import LeakageGap


@dataclass(frozen=True, kw_only=True)
class Leakage:
    """What `audit` and `leakage_gap` wrote into a data folder."""

    audit: AuditSummary | None = None
    """None where there was no audit."""
    same_split: bool = False
    """Whether the audit checked the split of the run."""
    gaps: tuple[LeakageGap, ...] = ()
    """One per way of splitting; none where it was not measured."""

    @property
    def sentence(self) -> str:
        """How much leakage inflates accuracy; empty where it was not measured."""
        accuracy = {gap.by: gap.segment_accuracy.value for gap in self.gaps}
        if not {"segment", "group"} <= set(accuracy):
            return ""
        leaky, clean = (f"{100 * accuracy[by]:.0f}\N{NARROW NO-BREAK SPACE}%" for by in ("segment", "group"))
        return (
            f"How much leakage inflates accuracy: a random forest on the same spectrograms classifies {leaky} of the "
            f"segments correctly when segments of one group may be in both training and test, and {clean} when they "
            "may not."
        )


@contextmanager
def _named(missing: list[str]) -> Iterator[None]:
    """Add to `missing` why something could not be read in the body."""
    try:
        yield
    except (SpectroError, OSError) as error:
        missing.append(f"Leakage is not shown: {error}.")


def known_leakage(data: DataFolder | None, split: SplitFacts, missing: list[str]) -> Leakage:
    """Return what is known of leakage in a data folder.

    Parameters
    ----------
    data
        The folder, if it exists.
    split
        The split of the run.
    missing
        Takes the reason where a file could not be read.
    """
    audit: AuditSummary | None = None
    gaps: tuple[LeakageGap, ...] = ()
    if data:
        with _named(missing):
            audit = read_audit(data)
        with _named(missing):
            gaps = read_leakage(data) or ()
    same_split = audit is not None and bool(audit.split) and audit.split == split.title
    return Leakage(audit=audit, same_split=same_split, gaps=gaps)
