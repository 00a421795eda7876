"""Predict a folder or a bucket in lots, with any engine: one Parquet file a lot, and one of all when it is sealed."""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from spectro.core.data_folder import DataFolder
from spectro.core.errors import ConfigError
from spectro.core.files import replacing
from spectro.core.storage import Entry, is_url, open_range, open_storage, save
from spectro.core.tables import Failure
from spectro.data.engines.choice import Engine
from spectro.data.lots.attempt import Sound, attempt
from spectro.data.lots.drive import Log
from spectro.data.lots.listing import list_items, root_of
from spectro.data.lots.plan import make_plan
from spectro.data.lots.records import ClipRow, LotJob, LotResult, LotTask, Plan, PredictionWork
from spectro.data.lots.render_lots import LotsDone, run_plan
from spectro.data.lots.seal import Sealing, seal, write_oddities
from spectro.data.lots.sealed import Sealed
from spectro.inference.answers import Answer
from spectro.inference.predict import Predictor, Result
from spectro.inference.tables import TableOptions, write_table

TABLE = "predictions.parquet"
SHARD = ".parquet"


def predict_lots(
    run: Path | str,
    source: Path | str,
    *,
    out: Path | str,
    engine: str = "local",
    overlap: float | None = None,
    device: str = "auto",
    workers: int = 0,
    plan_only: bool = False,
    log: Log = lambda line: None,
) -> LotsDone:
    """Classify every sound of a folder or a bucket, lot by lot; `seal_predictions` puts the answers together.

    Each worker loads the run once. Whatever dies, the same call goes on from the commits.

    Parameters
    ----------
    run
        Folder of a finished run, or an `.onnx` file, or the URL of either: where every worker can read it.
    source, out, engine, workers, plan_only, log
        What `render_lots` takes; the clips need no folder of a class.
    overlap, device
        What `predict` takes. On Ray, each worker of a `cuda` device takes one GPU.

    Returns
    -------
    LotsDone

    Raises
    ------
    RunError
        the run is unfinished or damaged.
    ConfigError, DataError, StorageError
        as `render_lots`.
    """
    chosen, storage = Engine.parse(engine), open_storage(out)
    place = str(run) if is_url(run) else str(Path(run).resolve())
    predictor = Predictor(_local(place), device)
    predictor.inputs(overlap)
    layout = "auto" if is_url(source) or not Path(source).is_dir() else "folder"
    root = str(Path(source).resolve()) if layout == "folder" else root_of(source, layout)[0]
    plan = make_plan(
        storage,
        lambda: list_items(source, layout, labelled=False),
        source=root,
        layout=layout,
        work=PredictionWork(run=place, identity=predictor.identity(), overlap=overlap, device=device),
    )
    gpus = 1.0 if device.startswith("cuda") else 0.0
    return run_plan(storage, plan, predict_lot, chosen, workers=workers, plan_only=plan_only, gpus=gpus, log=log)


def predict_lot(job: LotJob, task: LotTask) -> LotResult:
    """Do one attempt at a lot of a prediction; every engine calls this and nothing else."""
    return attempt(job, task, SHARD, _predict)


def seal_predictions(out: Path | str) -> Sealed:
    """Check what all lots made, and write their answers as one Parquet file; raises DataError as `seal` does."""
    return seal(out, _write_tables)


@lru_cache(maxsize=1)
def _predictor(run: str, device: str) -> Predictor:
    return Predictor.load(_local(run), device)


@lru_cache(maxsize=4)
def _copy(url: str) -> tempfile.TemporaryDirectory[str]:
    """Copy a run from a bucket, for as long as this process lives."""
    folder = tempfile.TemporaryDirectory(prefix="spectro-run-")
    root, name = (url, "") if not url.endswith(".onnx") else (url.rpartition("/")[0], url.rpartition("/")[2])
    storage = open_storage(root)
    for entry in storage.list(name):
        path = Path(folder.name, entry.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        save(storage, entry, path)
    return folder


def _local(run: str) -> Path:
    if not is_url(run):
        return Path(run)
    folder = Path(_copy(run).name)
    return folder / run.rpartition("/")[2] if run.endswith(".onnx") else folder


def _predict(plan: Plan, sounds: Iterator[Sound], path: Path) -> list[ClipRow]:
    """Write the answers of a lot as a table; return the row of each clip."""
    work = plan.work
    assert isinstance(work, PredictionWork)
    predictor = _predictor(work.run, work.device)
    if predictor.identity() != work.identity:
        raise ConfigError(f"{work.run} is not the run that the plan was made with; bring it back, or plan anew")
    given: list[Sound] = []
    waiting: deque[Sound] = deque()
    rows: dict[str, ClipRow] = {}

    def paths() -> Iterator[Path]:
        for sound in sounds:
            given.append(sound)
            if sound.error is None:
                waiting.append(sound)
                yield sound.path
            else:
                rows[sound.item.clip] = sound.failed(sound.error.reason, str(sound.error))

    def answers() -> Iterator[Answer | Failure]:
        for result in predictor.results(paths(), overlap=work.overlap, workers=1, stamped=True):
            sound = waiting.popleft()
            rows[sound.item.clip] = _row(sound, result)
            if isinstance(result.outcome, Answer):
                yield replace(result.outcome, source=sound.name)

    write_table(path, "parquet", predictor.labels, answers(), TableOptions(none_of_these=predictor.tells_none))
    return [rows[sound.item.clip] for sound in given]


def _row(sound: Sound, result: Result) -> ClipRow:
    outcome, ending = result.outcome, result.ending
    if isinstance(outcome, Failure):
        return sound.failed(outcome.reason, outcome.message, outcome.seconds)
    warnings = (replace(one, message=one.message.replace(str(sound.path), sound.name)) for one in outcome.warnings)
    return ClipRow(clip=sound.item.clip, seconds=ending.seconds, stamp=ending.stamp, warnings=tuple(warnings))


def _write_tables(sealing: Sealing) -> None:
    """Put the tables of all lots together, one in memory at a time, and list what failed and what is odd."""
    from pyarrow import parquet

    write_oddities(DataFolder(sealing.folder), sealing.spool)
    writer = None
    with replacing(sealing.folder / TABLE) as temporary:
        try:
            for shard in sealing.shards:
                entry = Entry(name=shard.name, size=shard.bytes, etag="")
                with open_range(sealing.storage, entry) as file:
                    table = parquet.read_table(file)
                writer = writer or parquet.ParquetWriter(temporary, table.schema)
                writer.write_table(table)
        finally:
            if writer is not None:
                writer.close()
