"""The review page behind its guard: recordings in order, their spectrograms and sound, labels in, labels taken back."""

from __future__ import annotations

import asyncio
import io
import json
from collections import OrderedDict
from importlib.resources import files
from itertools import islice
from pathlib import Path
from typing import Any

import soundfile
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from spectro.audio.decode import open_sound
from spectro.core.arrays import Image
from spectro.core.config import RenderConfig
from spectro.core.errors import AudioError
from spectro.core.openset import means_none
from spectro.data import png
from spectro.data.clip_rendering import render_clip
from spectro.serving.http.api import on_http_error, on_problem
from spectro.serving.http.job_document import SOUND_TYPES
from spectro.serving.http.page_files import PAGE, page_files
from spectro.serving.http.problems import Problem
from spectro.serving.review.labels import Labels, class_name
from spectro.serving.review.queue import Item, Queue

KEPT = 8
"""Recordings whose spectrograms are kept in memory."""
MOST_TILES = 400
"""Segments of one recording that are drawn."""
CONVERTED_RATE, CONVERTED_SECONDS = 22050, 600.0
"""Of sounds that browsers cannot play, that much is sent as WAV, at that sample rate."""
LONGEST_BODY = 10_000
NONE = "other"
"""Label of "none of these" where the run has no class for it."""
SHARED = ("style.css", "dom.js", "mel.js", "player.js", "spectrogram.js", "api.js", "icon.svg")
"""Files of the page of `spectro serve` that this one uses too."""


class ReviewApp:
    """The handlers of all paths.

    Parameters
    ----------
    queue
        The recordings in order.
    labels
        The table of labels.
    title
        Name of the run.
    """

    def __init__(self, queue: Queue, labels: Labels, title: str) -> None:
        self._queue, self._labels, self._title = queue, labels, title
        self._tiles: OrderedDict[int, tuple[tuple[float, Image], ...]] = OrderedDict()
        self._numbers = {labels.name_of(item.file): number for number, item in enumerate(queue.items)}
        own = files("spectro.serving.review").joinpath("page").iterdir()
        self._files = page_files([*map(PAGE.joinpath, SHARED), *own])
        self._lock = asyncio.Lock()

    def application(self) -> Starlette:
        """Return the application."""
        routes = [
            Route("/", self.page),
            Route("/page/{name}", self.page),
            Route("/v1/review", self.review),
            Route("/v1/labels", self.label, methods=["POST"]),
            Route("/v1/undo", self.undo, methods=["POST"]),
            Route("/v1/jobs/{number:int}", self.job),
            Route("/v1/jobs/{number:int}/audio", self.audio),
            Route("/v1/jobs/{number:int}/segments/{segment:int}.png", self.tile),
        ]
        return Starlette(routes=routes, exception_handlers={Problem: on_problem, HTTPException: on_http_error})

    async def page(self, request: Request) -> Response:
        """Return a file of the page."""
        file = self._files.get(request.path_params.get("name", "index.html"))
        if file is None:
            raise Problem(404, "no-such-page", "There is no such page.")
        headers = {"ETag": file.tag, "Cache-Control": "no-cache"}
        return Response(file.content, media_type=file.media_type, headers=headers)

    async def review(self, request: Request) -> Response:
        """Return what is to be labelled, in order, and what is labelled."""
        return JSONResponse(
            {
                "run": self._title,
                "out": self._labels.path.name,
                "labels": list(self._queue.labels),
                "classes": self._classes(),
                "none": self._none(),
                "undoable": len(self._labels.undoable),
                "failed": [failure.message for failure in self._queue.failed],
                "items": [self._summary(number, item) for number, item in enumerate(self._queue.items)],
            }
        )

    async def job(self, request: Request) -> Response:
        """Return one recording as the spectrogram view takes it."""
        number, item = self._item(request)
        tiles = await self._drawn(number, item)
        mel, config = self._queue.display.mel, self._queue.display
        return JSONResponse(
            {
                "id": number,
                "sound": {"seconds": item.duration, "playable": True},
                "focus": item.focus,
                "segments": list(item.segments),
                "spectrogram": {
                    "starts": [start for start, _ in tiles],
                    "seconds": config.segment.seconds,
                    "low_hz": mel.fmin,
                    "high_hz": mel.fmax or mel.sample_rate / 2,
                },
            }
        )

    async def tile(self, request: Request) -> Response:
        """Return the spectrogram of one segment."""
        number, item = self._item(request)
        tiles, segment = await self._drawn(number, item), request.path_params["segment"]
        if segment >= len(tiles):
            raise Problem(404, "no-such-segment", f"The sound has {len(tiles)} segments, counted from 0.")
        return Response(png.encode(tiles[segment][1], {}), media_type="image/png")

    async def audio(self, request: Request) -> Response:
        """Return the sound: the file itself where browsers play it, else its beginning as WAV."""
        _, item = self._item(request)
        media_type = SOUND_TYPES.get(item.file.suffix.lower())
        if media_type:
            if not item.file.is_file():
                raise Problem(404, "missing", f"{item.file.name} is gone.")
            return FileResponse(item.file, media_type=media_type)
        return Response(await asyncio.to_thread(_as_wav, item.file), media_type="audio/wav")

    async def label(self, request: Request) -> Response:
        """Give a recording a label."""
        values = await _body(request)
        number, label = values.get("item"), values.get("label")
        if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < len(self._queue.items):
            raise Problem(404, "no-such-item", "There is no such recording.")
        item = self._queue.items[number]
        try:
            name = class_name(label, self._classes())
        except ValueError as error:
            raise Problem(422, "label", str(error)) from None
        async with self._lock:
            self._labels.give(item.file, name, self._predicted(item))
        return self._changed(number)

    async def undo(self, request: Request) -> Response:
        """Take the latest label back."""
        await _body(request)
        async with self._lock:
            name = self._labels.undo()
        if name is None:
            raise Problem(409, "nothing", "There is no label to take back.")
        return self._changed(self._numbers.get(name, 0))

    def _changed(self, number: int) -> Response:
        summary = self._summary(number, self._queue.items[number])
        values = {"item": summary, "classes": self._classes(), "undoable": len(self._labels.undoable)}
        return JSONResponse(values)

    def _item(self, request: Request) -> tuple[int, Item]:
        number = request.path_params["number"]
        if number >= len(self._queue.items):
            raise Problem(404, "no-such-item", "There is no such recording.")
        return number, self._queue.items[number]

    def _summary(self, number: int, item: Item) -> dict[str, Any]:
        best = int(item.probs.argmax())
        return {
            "id": number,
            "name": item.file.name,
            "path": self._labels.name_of(item.file),
            "predicted": self._predicted(item),
            "best": self._queue.labels[best],
            "probability": float(item.probs[best]),
            "probabilities": dict(zip(self._queue.labels, item.probs.tolist(), strict=True)),
            "none_of_these": bool(item.none_of_these),
            "seconds": item.duration,
            "label": self._labels.label_of(item.file),
        }

    def _predicted(self, item: Item) -> str:
        return self._none() if item.none_of_these else self._queue.labels[int(item.probs.argmax())]

    def _none(self) -> str:
        return next((label for label in self._queue.labels if means_none(label)), NONE)

    def _classes(self) -> list[str]:
        """Return all classes that have a key: the run's, new ones that were given, and last the one for none."""
        known = (*self._queue.labels, *self._labels.classes())
        return [name for name in dict.fromkeys(known) if name != self._none()] + [self._none()]

    async def _drawn(self, number: int, item: Item) -> tuple[tuple[float, Image], ...]:
        """Return the start and the spectrogram of each segment, drawn when they are first asked for."""
        if number not in self._tiles:
            try:
                made = await asyncio.to_thread(_drawn, item.file, self._queue.display)
            except AudioError as error:
                raise Problem(422, error.reason, str(error)) from None
            self._tiles[number] = made
            while len(self._tiles) > KEPT:
                self._tiles.popitem(last=False)
        return self._tiles[number]


async def _body(request: Request) -> dict[str, Any]:
    """Return the JSON object that a request brings; its type keeps forms of other pages out."""
    if request.headers.get("content-type", "").partition(";")[0] != "application/json":
        raise Problem(415, "type", "Send JSON.")
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > LONGEST_BODY:
            raise Problem(413, "too-large", "That is too long for a label.")
    try:
        values = json.loads(body or b"{}")
    except ValueError:
        values = None
    if not isinstance(values, dict):
        raise Problem(400, "body", "The body must be a JSON object.")
    return values


def _drawn(path: Path, config: RenderConfig) -> tuple[tuple[float, Image], ...]:
    return tuple(islice(render_clip(path, config), MOST_TILES))


def _as_wav(path: Path) -> bytes:
    file, written = io.BytesIO(), 0
    try:
        with (
            open_sound(path) as sound,
            soundfile.SoundFile(file, "w", CONVERTED_RATE, 1, format="WAV", subtype="PCM_16") as writer,
        ):
            for block in sound.blocks(CONVERTED_RATE):
                writer.write(block)
                written += len(block)
                if written > CONVERTED_SECONDS * CONVERTED_RATE:
                    break
    except AudioError as error:
        raise Problem(422, error.reason, str(error)) from None
    return file.getvalue()
