"""Who answers the requests of a learn: a model, recorded answers, or a batch file for anyone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import orjson

from memcollab.distill import Request, batch_line
from memcollab.errors import UsageError
from memcollab.models import LanguageModel, RecordedModel, model_named


def writer_of(
    writer: str | LanguageModel | None,
    url: str | None,
    key: str | None,
    batch_in: str | Path | None,
) -> LanguageModel:
    """The model that was named or given; recorded answers go before it.

    Raises:
        UsageError: there is neither, or the recorded answers cannot be used.
        ModelUnavailable: the provider is unknown or has no key.
    """
    if batch_in:
        return RecordedModel(batch_in)
    if writer is None:
        raise UsageError(
            "no writer was named, and distilling needs one. Valid: a model (--writer "
            "openai:gpt-5-mini), recorded answers (--batch-in FILE), requests for any other means "
            "(--batch-out FILE), or --dry-run to see what there is to learn"
        )
    return model_named(writer, url=url, key=key) if isinstance(writer, str) else writer


def name_in_batch(writer: str | LanguageModel | None) -> str:
    """What the requests of a batch file say about who is to answer them."""
    if writer is None:
        return "writer"
    return writer if isinstance(writer, str) else writer.name


def askable(requests: Sequence[Request], model: LanguageModel) -> Sequence[Request]:
    """Requests that the model can be asked; a recorded one knows those that were recorded.

    Raises:
        UsageError: answers were recorded, but none to any of these requests.
    """
    if not isinstance(model, RecordedModel):
        return requests
    found = [request for request in requests if request.prompt.id in model]
    if requests and not found:
        raise UsageError(
            f"none of the {len(model)} recorded answers is to one of the {len(requests)} requests "
            f"(the first is {requests[0].prompt.id!r}): they were recorded for other runs, another "
            "mapping, recipe or wording. Next: memcollab learn … --batch-out requests.jsonl"
        )
    return found


def write_batch(requests: Sequence[Request], writer: str, path: Path) -> None:
    """Write the requests as an OpenAI batch file, one a line.

    Raises:
        UsageError: the file cannot be written.
    """
    try:
        with path.open("wb") as file:
            for request in requests:
                line = batch_line(request, writer)
                file.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
    except OSError as error:
        raise UsageError(
            f"cannot write the requests to {str(path)!r}: {error.strerror}. "
            "Next: give --batch-out another file"
        ) from error
