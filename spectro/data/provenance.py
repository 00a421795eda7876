"""What the spectrograms of each clip were made from: the content of its file, the decoder, and what was odd."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from spectro.audio.decode import AudioWarning
from spectro.core.errors import ConfigError, DataError
from spectro.core.files import read_csv, write_csv
from spectro.core.records import Record
from spectro.data.journal import read_journal

COLUMNS = ("clip", "stamp", "decoder", "warnings")


@dataclass(frozen=True, kw_only=True)
class Provenance(Record):
    """What the spectrograms of one clip were made from; a line of `sources.csv`."""

    stamp: str
    """Size and checksum of its file, as `source_stamp` returns them."""
    decoder: str
    """Decoder with its version, such as `libsndfile 1.2.2`."""
    warnings: tuple[AudioWarning, ...]
    """What was odd about the file; the messages name it by the clip's id."""

    def line(self) -> tuple[str, str, str]:
        """Return the values of its line."""
        text = json.dumps([warning.to_dict() for warning in self.warnings], ensure_ascii=False)
        return self.stamp, self.decoder, text if self.warnings else ""

    @classmethod
    def of(cls, line: tuple[str, ...]) -> Provenance:
        """Build from what `line` returned; raises ConfigError or ValueError where it is something else."""
        stamp, decoder, text = line
        warnings = tuple(AudioWarning.from_dict(values) for values in json.loads(text or "[]"))
        return cls(stamp=stamp, decoder=decoder, warnings=warnings)


def read_provenance(path: Path) -> dict[str, Provenance]:
    """Read `sources.csv`, by clip; raises DataError where it is missing or malformed."""
    rows = read_csv(path, COLUMNS)
    try:
        return {row["clip"]: Provenance.of(tuple(row[name] for name in COLUMNS[1:])) for row in rows}
    except (ConfigError, ValueError) as error:
        raise DataError(f"{path} is damaged ({error}); run the same `spectro render` again") from None


def write_provenance(path: Path, provenance: Mapping[str, Provenance]) -> None:
    """Write `sources.csv`, in order of the clips."""
    write_csv(path, COLUMNS, ((clip, *one.line()) for clip, one in sorted(provenance.items())))


def read_unfinished(path: Path) -> dict[str, Provenance]:
    """Return what a rendering that did not finish has noted in its journal."""
    return {clip: Provenance.of(line) for clip, line in read_journal(path, COLUMNS).items()}
