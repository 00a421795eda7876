"""Shards: names that WebDataset splits rightly, bytes that depend on the content alone, places that are true."""

from __future__ import annotations

import re
import tarfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from spectro.core.tables import Clip, Segment
from spectro.data.lots.shard import ShardWriter, iter_shard, key_of, segment_id_of

WEBDATASET = re.compile(r"^((?:.*/|)[^.]+)[.]([^/]*)$")
"""How WebDataset splits a name into the key of its sample and the kind of the file."""
NAME = st.text(st.characters(exclude_characters="/\0", exclude_categories=("Cs",)), min_size=1)


@given(folder=st.sampled_from(["", "rock/", "a.b/c/"]), name=NAME)
def test_a_key_is_one_sample_and_leads_back(folder: str, name: str) -> None:
    segment = f"{folder}{name}@0010.00"
    key = key_of(segment)
    assert segment_id_of(f"{key}.png") == segment
    if "\n" not in name:
        match = WEBDATASET.match(f"{key}.png")
        assert match is not None
        assert match.groups() == (key, "png")


def _write(path: Path) -> list[tuple[int, int]]:
    clips = [Clip(id=name, label="a", group="g") for name in ("a/" + "é" * 120 + ".wav", "a/b.wav")]
    with ShardWriter(path) as shard:
        return [
            shard.add(Segment(clip=clip, start=start, seconds=1.0), clip.id.encode() * (1 + int(start)))
            for clip in clips
            for start in (0.0, 1.5)
        ]


def test_equal_content_makes_equal_bytes_at_true_places(tmp_path: Path) -> None:
    places = _write(tmp_path / "a.tar")
    assert places == _write(tmp_path / "b.tar")
    data = (tmp_path / "a.tar").read_bytes()
    assert data == (tmp_path / "b.tar").read_bytes()
    with (tmp_path / "a.tar").open("rb") as file:
        files = dict(iter_shard(file))
    images = [content for name, content in files.items() if name.endswith(".png")]
    assert [data[offset : offset + size] for offset, size in places] == images
    with tarfile.open(tmp_path / "a.tar") as tar:
        assert {(member.mtime, member.uid, member.uname, member.mode) for member in tar} == {(0, 0, "", 0o644)}
