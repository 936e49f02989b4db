"""What is wrong with an agent's histories. An addition of ours to the API."""

from collections.abc import Sequence

from typing_extensions import TypedDict

from reverie.domain.repair import Fault, FaultKind


class FaultState(TypedDict):
    """Something wrong, and how it is mended."""

    kind: FaultKind
    conversation_id: str
    run_id: str | None
    message_id: str | None
    tool_call_id: str | None
    remedy: str


class RepairState(TypedDict):
    """What was found."""

    agent_id: str
    dry_run: bool
    """Nothing was changed."""
    faults: list[FaultState]


def repair_state(agent_id: str, faults: Sequence[Fault], *, dry_run: bool) -> RepairState:
    """The report on the wire."""
    return {"agent_id": agent_id, "dry_run": dry_run, "faults": [_fault_state(fault) for fault in faults]}


def _fault_state(fault: Fault) -> FaultState:
    return {
        "kind": fault.kind,
        "conversation_id": fault.conversation_id,
        "run_id": fault.run_id,
        "message_id": fault.message_id,
        "tool_call_id": fault.tool_call_id,
        "remedy": fault.remedy,
    }
