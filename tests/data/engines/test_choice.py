"""Names of engines."""

from __future__ import annotations

import pytest

from spectro.core.errors import ConfigError
from spectro.data.engines.choice import Engine


def test_engines_are_named_in_one_word() -> None:
    assert Engine.parse("local") == Engine(name="local")
    assert Engine.parse("ray") == Engine(name="ray")
    assert Engine.parse("ray:10.0.0.1:6379") == Engine(name="ray", address="10.0.0.1:6379")
    assert Engine.parse("shard:0/64") == Engine(name="shard", share=(0, 64))
    assert Engine.parse("shard:63/64").share == (63, 64)


@pytest.mark.parametrize("text", ["", "lokal", "local:2", "shard", "shard:64/64", "shard:-1/4", "shard:1/0", "shard:1"])
def test_other_names_are_refused_in_one_line(text: str) -> None:
    with pytest.raises(ConfigError, match=r"must be local, shard:I/N, ray or ray:ADDRESS|write shard:0/64"):
        Engine.parse(text)
