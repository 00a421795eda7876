"""Files that are no weights, or more than weights: one line each, never run, in bounded memory."""

from __future__ import annotations

import errno
import json
import os
import pickle
import random
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor

from spectro.core.config import ModelConfig
from spectro.core.errors import WeightsError
from spectro.models import build_pretrained, weights
from spectro.models.weights import read, resolve

SHAPE = (64, 96)
SMALL = "test_resnet"


def small_state() -> dict[str, Tensor]:
    return dict(timm.create_model(SMALL).state_dict())


def save_plain(state: dict[str, Tensor], path: Path) -> Path:
    torch.save(state, path.with_suffix(".pth"))
    return path.with_suffix(".pth")


def save_safe(state: dict[str, Tensor], path: Path) -> Path:
    save_file(state, path.with_suffix(".safetensors"))
    return path.with_suffix(".safetensors")


class Evil:
    """Creates a file when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_files_that_hold_more_than_tensors_are_refused_unrun(tmp_path: Path) -> None:
    (tmp_path / "evil.pth").write_bytes(pickle.dumps(Evil(tmp_path / "executed"), protocol=2))
    torch.save({"weight": torch.zeros(2), "x": Evil(tmp_path / "executed")}, tmp_path / "evil-zip.pth")
    (tmp_path / "text.pth").write_text("weights")
    (tmp_path / "empty.pth").touch()
    (tmp_path / "text.safetensors").write_text("weights")
    whole = save_plain(small_state(), tmp_path / "whole").read_bytes()
    (tmp_path / "truncated.pth").write_bytes(whole[: len(whole) // 2])
    for path in [*tmp_path.glob("evil*"), *tmp_path.glob("t*"), tmp_path / "empty.pth"]:
        with pytest.raises(WeightsError, match="cannot be read as weights") as caught:
            build_pretrained(ModelConfig(name=SMALL), 4, SHAPE, str(path))
        assert path.name in str(caught.value)
    assert not (tmp_path / "executed").exists()
    torch.save({"epoch": 3}, tmp_path / "numbers.pth")
    with pytest.raises(WeightsError, match="holds no table of weights"):
        build_pretrained(ModelConfig(name=SMALL), 4, SHAPE, str(tmp_path / "numbers.pth"))


def safe(header: bytes, body: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header)) + header + body


def entry(shape: list[int], stop: int) -> bytes:
    return json.dumps({"conv1.weight": {"dtype": "F32", "shape": shape, "data_offsets": [0, stop]}}).encode()


HOSTILE = {
    "password.pth": Path("/etc/passwd").read_bytes() if Path("/etc/passwd").exists() else b"root:x:0:0\n",
    "zeros.pth": bytes(1000),
    "random.pth": random.Random(0).randbytes(10_000),
    "pickle.pth": pickle.dumps({"a": 1}),
    "list.pth": b"]q\x00.",
    "zip.pth": b"PK\x03\x04" + bytes(100),
    "long-head.safetensors": struct.pack("<Q", 2**63) + b"{}",
    "absent-head.safetensors": struct.pack("<Q", 90_000_000) + b"{}",
    "deep-head.safetensors": safe(b"[" * 100_000),
    "wide.safetensors": safe(entry([2**40, 2**40], 4), b"1234"),
    "past-end.safetensors": safe(entry([10**12], 4 * 10**12), b"1234"),
    "negative.safetensors": safe(entry([-1], 4), b"1234"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_of_another_kind_is_one_line(tmp_path: Path, name: str) -> None:
    for path in (tmp_path / name, tmp_path / name.partition(".")[0]):
        path.write_bytes(HOSTILE[name])
        with pytest.raises(WeightsError, match="cannot be read as weights") as caught:
            read(SMALL, resolve(SMALL, str(path)))
        assert "\n" not in str(caught.value)


def test_tensors_that_are_no_weights_are_one_line_and_take_no_memory(tmp_path: Path) -> None:
    state, huge = small_state(), torch.zeros(1)
    contents: dict[str, dict[Any, Tensor]] = {
        "numbered": {1: torch.zeros(1)},
        "sparse": {"a": torch.eye(3).to_sparse()},
        "meta": {"a": torch.zeros(3, device="meta")},
        "expanded": {**state, "conv1.weight": huge.expand(64, 3, 10**5, 10**5)},
        "flat": {**state, "conv1.weight": torch.zeros(3)},
    }
    for name, content in contents.items():
        torch.save(content, tmp_path / f"{name}.pth")
        with pytest.raises(WeightsError, match=r"holds no table|does not fit|cannot be read") as caught:
            build_pretrained(ModelConfig(name=SMALL, in_chans=1), 4, SHAPE, str(tmp_path / f"{name}.pth"))
        assert "\n" not in str(caught.value)


def test_a_compressed_file_is_not_unpacked_into_memory(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1_000_000)}, tmp_path / "plain.pth")
    with zipfile.ZipFile(tmp_path / "plain.pth") as plain:
        contents = {item.filename: plain.read(item) for item in plain.infolist()}
    with zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as bomb:
        for name, content in contents.items():
            bomb.writestr(name, content)
    with pytest.raises(WeightsError, match="cannot be read as weights"):
        read(SMALL, resolve(SMALL, str(tmp_path / "bomb.pth")))


@pytest.mark.parametrize("keep", [save_plain, save_safe])
def test_changed_bytes_end_in_one_line_or_in_weights(
    tmp_path: Path, keep: Callable[[dict[str, Tensor], Path], Path]
) -> None:
    """A file of the user has no checksum: what still is a file of weights counts as one."""
    path, rng = keep({"abc": torch.zeros(30), "d": torch.ones(3, 4)}, tmp_path / "weights"), random.Random(0)
    whole = path.read_bytes()
    for _ in range(200):
        content = bytearray(whole[: rng.choice([len(whole), rng.randrange(len(whole))])])
        for _ in range(rng.randint(1, 3)):
            if content:
                content[rng.randrange(len(content))] = rng.randrange(256)
        path.write_bytes(content)
        try:
            read(SMALL, resolve(SMALL, str(path)))
        except WeightsError as error:
            assert "\n" not in str(error)


def test_a_file_that_cannot_be_opened_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("x" * 5000, "a\0b", "", str(tmp_path)):
        with pytest.raises(WeightsError) as caught:
            resolve(SMALL, name)
        assert len(str(caught.value)) < 400
    path = tmp_path / "weights.pth"
    path.touch()

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    with monkeypatch.context() as patch:
        patch.setattr(weights, "sha256_of", refuse)
        with pytest.raises(WeightsError, match="cannot be read"):
            resolve(SMALL, str(path))
    monkeypatch.setattr(weights, "MAX_SIZE", -1)
    with pytest.raises(WeightsError, match="more than any backbone"):
        resolve(SMALL, str(path))
