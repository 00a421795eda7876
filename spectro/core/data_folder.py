"""A data folder: clips, their source, splits and rendered spectrograms; the one place that knows its file names."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from spectro.core.config import RenderConfig
from spectro.core.errors import ConfigError, DataError
from spectro.core.files import read_document, write_document
from spectro.core.records import Record
from spectro.core.sealed_tables import local_tables, url_of
from spectro.core.tables import (
    Clip,
    ClipWarning,
    Failure,
    Segment,
    Split,
    read_clips,
    read_failures,
    read_segments_csv,
    read_split,
    read_warnings,
    write_clips,
    write_failures,
    write_segments,
    write_split,
    write_warnings,
)

SOURCE_VERSION = 1
CONFIG_VERSION = 1
RENDERED = "mel-"
"""Beginning of the name of a folder of spectrograms, `mel-<config id>`."""


@dataclass(frozen=True, kw_only=True)
class Source(Record):
    """Where a data folder was rendered from."""

    layout: str
    """Name of the layout that read it."""
    root: str
    """Folder that clip ids are relative to."""


@dataclass(frozen=True)
class DataFolder:
    """One folder: tables of clips, `source.json`, `splits/`, `mel-<config id>/`, `features/`, `variants/`.

    The tables are `clips.csv`, `failed.csv` and `warnings.csv`.
    """

    path: Path
    url: str = ""
    """Where it was sealed, if it was opened by its URL: its tables are copies then, and its spectrograms in shards."""

    @classmethod
    def open(cls, data: DataFolder | Path | str) -> DataFolder:
        """Return the data folder, or the one that is sealed at a URL.

        Raises
        ------
        DataError
            there is none.
        StorageError
            the URL cannot be read.
        """
        if isinstance(data, DataFolder):
            return data
        if url := url_of(data):
            return cls(local_tables(url), url)
        folder = cls(Path(data))
        if not folder.path.is_dir():
            raise DataError(f"there is no folder {data}; make it with `spectro render SOURCE --out {data}`")
        return folder

    @property
    def place(self) -> str:
        """Its URL if it has one, else its path: what opens it again."""
        return self.url or str(self.path)

    @cached_property
    def clips(self) -> tuple[Clip, ...]:
        """All clips of the source, failed ones too; raises DataError when the table is missing or malformed."""
        if not self.clips_path.exists():
            raise DataError(f"{self.path} has no clips.csv; make it with `spectro render SOURCE --out {self.path}`")
        return tuple(read_clips(self.clips_path))

    @cached_property
    def failed(self) -> tuple[Failure, ...]:
        """Clips that could not be rendered."""
        return tuple(read_failures(self.failed_path))

    @cached_property
    def warnings(self) -> tuple[ClipWarning, ...]:
        """What is odd about clips that were rendered all the same."""
        return tuple(read_warnings(self.warnings_path))

    @property
    def usable(self) -> tuple[Clip, ...]:
        """Clips that have spectrograms."""
        clips = self.clips  # first, for its message says most
        lost = {failure.path for failure in self.failed}
        return tuple(clip for clip in clips if clip.id not in lost)

    @property
    def clips_path(self) -> Path:
        """The table of clips."""
        return self.path / "clips.csv"

    @property
    def failed_path(self) -> Path:
        """The table of clips that could not be rendered."""
        return self.path / "failed.csv"

    @property
    def warnings_path(self) -> Path:
        """The table of what is odd about rendered clips."""
        return self.path / "warnings.csv"

    @property
    def splits_path(self) -> Path:
        """Folder of the splits."""
        return self.path / "splits"

    @property
    def audit_path(self) -> Path:
        """What `audit` found."""
        return self.path / "audit.json"

    @property
    def leakage_path(self) -> Path:
        """How much leakage inflates accuracy."""
        return self.path / "leakage_gap.json"

    @property
    def source(self) -> Source | None:
        """Where the folder was rendered from, if it was; raises DataError when the note is damaged."""
        if not self._source_path.exists():
            return None
        remedy = "remove it and run the same `spectro render` again"
        try:
            return Source.from_dict(read_document(self._source_path, "source", SOURCE_VERSION, remedy=remedy), "source")
        except ConfigError as error:
            raise DataError(f"{self._source_path}: {error}; {remedy}") from None

    def write_source(self, source: Source) -> None:
        """Note where the folder is rendered from."""
        write_document(self._source_path, "source", SOURCE_VERSION, source.to_dict())

    def source_place(self) -> str:
        """Return the folder or URL that clip ids are relative to; raises DataError when the folder is gone."""
        source = self.source
        return source.root if source is not None and url_of(source.root) else str(self.source_root())

    def source_root(self) -> Path:
        """Return the folder that clip ids are relative to; raises DataError when it is gone."""
        source = self.source
        if source is None:
            raise DataError(f"{self.path} has no source.json; make it with `spectro render SOURCE --out {self.path}`")
        if url_of(source.root):
            raise DataError(
                f"the sound of {self.place} is at {source.root}, where only render, predict, audit and report read it; "
                "copy it to a disk, and `spectro data unpack` the spectrograms beside it"
            )
        root = Path(source.root)
        if not root.is_dir():
            raise DataError(
                f"{root}, which {self.path} was rendered from, is gone; bring it back to read its sound, or name its "
                f"place: `spectro render NEW --out {self.path}`"
            )
        return root

    def write_clips(self, clips: tuple[Clip, ...]) -> None:
        """Write the table of clips."""
        write_clips(self.clips_path, clips)

    def write_failures(self, failures: tuple[Failure, ...]) -> None:
        """Write the table of clips that could not be rendered."""
        write_failures(self.failed_path, failures)

    def write_warnings(self, warnings: tuple[ClipWarning, ...]) -> None:
        """Write the table of what is odd about rendered clips."""
        write_warnings(self.warnings_path, warnings)

    def split(self, name: str) -> Split:
        """Read a split; raises DataError when there is none of that name, or it is damaged."""
        return read_split(self.splits_path, name)

    def write_split(self, split: Split) -> Path:
        """Write a split; return the path of its table."""
        return write_split(self.splits_path, split)

    def has_split(self, name: str) -> bool:
        """Tell whether there is a split of that name."""
        return (self.splits_path / f"{name}.csv").exists()

    def rendered_path(self, config: RenderConfig) -> Path:
        """Return the folder of the spectrograms of one configuration."""
        return self.path / f"{RENDERED}{config.config_id()}"

    def configs(self) -> dict[str, RenderConfig]:
        """Return every configuration that was rendered here, by id; raises DataError when one is damaged."""
        configs = [read_render_config(path) for path in sorted(self.path.glob(f"{RENDERED}*/config.json"))]
        return {config.config_id(): config for config in configs}

    def write_config(self, config: RenderConfig) -> None:
        """Write the settings of one configuration into its folder, unless they are there; check them if they are."""
        path = self.rendered_path(config) / "config.json"
        if path.exists():
            read_render_config(path)
        else:
            write_document(path, "rendering", CONFIG_VERSION, {"config": config.to_dict()})

    def segments(self, config: RenderConfig) -> tuple[Segment, ...]:
        """Return the segments that one configuration rendered; raises DataError when rendering did not finish."""
        path = self.rendered_path(config) / "segments.csv"
        if not path.exists():
            raise DataError(
                f"rendering into {path.parent} did not finish; run the same `spectro render` again, it resumes"
            )
        return tuple(read_segments_csv(path, self.clips))

    def write_segments(self, config: RenderConfig, segments: tuple[Segment, ...]) -> None:
        """Write the table of segments, which completes a rendering."""
        write_segments(self.rendered_path(config) / "segments.csv", segments)

    def feature_path(self, name: str, config_id: str) -> Path:
        """Return the folder of one feature."""
        return self.path / "features" / f"{name}-{config_id}"

    def variant(self, config: RenderConfig) -> DataFolder:
        """Return the data folder, inside this one, of the same clips rendered with other settings."""
        return DataFolder(self.path / "variants" / config.config_id())

    @property
    def _source_path(self) -> Path:
        return self.path / "source.json"


def read_render_config(path: Path) -> RenderConfig:
    """Read the `config.json` of a rendering; raises DataError when it is damaged or of another folder."""
    remedy = "remove its folder and render again"
    try:
        values = read_document(path, "rendering", CONFIG_VERSION, remedy=remedy)
        config = RenderConfig.from_dict(values.get("config", {}), "config")
    except ConfigError as error:
        raise DataError(f"{path}: {error}; {remedy}") from None
    if path.parent.name != f"{RENDERED}{config.config_id()}":
        raise DataError(f"{path} was changed after rendering; {remedy}")
    return config
