"""Account data on the wire, as client programs ask for it. Source: API description, read 2026-11."""

from typing import Any, Literal

from pydantic import Field
from typing_extensions import TypedDict

from reverie.api.wire.base import Body
from reverie.auth.keys import Caller
from reverie.domain.organization import Organization


class UserState(TypedDict):
    """Who calls. A server of one's own knows no addresses and sells nothing."""

    id: str
    email: str
    name: str
    organization_name: str
    organization_id: str
    current_project_name: str | None
    current_project_id: str | None
    billing_tier: Literal["self-hosted"]
    remaining_credits: float


class StatusState(TypedDict):
    """Which project requests fall into by default."""

    current_project_id: str | None


class BalanceState(TypedDict):
    """What is left of what was bought: nothing is sold here, and nothing counted."""

    total_balance: float
    monthly_credit_balance: float
    purchased_credit_balance: float
    billing_tier: Literal["self-hosted"]


class Taken(TypedDict):
    """It was taken."""

    success: bool


BALANCE: BalanceState = {
    "total_balance": 0,
    "monthly_credit_balance": 0,
    "purchased_credit_balance": 0,
    "billing_tier": "self-hosted",
}


def user_state(caller: Caller, organization: Organization, project_id: str | None) -> UserState:
    """The caller as clients read it."""
    return {
        "id": caller.user_id,
        "email": "",
        "name": organization.name,
        "organization_name": organization.name,
        "organization_id": organization.id,
        "current_project_name": project_id,
        "current_project_id": project_id,
        "billing_tier": "self-hosted",
        "remaining_credits": 0,
    }


class FeedbackBody(Body):
    """What a user says of a client program, with what that program adds."""

    message: str = Field(min_length=1, max_length=10_000)
    feature: str = "letta-code"
    agent_id: str | None = None
    session_id: str | None = None
    version: str | None = None
    platform: str | None = None


class TelemetryEvent(Body):
    """Something that a client program counts."""

    type: str
    timestamp: str
    data: dict[str, Any]


class TelemetryBody(Body):
    """What a client program counted."""

    service: str
    server_version: str | None = None
    events: list[TelemetryEvent] = Field(min_length=1)
