"""The models to choose from, with input, parameters, cost and weights, from facts that are kept with the package."""

from __future__ import annotations

import fnmatch
import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from spectro.core.distribution import install_command
from spectro.core.errors import ConfigError, DataError, did_you_mean
from spectro.core.files import read_csv
from spectro.models.model_cost import SHAPE, VECTOR, Kind, ModelCost
from spectro.models.pretrained import SHIPPED, cached_file

FACTS = Path(__file__).with_name("catalogue.csv")
"""Facts about all our own and the classical models and the most used ones of timm; `scripts/model_facts` writes it."""
COLUMNS = ("name", "kind", "input", "bands", "frames", "parameters", "multiply_adds", "repository", "url", "note")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One model of the catalogue."""

    name: str
    """Name that `--backbone` or `--model` takes."""
    kind: Kind
    """`own` (our networks), `embedder` (pretrained on sound), `timm` (its networks), or `classical`."""
    input: str
    """What it is meant for, with the axes; timm's networks take any feature of that shape."""
    shape: tuple[int, int] | None
    """Bands and frames that it was measured with; None for a classical model."""
    parameters: int | None
    """Trainable numbers, with a linear or its own head for ten classes; None if it is classical or cannot be built."""
    gmacs: float | None
    """Multiply-adds of one input in convolutions, linear and recurrent layers and attention, in billions (10^9)."""
    weights: str
    """Where its pretrained weights are installed (`package ...`, `hub cache`, `torch cache`), `hub` if they can be
    downloaded, or `none`."""
    note: str
    """Where it comes from, or why it cannot be used."""


def names(pattern: str = "") -> list[str]:
    """Return the names of models: our own, classical ones, those pretrained on sound, then timm's.

    Parameters
    ----------
    pattern
        Shell pattern (`res*`), in any case; without one, all models whose facts are kept with the package.

    Raises
    ------
    ConfigError
        nothing matches.
    """
    if not pattern or pattern in known():
        return [pattern] if pattern else list(known())
    import timm  # slow to import

    everything = list(dict.fromkeys([*known(), *timm.list_models()]))
    matches = [name for name in everything if fnmatch.fnmatchcase(name.lower(), pattern.lower())]
    if not matches:
        raise ConfigError(f"no model matches '{pattern}'{did_you_mean(pattern.strip('*'), everything)}")
    return matches


def entry(name: str, shape: tuple[int, int] = SHAPE) -> Entry:
    """Return one model of the catalogue.

    Parameters
    ----------
    name
        Its name.
    shape
        Bands and frames of the input to measure it with; ignored by models of feature vectors. What differs from the
        kept facts is measured, which takes seconds.

    Raises
    ------
    ConfigError
        there is no such model.
    """
    cost = known().get(name)
    if cost is None or (cost.kind != "embedder" and cost.shape not in (None, VECTOR, shape)):
        import timm  # slow to import, as is torch

        from spectro.models.cost import measure

        if cost is None and not timm.is_model(name):
            raise ConfigError(f"unknown model '{name}'{did_you_mean(name, [*known(), *timm.list_models()])}")
        cost = measure(name, shape)
    gmacs = None if cost.multiply_adds is None else cost.multiply_adds / 1e9
    note = cost.note
    if name == "xgboost" and importlib.util.find_spec("xgboost") is None:
        note = f"not installed: {install_command('classical')}"
    return Entry(
        name=name,
        kind=cost.kind,
        input=cost.input,
        shape=cost.shape,
        parameters=cost.parameters,
        gmacs=gmacs,
        weights=_weights(cost),
        note=note,
    )


def catalogue(pattern: str = "", shape: tuple[int, int] = SHAPE) -> Iterator[Entry]:
    """Yield an entry for each of `names(pattern)`; those without kept facts take up to a second each."""
    return (entry(name, shape) for name in names(pattern))


@cache
def known() -> Mapping[str, ModelCost]:
    """Return the facts that are kept with the package, by name."""
    return {row["name"]: _read(row) for row in read_csv(FACTS, COLUMNS)}


def _read(row: Mapping[str, str]) -> ModelCost:
    kind = row["kind"]
    if kind not in ("own", "embedder", "classical", "timm"):
        raise DataError(f"{FACTS} has the unknown kind '{kind}'; run scripts/model_facts")
    return ModelCost(
        name=row["name"],
        kind=kind,  # type: ignore[arg-type]  # checked above
        input=row["input"],
        shape=(int(row["bands"]), int(row["frames"])) if row["bands"] else None,
        parameters=int(row["parameters"]) if row["parameters"] else None,
        multiply_adds=int(row["multiply_adds"]) if row["multiply_adds"] else None,
        repository=row["repository"],
        url=row["url"],
        note=row["note"],
    )


def _weights(cost: ModelCost) -> str:
    """Return where pretrained weights are, by the names of files alone: nothing is read."""
    shipped = SHIPPED.get(cost.name)
    file = shipped.installed_file() if shipped else None
    if shipped and file and file.is_file():
        return shipped.origin()
    cached = cached_file(cost.repository, cost.url)
    if cached:
        return cached[0]
    return "hub" if cost.repository else "none"
