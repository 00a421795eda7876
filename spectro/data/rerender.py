"""Variants: the clips of a data folder rendered anew with other settings, as a data folder of its own, split alike."""

from __future__ import annotations

import json
from pathlib import Path

from spectro.core.config import RenderConfig, SplitConfig
from spectro.core.tables import read_split, write_split
from spectro.data.features import source_of
from spectro.data.layouts import Scan
from spectro.data.render import Rendering, render_scan
from spectro.data.splits import split as make_split
from spectro.data.store import open_store


def rerender(
    data: Path | str,
    config: RenderConfig,
    *,
    split: str,
    config_id: str | None = None,
    workers: int = 0,
    progress: bool = False,
) -> Rendering:
    """Return the clips of `data` rendered with other settings, doing only what is missing.

    They lie in `<data>/variants/<config_id>`, so that `data` itself still holds pictures of one kind. A split of
    clips is the same one there, to the hash; one of segments is dealt anew, for other settings make other segments.

    Parameters
    ----------
    data
        Folder that `render` made; the sound is read from where it was rendered from.
    config
        The settings; those of `data` give `data` itself.
    split
        Name of a split in `<data>/splits`.
    config_id
        Which pictures name the clips, when `data` holds several configurations.
    workers
        Number of processes; 0 for one per core.
    progress
        Draw a progress bar on standard error.

    Raises
    ------
    DataError
        the source is gone, there is no such split, or not one clip could be rendered.
    """
    data = Path(data)
    store = open_store(data, config_id)
    if config == store.config:
        return Rendering(data=data, store=store, made=0, reused=len(store.segments), failed=())
    chosen = read_split(data / "splits", split)
    layout = json.loads((data / "source.json").read_text(encoding="utf-8"))["layout"]
    # The clips that have pictures, not those of the source: some of these may have been left out on purpose.
    clips = tuple(dict.fromkeys(segment.clip for segment in store.segments))
    found = Scan(root=source_of(data), clips=clips, layout=layout)
    made = render_scan(
        found, out=data / "variants" / config.config_id(), config=config, workers=workers, progress=progress
    )
    if chosen.by == "segment":
        dealt = SplitConfig(by="segment", **{name: chosen.facts[name] for name in ("test", "val", "folds", "seed")})
        make_split(made.data, config=dealt, name=split.rpartition("-")[0] if dealt.folds else split)
    else:
        write_split(made.data / "splits", chosen)
    return made
