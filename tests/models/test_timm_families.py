"""Every family of timm becomes a classifier of spectrograms: built, split, trained, with maps of all its stages."""

from __future__ import annotations

import itertools
import math

import pytest
import timm
import torch
from timm.models import model_entrypoint
from torch import Tensor

from spectro.core.config import ModelConfig
from spectro.core.errors import ConfigError
from spectro.models import build
from spectro.models.split import split_backbone
from spectro.models.timm_backbone import Backbone, known
from spectro.models.timm_input import COLOURED, STRETCHED, UNSUPPORTED
from spectro.models.timm_weights import load

SHAPE = (64, 96)
SMALLEST = {
    "beit": "beit_base_patch16_224",
    "byoanet": "halonet_h1",
    "byobnet": "test_byobnet",
    "cait": "cait_xxs24_224",
    "coat": "coat_tiny",
    "convit": "convit_tiny",
    "convmixer": "convmixer_768_32",
    "convnext": "test_convnext",
    "cpubone": "cpubone_nano",
    "crossvit": "crossvit_tiny_240",
    "csatv2": "csatv2",
    "cspnet": "cs3darknet_focus_s",
    "cspnext": "cspnext_tiny",
    "davit": "davit_tiny",
    "deepseek_vit": "deepseek_vit_412m",
    "deit": "deit_tiny_patch16_224",
    "densenet": "densenet121",
    "dla": "dla46x_c",
    "dpn": "dpn48b",
    "edgenext": "edgenext_xx_small",
    "efficientformer": "efficientformer_l1",
    "efficientformer_v2": "efficientformerv2_s0",
    "efficientnet": "test_efficientnet",
    "efficientvim": "efficientvim_m1",
    "efficientvit_mit": "efficientvit_b0",
    "efficientvit_msra": "efficientvit_m0",
    "eva": "vit_tiny_patch16_dinov3_qkvb",
    "fasternet": "fasternet_t0",
    "fastvit": "fastvit_t8",
    "focalnet": "focalnet_tiny_srf",
    "gcvit": "gcvit_xxtiny",
    "gemma4_vit": "gemma4_vit_167m",
    "ghostnet": "ghostnet_050",
    "hardcorenas": "hardcorenas_b",
    "hgnet": "hgnetv2_b0",
    "hiera": "hiera_tiny_224",
    "hieradet_sam2": "sam2_hiera_tiny",
    "hrnet": "hrnet_w18_small",
    "iformer": "iformer_t",
    "inception_next": "inception_next_atto",
    "inception_resnet_v2": "inception_resnet_v2",
    "inception_v3": "inception_v3",
    "inception_v4": "inception_v4",
    "lcnetv2": "lcnetv2_small",
    "levit": "levit_128s",
    "lowformer": "lowformer_b0",
    "mambaout": "test_mambaout",
    "maxxvit": "test_coatnet",
    "metaformer": "poolformerv2_s12",
    "mlp_mixer": "gmlp_ti16_224",
    "mobilenetv3": "lcnet_035",
    "mobilenetv5": "mobilenetv5_base",
    "mobilevit": "mobilevit_xxs",
    "mvitv2": "mvitv2_tiny",
    "naflexvit": "naflexvit_base_patch16_parfac_gap",
    "nasnet": "nasnetalarge",
    "nest": "nest_tiny",
    "nextvit": "nextvit_small",
    "nfnet": "test_nfnet",
    "pit": "pit_ti_224",
    "pnasnet": "pnasnet5large",
    "pvt_v2": "pvt_v2_b0",
    "qwen3_vit": "qwen3_vit_88m",
    "rdnet": "rdnet_tiny",
    "regnet": "regnetx_002",
    "repghost": "repghostnet_050",
    "repvit": "repvit_m1",
    "res2net": "res2next50",
    "resnest": "resnest14d",
    "resnet": "test_resnet",
    "resnetv2": "resnetv2_18",
    "rexnet": "rexnet_100",
    "selecsls": "selecsls42",
    "senet": "legacy_seresnet18",
    "sequencer": "sequencer2d_s",
    "shvit": "shvit_s1",
    "sknet": "skresnet18",
    "starnet": "starnet_s050",
    "swiftformer": "swiftformer_xs",
    "swin_transformer": "swin_tiny_patch4_window7_224",
    "swin_transformer_v2": "swinv2_tiny_window8_256",
    "swin_transformer_v2_cr": "swinv2_cr_tiny_224",
    "tiny_vit": "tiny_vit_5m_224",
    "tnt": "tnt_s_legacy_patch16_224",
    "tresnet": "tresnet_m",
    "twins": "twins_svt_small",
    "vgg": "vgg11",
    "visformer": "visformer_tiny",
    "vision_transformer": "test_vit",
    "vision_transformer_hybrid": "vit_tiny_r_s16_p8_224",
    "vision_transformer_relpos": "test_vit_relpos",
    "vision_transformer_sam": "samvit_base_patch16_224",
    "vitamin": "vitamin_small_224",
    "volo": "volo_d1_224",
    "vovnet": "ese_vovnet19b_slim_dw",
    "xception": "legacy_xception",
    "xception_aligned": "xception41p",
    "xcit": "xcit_nano_12_p8_224",
}
"""The member with the fewest parameters of each of timm's families."""
HUGE = {"deepseek_vit": 412}
"""Families without a small member, in millions of parameters; their shapes are checked without memory for them."""
FAMILIES = sorted(set(timm.list_modules()) - COLOURED - UNSUPPORTED.keys())


def member(family: str) -> str:
    """Return a small member of a family, the first one of a family that is new in timm."""
    return SMALLEST.get(family) or str(timm.list_models(module=family)[0])


@pytest.fixture(autouse=True)
def quick_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw random weights from a plain normal distribution, which takes a tenth of the time of a cut one."""

    def normal(tensor: Tensor, mean: float, std: float, *_: object, **__: object) -> Tensor:
        with torch.no_grad():
            return tensor.normal_(mean, std)

    monkeypatch.setattr("timm.layers.weight_init._trunc_normal_", normal)
    monkeypatch.setattr("torch.nn.init._no_grad_trunc_normal_", normal)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_a_member_of_every_family_is_a_classifier(family: str) -> None:
    torch.manual_seed(0)
    if family in HUGE:
        with torch.device("meta"):
            assert build(ModelConfig(name=member(family)), 3, SHAPE)(torch.rand(2, 1, *SHAPE)).shape == (2, 3)
        return
    network = build(ModelConfig(name=member(family)), 3, SHAPE).eval()
    backbone, stages, inputs = network.backbone, network.stages(), torch.rand(2, 1, *SHAPE)
    assert isinstance(backbone, Backbone)
    parts = [id(parameter) for stage in stages for parameter in stage.parameters()]
    assert sorted(parts) == sorted(id(parameter) for parameter in backbone.parameters())
    with torch.no_grad():
        whole, maps = network.features(inputs), backbone.stage_maps(network.normalize(inputs))
    assert whole.ndim == 4
    front, back = split_backbone(backbone, stages[len(stages) // 2 :], family, (1, *SHAPE))
    with torch.no_grad():
        kept = front(network.normalize(inputs))
        torch.testing.assert_close(back(kept), whole)
    assert kept.ndim == 4
    assert len(maps) >= 2
    assert all(one.ndim == 4 and len(one) == 2 and one.isfinite().all() for one in maps)
    assert all(math.prod(a.shape[2:]) >= math.prod(b.shape[2:]) for a, b in itertools.pairwise(maps))
    network.train()(inputs).sum().backward()
    assert all(p.grad is not None for p in network.parameters() if p.requires_grad)
    assert sum(p.requires_grad for p in backbone.parameters()) > 0.9 * len(parts)


@pytest.mark.parametrize("family", sorted(COLOURED))
def test_a_family_that_cannot_take_grey_images_is_refused(family: str) -> None:
    with pytest.raises(ConfigError, match=f"'{member(family)}' takes no grey images; set in_chans to 3"):
        build(ModelConfig(name=member(family)), 3, SHAPE)
    assert build(ModelConfig(name=member(family), in_chans=3), 3, SHAPE)(torch.rand(2, 1, *SHAPE)).shape == (2, 3)
    with pytest.raises(UserWarning, match="designed for 3-channel"):
        timm.create_model(member(family), in_chans=1)


@pytest.mark.parametrize("family", UNSUPPORTED)
def test_a_family_whose_shapes_cannot_be_known_is_refused(family: str) -> None:
    with pytest.raises(ConfigError, match=f"'{member(family)}' cannot be used: "):
        build(ModelConfig(name=member(family)), 3, SHAPE)
    with torch.device("meta"), pytest.raises(RuntimeError, match="cannot be called on meta tensors"):
        timm.create_model(member(family), num_classes=0).forward_intermediates(torch.rand(1, 3, 96, 96))


SIZED = [family for family in FAMILIES if known(member(family)).fixed_input_size]


@pytest.mark.slow
@pytest.mark.parametrize("family", SIZED)
@pytest.mark.filterwarnings("ignore:torch.searchsorted")
@pytest.mark.filterwarnings("ignore:Using a non-tuple sequence")
def test_published_weights_load_as_timm_loads_them(family: str) -> None:
    """Weights of the published size, for spectrograms of another: position embeddings and windows are resampled."""
    torch.manual_seed(0)
    name = member(family)
    published = {
        key: value + 0.01 if value.is_floating_point() else value
        for key, value in timm.create_model(name).state_dict().items()
    }
    network = build(ModelConfig(name=name, in_chans=3), 3, (128, 216))
    backbone = network.backbone
    assert isinstance(backbone, Backbone)
    load(network, published, "file")
    sized = {"img_size": backbone.fit.size} if backbone.fit.sized else {}
    overlay = {"state_dict": published}
    theirs = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay, num_classes=0, **sized)
    wanted = theirs.state_dict()
    for key, value in backbone.model.state_dict().items():
        assert torch.equal(value, wanted[key]), key
    assert backbone.fit.resized or family not in STRETCHED


@pytest.mark.slow
@pytest.mark.parametrize("family", sorted(STRETCHED))
def test_stretched_families_have_weights_that_timm_cannot_resample(family: str) -> None:
    """Otherwise they belong to the others, which take spectrograms as they are."""
    name = "botnet26t_256" if family == "byoanet" else member(family)  # some members have no position embedding
    overlay = {"state_dict": timm.create_model(name).state_dict()}
    with pytest.raises((RuntimeError, AssertionError)):
        timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay, num_classes=0, img_size=(128, 256))


def test_every_stretched_and_coloured_family_is_one_of_timm() -> None:
    assert set(timm.list_modules()) >= STRETCHED | COLOURED
    for family, name in SMALLEST.items():
        assert model_entrypoint(name).__module__ == f"timm.models.{family}"
