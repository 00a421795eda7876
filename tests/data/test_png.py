"""The PNG encoder: any image and any text come back from Pillow and from our own reader, on both compressors."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image as Pillow

from spectro.core.arrays import Image
from spectro.data import png

IMAGES = arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 60)))


@pytest.fixture(params=["fast", "always there"])
def compressor(request: pytest.FixtureRequest) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "always there":
            patch.setattr(png, "isal_zlib", None)
        yield


@pytest.mark.usefixtures("compressor")
@pytest.mark.parametrize("fill", ["noise", "flat", "ramp"])
def test_pillow_reads_what_we_write(fill: str) -> None:
    rng = np.random.default_rng(0)
    shape = (128, 431)
    fills = {"noise": rng.integers(0, 256, shape), "flat": np.zeros(shape), "ramp": np.indices(shape).sum(0) % 256}
    image = fills[fill].astype(np.uint8)
    with Pillow.open(io.BytesIO(png.encode(image, {"a": "b"}))) as file:
        assert file.mode == "L"
        np.testing.assert_array_equal(np.asarray(file), image)


@given(image=IMAGES, text=st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=50))
def test_any_image_and_any_text_survive(tmp_path_factory: pytest.TempPathFactory, image: Image, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.png"
    png.write(path, image, {"source": text, "start": "1.0"})
    assert png.read_tags(path) == {"source": text, "start": "1.0"}
    with Pillow.open(path) as file:
        np.testing.assert_array_equal(np.asarray(file), image)
        assert file.text == {"source": text, "start": "1.0"}  # type: ignore[attr-defined]  # a PNG has it


def test_files_that_are_not_whole_have_no_tags(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    assert png.read_tags(path) is None
    path.write_bytes(b"")
    assert png.read_tags(path) is None
    png.write(path, np.zeros((4, 4), np.uint8), {"a": "b"})
    whole = path.read_bytes()
    for kept in range(len(whole)):
        path.write_bytes(whole[:kept])
        assert png.read_tags(path) is None
