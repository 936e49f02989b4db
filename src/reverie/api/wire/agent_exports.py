"""What surrounds agent files on the wire. Source: `AgentImportFileParams` and kin, client SDK, read 2026-11."""

from typing import Self

import orjson
from pydantic import Field, model_validator
from typing_extensions import TypedDict

from reverie.api.wire.base import Body
from reverie.domain.agent_file import FileSkill
from reverie.domain.errors import MalformedInput


class ImportedAgents(TypedDict):
    """Ids of the agents that were made of a file, in its order."""

    agent_ids: list[str]


class SkillBody(Body):
    """Instructions that a client program loads for the agent."""

    name: str = Field(min_length=1)
    files: dict[str, str] | None = None
    source_url: str | None = None

    @model_validator(mode="after")
    def _has_content(self) -> Self:
        if not (self.files and "SKILL.md" in self.files) and self.source_url is None:
            raise ValueError("a skill needs files, with 'SKILL.md' among them, or a source_url")
        return self

    def to_domain(self) -> FileSkill:
        """The skill as it stands in the file."""
        return FileSkill(name=self.name, files=self.files, source_url=self.source_url)


class ExportRequest(Body):
    """What an export is to hold."""

    skills: list[SkillBody] = Field(default_factory=list)
    conversation_id: str | None = None
    scrub_messages: bool = False


def secrets_of(text: str | None, field: str) -> dict[str, str]:
    """The secrets that a form carries as JSON text.

    Raises:
        MalformedInput: it is no object of texts.
    """
    if not text:
        return {}
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise MalformedInput(field, 'must be a JSON object of names to texts, such as {"API_KEY": "…"}')
    return found
