"""Files of classical models: written as the umask says, read without pickle, and one line where they are damaged."""

from __future__ import annotations

import io
import json
import random
import zipfile
from pathlib import Path

import numpy as np
import pytest
import skops.io
from sklearn.preprocessing import StandardScaler

from spectro.core.errors import RunError
from spectro.models import classical


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file of a fitted model."""
    path = tmp_path_factory.mktemp("classical") / "model.skops"
    rng = np.random.default_rng(0)
    classical.save(path, classical.pipeline("logistic", 0).fit(rng.standard_normal((20, 3)), np.arange(20) % 2))
    return path.read_bytes()


def refused(path: Path) -> str:
    with pytest.raises(RunError) as caught:
        classical.load(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_a_damaged_file_is_one_line(whole: bytes, tmp_path: Path) -> None:
    path, rng = tmp_path / "model.skops", random.Random(0)
    contents = [b"", bytes(len(whole)), b"not a model", rng.randbytes(1000), whole[:20], whole[: len(whole) // 2]]
    for content in [*contents, whole[:-1]]:
        path.write_bytes(content)
        assert "train it again" in refused(path)
    path.unlink()
    refused(path)
    path.mkdir()
    refused(path)


def test_changed_bytes_end_in_one_line_or_in_a_model(whole: bytes, tmp_path: Path) -> None:
    """Which bytes are those that were written is for the card to know; here nothing may end in a traceback."""
    path, rng = tmp_path / "model.skops", random.Random(1)
    for _ in range(150):
        content = bytearray(whole)
        for _ in range(rng.randint(1, 3)):
            content[rng.randrange(len(content))] = rng.randrange(256)
        path.write_bytes(content)
        try:
            classical.load(path)
        except RunError as error:
            assert "\n" not in str(error)


def test_what_is_no_classifier_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "model.skops"
    for other in (StandardScaler(), [1, 2], {"a": 1}):
        skops.io.dump(other, path)
        assert "holds no classifier" in refused(path)


def test_a_compressed_file_is_not_unpacked_into_memory(whole: bytes, tmp_path: Path) -> None:
    (tmp_path / "plain.skops").write_bytes(whole)
    with zipfile.ZipFile(tmp_path / "plain.skops") as plain:
        contents = {item.filename: plain.read(item) for item in plain.infolist()}
    with zipfile.ZipFile(tmp_path / "bomb.skops", "w", zipfile.ZIP_DEFLATED) as bomb:
        for name, content in (contents | {"more": bytes(10_000_000)}).items():
            bomb.writestr(name, content)
    assert "compressed" in refused(tmp_path / "bomb.skops")


def test_one_array_that_is_named_many_times_is_not_loaded_as_often(whole: bytes, tmp_path: Path) -> None:
    path, array = tmp_path / "model.skops", io.BytesIO()
    np.save(array, np.zeros(100_000))
    with zipfile.ZipFile(io.BytesIO(whole)) as plain, zipfile.ZipFile(path, "w") as bomb:
        contents = {item.filename: plain.read(item) for item in plain.infolist()}
        schema = json.loads(contents.pop("schema.json"))
        node = {"__class__": "ndarray", "__module__": "numpy", "__loader__": "NdArrayNode", "type": "numpy"}
        nodes = [{**node, "file": "zeros.npy", "__id__": number} for number in range(1000)]
        schema["more"] = {"__class__": "list", "__module__": "builtins", "__loader__": "ListNode", "content": nodes}
        for name, content in {**contents, "zeros.npy": array.getvalue(), "schema.json": json.dumps(schema)}.items():
            bomb.writestr(name, content)
    assert "too many times" in refused(path)
