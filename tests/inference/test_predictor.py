"""Predictor: loaded once, it streams answers about paths, open files and arrays, in the order given."""

from __future__ import annotations

import io
import itertools
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest
import soundfile

import spectro
from spectro.core.card import Combination
from spectro.core.config import RenderConfig
from spectro.core.errors import ConfigError, DataError, RunError
from spectro.core.runs import Run
from spectro.core.tables import Failure
from spectro.data.engines.local import cores
from spectro.inference import blocks
from spectro.inference.classifier import Classifier, load_classifier
from spectro.inference.predict import Answer, Predictor
from spectro.inference.sources import Source
from tests.builders import ensemble_card
from tests.conftest import CLASSES, RATE, Noise, WriteAudio, texture
from tests.inference.conftest import MakeRun

Write = Callable[..., Path]
DIES_AT = """
import json, os, sys
sys.path[:] = json.loads(sys.argv[1])
from spectro.inference import readers
read = readers.read_recording
def dying(path, *rest, **settings):
    if path.name == "DEADLY":
        os._exit(1)
    return read(path, *rest, **settings)
readers.read_recording = dying
readers.work()
"""
"""A worker that dies when it is to read one file."""


@pytest.fixture(scope="module")
def run(make_network_run: MakeRun, small: RenderConfig, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return make_network_run(tmp_path_factory.mktemp("predictor") / "run", small, temperature=1.7)


@pytest.fixture(scope="module")
def predictor(run: Run) -> Predictor:
    return Predictor.load(run, "cpu")


def files_of(corpus: Path) -> list[Path]:
    return sorted(path for path in corpus.rglob("*.*") if path.is_file())


def answered(result: Answer | Failure) -> Answer:
    assert isinstance(result, Answer)
    return result


def same(first: Answer | Failure, second: Answer | Failure) -> bool:
    a, b = answered(first), answered(second)
    return (
        a.starts == b.starts and np.array_equal(a.probs, b.probs) and np.array_equal(a.segment_probs, b.segment_probs)
    )


def test_many_calls_answer_like_predict_in_the_order_given(corpus: Path, run: Run, predictor: Predictor) -> None:
    files = files_of(corpus)[::-1]
    predicted = spectro.predict(run, files, device="cpu")
    for _ in range(2):
        results = list(predictor(files))
        assert [answered(result).source for result in results] == [str(file) for file in files]
        assert all(itertools.starmap(same, zip(results, predicted.answers, strict=True)))
    alone = np.array([answered(next(predictor([file]))).probs for file in files])
    np.testing.assert_array_equal(alone, predicted.clips.probs)  # whatever else is asked
    assert len(predicted.segments) == 3 * len(files)


def test_open_files_give_the_answer_of_their_path(corpus: Path, predictor: Predictor) -> None:
    files = files_of(corpus)[:6]
    assert {file.suffix for file in files} == {".wav", ".flac", ".ogg"}
    with files[0].open("rb") as file:
        opened: list[BinaryIO] = [file, *(io.BytesIO(path.read_bytes()) for path in files[1:])]
        results = list(predictor(opened))
    assert all(itertools.starmap(same, zip(results, predictor(files), strict=True)))
    assert [answered(result).source for result in results][:2] == [str(files[0]), "sound 2"]


def test_an_open_mp3_without_length_is_counted_like_its_file(
    tmp_path: Path, tone: Callable[..., np.ndarray], predictor: Predictor
) -> None:
    path = tmp_path / "a.mp3"
    soundfile.write(path, tone(4.0), RATE)
    at = path.read_bytes().find(b"Info") if b"Info" in path.read_bytes() else path.read_bytes().find(b"Xing")
    content = bytearray(path.read_bytes())
    content[at : at + 4] = bytes(4)
    path.write_bytes(content)
    by_path, by_file = predictor([path, io.BytesIO(bytes(content))])
    assert same(by_path, by_file)


def test_arrays_give_the_answer_of_a_file_with_the_same_samples(
    tmp_path: Path, write_audio: Write, predictor: Predictor
) -> None:
    left, right = (np.stack([texture("hum", group, 0) for group in (0, 1)]) * 0.9).astype(np.float32)
    stereo = np.stack([left, right], axis=1)
    paths = [
        write_audio(tmp_path / "mono.wav", left, subtype="FLOAT"),
        write_audio(tmp_path / "stereo.wav", stereo, rate=44100, subtype="FLOAT"),
    ]
    results = list(predictor([(left, RATE), (stereo, 44100), (left.astype(np.float64), RATE)]))
    assert all(itertools.starmap(same, zip(results[:2], predictor(paths), strict=True)))
    assert same(results[0], results[2])


def test_failures_take_their_place_in_the_stream(tmp_path: Path, predictor: Predictor) -> None:
    sound = texture("pulse", 0, 0)
    broken = np.where(np.arange(len(sound)) == 50_000, np.nan, sound).astype(np.float32)
    silence, short = np.zeros(RATE * 2, np.float32), sound[:100]
    arrays: list[Source] = [(samples, RATE) for samples in (sound, broken, silence, short)]
    text = io.BytesIO(b"no sound at all, but a text")
    results = list(predictor([*arrays, tmp_path / "gone.wav", (sound, RATE), text]))
    assert isinstance(results[0], Answer)
    assert same(results[0], results[5])
    failures = [result for result in results if isinstance(result, Failure)]
    assert [failure.reason for failure in failures] == [
        "not-finite",
        "silent",
        "too-short",
        "missing",
        "unreadable",
    ]
    assert [failure.path for failure in failures] == [
        *("sound 2", "sound 3", "sound 4"),
        str(tmp_path / "gone.wav"),
        "sound 7",
    ]
    assert all(failure.message.startswith(failure.path) for failure in failures)


def test_the_stream_is_answered_block_by_block_in_bounded_memory(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spectro.inference.predict.BLOCK", 8)
    taken, waiting = 0, []

    def endless() -> Iterator[tuple[np.ndarray, int]]:
        nonlocal taken
        for take in itertools.count():
            taken += 1
            yield texture("hum", 0, take % 4), RATE

    for number, result in enumerate(itertools.islice(predictor(endless()), 40), 1):
        assert isinstance(result, Answer)
        waiting.append(taken - number)
    assert max(waiting) <= 4  # 8 segments are 2 to 3 sounds of 3 segments


def test_segments_of_many_files_share_a_block(corpus: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    predictor = Predictor.load(run, "cpu")
    classify = blocks.classify

    def counting(block: blocks.Block, models: list[object]) -> None:
        sizes.append(len(block))
        classify(block, models)  # type: ignore[arg-type]

    monkeypatch.setattr("spectro.inference.predict.classify", counting)
    assert len(list(predictor(files_of(corpus)))) == 24
    assert sizes == [64, 8]


def test_workers_give_the_same_answers_in_the_same_order(
    corpus: Path, tmp_path: Path, write_audio: WriteAudio, predictor: Predictor
) -> None:
    long = write_audio(tmp_path / "long.wav", np.tile(texture("hum", 0, 0), 60))  # 180 s: more than one block
    (tmp_path / "text.wav").write_text("no sound")
    samples = (texture("pulse", 1, 0), RATE)
    sources: list[Source] = [long, *files_of(corpus)[:5], samples, tmp_path / "text.wav", tmp_path / "gone.wav"]
    here, there = list(predictor(sources)), list(predictor(sources, workers=2))
    assert [type(result) for result in there] == [Answer] * 7 + [Failure] * 2
    assert all(itertools.starmap(same, zip(here[:7], there[:7], strict=True)))
    assert here[7:] == there[7:]
    assert answered(there[0]).duration == pytest.approx(180)


def test_a_worker_that_dies_costs_one_recording(corpus: Path, predictor: Predictor) -> None:
    files = files_of(corpus)[:4]
    deadly = files[1].name
    started: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen

    def noting(*arguments: Any, **settings: Any) -> subprocess.Popen[bytes]:
        started.append(popen(*arguments, **settings))
        return started[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("spectro.data.worker.subprocess.Popen", noting)
        patch.setattr("spectro.data.worker.PROGRAM", DIES_AT.replace("DEADLY", deadly))
        results = list(predictor(files * 2, workers=2))
    reasons = [result.reason if isinstance(result, Failure) else "" for result in results]
    assert set(reasons) == {"", "crashed"}
    assert [file.name == deadly for file in files * 2] == [reason == "crashed" for reason in reasons]
    assert all(process.poll() is not None for process in started)


def test_workers_end_when_the_answers_are_not_wanted(corpus: Path, predictor: Predictor) -> None:
    before = threading.active_count()
    answers = predictor.results(itertools.cycle(files_of(corpus)), workers=2)
    assert isinstance(next(answers).outcome, Answer)
    answers.close()
    assert threading.active_count() <= before + cores()  # the threads of torch stay


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ((np.zeros((2, 9000), np.float32), RATE), "transpose"),
        ((np.zeros(9000, np.int16), RATE), "divide 16-bit samples by 32768"),
        ((np.zeros(9000, np.float32), 0), "sample rate"),
        ((np.zeros(9000, np.float32),), r"\(samples, sample_rate\)"),
        (io.StringIO("text"), "'rb'"),
        (3, "sound 1 is a int"),
    ],
)
def test_what_is_no_sound_is_refused_with_the_fix(source: object, message: str, predictor: Predictor) -> None:
    with pytest.raises(DataError, match=message):
        list(predictor([source]))  # type: ignore[list-item]


def test_an_impossible_overlap_is_refused_at_once(predictor: Predictor) -> None:
    with pytest.raises(ConfigError, match="overlap is 1"):
        predictor([], overlap=1.0)


@pytest.fixture
def members(make_network_run: MakeRun, small: RenderConfig, tmp_path: Path) -> tuple[Run, Run, Run]:
    """Two members that cut alike, of which the second has other images; and one that cuts differently."""
    finer = replace(small, mel=replace(small.mel, n_mels=40))
    longer = replace(small, segment=replace(small.segment, seconds=1.5))
    configs = {"one": small, "finer": finer, "longer": longer}
    one, two, three = (
        make_network_run(tmp_path / name, config, seed, vote="log-mean")
        for seed, (name, config) in enumerate(configs.items())
    )
    return one, two, three


def combined(path: Path, members: tuple[Run, ...], combination: Combination | None = None, **changes: object) -> Run:
    run = Run(path)
    path.mkdir()
    paths = {member.name: member.path for member in members}
    run.write_card(ensemble_card(run, paths, labels=CLASSES, combination=combination or Combination(), **changes))
    return run


def test_members_are_combined_per_segment_where_they_cut_alike(
    corpus: Path, members: tuple[Run, Run, Run], tmp_path: Path
) -> None:
    files = files_of(corpus)[:3]
    run = combined(tmp_path / "both", members[:2], Combination(weights=(0.7, 0.3)), temperature=2.0)
    results = list(Predictor.load(run, "cpu")(files))
    firsts, seconds = (list(Predictor.load(member, "cpu")(files)) for member in members[:2])
    for result, first, second in zip(
        map(answered, results), map(answered, firsts), map(answered, seconds), strict=True
    ):
        assert result.starts == first.starts == second.starts == (0.0, 1.0, 2.0)
        np.testing.assert_allclose(result.segment_probs, 0.7 * first.segment_probs + 0.3 * second.segment_probs)
        softened = np.sqrt(0.7 * first.probs + 0.3 * second.probs)  # members have the temperature 1
        np.testing.assert_allclose(result.probs, softened / softened.sum())


def test_members_that_cut_differently_have_no_segments(tmp_path: Path, members: tuple[Run, Run, Run]) -> None:
    run = combined(tmp_path / "both", members[::2])
    whole, brief = texture("hum", 0, 0), texture("hum", 0, 0)[:RATE]  # one segment in both, but of different lengths
    sources = [(whole, RATE), (brief, RATE)]
    answers = [answered(result) for result in Predictor.load(run, "cpu")(sources)]
    assert [(answer.starts, len(answer.segment_probs)) for answer in answers] == [((), 0), ((), 0)]
    parts = [[answered(one).probs for one in Predictor.load(member, "cpu")(sources)] for member in members[::2]]
    np.testing.assert_allclose([answer.probs for answer in answers], np.mean(parts, axis=0))


def test_a_model_in_two_nested_ensembles_is_loaded_once(
    members: tuple[Run, Run, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[Path] = []

    def counting(run: Run, device: str) -> Classifier:
        loaded.append(run.path)
        return load_classifier(run, device)

    monkeypatch.setattr("spectro.inference.loaded_model.load_classifier", counting)
    inner = combined(tmp_path / "inner", members[:2])
    outer = combined(tmp_path / "outer", (inner, members[0]))
    (result,) = Predictor.load(outer, "cpu")([(texture("hum", 0, 0), RATE)])
    assert sorted(loaded) == sorted(member.path for member in members[:2])
    one, two = (answered(next(Predictor.load(member, "cpu")([(texture("hum", 0, 0), RATE)]))) for member in members[:2])
    np.testing.assert_allclose(answered(result).probs, 0.75 * one.probs + 0.25 * two.probs, atol=1e-6)
    inner.write_card(
        replace(inner.card, members=(replace(inner.card.members[0], path="../outer"), inner.card.members[1]))
    )
    with pytest.raises(RunError, match="member of itself"):
        Predictor.load(outer, "cpu")


def test_what_is_odd_about_a_recording_comes_with_its_answer(
    tmp_path: Path, write_audio: WriteAudio, noise: Noise, predictor: Predictor
) -> None:
    samples = noise(2.0)
    path = write_audio(tmp_path / "wires.wav", np.stack([samples, -samples], axis=1))
    plain_path = write_audio(tmp_path / "plain.wav", samples)
    plain, odd, opened = predictor([plain_path, path, io.BytesIO(path.read_bytes())])
    assert answered(plain).warnings == ()
    for result, name in ((odd, str(path)), (opened, "sound 3")):
        [warning] = answered(result).warnings
        assert (warning.reason, warning.message.split(" has ")[0]) == ("channels-cancel", name)
        assert answered(result).to_dict()["warnings"] == [warning.to_dict()]


@pytest.mark.skipif(os.name == "nt", reason="makes a pipe")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path, predictor: Predictor) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    [result] = predictor([tmp_path / "pipe.wav"])
    assert isinstance(result, Failure)
    assert (result.reason, "not a file" in result.message) == ("unreadable", True)
