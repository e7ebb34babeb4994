"""The bank as a service: one process, one port, any number of doors.

A request passes these, in this order; each is the only one that knows its matter:

    gate      ASGI, around everything: bank, key, rate and size; then log, metrics, audit
    replays   ASGI: the same idempotency key and body get the same answer
    app       ``build_app``: puts the doors together and turns errors into answers
    http      the door ``/v1``, a module for each kind of thing
    mcp       the door of models: over standard input and output, or by ``mcp_http`` at ``/mcp``
    proxy     the door ``/proxy/v1`` of OpenAI clients
    pages     the door ``/pages``: what people look at and decide in a browser
    banks     a bank by its name: opened once, recalled from, its recalls stored in groups
    jobs      learning in the background, to be followed from any replica

and stand on

    places    where banks and ledger are: files, or schemas of PostgreSQL
    ledger    what a server keeps beside its banks: keys, audit, answers given, jobs
    keys      who calls, and what a key opens
    problems  the one table from our errors to HTTP
    watch     logs, metrics, whose trace it is
    run       binds and serves, and stops without losing what it acknowledged

**To add a door**: write a module with a FastAPI router (or an ASGI app), add it to ``DOORS`` in
``app``, and take what the gate found from the request: ``http.caller_of(request, scope)`` and
``http.tenant_of(request)``. Paths below a bank's name (``/team/v1/…``) arrive without it.
"""
