"""What became of one case of an attack: right, or one of the ways to be wrong."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from scripts.attacks.children import Outcome

RESULTS = ("right", "silent", "traceback", "hung", "lost", "unclear")
"""`silent`: another answer with exit 0; `lost`: a result is gone, or the remedy of a message does not help; `unclear`:
refused, but not in one line that names the file."""


@dataclass(frozen=True)
class Verdict:
    """One case."""

    kind: str
    number: int
    command: str
    what: str
    """What was done to it."""
    result: str
    note: str = ""

    @property
    def line(self) -> str:
        """One line for the list of failures."""
        return f"{self.kind} {self.number}, {self.command}, {self.what}: {self.result} ({self.note})"


@dataclass(frozen=True)
class Case:
    """What is to be tried: enough to make a verdict of."""

    kind: str
    number: int
    command: str
    what: str

    def verdict(self, result: str, note: str = "") -> Verdict:
        """Return the verdict on this case."""
        return Verdict(self.kind, self.number, self.command, self.what, result, " ".join(note.split())[:300])


def crashed_or_hung(case: Case, outcome: Outcome) -> Verdict | None:
    """Return the verdict on a command that hung or crashed; None where it did not."""
    if outcome.code is None:
        return case.verdict("hung", " < ".join(re.findall(r'(\w+\.py", line \d+ in \w+)', outcome.err)[:8]))
    return case.verdict("traceback", f"exit {outcome.code}: {outcome.last}") if outcome.crashed else None


def refused(case: Case, outcome: Outcome, names: Sequence[str]) -> Verdict:
    """Return the verdict on a command that ended with an error: right when it is one line that has one of the names."""
    lines = outcome.complaints
    if outcome.code in (2, 3) and len(lines) == 1 and any(name in lines[0] for name in names):
        return case.verdict("right", lines[0])
    if outcome.code == 3 and lines and any(name in line for line in lines for name in names):
        return case.verdict("right", lines[0])
    return case.verdict("unclear", f"exit {outcome.code}: " + (" | ".join(lines) or outcome.last))


def table(verdicts: Sequence[Verdict]) -> str:
    """Return how many cases of each kind ended in which way, as a table of text."""
    counts = Counter((one.kind, one.result) for one in verdicts)
    kinds = list(dict.fromkeys(one.kind for one in verdicts))
    tried = Counter(one.kind for one in verdicts)
    rows = {kind: [tried[kind], *(counts[kind, result] for result in RESULTS)] for kind in kinds}
    rows["all"] = [sum(column) for column in zip(*rows.values(), strict=True)]
    lines: list[tuple[str, Sequence[object]]] = [("attack", ["tried", *RESULTS]), *rows.items()]
    return "\n".join(f"{name:<10}" + "".join(f"{cell:>11}" for cell in cells) for name, cells in lines)
