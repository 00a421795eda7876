"""Names in files: whatever would leave the folder is refused, ordinary names pass."""

from __future__ import annotations

import pytest

from spectro.core.errors import DataError
from spectro.core.paths import require_inside


@pytest.mark.parametrize("name", ["a.wav", "rock/song one.wav", "é/ü.flac", "...wav", "a..b/c", "=1.wav", "x" * 300])
def test_an_ordinary_name_passes(name: str) -> None:
    assert require_inside(name, "clips.csv") == name


@pytest.mark.parametrize(
    "name", ["", "/etc/passwd", "../x.wav", "a/../../x.wav", "a/..", "C:\\x.wav", "C:x", "\\\\host\\share", "a\0b"]
)
def test_a_name_that_leaves_its_folder_is_refused_in_one_line(name: str) -> None:
    with pytest.raises(DataError, match=r"clips\.csv names the file") as caught:
        require_inside(name, "clips.csv")
    assert "\n" not in str(caught.value)
