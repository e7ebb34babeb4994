"""`memcollab.bench.confine`: what model-written code can reach, tried with the real bubblewrap."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memcollab.bench import confine, watch
from memcollab.bench.confine import Job, Ran
from memcollab.bench.watch import Limits
from memcollab.errors import SandboxError, UsageError

LIMITS = Limits(seconds=20, cpu_seconds=5)


@pytest.fixture(scope="module")
def _bubblewrap() -> None:
    """Skip where bubblewrap is missing or the machine lets nobody make namespaces."""
    try:
        confine.check("bubblewrap")
    except SandboxError as error:
        pytest.skip(str(error))


confined = pytest.mark.usefixtures("_bubblewrap")


def python(source: str, **changes: object) -> Ran:
    """Run a program, confined."""
    limits = replace(LIMITS, **changes)  # type: ignore[arg-type]
    return confine.run(Job(["python", "-B", "-c", source], limits=limits))


@confined
def test_a_program_runs_and_its_files_live_on_as_values() -> None:
    """Output, exit code and the working folder come back; folders and files in them too."""
    source = "import pathlib; pathlib.Path('a/b.txt').write_text(open('in').read()); print('done')"
    ran = confine.run(
        Job(["python", "-c", source], files={"in": b"text", "a": None, "empty": None})
    )
    assert (ran.code, ran.stdout, ran.stopped) == (0, "done\n", None)
    assert ran.files == {"in": b"text", "a": None, "a/b.txt": b"text", "empty": None}


@confined
def test_the_hosts_files_are_not_there(tmp_path: Path) -> None:
    """Outside the system folders and the interpreter nothing of the host can be read or listed."""
    secret = tmp_path / "secret"
    secret.write_text("secret", encoding="utf-8")
    targets = [str(secret), __file__, "/etc/passwd", "/etc/shadow", "/root/.bashrc", "/var", "/sys"]
    ran = python(f"""
import os
for path in {targets!r}:
    try:
        print(path, os.listdir(path) if os.path.isdir(path) else open(path).read())
    except OSError as error:
        print("no", error.errno)
""")
    assert ran.stdout.split() == ["no", "2"] * len(targets)


@confined
def test_no_other_process_and_no_variable_of_the_host_is_visible() -> None:
    """The process table is its own, and no environment variable passes."""
    ran = python("""
import os
print(sorted(os.environ))
print([entry for entry in os.listdir("/proc") if entry.isdigit()])
""")
    names, processes = ran.stdout.splitlines()
    assert "MEMCOLLAB" not in names
    assert set(eval(names)) <= {
        *("PATH", "HOME", "TMPDIR", "LANG", "LC_CTYPE"),
        *("PYTHONHASHSEED", "OPENBLAS_NUM_THREADS"),
    }
    assert len(eval(processes)) <= 4


@confined
def test_there_is_no_network() -> None:
    """Neither the host's loopback nor any address can be reached, and no name resolves."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        ran = python(f"""
import socket
for target in [("127.0.0.1", {port}), ("192.0.2.1", 80), ("example.org", 80)]:
    try:
        socket.create_connection(target, timeout=3)
        print("reached")
    except OSError as error:
        print("no")
print(socket.if_nameindex())
""")
    assert ran.stdout.splitlines()[:3] == ["no"] * 3
    assert ran.stdout.splitlines()[3] == "[(1, 'lo')]"


@confined
def test_unix_sockets_of_the_host_cannot_be_reached(tmp_path: Path) -> None:
    """A socket in a folder of the host, or in its abstract namespace, is not there."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("\0memcollab-test-abstract")
        server.listen()
        ran = python("""
import socket
try:
    socket.socket(socket.AF_UNIX).connect("\\0memcollab-test-abstract")
    print("reached")
except OSError:
    print("no")
""")
    assert ran.stdout == "no\n"


@confined
def test_the_system_is_read_only() -> None:
    """Nothing outside the working folder, /tmp and /dev/shm can be written, renamed or removed."""
    ran = python("""
import os, sys
for path in ["/usr/x", "/x", "/dev/x", "/tools/x", "/packages/x", os.__file__, sys.executable,
             "/proc/sys/kernel/hostname", "/sandbox/launcher.py"]:
    try:
        open(path, "a").close()
        print("wrote", path)
    except OSError:
        pass
try:
    os.unlink("/sandbox/launcher.py")
    print("removed")
except OSError:
    pass
for path in ["x", "/tmp/x", "/dev/shm/x"]:
    open(path, "w").close()
print("end")
""")
    assert ran.stdout == "end\n"


@confined
def test_a_tool_module_is_read_only() -> None:
    """The agent's code can import a tool and read it, and not change it."""
    source = """
import os, sys
sys.path.insert(0, "/tools")
import world
print(world.answer())
for attempt in (lambda: open("/tools/world.py", "w"), lambda: os.remove("/tools/world.py")):
    try:
        attempt()
        print("changed")
    except OSError:
        print("no")
"""
    job = Job(["python", "-c", source], tools={"world.py": "def answer():\n    return 42\n"})
    assert confine.run(job).stdout.split() == ["42", "no", "no"]


@confined
def test_a_fork_bomb_goes_out() -> None:
    """Processes are limited in number, and all of them end with the call."""
    marker = f"memcollab-bomb-{os.getpid()}"
    ran = python(f"""
import os, sys, time
made = 0
while True:
    try:
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)  # {marker}
        made += 1
    except OSError:
        print(made)
        break
""")
    assert 5 < int(ran.stdout) < LIMITS.processes
    assert ran.seconds < 15
    assert (
        marker not in subprocess.run(["ps", "axo", "args"], capture_output=True, text=True).stdout
    )


@confined
def test_an_endless_fork_bomb_ends_at_the_time_limit() -> None:
    """Children that fork on in every generation are ended with the confinement."""
    ran = python(
        "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass",
        seconds=3,
    )
    assert ran.stopped == "time limit of 3 seconds"
    assert ran.seconds < 10


@confined
def test_the_disk_cannot_be_filled() -> None:
    """One file and all files together are limited; the program gets an error it can read."""
    ran = python("""
import errno, os, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
block = bytes(1 << 20)
for folder in ("/work", "/tmp", "/dev/shm"):
    written = 0
    try:
        for number in range(200):
            with open(f"{folder}/{number}", "wb", buffering=0) as file:
                for _ in range(20):
                    written += file.write(block)
    except OSError as error:
        print(errno.errorcode[error.errno], written >> 20)
""")
    for line in ran.stdout.splitlines():
        name, size = line.split()
        assert name in {"ENOSPC", "EFBIG"}
        assert int(size) <= LIMITS.disk_bytes >> 20
    assert len(ran.stdout.splitlines()) == 3


@confined
def test_too_many_files_are_left_out() -> None:
    """A working folder of very many files comes back cut, not never."""
    ran = python("for n in range(3000): open(str(n), 'w').close()")
    assert ran.code == 0
    assert len(ran.files) <= LIMITS.most_files


@confined
@pytest.mark.parametrize("folder", ["/work", "/tmp", "/dev/shm"])
@pytest.mark.parametrize("make", ["open(name, 'w')", "os.mkdir(name)", "os.link('x', name)"])
def test_a_flood_of_files_is_ended(folder: str, make: str) -> None:
    """Empty files, folders and links cost memory of the host that no other limit counts: soon after
    too many of them stand in a writable folder, the program is ended."""
    ran = python(
        f"""
import os, time
os.chdir({folder!r})
open("x", "w").close()
for n in range(150_000):
    name = str(n)
    {make}
    if n % 1000 == 0:
        print(n, flush=True)
time.sleep(30)
""",
        standing_files=2000,
    )
    assert ran.stopped == "file limit of 2000 files"
    assert ran.seconds < 15
    assert 1000 <= int(ran.stdout.split()[-1]) < 120_000


@confined
def test_files_that_are_removed_again_count_nothing() -> None:
    """What is limited is what stands at one time, of all writable folders together."""
    ran = python(
        """
import os, time
for n in range(5000):
    open("/tmp/x", "w").close()
    os.unlink("/tmp/x")
time.sleep(0.3)
print("end", flush=True)
for folder in ("/work", "/tmp", "/dev/shm"):
    for n in range(40):
        open(f"{folder}/{n}", "w").close()
time.sleep(5)
""",
        standing_files=100,
    )
    assert (ran.stdout, ran.stopped) == ("end\n", "file limit of 100 files")


@confined
def test_memory_of_one_process_is_limited() -> None:
    """A program that takes ever more memory gets a MemoryError."""
    ran = python("x = []\nwhile True: x.append(bytearray(1 << 24))")
    assert "MemoryError" in ran.stderr


@confined
def test_memory_of_all_processes_together_is_limited() -> None:
    """Many processes, each within its own limit, are ended when they take too much together."""
    ran = python(
        """
import os, threading, time
def spread():
    for _ in range(12):
        if os.fork() == 0:
            x = bytearray(os.urandom(1 << 20) * 60)
            time.sleep(30)
            os._exit(0)
threading.Thread(target=spread).start()
time.sleep(30)
""",
        memory_bytes=300 << 20,
    )
    assert ran.stopped == "memory limit of 300 MB"


@confined
def test_memory_that_no_limit_counts_cannot_be_had() -> None:
    """Files in memory, shared segments, new namespaces and mounts are refused."""
    ran = python("""
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
def refused(result):
    print("no" if result == -1 and ctypes.get_errno() == 1 else "yes")
refused(libc.memfd_create(b"x", 0))
refused(libc.shmget(0, 1 << 20, 0o1600))
refused(libc.unshare(0x10000000))
refused(libc.unshare(0x00020000))
refused(libc.mount(b"x", b"/tmp", b"tmpfs", 0, None))
""")
    assert ran.stdout.split() == ["no"] * 5


@confined
def test_time_is_limited_by_the_clock_and_by_the_processor() -> None:
    """Sleeping ends at the one limit, spinning at the other."""
    assert python("import time; time.sleep(60)", seconds=1).stopped == "time limit of 1 seconds"
    ran = python("while True: pass", cpu_seconds=1)
    assert ran.code in {128 + 9, 128 + 24}


@confined
def test_output_is_limited() -> None:
    """A program that prints without end is ended, and what was kept is bounded."""
    ran = python("while True: print('x' * 10000)", output_bytes=100_000)
    assert ran.stopped == "output limit of 100000 bytes"
    assert len(ran.stdout) == 100_000


@confined
def test_nothing_outlives_the_call(tmp_path: Path) -> None:
    """A daemon that left session and parent is gone when the call returns."""
    marker = f"memcollab-daemon-{os.getpid()}"
    ran = python(f"""
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.closerange(0, 100)
        os.execvp("python", ["python", "-c", "import time; time.sleep(300)", "{marker}"])
    os._exit(0)
time.sleep(0.5)
print("end")
""")
    assert ran.stdout == "end\n"
    assert ran.seconds < 10
    assert (
        marker not in subprocess.run(["ps", "axo", "args"], capture_output=True, text=True).stdout
    )


@confined
def test_it_ends_with_its_parent(tmp_path: Path) -> None:
    """When the process that called is killed, so is what it called."""
    marker = f"memcollab-orphan-{os.getpid()}"
    caller = f"""
from memcollab.bench.confine import Job, run
run(Job(["python", "-c", "import time; time.sleep(15)", "{marker}"]))
"""
    process = subprocess.Popen([sys.executable, "-c", caller])
    assert _within(10, lambda: marker in _running(excluding=process.pid))
    process.kill()
    process.wait()
    assert _within(10, lambda: marker not in _running())


def _running(excluding: int = -1) -> str:
    listed = subprocess.run(["ps", "axo", "pid,args"], capture_output=True, text=True).stdout
    return "\n".join(
        line for line in listed.splitlines() if line.split(maxsplit=1)[0] != str(excluding)
    )


def _within(seconds: float, holds: object) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():  # type: ignore[operator]
            return True
        time.sleep(0.1)
    return False


@confined
def test_killing_the_launcher_loses_the_runs_own_files_and_nothing_else() -> None:
    """Code that kills what it can only ends its own run; the files are as before."""
    source = "import os, signal; open('new', 'w').close(); os.kill(-1, signal.SIGKILL)"
    ran = confine.run(Job(["python", "-c", source], files={"old": b"1"}, limits=LIMITS))
    assert ran.code != 0
    assert ran.files in ({"old": b"1"}, {})


@confined
def test_a_call_can_be_ended_from_another_thread() -> None:
    """Cancelling an evaluation ends the code that it waits for."""
    stop = threading.Event()
    threading.Timer(0.5, stop.set).start()
    ran = confine.run(Job(["python", "-c", "import time; time.sleep(60)"]), stop=stop)
    assert ran.stopped == "cancelled"
    assert ran.seconds < 10


@confined
def test_it_has_no_privileges() -> None:
    """The user is nobody's, without capabilities, and cannot gain any."""
    ran = python("""
import os
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines())
print(os.getuid() != 0 or os.stat("/proc/1").st_uid, status["CapEff"], status["NoNewPrivs"])
try:
    os.setuid(0)
    print("root")
except OSError:
    print("no")
""")
    assert ran.stdout.splitlines()[0].endswith("0000000000000000 1")
    assert ran.stdout.splitlines()[1] == "no"


@confined
def test_only_the_named_packages_are_offered() -> None:
    """The host's installed packages are hidden, so that every machine offers the same."""
    source = """
import importlib.util, sys
sys.path.append("/packages")
print([name for name in ("sympy", "numpy", "pydantic", "pip", "memcollab", "yaml")
       if importlib.util.find_spec(name)])
"""
    assert python(source).stdout == "['sympy', 'numpy']\n"


@confined
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become an ordinary user for a test")
@pytest.mark.skipif(not os.access("/usr/bin/python3", os.X_OK), reason="needs a system Python")
def test_an_ordinary_user_is_confined_as_well() -> None:
    """Without root the same walls stand, by a user namespace."""
    recent = "import sys; sys.exit(sys.version_info < (3, 11))"
    if subprocess.run(["/usr/bin/python3", "-c", recent]).returncode:
        pytest.skip("the system's Python is too old")
    packages = [path for path in sys.path if path.endswith("site-packages")]
    source = """
import os, time
try:
    while os.fork():
        pass
    time.sleep(9)
except OSError:
    print("bomb out")
    print(os.path.exists("/etc"))
"""
    caller = f"""
from memcollab.bench.confine import Job, check, run
check("bubblewrap")
print(run(Job(["python", "-c", {source!r}], packages=())).stdout)
"""
    path = os.pathsep.join([str(Path(confine.__file__).parents[2]), *packages])
    ran = subprocess.run(
        ["/usr/bin/python3", "-B", "-c", caller],
        user=65534,
        group=65534,
        extra_groups=[],
        env={"PYTHONPATH": path, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    if "No module named" in ran.stderr or "Permission denied" in ran.stderr:
        pytest.skip("another user cannot read this installation")
    assert ran.stdout.split("\n")[:2] == ["bomb out", "False"], ran.stderr


def test_a_missing_bubblewrap_is_said_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing runs unconfined by accident."""
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(SandboxError, match="apt-get install bubblewrap"):
        confine.run(Job(["true"]))


def test_a_bubblewrap_that_cannot_confine_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What bubblewrap itself says is in the message."""
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\necho 'No permissions to create new namespace' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda name: str(fake))
    confine.check.cache_clear()
    with pytest.raises(SandboxError, match="No permissions to create new namespace"):
        confine.check("bubblewrap")
    confine.check.cache_clear()


def test_a_machine_that_shows_no_children_is_said_at_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where memory would count as none, because /proc does not list the processes below another,
    nothing is run."""
    monkeypatch.setattr(watch, "_children", lambda pid: Path(f"/proc/{pid}/no-such").read_text())
    confine.check.cache_clear()
    with pytest.raises(SandboxError, match=r"does not keep its memory limit.*CONFIG_PROC_CHILDREN"):
        confine.check("none")
    monkeypatch.undo()
    confine.check("none")


@confined
def test_a_machine_that_shows_no_mounts_is_said_at_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same where the files inside cannot be counted."""
    monkeypatch.setattr(watch, "_standing_files", lambda pid, writable: 0)
    confine.check.cache_clear()
    with pytest.raises(SandboxError, match=r"does not keep its file limit.*/proc/PID/root"):
        confine.check("bubblewrap")
    monkeypatch.undo()
    confine.check("bubblewrap")


def test_an_unknown_confinement_is_refused() -> None:
    """A misspelt name does not fall back to anything."""
    with pytest.raises(UsageError, match="bubblewrap, none"):
        confine.run(Job(["true"]), "docker")  # type: ignore[arg-type]


def test_without_confinement_the_same_job_runs_within_limits() -> None:
    """Files, tools, time and output are handled alike; only the walls are missing."""
    source = "import world; print(world.answer()); open('out', 'w').write('x')"
    command = ["python", "-c", f"import sys; sys.path[:0] = sys.argv[1:]; {source}", "/tools/"]
    ran = confine.run(Job(command, tools={"world.py": "def answer(): return 42"}), "none")
    assert (ran.stdout, ran.files) == ("42\n", {"out": b"x"})
    slow = Job(["python", "-c", "import time; time.sleep(60)"], limits=Limits(seconds=1))
    assert confine.run(slow, "none").stopped == "time limit of 1 seconds"


def test_a_command_that_is_not_there_fails_like_in_a_shell() -> None:
    """Exit code 127 and the name."""
    ran = confine.run(Job(["no-such-program"]), "none")
    assert ran.code == 127
    assert "no-such-program" in ran.stderr


@pytest.mark.parametrize(
    ("uid_map", "lowest", "highest"),
    [
        ("         0          0 4294967295\n", 2**30 - 1, 2**31 - 1),
        ("0 1000 1\n1 100000 65536\n", 32769, 65536),
    ],
)
def test_root_takes_an_id_that_nobody_has(uid_map: str, lowest: int, highest: int) -> None:
    """The id comes from the upper half of what is mapped."""
    found = {confine.spare_uid(uid_map, turn) for turn in range(5)}
    assert len(found) == 5
    assert all(found_id is not None and lowest <= found_id <= highest for found_id in found)


def test_a_root_that_maps_no_ids_is_an_ordinary_user() -> None:
    """In a rootless namespace there is nobody to become."""
    assert confine.spare_uid("0 1000 1\n", 0) is None
    assert confine.spare_uid("", 0) is None


@given(st.integers(0, 2**32 - 1), st.integers(1, 2**32 - 1), st.integers(0, 2**40))
def test_a_spare_id_is_always_a_mapped_one(first: int, count: int, turn: int) -> None:
    """Whatever the map, the id is inside it and below 2^31."""
    found = confine.spare_uid(f"{first} 0 {count}", turn)
    assert found is None or first < found < min(first + count, 2**31)
