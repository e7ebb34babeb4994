"""System calls that model-written code may not make, as a seccomp filter (pure).

Namespaces hide the host; the kernel's own surface stays. The filter takes away what a program that
computes never needs: new namespaces and mounts, files and segments in memory (they would be memory
that no limit counts), other processes' memory, keys, BPF, performance counters, modules, io_uring.
It is the deny list of container engines, short; what it denies fails with EPERM, so that a program
can say so.

``clone3`` fails with ENOSYS: its flags lie in memory, where a filter cannot look, and libraries
then fall back to ``clone``.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import NamedTuple

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data
_ALLOW, _KILL = 0x7FFF0000, 0x80000000
_ERRNO, _EPERM, _ENOSYS = 0x00050000, 1, 38
_X32 = 0x40000000  # calls of another binary interface of x86-64, under other numbers
_NAMESPACES = 0x7E020000  # CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET}
_CLONE3 = 435
# Numbers that are the same everywhere: io_uring, the mount calls of Linux 5.2, memfd_secret.
_COMMON = (425, 426, 427, 428, 429, 430, 431, 432, 433, 442, 447)


class _Machine(NamedTuple):
    audit: int
    clone: int
    denied: Mapping[str, int]


_MACHINES = {
    "x86_64": _Machine(
        0xC000003E,
        56,
        {
            "shmget": 29,
            "msgget": 68,
            "ptrace": 101,
            "syslog": 103,
            "pivot_root": 155,
            "chroot": 161,
            "acct": 163,
            "mount": 165,
            "umount2": 166,
            "swapon": 167,
            "reboot": 169,
            "init_module": 175,
            "quotactl": 179,
            "kexec_load": 246,
            "add_key": 248,
            "request_key": 249,
            "keyctl": 250,
            "unshare": 272,
            "perf_event_open": 298,
            "open_by_handle_at": 304,
            "setns": 308,
            "process_vm_readv": 310,
            "process_vm_writev": 311,
            "finit_module": 313,
            "memfd_create": 319,
            "kexec_file_load": 320,
            "bpf": 321,
            "userfaultfd": 323,
        },
    ),
    "aarch64": _Machine(
        0xC00000B7,
        220,
        {
            "umount2": 39,
            "mount": 40,
            "pivot_root": 41,
            "chroot": 51,
            "quotactl": 60,
            "acct": 89,
            "unshare": 97,
            "kexec_load": 104,
            "init_module": 105,
            "syslog": 116,
            "ptrace": 117,
            "reboot": 142,
            "add_key": 217,
            "request_key": 218,
            "msgget": 186,
            "shmget": 194,
            "keyctl": 219,
            "swapon": 224,
            "perf_event_open": 241,
            "open_by_handle_at": 265,
            "setns": 268,
            "process_vm_readv": 270,
            "process_vm_writev": 271,
            "finit_module": 273,
            "memfd_create": 279,
            "bpf": 280,
            "userfaultfd": 282,
            "kexec_file_load": 294,
        },
    ),
}
MACHINES = tuple(_MACHINES)


def filter_program(machine: str) -> bytes:
    """The filter for a machine (as ``platform.machine()`` names it): classic BPF, as bubblewrap's
    ``--seccomp`` and ``prctl`` take it.

    Raises:
        KeyError: no list for that machine; ``MACHINES`` names those there are.
    """
    known = _MACHINES[machine]
    denied = sorted({*known.denied.values(), *_COMMON})
    # The program ends in four returns; each test jumps to one of them or falls through.
    body: list[tuple[int, int, str, str]] = [
        (_LOAD, _ARCHITECTURE, "", ""),
        (_EQUAL, known.audit, "", "kill"),
        (_LOAD, _NUMBER, "", ""),
        (_AT_LEAST, _X32, "deny", ""),
        *((_EQUAL, number, "deny", "") for number in denied),
        (_EQUAL, _CLONE3, "unknown", ""),
        (_EQUAL, known.clone, "", "allow"),
        (_LOAD, _FIRST_ARGUMENT, "", ""),
        (_ANY_BIT, _NAMESPACES, "deny", "allow"),
    ]
    returns = {
        "allow": _ALLOW,
        "deny": _ERRNO | _EPERM,
        "unknown": _ERRNO | _ENOSYS,
        "kill": _KILL,
    }
    place = {name: len(body) + offset for offset, name in enumerate(returns)}
    program = b""
    for here, (code, value, if_true, if_false) in enumerate(body):
        jumps = [place[label] - here - 1 if label else 0 for label in (if_true, if_false)]
        program += _instruction(code, value, *jumps)
    return program + b"".join(_instruction(_RETURN, value) for value in returns.values())


def _instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)
