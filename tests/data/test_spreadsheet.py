"""Tables as people save them: every separator, encoding and line end gives the same rows; the others end in a line."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from spectro.core.errors import DataError
from spectro.data.spreadsheet import read_spreadsheet

ROWS = [{"path": "a, b;c.wav", "label": "01", "group": "x"}, {"path": "é.wav", "label": "rock", "group": ""}]
FORMS = list(itertools.product(",;\t", ("utf-8", "utf-8-sig", "utf-16"), ("\n", "\r\n", "\r")))


@pytest.mark.parametrize(("separator", "encoding", "end"), FORMS)
def test_one_table_in_every_form(separator: str, encoding: str, end: str, tmp_path: Path) -> None:
    lines = (("Path", " LABEL ", "group"), ('"a, b;c.wav"', "01", "x "), ("", " ", ""), (" é.wav", '"rock "', "", ""))
    text = end.join(separator.join(values) for values in lines) + end + separator * 2 + end * 2
    (tmp_path / "t.csv").write_bytes(text.encode(encoding))
    assert read_spreadsheet(tmp_path / "t.csv", ("path", "label")) == [(2, ROWS[0]), (4, ROWS[1])]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"PK\3\4workbook", "is a workbook"),
        (b"path,label\nna\xefve.wav,x\n", "is not UTF-8 text.*save it again as 'CSV UTF-8'"),
        (b"\xff\xfep\0a", "is not UTF-8 text|no column"),
        (b"path,label\na\0.wav,x\n", "line 2 holds NUL"),
        (b"a.wav,rock\nb.wav,jazz\n", "begins with a file.*put the line path,label above it"),
        (b"path,Label,label\na.wav,x,y\n", "two columns 'label'"),
        (b"file;class\na.wav;x\n", r"no column 'path' \(its columns: file, class\)"),
        (b"path;genre\na.wav;x\n", r"no column 'label' \(its columns: path, genre\)"),
        (b"path,label\na.wav,x,y\n", "line 2 has more values"),
        (b'path,label\n"' + b"a" * 140_000, "is not a CSV table"),
        (b"", r"no column 'path' \(its columns: none\)"),
    ],
)
def test_what_is_no_such_table_ends_in_a_line(data: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(data)
    with pytest.raises(DataError, match=message) as raised:
        read_spreadsheet(tmp_path / "t.csv", ("path", "label"))
    assert "\n" not in str(raised.value)
    assert "did you mean 'path" not in str(raised.value)


def test_a_table_that_is_missing_or_a_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        read_spreadsheet(tmp_path / "t.csv", ("path",))
    with pytest.raises(DataError, match="cannot be read"):
        read_spreadsheet(tmp_path, ("path",))
