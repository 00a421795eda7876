"""Split a backbone in two before its last stages: the front is frozen, and its output can be cached."""

from __future__ import annotations

from collections.abc import Sequence

from torch import fx, nn

from spectro.core.errors import ConfigError


def split_backbone(backbone: nn.Module, last: Sequence[nn.Module], name: str) -> tuple[nn.Module, nn.Module]:
    """Return a backbone in two parts, which one after the other compute what it does.

    Both parts share the backbone's own layers, so that training the second trains the backbone. Only the forward
    functions that reach across the split are traced; every layer on one side of it stays as it is.

    Parameters
    ----------
    backbone
        The layers up to the feature map.
    last
        Its last stages, which make the second part.
    name
        Name of the model, for messages.

    Raises
    ------
    ConfigError
        more than one map crosses the split (a shortcut around the last stages), or the backbone cannot be traced.
    """
    trained = {parameter for stage in last for parameter in stage.parameters()}

    class Border(fx.Tracer):
        def is_leaf_module(self, module: nn.Module, module_qualified_name: str) -> bool:
            sides = {parameter in trained for parameter in module.parameters()}
            return len(sides) < 2

    refusal = f"'{name}' cannot be split before its last {len(last)} stages"
    try:
        nodes = list(Border().trace(backbone).nodes)
    except (fx.proxy.TraceError, TypeError, ValueError) as error:
        raise ConfigError(f"{refusal} because it cannot be traced; fine-tune it without --cache-finetune") from error
    calls = [node.op == "call_module" and _any(backbone.get_submodule(str(node.target)), trained) for node in nodes]
    border = calls.index(True)
    crossing = [node for node in nodes[:border] if any(nodes.index(user) >= border for user in node.users)]
    if len(crossing) != 1:
        raise ConfigError(f"{refusal} because {len(crossing)} maps cross there; fine-tune it without --cache-finetune")
    front, back = fx.Graph(), fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for node in nodes[:border]:
        copies[node] = front.node_copy(node, copies.__getitem__)
    front.output(copies[crossing[0]])
    copies = {crossing[0]: back.placeholder("maps")}
    for node in nodes[border:]:
        copies[node] = back.node_copy(node, copies.__getitem__)
    return fx.GraphModule(backbone, front), fx.GraphModule(backbone, back)


def _any(module: nn.Module, trained: set[nn.Parameter]) -> bool:
    return any(parameter in trained for parameter in module.parameters())
