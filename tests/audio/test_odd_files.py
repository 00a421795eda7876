"""Odd files: each is decoded, decoded with a warning, or refused for the right reason, and none prints anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.audio.odd_case import Case, make, verdict
from tests.audio.odd_files import all_cases
from tests.audio.sounds import CannotBuild

CASES = all_cases()
STEP = 5
ALWAYS = ("lie-", "changes-", "opposite", "count-", "claims-", "uncounted")
"""Beginnings of the names that are always tried; of the others every fifth is."""
SAMPLE = [case for number, case in enumerate(CASES) if number % STEP == 0 or case.name.startswith(ALWAYS)]
OTHERS = [case for case in CASES if case not in SAMPLE]


def check(case: Case, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    try:
        path = make(case, folder)
    except CannotBuild as tool:
        pytest.skip(f"{case.name} cannot be built without {tool}")
    capfd.readouterr()
    assert verdict(case, path) == ""
    assert capfd.readouterr() == ("", "")


def test_there_are_many_odd_files() -> None:
    assert len(CASES) >= 150
    assert sum(bool(case.reason) for case in CASES) > 50
    assert sum(bool(case.warns) for case in CASES) > 20


@pytest.mark.parametrize("case", SAMPLE, ids=lambda case: case.name)
def test_a_sample_of_them(case: Case, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    check(case, tmp_path, capfd)


@pytest.mark.slow
@pytest.mark.parametrize("case", OTHERS, ids=lambda case: case.name)
def test_the_others(case: Case, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    check(case, tmp_path, capfd)
