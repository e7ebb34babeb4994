"""`memcollab.bench.sandbox`: the confinement behind Inspect's own interface."""

from __future__ import annotations

import anyio
import pytest
from inspect_ai.util import OutputLimitExceededError, SandboxUserUnsupportedError

from memcollab.bench.confine import WORK
from memcollab.bench.sandbox import PROGRAM, Bubblewrap, Confined, Unconfined, python_command
from memcollab.errors import SandboxError


@pytest.fixture(params=[Bubblewrap, Unconfined])
def box(request: pytest.FixtureRequest) -> Confined:
    """A fresh sandbox of either kind."""
    from memcollab.bench import confine

    kind: type[Confined] = request.param
    try:
        confine.check(kind.kind)
    except SandboxError as error:
        pytest.skip(str(error))
    return kind()


async def _program(box: Confined, source: str) -> tuple[int, str, str]:
    await box.write_file(PROGRAM, source)
    ran = await box.run(python_command())
    return ran.code, ran.stdout, ran.stderr


def test_files_are_written_read_and_kept_between_calls(box: Confined) -> None:
    """Text and bytes, relative and absolute, from outside and from inside."""

    async def go() -> None:
        await box.write_file("data/a.txt", "text\r\n")
        await box.write_file(f"{WORK}/b.bin", b"\xff\x00")
        result = await box.exec(["sh", "-c", "cat data/a.txt; echo made > made.txt"])
        assert (result.success, result.stdout) == (True, "text\r\n")
        assert await box.read_file("made.txt") == "made\n"
        assert await box.read_file(f"{WORK}/data/a.txt") == "text\r\n"
        assert await box.read_file("b.bin", text=False) == b"\xff\x00"

    anyio.run(go)


def test_what_cannot_be_read_raises_what_inspect_expects(box: Confined) -> None:
    """Missing, a folder, not text, outside: each its own error."""

    async def go() -> None:
        await box.exec(["mkdir", "folder"])
        await box.write_file("bytes", b"\xff")
        with pytest.raises(FileNotFoundError):
            await box.read_file("absent")
        with pytest.raises(IsADirectoryError):
            await box.read_file("folder")
        with pytest.raises(UnicodeDecodeError):
            await box.read_file("bytes")
        for outside in ("/etc/passwd", "../x"):
            with pytest.raises(PermissionError):
                await box.read_file(outside)
            with pytest.raises(PermissionError):
                await box.write_file(outside, "x")

    anyio.run(go)


def test_limits_raise_what_inspect_expects(box: Confined) -> None:
    """Time-outs and floods are errors with their own names; other users there are none."""

    async def go() -> None:
        with pytest.raises(TimeoutError):
            await box.exec(["sleep", "30"], timeout=1)
        with pytest.raises(OutputLimitExceededError):
            await box.exec(["yes"])
        with pytest.raises(SandboxUserUnsupportedError):
            await box.exec(["true"], user="root")
        result = await box.exec(["sh", "-c", "echo out; echo err >&2; exit 3"])
        assert (result.returncode, result.stdout, result.stderr) == (3, "out\n", "err\n")

    anyio.run(go)


def test_input_environment_and_folder_are_given(box: Confined) -> None:
    """The rest of Inspect's interface."""

    async def go() -> None:
        await box.exec(["mkdir", "sub"])
        result = await box.exec(
            ["sh", "-c", "cat; echo $WORD; basename $PWD"],
            input="in\n",
            env={"WORD": "word"},
            cwd="sub",
        )
        assert result.stdout == "in\nword\nsub\n"

    anyio.run(go)


def test_a_program_shows_what_its_last_line_comes_to(box: Confined) -> None:
    """As a notebook would; None and statements show nothing."""

    async def go() -> None:
        assert await _program(box, "x = 6\nx * 7") == (0, "42\n", "")
        assert await _program(box, "print('a')") == (0, "a\n", "")
        assert await _program(box, "'text'") == (0, "'text'\n", "")

    anyio.run(go)


def test_a_program_behaves_as_a_script(box: Confined) -> None:
    """It is ``__main__``; its errors show its lines; it imports tools and the offered packages."""

    async def go() -> None:
        await box.write_file("/tools/world.py", "def answer():\n    return 42\n")
        source = "import world, sympy\nif __name__ == '__main__':\n    print(world.answer())"
        assert await _program(box, source) == (0, "42\n", "")
        code, _, stderr = await _program(box, "def f():\n    return 1 / 0\nf()")
        assert code == 1
        assert "return 1 / 0" in stderr
        assert "SyntaxError" in (await _program(box, "print("))[2]

    anyio.run(go)


def test_a_file_in_the_working_folder_cannot_pose_as_a_module(box: Confined) -> None:
    """What a run leaves behind is data, to the agent and to the checks."""

    async def go() -> None:
        await box.write_file("json.py", "raise SystemExit('posed')")
        assert await _program(box, "import json; print(json.dumps(1))") == (0, "1\n", "")

    anyio.run(go)


def test_cancelling_ends_the_program(box: Confined) -> None:
    """An evaluation that is cancelled leaves nothing running."""

    async def go() -> None:
        with anyio.move_on_after(1) as scope:
            await box.exec(["sleep", "60"])
        assert scope.cancelled_caught

    anyio.run(go)
