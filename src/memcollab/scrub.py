"""Secrets and personal data in text: found, named, replaced (pure).

The contract of this module:

* Everything that comes from a run is data. ``Scrubber`` takes out of it what must not be passed on
  (keys, tokens, passwords, private keys, e-mail addresses, telephone, card and account numbers),
  before a run is stored and before a writer model sees it.
* What is found becomes a placeholder that says what it was: ``[secret:aws-key]``, ``[e-mail]``,
  ``[phone]``. Equal values get the same one, others a number (``[e-mail-2]``), so that a reader can
  follow who is who, and learns nothing else.
* Text in which nothing is found is returned as it is, byte for byte: ids of requests are hashes of
  their text.
* A run is long and full of numbers, hashes and ids. So what is found here is what has the form of a
  secret by its issuer's own documentation, or is named as one. ``memcollab.screen``, which reads
  single sentences, looks with the same eyes and is stricter on top.

Key formats are those of detect-secrets (Yelp) and the issuers that it does not know; telephone
numbers are judged by phonenumbers (Google's libphonenumber). Both are imported when a text holds
something that needs them. design/threats.md says what is not found.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module

from memcollab.patterns import Pattern
from memcollab.records import Step, Task, ToolCall, Trajectory


@dataclass(frozen=True)
class Found:
    """Something that must not be passed on: what it is, and where in the text."""

    kind: str
    start: int
    end: int


def find(text: str) -> list[Found]:
    """Secrets and personal data in ``text``, in order, none over another. Linear in its length."""
    taken = bytearray(len(text))
    kept: list[Found] = []
    for found in _all(text):
        if not any(taken[found.start : found.end]):
            taken[found.start : found.end] = b"\1" * (found.end - found.start)
            kept.append(found)
    return sorted(kept, key=lambda found: found.start)


# What stood right beside something found may be seen only once that is gone.
_PASSES = 4


class Scrubber:
    """Replaces what ``find`` finds, the same value always by the same placeholder.

    One for everything that is read together: a run with its task, or the two runs of a contrast.
    """

    def __init__(self) -> None:
        self.kinds: set[str] = set()
        self._names: dict[tuple[str, str], str] = {}
        self._counts: dict[str, int] = {}

    def text(self, text: str) -> str:
        """``text`` with placeholders; the very same where nothing is found."""
        for _ in range(_PASSES):
            found = find(text)
            if not found:
                break
            text = self._replaced(text, found)
        return text

    def _replaced(self, text: str, all_found: Sequence[Found]) -> str:
        pieces, end = [], 0
        for found in all_found:
            pieces += [text[end : found.start], self._placeholder(found, text)]
            end = found.end
        return "".join([*pieces, text[end:]])

    def task(self, task: Task) -> Task:
        """The task with placeholders in its text and key; the very same where nothing is found."""
        text, key = self.text(task.text), task.key and self.text(task.key)
        if (text, key) == (task.text, task.key):
            return task
        return Task(text=text, key=key, category=task.category)

    def run(self, run: Trajectory) -> Trajectory:
        """The run with placeholders in all that was said and done; else the very same.

        The task goes first, so that it reads the same in every run.
        """
        task = self.task(run.task)
        steps = tuple(self._step(step) for step in run.steps)
        if task is run.task and all(new is old for new, old in zip(steps, run.steps, strict=True)):
            return run
        # Not model_copy: that would keep the id of the run as it was.
        fields = {name: getattr(run, name) for name in Trajectory.model_fields}
        return Trajectory(**{**fields, "task": task, "steps": steps})

    def _step(self, step: Step) -> Step:
        content = self.text(step.content)
        calls = tuple(self._call(call) for call in step.tool_calls)
        if content == step.content and calls == step.tool_calls:
            return step
        return step.model_copy(update={"content": content, "tool_calls": calls})

    def _call(self, call: ToolCall) -> ToolCall:
        arguments = self.text(call.arguments)
        if arguments == call.arguments:
            return call
        return call.model_copy(update={"arguments": arguments})

    def _placeholder(self, found: Found, text: str) -> str:
        value = text[found.start : found.end].casefold()
        if found.kind in {"phone", "card", "account"}:
            value = re.sub(r"\W", "", value)
        name = self._names.get((found.kind, value))
        if name is None:
            count = self._counts[found.kind] = self._counts.get(found.kind, 0) + 1
            name = f"[{found.kind}]" if count == 1 else f"[{found.kind}-{count}]"
            self._names[found.kind, value] = name
            self.kinds.add(found.kind)
        return name


def _all(text: str) -> Iterator[Found]:
    """What each detector finds, the surest first. Every one looks first for what it cannot do
    without: nearly all text has none of it."""
    if "PRIVATE KEY" in text:
        yield from _matches(_PRIVATE_KEY, text, "secret:private-key")
    yield from _keys(text)
    lower = text.lower()
    yield from _named(text, lower)
    if "@" in text:
        yield from _matches(_URL_LOGIN, text, "secret:password", group=1)
        yield from _mails(text)
    yield from _phones(text, lower)
    yield from _accounts(text)


def _matches(pattern: Pattern, text: str, kind: str, group: int = 0) -> Iterator[Found]:
    for match in pattern.finditer(text):
        yield Found(kind, match.start(group), match.end(group))


# ---- keys and tokens

_PRIVATE_KEY = Pattern(
    r"-----\s?BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
    r"(?:(?:(?!-----)[\s\S])*-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
    r"|[\w+/=\\\s]*)"
)
# Issuers' documented forms that detect-secrets does not know, or knows in an older form only.
_FORMS = {
    "aws-key": r"\b(?:AKIA|ASIA|ABIA|ACCA|A3T[A-Z0-9])[A-Z0-9]{16}\b",
    "github-token": r"\bgh[opsur]_[A-Za-z0-9]{20,}|\bgithub_pat_\w{20,}",
    "gitlab-token": r"\bgl(?:pat|dt|rt|ptt|cbt|soat|ft)-[\w-]{16,}",
    "slack-token": r"\bxox[a-z]-[\w-]{10,}|\bxapp-\d-[\w-]{10,}",
    "api-key": r"\b(?:sk|rk|pk)[-_](?:live|test|proj|ant|svcacct|admin|lf|or|user)?[-_]?"
    r"(?=[\w-]{0,60}\d)[\w-]{16,}|\bgsk_[A-Za-z0-9]{20,}|\bxai-[\w-]{20,}|\br8_[A-Za-z0-9]{20,}"
    r"|\bdop_v1_\w{20,}|\bdapi[0-9a-f]{20,}|\bPMAK-[\w-]{20,}|\bshp(?:at|ca|pa|ss)_\w{20,}"
    r"|(?i:accountkey|sharedaccesskey)=[\w+/=]{20,}|\bSG\.[\w-]{16,}\.[\w-]{16,}",
    "google-key": r"\bAIza[\w-]{30,}|\bya29\.[\w-]{20,}|\bGOCSPX-[\w-]{20,}",
    "hub-token": r"\bhf_[A-Za-z0-9]{20,}|\bnpm_[A-Za-z0-9]{20,}|\bpypi-[\w-]{20,}",
    "jwt": r"\beyJ[\w-]{8,}\.eyJ[\w-]{8,}(?:\.[\w-]*)?",
    "telegram-token": r"\b\d{8,10}:AA[\w-]{30,}",
}
# The detectors of detect-secrets that know a form. Left aside: entropy and keywords (every hash and
# every line of code about a "token"), public addresses, and two whose patterns take a time that
# grows with the cube of a hostile line (npm, passwords in URLs: ``_URL_LOGIN`` has those).
_PLUGINS = {
    "aws": "aws-key",
    "azure_storage_key": "azure-key",
    "artifactory": "artifactory-key",
    "cloudant": "cloudant-key",
    "discord": "discord-token",
    "github_token": "github-token",
    "gitlab_token": "gitlab-token",
    "ibm_cloud_iam": "ibm-key",
    "ibm_cos_hmac": "ibm-key",
    "jwt": "jwt",
    "mailchimp": "mailchimp-key",
    "openai": "api-key",
    "pypi_token": "hub-token",
    "sendgrid": "api-key",
    "slack": "slack-token",
    "softlayer": "softlayer-key",
    "square_oauth": "square-key",
    "stripe": "api-key",
    "telegram_token": "telegram-token",
    "twilio": "twilio-key",
}
# Every one of these forms has an unbroken piece of fifteen signs with a digit: looked for first.
_PIECE = Pattern(r"[A-Za-z0-9_+/=-]{15,}")
_REST = Pattern(r"[\w.+/=:-]*")
_TAIL = Pattern(r"[\w+/=-]*")
_DIGIT = Pattern(r"\d")
_CHUNK, _OVERLAP = 1000, 200


@cache
def _forms() -> Sequence[tuple[str, re.Pattern[str]]]:
    own = [(name, re.compile(pattern)) for name, pattern in _FORMS.items()]
    theirs = [
        (name, pattern)
        for plugin, name in _PLUGINS.items()
        for detector in _detectors(plugin)
        for pattern in detector
    ]
    return [*own, *theirs]


def _detectors(plugin: str) -> Iterator[Sequence[re.Pattern[str]]]:
    """The patterns of one plugin module of detect-secrets."""
    from detect_secrets.plugins.base import RegexBasedDetector

    module = import_module(f"detect_secrets.plugins.{plugin}")
    for member in vars(module).values():
        if isinstance(member, type) and issubclass(member, RegexBasedDetector):
            yield () if member is RegexBasedDetector else list(member().denylist)


def _keys(text: str) -> Iterator[Found]:
    for start, end in _windows(text):
        for name, pattern in _forms():
            for match in pattern.finditer(text, start, end):
                group = next((g for g in range(1, (pattern.groups or 0) + 1) if match[g]), 0)
                # Groups of a pattern are the key without its frame; "ghp" alone is no key.
                group = group if group and len(match[group]) >= 10 else 0
                if _DIGIT.search(match[group]):
                    yield _trimmed(f"secret:{name}", text, match.start(group), match.end(group))


def _trimmed(kind: str, text: str, start: int, end: int) -> Found:
    """Without the frame at its sides, and with what stands beyond the window that was searched."""
    while start < end and text[start] in " \t\n\r\"'=:":
        start += 1
    while end > start and text[end - 1] in " \t\n\r\"',;":
        end -= 1
    tail = _TAIL.match(text, end)
    return Found(kind, start, tail.end() if tail else end)


def _windows(text: str) -> Iterator[tuple[int, int]]:
    """Stretches of single lines around pieces that could be a key, each of bounded length, because
    patterns of others may take a time that grows with the square of it."""
    done = 0
    for match in _PIECE.finditer(text):
        if match.end() <= done or not _DIGIT.search(match[0]) or match[0].isdigit():
            continue
        start = max(done, match.start() - 100, text.rfind("\n", 0, match.start()) + 1)
        rest = _REST.match(text, match.end())
        end = rest.end() if rest else match.end()
        for chunk in range(start, end, _CHUNK - _OVERLAP):
            yield chunk, min(chunk + _CHUNK, end)
        done = end


_CUES = "passw passphrase passcode pwd secret token credential bearer basic".split()
# How far a name may begin before its telling word, and how far behind it its value may end.
_BEFORE, _BEHIND = 40, 300
_KEY_CUE = Pattern(r"(?:api|access|private|secret|auth)[ _-]?(?:access[ _-]?)?key")
_NAMED = Pattern(
    r"(?<![A-Za-z\[])(?P<name>pass(?:word|wd|phrase|code)|pwd|(?:api|access|private|secret|auth)"
    r"[ _-]?(?:access[ _-]?)?key|(?:client|app|api|shared|consumer)?[ _-]?secret|"
    r"(?:access|auth|api|bearer|refresh|session|id|security|secret|bot|oauth|user)?[ _-]?token|"
    r"credentials?)(?:[ _-]?(?:value|string))?[\"'\\\]]*"
    r"(?:(?P<said> is | was | to )|\s{0,3}(?:=>|:=|=|:)\s{0,3})"
    r"(?:(?P<quote>\\?[\"'`])(?P<quoted>[^\s\"'`\\]{6,200})(?=\\?[\"'`])"
    r"|(?P<bare>[\w!@#$%^&*+/~=-]{6,200})(?![\w(\[.{]))",
    re.I,
)
_HEADER = Pattern(
    r"\b(?:bearer|basic|token)\s+(?=[\w.~+/=-]{0,100}\d)(?P<value>[\w.~+/=-]{16,})", re.I
)
_URL_LOGIN = Pattern(r"://[^\s:/@{}\"'<>]{1,100}:(?!\[)([^\s/@{}\"'<>]{3,100})@")


def _near_cues(text: str, lower: str) -> Iterator[tuple[int, int]]:
    """Stretches of the text around words that say that a secret follows."""
    cues = [cue for cue in _CUES if cue in lower]
    if "key" in lower and _KEY_CUE.search(lower):
        cues.append("key")
    if cues and len(lower) != len(text):  # a few letters are longer in small
        yield 0, len(text)
        return
    places = []
    for cue in cues:
        place = lower.find(cue)
        while place >= 0:
            places.append(place)
            place = lower.find(cue, place + 1)
    stretches: list[tuple[int, int]] = []
    for place in sorted(places):
        start, end = max(0, place - _BEFORE), min(place + _BEHIND, len(text))
        if stretches and start <= stretches[-1][1]:
            start = stretches.pop()[0]
        stretches.append((start, end))
    yield from stretches


def _named(text: str, lower: str) -> Iterator[Found]:
    """What is called a password, key or token, and looks like a value: with a letter and a digit or
    sign; in code it stands in quotes, bare words there are names."""
    for start, end in _near_cues(text, lower):
        for match in _HEADER.finditer(text, start, end):
            yield Found("secret:token", match.start("value"), match.end("value"))
        for match in _NAMED.finditer(text, start, end):
            group = "quoted" if match["quoted"] else "bare"
            value = match[group]
            kind = "password" if match["name"][:2].lower() in {"pa", "pw"} else "token"
            if len(value) < 7 and match["said"]:  # "the token is 401ing"
                continue
            if _value(
                value, quoted=group == "quoted" or bool(match["said"] and kind == "password")
            ):
                yield Found(f"secret:{kind}", match.start(group), match.end(group))


_NAME_IN_CODE = Pattern(r"[A-Za-z_]+(?:_?\d{1,2})?")
_TEMPLATE = Pattern(r"[\[{<$%]|\.\.\.|\*\*|xxx|\d{4}-\d\d-\d\dT", re.I)


def _value(value: str, *, quoted: bool) -> bool:
    if _TEMPLATE.match(value) or not any(c.isalpha() for c in value):
        return False
    if not quoted and _NAME_IN_CODE.fullmatch(value):
        return False
    if not quoted and not any(c.isdigit() for c in value):
        return False
    return any(c.isdigit() or c in "!@#$%^&*" for c in value)


# ---- persons

_MAIL = Pattern(
    r"(?<![\w.+@-])[\w+-]{1,64}+(?:\.[\w+-]{1,64}+){0,8}+@"
    r"(?P<domain>(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24})(?![\w(\[@]|\.\w+[(\[])"
)
_NOBODY = Pattern(r"(?:^|\.)(?:example\.(?:com|org|net|edu)|test|example|invalid|localhost)$")
# What ``matrix@other.T`` or ``a@b.shape`` would give: attributes, no ends of domains.
_ATTRIBUTES = frozenset("dot shape inv flatten ravel conj real imag transpose".split())


def _mails(text: str) -> Iterator[Found]:
    """Addresses of persons. Those of RFC 2606 (example.org and the like) are nobody's."""
    for match in _MAIL.finditer(text):
        domain = match["domain"].lower()
        if not _NOBODY.search(domain) and domain.rsplit(".", 1)[1] not in _ATTRIBUTES:
            yield Found("e-mail", match.start(), match.end())


_ABROAD = Pattern(r"(?<![\w.+*/=^(-])\+\d(?:[ ().-]{0,2}\d){7,14}(?![\w.]*\w)")
_MAYBE_AT_HOME = Pattern(r"\d{3}[-.]\d{4}")
_AT_HOME = Pattern(r"(?<![\w.+-])(?:\(\d{3}\) ?|\d{3}[-.])\d{3}[-.]\d{4}(?![\w-]|\.\d)")
_PHONE_CUES = ("phone", "mobile", "whatsapp", "telefon", "tel:", "tel.", "cell", "fax")
_CALLED = Pattern(
    r"\b(?:tele)?(?:phone|mobile|whatsapp|telefon|tel|cell|fax)(?:[ _-]?(?:number|nummer|no))?"
    r"(?:\.|[\"']*\s{0,2}(?: is |:|=|#))?[\"'\s]{0,3}"
    r"(\(?\d(?:[ ()./-]{0,2}\d){6,13})(?![\w.]*\w)",
    re.I,
)
_MINUS_BEFORE = Pattern(r"[\d)}\]$]\s*$")


def _phones(text: str, lower: str) -> Iterator[Found]:
    """Telephone numbers: international and North American ones that libphonenumber holds to be
    valid, others where they are called so. A sum such as "3 +12345678" is none."""
    if "+" in text:
        for match in _ABROAD.finditer(text):
            before = text[max(0, match.start() - 4) : match.start()]
            if not _MINUS_BEFORE.search(before) and _valid(match[0], None):
                yield Found("phone", match.start(), match.end())
    for match in _AT_HOME.finditer(text) if _MAYBE_AT_HOME.search(text) else ():
        if _valid(match[0], "US"):
            yield Found("phone", match.start(), match.end())
    if any(cue in lower for cue in _PHONE_CUES):
        yield from _matches(_CALLED, text, "phone", group=1)


def _valid(number: str, region: str | None) -> bool:
    import phonenumbers

    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(number, region))
    except phonenumbers.NumberParseException:
        return False


# ---- accounts

_MAYBE_CARD = Pattern(r"\d{4}[ -]?\d{4}")
_CARD = Pattern(r"(?<![\w.,-])\d{4}(?:[ -]?\d){9,15}(?![\w,-]|\.\d)")
# Issuers' first digits and lengths (ISO/IEC 7812): Visa, Mastercard, American Express, Discover,
# JCB, Diners Club, UnionPay.
_ISSUED = Pattern(
    r"4\d{12}(?:\d{3}){0,2}|5[1-5]\d{14}|2(?:2[2-9]|[3-6]\d|7[01])\d{13}|2720\d{12}|3[47]\d{13}"
    r"|6(?:011|5\d\d|4[4-9]\d)\d{12}|35(?:2[89]|[3-8]\d)\d{12}|3(?:0[0-5]|[68]\d)\d{11}|62\d{14,17}"
)
_GROUPED = Pattern(r"\d{4}([ -])\d{4}\1\d{4}\1\d{1,7}|\d{4}([ -])\d{6}\2\d{4,5}")
_CARD_CUE = Pattern(r"card|visa|amex|\bpan\b|\bcc\b|payment|[\"']$", re.I)
_MAYBE_IBAN = Pattern(r"[A-Z]{2}\d{2}")
_IBAN = Pattern(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?\b")


def _accounts(text: str) -> Iterator[Found]:
    """Card numbers with an issuer's digits and a right check digit, written in groups, in quotes or
    called a card: one big number in ten passes the check digit alone. IBANs by theirs."""
    for match in _CARD.finditer(text) if _MAYBE_CARD.search(text) else ():
        digits = re.sub(r"\D", "", match[0])
        if not _ISSUED.fullmatch(digits) or not luhn(digits):
            continue
        before = text[max(0, match.start() - 40) : match.start()]
        if _GROUPED.fullmatch(match[0]) or _CARD_CUE.search(before):
            yield Found("card", match.start(), match.end())
    for match in _IBAN.finditer(text) if _MAYBE_IBAN.search(text) else ():
        if iban(match[0].replace(" ", "")):
            yield Found("account", match.start(), match.end())


def luhn(digits: str) -> bool:
    """The check digit of payment cards (ISO/IEC 7812-1)."""
    doubled = [int(d) * (1 + place % 2) for place, d in enumerate(reversed(digits))]
    return sum(n // 10 + n % 10 for n in doubled) % 10 == 0 and len(set(digits)) > 1


def iban(account: str) -> bool:
    """The check of account numbers (ISO 13616)."""
    turned = account[4:] + account[:4]
    return int("".join(str(int(c, 36)) for c in turned)) % 97 == 1
