"""Prediction: what a model said of a file in evaluation it says again of the file alone, and nothing is dropped."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import spectro
from spectro import FinetuneConfig, MelConfig, ModelConfig, Predictions, RenderConfig, Run, SegmentConfig, SplitConfig
from spectro.core.errors import ConfigError, DataError, RunError
from spectro.data.render import render_clip
from spectro.data.store import open_store

MODEL = ModelConfig(name="test_resnet")
TRAINING = FinetuneConfig(epochs=0, finetune_epochs=1, batch_size=32, device="cpu")


def train(data: Path, out: Path, seed: int) -> Run:
    config = FinetuneConfig.from_dict({**TRAINING.to_dict(), "seed": seed})
    return spectro.finetune(data, out=out, model=MODEL, config=config, weights="none")


@pytest.fixture(scope="module")
def data(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = shutil.copytree(rendered, tmp_path_factory.mktemp("predict") / "data")
    spectro.split(data, config=SplitConfig(test=0.3, val=0.3))
    return data


@pytest.fixture(scope="module")
def runs(data: Path) -> tuple[Run, Run]:
    return train(data, data.parent / "one", 1), train(data, data.parent / "two", 2)


def sources(data: Path, predictions: Predictions) -> list[Path]:
    root = Path(json.loads((data / "source.json").read_text())["root"])
    return [root / clip for clip in dict.fromkeys(predictions.clip_ids)]


def test_a_file_gives_the_pictures_of_its_rendering_bit_for_bit(data: Path, runs: tuple[Run, Run]) -> None:
    store = open_store(data)
    config = RenderConfig.from_dict(runs[0].card()["feature"]["config"])
    stored = {segment.id: picture for segment, picture in zip(store.segments, store.pictures(), strict=True)}
    for path in sources(data, runs[0].predictions("test")):
        name = path.relative_to(json.loads((data / "source.json").read_text())["root"]).as_posix()
        for start, picture in render_clip(path, config):
            np.testing.assert_array_equal(picture, stored[f"{name}@{start:07.2f}"])


def test_a_file_gets_the_probabilities_of_its_evaluation(data: Path, runs: tuple[Run, Run]) -> None:
    judged = runs[0].predictions("test")
    said = spectro.predict(runs[0], sources(data, judged))
    np.testing.assert_allclose(said.segments.probs, judged.probs, atol=1e-5)
    np.testing.assert_allclose(said.clips.probs, judged.pool("soft").probs, atol=1e-5)
    assert said.clips.labels == judged.labels
    assert said.failed == ()


def test_the_cards_temperature_calibrates_clips(data: Path, runs: tuple[Run, Run], tmp_path: Path) -> None:
    run = Run(shutil.copytree(runs[0].path, tmp_path / "run"))
    run.write_card({**run.card(), "temperature": 0.5})
    judged = run.predictions("test")
    squared = judged.pool("soft").probs ** 2
    said = spectro.predict(run, sources(data, judged)).clips.probs
    np.testing.assert_allclose(said, squared / squared.sum(axis=1, keepdims=True), atol=1e-4)


@pytest.mark.parametrize("weights", [None, [0.8, 0.2]])
def test_an_ensemble_decides_about_a_file_as_in_its_evaluation(
    data: Path, runs: tuple[Run, Run], weights: list[float] | None, tmp_path: Path
) -> None:
    both = spectro.ensemble(runs, out=tmp_path / "both", weights=weights)
    judged = both.predictions("test")
    said = spectro.predict(both, sources(data, judged))
    np.testing.assert_allclose(said.clips.probs, judged.probs, atol=1e-5)
    assert len(said.segments) == 3 * len(said.clips)


def test_members_that_cut_differently_meet_at_the_clip(
    corpus_csv: Path, data: Path, runs: tuple[Run, Run], tmp_path: Path
) -> None:
    longer = RenderConfig(mel=MelConfig(n_fft=1024, n_mels=24), segment=SegmentConfig(seconds=1.5))
    other = spectro.render(corpus_csv, out=tmp_path / "data", config=longer, workers=1).data
    spectro.split(other, config=SplitConfig(test=0.3, val=0.3))
    both = spectro.ensemble([runs[0], train(other, tmp_path / "long", 0)], out=tmp_path / "both")
    judged = both.predictions("test")
    said = spectro.predict(both, sources(data, judged))
    np.testing.assert_allclose(said.clips.probs, judged.probs, atol=1e-5)
    assert said.segments.ids == said.clips.ids
    assert said.to_dict()["files"][0]["segments"] == []


def test_files_that_cannot_be_used_are_listed_and_the_others_answered(
    runs: tuple[Run, Run], tmp_path: Path, write_audio: Callable[..., Path], tone: Callable[..., np.ndarray]
) -> None:
    good = write_audio(tmp_path / "in" / "good one, [it is].WAV", tone(2.5))
    write_audio(tmp_path / "in" / "short.wav", tone(0.1))
    (tmp_path / "in" / "text.wav").write_text("not a sound")
    cut = write_audio(tmp_path / "in" / "cut.wav", tone(3.0))
    cut.write_bytes(cut.read_bytes()[:-60_000])
    said = spectro.predict(runs[0], [tmp_path / "in", good, tmp_path / "gone.wav"])
    assert said.clips.ids == (str(good),)
    assert {(Path(one.path).name, one.reason) for one in said.failed} == {
        ("short.wav", "too-short"),
        ("text.wav", "unreadable"),
        ("cut.wav", "truncated"),
        ("gone.wav", "missing"),
    }
    answer = said.to_dict()["files"][0]
    assert [segment["start"] for segment in answer["segments"]] == [0.0, 1.0, 1.5]
    assert answer["probability"] == max(answer["probabilities"].values())


def test_nothing_usable_is_an_empty_answer_and_nothing_given_an_error(runs: tuple[Run, Run], tmp_path: Path) -> None:
    assert len(spectro.predict(runs[0], tmp_path / "gone.wav").clips) == 0
    with pytest.raises(DataError, match="no audio file"):
        spectro.predict(runs[0], tmp_path)
    with pytest.raises(DataError, match="no audio file"):
        spectro.predict(runs[0], [])


def test_overlapping_segments_add_votes_and_are_compared_on_the_same_clips(data: Path, runs: tuple[Run, Run]) -> None:
    judged = runs[0].predictions("test")
    said = spectro.predict(runs[0], sources(data, judged), overlap=0.5)
    assert len(said.segments) > 1.5 * len(judged)
    stored = dict(zip(judged.ids, judged.probs, strict=True))
    root = Path(json.loads((data / "source.json").read_text())["root"])
    names = [Path(name.rpartition("@")[0]).relative_to(root).as_posix() + name[-8:] for name in said.segments.ids]
    again = [(stored[name], probs) for name, probs in zip(names, said.segments.probs, strict=True) if name in stored]
    assert len(again) == len(judged)  # every second one is a segment of before
    for before, now in again:
        np.testing.assert_allclose(before, now, atol=1e-5)
    none = spectro.compare_overlap(runs[0], data, overlap=0.0)
    assert none["pair"]["difference"]["value"] == 0
    half = spectro.compare_overlap(runs[0], data, overlap=0.5)
    assert half["plain"] == none["plain"]
    right = (said.clips.predicted == judged.pool("soft").truth).mean()
    assert half["overlapped"]["clip"]["accuracy"]["value"] == pytest.approx(right)
    with pytest.raises(ConfigError, match="overlap is 1"):
        spectro.predict(runs[0], sources(data, judged), overlap=1.0)


def test_overlap_is_refused_where_no_whole_clip_was_held_out(data: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(data, tmp_path / "data")
    spectro.split(copy, config=SplitConfig(by="segment", test=0.3, val=0.3))
    run = spectro.finetune(copy, out=tmp_path / "run", model=MODEL, config=TRAINING, split="segment", weights="none")
    with pytest.raises(RunError, match="other pieces of its test clips"):
        spectro.compare_overlap(run, copy)


def test_a_file_below_the_threshold_is_given_no_label(data: Path, runs: tuple[Run, Run]) -> None:
    files = sources(data, runs[0].predictions("test"))
    plain = spectro.predict(runs[0], files).to_dict()["files"]
    middle = float(np.median([answer["probability"] for answer in plain]))
    answers = spectro.predict(runs[0], files, abstain=middle).to_dict()["files"]
    for before, now in zip(plain, answers, strict=True):
        assert now["label"] == (before["label"] if before["probability"] >= middle else None)
        assert now["probabilities"] == before["probabilities"]
    assert 0 < sum(answer["label"] is None for answer in answers) < len(answers)
    with pytest.raises(ConfigError, match="abstain is -1"):
        spectro.predict(runs[0], files, abstain=-1)
