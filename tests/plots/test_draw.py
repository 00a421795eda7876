"""Maps, box plots and a run's figures: neighbours are counted as defined, and the pictures hold what they say."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spectro import FinetuneConfig, ModelConfig, Run, SplitConfig, cli, draw_boxes, draw_map, draw_run, finetune, split
from spectro.audio.features.stats import StatsConfig
from spectro.core.errors import ConfigError, DataError, RunError
from spectro.core.tables import Clip, Segment
from spectro.data.engines import local as engine
from spectro.evaluation.ensemble import ensemble
from spectro.evaluation.projection import Vectors, clip_means, data_vectors, map_clips, run_vectors
from spectro.plots.figures import boxes_figure
from spectro.plots.palette import MOST, check, mark
from spectro.reports.html import report
from spectro.reports.map_svg import page_map

STATS = StatsConfig(set="centroid+rms", n_fft=1024)


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute features here: fresh workers would take longer to import librosa than these clips take."""
    monkeypatch.setattr(engine, "cores", lambda: 1)


@pytest.fixture(scope="module")
def data(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(shutil.copytree(rendered, tmp_path_factory.mktemp("pictures") / "data"))
    split(folder, config=SplitConfig(test=0.34, val=0.3))
    return folder


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    config = FinetuneConfig(epochs=1, finetune_epochs=1, batch_size=16, device="cpu")
    out = tmp_path_factory.mktemp("pictures-run") / "run"
    return finetune(data, out=out, model=ModelConfig(name="test_resnet"), config=config, weights="none")


def vectors(values: list[list[float]], labels: str, groups: str, tested: list[bool] | None = None) -> Vectors:
    """Clips of one letter each for class and group."""
    clips = tuple(
        Clip(id=f"{n}", label=label, group=g) for n, (label, g) in enumerate(zip(labels, groups, strict=True))
    )
    chosen = np.array(tested or [True] * len(clips))
    return Vectors(title="made", clips=clips, values=np.array(values), tested=chosen)


def texts(path: Path) -> str:
    """All real text of an SVG file, without its spaces' kinds."""
    return re.sub(
        r"\s+", " ", " ".join("".join(node.itertext()) for node in ET.parse(path).iter() if node.tag.endswith("text"))
    )


def test_neighbours_of_the_same_group_do_not_count() -> None:
    # four places far apart, each of one group; the classes of places that are near each other differ
    values = [[x + 0.01 * n, y] for x, y in ((0, 0), (1, 0), (50, 0), (51, 0)) for n in range(6)]
    found = map_clips(
        vectors(values, "a" * 6 + "b" * 6 + "a" * 6 + "b" * 6, "w" * 6 + "x" * 6 + "y" * 6 + "z" * 6), ["pca"]
    )
    assert found.agreement is not None
    assert found.agreement.share.value == 0  # within groups it would be 1
    assert found.agreement.chance == pytest.approx(6 / 18)


def test_classes_apart_agree_wholly_and_noise_as_chance_says() -> None:
    rng = np.random.default_rng(0)
    labels, groups = "ab" * 150, "".join(chr(100 + n // 10) for n in range(300))
    noise = map_clips(vectors(rng.normal(size=(300, 4)).tolist(), labels, groups), ["pca"]).agreement
    apart = [[10.0 * (label == "a") + rng.normal(), rng.normal()] for label in labels]
    clear = map_clips(vectors(apart, labels, groups), ["pca"]).agreement
    assert noise is not None
    assert clear is not None
    assert clear.share.value > 0.95
    assert noise.chance == clear.chance == pytest.approx(0.5, abs=0.01)
    assert noise.share.low < noise.chance < noise.share.high


def test_only_tested_clips_are_asked() -> None:
    rng = np.random.default_rng(1)
    values = np.concatenate([rng.normal(size=(20, 2)), 100 + rng.normal(size=(20, 2))])
    labels, groups = "a" * 10 + "b" * 10 + "c" * 20, "".join(chr(100 + n // 4) for n in range(40))
    tested = [n >= 20 for n in range(40)]
    found = map_clips(vectors(values.tolist(), labels, groups, tested), ["pca"]).agreement
    assert found is not None
    assert (found.asked, found.share.value) == (20, 1.0)


def test_maps_that_cannot_be_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    some = vectors(np.random.default_rng(0).normal(size=(12, 3)).tolist(), "ab" * 6, "x" * 12)
    assert map_clips(some, ["pca"]).agreement is None  # one group only
    with pytest.raises(ConfigError, match="did you mean 't-sne'"):
        map_clips(some, ["tsne"])
    with pytest.raises(DataError, match="too few"):
        map_clips(vectors([[1, 2], [3, 4]], "ab", "xy"))
    with pytest.raises(DataError, match="same values"):
        map_clips(vectors([[1, 2]] * 6, "ababab", "uvwxyz"))
    with pytest.raises(ConfigError, match="spectro boxes"):
        map_clips(vectors([[1]] * 6, "ababab", "uvwxyz"))
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(ConfigError, match="pip install"):
        map_clips(some, ["umap"])


def test_umap_lays_out_every_clip() -> None:
    pytest.importorskip("umap")
    some = vectors(np.random.default_rng(0).normal(size=(30, 3)).tolist(), "ab" * 15, "xyz" * 10)
    assert map_clips(some, ["umap"]).planes[0].points.shape == (30, 2)


def test_a_clip_is_the_mean_of_its_segments() -> None:
    first, second = Clip(id="b", label="x", group="g"), Clip(id="a", label="y", group="h")
    segments = [Segment(clip=clip, start=s, seconds=1) for clip in (first, second) for s in (0.0, 1.0, 2.0)]
    made = clip_means("t", segments, np.arange(12).reshape(6, 2), judged={"a"})
    assert [clip.id for clip in made.clips] == ["a", "b"]
    assert made.values.tolist() == [[8, 9], [2, 3]]
    assert made.tested.tolist() == [True, False]
    assert clip_means("t", segments, np.ones((6, 2)), judged={"elsewhere"}).tested.all()


def test_every_class_has_a_mark_of_its_own_and_neighbours_differ_in_both() -> None:
    marks = [mark(number) for number in range(MOST)]
    assert len(set(marks)) == MOST
    assert all(a[0] != b[0] and a[1] != b[1] for a, b in itertools.pairwise(marks))
    check(MOST)
    with pytest.raises(ConfigError, match="classes apart"):
        check(MOST + 1)


def test_a_feature_is_mapped_with_real_text_and_as_json(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = draw_map(data, tmp_path / "new" / "map.svg", config=STATS)
    shown = texts(tmp_path / "new" / "map.svg")
    for wanted in ("chirp", "hiss", "hum", "pulse", "of the variance", "Perplexity 8", "mean nothing", "by chance"):
        assert wanted in shown, wanted
    assert made.agreement is not None
    assert made.agreement.share.value > made.agreement.chance + 0.3  # these classes can be heard
    again = draw_map(data, tmp_path / "again.svg", config=STATS)
    assert np.array_equal(again.planes[1].points, made.planes[1].points)
    with pytest.raises(SystemExit):
        cli.main(
            ["map", str(data), "--set", "centroid+rms", "--methods", "pca", "--out", str(tmp_path / "m.png"), "--json"]
        )
    found = json.loads(capsys.readouterr().out)
    assert len(found["clips"]) == len(found["planes"][0]["points"]) == 24
    with Image.open(tmp_path / "m.png") as image:
        assert image.width > 900


def test_mistakes_are_named(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\.svg or \.png"):
        draw_map(data, tmp_path / "map.pdf", config=STATS, methods=["pca"])
    with pytest.raises(ConfigError, match="stats with set 'mfcc'"):
        draw_map(data, tmp_path / "map.svg", feature="mfcc")
    with pytest.raises(ConfigError, match="did you mean 'centroid_mean'"):
        draw_boxes(data, tmp_path / "b.svg", columns=["centroid_men"], config=STATS)
    with pytest.raises(SystemExit) as stopped:
        cli.main(["boxes", str(data), "--feature", "tempo", "--set", "C"])
    assert stopped.value.code == 2


def test_settings_that_mean_nothing_are_refused(run: Run, data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="its own feature map"):
        draw_map(run, tmp_path / "m.svg", config=STATS)
    with pytest.raises(ConfigError, match="no finished run"):
        draw_map(data, tmp_path / "m.svg", config=STATS, data=data)


def test_box_plots_show_the_values_of_each_class(data: Path, tmp_path: Path) -> None:
    draw_boxes(data, tmp_path / "b.svg", columns=["centroid_mean", "rms_max"], config=STATS)
    shown = texts(tmp_path / "b.svg")
    assert all(wanted in shown for wanted in ("centroid_mean", "rms_max", "hum (6)"))
    draw_boxes(data, tmp_path / "all.png", columns=[], config=STATS)
    values = data_vectors(data, config=STATS)
    panel = boxes_figure(values, ["centroid_mean"]).axes[0]
    medians = [line.get_xdata()[0] for line in panel.lines if line.get_color() == "#d55e00"]
    column = values.values[:, values.columns.index("centroid_mean")]
    assert medians == [np.median(column[values.truth == label]) for label in range(4)]


def test_a_runs_figures_are_files(run: Run, tmp_path: Path) -> None:
    made = {path.stem: path for path in draw_run(run, tmp_path)}
    assert {"confusion", "classes", "training", "calibration", "heard"} == set(made)
    assert "fine-tuning starts" in texts(made["training"])
    assert all(word in texts(made["classes"]) for word in ("precision", "recall", "F1", "pulse"))
    counts = sum(
        int(word) for word in re.findall(r"(?<![\w.])\d+(?![\w.])", texts(made["confusion"]).partition("run:")[0])
    )
    assert counts == run.metrics()["clip"]["n"]
    assert all(path.suffix == ".png" for path in draw_run(run, tmp_path, kind="png"))


def test_a_run_is_mapped_with_its_test_clips_in_front(run: Run, data: Path, tmp_path: Path) -> None:
    found = run_vectors(run)
    judged = set(run.predictions("test").clip_ids)
    assert {clip.id for clip, tested in zip(found.clips, found.tested, strict=True) if tested} == judged
    assert len(found.clips) == 24
    few = run_vectors(run, most=10)
    assert len(few.clips) == 10
    assert judged <= {clip.id for clip in few.clips} or all(few.tested)
    assert "10 of 24 clips" in few.title
    kept = {clip.id: value for clip, value in zip(found.clips, found.values, strict=True)}
    assert all(np.allclose(kept[clip.id], value, atol=1e-2) for clip, value in zip(few.clips, few.values, strict=True))
    both = ensemble([run, run], out=tmp_path / "both")
    assert "first member of both" in run_vectors(both).title


def test_the_report_shows_the_map_or_says_why_not(run: Run, data: Path, tmp_path: Path) -> None:
    text = report([run], out=tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Which clips it takes for alike" in text
    drawn = re.findall(r'<svg class="chart map".*?</svg>', text, re.DOTALL)
    assert [one.count("<path") for one in drawn] == [24, 24]
    assert [one.count("pale") for one in drawn] == [24 - len(set(run.predictions("test").clip_ids))] * 2
    for one in drawn:
        ET.fromstring(one)
    missing: list[str] = []
    bare = shutil.copytree(run.path, tmp_path / "bare")
    (bare / "weights.safetensors").unlink()
    assert page_map(Run(bare), None, missing) is None
    assert page_map(run, tmp_path / "gone", missing) is None
    assert "holds no network" in missing[0]
    assert "there is no folder" in missing[1]
    with pytest.raises(RunError, match="holds no network"):
        draw_map(bare, tmp_path / "map.svg")


def test_a_frozen_backbone_is_mapped(data: Path, tmp_path: Path) -> None:
    made = draw_map(data, tmp_path / "map.svg", backbone="test_resnet", weights="none", methods=["pca"])
    assert "test_resnet, random and frozen" in made.vectors.title
