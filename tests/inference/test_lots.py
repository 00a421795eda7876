"""Predicting in lots: row for row the answers of `predict`, with failures listed, by every engine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from pyarrow import parquet

from spectro.core.config import RenderConfig
from spectro.core.errors import ConfigError
from spectro.core.runs import Run
from spectro.core.storage import open_storage
from spectro.core.tables import read_failures
from spectro.data.lots import plan as planning
from spectro.inference.lots import predict_lots, seal_predictions
from spectro.inference.stream import predict_to
from tests.inference.conftest import MakeRun
from tests.raylets import Raylets


@pytest.fixture(scope="module")
def run(make_network_run: MakeRun, small: RenderConfig, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that gives answers, if no good ones."""
    return make_network_run(tmp_path_factory.mktemp("lots") / "run", small)


@pytest.fixture
def music(corpus: Path, tmp_path: Path) -> Path:
    """Six sounds and one file that is none."""
    folder = tmp_path / "music"
    for number, file in enumerate(sorted(corpus.rglob("*.*"))[::4]):
        target = folder / str(number) / file.name
        target.parent.mkdir(parents=True)
        shutil.copy(file, target)
    (folder / "bad.wav").write_bytes(b"no sound")
    return folder


@pytest.fixture
def small_lots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lots of about two sounds."""
    monkeypatch.setattr(planning, "Bounds", lambda: planning_bounds(seconds=0.008))


planning_bounds = planning.Bounds


def local_table(run: Run, music: Path | str, tmp_path: Path) -> object:
    """Return the table that `predict` writes."""
    predict_to(run, music, tmp_path / "local.parquet", workers=1)
    return parquet.read_table(tmp_path / "local.parquet")


@pytest.mark.slow
@pytest.mark.usefixtures("small_lots")
@pytest.mark.parametrize("engine", ["local", "ray"])
def test_answers_are_those_of_predict(
    engine: str, run: Run, music: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if engine == "ray":
        raylets: Raylets = request.getfixturevalue("ray_cluster")
        engine = f"ray:{raylets.address}"
    done = predict_lots(run.path, music, out=tmp_path / "out", engine=engine, workers=2)
    assert done.complete
    assert len(done.plan.lots) > 2
    sealed = seal_predictions(tmp_path / "out")
    assert (sealed.clips, sealed.failed) == (7, 1)
    assert parquet.read_table(tmp_path / "out" / "predictions.parquet") == local_table(run, music, tmp_path)
    [failure] = read_failures(tmp_path / "out" / "failed.csv")
    assert failure.path == "bad.wav"
    assert str(music / "bad.wav") in failure.message
    assert "predictions.parquet" in sealed.tables


@pytest.mark.slow
def test_run_sounds_and_answers_may_be_in_a_bucket(
    run: Run, music: Path, tmp_path: Path, s3: Callable[[], str]
) -> None:
    url = s3()
    for name, folder in (("music", music), ("run", run.path)):
        storage = open_storage(f"{url}/{name}")
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                storage.put_if_absent(file.relative_to(folder).as_posix(), file)
    done = predict_lots(f"{url}/run", f"{url}/music", out=f"{url}/out", workers=1)
    assert done.complete
    seal_predictions(f"{url}/out")
    (tmp_path / "bucket.parquet").write_bytes(open_storage(f"{url}/out").get("predictions.parquet"))
    table = parquet.read_table(tmp_path / "bucket.parquet").to_pydict()
    local = local_table(run, music, tmp_path).to_pydict()  # type: ignore[attr-defined]
    assert [name.replace(f"{url}/music", os.fspath(music)) for name in table.pop("file")] == local.pop("file")
    assert table == local


def test_answers_of_another_run_are_not_mixed(
    run: Run, music: Path, tmp_path: Path, make_network_run: MakeRun, small: RenderConfig
) -> None:
    predict_lots(run.path, music, out=tmp_path / "out", plan_only=True)
    other = make_network_run(tmp_path / "other", small, seed=1)
    with pytest.raises(ConfigError, match="was planned for another work"):
        predict_lots(other.path, music, out=tmp_path / "out")
