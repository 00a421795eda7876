"""Commands that exchange data and models with Hugging Face: an audiofolder, and a Space that serves a run."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from spectro.cli.app import Flag, command
from spectro.cli.outputs import require_folder


@command("data export")
def export(
    data: Path,
    /,
    *,
    out: Path,
    format: Literal["audiofolder"] = "audiofolder",
    split: str = "group",
    link: Flag = False,
) -> None:
    """Write the clips of a data folder as an audiofolder, which datasets and spectro render read.

    Example: spectro data export data --out shared --split group

    Parameters
    ----------
    data
        Folder made by spectro render and spectro split, whose source is still there.
    out
        Folder to write; the same command again copies only what is missing.
    format
        audiofolder: train, validation and test, each with its files and metadata.csv.
    split
        Name of the split that says which clip goes where.
    link
        Link the files instead of copying them, where the file system can.
    """
    from spectro.serving.audiofolder import export_audiofolder

    require_folder(out, "results")
    exported = export_audiofolder(data, out, split=split, how="link" if link else "copy")
    counts = ", ".join(f"{count} {name}" for name, count in exported.clips.items())
    print(f"wrote {exported.path}: {counts} clips; {exported.copied} files are new")


@command("models space")
def space(run: str, space: str, /, *, out: Path, title: str = "", source: str = "") -> None:
    """Write the files of a Hugging Face Space that serves the page of a run on the hub.

    Example: spectro models space hf:owner/name owner/demo --out demo-space

    Parameters
    ----------
    run
        hf:owner/name, as spectro models push uploaded it.
    space
        owner/name of the Space.
    out
        Folder to write; upload it with hf upload owner/demo demo-space --repo-type space.
    title
        Heading of the Space.
    source
        What pip installs there: a requirement, an address, or a wheel beside the Dockerfile; by default this version.
    """
    from spectro.serving.space import write_space

    require_folder(out, "results")
    print(f"wrote {write_space(run, space, out, title=title, source=source)}; its README says what to do next")
