"""Runs on the Hugging Face hub: `hf:owner/name` is fetched once into the hub's cache and read from there."""

from __future__ import annotations

import re
from pathlib import Path

from spectro.core.distribution import require_packages
from spectro.core.errors import ConfigError, RunError, first_line
from spectro.core.runs import Run

PREFIX = "hf:"
ADDRESS = re.compile(r"hf:(?P<name>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(@(?P<revision>[\w./-]+))?", re.ASCII)
FETCHED = ("card.json", "weights.safetensors", "openset-*.npz")
"""All that is fetched: nothing pickled, no code. The card's checksums are those of the other files."""


def local_run(run: Run | Path | str) -> Run | Path | str:
    """Return a run as it is, or the folder into which one on the hub was fetched.

    Parameters
    ----------
    run
        A run, its folder, an exported file, or `hf:owner/name`, with `@revision` behind it for another than the newest.

    Raises
    ------
    ConfigError
        the address is not of that form, or huggingface_hub is not installed.
    RunError
        the hub has no such run, or cannot be reached and it was not fetched before.
    """
    address = str(run)
    if isinstance(run, Run) or not address.startswith(PREFIX) or Path(address).exists():
        return run
    match = ADDRESS.fullmatch(address)
    if not match:
        raise ConfigError(f"the run is '{address}', but must be hf:owner/name, or hf:owner/name@revision")
    require_packages("a run on the hub", "huggingface_hub")
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(match["name"], revision=match["revision"], allow_patterns=list(FETCHED)))
    except Exception as error:  # which ones mean "no network" or "no such repository" depends on the client's version
        reason = first_line(error).rstrip(".")
        message = f"{address} could not be fetched ({reason}); is the name right, and is there a network?"
        raise RunError(message) from error
    if not (folder / "card.json").is_file():
        raise RunError(f"{address} has no card.json, so it is no run of spectro; spectro models push uploads one")
    return folder
