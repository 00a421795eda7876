"""Rendering in lots: the same bytes as without, once each, whatever dies and whoever else works."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import soundfile

from spectro.core.config import RenderConfig
from spectro.core.errors import ConfigError, DataError
from spectro.core.storage import Storage, open_storage
from spectro.data.engines.choice import Engine
from spectro.data.engines.pool import Function, Pool
from spectro.data.engines.processes import ProcessPool
from spectro.data.lots.commit import commit, committed, read_commit
from spectro.data.lots.drive import Driven, drive
from spectro.data.lots.listing import list_items
from spectro.data.lots.names import SHARD_FOLDER, commit_name
from spectro.data.lots.plan import Bounds, make_plan, read_items
from spectro.data.lots.records import Commit, LotJob, LotTask, Plan
from spectro.data.lots.render_lots import render_lots, run_plan
from spectro.data.lots.rendering import render_lot
from spectro.data.lots.seal import seal
from spectro.data.lots.shard import iter_shard, segment_id_of
from spectro.data.lots.status import status
from spectro.data.render import render
from tests.data.lots import deadly
from tests.data.lots.conftest import SMALL, Planned, Sealed
from tests.raylets import Raylets


def work(storage: Storage, plan: Plan, function: Function, *, workers: int = 2, pool: Pool | None = None) -> Driven:
    """Have all lots done by a function of `deadly`."""
    with closing(pool or ProcessPool(function, LotJob(out=storage.url), workers)) as own:
        waiting = range(len(plan.lots))
        return drive(own, plan, waiting, lambda lot, item: read_items(storage, plan, lot)[item].clip)


@pytest.fixture(scope="session")
def expected(planned: Planned, sealed: Sealed, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What sealing leaves where nothing died: lots done one after another in this process."""
    out = tmp_path_factory.mktemp("lots-expected") / "out"
    _, plan = planned(out)
    for number in reversed(range(len(plan.lots))):
        result = render_lot(LotJob(out=str(out)), LotTask(number=number, attempt=f"own{number}"))
        assert result.state == "committed"
    return sealed(out)


def test_shards_hold_the_images_that_render_writes(
    expected: dict[str, bytes], plain: Path, small: RenderConfig, tmp_path: Path
) -> None:
    images = {}
    for name, content in expected.items():
        if name.startswith(SHARD_FOLDER):
            (tmp_path / "shard.tar").write_bytes(content)
            with (tmp_path / "shard.tar").open("rb") as file:
                images |= {segment_id_of(one): data for one, data in iter_shard(file) if one.endswith(".png")}
    folder = plain / f"mel-{small.config_id()}"
    assert images == {path.relative_to(folder).as_posix()[:-4]: path.read_bytes() for path in folder.rglob("*.png")}
    assert len(images) == 24


@pytest.mark.slow
def test_workers_that_die_at_every_stage_change_nothing(
    expected: dict[str, bytes], planned: Planned, sealed: Sealed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(deadly.MARKS, str(tmp_path))
    storage, plan = planned(tmp_path / "out")
    driven = work(storage, plan, deadly.render_dying)
    assert driven.deaths == len(deadly.STAGES) * len(plan.lots)
    assert driven.given_up == ()
    assert sealed(tmp_path / "out") == expected


@pytest.mark.slow
def test_a_driver_that_dies_is_followed_by_another(
    expected: dict[str, bytes], planned: Planned, sealed: Sealed, tmp_path: Path
) -> None:
    storage, plan = planned(tmp_path / "out")
    program = (
        "import sys; from tests.data.lots import deadly; from tests.data.lots.test_render_lots import work\n"
        "from spectro.core.storage import open_storage; from spectro.data.lots.plan import open_plan\n"
        "storage = open_storage(sys.argv[1]); work(storage, open_plan(storage), deadly.render_slowly, workers=1)"
    )
    root = Path(__file__).parents[3]
    driver = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "out")], env={**os.environ, "PYTHONPATH": str(root)}
    )
    while not list(committed(storage)):
        assert driver.poll() is None
        time.sleep(0.02)
    driver.kill()
    driver.wait()
    before = {lot for lot, _ in committed(storage)}
    assert 0 < len(before) < len(plan.lots)
    done = run_plan(storage, plan, render_lot, Engine(name="local"), workers=2)
    assert done.complete
    assert done.before >= len(before)
    assert sealed(tmp_path / "out") == expected


@pytest.mark.slow
def test_two_drivers_at_once_do_each_lot_once(
    expected: dict[str, bytes], planned: Planned, sealed: Sealed, tmp_path: Path
) -> None:
    def driver(_: int) -> Driven:
        storage, plan = planned(tmp_path / "out")
        return work(storage, plan, deadly.render_slowly, workers=1)

    with ThreadPoolExecutor(2) as pool:
        drivers = list(pool.map(driver, range(2)))
    storage, plan = planned(tmp_path / "out")
    assert sum(one.clips for one in drivers) == plan.clips  # by who won; the other one lost
    assert len(list(storage.list(SHARD_FOLDER))) == len(plan.lots)
    assert sealed(tmp_path / "out") == expected


@pytest.mark.parametrize("kind", ["path", "memory", pytest.param("s3", marks=pytest.mark.slow)])
def test_a_lot_is_committed_by_one_of_many_attempts(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    url = {"path": lambda: tmp_path, "memory": lambda: f"memory://{tmp_path}"}.get(kind) or request.getfixturevalue(
        kind
    )
    storage = open_storage(url())
    shard = tmp_path / "own.tar"
    shard.write_bytes(b"shard")

    def own(number: int) -> Commit:
        name = f"{SHARD_FOLDER}lot.{number}.tar"
        return Commit(lot="lot", attempt=str(number), shard=name, bytes=5, digest="", elapsed=0.0, rows=())

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda number: commit(storage, own(number), shard), range(8)))
    assert won.count(True) == 1
    winner = won.index(True)
    assert read_commit(storage, "lot").attempt == str(winner)
    assert [entry.name for entry in storage.list(SHARD_FOLDER)] == [own(winner).shard]
    assert commit(storage, own(winner), shard)  # as after a lost answer: it is its own, and its shard stays
    assert storage.head(own(winner).shard) is not None


@pytest.mark.slow
def test_a_clip_that_kills_its_worker_is_quarantined_alone(source: Path, small: RenderConfig, tmp_path: Path) -> None:
    music = Path(shutil.copytree(source, tmp_path / "music"))
    for label in ("high", "low"):
        shutil.copy(music / label / "1.wav", music / label / f"2-{deadly.POISON}.wav")
    storage = open_storage(tmp_path / "out")
    plan = make_plan(storage, lambda: list_items(music, "folder"), source=str(music), layout="folder", work=small)
    assert len(plan.lots) == 1
    driven = work(storage, plan, deadly.render_poisoned)
    assert driven.given_up == ()
    rows = read_commit(storage, plan.lots[0].id).rows
    assert [row.clip for row in rows if row.reason == "crashed"] == [f"{one}/2-poison.wav" for one in ("high", "low")]
    assert sum(not row.reason for row in rows) == 12
    assert seal(tmp_path / "out").failed == 3


def test_parts_of_a_long_file_make_the_same_spectrograms(small: RenderConfig, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    sound = (0.1 * rng.standard_normal((30 * 44100, 2))).astype(np.float32)
    sound[: 9 * 44100] = 0  # whole parts of silence
    music = tmp_path / "music"
    (music / "a").mkdir(parents=True)
    soundfile.write(music / "a" / "long.wav", sound, 44100)
    soundfile.write(music / "a" / "silent.flac", np.zeros(30 * 44100), 44100)
    (music / "a" / "torn.wav").write_bytes((music / "a" / "long.wav").read_bytes()[:-200_000])
    storage = open_storage(tmp_path / "out")
    plan = make_plan(
        storage,
        lambda: list_items(music, "folder"),
        source=str(music),
        layout="folder",
        work=small,
        bounds=Bounds(seconds=0.004),
    )
    assert len(plan.lots) == 9
    assert work(storage, plan, render_lot, workers=1).given_up == ()
    seal(tmp_path / "out")
    plain = render(music, out=tmp_path / "plain", config=small, workers=1).data
    for name in ("clips.csv", "failed.csv", f"mel-{small.config_id()}/segments.csv"):
        assert (tmp_path / "out" / name).read_bytes() == (plain / name).read_bytes()
    images = {}
    for path in (tmp_path / "out" / "shards").iterdir():
        with path.open("rb") as file:
            images |= {segment_id_of(name): data for name, data in iter_shard(file) if name.endswith(".png")}
    for png in plain.rglob("*.png"):
        assert images[png.relative_to(plain / f"mel-{small.config_id()}").as_posix()[:-4]] == png.read_bytes()


def test_a_worker_with_other_code_is_refused_with_a_line(planned: Planned, tmp_path: Path) -> None:
    storage, plan = planned(tmp_path)
    with pytest.raises(ConfigError, match=r"has spectro 0.0.9-other, but the plan is of .*; install the same version"):
        work(storage, plan, deadly.render_with_other_code, workers=1)
    assert list(committed(storage)) == []


def test_a_file_that_changes_or_goes_is_a_row(source: Path, small: RenderConfig, tmp_path: Path) -> None:
    music = Path(shutil.copytree(source, tmp_path / "music"))
    storage = open_storage(tmp_path / "out")
    plan = make_plan(storage, lambda: list_items(music, "folder"), source=str(music), layout="folder", work=small)
    (music / "low" / "1.wav").unlink()
    shutil.copy(music / "low" / "2.flac", music / "low" / "3.wav")
    render_lot(LotJob(out=storage.url), LotTask(number=0, attempt="one"))
    reasons = {row.clip: row.reason for row in read_commit(storage, plan.lots[0].id).rows if row.reason}
    assert reasons == {"high/bad.mp3": "unreadable", "low/1.wav": "missing", "low/3.wav": "changed"}


def test_shares_of_a_job_array_are_all_of_the_lots(
    expected: dict[str, bytes], planned: Planned, source: Path, sealed: Sealed, tmp_path: Path
) -> None:
    storage, plan = planned(tmp_path)
    for number in range(3):
        before = status(tmp_path)
        with pytest.raises(DataError, match=r"lots below .* are not done .*run the same command again"):
            seal(tmp_path)
        run_plan(storage, plan, render_lot, Engine.parse(f"shard:{number}/3"), workers=1)
        now = status(tmp_path)
        assert before.done < now.done
        assert not now.sealed
    assert (now.done, now.clips_done, now.failed) == (len(plan.lots), plan.clips, 1)
    assert sealed(tmp_path) == expected
    assert status(tmp_path).sealed


@pytest.mark.parametrize("damage", ["flip", "gone", "commit"])
def test_sealing_finds_every_damaged_shard(
    planned: Planned, tmp_path: Path, damage: str, expected: dict[str, bytes], sealed: Sealed
) -> None:
    storage, plan = planned(tmp_path)
    run_plan(storage, plan, render_lot, Engine(name="local"), workers=1)
    lot = plan.lots[1].id
    path = tmp_path / read_commit(storage, lot).shard
    data = path.read_bytes()
    if damage == "gone":
        path.unlink()
    elif damage == "commit":
        path = tmp_path / commit_name(lot)
        path.write_text(path.read_text().replace('"elapsed": ', '"elapsed": 1'))
    else:
        path.write_bytes(data[:700] + bytes([data[700] ^ 1]) + data[701:])
    with pytest.raises(DataError, match=lot):
        seal(tmp_path)
    assert not (tmp_path / "SEALED.json").exists()
    (tmp_path / commit_name(lot)).unlink()  # as the message advises
    run_plan(storage, plan, render_lot, Engine(name="local"), workers=1)
    assert sealed(tmp_path) == expected


def test_a_data_folder_is_not_rendered_over(plain: Path, source: Path, copy_of: Callable[[Path], Path]) -> None:
    with pytest.raises(ConfigError, match="was not rendered in lots"):
        render_lots(source, out=copy_of(plain))


def test_memory_of_one_process_is_no_place_for_lots(source: Path, small: RenderConfig, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is of one process"):
        render_lots(source, out=f"memory://{tmp_path}", config=small)


@pytest.mark.slow
def test_s3_in_and_out_make_the_same_shards(
    source: Path, small: RenderConfig, s3: Callable[[], str], plain: Path, tmp_path: Path
) -> None:
    url = s3()
    music = open_storage(f"{url}/music")
    for file in source.rglob("*.*"):
        music.put_if_absent(file.relative_to(source).as_posix(), file)
    out = f"{url}/out"
    assert render_lots(f"{url}/music", out=out, config=small, workers=2, shard_mb=0.02).complete
    sealed = seal(out)
    assert (sealed.clips, sealed.failed, sealed.segments) == (13, 1, 24)
    storage = open_storage(out)
    for name in ("clips.csv", f"mel-{small.config_id()}/segments.csv", f"mel-{small.config_id()}/sources.csv"):
        assert storage.get(name) == (plain / name).read_bytes()


@pytest.mark.slow
def test_ray_s3_and_deaths_at_every_stage_change_nothing(
    source: Path,
    small: RenderConfig,
    s3: Callable[[], str],
    ray_cluster: Raylets,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = s3()
    music = open_storage(f"{url}/music")
    for file in source.rglob("*.*"):
        music.put_if_absent(file.relative_to(source).as_posix(), file)
    sealed = []
    for name in ("calm", "deadly"):
        (tmp_path / name).mkdir()
        storage = open_storage(f"{url}/{name}")
        plan = make_plan(
            storage,
            lambda: list_items(music.url, "folder"),
            source=music.url,
            layout="folder",
            work=small,
            bounds=SMALL,
        )
        if name == "calm":
            run_plan(storage, plan, render_lot, Engine(name="local"), workers=1)
        else:
            monkeypatch.setenv(deadly.MARKS, str(tmp_path))
            keys = [key for key in os.environ if key.startswith(("AWS_", "SPECTRO_"))]
            pool = Engine(name="ray", address=ray_cluster.address).open_pool(
                deadly.render_on_cluster,
                deadly.ClusterJob(out=storage.url, environment={key: os.environ[key] for key in keys}),
            )
            driven = work(storage, plan, deadly.render_dying, pool=pool)
            assert driven.deaths == len(deadly.STAGES) * len(plan.lots)
        seal(storage.url)
        sealed.append({entry.name: storage.get(entry.name) for entry in storage.list()})
    calm, dead = ({name: data for name, data in one.items() if "/" not in name or "mel-" in name} for one in sealed)
    del calm["shards.csv"], dead["shards.csv"]
    assert calm == dead
    assert len(sealed[0]) == len(sealed[1])
