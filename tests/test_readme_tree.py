"""The README's tree is that of the package, with the first line of each file's docstring."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_the_tree_in_the_readme_is_the_package() -> None:
    script = Path(__file__).parent.parent / "scripts" / "tree"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
