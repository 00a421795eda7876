"""Split a backbone in two before its last stages: the front is frozen, and its output can be cached."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from spectro.core.errors import ConfigError
from spectro.models.shaped_trace import ITEMS, ShapedTracer


def split_backbone(
    backbone: nn.Module, last: Sequence[nn.Module], name: str, shape: tuple[int, ...]
) -> tuple[nn.Module, nn.Module]:
    """Return a backbone in two parts, which one after the other compute what it does.

    The front returns `[batch, channels, h, w]`: the one map that crosses the split, or everything that does (tokens, a
    shortcut around the last stages) in a row, `[batch, values, 1, 1]`.

    Both parts share the backbone's own layers, so that training the second trains the backbone. Only the forward
    functions that reach across the split are traced; every layer on one side of it stays as it is.

    Parameters
    ----------
    backbone
        The layers up to the feature map, in evaluation mode.
    last
        Its last stages, which make the second part.
    name
        Name of the model, for messages.
    shape
        Channels, bands and frames of its inputs.

    Raises
    ------
    ConfigError
        the backbone cannot be traced.
    """
    trained = {parameter for stage in last for parameter in stage.parameters()}

    def one_side(module: nn.Module) -> bool:
        return len({parameter in trained for parameter in module.parameters()}) < 2

    refusal = f"'{name}' cannot be split before its last {len(last)} stages"
    example = torch.zeros(ITEMS, *shape, device=next(backbone.parameters()).device)
    tracer = ShapedTracer(example, one_side)
    try:
        nodes = list(tracer.trace(backbone).nodes)
    except Exception as error:  # code that decides by values can fail in any way
        raise ConfigError(f"{refusal} because it cannot be traced; fine-tune it without --cache-finetune") from error
    parts = _Parts(nodes, None if tracer.items is None else tracer.items.node)
    border = parts.border(lambda node: _holds(backbone, node, trained))
    crossing = {node: tracer.values[node] for node in parts.crossing(border)}
    return fx.GraphModule(backbone, parts.front(crossing)), fx.GraphModule(backbone, parts.back(crossing))


class _Parts:
    """The nodes of a trace, to be divided between two graphs.

    Parameters
    ----------
    nodes
        All nodes, in the order in which they are computed.
    items
        The number of items, if the trace asks for it.
    """

    def __init__(self, nodes: Sequence[fx.Node], items: fx.Node | None) -> None:
        self.nodes = nodes
        self.items = items
        self.without_input: set[fx.Node] = {items} if items else set()
        """What depends on no input but on the number of items: each graph computes it for itself."""
        for node in nodes:
            if node.op != "placeholder" and self.without_input.issuperset(node.all_input_nodes):
                self.without_input.add(node)

    def border(self, is_trained: Callable[[fx.Node], bool]) -> int:
        """Return the place of the first node that needs trained parameters."""
        trained: set[fx.Node] = set()
        for place, node in enumerate(self.nodes):
            if is_trained(node) or not trained.isdisjoint(node.all_input_nodes):
                if node not in self.without_input:
                    return place
                trained.add(node)
        raise AssertionError("no layer is trained")

    def crossing(self, border: int) -> list[fx.Node]:
        """Return what the nodes from the border on need of those before it."""
        needed = [node for user in self.nodes[border:] for node in user.all_input_nodes]
        before = {*self.nodes[:border]} - self.without_input
        return list(dict.fromkeys(node for node in needed if node in before))

    def front(self, crossing: Mapping[fx.Node, Any]) -> fx.Graph:
        """Return the graph from the input to what crosses, with its values for the example, as one map."""
        graph = fx.Graph()
        copies: dict[fx.Node, fx.Node] = {}
        for node in crossing:
            self._copy(node, graph, copies)
        if _is_one_map(crossing):
            graph.output(copies[next(iter(crossing))])
            return graph
        rows, size = [], 0
        for node, value in crossing.items():
            for path, tensor in _tensors(value):
                part = copies[node]
                for index in path:
                    part = graph.call_function(operator.getitem, (part, index))
                size += tensor.numel() // ITEMS
                rows.append(graph.call_method("reshape", (part, -1, tensor.numel() // ITEMS)))
        joined = graph.call_function(torch.cat, (rows, 1))
        graph.output(graph.call_method("reshape", (joined, -1, size, 1, 1)))
        return graph

    def back(self, crossing: Mapping[fx.Node, Any]) -> fx.Graph:
        """Return the graph from what crosses, as one map, to the output."""
        graph = fx.Graph()
        maps = graph.placeholder("maps")
        end = 0

        def unpacked(value: Any) -> Any:
            nonlocal end
            if isinstance(value, tuple | list):
                return graph.call_function(_listed, tuple(map(unpacked, value)))
            if not isinstance(value, Tensor):
                return value
            begin, end = end, end + value.numel() // ITEMS
            part = graph.call_function(operator.getitem, (maps, (slice(None), slice(begin, end))))
            return graph.call_method("reshape", (part, -1, *value.shape[1:]))

        one = _is_one_map(crossing)
        copies = {node: maps if one else unpacked(value) for node, value in crossing.items()}
        if self.items is not None:
            copies[self.items] = graph.call_method("size", (maps, 0))
        self._copy(self.nodes[-1], graph, copies)
        return graph

    def _copy(self, last: fx.Node, graph: fx.Graph, copies: dict[fx.Node, fx.Node]) -> None:
        """Add to a graph what a node needs that it does not have yet."""
        needed, waiting = set(), [last]
        while waiting:
            node = waiting.pop()
            if node not in needed and node not in copies:
                needed.add(node)
                waiting += node.all_input_nodes
        for node in self.nodes:
            if node in needed:
                copies[node] = graph.node_copy(node, copies.__getitem__)


def _is_one_map(crossing: Mapping[fx.Node, Any]) -> bool:
    """Tell whether what crosses can be kept as it is: one map of each item, `[items, channels, h, w]`."""
    values = list(crossing.values())
    return len(values) == 1 and isinstance(values[0], Tensor) and values[0].ndim == 4 and len(values[0]) == ITEMS


def _tensors(value: Any, path: tuple[int, ...] = ()) -> Iterator[tuple[tuple[int, ...], Tensor]]:
    """Yield the tensors in a value, which may be a list of them, each with its place."""
    if isinstance(value, Tensor):
        yield path, value
    elif isinstance(value, tuple | list):
        for number, part in enumerate(value):
            yield from _tensors(part, (*path, number))


def _listed(*parts: Any) -> list[Any]:
    return list(parts)


def _holds(backbone: nn.Module, node: fx.Node, trained: set[nn.Parameter]) -> bool:
    """Tell whether a node is a layer with trained parameters, or such a parameter."""
    if node.op == "call_module":
        return not trained.isdisjoint(backbone.get_submodule(str(node.target)).parameters())
    return node.op == "get_attr" and operator.attrgetter(str(node.target))(backbone) in trained
