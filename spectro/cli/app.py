"""What all commands share: the program with its order of commands, options of settings, tables and JSON output."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Group, Parameter
from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from spectro.core.distribution import version

if TYPE_CHECKING:
    from spectro.core.tables import Failure
    from spectro.evaluation.results import Estimate

MISTAKE, SOME_FAILED = 2, 3  # exit codes; 3: the work was done, but not for every file

ORDER = {
    "Pipeline": (
        "render",
        "split",
        "finetune",
        "evaluate",
        "compare",
        "ensemble",
        "report",
        "predict",
        "explain",
        "export",
        "serve",
    ),
    "Unknown and unlabelled sounds": ("openset", "similar", "review"),
    "More machines": ("status", "seal"),
    "More evaluation": ("crossval", "tta", "label-issues", "evaluate-predictions"),
    "Command groups": ("data", "plot", "models", "bench"),
}
"""Every command of the top level as the help lists them, under their headings."""
GROUPS = {
    "data": ("check", "audit", "preview", "features", "clean", "pack", "unpack", "export", "list", "verify"),
    "plot": ("run", "map", "features", "learning-curve"),
    "models": ("list", "show", "card", "push", "space"),
    "bench": ("recipes", "run", "sweep", "openset", "review"),
}
"""Every command of each group, in the order of the help."""
TITLES = {
    "data": "Check, audit and look at data before training.",
    "plot": "Draw runs, data and learning curves as SVG or PNG.",
    "models": "List models; describe and upload trained ones.",
    "bench": "Train published systems and grids of settings under one protocol.",
}

Run = Callable[..., Any]
Flag = Annotated[bool, Parameter(negative="", show_default=False)]
Json = Annotated[bool, Parameter(name="--json", negative="", show_default=False, help="Print JSON instead of a table.")]
Several = Parameter(consume_multiple=True)
"""An option that takes several values: `--seconds 3 10` or `--seconds 3 --seconds 10`."""


def default_text(value: object) -> str | None:
    """Return a default as it would be typed; None, which the help leaves out, when it is empty."""
    text = " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return None if text in ("", "None") else text


app = App(
    name="spectro",
    help="Classify music and sound from spectrogram images.",
    version=version(),
    default_parameter=Parameter(negative_iterable=(), show_default=default_text),
    suppress_keyboard_interrupt=False,
)
command_line: ContextVar[str] = ContextVar("command_line", default="")
"""The command that is running, as it was typed; it is noted in what the command makes."""
_panels = {title: Group.create_ordered(title) for title in ORDER}
_headings = {name: _panels[title] for title, names in ORDER.items() for name in names}
_groups = {
    name: App(
        name=name, help=TITLES[name], version_flags=(), group=_headings[name], sort_key=list(_headings).index(name)
    )
    for name in GROUPS
}
for _group in _groups.values():
    app.command(_group)
app["--help"].group = app["--version"].group = Group.create_ordered("Options")  # below all commands


def command(name: str, *, alias: str = "", **settings: Any) -> Callable[[Run], Run]:
    """Return a decorator that makes a function the command `name`, such as `render` or `data check`."""
    group, _, last = name.rpartition(" ")
    if last not in GROUPS.get(group, _headings):
        raise ValueError(f"the command '{name}' is not in ORDER or GROUPS")
    if group:
        parent, settings = _groups[group], {**settings, "sort_key": GROUPS[group].index(last)}
    else:
        parent, settings = app, {**settings, "sort_key": list(_headings).index(last), "group": _headings[last]}

    def add(function: Run) -> Run:
        parent.command(function, name=last, alias=alias or None, **settings)
        return function

    return add


def fields(title: str, **renamed: str) -> Parameter:
    """Make each field of a settings dataclass an option, under a heading of its own in the help."""
    return Parameter(name="*", group=title, name_transform=lambda name: renamed.get(name, name.replace("_", "-")))


def is_first_process() -> bool:
    """Tell whether this process prints results: of those that torchrun starts, only the first one."""
    return os.environ.get("RANK", "0") == "0"


def complain(message: str, code: int) -> int:
    """Print one line on standard error; return the exit code."""
    print("spectro:", " ".join(message.split()), file=sys.stderr)
    return code


def log(line: str) -> None:
    """Print a line about progress on standard error."""
    print(line, file=sys.stderr)


def complain_of(failed: Sequence[Failure]) -> int:
    """Name each file that could not be used; return the exit code."""
    for failure in failed:
        complain(f"{failure.reason}: {failure.message}", SOME_FAILED)
    return complain(f"{len(failed)} of the files could not be used", SOME_FAILED) if failed else 0


def put_json(value: object) -> None:
    """Print JSON on standard output."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


class Cell:
    """A cell of a table that is wrapped after the separators of paths and names, within a word only if it must."""

    def __init__(self, text: str) -> None:
        self.lines = text.splitlines() or [""]

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> RenderResult:
        for line in self.lines:
            yield from map(Text, wrapped(line, options.max_width))

    def __rich_measure__(self, _: Console, options: ConsoleOptions) -> Measurement:
        width = max(map(len, self.lines))
        return Measurement(min(8, width), width).with_maximum(options.max_width)


def wrapped(text: str, width: int) -> list[str]:
    """Return lines of at most `width` characters, broken at spaces, or else after separators, or else anywhere."""
    lines = [""]
    for word in re.findall(r"\S+\s*|^\s+", text):
        pieces = [word] if len(word.rstrip()) <= width else re.findall(r"[^/\\_,+-]*[/\\_,+-]+|.+?$", word)
        for piece in pieces:
            if lines[-1] and len(lines[-1] + piece.rstrip()) > width:
                lines.append("")
            while len(piece.rstrip()) > width:
                lines[-1], piece = piece[:width], piece[width:]
                lines.append("")
            lines[-1] += piece
    return [line.rstrip() for line in lines]


def put_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table that fits the terminal, wrapping long values; the first column gives way last."""
    cells = [[str(value) for value in row] for row in rows]
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(Cell(column), overflow="fold")
    first = [columns[0], *(line for row in cells for line in row[0].splitlines())]
    table.columns[0].width = min(30, max(map(len, first)))
    for row in cells:
        table.add_row(*map(Cell, row))
    Console(markup=False, emoji=False, highlight=False).print(table)


def number(value: float | None) -> str:
    """Format a value from 0 to 1 as `".74"`; nothing when there is none."""
    return "" if value is None or value != value else f"{value:.2f}".replace("0.", ".", 1)


def interval(estimate: Estimate | None) -> str:
    """Format a metric as `".74 (.61-.85)"`, short enough for three in a line."""
    if estimate is None:
        return "-"
    value, low, high = map(number, (estimate.value, estimate.low, estimate.high))
    between = " to " if low.startswith("-") else "-"
    return f"{value} ({low}{between}{high})" if low else value
