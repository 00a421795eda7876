"""An answer in each of its forms, all written by the functions behind `spectro predict`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from spectro.core.files import ESCAPED
from spectro.inference.answers import Answer
from spectro.inference.tables import LINES, SUFFIXES, TableFormat, TableOptions
from spectro.serving.http.served_run import ServedAnswer

FORMS: Mapping[str, tuple[TableFormat, str]] = {
    "result.json": ("json", "application/json"),
    "result.csv": ("csv", "text/csv; charset=utf-8"),
    "labels.txt": ("audacity", "text/plain; charset=utf-8"),
    "selections.txt": ("raven", "text/tab-separated-values; charset=utf-8"),
}
"""Files of an answer: their format and type."""


def write_answer(served: ServedAnswer, form: TableFormat, options: TableOptions) -> bytes:
    """Return an answer in a format; its JSON is what `predict --json` writes of one file."""
    return write_answers([served], form, options)


def write_with_members(served: ServedAnswer, options: TableOptions) -> bytes:
    """Return the JSON of an answer, and in it what each model of an ensemble predicts by itself."""
    values = json.loads(write_answer(served, "json", options))
    values["members"] = [_member(member) for member in served.members]
    return (json.dumps(values, indent=2, ensure_ascii=False) + "\n").encode(errors=ESCAPED)


def _member(answer: Answer) -> dict[str, Any]:
    values = answer.to_dict()
    kept = ("label", "probability", "probabilities", "segments")
    return {"name": answer.source, "seconds": answer.seconds, **{key: values[key] for key in kept}}


def write_answers(served: Sequence[ServedAnswer], form: TableFormat, options: TableOptions) -> bytes:
    """Return several answers of one run as one table."""
    answers = [one.answer for one in served]
    return "".join(LINES[form](answers[0].labels, answers, options)).encode(errors=ESCAPED)


def file_name(sound: str, form: TableFormat) -> str:
    """Return the name under which an answer about a sound is saved."""
    return sound.rsplit("/", 1)[-1] + SUFFIXES[form]
