"""Who is turned away before anything of a request is read."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from spectro.core.errors import ConfigError
from spectro.serving.http.settings import ServerConfig, require_token

pytest.importorskip("starlette", reason="THE SERVER IS UNTESTED: no starlette")
from spectro.serving.http.guard import COOKIE, HEADERS, Guard

TOKEN = "correct-horse-battery"
HERE, REBOUND = "127.0.0.1:8000", "attacker.example"


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Answer everything."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"answered"})


def ask(guard: Guard, path: str = "/v1/runs", method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body of a request that must not be read."""
    named = {"host": HERE, **{name.replace("_", "-"): value for name, value in headers.items()}}
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "headers": [(name.encode(), value.encode()) for name, value in named.items()],
    }
    sent: list[Any] = []

    async def receive() -> Any:
        raise AssertionError("the body was read")

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(guard(scope, receive, send))
    found = {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], found, b"".join(message.get("body", b"") for message in sent)


def local() -> Guard:
    """Return a guard of a server for this machine."""
    return Guard(application, ServerConfig(allow_host=("sounds.example",)), "")


@pytest.mark.parametrize(
    "host", [HERE, "localhost", "[::1]:8000", "127.0.0.1", "LocalHost:9", "sounds.example", "127.9.9.9"]
)
def test_a_server_answers_to_its_own_names(host: str) -> None:
    assert ask(local(), host=host)[0] == 200


@pytest.mark.parametrize(
    "host", [REBOUND, "", "127.0.0.1.evil.example", "192.0.2.7", "[", "localhost@evil", "evil#localhost"]
)
def test_a_rebound_name_is_refused(host: str) -> None:
    status, headers, body = ask(local(), host=host)
    assert status == 421
    assert json.loads(body)["reason"] == "wrong-host"
    assert headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:8001"},
        {"origin": "file://127.0.0.1:8000"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
    ],
)
@pytest.mark.parametrize("method", ["POST", "DELETE", "PUT"])
def test_other_pages_may_not_post(headers: dict[str, str], method: str) -> None:
    assert ask(local(), method=method, **headers)[0] == 403


def test_the_own_page_and_programs_may() -> None:
    assert ask(local(), method="POST", origin=f"http://{HERE}", sec_fetch_site="same-origin")[0] == 200
    assert ask(local(), method="POST")[0] == 200


def test_no_other_site_may_read_what_is_answered() -> None:
    _, headers, _ = ask(local(), origin="https://evil.example")
    assert not any(name.startswith("access-control") for name in headers)
    assert headers.items() >= {name.lower(): value for name, value in HEADERS.items()}.items()


def test_a_token_is_demanded_and_compared() -> None:
    guard = Guard(application, ServerConfig(host="192.0.2.7"), TOKEN)
    for authorization in (
        "",
        "Bearer",
        f"Bearer {TOKEN[:-1]}",
        f"Basic {TOKEN}",
        "Bearer \N{LATIN SMALL LETTER E WITH ACUTE}",
    ):
        status, headers, _ = ask(guard, host="192.0.2.7", authorization=authorization)
        assert (status, headers["www-authenticate"]) == (401, "Bearer")
    assert ask(guard, host="192.0.2.7", authorization=f"Bearer {TOKEN}")[0] == 200
    assert ask(guard, host="192.0.2.7", cookie=f"{COOKIE}={guard.session}")[0] == 200
    assert ask(guard, host="192.0.2.7", cookie=f"{COOKIE}={TOKEN}")[0] == 401
    assert ask(guard, "/", host="192.0.2.7")[0] == 200  # the page holds nothing, and asks for it
    assert ask(guard, "/metrics", host="192.0.2.7")[0] == 401


def test_other_machines_are_served_only_with_a_good_token() -> None:
    with pytest.raises(ConfigError, match="SPECTRO_TOKEN"):
        require_token(ServerConfig(host="0.0.0.0"), "")
    with pytest.raises(ConfigError, match="at least 16"):
        require_token(ServerConfig(), "short")
    require_token(ServerConfig(host="0.0.0.0"), TOKEN)
    require_token(ServerConfig(host="::1"), "")
