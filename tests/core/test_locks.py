"""Locks: one writer at a time, the other is told whom to wait for, and a dead owner blocks nobody."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from spectro.core.errors import BusyError, StorageError
from spectro.core.locks import writing

HOLD = """
import sys, time
from pathlib import Path
from spectro.core.locks import writing
with writing(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path: Path) -> subprocess.Popen[str]:
    """Another process that holds `tmp_path / "run"`."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "run")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_writer_is_refused_and_told_who_writes(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    try:
        with pytest.raises(BusyError, match=f"process {holder.pid} on "), writing(tmp_path / "run"):
            pass
    finally:
        holder.kill()
        holder.communicate()


def test_a_killed_owner_blocks_nobody(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    holder.kill()
    holder.communicate()
    with writing(tmp_path / "run"):
        pass


def test_a_folder_is_free_again_after_an_error(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), writing(tmp_path / "run"):
            raise ZeroDivisionError


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(StorageError, match=f"cannot write into the folder {folder}: .*; "), writing(folder):
            pass
