"""Draft → accepted, or refused with a named reason (pure).

The contract of this module:

* ``screen`` decides from the draft and its source text alone: no model, no bank, no clock. The
  same draft is refused for the same reason everywhere.
* The reasons are a closed set, ``REASONS``; the order is that of the checks, and the first that
  applies is given. What would harm a reader is looked for before what merely does not generalise,
  so that an attack is counted as an attack.
* A refusal says which part gave offence: shortened, and masked if it is a secret.
* Disguises are undone before anything is matched (compatibility forms, hidden characters,
  look-alike letters, percent and entity escapes, base64, letters set apart).
* Text that is not English is not refused for that.

design/screening.md says what each check lets pass and why, and what a screen cannot see.
"""

from __future__ import annotations

from collections.abc import Collection

from memcollab.records import Draft, Refusal
from memcollab.screen import code, form, leaks, secrets, steering, wording
from memcollab.screen.reading import Reading
from memcollab.screen.source import SourceText, called_tools, final_answers

__all__ = ["REASONS", "SourceText", "called_tools", "final_answers", "screen"]

REASONS = {
    "too-long": f"A part has more than {form.MAX_PART} characters, or all more than "
    f"{form.MAX_WHOLE}.",
    "secret": "It holds a key, password, token, account number or a person's address.",
    "role-markers": "It holds marks that separate speakers in a prompt or chat template.",
    "instructions-to-reader": "It orders the reader about instead of giving a lesson.",
    "url": "It holds a link or a network address.",
    "code": "It holds code, a call with arguments, markup or a command line.",
    "hidden-characters": "It holds characters that a person cannot see.",
    "mixed-scripts": "A word mixes letters of several alphabets, or imitates Latin ones.",
    "form": "A part is missing, is no sentence, has several lines, or cannot be read.",
    "model-name": "It names a model or compares models.",
    "latex-of-task": "It repeats a formula of the task.",
    "answer": "It gives away what a run answered.",
    "name-of-task": "It repeats a name, an identifier or quoted words of the task.",
    "number-of-task": "It repeats a number of the task, or a specific one of its runs.",
    "not-general": "It speaks of the attempts that were compared, or of one particular task.",
    "copied-words": "It repeats four consecutive words of the task, or wording of the runs.",
}
_CHECKS = (
    ("too-long", lambda reading, _source: form.too_long(reading)),
    ("secret", secrets.secret),
    ("role-markers", steering.role_markers),
    ("instructions-to-reader", steering.instructions),
    ("url", secrets.url),
    ("code", code.code),
    ("hidden-characters", lambda reading, _source: form.hidden(reading)),
    ("mixed-scripts", lambda reading, _source: form.mixed(reading)),
    ("form", lambda reading, _source: form.misshapen(reading)),
)
_LEAKS = (
    ("latex-of-task", wording.latex_of_task),
    ("answer", leaks.answer),
    ("name-of-task", leaks.name_of_task),
    ("number-of-task", leaks.number_of_task),
    ("not-general", wording.not_general),
    ("copied-words", wording.copied_words),
)
_SHOWN = 80


def screen(draft: Draft, source: SourceText, known_models: Collection[str] = ()) -> Refusal | None:
    """Why this draft must not enter the bank, or None if it may.

    ``source`` is what the draft was distilled from; ``known_models`` are names of models that the
    caller knows, beyond the well-known families. Under a millisecond a draft, and once per
    source about a millisecond per 10,000 characters.
    """
    reading = Reading(draft)
    for reason, check in _CHECKS:
        found = check(reading, source)
        if found is not None:
            return _refusal(reason, found)
    named = wording.model_name(reading, known_models)
    if named is not None:
        return _refusal("model-name", named)
    for reason, check in _LEAKS:
        found = check(reading, source)
        if found is not None:
            return _refusal(reason, found)
    return None


def _refusal(reason: str, found: str) -> Refusal:
    detail = " ".join(found.split())
    return Refusal(reason=reason, detail=detail if len(detail) <= _SHOWN else f"{detail[:_SHOWN]}…")
