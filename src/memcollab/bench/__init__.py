"""Experiments on Inspect AI (extra ``bench``): several models attempt the same tasks.

    tasks.py     the task file
    replies.py   what a model's message means: code, a final answer, neither (pure)
    agent.py     the agent as an Inspect solver: thought, Python, output; a final answer
    confine.py   one command, confined by bubblewrap; launcher.py starts it inside, watch.py outside
    sandbox.py   the confinement as an Inspect sandbox environment
    judge.py     did it solve the task, and if not, how did it fail
    collect.py   ``bench collect``: models × tasks → Inspect logs, which ``learn`` reads

Inspect is imported by agent, sandbox and judge only, and by collect when it is called.
"""
