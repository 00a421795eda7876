"""The command that serves finished runs: a page and an HTTP API on this machine, or with a token for others."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from spectro.cli.app import command, fields, log
from spectro.cli.bounds import Device
from spectro.serving.http.serve import serve as run_server
from spectro.serving.http.settings import ServerConfig

Settings = Annotated[ServerConfig, fields("Address and limits")]
DEFAULTS = ServerConfig()


@command("serve")
def serve(runs: list[Path], /, *, settings: Settings = DEFAULTS, device: Device = "auto") -> None:
    """Serve finished runs as a page for people and an HTTP API for programs.

    The page is for this machine alone. With --host 0.0.0.0 others reach it too; then the environment variable
    SPECTRO_TOKEN must hold a secret, for which the page asks.

    Example: spectro serve runs/resnet50-group

    Example: curl --data-binary @song.mp3 'http://127.0.0.1:8000/v1/predictions?name=song.mp3'

    Parameters
    ----------
    runs
        Folders of finished runs, or .onnx files that spectro export made; the first is the default.
    device
        auto, cpu, cuda or mps.
    """
    run_server(runs, config=settings, token=os.environ.get("SPECTRO_TOKEN", ""), device=device, log=log)
