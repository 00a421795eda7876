"""The parameters of a request for a prediction, each checked, and an unknown one named."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from starlette.datastructures import QueryParams

from spectro.audio.decode import SUFFIXES
from spectro.core.errors import did_you_mean
from spectro.serving.http.problems import Problem
from spectro.serving.http.served_run import ServedRun

NAMES = ("name", "run", "overlap", "min_confidence", "members")
LONGEST_NAME = 1000
TRUTHS = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True, kw_only=True)
class PredictionQuery:
    """What a client asks for."""

    run: ServedRun
    name: str = "sound"
    """What the answer calls the sound."""
    overlap: float | None = None
    min_confidence: float = 0.0
    members: bool = False
    """Whether to add what each member of an ensemble predicts."""

    @property
    def suffix(self) -> str:
        """The ending of the name, where it is that of an audio format: it helps to read a damaged MP3."""
        suffix = PurePosixPath(self.name).suffix.lower()
        return suffix if suffix in SUFFIXES else ""


def read_query(query: QueryParams, runs: Mapping[str, ServedRun]) -> PredictionQuery:
    """Return the parameters of a request; raises Problem where one is unknown, twice there or out of range."""
    for name in query:
        if name not in NAMES:
            hint = did_you_mean(name, NAMES)
            raise Problem(
                400, "parameter", f"There is no parameter '{name[:60]}'{hint} (there are {', '.join(NAMES)})."
            )
        if len(query.getlist(name)) > 1:
            raise Problem(400, "parameter", f"The parameter '{name}' is given twice.")
    run = query.get("run") or next(iter(runs))
    if run not in runs:
        hint = did_you_mean(run, runs)
        raise Problem(404, "no-such-run", f"There is no run '{run[:60]}'{hint}; /v1/runs lists them.")
    overlap = query.get("overlap")
    return PredictionQuery(
        run=runs[run],
        name=_name(query.get("name", "")),
        overlap=None if overlap is None else _number("overlap", overlap, open_end=True),
        min_confidence=_number("min_confidence", query.get("min_confidence", "0")),
        members=read_truth(query.get("members", "false")),
    )


def _name(text: str) -> str:
    if len(text) > LONGEST_NAME:
        raise Problem(400, "parameter", f"The name has more than {LONGEST_NAME} characters.")
    name = "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)
    return name or "sound"


def _number(name: str, text: str, *, open_end: bool = False) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1 or (open_end and value == 1):
        end = "up to, not including, 1" if open_end else "to 1"
        raise Problem(400, "parameter", f"{name} is '{text[:60]}', but must be a number from 0 {end}.")
    return value


def read_truth(text: str) -> bool:
    """Return the parameter `members`; raises Problem where it is neither true nor false."""
    if text.lower() not in TRUTHS:
        raise Problem(400, "parameter", f"members is '{text[:60]}', but must be true or false.")
    return TRUTHS[text.lower()]
