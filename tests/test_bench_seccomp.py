"""`memcollab.bench.seccomp`: the filter, interpreted as the kernel would."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memcollab.bench import seccomp

AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
ALLOW, KILL, EPERM, ENOSYS = 0x7FFF0000, 0x80000000, 0x00050001, 0x00050026


def decide(program: bytes, number: int, architecture: int, argument: int = 0) -> int:
    """Run classic BPF over one system call."""
    data = {0: number, 4: architecture, 16: argument}
    instructions = list(struct.iter_unpack("=HBBI", program))
    at, loaded = 0, 0
    while True:
        code, if_true, if_false, value = instructions[at]
        at += 1
        if code == 0x06:
            return int(value)
        if code == 0x20:
            loaded = data[value]
            continue
        holds = {0x15: loaded == value, 0x35: loaded >= value, 0x45: bool(loaded & value)}[code]
        at += if_true if holds else if_false


@pytest.mark.parametrize(
    ("machine", "name", "number", "decision"),
    [
        ("x86_64", "read", 0, ALLOW),
        ("x86_64", "mount", 165, EPERM),
        ("x86_64", "unshare", 272, EPERM),
        ("x86_64", "memfd_create", 319, EPERM),
        ("x86_64", "fsopen", 430, EPERM),
        ("x86_64", "clone3", 435, ENOSYS),
        ("aarch64", "read", 63, ALLOW),
        ("aarch64", "mount", 40, EPERM),
        ("aarch64", "unshare", 97, EPERM),
    ],
)
def test_calls_are_decided_by_number(machine: str, name: str, number: int, decision: int) -> None:
    """What computes is allowed; what reaches for the kernel's rarer parts is not."""
    assert decide(seccomp.filter_program(machine), number, AUDIT[machine]) == decision


@pytest.mark.parametrize(("machine", "clone"), [("x86_64", 56), ("aarch64", 220)])
def test_clone_makes_processes_and_threads_but_no_namespaces(machine: str, clone: int) -> None:
    """The flags decide."""
    program = seccomp.filter_program(machine)
    threads = 0x003D0F00
    assert decide(program, clone, AUDIT[machine], threads) == ALLOW
    assert decide(program, clone, AUDIT[machine], 17) == ALLOW
    assert decide(program, clone, AUDIT[machine], 0x10000000 | 17) == EPERM


def test_calls_of_another_interface_are_refused() -> None:
    """Other numbers for the same calls do not lead around the filter."""
    program = seccomp.filter_program("x86_64")
    assert decide(program, 0x40000000 + 165, AUDIT["x86_64"]) == EPERM
    assert decide(program, 21, 0x40000003) == KILL


@given(st.sampled_from(seccomp.MACHINES), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_every_call_is_decided(machine: str, number: int, argument: int) -> None:
    """The program ends for every number, inside its own bounds."""
    decision = decide(seccomp.filter_program(machine), number, AUDIT[machine], argument)
    assert decision in {ALLOW, EPERM, ENOSYS}
