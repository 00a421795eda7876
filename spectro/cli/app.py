"""What all commands share: the program itself, the shape of options, tables for people and JSON for programs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from itertools import count
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Group, Parameter
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from spectro.data.render import Failure

MISTAKE, SOME_FAILED, INTERRUPTED = 2, 3, 130  # exit codes; 3: the work was done, but not for every file

app = App(
    name="spectro",
    help="Classify music and sound from spectrogram pictures.",
    version=version("spectro"),
    suppress_keyboard_interrupt=False,
)
DATA = Group.create_ordered("Data")
TRAINING = Group.create_ordered("Training")
EVALUATION = Group.create_ordered("Evaluation")
SERVING = Group.create_ordered("Serving")
order = count()  # the help lists commands as they are defined, not by name

Flag = Annotated[bool, Parameter(negative="")]
Json = Annotated[bool, Parameter(name="--json", negative="", help="Print JSON, for programs, instead of a table.")]


def fields(title: str, **renamed: str) -> Parameter:
    """Make each field of a settings dataclass an option, under a heading of its own in the help."""
    return Parameter(name="*", group=title, name_transform=lambda name: renamed.get(name, name.replace("_", "-")))


def speaks() -> bool:
    """Tell whether this process prints results: of those that torchrun starts, only the first one."""
    return os.environ.get("RANK", "0") == "0"


def complain(message: str, code: int) -> int:
    """Say on one line of standard error what went wrong; return the exit code."""
    print("spectro:", " ".join(message.split()), file=sys.stderr)
    return code


def complain_of(failed: Sequence[Failure]) -> int:
    """Name each file that could not be used; return the exit code."""
    for failure in failed:
        complain(f"{failure.reason}: {failure.message}", SOME_FAILED)
    return complain(f"{len(failed)} of the files could not be used", SOME_FAILED) if failed else 0


def put_json(value: object) -> None:
    """Print JSON on standard output."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def put_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table that fits the terminal, folding long values; the first column gives way last."""
    cells = [[str(value) for value in row] for row in rows]
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    first = [columns[0], *(line for row in cells for line in row[0].splitlines())]
    table.columns[0].width = min(30, max(map(len, first)))
    for row in cells:
        table.add_row(*row)
    Console(markup=False, emoji=False, highlight=False).print(table)


def number(figure: float | None) -> str:
    """Format a share as `".74"`; nothing when there is none."""
    return "" if figure is None else f"{figure:.2f}".replace("0.", ".", 1)


def interval(estimate: dict[str, float | None] | None) -> str:
    """Format a metric as `".74 (.61-.85)"`, short enough for three in a line."""
    if estimate is None:
        return "-"
    value, low, high = (number(estimate[part]) for part in ("value", "low", "high"))
    between = " to " if low.startswith("-") else "-"
    return f"{value} ({low}{between}{high})" if low else value
