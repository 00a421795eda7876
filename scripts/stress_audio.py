"""Try odd audio files, built here, against the right answer for each: decoded, with a warning, or refused, and why."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.audio.odd_case import Case, make, verdict  # noqa: E402
from tests.audio.odd_files import all_cases  # noqa: E402
from tests.audio.sounds import CannotBuild  # noqa: E402


def expectation(case: Case) -> str:
    """Return what is expected of a file, in a word or two."""
    return (
        f"refused: {case.reason.split('|')[0]}" if case.reason else f"warned: {case.warns}" if case.warns else "sound"
    )


@contextlib.contextmanager
def listening() -> Iterator[Path]:
    """Catch what C code prints on standard output and standard error meanwhile, in a file."""
    with tempfile.TemporaryDirectory() as folder:
        printed = Path(folder, "printed")
        sys.stdout.flush()
        sys.stderr.flush()
        with printed.open("wb") as file:
            saved = [os.dup(number) for number in (1, 2)]
            for number in (1, 2):
                os.dup2(file.fileno(), number)
            try:
                yield printed
            finally:
                for number, descriptor in zip((1, 2), saved, strict=True):
                    os.dup2(descriptor, number)
                    os.close(descriptor)


def attempt(case: Case, folder: Path) -> str:
    """Return what is wrong with what comes of a file, empty if it is right."""
    path = make(case, folder)
    with listening() as printed:
        wrong = verdict(case, path)
        chatter = printed.read_text(errors="replace").strip()
    return wrong or (f"prints {chatter[:80]!r}" if chatter else "")


def main() -> None:
    """Build, try, and print a table; exit with 1 if an answer is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="try only files whose name has this in it")
    parser.add_argument("--keep", type=Path, help="folder to leave the files in")
    options = parser.parse_args()
    tried: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    reports, unbuilt = [], []
    slowest, begin = (0.0, ""), time.perf_counter()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for case in all_cases():
            if options.only not in case.name:
                continue
            try:
                start = time.perf_counter()
                report = attempt(case, folder)
            except CannotBuild as reason:
                unbuilt.append(f"{case.name}: needs {reason}")
                continue
            slowest = max(slowest, (time.perf_counter() - start, case.name))
            tried[expectation(case)] += 1
            if report:
                wrong[expectation(case)] += 1
                reports.append(f"{case.name}: {report}")
    print(f"{'expected':30} {'tried':>6} {'right':>6} {'wrong':>6}")
    for kind in sorted(tried):
        print(f"{kind:30} {tried[kind]:6} {tried[kind] - wrong[kind]:6} {wrong[kind]:6}")
    total, bad = tried.total(), wrong.total()
    print(f"{'all':30} {total:6} {total - bad:6} {bad:6}   in {time.perf_counter() - begin:.0f} s")
    print(f"slowest (building included): {slowest[1]}, {slowest[0]:.1f} s")
    for title, lines in (("not built here", unbuilt), ("wrong", reports)):
        if lines:
            print(f"{len(lines)} {title}:", *(f"  {line}" for line in lines), sep="\n")
    sys.exit(1 if reports else 0)


if __name__ == "__main__":
    main()
