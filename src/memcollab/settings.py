"""Settings, read once: argument > environment ``MEMCOLLAB_*`` > ``memcollab.toml`` > default.

Only this module reads the environment and the project file; only the doors call it. The objects
below it take plain arguments.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from memcollab.errors import UsageError

if TYPE_CHECKING:
    from memcollab.collab import MemCollab

PROJECT_FILE = Path("memcollab.toml")


class Settings(BaseSettings):
    """Everything that can be set from outside. ``repr`` masks keys and passwords."""

    model_config = SettingsConfigDict(
        env_prefix="MEMCOLLAB_", toml_file=PROJECT_FILE, extra="forbid", frozen=True
    )

    bank: str = Field(default="memcollab.db", description="path or URL of the bank")
    bank_key: SecretStr | None = Field(default=None, description="key of a bank behind a URL")
    banks: str | None = Field(
        default=None, description="folder, or URL of a PostgreSQL, of the banks that serve serves"
    )
    recipe: str = Field(
        default="default",
        description="default, strict, proven, trial, paper-v1, paper-v2 or single",
    )
    writer: str | None = Field(default=None, description="model that distils: provider:model")
    writer_url: str | None = Field(default=None, description="OpenAI-compatible server of it")
    api_key: SecretStr | None = Field(default=None, description="key for writer_url, embedder_url")
    parallel: int = Field(default=4, ge=1, description="requests to the writer at once")
    source: str = Field(default="local", description="who brings the runs that are learned from")
    trusted: bool = Field(default=True, description="whether to believe that source")
    agent: str = Field(default="any", description="model that recalls")
    harness: str | None = Field(default=None, description="harness that recalls")
    holdout: float = Field(
        default=0.0, ge=0, lt=1, description="share of recalls withheld at random, as evidence"
    )
    holdout_start: float | None = Field(
        default=None, ge=0, lt=1, description="that share at first; else the recipe's"
    )
    taxonomy: Path | None = Field(default=None, description="TOML file in place of the built-in")
    embedder: str | None = Field(default=None, description="embedding model at embedder_url")
    embedder_url: str | None = Field(default=None, description="OpenAI-compatible server of it")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then environment, then the project file; no dotenv, no secrets folder."""
        del dotenv_settings, file_secret_settings
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        from memcollab.bank.address import without_password

        for name, value in super().__repr_args__():
            yield name, without_password(value) if value and name in ("bank", "banks") else value

    @property
    def key(self) -> str | None:
        """The key in the clear, for the one call that needs it."""
        return self.api_key.get_secret_value() if self.api_key else None

    def collab(self, *, create: bool = True) -> MemCollab:
        """The object users hold, over the bank and with the embedder that are set."""
        from memcollab.collab import MemCollab
        from memcollab.embed import remote

        if self.bank.startswith(("http://", "https://")):
            opens = self.bank_key.get_secret_value() if self.bank_key else None
            return MemCollab(self.bank, key=opens, recipe=self.recipe, create=create)
        embedder = None
        if self.embedder:
            if not self.embedder_url:
                raise UsageError(
                    f"embedder {self.embedder!r} needs its server. "
                    "Next: set MEMCOLLAB_EMBEDDER_URL=http://127.0.0.1:8080/v1"
                )
            embedder = remote(self.embedder, self.embedder_url, self.key)
        return MemCollab(
            self.bank,
            recipe=self.recipe,
            taxonomy=self.taxonomy,
            embedder=embedder,
            holdout=self.holdout,
            holdout_start=self.holdout_start,
            create=create,
        )


def load(**given: Any) -> Settings:
    """Settings with what was ``given`` (None = not given) over environment and project file.

    Raises:
        UsageError: a setting has a value it cannot have, or a name that does not exist.
    """
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}, got {_shown(fault)}"
            for fault in error.errors()
        )
        raise UsageError(
            f"settings cannot be used: {wrong}. Valid: {', '.join(sorted(Settings.model_fields))}. "
            f"Next: mend the environment (MEMCOLLAB_*) or {str(PROJECT_FILE)!r}"
        ) from error
    except ValueError as error:  # tomllib's own error is a ValueError
        raise UsageError(
            f"{str(PROJECT_FILE)!r} is not readable TOML: {error}. Next: mend or remove it"
        ) from error


def _shown(fault: Mapping[str, Any]) -> str:
    """The value at fault; that of a key stays out of messages and logs."""
    secret = {"api_key", "bank_key"} & set(fault["loc"])
    return "(hidden)" if secret else repr(fault["input"])
