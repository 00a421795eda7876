"""The tutorial: its notebook is that of the page, and all of its cells run on the shipped music."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, ROOT, notebook

PAGE = (DOCS / "pages" / "tutorial.md").read_text(encoding="utf-8")


def test_the_notebook_is_that_of_the_tutorial() -> None:
    written = (DOCS / "quickstart.ipynb").read_text(encoding="utf-8")
    assert written == notebook.notebook(PAGE), "run scripts/docs"


@pytest.mark.slow
def test_the_cells_of_the_notebook_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])))
    Path("assets").symlink_to(ROOT / "assets")
    names: dict[str, object] = {}
    for cell in notebook.cells(PAGE):
        source = "".join(cell["source"])
        if cell["cell_type"] == "code" and source.startswith("!"):
            for line in source.splitlines():
                done = subprocess.run(line[1:], shell=True, capture_output=True, text=True, check=False)
                assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        elif cell["cell_type"] == "code":
            exec(compile(source, "quickstart.ipynb", "exec"), names)
    assert Path("tutorial/report.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert Path("tutorial/both.onnx").stat().st_size > 1_000_000
