"""Watching a process from outside: its time, memory, files and output are bounded.

The limits that the kernel keeps for us (CPU time, size of files, number of processes) are set
inside, by the launcher; what is here holds even where the code inside has killed the launcher.
Memory and number of files are sampled: between two looks (50 ms) more of both may be taken.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

_POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Limits:
    """What one call may use at most."""

    seconds: float = 20.0  # by the clock: a machine under load is slow
    cpu_seconds: int = 10  # of each process
    process_bytes: int = 768 << 20  # address space of each process
    memory_bytes: int = 1 << 30  # resident memory of all processes together
    processes: int = 32  # threads count as processes
    disk_bytes: int = 32 << 20  # of each of: working folder, /tmp, /dev/shm
    most_files: int = 1000  # that come back from the working folder
    standing_files: int = 10_000  # in all writable folders together, links and folders included
    output_bytes: int = 1 << 20  # of each of: stdout, stderr


@dataclass
class Ended:
    """How a process ended. ``stopped`` says in words which limit ended it, None if none did."""

    code: int = 0
    stdout: bytearray = field(default_factory=bytearray)
    stderr: bytearray = field(default_factory=bytearray)
    stopped: str | None = None
    seconds: float = 0.0


def watch(
    command: Sequence[str],
    stdin: int,
    inherited: Sequence[int],
    limits: Limits,
    stop: threading.Event,
    writable: Sequence[str] = (),
) -> Ended:
    """Run the command in a session of its own, without environment, until it ends or a limit is
    passed or ``stop`` is set; then nothing of its session runs any more.

    Args:
        stdin: the descriptor it reads; ``inherited``: those it keeps besides.
        writable: mounts that the command's child has for itself, and whose files are counted.
    """
    started = time.monotonic()
    process = subprocess.Popen(  # noqa: S603 - the caller built the command line
        command,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={},
        pass_fds=inherited,
        start_new_session=True,
    )
    ended = Ended()
    try:
        ended.stopped = _follow(process, ended, limits, started, stop, writable)
    finally:
        _kill(process)
    ended.code, ended.seconds = process.returncode, time.monotonic() - started
    return ended


def _follow(
    process: subprocess.Popen[bytes],
    ended: Ended,
    limits: Limits,
    started: float,
    stop: threading.Event,
    writable: Sequence[str],
) -> str | None:
    """Read both streams until the process has ended, or a limit is passed (returned in words)."""
    assert process.stdout is not None
    assert process.stderr is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ, ended.stdout)
        selector.register(process.stderr, selectors.EVENT_READ, ended.stderr)
        while True:
            # Asked before reading: what it wrote before it ended is read in this round.
            over = process.poll() is not None
            ready = selector.select(0 if over else _POLL_SECONDS)
            for key, _ in ready:
                chunk = os.read(key.fd, 1 << 16)
                key.data.extend(chunk)
                if not chunk:
                    selector.unregister(key.fileobj)
            # A process that left the session may hold the pipe open for ever, so the end of the
            # streams is not waited for.
            if over and not ready:
                return None
            if reason := _passed(process, limits, started, stop, ended, writable):
                return reason
            if not selector.get_map():
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_POLL_SECONDS)


def _passed(
    process: subprocess.Popen[bytes],
    limits: Limits,
    started: float,
    stop: threading.Event,
    ended: Ended,
    writable: Sequence[str],
) -> str | None:
    """The limit that was passed, in words for the one who wrote the code."""
    if stop.is_set():
        return "cancelled"
    if time.monotonic() - started > limits.seconds:
        return f"time limit of {limits.seconds:g} seconds"
    if max(len(ended.stdout), len(ended.stderr)) > limits.output_bytes:
        return f"output limit of {limits.output_bytes} bytes"
    if _resident_bytes(process.pid) > limits.memory_bytes:
        return f"memory limit of {limits.memory_bytes >> 20} MB"
    if _standing_files(process.pid, writable) > limits.standing_files:
        return f"file limit of {limits.standing_files} files"
    return None


def _resident_bytes(pid: int) -> int:
    """Resident memory of a process and all below it. One that ends meanwhile counts nothing."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
        below = sum(_resident_bytes(child) for child in _children(pid))
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE") + below


def _children(pid: int) -> list[int]:
    """Processes that a process started. They are listed under the thread that did."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    listed = [(thread / "children").read_text(encoding="ascii") for thread in threads]
    return [int(child) for child in " ".join(listed).split()]


def _standing_files(pid: int, writable: Sequence[str]) -> int:
    """Files, folders and links in the mounts of a process's child, which is bubblewrap's init: it
    is there as long as the confinement is, and the code inside can neither end nor replace it."""
    if not writable:
        return 0
    try:
        (init,) = _children(pid)
        root = Path(f"/proc/{init}/root")
        # Until its own root stands, the child has the host's.
        if root.stat().st_dev == Path("/").stat().st_dev:
            return 0
        mounts = [os.statvfs(f"{root}{folder}") for folder in writable]
    except (OSError, ValueError):
        return 0
    return sum(mount.f_files - mount.f_ffree for mount in mounts)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the session; with bubblewrap everything inside ends with it (its init dies)."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for stream in (process.stdout, process.stderr):
        assert stream is not None
        stream.close()
