"""What can go wrong with a request, as problem documents [RFC 9457] with a stable reason, a status and advice."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from starlette.responses import JSONResponse

from spectro.data.engines import Failed

MEDIA_TYPE = "application/problem+json"
STATUS = {
    "empty": 400,
    "unreadable": 400,
    "needs-av": 400,
    "implausible": 400,
    "changed-format": 400,
    "truncated": 400,
    "not-finite": 400,
    "too-long": 413,
    "timeout": 504,
}
"""Status by the reason why a sound cannot be used; of all others, 422."""
RETRY_SECONDS = 2
"""After which a client that was sent away may come again."""


class Problem(Exception):
    """A request that is not answered as asked.

    Parameters
    ----------
    status
        HTTP status.
    reason
        One stable word, for programs.
    detail
        What is wrong and what to do, in one line, for people.
    retry
        Seconds after which it is worth trying again; 0 for never.
    """

    def __init__(self, status: int, reason: str, detail: str, *, retry: int = 0) -> None:
        super().__init__(detail)
        self.status, self.reason, self.detail, self.retry = status, reason, detail, retry

    @classmethod
    def of(cls, failed: Failed) -> Problem:
        """Return the problem of a sound that cannot be used."""
        return cls(STATUS.get(failed.reason, 422), failed.reason, failed.message)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "reason": self.reason,
            "detail": self.detail,
        }

    def response(self) -> JSONResponse:
        """Return the answer to the client."""
        headers = {"Retry-After": str(self.retry)} if self.retry else {}
        if self.status == HTTPStatus.UNAUTHORIZED:
            headers["WWW-Authenticate"] = "Bearer"
        return JSONResponse(self.to_dict(), self.status, headers, MEDIA_TYPE)
