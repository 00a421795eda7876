"""The one function that starts a review: it asks the run about the sounds, then serves the page on this machine."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

from spectro.core.distribution import install_command
from spectro.core.errors import ConfigError
from spectro.core.locks import writing
from spectro.core.runs import Run

NEEDED = ("starlette", "uvicorn")
HOST = "127.0.0.1"


def review(
    run: Run | Path | str,
    sounds: Sequence[Path | str],
    *,
    out: Path | str,
    order: str = "margin",
    port: int = 8001,
    device: str = "auto",
    workers: int = 0,
    progress: bool = False,
    log: Callable[[str], object] = print,
) -> None:
    """Serve a page for labelling sounds, the most informative first, until the process gets SIGINT or SIGTERM.

    Labels are written after each one, so that a review can be ended at any time; the same call goes on with it.

    Parameters
    ----------
    run
        A finished run or its folder.
    sounds
        Audio files, or folders of them.
    out
        CSV table of the labels, with the columns path, label and predicted; an older one is added to. Answers of the
        run are kept in a folder beside it.
    order
        `margin`, `entropy`, `disagreement` (of an ensemble's members), `diverse` or `random`.
    port
        Port on this machine; 0 for any free one.
    device
        `auto`, `cpu`, `cuda` or `mps`.
    workers
        Processes that read files ahead of the model; 0 for one per core.
    progress
        Show a progress bar while the run is asked.
    log
        Called with the address once the page is there.

    Raises
    ------
    ConfigError
        a package is missing, the port is taken, or there is no such order.
    DataError
        no file can be used, or the table is of another form.
    BusyError
        another review writes into the same table.
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise ConfigError(f"the page needs {' and '.join(missing)}: {install_command('serve')}")
    import uvicorn

    from spectro.serving.http.guard import Guard
    from spectro.serving.http.server import Server
    from spectro.serving.http.settings import ServerConfig
    from spectro.serving.review.app import ReviewApp
    from spectro.serving.review.labels import Labels
    from spectro.serving.review.queue import make_queue

    run, out = Run.open(run), Path(out)
    state = out.with_name(f"{out.stem}.review")
    with writing(state), socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        labels = Labels.open(out)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except OSError as error:
            raise ConfigError(f"cannot listen on port {port}: {error.strerror}; choose another --port, or 0") from None
        queue = make_queue(
            run, sounds, state=state, order=order, device=device, workers=workers, progress=progress, log=log
        )
        guarded = Guard(ReviewApp(queue, labels, run.name).application(), ServerConfig(host=HOST), "")
        settings = uvicorn.Config(
            guarded,
            loop="asyncio",
            http="h11",
            ws="none",
            lifespan="off",
            log_level="warning",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=2,
        )
        listener.listen()  # from here on a browser is let in
        waiting = sum(labels.label_of(item.file) is None for item in queue.items)
        log(
            f"{waiting} of {len(queue.items)} recordings have no label; reviewing at http://{HOST}:{listener.getsockname()[1]}"
        )
        Server(settings).run(sockets=[listener])
