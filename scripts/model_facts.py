"""Write spectro/models/catalogue.csv: facts about our networks, embedders, classical models and many of timm."""

from __future__ import annotations

from spectro.core.files import write_csv
from spectro.models import EMBEDDERS, NETWORKS
from spectro.models.catalogue import COLUMNS, FACTS
from spectro.models.classical import METHODS
from spectro.models.cost import measure
from spectro.models.model_cost import VECTOR_INPUT
from spectro.models.pretrained import SHIPPED

COMMON = (
    "resnet18 resnet34 resnet50 resnet101 resnet50d resnext50_32x4d wide_resnet50_2 seresnet50 "
    "res2net50_26w_4s regnetx_004 regnety_008 regnety_032 densenet121 densenet169 densenet201 vgg11 vgg16 "
    "vgg16_bn vgg19 inception_v3 inception_v4 xception41 mobilenetv2_050 mobilenetv3_small_100 "
    "mobilenetv3_large_100 mobilenetv4_conv_small mobilenetv4_conv_medium mnasnet_100 fbnetc_100 "
    "ghostnet_100 rexnet_100 efficientnet_b0 efficientnet_b1 efficientnet_b2 efficientnet_b3 "
    "tf_efficientnet_b0 tf_efficientnet_lite3 tf_efficientnet_lite4 tf_efficientnetv2_b0 "
    "tf_efficientnetv2_s convnext_atto convnext_nano convnext_tiny convnext_small convnextv2_atto "
    "convnextv2_tiny cspdarknet53 vit_tiny_patch16_224 vit_small_patch16_224 vit_base_patch16_224 "
    "vit_small_patch14_dinov2 vit_small_patch16_dinov3 deit_tiny_patch16_224 deit3_small_patch16_224 "
    "beit_base_patch16_224 eva02_tiny_patch14_224 swin_tiny_patch4_window7_224 swinv2_tiny_window8_256 "
    "maxvit_tiny_tf_224 coatnet_0_rw_224 hiera_tiny_224 mobilevit_s tiny_vit_5m_224 efficientformerv2_s0 "
    "levit_128s pvt_v2_b0 davit_tiny mixer_b16_224"
)
"""The most used models of timm that take spectrograms, by name."""


def main() -> None:
    """Measure and write."""
    costs = [measure(name) for name in dict.fromkeys((*NETWORKS, *EMBEDDERS, *SHIPPED, *COMMON.split()))]
    rows: list[tuple[object, ...]] = []
    for cost in costs:
        bands, frames = cost.shape or ("", "")
        numbers = (bands, frames, cost.parameters, cost.multiply_adds)
        rows.append((cost.name, cost.kind, cost.input, *numbers, cost.repository, cost.url, cost.note))
    classical = [(name, "classical", VECTOR_INPUT, *[""] * 6, METHODS[name].title) for name in METHODS]
    write_csv(FACTS, COLUMNS, [*rows[: len(NETWORKS)], *classical, *rows[len(NETWORKS) :]])


if __name__ == "__main__":
    main()
