"""A trace of a network's forward function for inputs of one shape and any number of items."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, fx, nn

ITEMS = 5
"""Number of items of the example; odd, so that a number of windows per item is not taken for it."""


class ShapedTracer(fx.Tracer):
    """Trace with an example beside every value, so that code may ask for sizes and decide by them.

    Plain tracing stops where a transformer computes its grid of patches from the size of the input. Here heights,
    widths and channels are numbers. The first size of a tensor, if it is a multiple of the number of items, stays a
    node of the graph, `items`, computed from the input, so that the graph takes any number of them.

    Parameters
    ----------
    example
        `[ITEMS, channels, bands, frames]`, on the device of the network.
    is_leaf
        Tells which modules are not looked into.
    """

    def __init__(self, example: Tensor, is_leaf: Callable[[nn.Module], bool]) -> None:
        super().__init__()
        self.example = example
        self.leaf = is_leaf
        self.values: dict[fx.Node, Any] = {}
        self.items: fx.Proxy | None = None
        self.running = False

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Tell whether a module becomes one node."""
        return self.leaf(m)

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Record the call of a module, or really call it, for the example."""
        return forward(*args, **kwargs) if self.running else super().call_module(m, forward, args, kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        """Return a stand-in for a parameter, or the parameter itself, for the example."""
        return attr_val if self.running else super().getattr(attr, attr_val, parameter_proxy_cache)

    def proxy(self, node: fx.Node) -> fx.Proxy:
        """Return the stand-in for a node's value, after the value was computed for the example."""
        if node not in self.values:
            self.running = True
            self.values[node] = self._run(node)
            self.running = False
        return _Shaped(node, self)

    def create_proxy(self, *args: Any, **kwargs: Any) -> Any:
        """Return the stand-in for a new node's value, or what a layer returned beside its map (sizes) as it is."""
        proxy = super().create_proxy(*args, **kwargs)
        value = self.values[proxy.node]
        return value if _is_plain(value) and proxy.node.target is operator.getitem else proxy

    def number_of_items(self) -> fx.Proxy:
        """Return the node that is the number of items."""
        if self.items is None:
            first = next(iter(self.graph.nodes))
            with self.graph.inserting_after(first):
                node = self.graph.call_method("size", (first, 0))
            self.values[node] = ITEMS
            self.items = _Shaped(node, self)
        return self.items

    @torch.no_grad()
    def _run(self, node: fx.Node) -> Any:
        """Return a node's value for the example."""
        if node.op == "placeholder":
            return self.example
        if node.op == "get_attr":
            return operator.attrgetter(str(node.target))(self.root)
        args, kwargs = _plain(fx.node.map_arg((node.args, node.kwargs), self._value))
        if node.op == "call_module":
            return self.root.get_submodule(str(node.target))(*args, **kwargs)
        if node.op == "call_method":
            return getattr(args[0], str(node.target))(*args[1:], **kwargs)
        return node.target(*args, **kwargs) if callable(node.target) else args

    def _value(self, node: fx.Node) -> Any:
        if node not in self.values:  # a tensor that the code computed from numbers
            self.values[node] = self._run(node)
        return self.values[node]


def _is_plain(value: Any) -> bool:
    return (
        value is None
        or isinstance(value, int)
        or (isinstance(value, tuple | list) and all(isinstance(one, int) for one in value))
    )


def _plain(value: Any) -> Any:
    """Return arguments with lists that may be changed, in place of those of a graph."""
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return tuple(_plain(one) for one in value) if type(value) is tuple else value


class _Shaped(fx.Proxy):
    """A stand-in for a value, with the sizes of its example."""

    tracer: ShapedTracer

    @property
    def example(self) -> Any:
        return self.tracer.values[self.node]

    @property
    def shape(self) -> tuple[Any, ...]:
        first, *others = self.example.shape
        if first % ITEMS:
            return (first, *others)
        items = self.tracer.number_of_items()
        return (items if first == ITEMS else items * (first // ITEMS), *others)

    @property
    def dtype(self) -> Any:
        return self.example.dtype

    @property
    def ndim(self) -> int:
        return int(self.example.ndim)

    def dim(self) -> int:
        return self.ndim

    def size(self, dim: int | None = None) -> Any:
        return self.shape if dim is None else self.shape[dim]

    def __len__(self) -> int:
        return len(self.example)

    def __iter__(self) -> Iterator[Any]:
        return iter([operator.getitem(self, number) for number in range(len(self.example))])
