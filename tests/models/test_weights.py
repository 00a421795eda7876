"""First weights: each mapping gives the original logits, each source is found, each failure is one line."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import huggingface_hub.constants
import pytest
import timm
import torch
import torchvision
from safetensors.torch import load_file, save, save_file
from sklearn.datasets import load_sample_image
from timm.data import ImageNetInfo
from torch import Tensor, nn

from spectro.core.card import WeightsFacts
from spectro.core.config import ModelConfig
from spectro.core.errors import WeightsError
from spectro.models import EMBEDDERS, WeightsInfo, build, build_pretrained, timm_backbone
from spectro.models.pretrained import SHIPPED
from spectro.models.weights import find_installed, read, resolve
from tests.stand_in import Handler, StandIn

SHAPE = (64, 96)
SMALL = "test_resnet"
SMALL_HUB = "timm/test_resnet.r160_in1k"


def original(name: str, state: dict[str, Tensor]) -> nn.Module:
    """The network that the shipped file was saved from, in its authors' own code."""
    if name == "mobilenetv2_100":
        model = torchvision.models.mobilenet_v2()
    else:
        package = pytest.importorskip("efficientnet_lite_pytorch")
        model = package.EfficientNet.from_name(name.removeprefix("tf_").replace("_", "-"))
    model.load_state_dict(state)
    network: nn.Module = model.eval()
    return network


def imagenet_model(name: str) -> nn.Module:
    """timm's whole classifier with the shipped weights under timm's names."""
    model = timm.create_model(name)
    missing, unexpected = model.load_state_dict(read(name, resolve(name)), strict=False)
    assert not unexpected
    assert all(key.endswith("num_batches_tracked") for key in missing)
    return model.eval()


@pytest.fixture(params=[name for name in SHIPPED if name not in EMBEDDERS])
def shipped(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if not (info := find_installed(name)) or not info.origin.startswith("package"):
        pytest.skip(f"{SHIPPED[name].package} is not installed")
    return name


def test_shipped_weights_give_the_original_networks_logits_exactly(shipped: str) -> None:
    side = {"tf_efficientnet_lite1": 240, "tf_efficientnet_lite2": 260}.get(shipped, 224)  # the original pads for it
    pictures = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    path = resolve(shipped).path
    assert path is not None
    with torch.inference_mode():
        theirs = original(shipped, torch.load(path, weights_only=True))(pictures)
        ours = imagenet_model(shipped)(pictures)
    assert torch.equal(ours, theirs)


def test_shipped_weights_see_a_palace_in_a_photo_of_one(shipped: str) -> None:
    photo = torch.from_numpy(load_sample_image("china.jpg").copy()).permute(2, 0, 1)[None] / 255
    photo = nn.functional.interpolate(photo, (224, 336), mode="bicubic", antialias=True)
    model = imagenet_model(shipped)
    mean, std = (torch.tensor(model.pretrained_cfg[part]).view(3, 1, 1) for part in ("mean", "std"))  # type: ignore[index]
    with torch.inference_mode():
        best = model((photo - mean) / std)[0].topk(5).indices
    assert "palace" in [ImageNetInfo().index_to_description(int(index)) for index in best]


def test_a_package_is_found_without_running_its_code(shipped: str) -> None:
    sys.modules.pop(SHIPPED[shipped].module, None)
    info = resolve(shipped)
    assert SHIPPED[shipped].module not in sys.modules
    facts = info.facts()
    assert facts.origin.startswith(f"package {SHIPPED[shipped].package} ")
    assert facts.sha256 == SHIPPED[shipped].sha256
    assert "/" not in facts.file


def test_a_package_with_an_altered_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = SHIPPED["mobilenetv2_100"]
    file = tmp_path / known.module / known.file
    file.parent.mkdir(parents=True)
    (tmp_path / known.module / "__init__.py").touch()
    file.write_bytes(b"something else")
    monkeypatch.delitem(sys.modules, known.module, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(WeightsError, match="is not the known file"):
        resolve("mobilenetv2_100")


class Hub(StandIn):
    """A stand-in for the hub on this machine: files by path, and what was asked of it."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        hub = self

        class Answers(Handler):
            def do_HEAD(self) -> None:
                self.answer(body=False)

            def do_GET(self) -> None:
                self.answer(body=True)

            def answer(self, body: bool) -> None:
                hub.asked.append(f"{self.command} {self.path}")
                content = hub.files.get(self.path)
                headers = {"X-Repo-Commit": "0" * 40, "ETag": '"1"'}
                if content is None:
                    self.reply(404, b"", {**headers, "X-Error-Code": "EntryNotFound"}, body=body)
                else:
                    self.reply(200, content, headers, body=body)

        super().__init__(Answers)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The real client with empty caches, talking to a stand-in."""
    stand_in = Hub()
    template = huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE
    template = template.replace(huggingface_hub.constants.ENDPOINT, stand_in.address)
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", stand_in.address)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    yield stand_in
    stand_in.stop()


def small_state() -> dict[str, Tensor]:
    torch.manual_seed(7)
    return dict(timm.create_model(SMALL).state_dict())


def backbone_state(name: str, given: str) -> tuple[dict[str, Tensor], WeightsInfo]:
    network, info = build_pretrained(ModelConfig(name=name, in_chans=3), 4, SHAPE, given)
    assert isinstance(network.backbone, timm_backbone.Backbone)
    return network.backbone.model.state_dict(), info


@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
def test_weights_come_from_the_hub_once_then_from_its_cache(hub: Hub, tmp_path: Path, file: str) -> None:
    state = small_state()
    if file.endswith(".bin"):
        torch.save(state, tmp_path / file)
        hub.files[f"/{SMALL_HUB}/resolve/main/{file}"] = (tmp_path / file).read_bytes()
    else:
        hub.files[f"/{SMALL_HUB}/resolve/main/{file}"] = save(state)
    loaded, info = backbone_state(SMALL, "auto")
    assert info.origin == f"hub {SMALL_HUB}"
    assert info.licence
    assert all(torch.equal(value, state[key]) for key, value in loaded.items())
    asked = len(hub.asked)
    assert resolve(SMALL).origin == "hub cache"
    assert len(hub.asked) == asked
    hub.stop()
    assert resolve(SMALL, "hub").sha256 == info.sha256


def test_no_network_and_no_cache_is_one_line_with_three_ways_out(hub: Hub) -> None:
    hub.stop()
    for name in ("resnet50", "vgg16"):
        with pytest.raises(WeightsError) as caught:
            resolve(name)
        line = str(caught.value)
        assert "\n" not in line
        for part in ("model.safetensors", f"timm/{name}", "pip install", "--weights FILE", "--weights none"):
            assert part in line


def test_a_model_without_weights_on_the_hub_says_so(hub: Hub) -> None:
    with pytest.raises(WeightsError, match=r"test_resnet.* has neither model.safetensors nor pytorch_model.bin"):
        resolve(SMALL)
    with pytest.raises(WeightsError, match="the hub has no pretrained weights of 'legacy_seresnet18'; timm knows only"):
        resolve("legacy_seresnet18")


def test_the_torch_cache_is_found(hub: Hub, tmp_path: Path) -> None:
    torch.manual_seed(1)
    state = timm.create_model("mobilenetv2_050").state_dict()
    path = tmp_path / "torch" / "hub" / "checkpoints" / "mobilenetv2_050-3d30d450.pth"
    path.parent.mkdir(parents=True)
    torch.save(state, path)
    loaded, info = backbone_state("mobilenetv2_050", "auto")
    assert info.origin == "torch cache"
    assert all(torch.equal(value, state[key]) for key, value in loaded.items())
    assert hub.asked == []


def save_plain(state: dict[str, Tensor], path: Path) -> Path:
    torch.save(state, path.with_suffix(".pth"))
    return path.with_suffix(".pth")


def save_wrapped(state: dict[str, Tensor], path: Path) -> Path:
    torch.save({"epoch": 3, "state_dict": state}, path.with_suffix(".pth"))
    return path.with_suffix(".pth")


def save_safe(state: dict[str, Tensor], path: Path) -> Path:
    save_file(state, path.with_suffix(".safetensors"))
    return path.with_suffix(".safetensors")


@pytest.mark.parametrize("keep", [save_plain, save_wrapped, save_safe])
def test_a_file_of_timm_weights_loads_without_its_classifier(
    tmp_path: Path, keep: Callable[[dict[str, Tensor], Path], Path]
) -> None:
    state = small_state()
    path = keep(state, tmp_path / "weights")
    loaded, info = backbone_state(SMALL, str(path))
    assert info.origin == "file"
    assert info.facts().file == path.name
    assert all(torch.equal(value, state[key]) for key, value in loaded.items())


def test_the_weights_of_a_run_are_first_weights_for_another(tmp_path: Path) -> None:
    config = ModelConfig(name="mobilenetv2_050", in_chans=1)
    first = build(config, 4, SHAPE)
    save_file(first.state_dict(), tmp_path / "weights.safetensors")
    second, _ = build_pretrained(config, 7, SHAPE, str(tmp_path / "weights.safetensors"))
    for key, value in second.backbone.state_dict().items():
        assert torch.equal(value, first.backbone.state_dict()[key])


def test_a_file_that_does_not_fit_is_one_line(tmp_path: Path) -> None:
    state = small_state()
    cases = {
        "lacks 'layer1.0.conv1.weight'": {k: v for k, v in state.items() if k != "layer1.0.conv1.weight"},
        "no place in the model for 'layer1.9.weight'": {**state, "layer1.9.weight": torch.zeros(1)},
        r"layer1.0.conv1.weight is \(1,\) there": {**state, "layer1.0.conv1.weight": torch.zeros(1)},
        "lacks 'conv1.0.weight' and 70 more": dict(timm.create_model("mobilenetv2_050").state_dict()),
    }
    for message, content in cases.items():
        with pytest.raises(WeightsError, match=message) as caught:
            backbone_state(SMALL, str(save_safe(content, tmp_path / "wrong")))
        assert "\n" not in str(caught.value)


def test_a_word_that_is_no_source_and_no_file_is_refused() -> None:
    with pytest.raises(WeightsError, match="'imagenet' is neither auto, none, hub nor a file that exists"):
        resolve(SMALL, "imagenet")


def test_none_is_an_explicit_random_start() -> None:
    assert resolve(SMALL, "none").facts() == WeightsFacts(origin="random", file="", sha256="", licence="")


def test_own_networks_start_at_random_and_take_no_weights(tmp_path: Path) -> None:
    _, info = build_pretrained(ModelConfig(name="cnn5"), 4, SHAPE)
    assert info.origin == "random"
    with pytest.raises(WeightsError, match="no pretrained weights of 'cnn5'"):
        build_pretrained(ModelConfig(name="cnn5"), 4, SHAPE, "hub")


@pytest.mark.parametrize(("name", "border"), [("tf_efficientnet_lite0", 0), ("mobilenetv2_100", 1)])
def test_one_grey_channel_gives_the_activations_of_three(name: str, border: int) -> None:
    """Everywhere where the colours share a mean; where they do not, except beside the zero padding."""
    if not find_installed(name):
        pytest.skip(f"{SHIPPED[name].package} is not installed")
    pictures = torch.rand(2, 1, *SHAPE, generator=torch.Generator().manual_seed(0))
    stems, pooled = [], []
    for channels in (1, 3):
        network, _ = build_pretrained(ModelConfig(name=name, in_chans=channels), 4, SHAPE)
        backbone = network.eval().backbone
        assert isinstance(backbone, timm_backbone.Backbone)
        with torch.inference_mode():
            stems.append(backbone.model.conv_stem(network.normalize(pictures)))
            pooled.append(network.features(pictures).mean(dim=(2, 3)))
    inside = slice(border, -border or None)
    torch.testing.assert_close(stems[0][..., inside, inside], stems[1][..., inside, inside], rtol=0, atol=1e-4)
    assert nn.functional.cosine_similarity(pooled[0], pooled[1]).min() > (0.99 if border else 0.999999)


def test_a_shipped_file_given_by_path_is_known_by_its_hash(shipped: str) -> None:
    path = resolve(shipped).path
    given = resolve(shipped, str(path))
    assert given.licence == SHIPPED[shipped].licence
    assert read(shipped, given).keys() == read(shipped, resolve(shipped)).keys()


def test_saved_weights_hold_the_normalization(tmp_path: Path) -> None:
    network = build(ModelConfig(name=SMALL), 4, SHAPE)
    save_file(network.state_dict(), tmp_path / "w.safetensors")
    assert {"normalize.mean", "normalize.std"} <= load_file(tmp_path / "w.safetensors").keys()
