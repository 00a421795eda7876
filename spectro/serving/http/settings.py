"""What a server is allowed: where it listens, who may ask, and how much it takes, keeps and waits for."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass

from spectro.core.config import Config, require, within

LEAST_TOKEN = 16
"""Shortest token, in characters."""
MEGABYTE = 1_000_000
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, kw_only=True)
class ServerConfig(Config):
    """Settings of a server."""

    host: str = "127.0.0.1"
    """Address to listen on; one that other machines reach needs a token."""
    port: int = 8000
    """Port to listen on; 0 for any free one."""
    allow_host: tuple[str, ...] = ()
    """Further names under which the server may be addressed, such as that of a proxy in front of it."""
    max_megabytes: float = 200.0
    """Largest file that is taken, in MB."""
    max_minutes: float = 120.0
    """Longest recording that is taken, in minutes; each channel counts, two minutes of stereo as four."""
    sync_seconds: float = 20.0
    """Time after which a request is answered with the address of its job instead of the prediction, in seconds."""
    keep_minutes: float = 30.0
    """How long the sound and the answer of a job are kept, in minutes."""
    keep_megabytes: float = 4000.0
    """Most that all kept jobs take on the disk, in MB; the oldest finished ones make room."""
    queue: int = 16
    """Jobs that may be under way; further requests are asked to come again."""
    decoders: int = 1
    """Processes that decode uploads."""
    decode_seconds: float = 120.0
    """Time that decoding one file may take, in seconds."""
    stall_seconds: float = 20.0
    """Longest silence of a client in the middle of its upload, or before the end of its headers, in seconds."""

    def __post_init__(self) -> None:
        within("port", self.port, 0, 65535)
        within("max_megabytes", self.max_megabytes, 0.001, 100_000)
        within("max_minutes", self.max_minutes, 0.01, 10_000)
        within("sync_seconds", self.sync_seconds, 0, 3600)
        within("keep_minutes", self.keep_minutes, 0.01, 10_000)
        within("keep_megabytes", self.keep_megabytes, self.max_megabytes, 10_000_000)
        within("queue", self.queue, 1, 1000)
        within("decoders", self.decoders, 1, 64)
        within("decode_seconds", self.decode_seconds, 1, 3600)
        within("stall_seconds", self.stall_seconds, 0.1, 600)
        require(bool(self.host), "host is empty; 127.0.0.1 is this machine only")

    @property
    def max_bytes(self) -> int:
        """Largest body, in bytes."""
        return int(self.max_megabytes * MEGABYTE)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return is_loopback(self.host)

    def names(self) -> frozenset[str]:
        """Return the host names, in lower case, that a request may be addressed to."""
        own = set() if self.is_loopback else {socket.gethostname()}
        return frozenset(name.lower() for name in (*LOOPBACK_NAMES, self.host, *own, *self.allow_host))


def is_loopback(host: str) -> bool:
    """Tell whether an address is one of this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_address(host: str) -> bool:
    """Tell whether a host is a number: no rebinding of names can lead there."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def require_token(config: ServerConfig, token: str) -> None:
    """Raise ConfigError where other machines could ask without a token, or the token is easy to guess."""
    if token:
        require(token.isascii() and token.isprintable(), "the token must consist of ASCII letters, digits and signs")
        require(
            len(token) >= LEAST_TOKEN, f"the token has {len(token)} characters, but must have at least {LEAST_TOKEN}"
        )
    require(
        bool(token) or config.is_loopback,
        f"other machines can reach the host {config.host}, so a token is needed: set SPECTRO_TOKEN to a secret of at "
        f'least {LEAST_TOKEN} characters (python -c "import secrets; print(secrets.token_urlsafe())"), '
        "or leave out --host",
    )
