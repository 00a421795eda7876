"""Rendering and predicting in lots, and the commands status and seal, which look after them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from spectro.cli.app import SOME_FAILED, Json, command, complain, log, put_json
from spectro.cli.stopping import RESUMES, after_stop
from spectro.core.errors import ConfigError
from spectro.core.storage import is_url, open_storage

if TYPE_CHECKING:
    from spectro.core.config import RenderConfig
    from spectro.data.lots.render_lots import LotsDone


@dataclass(frozen=True, kw_only=True)
class Lots:
    """Where lots are done, and what is printed."""

    engine: str
    workers: int
    plan_only: bool
    as_json: bool


def in_lots(engine: str | None, plan: bool, *places: str) -> bool:
    """Tell whether a command does its work in lots: if asked to, and if it reads or writes a bucket."""
    return bool(engine) or plan or any(map(is_url, places))


def refuse_with_lots(options: Mapping[str, bool]) -> None:
    """Raise ConfigError for an option that lots do not know; it is given where its value is true."""
    wrong = next((name for name, given in options.items() if given), None)
    if wrong is not None:
        raise ConfigError(f"--{wrong} does not go with --engine, --plan and URLs; leave it out")


def render_in_lots(
    source: str, out: str, lots: Lots, *, config: RenderConfig, layout: str, shard_mb: float, exclude: Path | None
) -> int:
    """Do what `render` does with --engine, --plan or a URL; return the exit code."""
    from spectro.data.lots.render_lots import render_lots

    after_stop.set(RESUMES)
    done = render_lots(
        source,
        out=out,
        config=config,
        layout=layout,
        engine=lots.engine,
        workers=lots.workers,
        shard_mb=shard_mb,
        exclude=exclude,
        plan_only=lots.plan_only,
        log=log,
    )
    return _report(done, lots.as_json)


def predict_in_lots(
    run: str, files: Sequence[str], out: str | None, lots: Lots, *, overlap: float | None, device: str
) -> int:
    """Do what `predict` does with --engine, --plan or a URL; return the exit code."""
    from spectro.inference.lots import predict_lots

    if len(files) != 1 or out is None:
        raise ConfigError("predicting in lots takes one folder or URL, and a folder or URL in --out")
    after_stop.set(RESUMES)
    done = predict_lots(
        run,
        files[0],
        out=out,
        engine=lots.engine,
        overlap=overlap,
        device=device,
        workers=lots.workers,
        plan_only=lots.plan_only,
        log=log,
    )
    return _report(done, lots.as_json)


@command("status")
def status(out: str, /, *, as_json: Json = False) -> int:
    """Report how far a rendering or a prediction in lots has come.

    Example: spectro status s3://spectrograms/run1

    Parameters
    ----------
    out
        Folder or URL that was its --out.
    """
    from spectro.data.lots.status import status as status_of

    now = status_of(out)
    if as_json:
        put_json(now.to_dict())
        return 0
    left = "" if now.seconds_left is None or now.done == now.lots else f", about {now.seconds_left / 60:.0f} min left"
    print(f"{now.done} of {now.lots} lots are done, {now.running} are running{left}")
    print(f"{now.clips_done} of {now.clips} clips, {now.failed} failed, {now.clips_per_second:.1f} clips/s")
    if now.sealed:
        print("sealed")
    return 0


@command("seal")
def seal(out: str, /, *, as_json: Json = False) -> int:
    """Check every file that lots made, and write the tables of a data folder, or one table of predictions.

    Example: spectro seal s3://spectrograms/run1

    Parameters
    ----------
    out
        Folder or URL that was the --out of render or predict.
    """
    from spectro.data.lots import seal as sealing
    from spectro.data.lots.plan import open_plan
    from spectro.data.lots.records import PredictionWork

    if isinstance(open_plan(open_storage(out)).work, PredictionWork):
        from spectro.inference.lots import seal_predictions

        sealed = seal_predictions(out)
    else:
        sealed = sealing.seal(out)
    if as_json:
        put_json(sealed.to_dict())
    else:
        size = f"{sealed.bytes / 1e6:.1f} MB"
        print(f"sealed: {sealed.lots} lots, {sealed.clips} clips, {sealed.segments} spectrograms, {size}")
    return _complain_of(sealed.failed, f"they are listed in failed.csv below {out}")


def _report(done: LotsDone, as_json: bool) -> int:
    """Print what was planned and done; return the exit code."""
    plan, driven = done.plan, done.driven
    if as_json:
        facts = {"out": done.out, "lots": len(plan.lots), "clips": plan.clips, "core_seconds": plan.weight}
        now = {} if driven is None else {"done": driven.lots, "failed": driven.failed, "deaths": driven.deaths}
        put_json({**facts, "before": done.before, **now, "complete": done.complete})
    else:
        print(f"{len(plan.lots)} lots of {plan.clips} clips, about {plan.weight / 3600:.2f} hours of one core")
        if driven is not None:
            print(f"{driven.lots} lots are done now, {done.before} were before")
        if done.complete:
            print(f"all are done; next: spectro seal {done.out}")
    for one in driven.given_up if driven else ():
        complain(f"lot {one.lot} could not be done: {one.message}", SOME_FAILED)
    if driven and driven.given_up:
        return complain("run the same command again; it tries only these lots", SOME_FAILED)
    return _complain_of(driven.failed if driven else 0, "spectro seal lists them in failed.csv")


def _complain_of(failed: int, where: str) -> int:
    return complain(f"{failed} clips could not be used; {where}", SOME_FAILED) if failed else 0
