"""Running code that a model wrote: one command, confined, with bounded effects and bounded output.

Each call builds a new confinement with bubblewrap and nothing of it survives the call:

* no network: a network namespace of its own with nothing but its own loopback;
* the system read-only (``/usr`` and the interpreter), nothing else of the host's files visible,
  no site-packages but the few that are named;
* the working folder, ``/tmp`` and ``/dev/shm`` are memory of bounded size, for a bounded number of
  files. Files live on between calls as values (path → content) that the caller holds: no folder of
  the host is ever writable;
* process, user, IPC and host-name namespaces of its own; ends with its parent; no terminal;
* no system call that makes namespaces or mounts, reads other processes, or reaches the kernel's
  rarer parts (`memcollab.bench.seccomp`);
* limits on wall time, CPU time, memory (each process by rlimit; all together by sampling), number
  of processes, size and number of files (the number by sampling), and output.

Not covered: holes in the kernel, and time and heat of the processor within the limits.

The number of processes cannot be limited for root: the kernel exempts it. So the launcher drops
to a user id that nobody else has, one per call; an ordinary user gets a user namespace, in which
the kernel counts afresh (since Linux 5.14). design/sandbox.md has the measurements.
"""

from __future__ import annotations

import fcntl
import functools
import io
import itertools
import json
import os
import platform
import shutil
import site
import sys
import sysconfig
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from memcollab.bench import launcher, seccomp
from memcollab.bench.watch import Ended, Limits, watch
from memcollab.errors import SandboxError, UsageError

Kind = Literal["bubblewrap", "none"]
KINDS: tuple[Kind, ...] = ("bubblewrap", "none")
WORK = "/work"
TOOLS = "/tools"
PACKAGES = "/packages"
WRITABLE = (WORK, "/tmp", "/dev/shm")  # noqa: S108 - inside the confinement
_BIN = "/sandbox"
_INSTALL = (
    "Next: apt-get install bubblewrap (or your system's package of that name, 0.8 or newer); or, "
    "knowing that model-written code then runs unconfined on this machine, --sandbox none"
)

Files = Mapping[str, bytes | None]
"""Path relative to the working folder → content, or None for a folder."""


@dataclass(frozen=True)
class Ran:
    """How a call ended. ``stopped`` names the limit that ended it early, None if none did.

    ``files`` are those of the working folder afterwards; when the call was ended from outside,
    they are as they were before it.
    """

    code: int
    stdout: str
    stderr: str
    files: Files
    stopped: str | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Job:
    """A command and what it sees. ``tools`` are read-only files under ``/tools``."""

    command: Sequence[str]
    files: Files = field(default_factory=dict)
    tools: Mapping[str, str] = field(default_factory=dict)
    stdin: bytes = b""
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str = "."
    packages: Sequence[str] = ("sympy", "mpmath", "numpy")
    limits: Limits = field(default_factory=Limits)


def run(job: Job, kind: Kind = "bubblewrap", stop: threading.Event | None = None) -> Ran:
    """Run one command, confined; ``stop`` ends it early from another thread.

    Raises:
        SandboxError: bubblewrap is missing, or cannot build a confinement here.
        UsageError: no confinement has that name.
    """
    if kind not in KINDS:
        raise UsageError(f"there is no sandbox {kind!r}. Valid: {', '.join(KINDS)}")
    with ExitStack() as stack:
        files_in = stack.enter_context(_packed(job.files))
        files_out = stack.enter_context(_room(job.limits))
        if kind == "bubblewrap":
            arguments, inherited = stack.enter_context(_confined(job))
            plan = _plan(job, files_in, files_out, _spare_uid(), alone=True)
        else:
            plan, arguments, inherited = stack.enter_context(_bare(job, files_in, files_out))
        stdin = stack.enter_context(_memory_file(job.stdin))
        ended = watch(
            [*arguments, json.dumps(plan)],
            stdin,
            (files_in, files_out, *inherited),
            job.limits,
            stop or threading.Event(),
            WRITABLE if kind == "bubblewrap" else (),
        )
        return _outcome(ended, job, files_out)


@functools.cache
def check(kind: Kind) -> None:
    """Run a trivial command once, so that a machine that cannot confine says so at the start.

    Raises:
        SandboxError: it cannot; the message holds what bubblewrap said.
    """
    ran = run(Job(["python", "-c", "print('confined')"]), kind)
    if ran.stdout.strip() != "confined":
        raise SandboxError(
            f"the sandbox {kind!r} does not work here: exit code {ran.code}, {ran.stopped or ''} "
            f"{ran.stderr.strip()[-400:]!r}. It needs namespaces (in a container: "
            "--security-opt seccomp=unconfined or CAP_SYS_ADMIN; on Ubuntu: sysctl "
            f"kernel.apparmor_restrict_unprivileged_userns=0). {_INSTALL}"
        )
    _see_the_counted_limits_kept(kind)


_HOARD = """
import pathlib, time
hoard = b"x" * (64 << 20)
for number in range(64):
    pathlib.Path(str(number)).touch()
time.sleep(3)
"""


def _see_the_counted_limits_kept(kind: Kind) -> None:
    """Pass each limit that is kept by looking into /proc: where that shows nothing, memory and
    files would count as none.

    Raises:
        SandboxError: a limit was passed, and nothing ended it.
    """
    probes = {"memory": Limits(seconds=10, memory_bytes=32 << 20)}
    if kind == "bubblewrap":
        probes["file"] = Limits(seconds=10, standing_files=32)
    for name, limits in probes.items():
        ran = run(Job(["python", "-c", _HOARD], limits=limits), kind)
        if not (ran.stopped or "").startswith(name):
            raise SandboxError(
                f"the sandbox {kind!r} does not keep its {name} limit here: what passes it ended "
                f"by {ran.stopped or f'exit code {ran.code}'!r}, {ran.stderr.strip()[-400:]!r}. "
                "It is kept by reading /proc/PID/task/TID/children, which a Linux has that was "
                "built with CONFIG_PROC_CHILDREN, and /proc/PID/root. Next: run where /proc shows "
                "both"
            )


# --- the confinement ---------------------------------------------------------------------------


def _plan(
    job: Job, files_in: int, files_out: int, uid: int | None, *, alone: bool
) -> dict[str, object]:
    limits = job.limits
    return {
        "uid": uid,
        "alone": alone,
        "work": WORK,
        "cwd": job.cwd,
        "files_in": files_in,
        "files_out": files_out,
        "disk_bytes": limits.disk_bytes,
        "most_files": limits.most_files,
        "command": list(job.command),
        "env": _environment(f"{_BIN}:/usr/bin:/bin", WORK, "/tmp") | dict(job.env),  # noqa: S108
        "rlimits": {
            "RLIMIT_AS": limits.process_bytes,
            "RLIMIT_CPU": limits.cpu_seconds,
            "RLIMIT_FSIZE": limits.disk_bytes,
            "RLIMIT_NPROC": limits.processes,
            "RLIMIT_NOFILE": 128,
            "RLIMIT_CORE": 0,
        },
    }


def _environment(path: str, home: str, tmp: str) -> dict[str, str]:
    return {
        "PATH": path,
        "HOME": home,
        "TMPDIR": tmp,
        "LANG": "C.UTF-8",
        "PYTHONHASHSEED": "0",  # the same code prints the same on every run
        "OPENBLAS_NUM_THREADS": "1",  # each thread reserves address space, which is limited
    }


@contextmanager
def _confined(job: Job) -> Iterator[tuple[list[str], list[int]]]:
    """The command line of bubblewrap up to the launcher, and the descriptors it reads."""
    with ExitStack() as stack:
        arguments = [
            _bubblewrap(),
            *(
                "--unshare-net --unshare-pid --unshare-ipc --unshare-uts --unshare-cgroup-try"
            ).split(),
            *("--hostname sandbox --die-with-parent --new-session").split(),
            *_privileges(),
            *_system(),
            *_packages(job.packages),
        ]
        inherited = []
        texts = {f"{_BIN}/launcher.py": _launcher_text()}
        texts |= {f"{TOOLS}/{name}": text for name, text in job.tools.items()}
        for path, text in texts.items():
            descriptor = stack.enter_context(_memory_file(text.encode()))
            inherited.append(descriptor)
            arguments += ["--perms", "0644", "--ro-bind-data", str(descriptor), path]
        if (calls := _filter()) is not None:
            inherited.append(stack.enter_context(_memory_file(calls)))
            arguments += ["--seccomp", str(inherited[-1])]
        arguments += [*_writable(job.limits), *_python(f"{_BIN}/launcher.py")]
        yield arguments, inherited


def _bubblewrap() -> str:
    found = shutil.which("bwrap")
    if found is None:
        raise SandboxError(f"bubblewrap (the program 'bwrap') is not on the PATH. {_INSTALL}")
    return found


def _privileges() -> list[str]:
    """Root keeps just what dropping to another user takes, until it has dropped."""
    if _spare_uid() is None:
        return ["--unshare-user", "--disable-userns"]
    return ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]


def _filter() -> bytes | None:
    """The system calls that are taken away. Where there is no list for the machine, an ordinary
    user is confined without; root is not, as it could make namespaces and mounts."""
    machine = platform.machine()
    if machine in seccomp.MACHINES:
        return seccomp.filter_program(machine)
    if _spare_uid() is not None:
        raise SandboxError(
            f"root cannot be confined on a {machine!r} machine: there is a list of system calls "
            f"for {', '.join(seccomp.MACHINES)}. Next: run as an ordinary user"
        )
    return None


def _system() -> list[str]:
    arguments = ["--ro-bind", "/usr", "/usr"]
    for name in ("/bin", "/sbin", "/lib", "/lib32", "/lib64"):
        path = Path(name)
        if path.is_symlink():
            arguments += ["--symlink", str(path.readlink()), name]
        elif path.is_dir():
            arguments += ["--ro-bind", name, name]
    parents = {parent for found in _interpreter() for parent in found.parents[:-1]}
    # Folders that bubblewrap makes on its way to a target would be root's alone.
    for folder in [*sorted(map(str, parents)), _BIN, TOOLS, PACKAGES]:
        arguments += ["--perms", "0755", "--dir", folder]
    for found in _interpreter():
        arguments += ["--ro-bind", str(found), str(found)]
    for folder in _site_folders():
        arguments += ["--tmpfs", folder, "--remount-ro", folder]
    executable = str(Path(sys.executable).resolve())
    for name in ("python", "python3"):
        arguments += ["--symlink", executable, f"{_BIN}/{name}"]
    return [*arguments, "--proc", "/proc", "--dev", "/dev"]


@functools.cache
def _interpreter() -> tuple[Path, ...]:
    """The parts of the running interpreter that ``/usr`` does not hold. It may be a private one
    under a home folder: then nothing of that home but the interpreter itself becomes visible."""
    base = Path(sys.base_prefix)
    wanted = [
        Path(sys.executable).resolve(),
        base / "lib",
        base / "lib64",
        Path(sysconfig.get_path("stdlib")),
        Path(sysconfig.get_path("platstdlib", vars={"platbase": sys.base_exec_prefix})),
    ]
    found: list[Path] = []
    for path in sorted({path for path in wanted if path.exists()}):
        if not any(path.is_relative_to(known) for known in [Path("/usr"), *found]):
            found.append(path)
    return tuple(found)


@functools.cache
def _site_folders() -> tuple[str, ...]:
    """Installed packages of the base interpreter: hidden, so that every machine offers the same."""
    folders = site.getsitepackages([sys.base_prefix, sys.base_exec_prefix])
    folders.append("/usr/lib/python3/dist-packages")
    return tuple(sorted({folder for folder in folders if Path(folder).is_dir()}))


def _packages(names: Sequence[str]) -> list[str]:
    """The named packages from where this process finds them, one by one."""
    arguments = []
    for name in names:
        for part in _package_parts(name):
            arguments += ["--ro-bind", str(part), f"{PACKAGES}/{part.name}"]
    return arguments


@functools.cache
def _package_parts(name: str) -> tuple[Path, ...]:
    for folder in sys.path:
        for candidate in (Path(folder) / name, Path(folder) / f"{name}.py"):
            if candidate.exists():
                # Beside it lie the shared libraries of its extension modules, and its version.
                beside = [Path(folder) / f"{name}.libs", *Path(folder).glob(f"{name}*-*.dist-info")]
                return (candidate, *(part for part in beside if part.exists()))
    raise SandboxError(f"the package {name!r} is not installed, so the sandbox cannot offer it")


def _writable(limits: Limits) -> list[str]:
    arguments = []
    for folder in WRITABLE:
        arguments += ["--perms", "1777", "--size", str(limits.disk_bytes), "--tmpfs", folder]
    return [*arguments, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", WORK]


def _python(script: str) -> list[str]:
    return [str(Path(sys.executable).resolve()), "-I", "-S", "-B", script]


@functools.cache
def _launcher_text() -> str:
    return Path(launcher.__file__).read_text(encoding="utf-8")


@contextmanager
def _bare(
    job: Job, files_in: int, files_out: int
) -> Iterator[tuple[dict[str, object], list[str], list[int]]]:
    """The same launcher without a confinement, in temporary folders of the host."""
    with tempfile.TemporaryDirectory(prefix="memcollab-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        places = {part: folder / part for part in ("work", "tools", "bin", "tmp", "packages")}
        for place in places.values():
            place.mkdir()
        for tool, text in job.tools.items():
            (places["tools"] / tool).write_text(text, encoding="utf-8")
        for part in itertools.chain.from_iterable(map(_package_parts, job.packages)):
            (places["packages"] / part.name).symlink_to(part)
        for python in ("python", "python3"):
            (places["bin"] / python).symlink_to(Path(sys.executable).resolve())
        plan = _plan(job, files_in, files_out, None, alone=False)
        path = f"{places['bin']}:/usr/bin:/bin"
        env = _environment(path, str(places["work"]), str(places["tmp"])) | dict(job.env)
        # The kernel would count every process of this user, not those of the run.
        rlimits = {k: v for k, v in _rlimits(plan).items() if k != "RLIMIT_NPROC"}
        plan |= {"work": str(places["work"]), "env": env, "rlimits": rlimits}
        plan["command"] = [_moved(part, folder) for part in job.command]
        yield plan, _python(launcher.__file__), []


def _rlimits(plan: Mapping[str, object]) -> dict[str, int]:
    value = plan["rlimits"]
    assert isinstance(value, dict)
    return value


def _moved(argument: str, folder: Path) -> str:
    """Paths of the confinement, as they are without one."""
    for place in (WORK, TOOLS, PACKAGES):
        argument = argument.replace(f"{place}/", f"{folder}{place}/")
    return argument


# --- who runs it -------------------------------------------------------------------------------

_calls = itertools.count()


def _spare_uid() -> int | None:
    """A user id for this call alone, or None where an ordinary user must do with a namespace."""
    if os.geteuid() != 0:
        return None
    mapped = Path("/proc/self/uid_map").read_text(encoding="ascii")
    return spare_uid(mapped, os.getpid() * 64 + next(_calls) % 64)


def spare_uid(uid_map: str, turn: int) -> int | None:
    """The ``turn``-th id (cyclic) of the upper half of the widest range that ``uid_map`` (the
    form of ``/proc/self/uid_map``) maps; None where it maps fewer than 1,000 ids.

    The upper half, because accounts of the system are given from below.
    """
    ranges = [tuple(map(int, line.split())) for line in uid_map.splitlines() if line.strip()]
    first, _, count = max(ranges, key=lambda each: each[2], default=(0, 0, 0))
    # Ids above 2^31 are refused here and there (tar, old system calls).
    count = min(count, 2**31 - 1 - first)
    if count < 1000:
        return None
    half = count // 2
    return first + half + turn % (count - half - 1)


# --- descriptors -------------------------------------------------------------------------------


@contextmanager
def _packed(files: Files) -> Iterator[int]:
    stream = io.BytesIO()
    for path, content in files.items():
        launcher.write_record(stream, path, content)
    with _memory_file(stream.getvalue()) as descriptor:
        yield descriptor


@contextmanager
def _memory_file(content: bytes) -> Iterator[int]:
    with _descriptor("in") as descriptor:
        with os.fdopen(os.dup(descriptor), "wb") as stream:
            stream.write(content)
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor


@contextmanager
def _room(limits: Limits) -> Iterator[int]:
    """A descriptor that the launcher writes the files to. Sealed at its size: whoever gets hold of
    it inside can fill no more of the host's memory than that."""
    with _descriptor("out", os.MFD_ALLOW_SEALING) as descriptor:
        heads = limits.most_files * (launcher.HEAD.size + launcher.PATH_BYTES)
        os.ftruncate(descriptor, limits.disk_bytes + heads)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK)
        yield descriptor


@contextmanager
def _descriptor(name: str, flags: int = 0) -> Iterator[int]:
    descriptor = os.memfd_create(f"memcollab-{name}", flags)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _outcome(ended: Ended, job: Job, files_out: int) -> Ran:
    limit = job.limits.output_bytes
    files: Files = job.files
    if ended.stopped is None and ended.code != launcher.LOST_FILES:
        with os.fdopen(os.dup(files_out), "rb") as stream:
            stream.seek(0)
            files = dict(launcher.read_records(stream, job.limits.disk_bytes))
    return Ran(
        code=ended.code,
        stdout=ended.stdout[:limit].decode("utf-8", "replace"),
        stderr=ended.stderr[:limit].decode("utf-8", "replace"),
        files=files,
        stopped=ended.stopped,
        seconds=ended.seconds,
    )
