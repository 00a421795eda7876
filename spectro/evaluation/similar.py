"""Sounds like this: the nearest clips by a run's embedding, in an index that is made again when anything changed."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectro.core.arrays import Floats32, Items, grouped_means
from spectro.core.config import require
from spectro.core.data_folder import DataFolder
from spectro.core.distribution import install_command
from spectro.core.errors import ConfigError, DataError, RunError
from spectro.core.files import digest, digest_text, read_document, replacing, verified, write_document
from spectro.core.npz import read_npz
from spectro.core.records import Record
from spectro.core.runs import Run
from spectro.core.tables import Segment
from spectro.data.extraction import Extraction
from spectro.data.features import FeatureStore, extract
from spectro.data.store import Store, open_store
from spectro.inference.classifier import load_classifier
from spectro.inference.reading import Ending, input_of, read_recording
from spectro.training.backbone_features import run_features

EXACT = 100_000
"""Vectors that are compared one with another; of more, an approximate index finds the neighbours of many at once."""
BLOCK = 512
"""Queries that are compared at once."""
VERSION = 1
TEXTS = ("ids", "labels", "groups")
ARRAYS = {"vectors": ("f", 2), "mean": ("f", 1), "scale": ("f", 1), **dict.fromkeys(TEXTS, ("U", 1))}
REMEDY = "make it again with `spectro similar RUN --in DATA --save INDEX`"
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class IndexFacts(Record):
    """What an index was made from."""

    run: str
    """Checksum of the run's cards and weights."""
    data: str
    """The data folder."""
    clips: str
    """Checksum of its spectrograms or features, and of the labels of its clips."""
    digest: str
    """Checksum of the file of the index."""

    @classmethod
    def of(cls, path: Path) -> IndexFacts:
        """Read the note beside an index; raises DataError where it is missing or damaged."""
        values = read_document(_note(path), "similarity-index", VERSION, remedy=REMEDY)
        try:
            return cls.from_dict(values, "index")
        except ConfigError as error:
            raise DataError(f"{_note(path)}: {error}; {REMEDY}") from None


@dataclass(frozen=True, kw_only=True)
class Neighbour(Record):
    """One clip that sounds like another."""

    clip: str
    label: str
    group: str
    distance: float
    """1 less the cosine of the angle between the embeddings: 0 for the same sound, about 1 for unrelated ones."""


@dataclass(frozen=True, kw_only=True)
class Disagreement(Record):
    """A clip whose nearest neighbours have another label than it has."""

    clip: str
    label: str
    """The class that it is given."""
    suggested: str
    """The class of most neighbours, each weighted by how near it is."""
    share: float
    """Weight of the neighbours of the suggested class, 0..1."""
    own_share: float
    """Weight of the neighbours of the given class, 0..1."""
    neighbours: tuple[Neighbour, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class SimilarityIndex:
    """One vector of length 1 per clip: standardized means of the embeddings of its segments."""

    vectors: Floats32
    """`[clips, values]`"""
    mean: Floats32
    """`[values]`, mean of the embeddings of all clips."""
    scale: Floats32
    """`[values]`, 1 over their deviation, 0 where they do not differ."""
    ids: tuple[str, ...]
    labels: tuple[str, ...]
    groups: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ids)

    def embed(self, values: Floats32) -> Floats32:
        """Return the vectors of embeddings `[n, values]`."""
        if values.shape[1] != len(self.mean):
            raise RunError(f"embeddings have {values.shape[1]} values, but the index {len(self.mean)}; {REMEDY}")
        return _unit((values - self.mean) * self.scale)

    def nearest(self, query: Floats32, count: int = 10, *, but: str | None = None) -> tuple[Neighbour, ...]:
        """Return the clips nearest to an embedding `[values]`, the nearest first, without the clip of the id `but`."""
        cosines = self.vectors @ self.embed(np.asarray(query, np.float32)[None])[0]
        order = np.argsort(-cosines, kind="stable")[: count + 1]
        chosen = [item for item in order.tolist() if self.ids[item] != but][:count]
        return tuple(self._neighbour(item, float(cosines[item])) for item in chosen)

    def _neighbour(self, item: int, cosine: float) -> Neighbour:
        distance = max(0.0, 1 - cosine)
        return Neighbour(clip=self.ids[item], label=self.labels[item], group=self.groups[item], distance=distance)


def _unit(values: Floats32) -> Floats32:
    length = np.linalg.norm(values, axis=1, keepdims=True)
    unit: Floats32 = (values / np.where(length > 0, length, 1)).astype(np.float32)
    return unit


def similarity_index(
    run: Run | Path | str,
    data: DataFolder | Path | str,
    *,
    device: str = "auto",
    save: Path | str | None = None,
) -> SimilarityIndex:
    """Return an index of the clips of a data folder by the embedding of a run; of an ensemble, of its first member.

    The embedding of a network is what its head reads; of a classical model it is its feature vector.

    Parameters
    ----------
    run
        A finished run or its folder.
    data
        A data folder with the spectrograms that the run takes.
    device
        `auto`, `cpu`, `cuda` or `mps`.
    save
        `.npz` file to keep the index in, with a note beside it.

    Raises
    ------
    RunError
        the run is damaged.
    DataError
        the data folder holds no such spectrograms.
    """
    run, folder = _leaf(run), DataFolder.open(data)
    segments, values, digested = _embedded(run, folder, device)
    names = [segment.clip.id for segment in segments]
    ids, first, place = np.unique(names, return_index=True, return_inverse=True)
    means = grouped_means(values, place)
    deviation = means.std(axis=0)
    scale = np.where(deviation > 0, 1 / np.where(deviation > 0, deviation, 1), 0).astype(np.float32)
    mean = means.mean(axis=0).astype(np.float32)
    index = SimilarityIndex(
        vectors=_unit(((means - mean) * scale).astype(np.float32)),
        mean=mean,
        scale=scale,
        ids=tuple(ids.tolist()),
        labels=tuple(segments[item].clip.label for item in first),
        groups=tuple(segments[item].clip.group for item in first),
    )
    if save is not None:
        _save(index, Path(save), run, folder, digested)
    return index


def open_index(run: Run | Path | str, place: Path | str, *, device: str = "auto") -> SimilarityIndex:
    """Return the index of a data folder, or the one that a file keeps; it is made again where run or data changed.

    Parameters
    ----------
    run
        A finished run or its folder.
    place
        A data folder, or the `.npz` file of an index.
    device
        `auto`, `cpu`, `cuda` or `mps`.

    Raises
    ------
    DataError
        the file is damaged or of another kind, or must be made again while its data folder is gone.
    RunError
        the run is damaged.
    """
    path, run = Path(place), _leaf(run)
    if path.suffix != ".npz":
        return similarity_index(run, path, device=device)
    facts = IndexFacts.of(path)
    folder = Path(facts.data)
    changed = facts.run != _identity(run)
    if not changed and folder.is_dir():
        changed = facts.clips != _digest_of(run, DataFolder.open(folder))
    if not changed:
        try:
            changed = not verified(path, facts.digest)
        except OSError:
            changed = True
    if changed:
        log.warning("%s is of another run or other data, or damaged: it is made again", path)
        return similarity_index(run, folder, device=device, save=path)
    return _load(path)


def embed_files(run: Run | Path | str, files: Sequence[Path | str], *, device: str = "auto") -> Floats32:
    """Return the embedding of each audio file, the mean over its segments, `[files, values]`.

    Raises
    ------
    DataError
        a file cannot be used.
    """
    run = _leaf(run)
    classifier = load_classifier(run, device)
    settings = input_of(run.card.of_model()[0])
    rows = []
    for file in map(Path, files):
        arrays = []
        for piece in read_recording(file, str(file), [settings], stamped=False):
            if not isinstance(piece, Ending):
                arrays.append(np.array(piece.array))
            elif piece.reason:
                raise DataError(f"{file} cannot be used: {piece.message}")
        embedded = classifier.predict_embedded(np.stack(arrays))  # type: ignore[attr-defined]
        rows.append(np.asarray(embedded.vectors, np.float64).mean(axis=0))
    return np.asarray(rows, np.float32)


def disagreeing(index: SimilarityIndex, *, neighbours: int = 5, least: float = 0.6) -> tuple[Disagreement, ...]:
    """Return the clips whose nearest neighbours from other groups have another label; the clearest first.

    Clips of one group resemble each other whatever they are called, and would confirm an error that they share.

    Parameters
    ----------
    index
        The clips.
    neighbours
        Neighbours that are asked, each weighted by its cosine [a k-NN vote, as Zhu et al., 2022, use it for this].
    least
        Least weight of the suggested class, 0..1.
    """
    require(neighbours >= 1, f"neighbours is {neighbours}, but must be at least 1")
    found, cosines = _all_neighbours(index, neighbours)
    disagreements = []
    for item, (places, near) in enumerate(zip(found, cosines, strict=True)):
        kept = [(place, cosine) for place, cosine in zip(places.tolist(), near.tolist(), strict=True) if place >= 0]
        votes: defaultdict[str, float] = defaultdict(float)
        for place, cosine in kept:
            votes[index.labels[place]] += max(cosine, 1e-6)
        total = sum(votes.values())
        if not kept:
            continue
        suggested, weight = max(votes.items(), key=lambda entry: entry[1])
        if suggested == index.labels[item] or weight / total < least:
            continue
        disagreements.append(
            Disagreement(
                clip=index.ids[item],
                label=index.labels[item],
                suggested=suggested,
                share=weight / total,
                own_share=votes[index.labels[item]] / total,
                neighbours=tuple(index._neighbour(place, cosine) for place, cosine in kept),
            )
        )
    return tuple(sorted(disagreements, key=lambda one: (one.own_share - one.share, one.clip)))


def _all_neighbours(index: SimilarityIndex, count: int) -> tuple[Items, Floats32]:
    """Return the nearest clips of other groups of every clip, and their cosines, `[clips, count]`; -1 for none."""
    groups = np.unique(index.groups, return_inverse=True)[1]
    largest = int(np.bincount(groups).max())
    found = np.full((len(index), count), -1, np.int64)
    cosines = np.zeros((len(index), count), np.float32)
    if len(index) > EXACT and (search := _approximate(index.vectors)) is not None:
        near, places = search.search(index.vectors, min(len(index), count + largest))
        for item in range(len(index)):
            kept = [n for n, place in enumerate(places[item]) if place >= 0 and groups[place] != groups[item]][:count]
            found[item, : len(kept)], cosines[item, : len(kept)] = places[item][kept], near[item][kept]
        return found, cosines
    for begin in range(0, len(index), BLOCK):
        block = slice(begin, begin + BLOCK)
        table = index.vectors[block] @ index.vectors.T
        table[groups[block, None] == groups[None, :]] = -np.inf
        wanted = min(count, table.shape[1])
        order = np.argsort(-table, axis=1, kind="stable")[:, :wanted]
        near = np.take_along_axis(table, order, axis=1)
        found[block, :wanted] = np.where(np.isfinite(near), order, -1)
        cosines[block, :wanted] = np.where(np.isfinite(near), near, 0)
    return found, cosines


def _approximate(vectors: Floats32) -> Any:
    """Return a graph of near vectors [HNSW, Malkov and Yashunin, 2018] by faiss; None where that is not installed."""
    try:
        import faiss
    except ImportError:
        advice = install_command("similar")
        log.warning("%d clips are compared with each other, which is slow; faiss is faster: %s", len(vectors), advice)
        return None
    search = faiss.IndexHNSWFlat(vectors.shape[1], 32, faiss.METRIC_INNER_PRODUCT)
    search.hnsw.efSearch = 128
    search.add(vectors)
    return search


def _leaf(run: Run | Path | str) -> Run:
    return Run.open(run).leaves()[0]


def _identity(run: Run) -> str:
    return digest_text(repr(sorted(run.card.files.items())), repr(run.card.feature), run.card.kind)


def _embedded(run: Run, data: DataFolder, device: str) -> tuple[tuple[Segment, ...], Floats32, str]:
    """Return the segments of a data folder, their embeddings `[segments, values]`, and a checksum of what they are."""
    digested = _digest_of(run, data)
    if run.card.kind == "torch":
        return *run_features(run, data, device=device), digested
    feature, _ = run.card.of_model()
    source: Store | FeatureStore
    arrays: NDArray[Any]
    if feature.is_image:
        source = open_store(data, feature.config_id)
        arrays = source.spectrograms()
    else:
        config_id = run.card.data.config_id
        source = extract(data, feature.name, config=Extraction.of(feature).config, config_id=config_id).store
        arrays = source.values()
    classifier = load_classifier(run, device)
    blocks = [np.asarray(arrays[begin : begin + BLOCK]) for begin in range(0, len(arrays), BLOCK)]
    vectors = [classifier.predict_embedded(block).vectors for block in blocks]  # type: ignore[attr-defined]
    return source.segments, np.concatenate(vectors), digested


def _digest_of(run: Run, data: DataFolder) -> str:
    store = open_store(data, run.card.data.config_id)
    clips = repr([(clip.id, clip.label, clip.group) for clip in data.clips])
    return digest_text(store.digest(), clips)


def _note(path: Path) -> Path:
    return path.with_suffix(".json")


def _save(index: SimilarityIndex, path: Path, run: Run, data: DataFolder, digested: str) -> None:
    _note(path).unlink(missing_ok=True)  # with a note the index is known to be whole
    texts = {name: np.array(getattr(index, name), dtype=np.str_) for name in TEXTS}
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, vectors=index.vectors, mean=index.mean, scale=index.scale, **texts)  # type: ignore[arg-type]
    facts = IndexFacts(run=_identity(run), data=str(data.path.resolve()), clips=digested, digest=digest(path))
    write_document(_note(path), "similarity-index", VERSION, facts.to_dict())


def _load(path: Path) -> SimilarityIndex:
    arrays = read_npz(path, ARRAYS, what="an index", remedy=REMEDY)
    vectors, mean, scale = (np.asarray(arrays[name], np.float32) for name in ("vectors", "mean", "scale"))
    ids, labels, groups = (tuple(arrays[name].tolist()) for name in TEXTS)
    index = SimilarityIndex(vectors=vectors, mean=mean, scale=scale, ids=ids, labels=labels, groups=groups)
    if not index.vectors.shape == (len(index.ids), len(index.mean)) or len(index.labels) != len(index.groups):
        raise DataError(f"{path} holds arrays that do not fit each other; {REMEDY}")
    return index
