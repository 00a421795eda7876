"""Settings: each survives JSON, is documented in place, and answers a wrong value with one line that guesses."""

import dataclasses
import inspect
import json

import pytest

from spectro.core import config
from spectro.core.config import Config, MelConfig, RenderConfig, SegmentConfig, SplitConfig
from spectro.core.errors import ConfigError

CONFIGS = [c for _, c in inspect.getmembers(config, inspect.isclass) if issubclass(c, Config) and c is not Config]


@pytest.mark.parametrize("cls", CONFIGS)
def test_every_config_survives_json_and_refuses_unknown_keys(cls: type[Config]) -> None:
    values = json.loads(json.dumps(cls().to_dict()))
    assert cls.from_dict(values) == cls()
    assert cls.from_dict(values).config_id() == cls().config_id()
    with pytest.raises(ConfigError, match="has no setting 'colour'"):
        cls.from_dict({**values, "colour": "red"})


@pytest.mark.parametrize("cls", CONFIGS)
def test_every_field_has_its_docstring(cls: type[Config]) -> None:
    source = inspect.getsource(cls).splitlines()
    for field in dataclasses.fields(cls):
        if field.type in ("MelConfig", "SegmentConfig"):
            continue  # a part, whose fields document themselves
        line = next(i for i, text in enumerate(source) if text.strip().startswith(f"{field.name}:"))
        assert source[line + 1].strip().startswith('"""'), f"{cls.__name__}.{field.name}"


def test_a_changed_setting_changes_the_fingerprint_and_is_named() -> None:
    other = RenderConfig(mel=MelConfig(n_mels=64), segment=SegmentConfig(seconds=3))
    assert other.config_id() != RenderConfig().config_id()
    assert RenderConfig().differences(other) == [
        "mel.n_mels: 128 here, 64 there",
        "segment.seconds: 10.0 here, 3.0 there",
    ]


@pytest.mark.parametrize(
    ("cls", "values", "message"),
    [
        (MelConfig, {"sample_rate": 22}, "did you mean 22000"),
        (MelConfig, {"n_mels": "many"}, "must be of type int"),
        (MelConfig, {"n_mels": True}, "must be of type int"),
        (MelConfig, {"fmax": 20000.0}, "fmin < fmax"),
        (MelConfig, {"hop_lenght": 3}, "did you mean 'hop_length'"),
        (SegmentConfig, {"overlap": 50.0}, "0.5 = half"),
        (SegmentConfig, {"tail": "keep"}, "one of shift, drop, pad"),
        (SplitConfig, {"test": 20.0}, "0.2 = 20 %"),
        (SplitConfig, {"test": 0.6, "val": 0.4}, "nothing to train on"),
        (SplitConfig, {"folds": 1}, "0 .holdout. or at least 2"),
    ],
)
def test_a_wrong_setting_gets_one_line_that_guesses_the_mistake(
    cls: type[Config], values: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        cls.from_dict(values)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("size", [10**19, 10**400, -(10**400), 10**5000], ids=["long", "huge", "negative", "endless"])
def test_an_absurd_integer_is_one_line(size: int) -> None:
    for make in (lambda: SegmentConfig(seconds=size), lambda: MelConfig(n_mels=size), lambda: SplitConfig(seed=size)):
        with pytest.raises(ConfigError, match="must lie from") as error:
            make()
        assert len(str(error.value)) < 120


def test_an_integer_in_place_of_a_float_is_the_same_setting() -> None:
    whole, exact = SegmentConfig(seconds=3), SegmentConfig(seconds=3.0)
    assert whole.config_id() == exact.config_id()
    assert SegmentConfig.from_dict(json.loads(json.dumps(whole.to_dict()))).config_id() == whole.config_id()
