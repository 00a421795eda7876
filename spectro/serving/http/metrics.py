"""What the server did, as text that Prometheus reads: counts and times, never names or content."""

from __future__ import annotations

from collections import Counter

BUCKETS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds of the histogram of answer times, in seconds."""
MEDIA_TYPE = "text/plain; version=0.0.4"


class Counts:
    """Counters since the start; used by the event loop only."""

    def __init__(self) -> None:
        self.requests: Counter[int] = Counter()
        self.jobs: Counter[str] = Counter()
        self.bytes = 0
        self.seconds = 0.0
        self._times: Counter[float] = Counter()
        self._time = 0.0

    def answered(self, seconds: float) -> None:
        """Count an answer that took so many seconds from the request's headers on."""
        self._time += seconds
        for bound in (*(bound for bound in BUCKETS if seconds <= bound), float("inf")):
            self._times[bound] += 1

    def text(self, *, active: int, stored: int) -> str:
        """Return all metrics; `active` jobs are under way, and `stored` bytes are kept."""
        lines = _head("requests_total", "counter", "Responses by status.")
        lines += [f'spectro_requests_total{{status="{status}"}} {n}' for status, n in sorted(self.requests.items())]
        lines += _head("jobs_total", "counter", "Jobs by how they ended.")
        lines += [f'spectro_jobs_total{{state="{state}"}} {n}' for state, n in sorted(self.jobs.items())]
        for name, kind, text, value in (
            ("upload_bytes_total", "counter", "Bytes received.", self.bytes),
            ("sound_seconds_total", "counter", "Seconds of sound classified.", round(self.seconds, 3)),
            ("jobs_active", "gauge", "Jobs under way.", active),
            ("stored_bytes", "gauge", "Bytes of sound and segments on the disk.", stored),
        ):
            lines += [*_head(name, kind, text), f"spectro_{name} {value}"]
        lines += _head("answer_seconds", "histogram", "Time from a request's headers to its answer.")
        lines += [f'spectro_answer_seconds_bucket{{le="{_bound(bound)}"}} {self._times[bound]}' for bound in _BOUNDS]
        lines += [f"spectro_answer_seconds_sum {self._time:.3f}"]
        lines += [f"spectro_answer_seconds_count {self._times[_BOUNDS[-1]]}"]
        return "\n".join(lines) + "\n"


_BOUNDS = (*BUCKETS, float("inf"))


def _head(name: str, kind: str, text: str) -> list[str]:
    return [f"# HELP spectro_{name} {text}", f"# TYPE spectro_{name} {kind}"]


def _bound(bound: float) -> str:
    return "+Inf" if bound == float("inf") else f"{bound:g}"
