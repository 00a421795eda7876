"""Render the clips of a data folder again with other settings, as a data folder of their own with the same split."""

from __future__ import annotations

from pathlib import Path

from spectro.core.config import RenderConfig, SplitConfig
from spectro.core.data_folder import DataFolder
from spectro.core.tables import Split
from spectro.data.layouts import Scan
from spectro.data.render import Rendering, render_scan
from spectro.data.splits import split as make_split
from spectro.data.store import open_store


def rerender(
    data: DataFolder | Path | str,
    config: RenderConfig,
    *,
    split: str,
    config_id: str | None = None,
    workers: int = 0,
    progress: bool = False,
) -> Rendering:
    """Return the clips of `data` rendered with other settings, doing only what is missing.

    They are in `<data>/variants/<config id>`, so that `data` itself still has spectrograms of one kind. A split of
    clips is the same one there, to the hash; one of segments is made again, since other settings make other segments.

    Parameters
    ----------
    data
        Folder that `render` made; the sound is read from where it was rendered from.
    config
        The settings; those of `data` give `data` itself.
    split
        Name of a split in `<data>/splits`.
    config_id
        Whose clips, when `data` has spectrograms of several configurations.
    workers
        Number of processes; 0 for one per core.
    progress
        Draw a progress bar on standard error.

    Returns
    -------
    Rendering

    Raises
    ------
    DataError
        the source is gone, there is no such split, or not one clip could be rendered.
    """
    data = DataFolder.open(data)
    store = open_store(data, config_id)
    if config == store.config:
        return Rendering(data=data.path, store=store, made=0, reused=len(store.segments), failed=())
    chosen = data.split(split)
    root, source = data.source_root(), data.source
    assert source is not None  # source_root would have raised
    # The clips that have spectrograms, not those of the source: some of these may have been left out on purpose.
    clips = tuple(dict.fromkeys(segment.clip for segment in store.segments))
    listing = Scan(root=root, clips=clips, layout=source.layout)
    out = data.variant(config).path
    rendering = render_scan(
        listing,
        out=out,
        config=config,
        workers=workers,
        source_moved=True,  # which was decided when `data` itself was rendered
        progress=progress,
        edited=store.edited,
    )
    _split_alike(DataFolder(rendering.data), chosen)
    return rendering


def _split_alike(variant: DataFolder, chosen: Split) -> None:
    if chosen.by != "segment":
        variant.write_split(chosen)
        return
    old = chosen.statistics
    config = SplitConfig(by="segment", test=old.test, val=old.val, folds=old.folds, seed=old.seed)
    make_split(variant, config=config, name=chosen.name.rpartition("-")[0] if old.folds else chosen.name)
