"""The PNG encoder: any image and any text come back from Pillow and from our own reader, on both compressors."""

from __future__ import annotations

import contextlib
import dataclasses
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
from spectro.core.errors import DataError
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


def chunk(kind: bytes, body: bytes) -> bytes:
    return png._chunk(kind, body)


@pytest.mark.parametrize(
    "text",
    [b"", b"\0", b"key", b"key\0\xff\xfe", b"key\0\0\0", b"key\0\0\0\0", b"key\0\1\0\0\0x", b"\0" * 9, b"\xff" * 9],
)
@pytest.mark.parametrize("kind", [b"tEXt", b"iTXt", b"zTXt", b"gAMA"])
def test_text_of_any_bytes_is_no_traceback(tmp_path: Path, kind: bytes, text: bytes) -> None:
    whole = png.encode(np.zeros((4, 4), np.uint8), {})
    path = tmp_path / "a.png"
    path.write_bytes(whole[:33] + chunk(kind, text) + whole[33:])
    tags = png.read_tags(path)
    assert tags is None or tags.keys() <= {"", "key", "\xff" * 9}


@given(data=st.binary(max_size=200))
def test_any_bytes_are_no_traceback(data: bytes) -> None:
    for content in (data, png.SIGNATURE + data + png.END):
        parsed = png.parse(content)
        if parsed is not None:
            with contextlib.suppress(DataError):
                png.decode(parsed)


@pytest.mark.usefixtures("compressor")
def test_what_we_write_we_read(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (128, 431)).astype(np.uint8)
    parsed = png.parse(png.encode(image, {"a": "b"}))
    assert parsed is not None
    assert parsed.shape == image.shape
    np.testing.assert_array_equal(png.decode(parsed), image)
    for body in (parsed.body[:-9], b"", parsed.body[:2] + bytes(99)):
        with pytest.raises(DataError):
            png.decode(dataclasses.replace(parsed, body=body))
    with pytest.raises(DataError, match="not of its size"):
        png.decode(dataclasses.replace(parsed, shape=(127, 431)))


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
