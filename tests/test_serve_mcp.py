"""The MCP door, asked by the SDK's own client over both of its transports."""

from __future__ import annotations

import asyncio
import io
import os
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import httpx2
import orjson
import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, METHOD_NOT_FOUND, ListResourcesResult
from tests.serving import LISTEN, LISTENS, service_over, serving
from tests.test_collab import WRITER, write_runs

from memcollab import MemCollab
from memcollab.bank import Bank
from memcollab.records import Category, Constraint
from memcollab.serve import mcp
from memcollab.serve.service import Service

TASK = "Count the hands that hold two kings."
TOOLS = {"recall", "report_outcome", "submit_run", "show_constraint"}
Connect = Callable[[], Any]


@pytest.fixture
def bank(tmp_path: Path) -> Path:
    with MemCollab(tmp_path / "team.db") as memory:
        memory.learn(write_runs(tmp_path), writer=WRITER)
    return tmp_path / "team.db"


def started(bank: Path | str) -> StdioServerParameters:
    """The SDK hands a process little of the environment; it must import what is tested here."""
    return StdioServerParameters(
        command=sys.executable,
        args=["-m", "memcollab.cli", "mcp", "--bank", str(bank)],
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
    )


@asynccontextmanager
async def over_http(url: str, key: str | None = None, mode: str = "auto") -> AsyncIterator[Client]:
    """A client of the door at that address, with a key as any client sends one."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with httpx2.AsyncClient(headers=headers, timeout=60) as http:
        transport = streamable_http_client(f"{url}/mcp", http_client=http)
        async with Client(transport, mode=mode) as client:
            yield client


@pytest.fixture(params=["stdio", "http", "http with a handshake"])
def connect(request: pytest.FixtureRequest, bank: Path) -> Iterator[Connect]:
    """A function that opens a client, over each transport and generation of the protocol."""
    if request.param == "stdio":
        yield lambda: Client(started(bank))
        return
    mode = "legacy" if request.param.endswith("handshake") else "auto"
    with serving(service_over(bank)) as url:
        yield lambda: over_http(url, mode=mode)


def run(ask: Callable[[Client], Awaitable[Any]], connect: Connect) -> Any:
    async def go() -> Any:
        async with connect() as client:
            return await ask(client)

    return asyncio.run(go())


def test_a_task_from_recall_to_outcome(connect: Connect, bank: Path) -> None:
    """Recall, show, report, submit; what was said is in the bank afterwards."""
    with Bank.open(bank) as opened:
        [known, *_] = opened.constraints()

    async def ask(client: Client) -> str:
        tools = {tool.name for tool in (await client.list_tools()).tools}
        assert tools == TOOLS
        found = await client.call_tool("recall", {"task": TASK, "agent": "m"})
        id: str = found.structured_content["recall_id"]
        shown = await client.call_tool("show_constraint", {"constraint_id": known.id})
        assert shown.structured_content["sources"]
        read = await client.read_resource(f"memcollab://constraints/{known.id}")
        assert known.id in read.contents[0].text
        await client.call_tool("report_outcome", {"recall_id": id, "solved": True})
        steps = [{"role": "assistant", "content": "4"}]
        given = {"task": "2+2?", "agent": "m", "steps": steps, "solved": True}
        report = await client.call_tool("submit_run", given)
        assert report.structured_content["seen"] == 1
        prompt = await client.get_prompt("begin_task", {"task": TASK})
        assert TASK in prompt.messages[0].content.text
        return id

    id = run(ask, connect)
    with Bank.open(bank) as opened:
        assert opened.recall(id).task.text == TASK
        assert [judged.outcome.recall_id for judged in opened.outcomes()] == [id]


def test_categories_and_constraints_are_listed_and_can_be_read(
    connect: Connect, bank: Path
) -> None:
    """What is listed is what is active now; each address that is given can be read."""
    with Bank.open(bank) as opened:
        [gone, *rest] = opened.constraints()
        opened.set_status(gone.id, "retired", actor="ada")

    async def ask(client: Client) -> None:
        listed = {str(one.uri): one for one in (await client.list_resources()).resources}
        addresses = {f"memcollab://constraints/{one.id}" for one in rest}
        assert {uri for uri in listed if "/constraints/" in uri} == addresses
        categories = {uri for uri in listed if "/categories/" in uri}
        assert len(categories) == len({one.category.name for one in rest})
        for uri in listed:
            (content,) = (await client.read_resource(uri)).contents
            assert content.mime_type == "application/json"
            assert any(one.id in content.text for one in rest)
        templates = (await client.list_resource_templates()).resource_templates
        assert {one.uri_template for one in templates} == {
            "memcollab://constraints/{id}",
            "memcollab://categories/{name}",
        }
        with pytest.raises(Exception, match="no constraint 'c-nothing'"):
            await client.read_resource("memcollab://constraints/c-nothing")

    run(ask, connect)


# ---- a bank of more than one page


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1,400 constraints besides those that were learned; the only one of geometry comes last."""
    folder = tmp_path_factory.mktemp("large")
    made = [
        Constraint(
            when=f"there are {n} terms",
            enforce="adding them in pairs",
            avoid="haste",
            category=Category.parse("algebra" if n < 1_400 else "geometry"),
        )
        for n in range(1_600)
    ]
    rare = max(made[1_400:], key=lambda one: one.id)
    made = [*made[:1_399], rare]
    lines: list[dict[str, Any]] = [
        {"format": "memcollab-bank", "records": 1, "runs": False, "version": 1}
    ]
    lines += [{"type": "constraint", "id": o.id, **o.model_dump(mode="json")} for o in made]
    with MemCollab(folder / "team.db") as memory:
        memory.learn(write_runs(folder), writer=WRITER)
        memory.import_(io.BytesIO(b"\n".join(map(orjson.dumps, lines))), trusted=True)
    return folder / "team.db"


async def pages(client: Client) -> list[ListResourcesResult]:
    """Every page, as any client walks them."""
    found = [await client.list_resources()]
    while (cursor := found[-1].next_cursor) is not None:
        found.append(await client.list_resources(cursor=cursor))
    return found


@pytest.mark.parametrize("door", ["stdio", "stdio before a URL", "http", "http with a handshake"])
def test_every_constraint_is_listed_page_by_page(
    large: Path, door: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each once, in the order of the bank; all categories on the first page, even one whose only
    constraint is on the last; a cursor from elsewhere is an error that says what to do."""
    with Bank.open(large) as opened:
        held = [one.id for one in opened.constraints(status="active")]
    sizes = [1000, 403]
    if door.startswith("http"):  # served by this process, so a third page need not be so long
        monkeypatch.setattr(mcp, "MOST_BEHIND", 300)
        sizes = [1000, 300, 103]

    async def ask(client: Client) -> None:
        found = await pages(client)
        uris = [[str(one.uri) for one in page.resources] for page in found]
        listed = [uri for page in uris for uri in page if "/constraints/" in uri]
        assert [uri.rpartition("/")[2] for uri in listed] == held
        assert [sum("/constraints/" in uri for uri in page) for page in uris] == sizes
        categories = [uri.rpartition("/")[2] for uri in uris[0] if "/categories/" in uri]
        assert {"algebra", "geometry", "programming"} <= set(categories)
        assert not any("/categories/" in uri for page in uris[1:] for uri in page)
        rare = await client.read_resource("memcollab://categories/geometry")
        assert any(one.name in rare.contents[0].text for one in found[-1].resources)
        for wrong in ("no-cursor", "", "W10", found[0].next_cursor[:-9]):
            with pytest.raises(MCPError, match=r"is no cursor.*Next: leave it out") as refused:
                await client.list_resources(cursor=wrong)
            assert refused.value.error.code == INVALID_PARAMS

    with ExitStack() as stack:
        if door == "stdio":
            run(ask, lambda: Client(started(large)))
            return
        url = stack.enter_context(serving(service_over(large)))
        if door == "stdio before a URL":
            run(ask, lambda: Client(started(url)))
        else:
            mode = "legacy" if door.endswith("handshake") else "auto"
            run(ask, lambda: over_http(url, mode=mode))


def test_what_changes_between_two_pages_moves_nothing(large: Path, tmp_path: Path) -> None:
    """What is retired from the first page while somebody reads leaves no gap in the second."""
    path = shutil.copy(large, tmp_path / "team.db")
    with Bank.open(path) as opened:
        held = [one.id for one in opened.constraints(status="active")]

    async def ask(client: Client) -> None:
        first = await client.list_resources()
        with Bank.open(path) as opened:
            for id in held[:3]:
                opened.set_status(id, "retired", actor="ada")
        second = await client.list_resources(cursor=first.next_cursor)
        assert [one.name for one in second.resources] == held[1000:]

    with serving(service_over(path)) as url:
        run(ask, lambda: over_http(url))


def test_descriptions_are_one_line_each(connect: Connect) -> None:
    """A model pays for every space in them."""

    async def ask(client: Client) -> None:
        tools = (await client.list_tools()).tools
        prompts = (await client.list_prompts()).prompts
        templates = (await client.list_resource_templates()).resource_templates
        for one in (*tools, *prompts, *templates):
            assert one.description == " ".join(one.description.split()), one.name

    run(ask, connect)


def test_errors_name_the_next_step_and_input_is_bounded(connect: Connect) -> None:
    """An unknown id, an endless task, message, call or run are errors that a model can act on."""

    async def ask(client: Client) -> None:
        unknown = await client.call_tool("report_outcome", {"recall_id": "no", "solved": True})
        assert unknown.is_error
        assert "Next:" in unknown.content[0].text
        endless = await client.call_tool("recall", {"task": "x" * 100_001})
        assert endless.is_error
        assert "100000" in endless.content[0].text

        called = {"name": "look", "arguments": "x" * 100_000}
        for step in ({"content": "x" * 100_001}, {"content": "x", "tool_calls": [called]}):
            given = {"task": "t", "agent": "m", "steps": [{"role": "assistant", **step}]}
            refused = await client.call_tool("submit_run", given)
            assert refused.is_error
            assert "Valid: up to 100000" in refused.content[0].text
        steps = [{"role": "assistant", "content": "x" * 100_000}] * 41
        refused = await client.call_tool("submit_run", {"task": "t", "agent": "m", "steps": steps})
        assert refused.is_error
        assert "Valid: up to 4000000" in refused.content[0].text

    run(ask, connect)


# ---- keys, tenants and pages


@pytest.fixture
def two(tmp_path: Path, bank: Path) -> Iterator[tuple[str, Service]]:
    """A server of two banks that asks for keys."""
    exported = io.BytesIO()
    with Bank.open(bank) as opened:
        opened.export(exported)
    (tmp_path / "banks").mkdir()
    service = service_over(tmp_path / "banks", many=True, require_key=True)
    for name in ("ours", "theirs"):
        service.banks.create(name)
        with service.banks.memory(name) as memory:
            memory.import_(io.BytesIO(exported.getvalue()), trusted=True)
    with serving(service) as url:
        yield url, service


def test_a_key_opens_its_scopes_and_its_bank(two: tuple[str, Service]) -> None:
    """Every tool and resource, with a key that lacks the scope, and with another bank's ids."""
    url, service = two
    reader, _ = service.keyring.create("ada", ["recall"], "ours")
    writer, _ = service.keyring.create("bob", ["record"], "ours")
    theirs, _ = service.keyring.create("eve", ["recall", "record"], "theirs")

    async def ask() -> None:
        async with over_http(f"{url}/theirs", theirs) as client:
            found = await client.call_tool("recall", {"task": "secretly " + TASK})
            secret = found.structured_content["recall_id"]
        step = {"role": "assistant", "content": "4"}
        run = {"task": "2+2?", "agent": "m", "steps": [step], "solved": True}
        outcome = {"recall_id": secret, "solved": True}
        async with over_http(url, reader) as client:  # the key's own bank is meant
            assert not (await client.call_tool("recall", {"task": TASK})).is_error
            assert (await client.list_resources()).resources
            for name, given in (("report_outcome", outcome), ("submit_run", run)):
                refused = await client.call_tool(name, given)
                assert refused.is_error
                assert "lacks the scope 'record'" in refused.content[0].text
        async with over_http(f"{url}/ours", writer) as client:
            for name, given in (
                ("recall", {"task": TASK}),
                ("show_constraint", {"constraint_id": "c-"}),
            ):
                refused = await client.call_tool(name, given)
                assert refused.is_error
                assert "lacks the scope 'recall'" in refused.content[0].text
            with pytest.raises(Exception, match="lacks the scope 'recall'"):
                await client.list_resources()
            with pytest.raises(Exception, match="lacks the scope 'recall'"):
                await client.read_resource("memcollab://categories/programming")
            missing = await client.call_tool("report_outcome", outcome)
            assert missing.is_error
            assert secret in missing.content[0].text
            assert "secretly" not in missing.content[0].text
            assert not (await client.call_tool("submit_run", run)).is_error

    asyncio.run(ask())
    with service.banks.memory("theirs") as memory:
        assert memory.bank.stats().outcomes == {}
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    for path, key, status in (
        ("/theirs/mcp", reader, 403),
        ("/nowhere/mcp", reader, 403),
        ("/mcp", "mc_no_key", 401),
        ("/ours/mcp", None, 401),
    ):
        headers = {"Accept": "application/json, text/event-stream"}
        if key:
            headers["Authorization"] = f"Bearer {key}"
        assert httpx.post(url + path, json=call, headers=headers).status_code == status, path


def test_changes_are_in_the_audit_by_their_tool_and_questions_are_not(
    two: tuple[str, Service],
) -> None:
    """Who, when and what, as for any other door; a refused change changed nothing."""
    url, service = two
    key, made = service.keyring.create("ada", ["recall", "record"], "ours")
    root, _ = service.keyring.create("root", ["admin"])

    async def ask() -> None:
        async with over_http(url, key) as client:
            found = await client.call_tool("recall", {"task": TASK})
            id = found.structured_content["recall_id"]
            await client.list_resources()
            await client.call_tool("report_outcome", {"recall_id": id, "solved": True})
            await client.call_tool("report_outcome", {"recall_id": "no", "solved": True})

    asyncio.run(ask())
    bearer = {"Authorization": f"Bearer {root}"}
    rows = httpx.get(f"{url}/ours/v1/audit", headers=bearer).json()
    assert [(row["key"], row["action"]) for row in rows] == [
        (None, "key create"),
        (made.id, "MCP report_outcome"),
    ]


def test_a_page_of_another_origin_may_not_call(two: tuple[str, Service], bank: Path) -> None:
    """With a key it is refused for its Origin, without one for the key; a program is neither."""
    url, service = two
    key, _ = service.keyring.create("ada", ["recall"], "ours")
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    headers = {
        "Authorization": f"Bearer {key}",
        "Accept": "application/json, text/event-stream",
    }
    for origin in ("https://evil.example", "null", "http://127.0.0.1:1", "http://[::1"):
        refused = httpx.post(f"{url}/mcp", json=call, headers={**headers, "Origin": origin})
        assert refused.status_code == 403, origin
        assert refused.json()["type"].endswith(":AccessDenied")
    assert httpx.post(f"{url}/mcp", json=call, headers={**headers, "Origin": url}).is_success
    with serving(service_over(bank)) as open_:
        rebound = {"Host": "evil.example", "Origin": "http://evil.example"}
        del headers["Authorization"]
        assert httpx.post(f"{open_}/mcp", json=call, headers=headers | rebound).status_code == 401
        host = {"Host": "evil.example"}
        assert httpx.post(f"{open_}/mcp", json=call, headers=headers | host).status_code == 401
        assert httpx.post(f"{open_}/mcp", json=call, headers=headers).is_success
        own = {"Origin": open_}
        assert httpx.post(f"{open_}/mcp", json=call, headers=headers | own).is_success
        for method in ("GET", "DELETE"):  # a stream would hold up the end of the server
            refused = httpx.request(method, f"{open_}/mcp", headers=headers)
            assert refused.status_code == 405
            assert refused.headers["content-type"] == "application/problem+json"
        assert 'route="/mcp"' in httpx.get(f"{open_}/metrics").text


def test_nothing_is_pushed_so_no_stream_is_opened(connect: Connect) -> None:
    """Whoever would listen for changes is told at once that this is not served; so it is not
    announced either."""

    async def ask(client: Client) -> None:
        announced = client.server_capabilities
        for each in (announced.tools, announced.prompts, announced.resources):
            assert each is not None
            assert not each.list_changed
        assert not announced.resources.subscribe

    run(ask, connect)


def test_a_stream_is_refused_in_one_answer(two: tuple[str, Service]) -> None:
    """A key of any scope gets an error, and no stream that the end of a server would wait for."""
    url, service = two
    key, _ = service.keyring.create("ada", ["record"], "ours")
    headers = {**LISTENS, "Authorization": f"Bearer {key}"}
    answer = httpx.post(f"{url}/mcp", json=LISTEN, headers=headers, timeout=5)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["error"]["code"] == METHOD_NOT_FOUND


def test_calls_side_by_side_are_all_answered(two: tuple[str, Service]) -> None:
    """Forty at once over one server, each with the recall that it asked for."""
    url, service = two
    key, _ = service.keyring.create("ada", ["recall"], "ours")

    async def ask() -> set[str]:
        async with over_http(url, key) as client:
            calls = [client.call_tool("recall", {"task": f"{TASK} {n}"}) for n in range(40)]
            found = await asyncio.gather(*calls)
        return {each.structured_content["recall_id"] for each in found}

    ids = asyncio.run(ask())
    assert len(ids) == 40
    with service.banks.memory("ours") as memory:
        assert {memory.bank.recall(id).task.text for id in ids} == {
            f"{TASK} {n}" for n in range(40)
        }
