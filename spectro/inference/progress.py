"""A progress bar that moves within recordings and counts the sound that was classified."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol


class Meter(Protocol):
    """What is called while recordings are classified."""

    def __call__(self, name: str, share: float, seconds: float, /) -> None:
        """Note that `share` (0..1) of the recording `name` is done, which lasts so many `seconds`."""
        ...


def no_progress(name: str, share: float, seconds: float, /) -> None:
    """Note nothing."""


def clock(seconds: float) -> str:
    """Format a length of time.

    >>> clock(36_061)
    '10:01:01'
    """
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


@contextmanager
def sound_progress(paths: Sequence[Path], title: str, progress: bool) -> Iterator[Meter]:
    """Give a meter that draws a bar on standard error, if asked for and if there is work.

    The bar is measured in bytes of the files, for their lengths would have to be read first; beside it stands the sound
    that is done.

    Parameters
    ----------
    paths
        The files.
    title
        What stands before the bar.
    progress
        Whether to draw it.
    """
    if not (progress and paths):
        yield no_progress
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TextColumn("{task.fields[sound]} of sound"),
        TimeRemainingColumn(),
    )
    total = sum(map(_size, paths))
    done, sound = 0.0, 0.0
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=total, sound=clock(0))

        def meter(name: str, share: float, seconds: float, /) -> None:
            nonlocal done, sound
            size = _size(Path(name))
            bar.update(task, completed=done + share * size, sound=clock(sound + share * seconds))
            if share == 1:
                done, sound = done + size, sound + seconds

        yield meter


def _size(path: Path) -> int:
    """Return the size of a file in bytes, at least 1, so that a missing one counts too."""
    try:
        return max(1, os.stat(path).st_size)
    except (OSError, ValueError):
        return 1
