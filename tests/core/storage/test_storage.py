"""What every storage does the same: whole objects, one winner, ordered listings, ranges, and errors in one line."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from spectro.core.errors import ConfigError, StorageError
from spectro.core.storage import (
    ChangedError,
    MissingError,
    Storage,
    fetch,
    is_url,
    open_range,
    open_storage,
    require_put_if_absent,
    save,
)
from spectro.core.storage.local import LocalStorage

NAMES = ("a.wav", "a/b 1.wav", "a/c%2E.wav", "a/é.wav", "a-b.wav", "b/c/d.wav")
KINDS = ("path", "file", "memory", pytest.param("s3", marks=pytest.mark.slow))


@pytest.fixture(params=KINDS)
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """An empty storage of each kind."""
    if request.param == "s3":
        return open_storage(request.getfixturevalue("s3")() + "/deep/er")
    return open_storage(
        {"path": tmp_path / "new", "file": f"file://{tmp_path}/new", "memory": f"memory://{tmp_path}"}[request.param]
    )


def test_objects_are_read_as_written_and_listed_by_name(storage: Storage) -> None:
    assert list(storage.list()) == []
    for name in reversed(NAMES):
        assert storage.put_if_absent(name, name.encode())
    entries = list(storage.list())
    assert [entry.name for entry in entries] == sorted(NAMES)
    assert [entry.name for entry in storage.list("a/")] == [name for name in sorted(NAMES) if name.startswith("a/")]
    assert [entry.name for entry in storage.list("a")] == [name for name in sorted(NAMES) if name.startswith("a")]
    for entry in entries:
        assert storage.get(entry.name) == entry.name.encode()
        head = storage.head(entry.name)
        assert head is not None
        assert (head.size, head.etag) == (entry.size, entry.etag) == (len(entry.name.encode()), head.etag)
        storage.delete(entry.name)
        storage.delete(entry.name)
    assert list(storage.list()) == []


def test_what_is_absent_is_missing(storage: Storage) -> None:
    assert storage.head("none") is None
    for request in (lambda: storage.get("none"), lambda: storage.read("none", 0, 1)):
        with pytest.raises(MissingError, match="none"):
            request()


def test_an_object_is_written_once_by_one_of_many(storage: Storage, tmp_path: Path) -> None:
    files = [tmp_path / f"{number}.bin" for number in range(8)]
    for number, file in enumerate(files):
        file.write_bytes(bytes([number]) * 100_000)
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda file: storage.put_if_absent("x/won", file), files))
    assert won.count(True) == 1
    assert storage.get("x/won") == files[won.index(True)].read_bytes()
    assert not storage.put_if_absent("x/won", b"late")
    assert [entry.name for entry in storage.list()] == ["x/won"]


def test_ranges_and_copies_are_of_one_version(storage: Storage, tmp_path: Path) -> None:
    data = bytes(range(256)) * 4000
    storage.put_if_absent("a/big.bin", data)
    [entry] = storage.list()
    assert storage.read(entry.name, 5, 9, entry.etag) == data[5:9]
    with open_range(storage, entry) as file:
        file.seek(-3, 2)
        assert file.read() == data[-3:]
        file.seek(700_000)
        assert file.read(10) == data[700_000:700_010]
    assert fetch(storage, entry, tmp_path).read_bytes() == data
    save(storage, entry, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == data
    storage.delete(entry.name)
    storage.put_if_absent("a/big.bin", data[:-1])
    for request in (lambda: storage.read("a/big.bin", 0, 1, entry.etag), lambda: fetch(storage, entry, tmp_path)):
        with pytest.raises(ChangedError, match="was changed since it was listed"):
            request()


def test_urls_are_told_from_paths() -> None:
    assert [is_url(text) for text in ("s3://a/b", "file:///a", "a/b", "C:\\a", "C://a", Path("s3:/a"))] == [
        *(True, True, False, False, False, False)
    ]


def test_an_unknown_scheme_names_a_near_one() -> None:
    with pytest.raises(ConfigError, match="did you mean 's3'"):
        open_storage("s4://bucket")


def test_a_folder_without_hard_links_has_one_winner_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", refuse)
    storage = LocalStorage(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda number: storage.put_if_absent("won", bytes([number])), range(8)))
    assert won.count(True) == 1
    assert storage.get("won") == bytes([won.index(True)])
    assert [entry.name for entry in storage.list()] == ["won"]


def test_a_write_that_dies_leaves_no_object(tmp_path: Path) -> None:
    program = (
        "import os, shutil; from pathlib import Path; from spectro.core.storage import open_storage\n"
        "shutil.copyfile = lambda source, target: (Path(target).write_bytes(b'half'), os._exit(1))\n"
        f"open_storage({str(tmp_path)!r}).put_if_absent('whole', Path(__import__('sys').executable))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 1
    assert list(open_storage(tmp_path).list()) == []
    assert open_storage(tmp_path).put_if_absent("whole", b"all")


class Flaky:
    """Fails some times before it does what it should."""

    def __init__(self, times: int, kind: type[Exception]) -> None:
        self.left, self.kind = times, kind

    def __call__(self, *_: object, **__: object) -> None:
        self.left -= 1
        if self.left >= 0:
            raise self.kind("the connection was reset")


@pytest.mark.parametrize(("times", "lost"), [(3, False), (99, True)])
def test_a_broken_request_is_made_again_not_for_ever(
    times: int, lost: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import obstore
    from obstore.exceptions import GenericError

    pauses: list[float] = []
    monkeypatch.setattr("time.sleep", pauses.append)
    monkeypatch.setattr(obstore, "delete", Flaky(times, GenericError))
    storage = open_storage(f"memory://{tmp_path}")
    if lost:
        with pytest.raises(StorageError, match=r"x cannot be used: the connection was reset; try again later"):
            storage.delete("x")
    else:
        storage.delete("x")
        assert len(pauses) == times
    assert all(0 <= pause <= 15 for pause in pauses)


def test_a_listing_that_breaks_off_goes_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import obstore
    from obstore.exceptions import GenericError

    real, asked = obstore.list, list[object]()

    def broken(store: object, prefix: object, *, offset: str | None) -> Iterator[object]:
        asked.append(offset)
        for chunk in real(store, prefix, offset=offset, chunk_size=2):  # type: ignore[call-overload]
            yield chunk
            if len(asked) < 3:
                raise GenericError("the body was cut")

    storage = open_storage(f"memory://{tmp_path}")
    for name in NAMES:
        storage.put_if_absent(name, b"")
    monkeypatch.setattr("time.sleep", lambda _: None)
    monkeypatch.setattr(obstore, "list", broken)
    assert [entry.name for entry in storage.list()] == sorted(NAMES)
    assert len(asked) == 3
    monkeypatch.setattr(obstore, "list", Flaky(99, GenericError))
    with pytest.raises(StorageError, match="the connection was reset"):
        list(storage.list())


def test_a_storage_that_replaces_is_refused(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    require_put_if_absent(storage)
    assert list(storage.list()) == []
    monkeypatch.setattr(type(storage), "put_if_absent", lambda self, name, data: True)
    with pytest.raises(StorageError, match=r"replaces objects .* update that server"):
        require_put_if_absent(storage)


def test_a_bucket_without_its_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real: Callable[[str], object] = __import__("importlib.util").util.find_spec
    monkeypatch.setattr("spectro.core.distribution.find_spec", lambda name: None if name == "obstore" else real(name))
    with pytest.raises(ConfigError, match=r"pip install 'spectro-audio\[remote\]'"):
        open_storage("gs://bucket-of-nobody")


def test_the_hub_is_read_only() -> None:
    storage = open_storage("hf://datasets/owner/name")
    for request in (lambda: storage.put_if_absent("a", b""), lambda: storage.delete("a")):
        with pytest.raises(StorageError, match="read only"):
            request()
