"""The HTTP API: uploads in, predictions and jobs out, every refusal a problem document."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from spectro.core.distribution import version
from spectro.data import png
from spectro.serving.http import events, metrics
from spectro.serving.http.engine import Engine
from spectro.serving.http.explanations import Explainer
from spectro.serving.http.guard import COOKIE, Guard
from spectro.serving.http.job_document import SOUND_TYPES, job_document
from spectro.serving.http.jobs import ENDED, Job, JobStore
from spectro.serving.http.page_files import PAGE, page_files
from spectro.serving.http.problems import RETRY_SECONDS, Problem
from spectro.serving.http.query import PredictionQuery, read_query, read_truth
from spectro.serving.http.results import FORMS, file_name, write_answer, write_answers, write_with_members
from spectro.serving.http.served_run import ServedRun
from spectro.serving.http.settings import ServerConfig
from spectro.serving.http.upload import declared_size, linger, receive
from spectro.serving.http.upload_decoding import read_input

LONGEST_LIST = 200_000
"""Bytes of a list of jobs."""
DAY = "private, max-age=86400"


class Refusal(Response):
    """A problem reported to a client that may still be sending its file.

    Parameters
    ----------
    problem
        What is wrong.
    request
        Its request.
    """

    def __init__(self, problem: Problem, request: Request) -> None:
        self._inner, self._request = problem.response(), request
        super().__init__(status_code=problem.status)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer whole, read on for a moment, then hang up."""
        self._inner.headers["Connection"] = "close"
        head = {"type": "http.response.start", "status": self._inner.status_code, "headers": self._inner.raw_headers}
        with suppress(ClientDisconnect, OSError):
            await send(head)
            await send({"type": "http.response.body", "body": self._inner.body, "more_body": True})
            await linger(self._request)
            await send({"type": "http.response.body", "body": b""})


class Api:
    """The handlers of all paths.

    Parameters
    ----------
    config
        Limits.
    runs
        What is served, by name; the first is asked where a request names none.
    store
        Keeps the jobs.
    engine
        Does the work.
    draining
        Tells whether the server is about to end.
    """

    def __init__(
        self,
        config: ServerConfig,
        runs: Mapping[str, ServedRun],
        store: JobStore,
        engine: Engine,
        draining: Callable[[], bool],
    ) -> None:
        self._config, self._runs, self._store, self._engine = config, runs, store, engine
        self._draining = draining
        self._files = page_files(PAGE.iterdir())
        self._explainer = Explainer(store)
        self.counts = metrics.Counts()
        self.guard: Guard | None = None
        """Set by who puts one in front."""
        store.on_end = self._ended

    def routes(self) -> list[Route]:
        """Return every path with its handler."""
        return [
            Route("/", self.page),
            Route("/page/{name}", self.page),
            Route("/openapi.json", self.openapi),
            Route("/healthz", self.health),
            Route("/readyz", self.readiness),
            Route("/metrics", self.metrics),
            Route("/v1/session", self.session, methods=["POST"]),
            Route("/v1/runs", self.list_runs),
            Route("/v1/runs/{name}", self.show_run),
            Route("/v1/predictions", self.predict, methods=["POST"]),
            Route("/v1/tables/{form}", self.table, methods=["POST"], max_body_size=LONGEST_LIST),
            Route("/v1/jobs/{id}", self.show_job),
            Route("/v1/jobs/{id}", self.delete_job, methods=["DELETE"]),
            *(Route(f"/v1/jobs/{{id}}/{form}", self.answer) for form in FORMS),
            Route("/v1/jobs/{id}/events", self.events),
            Route("/v1/jobs/{id}/audio", self.audio),
            Route("/v1/jobs/{id}/segments/{number:int}.png", self.segment),
            Route("/v1/jobs/{id}/segments/{number:int}/explanation.png", self.explanation),
        ]

    async def page(self, request: Request) -> Response:
        """Return a file of the page."""
        return self._file(request, request.path_params.get("name", "index.html"))

    async def openapi(self, request: Request) -> Response:
        """Return the description of this API."""
        return self._file(request, "openapi.json")

    async def health(self, request: Request) -> Response:
        """Tell that the process answers."""
        return PlainTextResponse("ok\n")

    async def readiness(self, request: Request) -> Response:
        """Tell whether predictions are answered now."""
        self._require_ready()
        return PlainTextResponse("ready\n")

    async def metrics(self, request: Request) -> Response:
        """Return counters and gauges."""
        text = self.counts.text(active=self._store.active, stored=self._store.size)
        return Response(text, media_type=metrics.MEDIA_TYPE)

    async def session(self, request: Request) -> Response:
        """Let a page that brought the token fetch images and sounds, which bring no header."""
        response = Response(status_code=204)
        if self.guard is not None and self.guard.session:
            secure = request.headers.get("origin", "").startswith("https:")
            response.set_cookie(COOKIE, self.guard.session, httponly=True, samesite="strict", secure=secure)
        return response

    async def list_runs(self, request: Request) -> Response:
        """Return the runs and the limits of this server."""
        config = self._config
        limits = {
            "bytes": config.max_bytes,
            "seconds": 60 * config.max_minutes,
            "queue": config.queue,
            "keep_seconds": 60 * config.keep_minutes,
        }
        runs = [
            {"name": name, "kind": run.card.kind, "labels": list(run.card.labels)} for name, run in self._runs.items()
        ]
        return JSONResponse({"version": version(), "ready": self._engine.ready, "runs": runs, "limits": limits})

    async def show_run(self, request: Request) -> Response:
        """Return what is known of a run."""
        name = request.path_params["name"]
        if name not in self._runs:
            raise Problem(404, "no-such-run", "There is no such run; /v1/runs lists them.")
        return JSONResponse({"name": name, **await asyncio.to_thread(lambda: self._runs[name].facts)})

    async def predict(self, request: Request) -> Response:
        """Take a file, and answer with its prediction or with the address of its job."""
        try:
            query = read_query(request.query_params, self._runs)
            size = declared_size(request, self._config)
            self._require_ready()
            job = self._store.admit(
                query.run,
                query.name,
                query.suffix,
                size=size,
                overlap=query.overlap,
                min_confidence=query.min_confidence,
            )
        except Problem as problem:
            return Refusal(problem, request)
        try:
            await receive(request, job, self._store, self._config)
        except Problem as problem:
            self._engine.stop(job)
            return Refusal(problem, request)
        except BaseException:  # gone, or the server ends
            self._engine.stop(job)
            raise
        self.counts.bytes += job.sound.stat().st_size
        self._engine.submit(job)
        return await self._respond(request, query, job)

    async def show_job(self, request: Request) -> Response:
        """Return how far a job is."""
        return JSONResponse(self._job_document(self._store.get(request.path_params["id"])))

    async def events(self, request: Request) -> Response:
        """Return the states of a job as they come, until it has ended."""
        job = self._store.get(request.path_params["id"])
        return StreamingResponse(events.job_events(job, self._job_document), media_type=events.MEDIA_TYPE)

    async def delete_job(self, request: Request) -> Response:
        """Stop a job and forget its sound and answer."""
        self._engine.stop(self._store.get(request.path_params["id"]))
        return Response(status_code=204)

    async def answer(self, request: Request) -> Response:
        """Return an answer in one of its forms."""
        job = self._store.get(request.path_params["id"])
        if job.state != "done" or job.answer is None:
            raise self._unfinished(job)
        form, media_type = FORMS[request.url.path.rsplit("/", 1)[-1]]
        if form == "json":
            return self._predicted(job, members=read_truth(request.query_params.get("members", "false")))
        headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(file_name(job.name, form), safe='')}"}
        content = write_answer(job.answer, form, job.run.options(job.min_confidence))
        return Response(content, media_type=media_type, headers=headers)

    async def table(self, request: Request) -> Response:
        """Return the answers of several jobs, whose ids the body lists one a line, as one table."""
        form = request.path_params["form"]
        if form not in FORMS:
            raise Problem(404, "no-such-form", f"A table is one of {', '.join(FORMS)}.")
        ids = (await request.body()).decode("ascii", "replace").split()
        jobs = [self._store.get(id) for id in ids]
        if not jobs:
            raise Problem(400, "empty", "The body must list the ids of jobs, one a line.")
        for job in jobs:
            if job.state != "done":
                raise self._unfinished(job)
            if job.run is not jobs[0].run:
                raise Problem(400, "several-runs", "Answers of several runs have different columns; ask for one run.")
        kind, media_type = FORMS[form]
        options = jobs[0].run.options(jobs[0].min_confidence)
        content = write_answers([job.answer for job in jobs if job.answer is not None], kind, options)
        return Response(content, media_type=media_type)

    async def audio(self, request: Request) -> Response:
        """Return the sound as it was sent, or the part of it that a Range asks for."""
        job = self._store.get(request.path_params["id"])
        if job.state != "done":
            raise self._unfinished(job)
        media_type = SOUND_TYPES.get(job.suffix, "application/octet-stream")
        return FileResponse(job.sound, media_type=media_type, headers={"Cache-Control": DAY})

    async def segment(self, request: Request) -> Response:
        """Return the spectrogram of one segment as a PNG, as the model sees it."""
        job = self._store.get(request.path_params["id"])
        if job.state != "done" or job.decoded is None:
            raise self._unfinished(job)
        decoded = job.decoded.inputs[job.display]
        number = request.path_params["number"]
        if number >= len(decoded.starts):
            raise Problem(404, "no-such-segment", f"The sound has {len(decoded.starts)} segments, counted from 0.")
        image = read_input(job.folder, job.display, decoded)[number]
        return Response(png.encode(image, {}), media_type="image/png", headers={"Cache-Control": DAY})

    async def explanation(self, request: Request) -> Response:
        """Return where a network finds the answer in one segment, as a PNG."""
        job = self._store.get(request.path_params["id"])
        if job.state != "done":
            raise self._unfinished(job)
        number, member = request.path_params["number"], request.query_params.get("member", "")
        content, tags = await self._explainer.image(job, number, member)
        headers = {"Cache-Control": DAY, "Spectro-Method": tags["method"], "Spectro-Check": tags["check"]}
        return Response(content, media_type="image/png", headers=headers)

    def _file(self, request: Request, name: str) -> Response:
        file = self._files.get(name)
        if file is None:
            raise Problem(404, "no-such-page", "There is no such page.")
        headers = {"ETag": file.tag, "Cache-Control": "no-cache"}
        if request.headers.get("if-none-match") == file.tag:
            return Response(status_code=304, headers=headers)
        return Response(file.content, media_type=file.media_type, headers=headers)

    def _require_ready(self) -> None:
        if self._draining():
            raise Problem(503, "ending", "The server is about to end.", retry=RETRY_SECONDS)
        if not self._engine.ready:
            raise Problem(503, "loading", "The models are being loaded; come again in a moment.", retry=RETRY_SECONDS)

    async def _respond(self, request: Request, query: PredictionQuery, job: Job) -> Response:
        later = "respond-async" in request.headers.get("prefer", "").lower()
        if not later:
            if not await _wait(request, job, self._config.sync_seconds):
                self._engine.stop(job)
                raise ClientDisconnect
            if job.state in ENDED:
                self._store.forget(job)
                if job.problem is not None:
                    raise job.problem
                if job.answer is not None:
                    return self._predicted(job, members=query.members)
                raise Problem(503, "ending", "The server is about to end.", retry=RETRY_SECONDS)
        where = f"/v1/jobs/{job.id}"
        return JSONResponse(self._job_document(job), 202, {"Location": where, "Retry-After": "1"})

    def _job_document(self, job: Job) -> dict[str, Any]:
        return job_document(job, self._store.ahead(job))

    def _predicted(self, job: Job, *, members: bool) -> Response:
        """Return the JSON of an answer."""
        assert job.answer is not None
        options = job.run.options(job.min_confidence)
        content = write_with_members(job.answer, options) if members else write_answer(job.answer, "json", options)
        return Response(content, media_type="application/json")

    def _unfinished(self, job: Job) -> Problem:
        """Return why a job has no answer yet, or never will."""
        if job.problem is not None:
            return job.problem
        return Problem(409, "not-finished", f"The job is {job.state}; ask again when it is done.", retry=1)

    def _ended(self, job: Job) -> None:
        self.counts.jobs[job.state] += 1
        if job.state == "done" and job.decoded is not None:
            self.counts.seconds += job.decoded.seconds
            self.counts.answered(time.monotonic() - job.began_at)


async def _wait(request: Request, job: Job, seconds: float) -> bool:
    """Wait for a job, but not longer than that; return False where the client is gone."""
    gone, ended = asyncio.ensure_future(_gone(request)), asyncio.ensure_future(job.ended.wait())
    try:
        await asyncio.wait({gone, ended}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        return ended.done() or not gone.done()
    finally:
        gone.cancel()
        ended.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def on_problem(request: Request, problem: Exception) -> Response:
    """Answer with a problem document."""
    assert isinstance(problem, Problem)
    return problem.response()


async def on_http_error(request: Request, error: Exception) -> Response:
    """Answer what no path takes."""
    assert isinstance(error, HTTPException)
    reason = "no-such-page" if error.status_code == 404 else "method"
    response = Problem(error.status_code, reason, str(error.detail)).response()
    for name, value in (error.headers or {}).items():
        response.headers[name] = value
    return response
