"""Sounds like this: exact neighbours, an index that is made again when it must be, and contradicted labels."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import spectro
from spectro import cli
from spectro.core.config import ClassicalConfig, FinetuneConfig, ModelConfig, SplitConfig
from spectro.core.errors import DataError
from spectro.core.runs import Run
from spectro.evaluation import similar
from spectro.evaluation.similar import SimilarityIndex, disagreeing, embed_files, open_index, similarity_index


def planted(seed: int = 0) -> tuple[SimilarityIndex, set[str]]:
    """Return four clusters of ten groups with three clips each, and the clips that got another's label."""
    rng = np.random.default_rng(seed)
    truth, groups = np.repeat(np.arange(4), 30), np.repeat(np.arange(40), 3)
    vectors = 3 * np.eye(4, 8)[truth] + rng.normal(0, 0.5, (120, 8))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    flipped = rng.choice(120, 10, replace=False)
    given = truth.copy()
    given[flipped] = (truth[flipped] + 1) % 4
    ids = tuple(f"clip{number:03}" for number in range(120))
    index = SimilarityIndex(
        vectors=vectors.astype(np.float32),
        mean=np.zeros(8, np.float32),
        scale=np.ones(8, np.float32),
        ids=ids,
        labels=tuple("abcd"[label] for label in given),
        groups=tuple(map(str, groups)),
    )
    return index, {ids[item] for item in flipped}


def test_planted_errors_are_found_and_no_other_is_blamed() -> None:
    index, flipped = planted()
    found = disagreeing(index, neighbours=10)
    assert {one.clip for one in found} == flipped
    assert all(0 <= one.own_share < one.share <= 1 for one in found)
    groups = dict(zip(index.ids, index.groups, strict=True))
    assert all(groups[one.clip] != near.group for one in found for near in one.neighbours)


def test_blocks_and_few_groups_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    index, _ = planted()
    whole = disagreeing(index)
    monkeypatch.setattr(similar, "BLOCK", 7)
    found = disagreeing(index)
    assert [(one.clip, one.suggested) for one in found] == [(one.clip, one.suggested) for one in whole]
    assert np.allclose([one.share for one in found], [one.share for one in whole], atol=1e-5)
    assert disagreeing(replace(index, groups=("one",) * 120)) == ()


def test_an_approximate_index_finds_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("faiss", reason="APPROXIMATE SEARCH IS UNTESTED: no faiss")
    index, flipped = planted()
    monkeypatch.setattr(similar, "EXACT", 10)
    assert {one.clip for one in disagreeing(index, neighbours=10)} == flipped


@pytest.fixture(scope="module")
def data(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = shutil.copytree(rendered, tmp_path_factory.mktemp("similar") / "data")
    spectro.split(copy, config=SplitConfig(test=0.3, val=0.3))
    return copy


@pytest.fixture(scope="module")
def train(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Run]:
    folder = tmp_path_factory.mktemp("runs")

    def make(name: str, **changes: Any) -> Run:
        if name.startswith("forest"):
            return spectro.train_classical(
                data, out=folder / name, model="forest", config=ClassicalConfig(search=False, **changes)
            )
        config = FinetuneConfig(frozen_epochs=0, epochs=2, device="cpu", augment="none", mixup=0, cutmix=0, **changes)
        return spectro.finetune(data, out=folder / name, model=ModelConfig(name="cnn5"), config=config, weights="none")

    return make


@pytest.mark.slow
@pytest.mark.parametrize("name", ["net", "forest"])
def test_a_file_is_its_own_nearest_neighbour(train: Callable[..., Run], data: Path, corpus: Path, name: str) -> None:
    """What is computed of the file itself is what the data folder holds of it."""
    run = train(name)
    index = similarity_index(run, data, device="cpu")
    assert len(index) == 24
    files = sorted(path for path in corpus.rglob("*.*") if path.is_file())[::5]
    for file, row in zip(files, embed_files(run, files, device="cpu"), strict=True):
        near = index.nearest(row, 3)
        assert Path(near[0].clip).name == file.name
        assert near[0].distance < 1e-3 < near[1].distance
        assert [one.distance for one in near] == sorted(one.distance for one in near)
        assert index.nearest(row, 3, but=near[0].clip)[:2] == near[1:]


@pytest.mark.slow
def test_an_index_is_made_again_only_when_something_changed(
    train: Callable[..., Run], data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run, path = train("net"), tmp_path / "songs.npz"
    copy = shutil.copytree(data, tmp_path / "data")
    made = similarity_index(run, copy, device="cpu", save=path)
    before = path.stat().st_mtime_ns
    assert open_index(run, path).ids == made.ids
    assert path.stat().st_mtime_ns == before
    assert caplog.messages == []
    path.write_bytes(path.read_bytes()[:-9])
    assert np.array_equal(open_index(run, path, device="cpu").vectors, made.vectors)
    assert open_index(train("net-2", seed=2), path, device="cpu").vectors.tolist() != made.vectors.tolist()
    table = (copy / "clips.csv").read_text(encoding="utf-8")
    (copy / "clips.csv").write_text(table.replace(",hum,", ",drone,"), encoding="utf-8")
    assert "drone" in open_index(run, path, device="cpu").labels
    assert sum("it is made again" in message for message in caplog.messages) == 3
    assert sum("it is made again" in message for message in caplog.messages) == 3
    shutil.rmtree(copy)
    assert "drone" in open_index(run, path).labels
    path.with_suffix(".json").write_text("{}", encoding="utf-8")
    with pytest.raises(DataError, match="is not a similarity-index"):
        open_index(run, path)


@pytest.mark.slow
def test_the_command_lists_neighbours_and_writes_a_page(
    train: Callable[..., Run], data: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, file = train("net"), next(corpus.rglob("hum-0-0.*"))
    page = tmp_path / "near.html"
    words = ["similar", str(run.path), str(file), "--in", str(data), "--count", "4", "--html", str(page), "--json"]
    with pytest.raises(SystemExit) as end:
        cli.main([*words, "--device", "cpu"])
    assert not end.value.code
    (found,) = json.loads(capsys.readouterr().out)
    assert len(found["neighbours"]) == 4
    text = page.read_text(encoding="utf-8")
    assert text.count("<audio") == 5
    assert text.count("<img") == 4
    assert "://" not in text
    for wrong in (["similar", str(run.path), "--in", str(data)], [*words, "--mislabelled"]):
        with pytest.raises(SystemExit) as end:
            cli.main(wrong)
        assert end.value.code == 2
    with pytest.raises(SystemExit) as end:
        cli.main(["similar", str(run.path), "--in", str(data), "--mislabelled", "--device", "cpu"])
    assert not end.value.code
