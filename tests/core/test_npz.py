"""Arrays in npz files: whole ones are read, and any other file ends in one line before memory is taken."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from spectro.core.errors import DataError
from spectro.core.npz import read_npz

WANTED = {"probs": ("f", 2), "ids": ("U", 1)}


def read(path: Path) -> dict[str, np.ndarray]:
    return read_npz(path, WANTED, what="a file of predictions", remedy="make it again")


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    path = tmp_path / "p.npz"
    np.savez_compressed(path, probs=np.full((3, 2), 0.5), ids=np.array(["a", "b", "c"]))
    return path


def test_a_whole_file_is_read(whole: Path) -> None:
    arrays = read(whole)
    assert arrays["probs"].shape == (3, 2)
    assert arrays["ids"].tolist() == ["a", "b", "c"]


def test_every_cut_and_flipped_byte_is_read_equal_or_refused(whole: Path) -> None:
    data = whole.read_bytes()
    changed = [data[:at] for at in range(0, len(data), 7)]
    changed += [data[:at] + bytes([data[at] ^ 0x40]) + data[at + 1 :] for at in range(0, len(data), 3)]
    for content in changed:
        whole.write_bytes(content)
        try:
            assert read(whole)["probs"].tolist() == [[0.5, 0.5]] * 3
        except DataError as error:
            assert str(whole) in str(error)
            assert "\n" not in str(error)


@pytest.mark.parametrize(
    "arrays",
    [
        {"probs": np.zeros((3, 2))},
        {"probs": np.zeros(3), "ids": np.array(["a"])},
        {"probs": np.zeros((1, 2), dtype=complex), "ids": np.array(["a"])},
        {"probs": np.zeros((1, 2)), "ids": np.array([{}], dtype=object)},
    ],
    ids=["lacking", "shape", "type", "objects"],
)
def test_a_foreign_file_is_refused(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    np.savez(tmp_path / "p.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="is not a file of predictions"):
        read(tmp_path / "p.npz")


def test_a_header_that_claims_terabytes_takes_no_memory(tmp_path: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**9, 1000)})
    with zipfile.ZipFile(tmp_path / "p.npz", "w") as archive:
        archive.writestr("probs.npy", header.getvalue())
        archive.writestr("ids.npy", header.getvalue())
    with pytest.raises(DataError, match="claims"):
        read(tmp_path / "p.npz")
