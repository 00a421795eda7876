"""Exit codes, and mistakes as one line on standard error."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest

from spectro import cli
from spectro.cli.app import command_line
from spectro.inference.predict import Answer, Predicted

Spectro = Callable[..., tuple[int, str, str]]


def test_python_dash_m_is_the_same_program() -> None:
    done = subprocess.run([sys.executable, "-m", "spectro", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == cli.program.version


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("rendr",), 'Did you mean "render"?'),
        (("render", "music"), "--out"),
        (("render", "music", "--out", "data", "--n-mel", "64"), "Did you mean --n-mels?"),
        (("render", "music", "--out", "data", "--n-mels", "many"), "--n-mels"),
        (("render", "music", "--out", "data", "--n-mels", "0"), "n_mels is 0, but must lie from 1"),
        (("render", "music", "--out", "data", "--sample-rate", "22"), "did you mean 22000?"),
        (("render", "no-such-folder", "--out", "data"), "no-such-folder"),
        (("split", "no-such-folder"), "spectro render"),
        (("split", "data", "--by", "artist"), "group"),
        (("split", "data", "--test", "20"), "0.2 = 20 %"),
        (("finetune", "data", "--frozen-epochs", "0", "--epochs", "0"), "nothing would be trained"),
        (("finetune", "data", "--seeds", "0"), "must lie from 1"),
        (("finetune", "data", "--model", "svm", "--epochs", "3"), "--epochs is for networks"),
        (("finetune", "data", "--model", "svm", "--weights", "hub"), "--weights is for networks"),
        (("finetune", "data", "--model", "cnn5", "--no-search"), "for classical models"),
        (("finetune", "data", "--model", "svm", "--feature", "tempo", "--stats-set", "D"), "--stats-set"),
        (("evaluate", "no-such-run"), "there is no run folder no-such-run"),
        (("ensemble", "a", "b", "--weights", "1;2"), "--weights"),
        (("ensemble", "a", "b", "--weights", "0.5", "best"), "one number per run"),
        (("compare", "a", "b", "--out", "table.md"), "--format"),
        (("predict", "no-such-run", "song.wav"), "there is no run folder no-such-run"),
        (("predict", "no-such-run", "song.wav", "--out"), "--out"),
        (("bench", "sweep", "data", "--recipe", "A-cnn", "--set", "mfcc.n_fft=1", "--set", "mfcc.n_fft=2"), "twice"),
    ],
)
def test_a_mistake_is_one_line_that_names_it(arguments: tuple[str, ...], message: str, spectro: Spectro) -> None:
    code, out, err = spectro(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("spectro: ")
    assert err.count("\n") == 1
    assert message in err


@pytest.mark.parametrize("command", [("render", "music", "--out"), ("finetune", "data", "--out"), ("evaluate",)])
def test_a_name_that_is_no_text_is_refused_before_any_work(command: tuple[str, ...], spectro: Spectro) -> None:
    code, out, err = spectro(*command, os.fsdecode(b"runs/\xff"))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "UTF-8" in err


def test_predictions_of_a_file_whose_name_is_no_text_are_written(
    monkeypatch: pytest.MonkeyPatch, spectro: Spectro
) -> None:
    name = os.fsdecode(b"\xff.wav")
    answer = Answer(
        source=name, labels=("a", "b"), probs=np.array([0.4, 0.6]), starts=(0.0,), segment_probs=np.array([[0.4, 0.6]]),
        seconds=1.0,
    )  # fmt: skip
    predicted = Predicted(labels=("a", "b"), answers=(answer,), failed=(), min_confidence=0.0)
    monkeypatch.setattr("spectro.predict", lambda *_, **__: predicted, raising=False)
    for kind in ("csv", "json"):
        code, out, err = spectro("predict", "run", name, "--out", "-", "--format", kind)
        assert code == 0, err
        assert r"\udcff.wav" in out


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spectro.split", lambda *_, **__: 1 / 0, raising=False)
    with pytest.raises(ZeroDivisionError):
        cli.main(["split", "data"])


def test_the_command_line_is_known_to_what_it_makes(monkeypatch: pytest.MonkeyPatch, spectro: Spectro) -> None:
    commands = []
    monkeypatch.setattr("spectro.split", lambda *_, **__: commands.append(command_line.get()) or 1 / 0, raising=False)
    with pytest.raises(ZeroDivisionError):
        spectro("split", "my data", "--by", "clip")
    assert commands == ["spectro split 'my data' --by clip"]


def test_a_pipe_that_closes_early_is_no_error() -> None:
    command = f"{sys.executable} -m spectro render --help | true"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    assert done.stderr == ""
