"""The folder of an ensemble: never in place of anything else, and changed as a whole or not at all."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from spectro.core.card import Card
from spectro.core.errors import RunError
from spectro.core.files import TEMPORARY, read_document, remove_temporaries, write_document
from spectro.core.locks import LOCK, OWNER, writing
from spectro.core.predictions import Predictions
from spectro.core.runs import Run

MARK, MARK_VERSION = "ensemble.json", 1
"""Document that is written before all else, so that a folder is known as an ensemble's before it has a card."""
GENERATION = re.compile(r"generation-(?P<number>[0-9]{1,9})")
PREDICTIONS = ("predictions-*.npz", "segments-*.npz")
REMEDY = "give a new folder, or that of an earlier ensemble"


def require_own_folder(out: Path, members: Sequence[Run]) -> Run:
    """Return the run to write; nothing is touched.

    Raises
    ------
    RunError
        `out` holds anything but an earlier ensemble, finished or not, or is one of the members or of theirs.
    """
    place = out.resolve()
    for member in members:
        member.leaves()  # raises when an ensemble is a member of itself
        if any(run.path.resolve() == place for run in _with_members(member, set())):
            raise RunError(f"{out} is a member of the ensemble and would be overwritten; {REMEDY}")
    run = Run(out)
    if not out.is_dir():
        if os.path.lexists(out):
            raise RunError(f"{out} is a file, not a folder; {REMEDY}")
        return run
    others = [path for path in out.iterdir() if path.name not in (LOCK, OWNER) and not TEMPORARY.fullmatch(path.name)]
    marked = _is_marked(out)
    if os.path.lexists(run.card_path):
        _require_ensemble(run, marked)
    elif others and not marked:
        kind = "a data folder" if (out / "clips.csv").exists() else "a folder with other files"
        raise RunError(f"{out} is {kind}, and would be overwritten; {REMEDY}")
    return run


def replace_ensemble(run: Run, members: Sequence[Run], card: Card, files: Mapping[str, Predictions]) -> Run:
    """Write an ensemble in place of an earlier one; whenever this process dies, one of the two is there and whole.

    The files go into a folder that no card names yet, the card is the switch, and what it named before is then removed.

    Parameters
    ----------
    run
        What `require_own_folder` returned.
    members
        The runs that it combines.
    card
        Its card.
    files
        Its predictions by the names of their files.

    Raises
    ------
    BusyError
        Another process writes the same ensemble; the message names it.
    RunError
        The folder has become something else in the meantime.
    StorageError
        The disk is full, read-only or failing.
    """
    with writing(run.path):
        require_own_folder(run.path, members)
        remove_temporaries(run.path)
        facts = {"members": [member.path for member in card.members], "command": card.command}
        write_document(run.path / MARK, "ensemble", MARK_VERSION, facts)
        old = _generations(run.path)
        card = replace(card, generation=f"generation-{max(old.values(), default=1) + 1}" if _has_card(run) else "")
        folder = run.path / card.generation
        if not card.generation:  # what was left by a process that died before it wrote a card
            _remove(folder, PREDICTIONS)
        for name, predictions in files.items():
            predictions.save(folder / name)
        made = Run(run.path)  # it must not remember the old card
        made.write_card(card)
        if card.generation:
            _remove(run.path, PREDICTIONS)
        _remove(run.path, (made.metrics_path.name,))
        for name in old:
            shutil.rmtree(run.path / name, ignore_errors=True)
    return made


def _has_card(run: Run) -> bool:
    return os.path.lexists(run.card_path)


def _remove(folder: Path, patterns: Sequence[str]) -> None:
    for pattern in patterns:
        for path in folder.glob(pattern):
            with suppress(OSError):  # nothing reads it any more
                path.unlink(missing_ok=True)


def _generations(folder: Path) -> dict[str, int]:
    """Return the number of each generation in a folder, finished or not, by its name."""
    matches = (GENERATION.fullmatch(path.name) for path in folder.iterdir() if path.is_dir() and not path.is_symlink())
    return {match.group(): int(match["number"]) for match in matches if match}


def _require_ensemble(run: Run, marked: bool) -> None:
    """Raise RunError where a folder with a card is not that of an ensemble."""
    try:
        ensemble = run.card.is_ensemble
    except RunError as error:
        if marked:  # an ensemble whose card is damaged is made again by the same command
            return
        raise RunError(f"{run.path} may be a trained run, for its card cannot be read ({error}); {REMEDY}") from None
    if not ensemble:
        raise RunError(f"{run.path} is a trained run and would be overwritten; {REMEDY}")


def _is_marked(folder: Path) -> bool:
    try:
        read_document(folder / MARK, "ensemble", MARK_VERSION, remedy=REMEDY, error=RunError)
    except (RunError, OSError):
        return False
    return True


def _with_members(run: Run, known: set[Path]) -> Iterator[Run]:
    """Yield a run, and the members of an ensemble down to the last, each once."""
    place = run.path.resolve()
    if place not in known:
        known.add(place)
        yield run
        for member in run.members():
            yield from _with_members(member, known)
