"""Publish a run on the Hugging Face hub: its weights, its card and its model card, nothing else of the folder."""

from __future__ import annotations

import re
from pathlib import Path

from spectro.core.errors import ConfigError, RunError, first_line
from spectro.core.runs import Run

PUBLISHED = ("weights.safetensors", "openset-*.npz", "card.json", "README.md")
"""All that is uploaded: no checkpoint, nothing pickled, no predictions."""
TARGET = re.compile(r"hf:(?P<name>[\w.-]+/[\w.-]+)", re.ASCII)


def push(run: Run | Path | str, target: str, *, private: bool = False, data_licence: str = "") -> str:
    """Upload a run of one network to the hub, with the token that `hf auth login` stored.

    `README.md` is uploaded as it is where the run has one, so that it can be edited before; otherwise the model card is
    written. `card.json` is uploaded as it is, with the command and the path of the data folder in it.

    Parameters
    ----------
    run
        The run or its folder.
    target
        `hf:owner/name`; the repository is created if it does not exist.
    private
        Make a new repository visible to its owner only.
    data_licence
        Licence of the recordings that the model was trained on, for a new model card.

    Returns
    -------
    str
        Address of the repository.

    Raises
    ------
    ConfigError
        the target is not of that form.
    RunError
        the run has no `weights.safetensors` (push the members of an ensemble), was not evaluated, its
        weights are damaged, or the hub refuses.
    """
    run = Run.open(run)
    match = TARGET.fullmatch(target)
    if not match:
        raise ConfigError(f"the target is '{target}', but must be hf:owner/name")
    if not run.weights_path.exists():
        members = ", ".join(member.name for member in run.card.members)
        hint = f"it is an ensemble, so push its members: {members}" if members else "only single networks can be pushed"
        raise RunError(f"{run.path} has no {run.weights_path.name}: {hint}")
    run.checked(run.weights_path)
    if not (run.path / "README.md").exists():
        from spectro.reports.model_card import save_model_card  # here, because it needs the learning libraries

        save_model_card(run, data_licence=data_licence)
    return _upload(run, match["name"], private)


def _upload(run: Run, name: str, private: bool) -> str:
    from huggingface_hub import HfApi

    api = HfApi(library_name="spectro")
    try:
        address = api.create_repo(name, private=private, exist_ok=True)
        api.upload_folder(
            repo_id=name, folder_path=run.path, allow_patterns=list(PUBLISHED), commit_message=f"Upload {run.name}"
        )
    except Exception as error:  # which ones mean "no network" or "no token" depends on the version of the client
        reason = first_line(error).rstrip(".")
        raise RunError(f"{name} could not be uploaded ({reason}); `hf auth login` stores a token") from error
    return str(address)
