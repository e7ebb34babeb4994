"""What starts inside the confinement, before the model's code and after it. Standard library only:
it is handed over as text and run by a bare interpreter that does not see this package.

It drops to an unprivileged user (when the confinement was built by root), lays out the working
folder from one descriptor, runs the command under resource limits as a child, ends whatever the
child left running, and writes the working folder to another descriptor.

The child has the same user as this process, so it can kill it or spoil what is written: then the
run has lost its own files, nothing else. The host believes nothing that comes out of here: it
bounds what it takes back, keeps it in memory and puts it on no disk.

Files travel as records: path length (4 bytes), content length (8 bytes), path, content, big
endian; a content length of ``FOLDER`` marks a folder; a path length of 0, or the end, ends them.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import stat
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

FOLDER = 2**64 - 1
HEAD = struct.Struct(">IQ")
PATH_BYTES = 4096
NOT_STARTED = 127
LOST_FILES = 251


def write_record(stream: BinaryIO, path: str, content: bytes | None) -> None:
    """Append a file, or a folder where ``content`` is None."""
    name = os.fsencode(path)
    stream.write(HEAD.pack(len(name), FOLDER if content is None else len(content)))
    stream.write(name)
    stream.write(content or b"")


def read_records(stream: BinaryIO, most_bytes: int) -> Iterator[tuple[str, bytes | None]]:
    """The records of ``stream``, up to the first that is malformed or one byte too many."""
    while len(head := stream.read(HEAD.size)) == HEAD.size:
        name_length, length = HEAD.unpack(head)
        size = 0 if length == FOLDER else length
        if not 0 < name_length <= PATH_BYTES or size > most_bytes:
            return
        name, content = stream.read(name_length), stream.read(size)
        if len(name) != name_length or len(content) != size:
            return
        most_bytes -= size
        yield os.fsdecode(name), None if length == FOLDER else content


def main() -> int:
    """Read the plan (JSON, first argument) and carry it out; the child's exit code is ours."""
    plan = json.loads(sys.argv[1])
    work = Path(plan["work"])
    _drop(plan["uid"])
    _lay_out(work, plan["files_in"], plan["disk_bytes"])
    child = os.fork()
    if child == 0:
        _become(plan, work)
    code = _wait(child)
    if plan["alone"]:
        _end_the_rest()
    _hand_back(work, plan["files_out"], plan["disk_bytes"], plan["most_files"])
    return code


def _drop(uid: int | None) -> None:
    if uid is not None:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)


def _lay_out(work: Path, descriptor: int, most_bytes: int) -> None:
    with os.fdopen(descriptor, "rb") as stream:
        for name, content in read_records(stream, most_bytes):
            path = work / name
            (path if content is None else path.parent).mkdir(parents=True, exist_ok=True)
            if content is not None:
                path.write_bytes(content)


def _become(plan: dict[str, Any], work: Path) -> None:
    """Turn the child into the command. Never returns."""
    command = plan["command"]
    try:
        os.close(plan["files_out"])
        for name, value in plan["rlimits"].items():
            _limit(getattr(resource, name), value)
        os.chdir(work / plan["cwd"])
        os.execvpe(command[0], command, plan["env"])  # noqa: S606 - starting it is the purpose
    except (OSError, ValueError) as error:
        os.write(2, f"cannot start {command[0]!r}: {error}\n".encode())
    os._exit(NOT_STARTED)


def _limit(which: int, value: int) -> None:
    hard = resource.getrlimit(which)[1]
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(which, (value, value))


def _wait(child: int) -> int:
    """The exit code as a shell tells it: 128 + the signal that ended it."""
    while True:
        pid, status = os.wait()
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            return 128 - code if code < 0 else code


def _end_the_rest() -> None:
    """Background processes would change the files while they are read. Only ever called in a
    process namespace of our own, where -1 means the processes of this confinement."""
    try:
        os.kill(-1, signal.SIGKILL)
        while True:
            os.wait()
    except (ProcessLookupError, ChildProcessError):
        return


def _hand_back(work: Path, descriptor: int, most_bytes: int, most_files: int) -> None:
    """Regular files and folders, never through a link; what does not fit is left out."""
    with os.fdopen(descriptor, "wb") as stream:
        for path in sorted(work.rglob("*")):
            kind = path.lstat()
            is_file, size = stat.S_ISREG(kind.st_mode), kind.st_size
            if most_files <= 0 or size > most_bytes or not (is_file or stat.S_ISDIR(kind.st_mode)):
                continue
            content = path.read_bytes() if is_file else None
            write_record(stream, str(path.relative_to(work)), content)
            most_files, most_bytes = most_files - 1, most_bytes - (size if is_file else 0)


if __name__ == "__main__":
    try:
        exit_code = main()
    except (OSError, ValueError) as failure:
        os.write(2, f"the sandbox could not keep the files: {failure}\n".encode())
        exit_code = LOST_FILES
    os._exit(exit_code)
