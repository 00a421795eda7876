"""The screen about the installation: it fits, names what is missing with its line, and survives a broken package."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from spectro import cli
from spectro.cli import installation
from spectro.core.distribution import EXTRAS, version


@pytest.mark.slow
def test_the_screen_fits_and_is_complete(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["--check"])
    assert not end.value.code
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= installation.WIDTH
    assert version() in text
    assert "libsndfile" in text
    assert all(name in text for name in EXTRAS)
    assert str(Path.home()) not in text
    assert os.sep + "tmp" not in text
    with pytest.raises(SystemExit):
        cli.main(["--check", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["spectro"] == version()
    assert set(found["extras"]) == set(EXTRAS)
    assert found["cores"] >= 1


def test_what_is_missing_is_named_with_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    here = installation.find_spec
    monkeypatch.setattr(installation, "find_spec", lambda name: None if name in ("torch", "timm", "av") else here(name))
    found = installation.inspect()
    text = installation.screen(found)
    assert "pip install 'spectro-audio[av]'" in text
    assert "no torch" in text
    assert "PyAV" not in text
    assert found.weights == ()
    assert "torch" in found.extras["train"]


def test_a_broken_package_is_a_problem_not_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    problems: list[str] = []

    def fail(*_: object) -> None:
        raise OSError("libcuda.so.1: cannot open shared object file\nmore")

    import torch

    monkeypatch.setattr(torch.cuda, "device_count", fail)
    assert installation._devices(problems) == ("cpu",)
    assert problems == ["torch cannot be used: libcuda.so.1: cannot open shared object file"]
    broken = replace(installation.inspect(), problems=tuple(problems), weights=tuple(f"net{n}" for n in range(30)))
    text = installation.screen(broken)
    assert "PROBLEM    torch cannot be used" in text
    assert "24 more" in text
