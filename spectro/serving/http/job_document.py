"""A job as JSON values: how far it is, how its sound is drawn and played, and what of it can be explained."""

from __future__ import annotations

from typing import Any

from spectro.serving.http.jobs import ENDED, Job

SOUND_TYPES = {
    ".wav": "audio/wav",
    ".flac": "audio/flac",
    ".ogg": "audio/ogg",
    ".oga": "audio/ogg",
    ".opus": "audio/ogg",
    ".mp3": "audio/mpeg",
    ".m4a": "audio/mp4",
    ".mp4": "audio/mp4",
    ".aac": "audio/aac",
    ".webm": "audio/webm",
}
"""What browsers play; anything else is bytes to them, never a page."""


def job_document(job: Job, ahead: int) -> dict[str, Any]:
    """Return a job as JSON values.

    Parameters
    ----------
    job
        The job.
    ahead
        How many come before it.
    """
    values: dict[str, Any] = {
        "id": job.id,
        "name": job.name,
        "run": job.run.name,
        "state": job.state,
        "ahead": 0 if job.state in ENDED else ahead,
        "progress": job.progress,
    }
    if job.problem is not None:
        values["problem"] = job.problem.to_dict()
    if job.state == "done" and job.decoded is not None:
        decoded, config = job.decoded.inputs[job.display], job.shown_config
        values["sound"] = {
            "seconds": job.decoded.seconds,
            "sample_rate": job.decoded.sample_rate,
            "channels": job.decoded.channels,
            "playable": job.suffix in SOUND_TYPES,
        }
        values["spectrogram"] = {
            "starts": list(decoded.starts),
            "seconds": config.segment.seconds,
            "bands": decoded.shape[0],
            "frames": decoded.shape[1],
            "low_hz": config.mel.fmin,
            "high_hz": config.mel.fmax or config.mel.sample_rate / 2,
            "range_db": config.mel.top_db,
        }
        values["explainable"] = [
            {
                "name": name,
                "starts": list(job.decoded.inputs[network.input].starts),
                "seconds": network.settings.segment.seconds,
            }
            for name, network in job.run.explainable(job.overlap).items()
        ]
    return values
