"""Code, calls, markup, command lines. A lesson is words; a bare name of a language is a word, and
one plain call of a harness's own tool shows a small model the form of a value."""

from __future__ import annotations

import re
import sys

from memcollab.screen.lexicon import known_name
from memcollab.screen.reading import Reading, either
from memcollab.screen.source import SourceText

_STATEMENT = either(
    r"```|~~~",
    r"\b(?:def|class)\s+\w+\s*[(:]|\blambda\b[^;:]{0,30}:",
    r"(?:^|[;:]\s*)import\s+"
    r"(?!of\b|the\b|an?\b|all\b|every|each|exactly|only|that\b|this\b|inside|statement)\w+",
    r"\bfrom\s+[\w.]+\s+import\b",
    r"\b(?:for\s+\w+\s+in|while|if|elif|with|except)\b[^;:]*:\s*"
    r"(?:return|print|pass|break|raise|continue|yield|\w+\s*=|\w+\()",
    r"(?:^|[;:]\s*)(?:return|print|assert|raise|yield|del)\s+[\w.]+\s*[(\[=+*/%]",
    r"(?<![=!<>+*/\w-])[A-Za-z_]\w+(?:\.\w+)*\s*=(?!=)\s*"
    r"(?:[\[{(\"']|[\w.]+[(\[]|-?\d|\w+\s*[-+*/%]+\s*\w)",
    r"\b\w+\s*(?:[-+*/%|&^]|//|\*\*|:)=\s*\w",
    r"\b[A-Za-z_]\w*\[[^\]\s][^\]]*\]",
    r"\{\s*[\"']?\w+[\"']?\s*:|\{\{|\$\{|\$\(",
    r"&&|\|\||\w->\w|=>\s*[\w{(]",
    r"\b(?:rm\s+-\w+|sudo\s+\w+|chmod\s+[\w+]+|curl\s+(?:-|http)\S*|wget\s+\S+|bash\s+-c|"
    r"(?:pip3?|npm|apt|apt-get|brew)\s+install|git\s+(?:clone|push|reset)|powershell)\b",
    r"\b(?:os\.system|os\.popen|subprocess\.\w+|__\w+__|eval\s?\(|exec\s?\()",
    r"\bSELECT\b.+\bFROM\b|\bINSERT\s+INTO\b|\bDROP\s+(?:TABLE|DATABASE)\b|\bDELETE\s+FROM\b|"
    r"\bUPDATE\b.+\bSET\b",
)
_CALL = re.compile(r"(?<![\w.])([A-Za-z_][\w.]*)\(([^()]*)\)?")
_BACKTICKS = re.compile(r"`([^`]*)`")
_BARE = re.compile(r"[\w.-]+(?:\(\))?|[^\w\s]{1,3}|[\w-]+=\w+|</?[\w-]+>")
_TAG = re.compile(r"</?\s?[A-Za-z!?][^<>]*>")
_PLAIN_TAG = re.compile(r"</?[a-z][\w-]{0,30}>", re.I)
_PLURALS = {"s", "es", "ies"}
_MATHS = frozenset(
    (
        "sin cos tan cot sec csc log ln exp sqrt gcd lcm max min mod abs floor ceil det arg deg "
        "dim rank var cov phi arcsin arccos arctan sinh cosh tanh binom prob"
    ).split()
)
_LITERAL = r"(?:-?\d+(?:\.\d+)?|'[^'\"\\]{0,40}'|\"[^'\"\\]{0,40}\"|True|False|None)"
_LITERALS = re.compile(rf"(?:{_LITERAL}(?:\s*,\s*{_LITERAL})*)?")
_PLAIN_ARGUMENTS = re.compile(r"[A-Za-z](?:_?\w)?(?:\s*[-+*/^,|]\s*[A-Za-z\d]{1,2})*|n log n", re.I)


def code(reading: Reading, source: SourceText) -> str | None:
    """Statements, calls with arguments, markup, shell and query lines.

    f(x), gcd(a, b) and O(n) are mathematics. A harness may ask for tags around an answer: a draft
    of scope "harness" may name a plain tag that the runs show (or where no run is at hand, as on
    import), and may show a call of a tool that the runs call, on plain values.
    """
    for part in reading.parts:
        found = _STATEMENT.search(part) or next(
            (call for call in _CALL.finditer(part) if _is_code(call, reading.harness, source)), None
        )
        if found:
            return found[0]
        offence = _quoted(part) or _markup(part, reading.harness, source)
        if offence:
            return offence
    return None


def _is_code(call: re.Match[str], harness: bool, source: SourceText) -> bool:
    name, arguments = call[1], call[2].strip()
    if arguments in _PLURALS:  # "the value(s)"
        return False
    if harness and _calls_a_tool(name, arguments, source):
        return False
    if not arguments:
        return call[0].endswith("()") and not (harness or known_name(name))
    if len(name) > 1 and name.casefold() not in _MATHS:
        return True
    return _PLAIN_ARGUMENTS.fullmatch(arguments) is None


def _calls_a_tool(name: str, arguments: str, source: SourceText) -> bool:
    """Whether it calls a function of a tool's module, which is none of Python's own, on plain
    values."""
    module, _, function = name.partition(".")
    ours = bool(function) and "." not in function and module not in sys.stdlib_module_names
    known = not source.run_texts or name in source.tools
    return ours and known and _LITERALS.fullmatch(arguments) is not None


def _quoted(part: str) -> str | None:
    """What stands in backticks is code unless it is a bare name, a sign or a word or two."""
    for quoted in _BACKTICKS.findall(part):
        if not _BARE.fullmatch(quoted.strip()) and re.search(r"[^\w\s.,-]", quoted):
            return f"`{quoted}`"
    return None


def _markup(part: str, harness: bool, source: SourceText) -> str | None:
    for tag in _TAG.findall(part):
        shown = not source.run_texts or tag.casefold() in source.runs.casefold()
        if not (harness and shown and _PLAIN_TAG.fullmatch(tag)):
            return str(tag)
    return None
