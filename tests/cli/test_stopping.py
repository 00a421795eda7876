"""Signals and errors of the system: one line that is true, the right exit code, nothing half-written left behind."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from spectro import cli
from spectro.cli.app import GROUPS, ORDER
from spectro.cli.stopping import ADVICE, AFTER_STOP, NOTHING, RESUMES, Stop, stoppable, system_error
from spectro.core.files import STORAGE, replacing
from tests.builders import make_run

Spectro = Callable[..., tuple[int, str, str]]
POSIX = pytest.mark.skipif(os.name != "posix", reason="needs signals and limits of POSIX")
CALLED = {
    "render": ("render", ("music", "--out", "data")),
    "split": ("split", ("data",)),
    "finetune": ("finetune", ("data",)),
    "evaluate": ("evaluate", ("run",)),
    "compare": ("compare", ("a", "b")),
    "ensemble": ("ensemble", ("a", "b")),
    "report": ("report", ("run",)),
    "predict": ("predict", ("run", "a.wav")),
    "explain": ("explain", ("run", "a.wav")),
    "crossval": ("summarize", ("a", "b")),
    "data check": ("check_audio", ("music",)),
    "data audit": ("audit", ("data",)),
    "data preview": ("contact_sheet", ("data",)),
    "data features": ("extract", ("data",)),
    "plot run": ("draw_run", ("run",)),
    "bench run": ("compare_recipes", ("data",)),
    "bench sweep": ("sweep", ("data", "--recipe", "A-cnn", "--set", "mfcc.n_fft=512,1024")),
}
"""The public function that a command calls, and arguments of the command."""
STOPPED_AT = """
import os, runpy, signal, sys
at, number = int(sys.argv[1]), int(sys.argv[2])
del sys.argv[1:3]
class Imports:
    began, seen = False, 0
    def find_spec(self, name, path=None, target=None):
        Imports.began |= name == "spectro.cli"
        Imports.seen += Imports.began
        if Imports.seen == at:
            Imports.seen += 1
            os.kill(os.getpid(), number)
sys.meta_path.insert(0, Imports())
try:
    runpy.run_module("spectro", run_name="__main__", alter_sys=True)
finally:
    print("imports:", Imports.seen, file=sys.stderr)
"""


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run commands in an empty folder."""
    monkeypatch.chdir(tmp_path)


def raiser(error: BaseException) -> Callable[..., None]:
    """Return a function that raises an error."""

    def function(*_: object, **__: object) -> None:
        raise error

    return function


@pytest.mark.parametrize("command", CALLED)
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_command_promises_what_is_true(
    command: str, number: int, code: int, monkeypatch: pytest.MonkeyPatch, spectro: Spectro
) -> None:
    function, arguments = CALLED[command]
    monkeypatch.setattr(f"spectro.{function}", lambda *_, **__: signal.raise_signal(number), raising=False)
    before = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    stopped, out, err = spectro(*command.split(), *arguments)
    word = "interrupted" if number == signal.SIGINT else "terminated"
    assert (stopped, out, err) == (code, "", f"spectro: {word}; {AFTER_STOP.get(command, NOTHING)}\n")
    assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)] == before


def test_only_what_resumes_says_so() -> None:
    commands = {*(name for names in ORDER.values() for name in names)}
    commands |= {f"{group} {name}" for group, names in GROUPS.items() for name in names}
    assert set(AFTER_STOP) <= commands
    assert {name for name, promise in AFTER_STOP.items() if promise == RESUMES} == {
        "render", "seal", "finetune", "data features", "bench run", "bench sweep"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        ("estimate_rendering", ("render", "music", "--out", "data", "--dry-run")),
        ("train_classical", ("finetune", "data", "--model", "svm")),
    ],
)
def test_a_command_that_would_resume_does_not_with_some_arguments(
    function: str, arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, spectro: Spectro
) -> None:
    monkeypatch.setattr(f"spectro.{function}", raiser(KeyboardInterrupt()), raising=False)
    code, _, err = spectro(*arguments)
    assert code == 130
    assert RESUMES not in err


def test_what_training_adds_to_an_interruption_is_kept(monkeypatch: pytest.MonkeyPatch, spectro: Spectro) -> None:
    monkeypatch.setattr("spectro.split", raiser(KeyboardInterrupt("after 3 finished epochs")), raising=False)
    assert "interrupted after 3 finished epochs; " in spectro("split", "data")[2]


def test_an_interruption_that_an_import_made_another_error_of_is_one(
    monkeypatch: pytest.MonkeyPatch, spectro: Spectro
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise ImportError("numpy.core.multiarray failed to import") from None

    monkeypatch.setattr("spectro.split", interrupted, raising=False)
    code, _, err = spectro("split", "data")
    assert (code, err.count("\n")) == (130, 1)


def test_an_interruption_inside_a_destructor_comes_again() -> None:
    class Dying:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGTERM)

    with stoppable() as stop:
        dying = Dying()
        with pytest.raises(KeyboardInterrupt):  # noqa: PT012
            del dying
            time.sleep(10)
        stop.over = True
    assert (stop.number, stop.code) == (signal.SIGTERM, 143)


def test_signals_that_are_ignored_stay_ignored() -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with stoppable():
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert Stop().code == 130


def stopped_at(at: int, number: int, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the program and send it a signal at one of the imports after its entry."""
    words = [sys.executable, "-c", STOPPED_AT, str(at), str(number), *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, check=False)


@POSIX
@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_at_any_import_is_one_line(number: int, code: int, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run").path
    whole = stopped_at(-1, number, "evaluate", run)
    assert whole.returncode == 0, whole.stderr
    imports = int(whole.stderr.rpartition("imports: ")[2])
    assert imports > 100
    for number_of_try in range(12):
        at = 1 + number_of_try * (imports - 2) // 11
        (run / "metrics.json").unlink(missing_ok=True)
        done = stopped_at(at, number, "evaluate", run)
        lines = [line for line in done.stderr.splitlines() if not line.startswith("imports: ")]
        assert (done.returncode, len(lines)) == (code, 1), f"import {at}: {done.stderr}"
        assert lines[0].startswith("spectro: ")
        assert not list(tmp_path.rglob("*.tmp"))


@POSIX
@pytest.mark.slow
def test_ctrl_c_at_any_moment_of_the_start_is_no_traceback_of_ours() -> None:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "spectro", "data", "list"], capture_output=True, check=True)
    lasts = time.perf_counter() - began
    for number_of_try in range(24):
        with subprocess.Popen(
            [sys.executable, "-m", "spectro", "data", "list"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            time.sleep(0.03 + lasts * number_of_try / 24)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate()
        ours = [line for line in err.splitlines() if "/spectro/" in line and "spectro/__init__" not in line]
        assert not ours, err  # before our first line runs, Python itself may be interrupted
        assert process.returncode in (0, 130, 1, -signal.SIGINT), err


@POSIX
@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_rendering_leaves_nothing_half_written(
    workers: int, number: int, code: int, corpus_csv: Path, tmp_path: Path
) -> None:
    words = ["render", corpus_csv, "--out", tmp_path / "data", "--seconds", 0.05, "--workers", workers]
    arguments = [sys.executable, "-m", "spectro", *map(str, words)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        until(lambda: any((tmp_path / "data").rglob("*.png")))
        process.send_signal(number)
        _, err = process.communicate()
    assert process.returncode == code, err
    assert err.splitlines()[-1].endswith(RESUMES)
    assert "Traceback" not in err
    assert not list((tmp_path / "data").rglob("*.tmp"))
    subprocess.run(arguments, capture_output=True, check=True)


def until(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.mark.parametrize("number", sorted(ADVICE))
def test_an_error_of_the_system_names_its_file_and_what_to_do(
    number: int, monkeypatch: pytest.MonkeyPatch, spectro: Spectro
) -> None:
    error = OSError(number, os.strerror(number), "some/file.npy")
    monkeypatch.setattr("spectro.split", raiser(error), raising=False)
    code, out, err = spectro("split", "data")
    assert (code, out, err) == (2, "", f"spectro: {os.strerror(number)}: some/file.npy; {ADVICE[number]}\n")


@pytest.mark.parametrize("number", sorted(STORAGE))
def test_an_error_without_a_name_names_the_file_in_use(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spectro: Spectro
) -> None:
    def write(path: Path) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("spectro.split", lambda *_, **__: write(tmp_path / "x.npy"), raising=False)
    code, _, err = spectro("split", "data")
    assert (code, err.count("\n")) == (2, 1)
    assert f"{tmp_path / 'x.npy'}; {STORAGE[number]}" in err

    def replace(*_: object, **__: object) -> None:
        with replacing(tmp_path / "y.npy"):
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr("spectro.split", replace, raising=False)
    code, _, err = spectro("split", "data")
    assert (code, err.count("\n")) == (2, 1)
    assert str(tmp_path / "y.npy") in err
    assert STORAGE[number] in err
    assert not list(tmp_path.iterdir())


def test_errors_that_libraries_make_and_full_memory_are_one_line(
    monkeypatch: pytest.MonkeyPatch, spectro: Spectro
) -> None:
    for error in (OSError("the decoder gave up"), OSError(), ConnectionError("no route"), OSError(12345, "odd")):
        monkeypatch.setattr("spectro.split", raiser(error), raising=False)
        code, _, err = spectro("split", "data")
        assert (code, err.count("\n")) == (2, 1)
    assert "no memory is left" in system_error(MemoryError())


def test_what_may_not_be_read_is_not_blamed_on_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").touch()
    monkeypatch.setattr(os, "access", lambda *_: False)
    error = PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "secret"))
    assert "may not read" in system_error(error)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_behind_standard_output_is_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "spectro", "data", "list"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "standard output" in done.stderr


@POSIX
@pytest.mark.slow
def test_a_limit_on_the_size_of_files_is_one_line(corpus_csv: Path, tmp_path: Path) -> None:
    command = f"ulimit -f 1; exec {sys.executable} -m spectro render {corpus_csv} --out {tmp_path / 'data'} --workers 2"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("spectro: ")
    assert str(tmp_path / "data") in last
    assert "ulimit -f" in last
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "data").rglob("*.tmp"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(words, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("may not mount a disk here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_the_command_resumes(
    small_disk: Path, corpus_csv: Path, tmp_path: Path, spectro: Spectro
) -> None:
    arguments = ("render", corpus_csv, "--out", small_disk / "data", "--workers", 1)
    code, _, err = spectro(*arguments)
    assert code == 2
    assert "make room" in err.splitlines()[-1]
    assert str(small_disk) in err.splitlines()[-1]
    assert not list(small_disk.rglob("*.tmp"))
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    assert spectro(*arguments)[0] == 0


def test_the_program_begins_at_the_entry() -> None:
    assert cli.main is not None
    done = subprocess.run([sys.executable, "-m", "spectro", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == cli.program.version
