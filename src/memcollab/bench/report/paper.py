"""The paper's own figures (arXiv 2603.23234, version 1), to stand beside a run's."""

from __future__ import annotations

from collections.abc import Mapping

CITATION = "MemCollab, arXiv 2603.23234 (version 1, 24 March 2026)"
SUITES = ("MATH500", "GSM8K", "MBPP", "HumanEval")
# What an arm of a run is called in the paper.
ARMS: Mapping[str, str] = {
    "none": "no memory",
    "own": "own memory",
    "other": "other model's memory",
    "self-contrast": "self-contrast",
    "paper-v1": "MemCollab",
    "default": "MemCollab",
}
# Accuracy in per cent, in the order of SUITES: arm → agent → figures.
ACCURACY: Mapping[str, Mapping[str, tuple[float, ...]]] = {
    "no memory": {
        "Qwen2.5-7B": (52.2, 85.4, 47.9, 42.7),
        "Qwen2.5-32B": (63.8, 93.0, 58.0, 68.3),
        "Llama-3-8B": (27.4, 73.0, 37.0, 29.3),
    },
    "own memory": {
        "Qwen2.5-7B": (60.0, 86.2, 50.2, 42.7),
        "Qwen2.5-32B": (69.6, 93.2, 60.3, 79.3),
        "Llama-3-8B": (29.2, 63.2, 47.1, 42.7),
    },
    "other model's memory": {
        "Qwen2.5-7B": (50.6, 86.6, 48.6, 34.1),
        "Llama-3-8B": (18.8, 56.6, 35.8, 34.1),
    },
    "self-contrast": {
        "Qwen2.5-7B": (58.4, 85.6, 52.5, 73.3),
        "Qwen2.5-32B": (69.6, 93.4, 58.7, 87.8),
        "Llama-3-8B": (23.6, 61.0, 51.4, 43.9),
    },
    "MemCollab": {
        "Qwen2.5-7B": (67.0, 87.4, 57.6, 74.4),
        "Qwen2.5-32B": (73.8, 93.6, 64.3, 86.6),
        "Llama-3-8B": (42.4, 74.4, 49.8, 48.8),
    },
}
# Mean turns of the Qwen2.5-7B agent, without and with MemCollab, in the order of SUITES.
TURNS = ((2.7, 2.2), (1.8, 1.6), (3.1, 1.4), (3.3, 1.5))
TURNS_AGENT = "Qwen2.5-7B"


def suite_of(name: str) -> str | None:
    """The paper's name of a suite of a run: ``math500`` is MATH500."""
    return {suite.casefold(): suite for suite in SUITES}.get(name.replace("-", "").casefold())
