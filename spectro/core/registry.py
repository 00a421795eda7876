"""A named collection of interchangeable parts, filled by decorators and looked up with a helpful error."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from spectro.core.errors import ConfigError, did_you_mean

T = TypeVar("T")
Part = TypeVar("Part")


class Registry(Mapping[str, T]):
    """Names to parts of one shape, in the order they were added.

    >>> heads = Registry[int]("head")
    >>> _ = heads.add("linear")(1)
    >>> heads["linaer"]
    Traceback (most recent call last):
    spectro.core.errors.ConfigError: unknown head 'linaer'; did you mean 'linear'? (have: linear)
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._parts: dict[str, T] = {}

    def add(self, name: str) -> Callable[[Part], Part]:
        """Return a decorator that files a part under `name`; a name that is taken is a programming error."""

        def file(part: Part) -> Part:
            if name in self._parts:
                raise ValueError(f"two {self.kind}s are called '{name}'")
            self._parts[name] = part  # type: ignore[assignment]  # a function filed as its own callable type
            return part

        return file

    def __getitem__(self, name: str) -> T:
        try:
            return self._parts[name]
        except KeyError:
            hint = did_you_mean(name, self._parts)
            raise ConfigError(f"unknown {self.kind} '{name}'{hint} (have: {', '.join(self._parts)})") from None

    def __contains__(self, name: object) -> bool:
        return name in self._parts  # Mapping's own would need KeyError from __getitem__

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)
