"""The tree of commands with its help, and tables of 80 columns."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from functools import reduce
from operator import getitem

import pytest

from spectro import cli
from spectro.cli import app as shell
from spectro.evaluation.results import Estimate

Spectro = Callable[..., tuple[int, str, str]]
TOP = [name for names in shell.ORDER.values() for name in names]
COMMANDS = [name for name in TOP if name not in shell.GROUPS] + [
    f"{group} {name}" for group, names in shell.GROUPS.items() for name in names
]
HEAVY = {"torch", "timm", "librosa", "sklearn", "matplotlib", "scipy", "numba", "PIL", "lightning_fabric", "pyarrow"}


def test_the_top_level_is_in_pipeline_order(spectro: Spectro) -> None:
    assert TOP[:9] == ["render", "split", "finetune", "evaluate", "compare", "ensemble", "report", "predict", "explain"]
    assert TOP[-4:] == ["data", "plot", "models", "bench"]
    _, text, _ = spectro("--help")
    assert listed(text) == TOP


@pytest.mark.parametrize("group", shell.GROUPS)
def test_a_group_is_in_order(group: str, spectro: Spectro) -> None:
    _, text, _ = spectro(group, "--help")
    assert listed(text) == list(shell.GROUPS[group])


def listed(text: str) -> list[str]:
    """Return the commands that a help text lists, in its order."""
    starts = [line[2:].split()[0] for line in text.splitlines() if line.startswith("│ ") and line[2] != " "]
    return [name for name in starts if not name.startswith("-")]


def test_the_order_lists_exactly_the_commands_that_exist() -> None:
    assert set(cli.program) - {"--check", "--help", "-h", "--version"} == set(TOP)
    for group, names in shell.GROUPS.items():
        assert set(cli.program[group]) - {"--help", "-h", "doctor"} == set(names)
    assert cli.program["data"]["doctor"] is cli.program["data"]["check"]


def test_a_command_that_is_not_in_the_order_is_a_bug() -> None:
    with pytest.raises(ValueError, match="not in"):
        shell.command("unknown")


def test_help_of_the_program_imports_nothing_heavy() -> None:
    code = (
        "import sys; from spectro import cli\ntry: cli.main(['--help'])\nexcept SystemExit: pass\nprint(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {name.split(".")[0] for name in done.stdout.split()} & HEAVY


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_and_every_option(command: str, spectro: Spectro) -> None:
    code, text, _ = spectro(*command.split(), "--help")
    assert code == 0
    assert f"Example: spectro {command}" in text
    assert "--empty-" not in text
    for argument in reduce(getitem, command.split(), cli.program).assemble_argument_collection(parse_docstring=True):
        if argument.show:
            assert argument.parameter.help, f"{argument.name} has no description"
    for line in text.splitlines():
        assert len(line) <= 80


def test_defaults_are_in_the_help(spectro: Spectro) -> None:
    _, text, _ = spectro("render", "--help")
    words = " ".join(text.replace("│", " ").split())
    assert "--n-mels INT" in words
    assert "[default: 128]" in words
    assert "[choices: shift, drop, pad] [default: shift]" in words
    assert "[default: None]" not in words


@pytest.mark.parametrize(
    ("estimate", "text"),
    [
        (Estimate(value=0.742, low=0.61, high=1.0), ".74 (.61-1.00)"),
        (Estimate(value=0.0, low=-0.05, high=0.05), ".00 (-.05 to .05)"),
        (Estimate(value=0.5, low=float("nan"), high=float("nan")), ".50"),
        (None, "-"),
    ],
)
def test_an_interval_is_short_and_cannot_be_misread(estimate: Estimate | None, text: str) -> None:
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
def test_a_table_of_80_columns_wraps_but_loses_nothing(
    columns: tuple[str, ...], row: tuple[object, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    shell.put_table(columns, [row, row])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert Counter("".join(lines)) >= Counter("".join(map(str, (*columns, *row, *row))).replace(" ", ""))


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("music/rock/some_song.ogg", 30, ["music/rock/some_song.ogg"]),
        ("music/rock/some_song.ogg", 14, ["music/rock/", "some_song.ogg"]),
        ("music/rock/some_song.ogg", 9, ["music/", "rock/", "some_", "song.ogg"]),
        (".41 (.26-.57)", 10, [".41", "(.26-.57)"]),
        ("unbreakable", 5, ["unbre", "akabl", "e"]),
        ("", 5, [""]),
    ],
)
def test_a_name_is_wrapped_after_separators(text: str, width: int, lines: list[str]) -> None:
    assert shell.wrapped(text, width) == lines
