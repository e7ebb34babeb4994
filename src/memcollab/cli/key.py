"""``memcollab key``: who may use a served bank, and for what."""

from __future__ import annotations

from typing import Annotated

import typer

from memcollab.cli import options

app = typer.Typer(help="Keys of a server: make, list, revoke.", no_args_is_help=True)


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Whose key it is; stands in the audit.")],
    scope: Annotated[
        list[str] | None,
        typer.Option(help="recall, record, curate or admin; may be repeated."),
    ] = None,
    for_: Annotated[
        str | None,
        typer.Option("--for", help="Only of the bank of this name, which may be made later."),
    ] = None,
    bank: options.BankPath = None,
    banks: options.BanksPath = None,
    as_json: options.Json = False,
) -> None:
    """Make a key and print it: it is stored nowhere and cannot be shown again."""
    from memcollab.cli import show
    from memcollab.serve.opening import keyring

    with keyring(bank, banks) as keys:
        token, key = keys.create(name, scope or ["recall", "record"], for_, by=options.actor())
    show.key(token, key, as_json=as_json)


@app.command("list")
def list_(
    bank: options.BankPath = None,
    banks: options.BanksPath = None,
    as_json: options.Json = False,
) -> None:
    """List keys, revoked ones too."""
    from memcollab.cli import show
    from memcollab.serve.opening import keyring

    with keyring(bank, banks) as keys:
        show.keys(keys.list(), as_json=as_json)


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="Id of the key, as list shows it.")],
    bank: options.BankPath = None,
    banks: options.BanksPath = None,
    as_json: options.Json = False,
) -> None:
    """Shut a key out, within a second, on every replica."""
    from memcollab.cli import show
    from memcollab.serve.opening import keyring

    with keyring(bank, banks) as keys:
        show.keys([keys.revoke(key_id, by=options.actor())], as_json=as_json)
