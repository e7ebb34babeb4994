"""Wording of the task and the runs, formulas of the task, models, and talk about the attempts."""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache

from memcollab.screen.lexicon import COMMON_IN_MODEL_NAMES, FUNCTION, TERMS, TRADE
from memcollab.screen.reading import Reading, either, words
from memcollab.screen.source import SourceText


def copied_words(reading: Reading, source: SourceText) -> str | None:
    """Four or more consecutive words of the task, or a telling run of words from the runs.

    A run of words weighs what its words tell: nothing for function words and fixed terms, a half
    for words of the trade, one for others. From the task four words that weigh 1 are refused, and
    six that weigh a half: "the sum of the" is nobody's. The runs are long and full of common turns:
    from them it takes five words that weigh 3.5; in scope "harness", where documentation may be
    told, seven that weigh 4. Five words of the task that weigh 2 are copied even if the numbers
    between them were left out.
    """
    draft, weights = reading.words, _weights(reading.words)
    runs = (7, 4.0) if reading.harness else (5, 3.5)
    limits = ((source.task_words, 4, 1.0), (source.task_words, 6, 0.5), (source.run_words, *runs))
    for text, size, least in limits:
        found = _copied(draft, weights, text, size, least)
        if found:
            return found
    wordy = [word for word in draft if not word.isdigit()]
    found = _copied(wordy, _weights(wordy), source.task_words_alone, 5, 2.0)
    if found:
        return found
    return _copied_dense(reading, source)


def _weights(draft: list[str]) -> list[float]:
    weights = [0.0 if w in FUNCTION else 0.5 if w in TRADE else 1.0 for w in draft]
    for term in TERMS:
        for start in range(len(draft)):
            if draft[start] == term[0] and tuple(draft[start : start + len(term)]) == term:
                weights[start : start + len(term)] = [0.0] * len(term)
    return weights


def _copied(
    draft: list[str], weights: list[float], source: str, size: int, least: float
) -> str | None:
    for start in range(len(draft) - size + 1):
        if sum(weights[start : start + size]) >= least:
            phrase = " ".join(draft[start : start + size])
            if f" {phrase} " in source:
                return phrase
    return None


_DENSE = re.compile(r"[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff]{8,}")


def _copied_dense(reading: Reading, source: SourceText) -> str | None:
    """In scripts without spaces eight characters stand for four words."""
    for run in _DENSE.findall(reading.text):
        for start in range(len(run) - 7):
            if run[start : start + 8] in source.task:
                return str(run[start : start + 8])
    return None


_LATEX = re.compile(r"\$[^$]+\$|\\\(.+?\\\)|\\\[.+?\\\]|\\[A-Za-z]+(?:\s*[\[{][^}\]]*[}\]])*")
# Signs, digits and words of one to three letters in a row: what a formula looks like in prose.
_FORMULA = re.compile(
    r"(?:(?<![A-Za-z])(?!(?:is|of|to|in|at|by|or|as|it|be|on|an|if|we|do|no|so|up|and|the|for|its|any|"
    r"all|not|are|but|per|has|can|a)\b)[A-Za-z]{1,3}(?![A-Za-z])|sqrt|\d|[-+*/^=<>≤≥≠·×÷√∑∏∫(){}\[\]|!."
    r"\\ ])+"
)
_OPERATOR = re.compile(r"[+*/^=<>≤≥≠·×÷√∑∏∫]|\b\w ?- ?\w\b")
_SIGNS = str.maketrans(
    {"·": "*", "×": "*", "÷": "/", "⋆": "*", "∗": "*", "√": "sqrt", "π": "pi", "θ": "theta"}
    | {"≤": "le", "≥": "ge", "≠": "ne", "∑": "sum", "∏": "prod", "∫": "int", "∞": "infty"}
)
_COMMANDS = (
    (re.compile(r"\\(?:times|cdot|star|ast)\b"), "*"),
    (re.compile(r"\\d?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}"), r"\1/\2"),
    (re.compile(r"\\(?:left|right|displaystyle|,|;|!|quad|qquad)|[\s${}\\()\[\]]"), ""),
)


def latex_of_task(reading: Reading, source: SourceText) -> str | None:
    """A formula of the task, in LaTeX or in plain signs, however it is spaced."""
    task = _formula(source.task)
    for part in reading.parts:
        for found, least in [(f, 3) for f in _LATEX.findall(part)] + _in_prose(part):
            plain = _formula(found).strip(".")
            if len(plain) >= least and re.search(r"[^a-z]", plain) and plain in task:
                return str(found.strip())
    return None


def _in_prose(part: str) -> list[tuple[str, int]]:
    """What looks like a formula, each with how many signs it takes to be telling."""
    if not _OPERATOR.search(part):
        return []
    return [(found, 5) for found in _FORMULA.findall(part) if _OPERATOR.search(found)]


def _formula(text: str) -> str:
    """Signs and letters without spacing, brackets and LaTeX's ways of writing them."""
    plain = text.translate(_SIGNS)
    for pattern, sign in _COMMANDS:
        plain = pattern.sub(sign, plain)
    return plain.casefold()


# -- models, and talk about the runs ---------------------------------------------------------------

_MODELS = either(
    r"\b(?:chat-?gpt|gpt-?\d[\w.-]*|openai|anthropic|vicuna|alpaca|qwq|mi[sx]tral|codestral)\b",
    r"\b(?:deepseek|starcoder|wizard(?:lm|coder|math)|qwen[\w.-]*|smollm\d?|davinci(?:-\d+)?)\b",
    r"\bclaude\b|\b(?:code)?llama\b[ -]?\d*|\bgemini ?(?:\d|pro|flash)|\bgemma\b|\bphi-\d",
    r"\b(?:glm|ernie|kimi|grok|nova|command|yi|o)-\d[\w.-]*|\bminimax-m\w+",
    r"\b\d{1,3}(?:\.\d)?b (?:model|agent|parameter)\w*",
    r"\b(?:weak|strong|small|larg|bigg)(?:er|est)? (?:model|agent|llm)s?\b",
    flags=re.I,
)


def model_name(reading: Reading, known: Collection[str]) -> str | None:
    """The name of a model, of those known here or of a well-known family."""
    match = _MODELS.search(reading.lower)
    if match:
        return match[0]
    text = f" {' '.join(reading.words)} "
    return next((name for name in known if _names_model(name, text)), None)


def _names_model(name: str, text: str) -> bool:
    return any(f" {spelling} " in text for spelling in _spellings(name))


@lru_cache(maxsize=4096)
def _spellings(name: str) -> tuple[str, ...]:
    """How a model may be called: by its whole name, or by a part that is no common word."""
    local = words(name.rsplit("/", 1)[-1]).strip()
    # Whoever brings runs names their model: one called "check" must not ban the word.
    common = COMMON_IN_MODEL_NAMES | FUNCTION | TRADE
    telling = [part for part in local.split() if part not in common]
    whole = [local] if len("".join(telling)) > 2 else []
    return tuple(whole + [part for part in telling if len(part) > 4 and part.isalpha()])


_ATTEMPT = r"(?:attempt|run|trajectory|trace|transcript|rollout|episode)"
_ENDED = r"(?:failed|failing|successful|unsuccessful|preferred|unpreferred|solved|unsolved|losing)"
_WHICH = rf"(?:{_ENDED}|right|wrong|correct|incorrect|other|better|worse|good|bad|former|latter)"
_TASK = r"(?:problem|task|question|example)"
_NOT_GENERAL = either(
    rf"\bthe (?:{_WHICH} {_ATTEMPT}|{_ENDED} (?:agent|model))s?\b",
    rf"\b(?:both|these|those|this) (?:{_ATTEMPT}|agent)s?\b(?! of)",
    # Not "the first run": that is how anybody speaks of running a program.
    r"\bthe (?:first|second) (?:attempt|trajectory|trace|transcript|rollout|episode)\b"
    r"(?! (?:fail|error|return|is reject|do|time|was reject|call))",
    r"\b(?:attempt|run|trajectory|agent|model|solution) (?-i:[AB]|[12]|#\d)\b(?! of)",
    rf"\bthis (?:particular |specific |very |given )?(?:{_TASK}|exercise|puzzle|instance|function|"
    r"assignment|conversation|scenario)\b(?! (?:type|class|kind))",
    rf"\bthe (?:{_TASK}|solution|code|function|attempt) (?:above|below|at hand|here)\b",
    rf"\bthe (?:above|preceding|aforementioned) (?:{_TASK}|solution|code|attempt)",
    # Examples are given with many tasks; a problem or an attempt is given with one.
    r"\bthe given (?:problem|task|question|solution|code|attempt)",
    r"\bthe (?:present|current) (?:problem|question|exercise)\b|\bthe trajector(?:y|ies)\b",
    flags=re.I,
)


def not_general(reading: Reading, _source: SourceText) -> str | None:
    """Talk about the attempts that were compared, or about one particular task."""
    for part in reading.parts:
        match = _NOT_GENERAL.search(part)
        if match:
            return match[0]
    return None
