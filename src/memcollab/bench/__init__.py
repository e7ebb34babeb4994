"""Experiments on Inspect AI (extra ``bench``): does memory help, whom, and where?

What is attempted, by whom, and how it is judged
    suites/        tasks to learn from and to be measured on; tasks.py is one task file
    roster.py      agents: a model by name, and its server
    agent.py       the agents as Inspect solvers; replies.py reads what a model means (pure)
    confine.py     one command, confined by bubblewrap; launcher.py, watch.py and seccomp.py help it
    sandbox.py     the confinement as an Inspect sandbox environment
    judge.py       did it solve the task, and if not, how did it fail
    evaluate.py    jobs of one model → an Inspect log; what a log holds is not run again
    collect.py     ``bench collect``: models × tasks → logs, which ``learn`` reads

What is compared
    experiment.py  the description of an experiment
    arms.py        where an arm's guidance comes from, all else being equal
    plan.py        every attempt that is asked for, and what of it the logs hold
    run.py         build, learn, run
    attempts.py    the record of one attempt; conditions.py under which it was made
    statistics.py  shares, paired differences, intervals (pure); tables.py the tables of a report
    report/        attempts → one HTML page and Markdown
    publish.py     logs without the texts of benchmarks that are not ours

What is admitted
    trial.py       ``memcollab trial``: tasks with and without a new constraint, until decided

Memory in any Inspect task
    guided.py      the solver ``memcollab/guided``; hook.py guides a task that stays as it is
    registry.py    what an installed package offers to Inspect

Inspect is imported by agent, guided, hook, judge and sandbox, and by the others when called.
"""
