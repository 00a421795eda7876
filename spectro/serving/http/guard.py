"""Who may ask: the names a request may be addressed to, the pages it may come from, and the token it must bring."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from spectro.serving.http.problems import Problem
from spectro.serving.http.settings import ServerConfig, is_address, is_loopback

COOKIE = "spectro_session"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
GUARDED = ("/v1/", "/metrics")
"""Paths that need the token, where there is one; the page itself holds nothing to protect."""
CONTENT_POLICY = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'"
HEADERS = {
    "Content-Security-Policy": CONTENT_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Guard:
    """Middleware that turns away what is not meant for this server, before anything of its body is read.

    Parameters
    ----------
    app
        What answers the others.
    config
        Names of the server.
    token
        What clients must know; empty where only this machine can ask.
    """

    def __init__(self, app: ASGIApp, config: ServerConfig, token: str) -> None:
        self._app, self._names, self._token = app, config.names(), token
        self._any_address = not config.is_loopback
        key = secrets.token_bytes(32)
        self.session = hmac.new(key, token.encode(), hashlib.sha256).hexdigest()
        """What the page is given for the token, so that images and sounds, which bring no header, are let in too."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or turn it away."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            self._check(scope)
        except Problem as problem:
            response = problem.response()
            response.headers["Connection"] = "close"  # its body, if there is one, is not read
            return await response(scope, receive, send_guarded)
        return await self._app(scope, receive, send_guarded)

    def knows(self, headers: Headers) -> bool:
        """Tell whether a request brings the token, or the session that was given for it."""
        kind, _, given = headers.get("authorization", "").partition(" ")
        bearer = given.strip() if kind.lower() == "bearer" else ""
        return _equal(bearer, self._token) or _equal(_cookie(headers), self.session)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self._allowed(host):
            detail = "This server does not answer to that name; start it with --allow-host NAME if it should."
            raise Problem(421, "wrong-host", detail)
        if scope["method"] not in SAFE_METHODS:
            origin, site = headers.get("origin"), headers.get("sec-fetch-site", "same-origin")
            if (origin is not None and _netloc(origin) != host.lower()) or site not in ("same-origin", "none"):
                raise Problem(403, "wrong-origin", "Another page may not use this server.")
        guarded = scope["path"].startswith(GUARDED)
        if guarded and self._token and not self.knows(headers):
            detail = "Send the token that the server was started with: Authorization: Bearer TOKEN."
            raise Problem(401, "no-token", detail)

    def _allowed(self, host: str) -> bool:
        try:
            name = (urlsplit(f"//{host}").hostname or "").lower()
        except ValueError:
            return False
        return name in self._names or is_loopback(name) or (self._any_address and is_address(name))


def _netloc(origin: str) -> str:
    try:
        parts = urlsplit(origin)
    except ValueError:
        return ""
    return parts.netloc.lower() if parts.scheme in ("http", "https") else ""


def _cookie(headers: Headers) -> str:
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return morsel.value if morsel else ""


def _equal(given: str, expected: str) -> bool:
    return bool(given) and hmac.compare_digest(given.encode(errors="replace"), expected.encode())
