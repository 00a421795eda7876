"""Commands before any model: what is there, what ails it, its pictures, its splits."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App

import spectro
from spectro.cli.app import (
    DATA,
    SOME_FAILED,
    Flag,
    Json,
    app,
    complain,
    complain_of,
    fields,
    interval,
    order,
    put_json,
    put_table,
)
from spectro.core.config import MelConfig, RenderConfig, SegmentConfig, SplitConfig

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from spectro.data.estimate import RenderingEstimate
    from spectro.data.preview import Pictures

datasets = App(name="datasets", group=DATA, sort_key=next(order))
app.command(datasets)


@datasets.default
def list_datasets(*, as_json: Json = False) -> None:
    """List the data sets known by name: what they hold, their licence, how to get them; or check one.

    Example: spectro datasets --json
    """
    from spectro.data.datasets import DATASETS
    from spectro.data.layouts import LAYOUTS

    known = {name: DATASETS[name] for name in LAYOUTS if name in DATASETS}
    if as_json:
        return put_json({name: {**dataclasses.asdict(one), "stems": sorted(one.stems)} for name, one in known.items()})
    for name, one in known.items():
        print(f"{name}: {one.title}, {one.clips} clips ({one.size})")
        for title in ("groups", "licence", "home", "get", "citation"):
            print(f"    {title + ':':<9} {getattr(one, title)}")
    return None


@datasets.command(name="check", sort_key=next(order))
def check_dataset(name: str, root: Path, /) -> int:
    """Count and verify what is there of a data set against what was published.

    Example: spectro datasets check gtzan downloads/genres

    Parameters
    ----------
    name
        Name of the data set.
    root
        Its folder.
    """
    found = spectro.verify(name, root)
    put_table(("class", "clips"), found.counts.items())
    for clip, fault in found.known_faults.items():
        print(f"known fault: {clip}: {fault}")
    for problem in found.problems:
        complain(problem, SOME_FAILED)
    return SOME_FAILED if found.problems else 0


@app.command(group=DATA, sort_key=next(order))
def doctor(
    source: Path,
    /,
    *,
    layout: str = "auto",
    quarantine: Path | None = None,
    config: Annotated[SegmentConfig, fields("Segments")] = SegmentConfig(),  # noqa: B008
    workers: int = 0,
    as_json: Json = False,
) -> int:
    """Decode every file before anything is rendered, and say which cannot be used or are odd.

    Example: spectro doctor music --quarantine bad.csv

    Parameters
    ----------
    source
        A folder that holds one folder per class, or a CSV file with the columns path,label[,group][,fold].
    layout
        How the source is laid out; auto means csv for a file and folder for a folder.
    quarantine
        CSV file to write, with the files that cannot be used; render takes it as --exclude.
    workers
        Number of processes; 0 = one per core.
    """
    found = spectro.check_audio(source, layout=layout, quarantine=quarantine, config=config, workers=workers)
    if as_json:
        put_json(dataclasses.asdict(found) | {"root": str(found.root), "unusable": found.unusable})
    else:
        for finding in found.findings:
            print(f"{'UNUSABLE' if finding.unusable else 'odd'} {finding.reason}: {finding.message}")
        print(f"{found.clips} clips, {found.seconds / 3600:.2f} hours; {len(found.unusable)} cannot be used")
    return SOME_FAILED if found.unusable else 0


@app.command(group=DATA, sort_key=next(order))
def render(
    source: Path,
    /,
    *,
    out: Path,
    layout: str = "auto",
    workers: int = 0,
    strict: Flag = False,
    exclude: Path | None = None,
    plan: Flag = False,
    as_json: Json = False,
    mel: Annotated[MelConfig, fields("Mel-spectrogram")] = MelConfig(),  # noqa: B008
    segment: Annotated[SegmentConfig, fields("Segments")] = SegmentConfig(),  # noqa: B008
) -> int:
    """Cut audio into segments and draw each as a mel-spectrogram; run again, it does only what is missing.

    Example: spectro render music --out data

    Parameters
    ----------
    source
        A folder that holds one folder per class, or a CSV file with the columns path,label[,group][,fold].
    out
        Folder for clips.csv, failed.csv and the pictures.
    layout
        How the source is laid out; auto means csv for a file and folder for a folder.
    workers
        Number of processes; 0 = one per core.
    strict
        Stop at the first file that cannot be used, instead of listing it in failed.csv and going on.
    exclude
        CSV file whose column path names clips to leave out, such as doctor writes.
    plan
        Only say how many clips, segments, bytes and seconds it would take.
    """
    config = RenderConfig(mel=mel, segment=segment)
    if plan:
        return put_plan(
            spectro.estimate_rendering(source, config=config, layout=layout, workers=workers, exclude=exclude), as_json
        )
    done = spectro.render(
        source,
        out=out,
        config=config,
        layout=layout,
        workers=workers,
        strict=strict,
        exclude=exclude,
        progress=True,
    )
    facts = {"data": str(done.data), "config_id": done.store.config_id, "segments": len(done.store.segments)}
    if as_json:
        failed = [dataclasses.asdict(failure) for failure in done.failed]
        put_json({**facts, "made": done.made, "reused": done.reused, "failed": failed})
    else:
        print(f"{facts['segments']} pictures in {done.store.path} ({done.made} made, {done.reused} were there)")
    return complain_of(done.failed)


@app.command(group=DATA, sort_key=next(order))
def sheet(
    data: Path,
    /,
    *,
    out: Path = Path("sheet.png"),
    columns: int = 6,
    seed: int = 0,
    augment: Literal["none", "light", "strong"] = "none",
    config_id: str | None = None,
) -> None:
    """Draw some segments of every class as one PNG, to look at before a model does.

    Example: spectro sheet data --out sheet.png --augment light

    Parameters
    ----------
    data
        Folder that render made.
    out
        PNG to write.
    columns
        Number of segments of each class, from as many groups.
    seed
        Another seed draws other segments.
    augment
        Show below each row the same segments as training with this augmentation sees them.
    config_id
        Which pictures, if data holds several configurations.
    """
    change = None
    if augment != "none":
        from spectro.training.augment import Augment

        def change(pictures: Pictures, items: NDArray[np.int64]) -> Pictures:
            bands, frames = pictures.shape[1:]
            return Augment(augment, seed, (bands, frames))(pictures, items, 0)

    drawn = spectro.contact_sheet(data, out, columns=columns, seed=seed, config_id=config_id, augment=change)
    print(f"wrote {drawn}")


@app.command(group=DATA, sort_key=next(order))
def features(
    data: Path,
    /,
    *,
    feature: str = "stats",
    set: str = "",
    out: Path = Path("features.csv"),
    config_id: str | None = None,
    workers: int = 0,
) -> int:
    """Compute one vector of features per segment from the sound, and write them as a table with named columns.

    Example: spectro features data --set D --out features.parquet

    Parameters
    ----------
    data
        Folder that render made.
    feature
        A feature that is one vector: stats or tempo.
    set
        What stats sums up: C, D, D57, or names of features with + between, as in mfcc+chroma.
    out
        Table to write: Parquet if the name ends in .parquet, else CSV.
    config_id
        Which pictures' segments, if data holds several configurations.
    workers
        Number of processes; 0 = one per core.
    """
    from spectro.audio.features import FEATURES

    config = FEATURES[feature].config.from_dict({"set": set} if set else {})
    found = spectro.extract(data, feature, config=config, config_id=config_id, workers=workers, progress=True)
    table = found.store.export(out)
    print(f"wrote {table}: {len(found.store.segments)} segments, {len(found.store.columns)} columns of {feature}")
    return complain_of(found.failed)


@app.command(group=DATA, sort_key=next(order))
def split(
    data: Path,
    /,
    *,
    config: Annotated[SplitConfig, fields("Split")] = SplitConfig(),  # noqa: B008
    name: str = "",
    config_id: str | None = None,
    as_json: Json = False,
) -> None:
    """Deal the clips to training, validation and test, so that no group stands on two sides.

    Example: spectro split data --by group --test 0.2 --val 0.1

    Parameters
    ----------
    data
        Folder that render made.
    name
        Name of the split; by default what stays whole.
    config_id
        Which pictures, if data holds several configurations and segments are dealt.
    """
    made = spectro.split(data, config=config, name=name, config_id=config_id)
    if as_json:
        return put_json([{"name": one.name, "title": one.title, "sha256": one.sha256, **one.facts} for one in made])
    rows = [(one.title, *one.facts["counts"].values(), one.facts["leaking_groups"]) for one in made]
    put_table(("split", *made[0].facts["counts"], "groups on two sides"), rows)
    return None


GAP_FIGURES = ("segment_accuracy", "clip_accuracy", "gap")


@app.command(group=DATA, sort_key=next(order))
def audit(
    data: Path, /, *, split: str | None = None, gap: bool = True, workers: int = 0, as_json: Json = False
) -> None:
    """Find the same sound under two names, what a split lets stand on two sides, and how much a leak would flatter.

    Example: spectro audit data --split group

    Parameters
    ----------
    data
        Folder that render made.
    split
        Name of the split to hold the pairs against.
    gap
        Measure the leak gap: one cheap model, cross-validated by segment, by clip and by group.
    workers
        Number of processes; 0 = one per core.
    """
    found = spectro.audit(data, split=split, workers=workers)
    gaps = spectro.leakage_gap(data) if gap else ()
    figures = {one.by: one.to_dict() for one in gaps}
    if as_json:
        pairs = [dataclasses.asdict(pair) for pair in found.pairs]
        return put_json({**found.summary(), "found": pairs, "leakage_gap": figures})
    if found.pairs:
        rows = [
            (pair.first, pair.second, pair.kind, f"{pair.similarity:.2f}", "" if pair.same_label else "LABELS DIFFER")
            for pair in found.pairs
        ]
        put_table(("clip", "same sound in", "kind", "similarity", ""), rows)
    print(f"{len(found.pairs)} pairs among {found.clips} clips, {len(found.ungrouped)} of them in different groups")
    if found.split:
        print(f"split {found.split}: {len(found.across)} pairs and {len(found.leaking_groups)} groups on two sides")
    if figures:
        print("the leak gap, by a random forest on simple statistics of the pictures:")
        columns = ("split by", "segment accuracy", "clip accuracy", "gap to group")
        put_table(columns, [(by, *(interval(one[name]) for name in GAP_FIGURES)) for by, one in figures.items()])
    return None


def put_plan(plan: RenderingEstimate, as_json: bool) -> int:
    """Print what rendering would take; return the exit code."""
    if as_json:
        put_json(dataclasses.asdict(plan))
    else:
        disk = (plan.picture_bytes + plan.packed_bytes) / 1e6
        hours = plan.audio_seconds / 3600
        print(
            f"{plan.clips} clips ({hours:.2f} hours) make {plan.segments} pictures: {disk:.0f} MB, {plan.seconds:.0f} s"
        )
    return complain_of(plan.failed)
