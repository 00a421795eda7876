"""Write spectro/models/catalogue.csv: facts about all own networks, the classical models and the most used of timm."""

from __future__ import annotations

from spectro.core.files import write_csv
from spectro.models import NETWORKS
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
    "convnextv2_tiny cspdarknet53"
)
"""The most used models of timm that take spectrograms, by name."""


def main() -> None:
    """Measure and write."""
    costs = [measure(name) for name in (*NETWORKS, *SHIPPED, *COMMON.split())]
    rows: list[tuple[object, ...]] = []
    for cost in costs:
        bands, frames = cost.shape or ("", "")
        numbers = (bands, frames, cost.parameters, cost.multiply_adds)
        rows.append((cost.name, cost.kind, cost.input, *numbers, cost.repository, cost.url, cost.note))
    classical = [(name, "classical", VECTOR_INPUT, *[""] * 6, METHODS[name].title) for name in METHODS]
    write_csv(FACTS, COLUMNS, [*rows[: len(NETWORKS)], *classical, *rows[len(NETWORKS) :]])


if __name__ == "__main__":
    main()
