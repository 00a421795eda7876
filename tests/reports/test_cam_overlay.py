"""Grad-CAM overlays agree with the map that they show, and say why there is none."""

from __future__ import annotations

import base64
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from spectro.data.store import open_store, picture_shape
from spectro.explain.saliency import grad_cam
from spectro.reports.cam_overlay import CamOverlay
from tests.reports.conftest import give_network, make_run


def test_the_overlay_shows_the_map_or_says_why_there_is_none(rendered: Path, tmp_path: Path) -> None:
    run = give_network(make_run(tmp_path / "run", rendered), rendered)
    bands, frames = picture_shape(open_store(rendered).config)
    overlay = CamOverlay.of(run)
    assert isinstance(overlay, CamOverlay)
    picture = np.random.default_rng(0).integers(0, 256, (bands, frames), dtype=np.uint8)
    layers = [overlay.layer(picture, label) for label in overlay.labels]
    assert overlay.layer(picture, "none of them") == ""
    assert any(layers)
    for layer, label in zip(layers, overlay.labels, strict=True):
        cam = grad_cam(overlay.network, picture, overlay.labels.index(label))
        assert (cam is None) == (layer == "")
        if cam is not None:
            with Image.open(io.BytesIO(base64.b64decode(layer.partition(",")[2]))) as image:
                alpha = np.asarray(image.resize((frames, bands)))[..., 3]
            assert np.corrcoef(alpha.ravel(), cam.ravel())[0, 1] > 0.9
    run.write_card(replace(run.card, kind="sklearn"))
    reason = CamOverlay.of(run)
    assert isinstance(reason, str)
    assert "neural network" in reason
