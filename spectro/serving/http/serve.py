"""The one function that starts a server, which checks everything that can be checked before anything is loaded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from spectro.core.distribution import require_packages
from spectro.core.errors import ConfigError
from spectro.inference.hub import PREFIX, local_run
from spectro.serving.http.settings import ServerConfig, require_token

NEEDED = ("starlette", "uvicorn")


def serve(
    runs: Sequence[Path | str],
    *,
    config: ServerConfig | None = None,
    token: str = "",
    device: str = "auto",
    log: Callable[[str], object] = print,
) -> None:
    """Serve runs until the process gets SIGINT or SIGTERM; what is under way then is finished first.

    Parameters
    ----------
    runs
        Folders of finished runs, or exported `.onnx` files; the first is asked where a request names none.
    config
        Address and limits.
    token
        Secret that clients must send; needed where other machines can reach the server.
    device
        `auto`, `cpu`, `cuda` or `mps`.
    log
        Called with the address, once the models have answered.

    Raises
    ------
    ConfigError
        a package is missing, the port is taken, or other machines could ask without a token.
    RunError
        a run is unfinished or damaged.
    """
    config = config or ServerConfig()
    require_token(config, token)
    require_packages("a server", *NEEDED)
    if not runs:
        raise ConfigError("there is no run to serve; name at least one folder or .onnx file")
    from spectro.serving.http.served_run import ServedRun, distinct
    from spectro.serving.http.server import run_server  # it needs those packages

    served = [ServedRun(Path(local_run(run)), device) for run in runs]  # type: ignore[arg-type]  # no Run was given
    for run, one in zip(runs, served, strict=True):
        one.name = str(run).removeprefix(PREFIX).replace("/", "-") if str(run).startswith(PREFIX) else one.name
    run_server(distinct(served), config, token=token, log=log)
