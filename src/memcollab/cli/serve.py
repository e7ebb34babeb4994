"""``memcollab serve``."""

from __future__ import annotations

from typing import Annotated

import typer

from memcollab.cli import options


def serve(
    bank: options.BankPath = None,
    banks: options.BanksPath = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; any but loopback needs a key.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8080,
    reuse_port: Annotated[
        bool,
        typer.Option("--reuse-port", help="Share the port with servers that say so, too."),
    ] = False,
    require_key: Annotated[
        bool,
        typer.Option(
            "--require-key", help="Ask for a key on loopback, too; behind a proxy always say it."
        ),
    ] = False,
    writer: options.Writer = None,
    writer_url: options.WriterUrl = None,
    recipe: options.RecipeName = None,
    max_body: Annotated[int, typer.Option(min=1, help="MiB of a request.")] = 8,
    max_upload: Annotated[int, typer.Option(min=1, help="MiB of an upload or import.")] = 1024,
    rate: Annotated[
        int, typer.Option(min=0, help="Requests a second, of a key or address; 0 is no limit.")
    ] = 1000,
    upstream: Annotated[
        str | None,
        typer.Option(help="OpenAI-compatible server for /proxy/v1; its address ends in /v1."),
    ] = None,
    max_proxied: Annotated[
        int, typer.Option(min=1, help="MiB of a request that passes the proxy.")
    ] = 512,
    record: Annotated[
        bool, typer.Option("--record/--no-record", help="Record the runs that pass the proxy.")
    ] = True,
) -> None:
    """Serve a bank, or a folder or database of banks, over HTTP."""
    from memcollab import settings
    from memcollab.serve.opening import Limits, open_service, run

    chosen = settings.load(
        bank=bank, banks=banks, writer=writer, writer_url=writer_url, recipe=recipe
    )
    limits = Limits(max_body * 2**20, max_upload * 2**20, rate, max_proxied * 2**20)
    service = open_service(
        chosen, limits=limits, require_key=require_key, upstream=upstream, record_runs=record
    )
    run(service, host, port, reuse_port=reuse_port)
