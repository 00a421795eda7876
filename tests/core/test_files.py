"""Files: whole or not at all, and any change after writing is noticed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from spectro.core.errors import DataError, RunError
from spectro.core.files import digest, read_csv, read_document, replacing, write_csv, write_document, write_text

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
