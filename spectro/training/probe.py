"""Vectors for classical models from a frozen backbone: the feature `backbone`, computed from what it takes as input."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

from spectro.core.arrays import Floats32
from spectro.core.config import ModelConfig
from spectro.core.data_folder import DataFolder
from spectro.core.errors import ConfigError
from spectro.data.feature_table import write_feature_table
from spectro.data.features import FeatureStore, extract
from spectro.data.store import Store, open_store
from spectro.models import EMBEDDERS, NETWORKS, WeightsInfo
from spectro.models.network import Network
from spectro.training.backbone_features import frozen_network, network_features
from spectro.training.dataset import TrainingData

BACKBONE = "backbone"
"""Name of the feature."""


@dataclass(frozen=True, kw_only=True)
class Probed:
    """A frozen backbone with what it makes of every item."""

    config: ModelConfig
    network: Network
    """With a head that plays no part."""
    origin: WeightsInfo
    vectors: Floats32
    """`[items, values]`: statistics of several stages."""
    seconds: float
    """How long it took."""


def probe_config(config: ModelConfig) -> ModelConfig:
    """Return the settings of a backbone to be probed: any of timm's, or one that was pretrained on sound.

    Raises
    ------
    ConfigError
        it is one of our own networks, for which there are no pretrained weights.
    """
    if config.name in NETWORKS:
        raise ConfigError(
            f"'{config.name}' has no pretrained weights, so its features are random; name a backbone of timm, or one "
            f"pretrained on sound ({', '.join(EMBEDDERS)})"
        )
    return replace(config, head="multi")


def input_of(config: ModelConfig) -> str:
    """Return the name of the feature that a backbone takes."""
    return EMBEDDERS[config.name].feature if config.name in EMBEDDERS else "mel"


def probe(data: TrainingData, config: ModelConfig, weights: str) -> Probed:
    """Return a backbone with its features of every item, from the cache where they are there already.

    Parameters
    ----------
    data
        Items that the backbone takes (`input_of`).
    config
        The backbone, as `probe_config` returned it.
    weights
        Where its weights come from.

    Raises
    ------
    WeightsError
        the weights are not installed and cannot be downloaded.
    """
    began = time.perf_counter()
    network, origin = frozen_network(config, len(data.labels), data.shape, weights)
    folder = (data.features or data.store).path
    vectors = network_features(folder, data.digest(), data.arrays(), network, config, origin)
    seconds = time.perf_counter() - began
    return Probed(config=config, network=network, origin=origin, vectors=vectors, seconds=seconds)


def write_vectors(
    data: DataFolder | Path | str,
    path: Path,
    *,
    config: ModelConfig | None = None,
    weights: str = "auto",
    config_id: str | None = None,
) -> tuple[int, int]:
    """Write what a frozen backbone makes of every segment as a table, CSV or Parquet.

    Parameters
    ----------
    data
        Folder that `render` made.
    path
        The table: Parquet if its name ends in `.parquet`.
    config, weights
        The backbone, and where its weights come from.
    config_id
        Which spectrograms, when `data` holds several configurations.

    Returns
    -------
    tuple[int, int]
        Number of segments and of values of each.

    Raises
    ------
    ConfigError
        the model cannot be probed, or Parquet is wanted and pyarrow is not installed.
    WeightsError
        the weights are not installed and cannot be downloaded.
    """
    config = probe_config(config or ModelConfig())
    feature, store = input_of(config), open_store(data, config_id)
    inputs: Store | FeatureStore = store
    if feature != "mel":
        inputs = extract(data, feature, config_id=store.config_id).store
    arrays = inputs.spectrograms() if isinstance(inputs, Store) else inputs.values()
    network, origin = frozen_network(config, 2, arrays.shape[1:], weights)  # the classes of the head play no part
    values = network_features(inputs.path, inputs.digest(), arrays, network, config, origin)
    columns = [f"{config.name}_{number}" for number in range(1, 1 + values.shape[1])]
    write_feature_table(path, inputs.segments, columns, values)
    return values.shape
