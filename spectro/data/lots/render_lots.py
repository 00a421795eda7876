"""Render a folder or a bucket in lots, with any engine; whatever dies, the same call goes on from the commits."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from spectro.core.config import RenderConfig
from spectro.core.errors import ConfigError
from spectro.core.files import read_csv
from spectro.core.storage import Storage, open_storage
from spectro.data.engines.choice import Engine
from spectro.data.engines.pool import Function
from spectro.data.lots.commit import committed
from spectro.data.lots.drive import Driven, Log, drive
from spectro.data.lots.listing import list_items, root_of
from spectro.data.lots.names import PLAN
from spectro.data.lots.plan import SHARD_MB, Bounds, make_plan, read_items
from spectro.data.lots.records import LotJob, Plan
from spectro.data.lots.rendering import render_lot


@dataclass(frozen=True, kw_only=True)
class LotsDone:
    """What a call of `render_lots` or `predict_lots` did."""

    out: str
    """Folder or URL of the results."""
    plan: Plan
    before: int
    """Lots that were committed already."""
    driven: Driven | None
    """What was done now; None where it was only planned."""

    @property
    def complete(self) -> bool:
        """Whether every lot is committed, as far as this driver knows."""
        return self.before + (self.driven.lots if self.driven else 0) >= len(self.plan.lots)


def render_lots(
    source: Path | str,
    *,
    out: Path | str,
    config: RenderConfig | None = None,
    layout: str = "auto",
    engine: str = "local",
    workers: int = 0,
    shard_mb: float = SHARD_MB,
    exclude: Path | str | None = None,
    plan_only: bool = False,
    log: Log = lambda line: None,
) -> LotsDone:
    """Render every clip of a source into shards below `out`, lot by lot.

    The plan is written once, and so is the commit of each lot: driver, workers and machines may die at any time, and
    several drivers may work at once. When all lots are committed, `seal` checks them and writes the tables.

    Parameters
    ----------
    source, layout
        A folder, a CSV file, or a URL of either.
    out
        A folder or a URL.
    config
        Settings of the spectrograms; the defaults when None.
    engine
        `local`, `shard:I/N`, `ray` or `ray:ADDRESS`.
    workers
        Number of local processes; 0 for one per core.
    shard_mb
        Largest size of a shard, as estimated.
    exclude
        CSV with a column `path`: ids of clips to leave out.
    plan_only
        Only write the plan.
    log
        Called with each line of progress.

    Returns
    -------
    LotsDone

    Raises
    ------
    ConfigError
        `out` was planned otherwise, there is no such engine, or a package is missing.
    DataError
        the source is not laid out that way.
    StorageError
        the storage fails.
    """
    chosen, storage = Engine.parse(engine), open_storage(out)
    if storage.head("clips.csv") is not None and storage.head(PLAN) is None:
        raise ConfigError(f"{storage.url} is a data folder that was not rendered in lots; choose another --out")
    root, layout = root_of(source, layout)
    left_out = {row["path"] for row in read_csv(Path(exclude), ("path",))} if exclude else set()
    plan = make_plan(
        storage,
        lambda: (item for item in list_items(source, layout) if item.clip not in left_out),
        source=root,
        layout=layout,
        work=config or RenderConfig(),
        bounds=Bounds(megabytes=shard_mb),
    )
    return run_plan(storage, plan, render_lot, chosen, workers=workers, plan_only=plan_only, log=log)


def run_plan(
    storage: Storage,
    plan: Plan,
    function: Function,
    engine: Engine,
    *,
    workers: int = 0,
    plan_only: bool = False,
    gpus: float = 0.0,
    log: Log = lambda line: None,
) -> LotsDone:
    """Have the lots of a plan done that are not committed: those of the engine's share.

    Parameters
    ----------
    storage
        Where the plan is, and the results belong.
    plan
        All lots.
    function
        What workers call.
    engine, workers, gpus
        Where they work, as `Engine.open_pool` takes it.
    plan_only
        Only count.
    log
        Called with each line of progress.
    """
    done = {lot for lot, _ in committed(storage)}
    number, count = engine.share
    ranked = sorted(range(len(plan.lots)), key=lambda one: (-plan.lots[one].weight, one))[number::count]
    waiting = [one for one in ranked if plan.lots[one].id not in done]
    before = len(done.intersection(lot.id for lot in plan.lots))
    if plan_only or not waiting:
        return LotsDone(out=storage.url, plan=plan, before=before, driven=None)
    if storage.url.startswith("memory:") or plan.source.startswith("memory:"):
        raise ConfigError("memory:// is of one process, but lots are done by others; choose another --out")
    with closing(engine.open_pool(function, LotJob(out=storage.url), workers, gpus=gpus)) as pool:
        driven = drive(pool, plan, waiting, lambda lot, item: read_items(storage, plan, lot)[item].clip, log=log)
    return LotsDone(out=storage.url, plan=plan, before=before, driven=driven)
