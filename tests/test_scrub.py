"""Secrets and personal data are taken out of what comes in, and nothing else is changed.

No key here was ever issued; they are put together at run time, so that scanners of this repository
stay quiet.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memcollab import MemCollab
from memcollab.collab import Intake
from memcollab.models import Prompt, ScriptedModel
from memcollab.records import Agent, Step, Task, ToolCall, Trajectory, Verdict
from memcollab.scrub import Scrubber, find

ALNUM = "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T0u1V2w3X4y5Z6"
HEX = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
SECRETS = {
    "secret:aws-key": ["AKIA" + "Q3EXAMPLEKEY7ABC"],
    "secret:github-token": ["ghp_" + ALNUM[:36], "github_pat_" + ALNUM[:40]],
    "secret:gitlab-token": ["glpat-" + ALNUM[:20]],
    "secret:slack-token": ["xoxb-" + "123456789012-abcdefABCDEF12"],
    "secret:api-key": [
        "sk-" + "proj-" + ALNUM[:40],
        "sk_" + "live_" + ALNUM[:24],
        "SG." + ALNUM[:22] + "." + ALNUM[:43],
    ],
    "secret:google-key": ["AIza" + ALNUM[:35]],
    "secret:hub-token": ["hf_" + ALNUM[:34], "npm_" + ALNUM[:36]],
    "secret:jwt": ["eyJ" + "hbGciOiJIUzI1NiJ9.eyJ" + "zdWIiOiI0MiJ9." + ALNUM[:43]],
    "secret:twilio-key": ["AC" + HEX[:32]],
    "secret:mailchimp-key": [HEX[:32] + "-us12"],
    "secret:square-key": ["sq0csp-" + ALNUM[:43]],
    "secret:private-key": [
        "-----BEGIN RSA PRIVATE" + " KEY-----\nMIIEow" + ALNUM + "\n-----END RSA PRIVATE KEY-----"
    ],
    "e-mail": ["ruth.oakes+pay" + "@harbour-mill.co.uk"],
    "phone": ["+49 170 1234567", "(212) 736-5000", "+442079460018"],
    "card": ["4111 1111 1111 1111", "3782-822463-10005"],
    "account": ["DE89 3704 0044 0532 0130 00"],
}
CASES = [(kind, value) for kind, values in SECRETS.items() for value in values]


@pytest.mark.parametrize(("kind", "value"), CASES)
@pytest.mark.parametrize(
    "around", ["Use {} for it.", 'key = "{}"', '{{"value": "{}"}}', "{}", "log: {}\nnext line"]
)
def test_what_must_not_be_passed_on_becomes_a_placeholder(kind, value, around):
    """Keys by their issuers' forms, persons, accounts: named, gone, the text around as it was."""
    said = Scrubber().text(around.format(value))

    assert said == around.format(f"[{kind}]")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("password = 'hunter2!'", "password = '[secret:password]'"),
        ("DB_PASSWORD=Tr0ub4dor", "DB_PASSWORD=[secret:password]"),
        ('{\\"client_secret\\": \\"cs-77ab91\\"}', '{\\"client_secret\\": \\"[secret:token]\\"}'),
        ("the password is hunter2", "the password is [secret:password]"),
        ("Authorization: Bearer " + HEX[:20], "Authorization: Bearer [secret:token]"),
        ("postgres://joe:" + "pa55wort@db/x", "postgres://joe:[secret:password]@db/x"),
        ("phone: 030 1234567", "phone: [phone]"),
        ('"card_number": "4111111111111111"', '"card_number": "[card]"'),
    ],
)
def test_what_is_called_a_secret_is_taken_for_one(text, expected):
    """No form of its own, but a name before it: passwords, tokens, numbers of telephones."""
    assert Scrubber().text(text) == expected


INNOCENT = [
    "2^64 = 18446744073709551616 and 4111111111111111 - 1",
    "0.4111111111111111 + 37.82822463100050",
    "x = 555-123-4567 and 3 +12345678901",
    "token = tokens[i]; secret = n ** 2; password = input()",
    "tokens: 4096, max_tokens=2048, the token is 401ing",
    "for token in expression.split(): stack.append(token)",
    "C = A@B.T; D = A@np.linalg.inv(B); x@y.shape[0]",
    "@functools.lru_cache(maxsize=None)",
    "the commit " + HEX[:40] + " and 123e4567-e89b-12d3-a456-426614174000",
    "jane@example.org and bob@mail.example.com are nobody's",
    "assert is_valid_password_length_minimum_8_characters2('abc') == False",
    "password = '<password>', token: {{token}}, key=$API_KEY_1, api_key = '...'",
    "polynomial_coefficients_of_degree_12 = [1234567890123456]",
    "1+2+3+4+5+6+7+8+9+10 = 55, 1234-5678-9012-3456",
    "Order 4417 costs 1,234,567.89 at 10:30 on 2024-03-15T10:00:00Z",
]


@pytest.mark.parametrize("text", INNOCENT)
def test_numbers_code_and_names_stay(text):
    """Sums, big numbers, hashes, variables called token, matrices: the same text, byte for byte."""
    assert Scrubber().text(text) == text


def test_a_reader_can_follow_who_is_who():
    """Equal values get one placeholder however they are written, others another."""
    first, second = "ruth@harbour-mill.co.uk", "omar@harbour-mill.co.uk"
    said = Scrubber().text(f"{first} wrote to {second}; {second.upper()} answered {first}.")

    assert said == "[e-mail] wrote to [e-mail-2]; [e-mail-2] answered [e-mail]."


def test_every_field_of_a_run_is_read():
    """Task, messages and arguments of calls; the id of the run is that of what is left."""
    key = SECRETS["secret:aws-key"][0]
    run = Trajectory(
        task=Task(text=f"Use {key}", key=key),
        agent=Agent(model="owl-7b"),
        steps=(
            Step(role="assistant", content=f"I use {key}"),
            Step(role="assistant", tool_calls=(ToolCall(name="f", arguments=f'{{"k":"{key}"}}'),)),
        ),
        verdict=Verdict(solved=True),
    )
    before = run.id
    clean = Scrubber().run(run)

    assert key not in clean.model_dump_json()
    assert clean.model_dump_json().count("[secret:aws-key]") == 4
    assert clean.id != before
    assert clean.id == Trajectory.model_validate_json(clean.model_dump_json(exclude={"id"})).id


pieces = st.lists(
    st.sampled_from([value for _, value in CASES] + INNOCENT + [" ", "\n", "=", '"', "token: "]),
    max_size=8,
).map("".join)


@settings(deadline=None)
@given(st.one_of(st.text(max_size=300), pieces))
def test_scrubbed_text_is_clean_and_stays_as_it_is(text):
    """Any text: no error, what is found lies in it and in order, a second scrub changes nothing."""
    found = find(text)
    ends = [0, *(place for each in found for place in (each.start, each.end))]
    assert ends == sorted(ends)
    assert ends[-1] <= len(text)
    once = Scrubber().text(text)
    assert Scrubber().text(once) == once


@pytest.mark.parametrize(
    "unit",
    [
        "a",
        "1",
        "://a:",
        "eyJa1",
        "token: ",
        "password=",
        "AKIA1 ",
        "a@",
        "1 ",
        "+1",
        "-----BEGIN ",
        "PRIVATE KEY",
        "a.b@c.",
        "DE11 ",
        "4111 ",
        "phone 1",
        "(212) ",
        "cl_key=a1",
        "x1/",
        "sk-",
    ],
)
def test_no_text_holds_the_scrubber_up(unit):
    """A hostile run of half a megabyte takes a time in proportion to its length."""
    text = unit * (500_000 // len(unit))
    begun = time.process_time()
    find(text)

    assert time.process_time() - begun < 20


def test_secrets_reach_neither_writer_nor_batch_file_nor_bank(tmp_path: Path) -> None:
    """A secret in every field of two runs: not in the prompt, the requests or the bank's file;
    the report counts the runs by what was taken out."""
    values = [value for _, value in CASES]
    runs = [
        {
            "task": "Sort the pebbles for " + SECRETS["e-mail"][0],
            "agent": {"model": model, "harness": "loop"},
            "messages": [
                {"role": "user", "content": "Sort"},
                {"role": "assistant", "content": f"{model} says " + " and ".join(values)},
            ],
            "solved": solved,
        }
        for model, solved in (("owl-7b", True), ("crow-7b", False))
    ]
    path = tmp_path / "runs.jsonl"
    path.write_text("\n".join(json.dumps(run) for run in runs))
    prompts: list[str] = []

    def script(prompt: Prompt) -> str:
        prompts.append(prompt.user)
        return json.dumps({"constraints": []})

    with MemCollab(tmp_path / "bank.db") as memory:
        memory.learn(path, writer="later", batch_out=tmp_path / "requests.jsonl")
        report = memory.learn(path, writer=ScriptedModel(script))
        recall = memory.recall("Sort the kites for " + SECRETS["e-mail"][0])
        memory.record_outcome(recall, True, detail="paid with " + SECRETS["card"][0])
        with (tmp_path / "export.jsonl").open("wb") as stream:
            memory.bank.export(stream)

    assert len(prompts) == 1
    written = prompts[0] + (tmp_path / "requests.jsonl").read_text()
    written += (tmp_path / "export.jsonl").read_text()
    assert [v for v in values if v in written or json.dumps(v)[1:-1] in written] == []
    assert report.scrubbed["e-mail"] == 2
    assert report.scrubbed["secret:aws-key"] == 2


def test_detectors_are_not_loaded_until_they_are_needed():
    """Text without long tokens or telephone numbers costs no import of the detectors."""
    code = (
        "import sys, memcollab.scrub as s; s.find('Sort the list of 12 words'); "
        "print([m for m in sys.modules if m in ('detect_secrets', 'phonenumbers', 'requests')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


@pytest.mark.data
def test_real_runs_of_maths_and_code_are_left_alone(shared_data: Path) -> None:
    """At most one in a thousand real runs of maths is touched: its numbers are no telephones."""
    from memcollab.sources import load_mapping, read_runs

    mapping = Path(__file__).parent.parent / "examples" / "mappings" / "tora.toml"
    folder = shared_data / "trajectories" / "tora_gsm8k"
    intake = Intake(frozenset(), None)
    runs = list(intake.judged_runs(read_runs([folder], mapping=load_mapping(mapping))))

    assert len(runs) > 2000
    assert sum(intake.scrubbed.values()) <= len(runs) / 1000
