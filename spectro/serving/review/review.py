"""The one function that starts a review: it asks the run about the sounds, then serves the page on this machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from spectro.core.distribution import require_packages
from spectro.core.locks import writing
from spectro.core.runs import Run

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
    require_packages("the page", "starlette", "uvicorn")
    import uvicorn

    from spectro.serving.http.guard import Guard
    from spectro.serving.http.server import Server, listening
    from spectro.serving.http.settings import ServerConfig
    from spectro.serving.review.app import ReviewApp
    from spectro.serving.review.labels import Labels
    from spectro.serving.review.queue import make_queue

    run, out = Run.open(run), Path(out)
    state, config = out.with_name(f"{out.stem}.review"), ServerConfig(host=HOST, port=port)
    with writing(state), listening(config) as listener:
        labels = Labels.open(out)
        queue = make_queue(
            run, sounds, state=state, order=order, device=device, workers=workers, progress=progress, log=log
        )
        guarded = Guard(ReviewApp(queue, labels, run.name).application(), config, "")
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
