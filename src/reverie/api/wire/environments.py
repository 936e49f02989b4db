"""Environments on the wire. Source: `EnvironmentListResponse` and kin, client SDK, read 2026-11."""

from datetime import datetime
from typing import Any, Literal, NotRequired, cast, get_args

import orjson
from pydantic import ConfigDict, Field
from typing_extensions import TypedDict

from reverie.api.wire.base import Body
from reverie.domain.environment import Environment, Mode, Place, Registration
from reverie.domain.ids import make_id
from reverie.domain.json import JsonObject


class EnvironmentFacts(TypedDict, total=False):
    """What a device says of itself; it may say more."""

    os: str | None
    lettaCodeVersion: str | None
    nodeVersion: str | None
    workingDirectory: str | None
    gitBranch: str | None


class EnvironmentState(TypedDict):
    """A device that registered. Times are milliseconds since 1970."""

    id: str
    connectionId: str | None
    deviceId: str
    connectionName: str
    organizationId: str
    userId: str
    apiKeyOwner: str
    podId: str | None
    connectedAt: float | None
    lastHeartbeat: float | None
    lastSeenAt: float
    firstSeenAt: float
    currentMode: NotRequired[Mode]
    metadata: EnvironmentFacts


class EnvironmentList(TypedDict):
    """A page of environments."""

    connections: list[EnvironmentState]
    hasNextPage: bool


class Registered(TypedDict):
    """Where the environment connects."""

    connectionId: str
    wsUrl: str


class Done(TypedDict):
    """What was done."""

    success: bool
    message: str


def environment_state(environment: Environment, now: datetime) -> EnvironmentState:
    """The environment as clients read it; one that is not connected has no connection to send to."""
    online = environment.is_online(now)
    state: EnvironmentState = {
        "id": environment.id,
        "connectionId": environment.connection_id if online else None,
        "deviceId": environment.device_id,
        "connectionName": environment.connection_name,
        "organizationId": environment.organization_id,
        "userId": environment.user_id,
        "apiKeyOwner": environment.api_key_owner,
        "podId": environment.pod_id if online else None,
        "connectedAt": _ms(environment.connected_at) if online else None,
        "lastHeartbeat": _ms(environment.last_heartbeat),
        "lastSeenAt": _ms(environment.last_seen_at) or 0.0,
        "firstSeenAt": _ms(environment.first_seen_at) or 0.0,
        "metadata": cast(EnvironmentFacts, environment.metadata),
    }
    if environment.current_mode is not None:
        state["currentMode"] = environment.current_mode
    return state


def environment_list(found: list[Environment], limit: int, now: datetime) -> EnvironmentList:
    """A page of at most `limit`; one more than that says that there is another."""
    return {
        "connections": [environment_state(item, now) for item in found[:limit]],
        "hasNextPage": len(found) > limit,
    }


def _ms(moment: datetime | None) -> float | None:
    return None if moment is None else round(moment.timestamp() * 1000)


class RegisterFacts(Body):
    """What a device says of itself; whatever else it says is kept too."""

    model_config = ConfigDict(extra="allow")

    os: str | None = None
    lettaCodeVersion: str | None = None
    nodeVersion: str | None = None
    workingDirectory: str | None = None
    gitBranch: str | None = None


class Register(Body):
    """A device that wants to be reached."""

    deviceId: str = Field(min_length=1, max_length=200)
    connectionName: str = Field(min_length=1, max_length=500)
    metadata: RegisterFacts | None = None

    def to_domain(self, source: Place) -> Registration:
        """The registration."""
        facts = None if self.metadata is None else self.metadata.model_dump(exclude_unset=True)
        return Registration(device_id=self.deviceId, connection_name=self.connectionName, source=source, metadata=facts)


class TextBody(Body):
    """A part of a text."""

    type: Literal["text"]
    text: str


class UserMessageBody(Body):
    """Words of the user."""

    role: Literal["user"]
    content: str | list[TextBody]
    client_message_id: str
    otid: str | None = None


class EnvironmentReturnBody(Body):
    """What came of a call that the client ran."""

    type: Literal["tool"] = "tool"
    tool_call_id: str
    tool_return: str | list[TextBody]
    status: Literal["success", "error"]
    stdout: list[str] | None = None
    stderr: list[str] | None = None


class EnvironmentApprovalBody(Body):
    """A person's answer to one call."""

    type: Literal["approval"] = "approval"
    tool_call_id: str
    approve: bool
    reason: str | None = None
    updated_input: dict[str, Any] | None = None


class ApprovalMessageBody(Body):
    """Answers to calls."""

    type: Literal["approval"]
    approvals: list[EnvironmentReturnBody | EnvironmentApprovalBody] = Field(min_length=1)


class SendToEnvironment(Body):
    """Messages for an environment, and the agent that they are for."""

    messages: list[UserMessageBody | ApprovalMessageBody] = Field(min_length=1)
    agentId: str | None = Field(default=None, pattern=r"^agent-[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$")
    conversationId: str | None = None

    def frame(self) -> str:
        """What the environment is sent. Source: the input command of Letta Code's listener, read 2026-11."""
        conversation = self.conversationId or ("default" if self.agentId is not None else None)
        frame = {
            "type": "input",
            "request_id": make_id("request"),
            "runtime": {"agent_id": self.agentId, "conversation_id": conversation},
            "payload": {
                "kind": "create_message",
                "messages": [item.model_dump(exclude_unset=True) for item in self.messages],
            },
        }
        return orjson.dumps(frame).decode()


def mode_of(frame: JsonObject) -> Mode | None:
    """The mode that a frame of an environment tells; None: it tells none that is known."""
    status = frame.get("device_status")
    told: Any = None
    if frame.get("type") == "mode_changed":
        told = frame.get("mode")
    elif isinstance(status, dict):
        told = status.get("current_permission_mode")
    return told if told in get_args(Mode) else None
