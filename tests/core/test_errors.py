"""Errors of other libraries become part of one line."""

from __future__ import annotations

import pytest

from spectro.core.errors import first_line


@pytest.mark.parametrize(
    ("error", "line"), [(ValueError("one\ntwo"), "one"), (ValueError(), "ValueError"), (KeyError("\n"), r"'\n'")]
)
def test_an_error_is_its_first_line_or_its_kind(error: Exception, line: str) -> None:
    assert first_line(error) == line
