"""None of these: areas and thresholds are exact, a run gets its own, and predictions say so in every form."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

import spectro
from spectro import cli
from spectro.core.config import ClassicalConfig, FinetuneConfig, ModelConfig, SplitConfig
from spectro.core.errors import ConfigError, RunError
from spectro.core.files import read_csv
from spectro.core.openset import NONE_NAMES, means_none
from spectro.core.runs import Run
from spectro.evaluation.openset import SCORES, Outputs, fit, roc_area, separation, statistic_of
from spectro.evaluation.openset_run import fit_openset
from spectro.evaluation.weights import Weights
from spectro.inference.answers import Answer
from spectro.inference.openset import Embedded, OpenSet
from spectro.inference.predict import Predictor
from spectro.inference.tables import TableOptions, csv_lines
from tests.conftest import RATE, Noise, WriteAudio


def clusters(seed: int, classes: int, each: int, segments: int = 2) -> Outputs:
    """Return clips of well separated classes: features around corners, logits that follow them."""
    rng = np.random.default_rng(seed)
    truth = np.repeat(np.arange(classes), each)
    clips = np.repeat(np.arange(len(truth)), segments)
    corners = 8 * np.eye(classes, 6)
    vectors = (corners[truth[clips]] + rng.normal(0, 1, (len(clips), 6))).astype(np.float32)
    logits = vectors[:, :classes].astype(np.float32)
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    probs = odds / odds.sum(axis=1, keepdims=True)
    groups = tuple(f"group-{clip // 2}" for clip in range(len(truth)))
    return Outputs(embedded=Embedded(probs, vectors, logits), clips=clips, truth=truth, groups=groups)


@pytest.mark.parametrize("seed", range(3))
def test_area_and_rate_are_those_of_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    unknown = rng.random(200) < 0.4
    scores = np.round(rng.normal(unknown * 1.0, 1), 1)  # with ties
    area, passing = statistic_of(scores, unknown)
    assert area == pytest.approx(roc_auc_score(unknown, scores))
    rates, hits, _ = roc_curve(~unknown, -scores, drop_intermediate=False)
    assert passing == pytest.approx(rates[hits >= 0.95 - 1e-9][0])
    weights = rng.integers(0, 4, (1, 200)).astype(float)
    wanted = roc_auc_score(unknown, scores, sample_weight=weights[0])
    assert roc_area(scores, unknown, Weights.of_items(weights))[0] == pytest.approx(wanted)


@pytest.mark.parametrize("score", SCORES)
def test_each_score_accepts_known_clips_and_rejects_others(score: str) -> None:
    fitted = fit(clusters(0, 4, 30), clusters(1, 4, 25), score=score)  # type: ignore[arg-type]
    openset = OpenSet(facts=fitted.facts, references=fitted.references)

    def share(outputs: Outputs) -> float:
        rows, facts = openset.rows(outputs.embedded), openset.facts
        above = [openset.score(rows[outputs.clips == clip]) > facts.threshold for clip in range(len(outputs))]
        return float(np.mean(above))

    strange = clusters(2, 6, 20)
    strange = strange.select(strange.truth >= 4)  # two corners where no class was
    logits = strange.embedded.vectors[:, :4]
    odds = np.exp(logits)
    probs = odds / odds.sum(axis=1, keepdims=True)
    strange = replace(strange, embedded=Embedded(probs, strange.embedded.vectors, logits))
    assert share(clusters(3, 4, 25)) <= 0.12
    assert share(strange) >= 0.6
    assert fitted.facts.evidence.keys() == set(SCORES)
    assert openset.novelty(-1e9) == 0
    assert openset.novelty(1e9) == 1


def test_intervals_hold_the_value_and_shrink_with_the_groups() -> None:
    rng = np.random.default_rng(0)
    widths = []
    for clips in (40, 400):
        unknown = np.arange(clips) % 2 == 0
        scores = rng.normal(unknown * 1.5, 1)
        found = separation([(scores, unknown, [f"g{clip // 4}" for clip in range(clips)])]).area
        assert found.low <= found.value <= found.high
        widths.append(found.high - found.low)
    assert widths[1] < widths[0] / 2


def test_names_of_folders_that_mean_none() -> None:
    assert all(means_none(name) for name in (*NONE_NAMES, "Noise", " BACKGROUND"))
    assert not any(means_none(name) for name in ("noise rock", "otter", ""))


@pytest.mark.parametrize(
    ("labels", "novelty", "is_none"),
    [
        (("hum", "Noise"), None, True),
        (("Noise", "hum"), None, False),
        (("hiss", "hum"), None, None),
        (("hiss", "hum"), 0.99, True),
        (("hiss", "hum"), 0.95, False),
        (("hum", "noise"), 0.1, True),
    ],
)
def test_a_class_of_noise_or_a_high_novelty_is_none(
    labels: tuple[str, ...], novelty: float | None, is_none: bool | None
) -> None:
    """The second class is the more probable one."""
    answer = Answer(
        source="a.wav",
        labels=labels,
        probs=np.array([0.2, 0.8]),
        starts=(0.0,),
        segment_probs=np.array([[0.2, 0.8]]),
        seconds=1.0,
        novelty=novelty,
    )
    assert answer.none_of_these is is_none
    assert answer.to_dict().get("none_of_these") is is_none
    header, row, _ = csv.reader(csv_lines(labels, [answer], TableOptions(none_of_these=True, top=1)))
    assert dict(zip(header, row, strict=True))["none_of_these"] == {True: "yes", False: "no", None: ""}[is_none]


@pytest.fixture(scope="module")
def data(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = shutil.copytree(rendered, tmp_path_factory.mktemp("openset") / "data")
    spectro.split(copy, config=SplitConfig(test=0.3, val=0.3))
    return copy


@pytest.fixture(scope="module")
def runs(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    folder = tmp_path_factory.mktemp("runs")
    config = FinetuneConfig(frozen_epochs=0, epochs=3, device="cpu", augment="none", mixup=0, cutmix=0, baseline=False)
    network = spectro.finetune(data, out=folder / "net", model=ModelConfig(name="cnn5"), config=config, weights="none")
    forest = spectro.train_classical(data, out=folder / "forest", model="forest", config=ClassicalConfig(search=False))
    return {"net": network, "forest": forest, "both": spectro.ensemble([network, forest], out=folder / "both")}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "score"), [("net", "energy"), ("net", "knn"), ("forest", "mahalanobis"), ("both", None)]
)
def test_a_run_answers_none_of_these(
    runs: dict[str, Run],
    corpus: Path,
    tmp_path: Path,
    name: str,
    score: str | None,
    write_audio: WriteAudio,
    noise: Noise,
) -> None:
    """The threshold is fitted to the clips as `predict` sees them: most clips of the corpus are not rejected."""
    before = Predictor.load(runs[name], "cpu").identity()
    facts = fit_openset(runs[name], score=score, device="cpu")  # type: ignore[arg-type]
    assert facts.score == (score or "msp")
    assert Run.open(runs[name].path).card.openset == facts
    predictor = Predictor.load(runs[name], "cpu")
    assert predictor.identity() != before
    known = sorted(corpus.rglob("*-2-*.*"))
    sounds = [*known, write_audio(tmp_path / "loud.wav", noise(3.0, gain=0.9), RATE)]
    answers = [answer for answer in predictor(sounds) if isinstance(answer, spectro.inference.predict.Answer)]
    assert len(answers) == len(sounds)
    assert all(answer.novelty is not None and 0 <= answer.novelty <= 1 for answer in answers)
    assert np.mean([answer.none_of_these for answer in answers[:-1]]) < 0.5
    assert answers[0].to_dict()["none_of_these"] in (True, False)


@pytest.mark.slow
def test_every_table_has_the_answer_and_it_survives_a_resumption(
    runs: dict[str, Run], corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = runs["net"]
    with pytest.raises(SystemExit):
        cli.main(["openset", str(run.path), "--score", "knn", "--json", "--device", "cpu"])
    assert json.loads(capsys.readouterr().out)["score"] == "knn"
    assert [path.name for path in run.path.glob("openset-*")] == ["openset-knn.npz"]
    rows = []
    for _ in range(2):
        written = spectro.predict_to(run.path, corpus / "hum", tmp_path / "out.csv", device="cpu")
        rows.append(read_csv(tmp_path / "out.csv", ("none_of_these", "novelty")))
    assert (written.asked, written.kept) == (0, 6)
    assert rows[0] == rows[1]
    assert {row["none_of_these"] for row in rows[0] if not row["start"]} <= {"yes", "no"}
    assert {row["none_of_these"] for row in rows[0] if row["start"]} == {""}
    (run.path / "openset-knn.npz").write_bytes(b"damaged")
    with pytest.raises(RunError, match=r"openset-knn\.npz is damaged"):
        Predictor.load(run.path, "cpu")
    fit_openset(run, score="msp", device="cpu")
    assert list(run.path.glob("openset-*")) == []
    assert Predictor.load(run.path, "cpu").tells_none


@pytest.mark.slow
def test_what_cannot_be_fitted_is_refused(runs: dict[str, Run], data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="probabilities only"):
        fit_openset(runs["both"], score="knn")
    with pytest.raises(ConfigError, match="gives no 'energy'"):
        fit_openset(runs["forest"], score="energy")
    other = shutil.copytree(data, tmp_path / "data")
    spectro.split(other, config=SplitConfig(test=0.3, val=0.3, seed=5))
    with pytest.raises(RunError, match="split or labelled again"):
        fit_openset(runs["net"], data=other)
