"""MemCollab: one shared memory for LLM agents that run on different models."""

__version__ = "0.1.0"
