"""Prediction: files get the same probabilities as in evaluation, and every file that cannot be used is listed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import spectro
from spectro import FinetuneConfig, MelConfig, ModelConfig, Predictions, RenderConfig, Run, SegmentConfig, SplitConfig
from spectro.core.data_folder import DataFolder
from spectro.core.errors import ConfigError, DataError, RunError
from spectro.data.render import render_clip
from spectro.data.store import open_store
from spectro.inference.temperature import apply_temperature
from tests.inference.conftest import MakeRun

MODEL = ModelConfig(name="test_resnet")
TRAINING = FinetuneConfig(frozen_epochs=0, epochs=1, batch_size=32, device="cpu")


def train(data: Path, out: Path, seed: int) -> Run:
    return spectro.finetune(data, out=out, model=MODEL, config=replace(TRAINING, seed=seed), weights="none")


@pytest.fixture(scope="module")
def runs(data: Path) -> tuple[Run, Run]:
    return train(data, data.parent / "one", 1), train(data, data.parent / "two", 2)


@pytest.fixture(scope="module")
def untrained(data: Path, make_network_run: MakeRun, small: RenderConfig) -> Run:
    return make_network_run(data.parent / "untrained", small, temperature=1.5)


def sources(data: Path, predictions: Predictions) -> list[Path]:
    root = DataFolder.open(data).source_root()
    return [root / clip for clip in dict.fromkeys(predictions.clip_ids)]


def calibrated_clips(run: Run) -> Predictions:
    return apply_temperature(run.clip_predictions("test"), run.card.temperature)


def test_a_file_gives_the_images_of_its_rendering_bit_for_bit(data: Path, runs: tuple[Run, Run]) -> None:
    store, root = open_store(data), DataFolder.open(data).source_root()
    feature, _ = runs[0].card.of_model()
    stored = {segment.id: image for segment, image in zip(store.segments, store.spectrograms(), strict=True)}
    for path in sources(data, runs[0].predictions("test")):
        for start, image in render_clip(path, feature.render_config):
            np.testing.assert_array_equal(image, stored[f"{path.relative_to(root).as_posix()}@{start:07.2f}"])


def test_a_file_gets_the_probabilities_of_its_evaluation(data: Path, runs: tuple[Run, Run]) -> None:
    evaluated = runs[0].predictions("test")
    predicted = spectro.predict(runs[0], sources(data, evaluated))
    np.testing.assert_allclose(predicted.segments.probs, evaluated.probs, atol=1e-5)
    np.testing.assert_allclose(predicted.clips.probs, calibrated_clips(runs[0]).probs, atol=1e-5)
    assert predicted.clips.labels == evaluated.labels
    assert predicted.failed == ()


def test_the_temperature_of_the_card_calibrates_clips(data: Path, runs: tuple[Run, Run], tmp_path: Path) -> None:
    run = Run(shutil.copytree(runs[0].path, tmp_path / "run"))
    run.write_card(replace(run.card, temperature=0.5))
    evaluated = run.predictions("test")
    squared = evaluated.pool("soft").probs ** 2
    probs = spectro.predict(run, sources(data, evaluated)).clips.probs
    np.testing.assert_allclose(probs, squared / squared.sum(axis=1, keepdims=True), atol=1e-4)


@pytest.mark.parametrize("weights", [None, [0.8, 0.2]])
def test_an_ensemble_predicts_a_file_as_in_its_evaluation(
    data: Path, runs: tuple[Run, Run], weights: list[float] | None, tmp_path: Path
) -> None:
    both = spectro.ensemble(runs, out=tmp_path / "both", weights=weights)
    evaluated, segments = both.predictions("test"), both.segment_predictions("test")
    predicted = spectro.predict(both, sources(data, evaluated))
    np.testing.assert_allclose(predicted.clips.probs, calibrated_clips(both).probs, atol=1e-5)
    assert len(predicted.segments) == 3 * len(predicted.clips)
    assert segments is not None
    np.testing.assert_allclose(predicted.segments.probs, segments.probs, atol=1e-5)


def test_members_that_cut_differently_are_combined_per_clip(
    corpus_csv: Path, data: Path, runs: tuple[Run, Run], tmp_path: Path
) -> None:
    longer = RenderConfig(mel=MelConfig(n_fft=1024, n_mels=24), segment=SegmentConfig(seconds=1.5))
    other = spectro.render(corpus_csv, out=tmp_path / "data", config=longer, workers=1).data
    spectro.split(other, config=SplitConfig(test=0.3, val=0.3))
    both = spectro.ensemble([runs[0], train(other, tmp_path / "long", 0)], out=tmp_path / "both")
    evaluated = calibrated_clips(both)
    predicted = spectro.predict(both, sources(data, evaluated))
    np.testing.assert_allclose(predicted.clips.probs, evaluated.probs, atol=1e-5)
    assert predicted.segments.ids == predicted.clips.ids
    assert predicted.to_dict()["files"][0]["segments"] == []


def test_unusable_files_are_listed_and_the_others_answered(
    untrained: Run, tmp_path: Path, write_audio: Callable[..., Path], tone: Callable[..., np.ndarray]
) -> None:
    good = write_audio(tmp_path / "in" / "good one, [it is].WAV", tone(2.5))
    write_audio(tmp_path / "in" / "short.wav", tone(0.1))
    (tmp_path / "in" / "text.wav").write_text("not a sound")
    cut = write_audio(tmp_path / "in" / "cut.wav", tone(3.0))
    cut.write_bytes(cut.read_bytes()[:-60_000])
    (tmp_path / "in" / "notes.txt").touch()
    predicted = spectro.predict(untrained, [tmp_path / "in", good, tmp_path / "gone.wav"])
    assert [(one.suffix, one.count) for one in predicted.skipped] == [(".txt", 1)]
    assert predicted.clips.ids == (str(good),)
    assert {(Path(failure.path).name, failure.reason) for failure in predicted.failed} == {
        ("short.wav", "too-short"),
        ("text.wav", "unreadable"),
        ("cut.wav", "truncated"),
        ("gone.wav", "missing"),
    }
    answer = predicted.to_dict()["files"][0]
    assert [segment["start"] for segment in answer["segments"]] == [0.0, 1.0, 1.5]
    assert answer["probability"] == max(answer["probabilities"].values())


def test_nothing_usable_is_empty_and_nothing_given_an_error(untrained: Run, tmp_path: Path) -> None:
    predicted = spectro.predict(untrained, tmp_path / "gone.wav")
    assert len(predicted.clips) == len(predicted.segments) == 0
    with pytest.raises(DataError, match="no audio file"):
        spectro.predict(untrained, tmp_path)
    with pytest.raises(DataError, match="no audio file"):
        spectro.predict(untrained, [])


@pytest.mark.slow
def test_overlapping_segments_add_votes_on_the_same_clips(data: Path, runs: tuple[Run, Run]) -> None:
    evaluated = runs[0].predictions("test")
    predicted = spectro.predict(runs[0], sources(data, evaluated), overlap=0.5)
    assert len(predicted.segments) > 1.5 * len(evaluated)
    stored = dict(zip(evaluated.ids, evaluated.probs, strict=True))
    root = DataFolder.open(data).source_root()
    names = [Path(name.rpartition("@")[0]).relative_to(root).as_posix() + name[-8:] for name in predicted.segments.ids]
    again = [
        (stored[name], probs) for name, probs in zip(names, predicted.segments.probs, strict=True) if name in stored
    ]
    assert len(again) == len(evaluated)  # every second one is a segment of before
    for before, now in again:
        np.testing.assert_allclose(before, now, atol=1e-5)
    none = spectro.compare_overlap(runs[0], data, overlap=0.0)
    assert none.pair.difference.value == 0
    half = spectro.compare_overlap(runs[0], data, overlap=0.5)
    assert half.plain.to_dict() == none.plain.to_dict()
    right = (predicted.clips.predicted == evaluated.pool("soft").truth).mean()
    assert half.overlapped.clip.accuracy.value == pytest.approx(right)
    with pytest.raises(ConfigError, match="overlap is 1"):
        spectro.predict(runs[0], sources(data, evaluated), overlap=1.0)


def test_overlap_is_refused_where_no_whole_clip_was_held_out(data: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(data, tmp_path / "data")
    spectro.split(copy, config=SplitConfig(by="segment", test=0.3, val=0.3))
    run = spectro.finetune(copy, out=tmp_path / "run", model=MODEL, config=TRAINING, split="segment", weights="none")
    with pytest.raises(RunError, match="other segments of its test clips"):
        spectro.compare_overlap(run, copy)


def test_a_file_below_the_threshold_is_given_no_label(data: Path, untrained: Run) -> None:
    root = DataFolder.open(data).source_root()
    files = [root / clip.id for clip in DataFolder.open(data).clips]
    plain = spectro.predict(untrained, files).to_dict()["files"]
    middle = float(np.median([answer["probability"] for answer in plain]))
    answers = spectro.predict(untrained, files, min_confidence=middle).to_dict()["files"]
    for before, now in zip(plain, answers, strict=True):
        assert now["label"] == (before["label"] if before["probability"] >= middle else None)
        assert now["probabilities"] == before["probabilities"]
    assert 0 < sum(answer["label"] is None for answer in answers) < len(answers)
    with pytest.raises(ConfigError, match="min_confidence is -1"):
        spectro.predict(untrained, files, min_confidence=-1)
