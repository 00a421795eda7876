"""Plans: written once, in bounds, the same for all who plan, and refused where something else was planned."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from spectro.core.config import MelConfig, RenderConfig
from spectro.core.errors import ConfigError, DataError
from spectro.core.storage import open_storage
from spectro.data.lots.listing import list_items, root_of
from spectro.data.lots.plan import Bounds, find_plan, make_plan, open_plan, read_items
from spectro.data.lots.records import Item
from spectro.data.lots.weights import weight_of

CONFIG = RenderConfig()


def fake(count: int, size: int = 500_000) -> Iterator[Item]:
    """Yield clips that are not there."""
    for number in range(count):
        name = f"rock/{number:06d}.mp3"
        yield Item(clip=name, label="rock", group=name, fold="", size=size, etag=f"e{number}")


def test_lots_keep_the_order_and_their_bounds(tmp_path: Path) -> None:
    storage = open_storage(tmp_path)
    bounds = Bounds(seconds=5.0)
    plan = make_plan(storage, lambda: fake(1000), source="s3://m", layout="folder", work=CONFIG, bounds=bounds)
    items = [read_items(storage, plan, number) for number in range(len(plan.lots))]
    assert [item for lot in items for item in lot] == list(fake(1000))
    assert [len(lot) for lot in items] == [lot.clips for lot in plan.lots]
    assert all(lot.weight <= 5.0 for lot in plan.lots)
    assert sum(lot.weight for lot in plan.lots) == pytest.approx(1000 * weight_of("a.mp3", 500_000), rel=1e-3)
    assert sum(lot.bytes for lot in plan.lots) == 1000 * 500_000
    assert len({lot.id for lot in plan.lots}) == len(plan.lots) > 3
    assert open_plan(storage) == plan


def test_each_bound_ends_a_lot(tmp_path: Path) -> None:
    counts = {}
    for name, bounds in (
        *(("all", Bounds()), ("size", Bounds(megabytes=0.3))),
        *(("bytes", Bounds(source_bytes=1e6)), ("one", Bounds(seconds=1e-6))),
    ):
        storage = open_storage(tmp_path / name)
        plan = make_plan(storage, lambda: fake(12), source="s", layout="folder", work=CONFIG, bounds=bounds)
        counts[name] = [lot.clips for lot in plan.lots]
    assert counts["all"] == [12]
    assert counts["bytes"] == [2] * 6
    assert counts["one"] == [1] * 12
    assert 1 < len(counts["size"]) < 12


def test_of_many_planners_all_get_one_plan(tmp_path: Path) -> None:
    storage = open_storage(tmp_path)

    def plan(number: int) -> object:
        return make_plan(storage, lambda: fake(20 + number), source="s3://m", layout="folder", work=CONFIG)

    with ThreadPoolExecutor(8) as pool:
        plans = list(pool.map(plan, range(8)))
    assert all(one == plans[0] for one in plans)
    assert len(list(storage.list())) == 2  # the plan, and the table of the one that counts


def test_the_id_of_a_lot_is_of_settings_and_content(tmp_path: Path) -> None:
    def ids(name: str, items: Callable[[], Iterator[Item]], work: RenderConfig) -> list[str]:
        storage = open_storage(tmp_path / name)
        return [lot.id for lot in make_plan(storage, items, source="s", layout="folder", work=work).lots]

    first = ids("a", lambda: fake(3), CONFIG)
    assert ids("b", lambda: fake(3), CONFIG) == first
    assert ids("c", lambda: fake(3), RenderConfig(mel=MelConfig(n_mels=64))) != first
    assert ids("d", lambda: (replace(item, etag="new") for item in fake(3)), CONFIG) != first


def test_another_plan_is_refused_with_the_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = open_storage(tmp_path)
    make_plan(storage, lambda: fake(3), source="s3://m", layout="folder", work=CONFIG)
    other = RenderConfig(mel=MelConfig(n_mels=64))
    with pytest.raises(ConfigError, match=r"mel.n_mels: 128 here, 64 there"):
        make_plan(storage, lambda: fake(3), source="s3://m", layout="folder", work=other)
    with pytest.raises(ConfigError, match="of the source s3://m"):
        make_plan(storage, lambda: fake(3), source="s3://other", layout="folder", work=CONFIG)
    monkeypatch.setattr("spectro.data.lots.plan.code_version", lambda prediction: "9.9.9-new")
    with pytest.raises(ConfigError, match=r"but this is 9.9.9-new"):
        make_plan(storage, lambda: fake(3), source="s3://m", layout="folder", work=CONFIG)


def test_nothing_to_plan_and_no_plan_are_one_line(tmp_path: Path) -> None:
    storage = open_storage(tmp_path)
    assert find_plan(storage) is None
    with pytest.raises(DataError, match=r"has no plan.json"):
        open_plan(storage)
    with pytest.raises(DataError, match="lists no clips"):
        make_plan(storage, lambda: fake(0), source="s3://m", layout="folder", work=CONFIG)
    assert list(storage.list()) == []


def test_a_bucket_is_listed_by_folders_or_by_its_table(tmp_path: Path) -> None:
    url = f"memory://{tmp_path}"
    storage = open_storage(url)
    for name in ("rock/a.mp3", "rock/deep/b.wav", "jazz/c.flac", "jazz/.hidden.wav", "jazz/notes.txt"):
        storage.put_if_absent(name, b"12345")
    items = list(list_items(url, "auto"))
    assert [(item.clip, item.label, item.size) for item in items] == [
        *(("jazz/c.flac", "jazz", 5), ("rock/a.mp3", "rock", 5), ("rock/deep/b.wav", "rock", 5))
    ]
    assert all(item.etag for item in items)
    storage.put_if_absent("clips.csv", b"path,label,group\nrock/a.mp3,loud,x\nrock/gone.mp3,loud,\n")
    assert root_of(f"{url}/clips.csv", "auto") == (url, "csv")
    listed = [(item.clip, item.label, item.group, bool(item.etag)) for item in list_items(f"{url}/clips.csv", "auto")]
    assert listed == [("rock/a.mp3", "loud", "x", True), ("rock/gone.mp3", "loud", "rock/gone.mp3", False)]
    storage.put_if_absent("z.wav", b"1")
    with pytest.raises(DataError, match="outside a class folder"):
        list(list_items(url, "folder"))
    assert len(list(list_items(url, "folder", labelled=False))) == 4
    with pytest.raises(ConfigError, match="takes a local folder"):
        root_of(url, "gtzan")
