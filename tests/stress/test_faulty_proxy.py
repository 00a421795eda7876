"""Storage through a proxy that refuses, delays and breaks off requests: nothing wrong is read, nothing is lost."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from scripts.attacks.faulty_proxy import Faults, FaultyProxy
from spectro.core.config import RenderConfig
from spectro.core.storage import open_storage
from spectro.data.lots.render_lots import render_lots
from spectro.data.lots.seal import seal
from spectro.data.packing import unpack
from spectro.data.render import render
from spectro.data.store import open_store

pytestmark = pytest.mark.slow


@pytest.fixture
def faulty(s3: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyProxy]:
    """A proxy before the server of `s3`, which the environment names; a fifth of all requests goes wrong."""
    s3()
    faults = Faults(refused=0.1, lost=0.05, cut=0.05, latency=0.005)
    with FaultyProxy(os.environ["AWS_ENDPOINT_URL"], faults) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        yield proxy


def test_objects_survive_a_faulty_network(s3: Callable[[], str], faulty: FaultyProxy) -> None:
    storage = open_storage(s3())
    content = {f"a/{number}": np.random.default_rng(number).bytes(1 + 40_000 * number) for number in range(20)}
    for name, data in content.items():
        storage.put_if_absent(name, data)
        assert not storage.put_if_absent(name, b"other")
    assert {entry.name: entry.size for entry in storage.list()} == {name: len(data) for name, data in content.items()}
    for name, data in content.items():
        assert storage.get(name) == data
        assert storage.read(name, len(data) // 3, len(data)) == data[len(data) // 3 :]
        storage.delete(name)
        assert storage.head(name) is None
    assert min(faulty.counts[fate] for fate in ("passed", "refused", "lost", "cut")) > 2


def test_rendering_through_a_faulty_network_is_the_local_one(
    corpus: Path,
    small: RenderConfig,
    s3: Callable[[], str],
    faulty: FaultyProxy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    url = s3()
    music = open_storage(f"{url}/music")
    for file in (path for path in corpus.rglob("*.*") if path.is_file()):
        music.put_if_absent(file.relative_to(corpus).as_posix(), file)
    render_lots(f"{url}/music", out=f"{url}/out", config=small, workers=2, shard_mb=0.02)
    done = render_lots(f"{url}/music", out=f"{url}/out", config=small, workers=2, shard_mb=0.02)
    assert done.complete
    sealed = seal(f"{url}/out")
    assert (sealed.clips, sealed.failed, sealed.segments) == (24, 0, 72)
    plain = render(corpus, out=tmp_path / "plain", config=small, workers=1).store
    assert (open_store(f"{url}/out").spectrograms() == plain.spectrograms()).all()
    unpacked = unpack(f"{url}/out", tmp_path / "unpacked") / plain.path.name
    images = {path.relative_to(plain.path): path.read_bytes() for path in plain.path.rglob("*.png")}
    assert {path.relative_to(unpacked): path.read_bytes() for path in unpacked.rglob("*.png")} == images
    assert faulty.counts["lost"] > 0
