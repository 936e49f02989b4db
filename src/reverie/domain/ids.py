"""Identifiers: one `NewType` and one prefix for each kind of thing the API names.

Source: id patterns of the API description and both client SDKs, read 2026-11.
"""

import re
import uuid
from typing import Final, NewType

from reverie.domain.errors import MalformedId

OrganizationId = NewType("OrganizationId", str)
UserId = NewType("UserId", str)
AgentId = NewType("AgentId", str)
BlockId = NewType("BlockId", str)
ToolId = NewType("ToolId", str)
MessageId = NewType("MessageId", str)
ConversationId = NewType("ConversationId", str)
RunId = NewType("RunId", str)
StepId = NewType("StepId", str)
PassageId = NewType("PassageId", str)
ArchiveId = NewType("ArchiveId", str)
IdentityId = NewType("IdentityId", str)
GroupId = NewType("GroupId", str)
ProviderId = NewType("ProviderId", str)
ScheduleId = NewType("ScheduleId", str)
FolderId = NewType("FolderId", str)
FileId = NewType("FileId", str)
TraceId = NewType("TraceId", str)
McpServerId = NewType("McpServerId", str)
BatchId = NewType("BatchId", str)
SandboxId = NewType("SandboxId", str)
EnvironmentId = NewType("EnvironmentId", str)
ConnectionId = NewType("ConnectionId", str)

DEFAULT_ORGANIZATION: Final = OrganizationId("org-00000000-0000-4000-8000-000000000000")
DEFAULT_USER: Final = UserId("user-00000000-0000-4000-8000-000000000000")
DEFAULT_ORGANIZATION_NAME: Final = "default"

DEFAULT_CONVERSATION: Final = "default"
"""The word clients send for an agent's own message thread."""

_PATTERN: Final = re.compile(r"^[a-z_]+-[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$")


def make_id(prefix: str) -> str:
    """Return a new random id such as `agent-0b6c…`, in the API's form."""
    return f"{prefix}-{uuid.uuid4()}"


def make_otid(place: int = 0) -> str:
    """Return a new otid. Its last digit is the message's place in its step: there are programs that look at it."""
    return f"{make_id('otid')[:-1]}{place % 10}"


def user_of(organization_id: OrganizationId) -> UserId:
    """The one user of an organisation: who its keys act for. Shares its UUID."""
    return UserId(f"user-{organization_id.removeprefix('org-')}")


def check_id(value: str, prefix: str, field: str) -> str:
    """Return `value` unchanged when it has the form of a `prefix` id.

    Raises:
        MalformedId: the prefix or the UUID part is wrong.
    """
    if not value.startswith(f"{prefix}-") or _PATTERN.match(value) is None:
        raise MalformedId(field, value, prefix)
    return value


def is_id(value: str, prefix: str) -> bool:
    """Tell whether `value` has the form of a `prefix` id."""
    return value.startswith(f"{prefix}-") and _PATTERN.match(value) is not None
