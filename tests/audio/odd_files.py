"""All odd files; `scripts/stress audio` tries every one, the default tests a sample."""

from __future__ import annotations

from collections import Counter

from tests.audio import odd_formats, odd_headers, odd_hostile
from tests.audio.odd_case import Case


def all_cases() -> list[Case]:
    """Return every case."""
    cases = [*odd_formats.cases(), *odd_headers.cases(), *odd_hostile.cases()]
    twice = [name for name, count in Counter(case.name for case in cases).items() if count > 1]
    assert not twice, twice
    return cases
