"""Maps, box plots and the figures of a run are drawn with real text and right numbers, and mistakes are named."""

from __future__ import annotations

import json
import re
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spectro import cli
from spectro.audio.features.stats import StatsConfig
from spectro.core.errors import ConfigError, RunError
from spectro.core.files import digest
from spectro.core.runs import Run
from spectro.evaluation.evaluate import read_metrics
from spectro.evaluation.projection import data_vectors
from spectro.plots.draw import draw_boxes, draw_map, draw_run
from spectro.plots.figures import boxes_figure

STATS = StatsConfig(set="centroid+rms", n_fft=1024)


def texts(path: Path) -> str:
    """All real text of an SVG file, with single spaces."""
    nodes = (node for node in ET.parse(path).iter() if node.tag.endswith("text"))
    return re.sub(r"\s+", " ", " ".join("".join(node.itertext()) for node in nodes))


@pytest.mark.slow
def test_a_feature_is_mapped_with_real_text(data: Path, tmp_path: Path) -> None:
    clip_map = draw_map(data, tmp_path / "new" / "map.svg", config=STATS)
    text = texts(tmp_path / "new" / "map.svg")
    for wanted in ("chirp", "hiss", "hum", "pulse", "PCA", "t-SNE", *clip_map.planes[0].axes):
        assert re.sub(r"\s+", " ", wanted) in text, wanted
    assert clip_map.agreement is not None
    assert clip_map.agreement.share.value > clip_map.agreement.chance + 0.3  # these classes differ in sound
    again = draw_map(data, tmp_path / "again.svg", config=STATS)
    assert np.array_equal(again.planes[1].points, clip_map.planes[1].points)


@pytest.mark.slow
def test_a_map_from_the_command_line(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "m.png"
    with pytest.raises(SystemExit) as stopped:
        cli.main(
            ["plot", "map", str(data), "--stats-set", "centroid+rms", "--methods", "pca", "--out", str(path), "--json"]
        )
    output = capsys.readouterr()
    assert not stopped.value.code, output.err
    values = json.loads(output.out)
    assert len(values["clips"]) == len(values["planes"][0]["points"]) == 24
    with Image.open(path) as image:
        assert image.width > 900


def test_mistakes_are_named(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\.svg or \.png"):
        draw_map(data, tmp_path / "map.pdf", config=STATS, methods=["pca"])
    with pytest.raises(ConfigError, match="stats with set 'mfcc'"):
        draw_map(data, tmp_path / "map.svg", feature="mfcc")
    with pytest.raises(ConfigError, match="did you mean 'centroid_mean'"):
        draw_boxes(data, tmp_path / "b.svg", columns=["centroid_men"], config=STATS)


@pytest.mark.slow
def test_settings_that_mean_nothing_are_refused(run: Run, data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="its own feature map"):
        draw_map(run, tmp_path / "m.svg", config=STATS)
    with pytest.raises(ConfigError, match="not a finished run"):
        draw_map(data, tmp_path / "m.svg", config=STATS, data=data)
    bare = Path(shutil.copytree(run.path, tmp_path / "bare"))
    (bare / "weights.safetensors").unlink()
    with pytest.raises(RunError):
        draw_map(bare, tmp_path / "map.svg")


def test_box_plots_show_the_values_of_each_class(data: Path, tmp_path: Path) -> None:
    draw_boxes(data, tmp_path / "b.svg", columns=["centroid_mean", "rms_max"], config=STATS)
    text = texts(tmp_path / "b.svg")
    assert all(wanted in text for wanted in ("centroid_mean", "rms_max", "hum (6)"))
    draw_boxes(data, tmp_path / "all.png", columns=[], config=STATS)
    vectors = data_vectors(data, config=STATS)
    panel = boxes_figure(vectors, ["centroid_mean"]).axes[0]
    medians = [np.ravel(line.get_xdata())[0] for line in panel.lines if line.get_color() == "#d55e00"]
    column = vectors.values[:, vectors.columns.index("centroid_mean")]
    assert medians == [np.median(column[vectors.truth == label]) for label in range(4)]


@pytest.mark.slow
def test_the_figures_of_a_run_are_files(run: Run, tmp_path: Path) -> None:
    before = {path.name: digest(path) for path in run.path.iterdir() if path.name != "metrics.json"}
    paths = {path.stem: path for path in draw_run(run, tmp_path)}
    assert {"confusion", "classes", "training", "calibration", "segments"} == set(paths)
    assert "fine-tuning starts" in texts(paths["training"])
    assert all(word in texts(paths["classes"]) for word in ("precision", "recall", "F1", "pulse"))
    clip = read_metrics(run).clip
    numbers = re.findall(r"(?<![\w.])\d+(?![\w.])", texts(paths["confusion"]).partition("run:")[0])
    assert sum(map(int, numbers)) == clip.n
    assert all(path.suffix == ".png" for path in draw_run(run, tmp_path, kind="png"))
    assert {path.name: digest(path) for path in run.path.iterdir() if path.name != "metrics.json"} == before


@pytest.mark.slow
def test_a_frozen_backbone_is_mapped(data: Path, tmp_path: Path) -> None:
    clip_map = draw_map(data, tmp_path / "map.svg", backbone="test_resnet", weights="none", methods=["pca"])
    assert "test_resnet, random and frozen" in clip_map.vectors.title


@pytest.mark.slow
def test_a_run_is_drawn_with_its_test_clips_in_front(run: Run, tmp_path: Path) -> None:
    clip_map = draw_map(run, tmp_path / "map.svg", methods=["pca"])
    tested = clip_map.vectors.tested
    assert int(tested.sum()) == len(set(run.predictions("test").clip_ids)) < len(tested)
    assert "not a test clip" in texts(tmp_path / "map.svg")
