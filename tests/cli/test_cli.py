"""The command line: help that teaches, errors of one line, exit codes, output for machines and for 80 columns."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from functools import reduce
from operator import getitem
from pathlib import Path

import numpy as np
import pytest

from spectro import cli
from spectro.cli import app as shell
from spectro.cli import serving

Spectro = Callable[..., tuple[int, str, str]]
COMMANDS = ["datasets check", *(name for name in cli.program if not name.startswith("-"))]


@pytest.fixture
def spectro(capsys: pytest.CaptureFixture[str]) -> Spectro:
    """`spectro(*arguments)` -> (exit code, standard output, standard error)."""

    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stopped:
            cli.main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return int(stopped.value.code or 0), said.out, said.err

    return run


def test_help_of_the_program_imports_nothing_heavy() -> None:
    code = (
        "import sys; from spectro import cli\ntry: cli.main(['--help'])\nexcept SystemExit: pass\nprint(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert not loaded & {
        "torch",
        "timm",
        "librosa",
        "sklearn",
        "matplotlib",
        "scipy",
        "numba",
        "PIL",
        "lightning_fabric",
    }


def test_python_dash_m_is_the_same_program() -> None:
    done = subprocess.run([sys.executable, "-m", "spectro", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == cli.program.version


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_and_every_option(command: str, spectro: Spectro) -> None:
    code, text, _ = spectro(*command.split(), "--help")
    assert code == 0
    assert f"Example: spectro {command} " in text
    for argument in reduce(getitem, command.split(), cli.program).assemble_argument_collection(parse_docstring=True):
        if argument.show:
            assert argument.parameter.help, f"{argument.name} has no description"
    for line in text.splitlines():
        assert len(line) <= 80


def test_defaults_stand_in_the_help(spectro: Spectro) -> None:
    _, text, _ = spectro("render", "--help")
    words = " ".join(text.replace("│", " ").split())
    assert "--n-mels INT Number of mel bands, the height of a picture. [default: 128]" in words
    assert "[choices: shift, drop, pad] [default: shift]" in words


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("rendr",), 'Did you mean "render"?'),
        (("render", "music"), "--out"),
        (("render", "music", "--out", "data", "--n-mel", "64"), "Did you mean --n-mels?"),
        (("render", "music", "--out", "data", "--n-mels", "many"), "--n-mels"),
        (("render", "music", "--out", "data", "--n-mels", "0"), "n_mels is 0, but must be at least 1"),
        (("render", "music", "--out", "data", "--sample-rate", "22"), "did you mean 22000?"),
        (("render", "no-such-folder", "--out", "data"), "there is no no-such-folder"),
        (("split", "no-such-folder"), "spectro render"),
        (("split", "data", "--by", "artist"), "group"),
        (("split", "data", "--test", "20"), "0.2 = 20 %"),
        (("finetune", "data", "--epochs", "0", "--finetune-epochs", "0"), "nothing would be trained"),
        (("evaluate", "no-such-run"), "there is no run folder no-such-run"),
        (("ensemble", "a", "b", "--weights", "1;2"), "commas"),
        (("predict", "no-such-run", "song.wav"), "there is no run folder no-such-run"),
    ],
)
def test_a_mistake_is_one_line_that_names_it(arguments: tuple[str, ...], says: str, spectro: Spectro) -> None:
    code, out, err = spectro(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("spectro: ")
    assert err.count("\n") == 1
    assert says in err


def test_an_output_that_cannot_be_written_is_one_line(corpus_csv: Path, tmp_path: Path, spectro: Spectro) -> None:
    (tmp_path / "file").write_text("in the way")
    code, _, err = spectro("render", corpus_csv, "--out", tmp_path / "file" / "data")
    assert code == 2
    assert err.startswith(f"spectro: Not a directory: {tmp_path / 'file'}")


def test_a_fault_of_the_program_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spectro.split", lambda *_, **__: 1 / 0, raising=False)
    with pytest.raises(ZeroDivisionError):
        cli.main(["split", "data"])


def test_an_interruption_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch, spectro: Spectro) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("spectro.split", interrupt, raising=False)
    code, _, err = spectro("split", "data")
    assert code == 130
    assert "goes on" in err


def test_render_does_what_it_can_names_the_rest_and_exits_with_3(
    tmp_path: Path, write_audio: Callable[..., Path], tone: Callable[..., np.ndarray], spectro: Spectro
) -> None:
    for label in ("hum", "hiss"):
        write_audio(tmp_path / "music" / label / "good.wav", tone(2.0))
    (tmp_path / "music" / "hum" / "text.wav").write_text("not a sound")
    arguments = ("render", tmp_path / "music", "--out", tmp_path / "data", "--seconds", 1, "--workers", 1)
    code, out, err = spectro(*arguments)
    assert code == 3
    assert "4 pictures" in out
    assert "text.wav" in err
    assert "1 of the files could not be used" in err
    code, out, _ = spectro(*arguments, "--json")
    facts = json.loads(out)
    assert code == 3
    assert (facts["segments"], facts["made"], facts["reused"]) == (4, 0, 4)
    assert facts["failed"][0]["reason"] == "unreadable"


def test_split_prints_a_leak_in_capitals(rendered: Path, tmp_path: Path, spectro: Spectro) -> None:
    data = shutil.copytree(rendered, tmp_path / "data")
    _, out, _ = spectro("split", data, "--by", "clip", "--name", "mixed")
    assert "mixed (LEAKY)" in out
    _, out, _ = spectro("split", data, "--val", "0.2", "--json")
    assert json.loads(out)[0]["leaking_groups"] == 0


def test_plan_doctor_and_audit_look_without_touching(
    tmp_path: Path, corpus_csv: Path, rendered: Path, spectro: Spectro
) -> None:
    _, out, _ = spectro("render", corpus_csv, "--out", tmp_path / "none", "--seconds", 1, "--plan", "--json")
    assert json.loads(out)["segments"] == 72
    assert not (tmp_path / "none").exists()

    (tmp_path / "music" / "hum").mkdir(parents=True)
    (tmp_path / "music" / "hum" / "text.wav").write_text("not a sound")
    code, out, _ = spectro("doctor", tmp_path / "music", "--quarantine", tmp_path / "bad.csv", "--workers", 1)
    assert code == 3
    assert "UNUSABLE unreadable" in out
    assert "hum/text.wav" in (tmp_path / "bad.csv").read_text()

    data = shutil.copytree(rendered, tmp_path / "data")
    _, out, _ = spectro("audit", data, "--workers", 1, "--json")
    assert set(json.loads(out)["leakage_gap"]) == {"segment", "clip", "group"}
    _, out, _ = spectro("audit", data, "--workers", 1)
    assert "gap to group" in out


def test_data_sets_and_models_are_listed(tmp_path: Path, spectro: Spectro) -> None:
    assert "licence:" in spectro("datasets")[1]
    assert json.loads(spectro("datasets", "--json")[1])["gtzan"]["clips"] == 1000
    code, _, err = spectro("datasets", "check", "gtzzan", tmp_path)
    assert code == 2
    assert "did you mean 'gtzan'?" in err
    assert "cnn5" in spectro("models", "cnn5")[1]
    assert spectro("models", "--filter", "cnn*", "--json") == spectro("models", "cnn*", "--json")
    assert json.loads(spectro("models", "test_resnet", "--json")[1])[0]["parameters"] > 0
    assert "MFCC" in spectro("models", "--show", "A-lstm")[1]
    assert json.loads(spectro("models", "--show", "test_resnet", "--json")[1])["gmacs"] > 0
    assert "did you mean 'resnet50'?" in spectro("models", "--show", "resnett50")[2]


@pytest.mark.parametrize(
    ("estimate", "text"),
    [
        ({"value": 0.742, "low": 0.61, "high": 1.0}, ".74 (.61-1.00)"),
        ({"value": 0.0, "low": -0.05, "high": 0.05}, ".00 (-.05 to .05)"),
        ({"value": 0.5, "low": None, "high": None}, ".50"),
        (None, "-"),
    ],
)
def test_an_interval_is_short_and_cannot_be_misread(estimate: dict[str, float | None] | None, text: str) -> None:
    assert shell.interval(estimate) == text


@pytest.mark.parametrize(
    ("columns", "row"),
    [
        (
            ("recipe", "split", "segments", "segment accuracy", "clip accuracy", "clip macro-F1"),
            ("tf_efficientnet_lite0-segment", "segment (LEAKY)", 35, ".41 (.26-.57)", ".43 (.26-.59)", ".40 (.22-.51)"),
        ),
        (
            ("file", "label", "probability", "timeline"),
            (
                "music/some folder/[live] a very long title of a song.ogg",
                "fretsonfire-metal",
                "0.25",
                "0:00 fretsonfire-metal",
            ),
        ),
    ],
)
def test_a_table_of_80_columns_folds_but_loses_nothing(
    columns: tuple[str, ...], row: tuple[object, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    shell.put_table(columns, [row, row])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert Counter("".join(lines)) >= Counter("".join(map(str, (*columns, *row, *row))).replace(" ", ""))


def test_a_timeline_has_an_entry_for_each_change() -> None:
    labels = ["rock", "rock", "jazz", "rock"]
    segments = [{"start": 30.0 * number, "label": label} for number, label in enumerate(labels)]
    assert serving.timeline(segments) == "0:00 rock, 1:00 jazz, 1:30 rock"


def test_a_pipe_that_closes_early_is_no_error() -> None:
    command = f"{sys.executable} -m spectro render --help | true"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    assert done.stderr == ""
