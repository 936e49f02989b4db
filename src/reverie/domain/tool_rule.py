"""Rules on which tool may, must or must not run next.

Source: the `…ToolRule` types of the client SDK, read 2026-11.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from reverie.domain.json import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class InitToolRule:
    """The tool runs first in a turn; `args` override what the model gives."""

    tool_name: str
    args: JsonObject | None = None
    prompt_template: str | None = None
    type: Literal["run_first"] = "run_first"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallNode:
    """A child tool with arguments it must be called with."""

    name: str
    args: JsonObject | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildToolRule:
    """After the tool, only its children may run."""

    tool_name: str
    children: tuple[str, ...]
    child_arg_nodes: tuple[ToolCallNode, ...] | None = None
    prompt_template: str | None = None
    type: Literal["constrain_child_tools"] = "constrain_child_tools"


@dataclass(frozen=True, slots=True, kw_only=True)
class ParentToolRule:
    """The children are hidden until the tool ran last."""

    tool_name: str
    children: tuple[str, ...]
    prompt_template: str | None = None
    type: Literal["parent_last_tool"] = "parent_last_tool"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionalToolRule:
    """After the tool, its return value selects the next tool."""

    tool_name: str
    child_output_mapping: dict[str, str]
    """Return value (as text) to tool name."""
    default_child: str | None = None
    require_output_mapping: bool = False
    prompt_template: str | None = None
    type: Literal["conditional"] = "conditional"


@dataclass(frozen=True, slots=True, kw_only=True)
class TerminalToolRule:
    """The turn ends after the tool."""

    tool_name: str
    prompt_template: str | None = None
    type: Literal["exit_loop"] = "exit_loop"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContinueToolRule:
    """The turn goes on after the tool, whatever the model says."""

    tool_name: str
    prompt_template: str | None = None
    type: Literal["continue_loop"] = "continue_loop"


@dataclass(frozen=True, slots=True, kw_only=True)
class RequiredBeforeExitToolRule:
    """The turn may not end before the tool ran."""

    tool_name: str
    prompt_template: str | None = None
    type: Literal["required_before_exit"] = "required_before_exit"


@dataclass(frozen=True, slots=True, kw_only=True)
class MaxCountPerStepToolRule:
    """The tool may run at most so often in one request."""

    tool_name: str
    max_count_limit: int
    prompt_template: str | None = None
    type: Literal["max_count_per_step"] = "max_count_per_step"


@dataclass(frozen=True, slots=True, kw_only=True)
class RequiresApprovalToolRule:
    """A person must approve each call."""

    tool_name: str
    prompt_template: str | None = None
    type: Literal["requires_approval"] = "requires_approval"


ToolRule: TypeAlias = (
    InitToolRule
    | ChildToolRule
    | ParentToolRule
    | ConditionalToolRule
    | TerminalToolRule
    | ContinueToolRule
    | RequiredBeforeExitToolRule
    | MaxCountPerStepToolRule
    | RequiresApprovalToolRule
)
