"""Commands between rendering and training: split, and the group `data`."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import spectro
from spectro.cli.app import (
    SOME_FAILED,
    Flag,
    Json,
    command,
    complain,
    complain_of,
    fields,
    interval,
    put_json,
    put_table,
)
from spectro.cli.bounds import Megabytes, PerClass, Seed, Workers
from spectro.cli.outputs import FAILURE_COLUMNS, FEATURE_COLUMNS, require_file, require_folder
from spectro.core.config import Config, ModelConfig, SegmentConfig, SplitConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spectro.core.arrays import Image, Items
    from spectro.data.audit import Audit
    from spectro.experiments.results import LeakageGap


@command("split")
def split(
    data: Path,
    /,
    *,
    config: Annotated[SplitConfig, fields("Split")] = SplitConfig(),  # noqa: B008
    name: str = "",
    config_id: str | None = None,
    as_json: Json = False,
) -> None:
    """Split clips into train, validation and test sets; no group is ever in two of them.

    Example: spectro split data --by group --test 0.2 --val 0.1

    Parameters
    ----------
    data
        Folder made by spectro render.
    name
        Name of the split; by default the value of --by.
    config_id
        For --by segment: which spectrograms, if data holds several configurations.
    """
    splits = spectro.split(data, config=config, name=name, config_id=config_id)
    if as_json:
        return put_json(
            [{"name": s.name, "title": s.title, "sha256": s.sha256, **s.statistics.to_dict()} for s in splits]
        )
    rows = [(s.title, *s.statistics.counts.values(), s.statistics.leaking_groups) for s in splits]
    put_table(("split", *splits[0].statistics.counts, "leaking groups"), rows)
    return None


@command("data check", alias="doctor")
def check(
    source: Path,
    /,
    *,
    layout: str = "auto",
    bad_files: Path | None = None,
    config: Annotated[SegmentConfig, fields("Segments")] = SegmentConfig(),  # noqa: B008
    workers: Workers = 0,
    as_json: Json = False,
) -> int:
    """Decode every audio file before rendering and report which are broken or suspicious.

    Example: spectro data check music --bad-files bad.csv

    Parameters
    ----------
    source
        A folder with one folder per class, or a CSV file with the columns path,label[,group][,fold].
    layout
        How the source is laid out; auto means csv for a file and folder for a folder.
    bad_files
        CSV file to write, listing the files that cannot be used; pass it to spectro render --exclude.
    workers
        Number of processes; 0 = one per core.
    """
    from spectro.data.layouts import describe_skipped

    if bad_files is not None:
        require_file(bad_files, "csv", columns=FAILURE_COLUMNS, option="--bad-files")
    report = spectro.check_audio(source, layout=layout, bad_files=bad_files, config=config, workers=workers)
    if as_json:
        put_json(dataclasses.asdict(report) | {"root": str(report.root), "unusable": report.unusable})
    else:
        for finding in report.findings:
            print(f"{'UNUSABLE' if finding.unusable else 'suspicious'} {finding.reason}: {finding.message}")
        for labels in report.similar_labels:
            names = ", ".join(map(repr, labels))
            print(f"suspicious similar-labels: {names} differ only in case, blanks or Unicode form; use one of them")
        if left_out := describe_skipped(report.skipped):
            print(left_out)
        pyav = f", {report.pyav} of them for PyAV" if report.pyav else ""
        print(f"{report.clips} clips{pyav}, {report.seconds / 3600:.2f} hours; {len(report.unusable)} cannot be used")
    return SOME_FAILED if report.unusable else 0


@command("data audit")
def audit(
    data: Path, /, *, split: str | None = None, gap: bool = True, workers: Workers = 0, as_json: Json = False
) -> None:
    """Find duplicate clips and leaking groups, and estimate how much the leak inflates accuracy.

    Example: spectro data audit data --split group

    Parameters
    ----------
    data
        Folder made by spectro render.
    split
        Name of a split: report which duplicates and groups are in two of its subsets.
    gap
        Measure the leakage gap: one small model, cross-validated by segment, by clip and by group.
    workers
        Number of processes; 0 = one per core.
    """
    report = spectro.audit(data, split=split, workers=workers)
    gaps = spectro.leakage_gap(data) if gap else ()
    if not as_json:
        return put_audit(report, gaps)
    pairs = [dataclasses.asdict(pair) for pair in report.pairs]
    values = {one.by: one.to_dict() for one in gaps}
    return put_json({**report.summary().to_dict(), "found": pairs, "leakage_gap": values})


@command("data preview")
def preview(
    data: Path,
    /,
    *,
    out: Path = Path("preview.png"),
    per_class: PerClass = 6,
    seed: Seed = 0,
    augment: Literal["none", "light", "strong"] = "none",
    config_id: str | None = None,
) -> None:
    """Draw some spectrograms of every class as one PNG, to look at before training.

    Example: spectro data preview data --out preview.png --augment light

    Parameters
    ----------
    data
        Folder made by spectro render.
    out
        PNG to write.
    per_class
        Number of segments of each class, from different groups where possible.
    seed
        Another seed draws other segments.
    augment
        Below each row, show the same segments under this augmentation.
    config_id
        Which spectrograms, if data holds several configurations.
    """
    require_file(out, "figure")
    change = None
    if augment != "none":
        from spectro.training.augment import Augment

        def change(images: Image, items: Items) -> Image:
            bands, frames = images.shape[1:]
            return Augment(augment, seed, (bands, frames))(images, items, 0)

    path = spectro.contact_sheet(data, out, per_class=per_class, seed=seed, config_id=config_id, augment=change)
    print(f"wrote {path}")


@command("data features")
def features(
    data: Path,
    /,
    *,
    feature: str = "stats",
    stats_set: str = "",
    backbone: str = ModelConfig().name,
    out: Path = Path("features.csv"),
    config_id: str | None = None,
    workers: Workers = 0,
) -> int:
    """Compute a feature vector per segment and write them as a table, CSV or Parquet.

    Example: spectro data features data --stats-set D --out features.parquet

    Example: spectro data features data --feature backbone --backbone resnet50

    Parameters
    ----------
    data
        Folder made by spectro render.
    feature
        A feature that is a vector: stats, tempo, or backbone, the statistics of several stages of a frozen network.
    backbone
        That network, of timm or pretrained on sound; spectro models list shows them.
    stats_set
        What stats summarizes: C, D, D57, or feature names joined by + (mfcc+chroma); C by default.
    out
        Table to write: Parquet if the name ends in .parquet, else CSV.
    config_id
        Whose segments, if data holds several configurations of spectrograms.
    workers
        Number of processes; 0 = one per core.
    """
    config = feature_config(feature, stats_set)
    if out.suffix == ".parquet":
        require_file(out, "parquet")
    else:
        require_file(out, "csv", columns=FEATURE_COLUMNS)
    if feature == "backbone":
        from spectro.training.probe import write_vectors

        segments, values = write_vectors(data, out, config=ModelConfig(name=backbone), config_id=config_id)
        print(f"wrote {out}: {segments} segments, {values} columns of {backbone}")
        return 0
    extracted = spectro.extract(data, feature, config=config, config_id=config_id, workers=workers, progress=True)
    store = extracted.store
    print(f"wrote {store.export(out)}: {len(store.segments)} segments, {len(store.columns)} columns of {feature}")
    return complain_of(extracted.failed)


@command("data pack")
def pack(
    data: Path, out: str, /, *, config_id: str | None = None, shard_mb: Megabytes = 256, as_json: Json = False
) -> None:
    """Pack a data folder into a few large files, in a folder or a bucket, from which all commands can read it.

    Example: spectro data pack data s3://spectrograms/run1

    Parameters
    ----------
    data
        Folder made by spectro render.
    out
        Folder or URL to pack it into.
    config_id
        Which spectrograms, if data holds several configurations.
    shard_mb
        Largest size of a file, in megabytes.
    """
    from spectro.data import packing

    sealed = packing.pack(data, out, config_id=config_id, shard_mb=shard_mb)
    if as_json:
        return put_json(sealed.to_dict())
    print(f"packed {sealed.segments} spectrograms of {sealed.clips} clips into {sealed.lots} files below {out}")
    return None


@command("data unpack")
def unpack(source: str, out: Path, /) -> None:
    """Write a packed data folder, or a sealed rendering, as a folder of PNG files again.

    Example: spectro data unpack s3://spectrograms/run1 data

    Parameters
    ----------
    source
        Folder or URL made by spectro data pack or spectro seal.
    out
        Folder to write.
    """
    from spectro.data import packing

    print(f"wrote {packing.unpack(source, require_folder(out, 'data'))}")


@command("data clean")
def clean(data: Path, /, *, dry_run: Flag = False, as_json: Json = False) -> None:
    """Remove what a data folder can do without: caches, features and variants that are made again when needed.

    Example: spectro data clean data --dry-run

    Parameters
    ----------
    data
        Folder made by spectro render.
    dry_run
        Only list what would be removed, with its size.
    """
    from spectro.data import cleaning

    removed = cleaning.clean(data, dry_run=dry_run)
    if as_json:
        return put_json([one.to_dict() for one in removed])
    if removed:
        rows = [(os.path.relpath(one.path, data), one.kind, megabytes(one.size), one.why) for one in removed]
        put_table(("path", "kind", "MB", "why it can go"), rows)
    total = megabytes(sum(one.size for one in removed))
    print(f"{len(removed)} can be removed, {total} MB" if dry_run else f"removed {len(removed)}, {total} MB")
    return None


@command("data list")
def list_datasets(*, as_json: Json = False) -> None:
    """List the public data sets that can be rendered by name: content, licence and how to get them.

    Example: spectro data list --json
    """
    from spectro.data.datasets import DATASETS
    from spectro.data.layouts import LAYOUTS

    known = {name: DATASETS[name] for name in LAYOUTS if name in DATASETS}
    if as_json:
        return put_json({name: {**dataclasses.asdict(one), "stems": sorted(one.stems)} for name, one in known.items()})
    for name, dataset in known.items():
        print(f"{name}: {dataset.title}, {dataset.clips} clips ({dataset.size})")
        for title in ("groups", "licence", "home", "get", "citation"):
            print(f"    {title + ':':<9} {getattr(dataset, title)}")
    return None


@command("data verify")
def verify(name: str, root: Path, /) -> int:
    """Count the files of a downloaded data set and compare them with what was published.

    Example: spectro data verify gtzan downloads/genres

    Parameters
    ----------
    name
        Name of the data set; spectro data list shows them.
    root
        Its folder.
    """
    verified = spectro.verify(name, root)
    put_table(("class", "clips"), verified.counts.items())
    for clip, fault in verified.known_faults.items():
        print(f"known fault: {clip}: {fault}")
    for problem in verified.problems:
        complain(problem, SOME_FAILED)
    return SOME_FAILED if verified.problems else 0


def megabytes(size: int) -> str:
    """Format a number of bytes."""
    return f"{size / 1e6:,.1f}"


def feature_config(feature: str, stats_set: str) -> Config | None:
    """Return the settings that --stats-set means, None for a feature's own; raises ConfigError for other features."""
    if not stats_set:
        return None
    from spectro.audio.features.stats import StatsConfig
    from spectro.core.errors import ConfigError

    if feature != "stats":
        raise ConfigError(f"--stats-set {stats_set} applies to the feature stats, not to '{feature}'; leave one out")
    return StatsConfig(set=stats_set)


def put_audit(report: Audit, gaps: Sequence[LeakageGap]) -> None:
    """Print duplicates, leaks and the leakage gap."""
    if report.pairs:
        rows = [
            (pair.first, pair.second, pair.kind, f"{pair.similarity:.2f}", "" if pair.same_label else "LABELS DIFFER")
            for pair in report.pairs
        ]
        put_table(("clip", "duplicate of", "kind", "similarity", ""), rows)
    print(f"{len(report.pairs)} duplicate pairs in {report.clips} clips, {len(report.ungrouped)} in different groups")
    if (recall := report.recall).clips:
        sample = f"{recall.clips} clips compared by all of them have {recall.pairs} pairs, of which {recall.found}"
        print(f"clips were compared by their rarer landmarks, for there are many; {sample} were found this way too")
    if report.split:
        leaks = f"{len(report.across)} pairs and {len(report.leaking_groups)} groups"
        print(f"split {report.split}: {leaks} are in two subsets")
    if gaps:
        print("leakage gap, measured with a random forest on simple statistics of the spectrograms:")
        columns = ("split by", "segment accuracy", "clip accuracy", "gap to group")
        put_table(columns, [(g.by, *map(interval, (g.segment_accuracy, g.clip_accuracy, g.gap))) for g in gaps])
