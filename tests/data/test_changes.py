"""What changed since a rendering before: only what is known can differ."""

from __future__ import annotations

from spectro.core.tables import Clip
from spectro.data.changes import compare

CLIPS = (Clip(id="a.wav", label="a", group="1"), Clip(id="b.wav", label="b", group="2"))
STAMPS = {"a.wav": "10 aa", "b.wav": "20 bb"}


def test_other_content_counts_as_changed() -> None:
    changes = compare(CLIPS, CLIPS, STAMPS, {**STAMPS, "b.wav": "20 cc"})
    assert changes.describe() == "2 clips: 1 changed, 1 as before"


def test_nothing_counts_as_changed_where_the_earlier_content_is_not_known() -> None:
    assert compare(CLIPS, CLIPS, {}, STAMPS).describe() == ""
