"""A run on the Hugging Face hub: its weights, its card and its model card, and nothing else of the folder."""

from __future__ import annotations

import re
from pathlib import Path

from huggingface_hub import HfApi

from spectro.core.errors import ConfigError, RunError
from spectro.core.runs import Run
from spectro.reports.model_card import save_card

PUBLISHED = ("weights.safetensors", "card.json", "README.md")
"""All that is uploaded: no checkpoint, nothing pickled, no predictions."""
TARGET = re.compile(r"hf:(?P<name>[\w.-]+/[\w.-]+)", re.ASCII)


def push(run: Run | Path | str, target: str, *, private: bool = False, data_licence: str = "") -> str:
    """Upload a run of one network to the hub, with the token that `hf auth login` left; return its address.

    `README.md` is the run's own if it has one, so that it can be edited before; else the model card is made. The card
    is uploaded as it is, with the command and the data folder that it names.

    Parameters
    ----------
    run : the run or its folder
    target : `hf:owner/name`; made if it is not there
    private : make it visible to its owner only, if it is made
    data_licence : licence of the sound that the model learnt from, for the model card

    Raises
    ------
    ConfigError
        the target is not of that form.
    RunError
        the run has no `weights.safetensors` (ensembles: push their members), was not evaluated, or the hub refuses.
    """
    run = run if isinstance(run, Run) else Run.open(run)
    match = TARGET.fullmatch(target)
    if not match:
        raise ConfigError(f"the target is '{target}', but must be hf:owner/name")
    if not run.weights_path.exists():
        members = ", ".join(member["name"] for member in run.card().get("members") or [])
        hint = f"it is an ensemble, so push its members: {members}" if members else "only single networks can be pushed"
        raise RunError(f"{run.path} has no {run.weights_path.name}: {hint}")
    if not (run.path / "README.md").exists():
        save_card(run, data_licence=data_licence)
    api, name = HfApi(library_name="spectro"), match["name"]
    try:
        address = api.create_repo(name, private=private, exist_ok=True)
        api.upload_folder(
            repo_id=name, folder_path=run.path, allow_patterns=list(PUBLISHED), commit_message=f"Upload {run.name}"
        )
    except Exception as error:  # which kinds mean "no network" or "no token" differs between versions of the client
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise RunError(f"{name} could not be uploaded ({reason}); `hf auth login` stores a token") from error
    return str(address)
