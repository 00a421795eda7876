"""What a timm model is given of a spectrogram: all of it, in whole patches, where the model knows its size."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch

from spectro.core.config import ModelConfig
from spectro.core.errors import WeightsError
from spectro.models import build
from spectro.models.timm_backbone import Backbone, known
from spectro.models.timm_input import InputFit, family_of, input_fits
from spectro.models.timm_weights import load


def backbone_of(name: str, shape: tuple[int, int], in_chans: int = 1) -> Backbone:
    torch.manual_seed(0)
    backbone = build(ModelConfig(name=name, in_chans=in_chans), 3, shape).backbone.eval()
    assert isinstance(backbone, Backbone)
    return backbone


@pytest.mark.parametrize(
    ("name", "size"),
    [("test_resnet", (64, 101)), ("test_vit", (64, 112)), ("test_coatnet", (64, 128)), ("levit_128s", (224, 224))],
)
def test_models_get_whole_patches(name: str, size: tuple[int, int]) -> None:
    backbone = backbone_of(name, (64, 101))
    assert backbone.fit.size == size
    assert backbone.fit.resized == (name == "levit_128s")
    assert backbone.fit(torch.zeros(2, 1, 64, 101)).shape == (2, 1, *size)


def test_the_last_frame_counts() -> None:
    """timm itself leaves out what is no whole patch."""
    backbone, inputs = backbone_of("test_vit", (64, 101)), torch.zeros(1, 1, 64, 101)
    changed = inputs.clone()
    changed[..., -1] = 1
    with torch.no_grad():
        assert not torch.allclose(backbone(inputs), backbone(changed))


def test_tokens_are_a_map_in_the_order_of_the_picture() -> None:
    """What `test_vit` computes: its normalized tokens without the class token, row by row."""
    backbone, inputs = backbone_of("test_vit", (64, 96)), torch.rand(2, 1, 64, 96)
    with torch.no_grad():
        tokens = backbone.model.forward_features(inputs)[:, 1:]
        assert torch.equal(backbone(inputs), tokens.transpose(1, 2).reshape(2, 64, 4, 6))
        assert [tuple(maps.shape[1:]) for maps in backbone.stage_maps(inputs)] == [(64, 4, 6)] * 4
    assert [len(backbone_of("test_resnet", (64, 96)).stage_maps(inputs))] == [5]


def test_larger_inputs_come_after_smaller_ones_and_no_side_is_doubled() -> None:
    fits = list(input_fits((128, 431), known("test_vit"), family_of("test_vit")))
    areas = [fit.size[0] * fit.size[1] for fit in fits if not fit.resized]
    assert areas == sorted(areas)
    assert all(128 <= fit.size[0] < 256 and 431 <= fit.size[1] < 862 for fit in fits if not fit.resized)
    assert [fit.resized for fit in fits].index(True) == len(fits) - 1


def test_weights_of_another_size_are_not_taken_for_a_square_s() -> None:
    """8 x 32 patches are as many as 16 x 16, for which timm would take them."""
    theirs = backbone_of("test_vit", (128, 512), 3).model.state_dict()
    network = build(ModelConfig(name="test_vit", in_chans=3), 3, (128, 256))
    with pytest.raises(WeightsError, match=r"pos_embed is .*257, 64.* there, but .*129, 64.* here"):
        load(network, theirs, "file")
    published = timm.create_model("test_vit").state_dict()
    load(network, published, "file")
    assert isinstance(network.backbone, Backbone)
    assert torch.equal(network.backbone.model.cls_token, published["cls_token"])


def test_a_map_of_the_padded_input_is_brought_back_to_the_spectrogram() -> None:
    fit = InputFit(shape=(8, 24), size=(8, 32))
    whole = np.zeros((8, 24), dtype=np.float32)
    whole[:, 12:] = 1  # the second half of the 32 frames, which begins at frame 16 of the spectrogram's 24
    part = fit.without_padding(whole)
    assert part.shape == (8, 24)
    assert part[:, :15].max() == 0
    assert part[:, 17:].min() == 1
