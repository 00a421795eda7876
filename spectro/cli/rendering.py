"""The command render, and what it prints."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import spectro
from spectro.cli.app import Flag, Json, command, complain_of, fields, put_json
from spectro.cli.bounds import Megabytes, Workers
from spectro.cli.lots import Lots, in_lots, refuse_with_lots, render_in_lots
from spectro.cli.outputs import require_folder
from spectro.cli.stopping import NOTHING, after_stop
from spectro.core.config import MelConfig, RenderConfig, SegmentConfig

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from spectro.core.tables import ClipWarning
    from spectro.data.estimate import RenderingEstimate
    from spectro.data.layouts import Skipped
    from spectro.data.render import Rendering


@command("render")
def render(
    source: str,
    /,
    *,
    out: str,
    layout: str = "auto",
    workers: Workers = 0,
    engine: str | None = None,
    shard_mb: Megabytes = 256,
    plan: Flag = False,
    strict: Flag = False,
    exclude: Path | None = None,
    source_moved: Flag = False,
    prune: Flag = False,
    dry_run: Flag = False,
    as_json: Json = False,
    mel: Annotated[MelConfig, fields("Mel-spectrogram")] = MelConfig(),  # noqa: B008
    segment: Annotated[SegmentConfig, fields("Segments")] = SegmentConfig(),  # noqa: B008
) -> int:
    """Cut audio into segments and render each as a mel-spectrogram image; resumes where it stopped.

    Example: spectro render music --out data

    Parameters
    ----------
    source
        A folder with one folder per class, or a CSV file with the columns path,label[,group][,fold]; or a URL of one.
    out
        Folder for clips.csv, failed.csv, warnings.csv and the images; or a URL.
    layout
        How the source is laid out; auto means csv for a file and folder for a folder.
    workers
        Number of processes; 0 = one per core.
    engine
        Do it in lots, which may be done on many machines: local, ray, ray:ADDRESS, or shard:0/64 as the first of 64
        jobs. Whatever dies, the same command goes on; spectro seal ends it. URLs are always done so.
    shard_mb
        Size of the files that lots are written to, in MB.
    plan
        Only list the source and write the plan of the lots.
    strict
        Stop at the first file that cannot be used or is odd, instead of listing it and continuing.
    exclude
        CSV file whose column path names clips to leave out, such as spectro data check --bad-files writes.
    source_moved
        The source is in another folder now, although its files differ; if they do not, that is noticed without it.
    prune
        Remove the images of clips that are no longer in the source.
    dry_run
        Only estimate the number of clips and segments, the disk space and the time.
    """
    config = RenderConfig(mel=mel, segment=segment)
    if in_lots(engine, plan, source, out):
        refuse_with_lots({"strict": strict, "source-moved": source_moved, "prune": prune, "dry-run": dry_run})
        where = Lots(engine=engine or "local", workers=workers, plan_only=plan, as_json=as_json)
        return render_in_lots(source, out, where, config=config, layout=layout, shard_mb=shard_mb, exclude=exclude)
    if dry_run:
        after_stop.set(NOTHING)
        estimate = spectro.estimate_rendering(source, config=config, layout=layout, workers=workers, exclude=exclude)
        return put_estimate(estimate, as_json)
    rendering = spectro.render(
        source,
        out=require_folder(Path(out), "data"),
        config=config,
        layout=layout,
        workers=workers,
        strict=strict,
        exclude=exclude,
        source_moved=source_moved,
        prune=prune,
        progress=True,
    )
    if as_json:
        put_json(facts(rendering))
    else:
        print("\n".join(lines(rendering)))
    return complain_of(rendering.failed)


def facts(rendering: Rendering) -> dict[str, object]:
    """Return what --json prints."""
    store, changes, pruned = rendering.store, rendering.changes, rendering.pruned
    return {
        "data": str(rendering.data),
        "config_id": store.config_id,
        "segments": len(store.segments),
        "made": rendering.made,
        "reused": rendering.reused,
        "failed": [dataclasses.asdict(failure) for failure in rendering.failed],
        "warnings": [dataclasses.asdict(warning) for warning in rendering.warnings],
        "skipped": [one.to_dict() for one in rendering.skipped],
        "changes": None if changes is None else changes.to_dict(),
        "pruned": None if pruned is None else pruned.to_dict(),
    }


def lines(rendering: Rendering) -> Iterator[str]:
    """Yield what is printed: what changed, what was rendered and removed, what is odd and what was left out."""
    store = rendering.store
    if rendering.changes and (changed := rendering.changes.describe()):
        yield changed
    yield f"{len(store.segments)} spectrograms in {store.path} ({rendering.made} new, {rendering.reused} reused)"
    if rendering.pruned is not None:
        yield f"removed {rendering.pruned.spectrograms} spectrograms of {rendering.pruned.clips} clips that are gone"
    yield from remarks(rendering.warnings, rendering.skipped, f"all in {rendering.data / 'warnings.csv'}")


def remarks(warnings: Sequence[ClipWarning], skipped: Sequence[Skipped], where: str) -> Iterator[str]:
    """Yield a line about what is odd, and one about what is no clip."""
    from spectro.data.layouts import describe_skipped

    if warnings:
        counts = ", ".join(f"{count} {reason}" for reason, count in Counter(one.reason for one in warnings).items())
        plural = "s" * (len(warnings) > 1)
        yield f"{len(warnings)} warning{plural} ({counts}): {warnings[0].message} ({where})"
    if line := describe_skipped(skipped):
        yield line


def put_estimate(estimate: RenderingEstimate, as_json: bool) -> int:
    """Print what rendering would take; return the exit code."""
    if as_json:
        put_json(dataclasses.asdict(estimate))
    else:
        disk = f"{(estimate.picture_bytes + estimate.packed_bytes) / 1e6:.0f} MB"
        clips = f"{estimate.clips} clips ({estimate.audio_seconds / 3600:.2f} hours)"
        print(f"{clips}, {estimate.segments} spectrograms: {disk}, about {estimate.seconds:.0f} s")
        for line in remarks(estimate.warnings, estimate.skipped, "--json lists all"):
            print(line)
    return complain_of(estimate.failed)
