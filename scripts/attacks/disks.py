"""Disks that are full, out of inodes, over quota or read-only, and limits on the size of files."""

from __future__ import annotations

import ctypes
import os
import random
import re
import resource
import shutil
import subprocess
from pathlib import Path

from scripts.attacks.children import Prepare
from scripts.attacks.verdict import Case, Verdict, crashed_or_hung
from scripts.attacks.world import World, chance

KIND = "disk"
COMMANDS = (
    "render", "features", "split", "finetune", "resume", "fit", "ensemble", "replace", "report", "audit", "preview",
    "explain", "evaluate-torch", "card-torch", "plot-torch",
)  # fmt: skip
SIZE = 64 << 20
"""Bytes of the file systems that are mounted."""
LIMITS = ("full", "inodes", "quota", "read-only", "file size")
CAP_SYS_RESOURCE = 24
"""Whoever has it is above quotas."""


class MountError(Exception):
    """A file system cannot be mounted here."""


def mount(folder: Path, options: str) -> None:
    """Mount a tmpfs."""
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE},{options}", "stress", folder], capture_output=True, text=True
    )
    if done.returncode:
        raise MountError(done.stderr.strip())


def unmount(folder: Path) -> None:
    """Unmount it, if it is mounted."""
    while os.path.ismount(folder):
        subprocess.run(["umount", "-l", folder], check=True, capture_output=True)


def possible(world: World) -> dict[str, str]:
    """Return for each limit why it cannot be tried here; empty where it can."""
    reasons = dict.fromkeys(LIMITS, "")
    for limit, options in {"full": "", "inodes": "nr_inodes=10", "quota": "usrquota"}.items():
        folder = world.root / "probe"
        try:
            mount(folder, ",".join(filter(None, ("mode=755", options))))
        except (MountError, OSError) as error:
            reasons[limit] = str(error)
        finally:
            unmount(folder)
    reasons["read-only"] = reasons["full"]
    return reasons


def plan(world: World) -> list[tuple[str, str]]:
    """Return each limit that can be tried here with each command, shuffled."""
    cases = [(limit, name) for limit, reason in possible(world).items() if not reason for name in COMMANDS]
    random.Random(world.seed).shuffle(cases)
    return cases


def attack(world: World, worker: int, number: int, cases: list[tuple[str, str]]) -> Verdict:
    """Run a command within a limit; then lift it and run the same command again."""
    limit, name = cases[number % len(cases)]
    rng = chance(world.seed, KIND, number)
    folder = world.root / f"disk-{worker}"
    unmount(folder)
    try:
        return on_disk(world, worker, Case(KIND, number, name, limit), folder, rng)
    finally:
        unmount(folder)


def on_disk(world: World, worker: int, case: Case, folder: Path, rng: random.Random) -> Verdict:
    """Copy the state onto the disk, run the command twice and return the verdict."""
    name, limit = case.command, case.what
    state = world.fresh(worker, *world.commands[name].fresh)
    prepare: list[Prepare] = []
    if limit == "file size":
        most = rng.choice((1, 100, 1000, 10_000, 200_000))
        prepare.append(lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most)))
    else:
        room = rng.choice((0, 4096, 8192, 65536, 200_000, 1_000_000, 3_000_000))
        state = fill(state, folder, limit, room, rng)
        if limit == "quota":
            prepare.append(drop_resource)
    outcome = world.run(name, state, *prepare)
    if verdict := crashed_or_hung(case, outcome):
        return verdict
    if outcome.code == world.answers[name].code:
        if apart := world.right(name, state, outcome):
            return case.verdict("silent", f"exit {outcome.code}, but {', '.join(apart[:3])} differ")
    elif not (outcome.code == 2 and len(outcome.complaints) == 1 and names_a_file(outcome.complaints[0])):
        return case.verdict("unclear", f"exit {outcome.code}: " + (" | ".join(outcome.complaints) or outcome.last))
    make_room(state, folder, limit)
    again = world.run(name, state)
    if again.crashed or again.code != world.answers[name].code:
        return case.verdict("lost", f"after room was made it ends with {again.code}: {again.last}")
    apart = world.right(name, state, again)
    return (
        case.verdict("lost", f"after room was made {', '.join(apart[:3])} differ")
        if apart
        else case.verdict("right", outcome.last)
    )


def fill(state: Path, folder: Path, limit: str, room: int, rng: random.Random) -> Path:
    """Move the state onto a file system on which only `room` bytes are free; return where it is then."""
    files = sum(1 for _ in state.rglob("*")) + 3
    size = sum(-(-path.stat().st_size // 4096) * 4096 for path in state.rglob("*") if path.is_file())
    options = {
        "inodes": f"nr_inodes={files + rng.choice((0, 1, 2, 5, 20))}",
        "quota": f"usrquota,usrquota_block_hardlimit={size + 4096 * files + room}",
    }
    mount(folder, ",".join(filter(None, ("mode=755", options.get(limit, "")))))
    here = folder / state.name
    shutil.copytree(state, here)
    if limit == "full":
        free = os.statvfs(folder)
        with (folder / "ballast").open("wb") as file:
            file.write(bytes(max(0, free.f_bavail * free.f_frsize - room)))
    elif limit == "read-only":
        remount(folder, "ro")
    return here


def make_room(state: Path, folder: Path, limit: str) -> None:
    """Lift a limit."""
    (folder / "ballast").unlink(missing_ok=True) if limit == "full" else None
    if limit == "read-only":
        remount(folder, "rw")
    elif limit == "inodes":
        remount(folder, "nr_inodes=100000")


def remount(folder: Path, options: str) -> None:
    """Change the options of a mounted file system."""
    subprocess.run(["mount", "-o", f"remount,{options}", folder], check=True, capture_output=True)


def drop_resource() -> None:
    """Give up the right to exceed quotas."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    data = (ctypes.c_uint32 * 6)()
    libc.capget(header, data)
    for place in (0, 1, 2):
        data[place] &= ~(1 << CAP_SYS_RESOURCE) & 0xFFFFFFFF
    libc.capset(header, data)


def names_a_file(line: str) -> bool:
    """Tell whether a message names a file or folder, and a remedy."""
    return bool(re.search(r"cannot write \S|[\w/-]+(/|\.[a-z]{2,5}\b)", line)) and ";" in line
