"""Files: whole or not at all, and any change after writing is noticed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from spectro.core.errors import DataError, RunError
from spectro.core.files import (
    HOST,
    digest,
    digest_text,
    is_leftover,
    read_csv,
    read_document,
    remove_temporaries,
    replacing,
    temporary_name,
    write_csv,
    write_document,
    write_text,
)

VALUES = {"name": "rün", "numbers": [1, 2.5, None], "deep": {"a": True}}


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "folder" / "thing.json"
    write_document(path, "thing", 3, VALUES)
    return path


def read(path: Path) -> dict[str, object]:
    return read_document(path, "thing", 3, remedy="make it again", error=RunError)


def test_a_document_survives_writing_and_reading(document: Path) -> None:
    assert read(document) == VALUES


def test_every_cut_and_every_changed_byte_is_noticed(document: Path) -> None:
    whole = document.read_bytes()
    changed = [whole[:at] for at in range(len(whole) - 1)]
    changed += [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in range(len(whole))]
    for data in changed:
        document.write_bytes(data)
        try:
            assert read(document) == VALUES  # white space does not matter
        except RunError as error:
            assert str(document) in str(error)
            assert str(error).endswith("make it again")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "damaged"),
        ("[]", "not a thing"),
        ('{"format": "spectro-card"}', "not a thing"),
        ('{"format": "spectro-thing", "version": 4}', "version 4"),
        ('{"format": "spectro-thing", "version": 3, "a": NaN}', "NaN"),
        ("[" * 100_000, "damaged"),
    ],
    ids=["empty", "list", "card", "version", "nan", "nested"],
)
def test_a_foreign_document_ends_in_one_line(document: Path, text: str, message: str) -> None:
    document.write_text(text, encoding="utf-8")
    with pytest.raises(RunError, match=message):
        read(document)


def test_a_missing_document_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"none\.json does not exist; make it again"):
        read(tmp_path / "none.json")


def test_a_failed_replacement_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def interrupted() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half", encoding="utf-8")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_table_keeps_commas_quotes_and_newlines(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    rows = [["a,b", 'say "x"', "two\nlines"], ["é", "", " "]]
    write_csv(path, ["one", "two", "three"], rows)
    assert [list(row.values()) for row in read_csv(path, ["one"])] == rows


def test_a_huge_field_of_a_table_ends_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("one\n" + "x" * 200_000 + "\n", encoding="utf-8")
    with pytest.raises(DataError, match="not a CSV table"):
        read_csv(path, ["one"])


def test_a_digest_depends_on_every_byte(tmp_path: Path) -> None:
    path = tmp_path / "blob"
    path.write_bytes(bytes(3_000_000))
    before = digest(path)
    path.write_bytes(bytes(2_999_999) + b"\1")
    assert digest(path) != before
    assert len(before) == 32


def test_a_document_is_readable_json(document: Path) -> None:
    values = json.loads(document.read_text(encoding="utf-8"))
    assert values["format"] == "spectro-thing"
    assert values["version"] == 3
    assert values["name"] == "rün"


def test_half_of_a_surrogate_pair_is_written_and_read_as_it_was(tmp_path: Path) -> None:
    name = "a\udcff.wav"
    write_document(tmp_path / "thing.json", "thing", 3, {name: name})
    assert read(tmp_path / "thing.json") == {name: name}
    write_text(tmp_path / "page.md", name)
    write_csv(tmp_path / "table.csv", ("name",), [(name,)])
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == "a\\udcff.wav"
    assert read_csv(tmp_path / "table.csv", ("name",)) == [{"name": "a\\udcff.wav"}]
    assert digest_text(name) != digest_text("a?.wav")


def test_a_leftover_is_of_a_dead_process_or_of_an_old_file_of_another_machine(tmp_path: Path) -> None:
    mine, dead = tmp_path / temporary_name(), tmp_path / f".{HOST}-999999999-0.tmp"
    new, old = tmp_path / ".00000000-1-0.tmp", tmp_path / ".00000000-2-0.tmp"
    other = tmp_path / ".notes.tmp"
    for path in (mine, dead, new, old, other):
        path.touch()
    os.utime(old, (0, 0))
    assert {path for path in tmp_path.iterdir() if is_leftover(path)} == {dead, old}
    write_text(other, "")  # clears its folder
    assert not dead.exists()
    assert not old.exists()
    dead.touch()
    assert remove_temporaries(tmp_path) == 1
    assert set(tmp_path.iterdir()) == {mine, new, other}
