"""Tools and tool rules on the wire. Source: `Tool`, `ToolCreateParams`, `…ToolRule`, client SDK, read 2026-11."""

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal, TypeAlias, assert_never

from pydantic import AliasChoices, Discriminator, Field, Tag
from typing_extensions import TypedDict

from reverie.api.wire.base import MOST, Body, Metadata, changes_of
from reverie.domain.errors import MalformedInput
from reverie.domain.ids import ToolId, check_id
from reverie.domain.json import JsonObject
from reverie.domain.passage import SearchQuery
from reverie.domain.tool import (
    DEFAULT_RETURN_CHAR_LIMIT,
    PipRequirement,
    Tool,
    ToolChanges,
    ToolDraft,
    ToolType,
)
from reverie.domain.tool_rule import (
    ChildToolRule,
    ConditionalToolRule,
    ContinueToolRule,
    InitToolRule,
    MaxCountPerStepToolRule,
    ParentToolRule,
    RequiredBeforeExitToolRule,
    RequiresApprovalToolRule,
    TerminalToolRule,
    ToolCallNode,
    ToolRule,
)


class Requirement(TypedDict):
    """A package that a tool needs."""

    name: str
    version: str | None


class ToolState(TypedDict):
    """A tool."""

    id: str
    name: str
    tool_type: ToolType
    description: str | None
    json_schema: JsonObject | None
    args_json_schema: JsonObject | None
    source_code: str | None
    source_type: str | None
    tags: list[str]
    return_char_limit: int
    default_requires_approval: bool | None
    enable_parallel_execution: bool
    pip_requirements: list[Requirement] | None
    npm_requirements: list[Requirement] | None
    metadata_: Metadata
    project_id: str | None
    created_by_id: str | None
    last_updated_by_id: str | None


class ToolSearchHit(TypedDict):
    """A found tool and why it ranks where it does."""

    tool: ToolState
    embedded_text: str | None
    fts_rank: int | None
    vector_rank: int | None
    combined_score: float


class ToolExecution(TypedDict):
    """What a tool gave when it was run for an agent."""

    status: Literal["success", "error"]
    func_return: Any
    stdout: list[str]
    stderr: list[str]
    agent_state: None
    sandbox_config_fingerprint: str | None


def tool_state(tool: Tool) -> ToolState:
    """`tool` as clients read it."""
    return {
        "id": tool.id,
        "name": tool.name,
        "tool_type": tool.tool_type,
        "description": tool.description,
        "json_schema": tool.json_schema,
        "args_json_schema": tool.args_json_schema,
        "source_code": tool.source_code,
        "source_type": tool.source_type,
        "tags": list(tool.tags),
        "return_char_limit": tool.return_char_limit,
        "default_requires_approval": tool.default_requires_approval,
        "enable_parallel_execution": tool.enable_parallel_execution,
        "pip_requirements": _requirements(tool.pip_requirements),
        "npm_requirements": _requirements(tool.npm_requirements),
        "metadata_": tool.metadata,
        "project_id": tool.project_id,
        "created_by_id": tool.created_by_id,
        "last_updated_by_id": tool.last_updated_by_id,
    }


def _requirements(items: tuple[PipRequirement, ...]) -> list[Requirement] | None:
    return [{"name": item.name, "version": item.version} for item in items] or None


class RequirementBody(Body):
    """A package that a tool needs; no version means any."""

    name: str = Field(min_length=1)
    version: str | None = None


def _packages(items: list[RequirementBody] | None) -> tuple[PipRequirement, ...]:
    return tuple(PipRequirement(name=item.name, version=item.version) for item in items or ())


def _either(name: str, camel: str) -> Any:
    """The API's name, and the camel case that old TypeScript clients send."""
    return AliasChoices(name, camel)


class _ToolFields(Body):
    """What create and update share."""

    source_type: str | None = Field(default=None, validation_alias=_either("source_type", "sourceType"))
    json_schema: JsonObject | None = Field(default=None, validation_alias=_either("json_schema", "jsonSchema"))
    args_json_schema: JsonObject | None = Field(
        default=None, validation_alias=_either("args_json_schema", "argsJsonSchema")
    )
    description: str | None = None
    tags: list[str] | None = None
    return_char_limit: int | None = Field(
        default=None, ge=1, le=1_000_000, validation_alias=_either("return_char_limit", "returnCharLimit")
    )
    default_requires_approval: bool | None = Field(
        default=None, validation_alias=_either("default_requires_approval", "defaultRequiresApproval")
    )
    enable_parallel_execution: bool | None = Field(
        default=None, validation_alias=_either("enable_parallel_execution", "enableParallelExecution")
    )
    pip_requirements: list[RequirementBody] | None = Field(
        default=None, validation_alias=_either("pip_requirements", "pipRequirements")
    )
    npm_requirements: list[RequirementBody] | None = Field(
        default=None, validation_alias=_either("npm_requirements", "npmRequirements")
    )
    metadata: Metadata | None = Field(default=None, validation_alias=AliasChoices("metadata", "metadata_"))


_SETTINGS: Final = (
    *("tags", "return_char_limit", "default_requires_approval", "enable_parallel_execution"),
    *("pip_requirements", "npm_requirements", "metadata"),
)
"""What a tool's source does not tell."""


class ToolCreate(_ToolFields):
    """A custom tool; what is left out is derived from its source."""

    source_code: str = Field(min_length=1, validation_alias=_either("source_code", "sourceCode"))

    def to_domain(self) -> ToolDraft:
        """The draft that operations make a tool of."""
        return ToolDraft(
            source_code=self.source_code,
            source_type=self.source_type or "python",
            json_schema=plain_schema(self.json_schema),
            args_json_schema=self.args_json_schema,
            description=self.description,
            tags=tuple(self.tags or ()),
            return_char_limit=self.return_char_limit or DEFAULT_RETURN_CHAR_LIMIT,
            default_requires_approval=self.default_requires_approval,
            enable_parallel_execution=bool(self.enable_parallel_execution),
            pip_requirements=_packages(self.pip_requirements),
            npm_requirements=_packages(self.npm_requirements),
            metadata=self.metadata or {},
            unsaid=frozenset(name for name in _SETTINGS if getattr(self, name) is None),
        )


def plain_schema(schema: JsonObject | None) -> JsonObject | None:
    """`schema` without the wrapper `{"type": "function", "function": {…}}` that some clients send."""
    if schema is not None and schema.get("type") == "function" and isinstance(schema.get("function"), dict):
        inner: JsonObject = schema["function"]
        return inner
    return schema


class ToolUpdate(_ToolFields):
    """A partial update of a tool."""

    name: str | None = None
    source_code: str | None = Field(default=None, validation_alias=_either("source_code", "sourceCode"))

    def to_domain(self) -> ToolChanges:
        """The changes that operations apply."""
        given = self.given()
        if self.json_schema is not None:
            given["json_schema"] = plain_schema(self.json_schema)
        for name in ("pip_requirements", "npm_requirements"):
            if given.get(name) is not None:
                given[name] = _packages(given[name])
        return changes_of(ToolChanges, given)


class ToolSearch(Body):
    """What to look for among the tools."""

    query: str | None = None
    search_mode: Literal["vector", "fts", "hybrid"] = "hybrid"
    tags: list[str] | None = None
    tool_types: list[str] | None = None
    limit: int = Field(default=50, ge=1, le=100)

    def to_domain(self) -> SearchQuery:
        """What is searched for."""
        mode: Literal["vector", "text", "hybrid"] = "text" if self.search_mode == "fts" else self.search_mode
        return SearchQuery(text=self.query or "", mode=mode, tags=tuple(self.tags or ()), limit=self.limit)


class ToolRunFromSource(Body):
    """Source to run once, without storing it; or a tool that is stored, which is an addition of ours."""

    source_code: str | None = Field(default=None, min_length=1)
    tool_id: str | None = None
    args: JsonObject = Field(default_factory=dict)
    env_vars: dict[str, str] | None = None
    name: str | None = None
    source_type: str | None = None
    args_json_schema: JsonObject | None = None
    json_schema: JsonObject | None = None
    pip_requirements: list[RequirementBody] | None = None
    npm_requirements: list[RequirementBody] | None = None

    def stored(self) -> ToolId | None:
        """The stored tool that is meant; None: the source is.

        Raises:
            MalformedInput: both are named, or neither is.
        """
        if (self.tool_id is None) == (self.source_code is None):
            raise MalformedInput("source_code", "send the source of a tool, or the id of a stored one as tool_id")
        return None if self.tool_id is None else ToolId(check_id(self.tool_id, "tool", "tool_id"))

    def to_domain(self) -> ToolDraft:
        """The tool that is run."""
        return ToolDraft(
            source_code=self.source_code or "",
            source_type=self.source_type or "python",
            json_schema=plain_schema(self.json_schema),
            args_json_schema=self.args_json_schema,
            pip_requirements=_packages(self.pip_requirements),
            npm_requirements=_packages(self.npm_requirements),
        )


class ToolRunArguments(Body):
    """Arguments of one call."""

    args: JsonObject = Field(default_factory=dict)


class ApprovalSetting(Body):
    """Whether an agent's tool must be approved."""

    requires_approval: bool | None = None
    """None leaves it as it is."""


class _NamedRule(Body):
    tool_name: str = Field(min_length=1)
    prompt_template: str | None = None


class InitRule(_NamedRule):
    """The tool runs first."""

    type: Literal["run_first"] = "run_first"
    args: JsonObject | None = None


class ChildArgNode(Body):
    """A child tool with arguments it must be called with."""

    name: str
    args: JsonObject | None = None


class ChildRule(_NamedRule):
    """After the tool, only its children may run."""

    type: Literal["constrain_child_tools"] = "constrain_child_tools"
    children: list[str]
    child_arg_nodes: list[ChildArgNode] | None = None


class ParentRule(_NamedRule):
    """The children are hidden until the tool ran."""

    type: Literal["parent_last_tool"] = "parent_last_tool"
    children: list[str]


class ConditionalRule(_NamedRule):
    """The tool's return value selects the next tool."""

    type: Literal["conditional"] = "conditional"
    child_output_mapping: dict[str, str]
    default_child: str | None = None
    require_output_mapping: bool = False


class TerminalRule(_NamedRule):
    """The turn ends after the tool."""

    type: Literal["exit_loop"] = "exit_loop"


class ContinueRule(_NamedRule):
    """The turn goes on after the tool."""

    type: Literal["continue_loop"] = "continue_loop"


class RequiredBeforeExitRule(_NamedRule):
    """The turn may not end before the tool ran."""

    type: Literal["required_before_exit"] = "required_before_exit"


class MaxCountPerStepRule(_NamedRule):
    """The tool may run so often in one request."""

    type: Literal["max_count_per_step"] = "max_count_per_step"
    max_count_limit: int = Field(ge=1, le=MOST)


class RequiresApprovalRule(_NamedRule):
    """A person must approve each call."""

    type: Literal["requires_approval"] = "requires_approval"


def _rule_type(rule: Any) -> str | None:
    found = rule.get("type") if isinstance(rule, dict) else getattr(rule, "type", None)
    if found is None and isinstance(rule, dict):  # told apart by what only one kind has
        for name, kind in (
            ("child_output_mapping", "conditional"),
            ("max_count_limit", "max_count_per_step"),
            ("children", "constrain_child_tools"),
        ):
            if name in rule:
                return kind
    return found if found is None else str(found)


RuleBody: TypeAlias = Annotated[
    Annotated[InitRule, Tag("run_first")]
    | Annotated[ChildRule, Tag("constrain_child_tools")]
    | Annotated[ParentRule, Tag("parent_last_tool")]
    | Annotated[ConditionalRule, Tag("conditional")]
    | Annotated[TerminalRule, Tag("exit_loop")]
    | Annotated[ContinueRule, Tag("continue_loop")]
    | Annotated[RequiredBeforeExitRule, Tag("required_before_exit")]
    | Annotated[MaxCountPerStepRule, Tag("max_count_per_step")]
    | Annotated[RequiresApprovalRule, Tag("requires_approval")],
    Discriminator(
        _rule_type,
        custom_error_type="rule_type",
        # The SDK's classes do not fill it in by themselves.
        custom_error_message="a rule needs its 'type': run_first, constrain_child_tools, parent_last_tool, "
        "conditional, exit_loop, continue_loop, required_before_exit, max_count_per_step or requires_approval",
    ),
]


def rule_to_domain(rule: RuleBody) -> ToolRule:
    """The rule as the loop reads it."""
    name, template = rule.tool_name, rule.prompt_template
    match rule:
        case InitRule():
            return InitToolRule(tool_name=name, prompt_template=template, args=rule.args)
        case ChildRule():
            nodes = rule.child_arg_nodes
            return ChildToolRule(
                tool_name=name,
                prompt_template=template,
                children=tuple(rule.children),
                child_arg_nodes=None if nodes is None else tuple(ToolCallNode(name=n.name, args=n.args) for n in nodes),
            )
        case ParentRule():
            return ParentToolRule(tool_name=name, prompt_template=template, children=tuple(rule.children))
        case ConditionalRule():
            return ConditionalToolRule(
                tool_name=name,
                prompt_template=template,
                child_output_mapping=rule.child_output_mapping,
                default_child=rule.default_child,
                require_output_mapping=rule.require_output_mapping,
            )
        case TerminalRule():
            return TerminalToolRule(tool_name=name, prompt_template=template)
        case ContinueRule():
            return ContinueToolRule(tool_name=name, prompt_template=template)
        case RequiredBeforeExitRule():
            return RequiredBeforeExitToolRule(tool_name=name, prompt_template=template)
        case MaxCountPerStepRule():
            return MaxCountPerStepToolRule(
                tool_name=name, prompt_template=template, max_count_limit=rule.max_count_limit
            )
        case RequiresApprovalRule():
            return RequiresApprovalToolRule(tool_name=name, prompt_template=template)
        case impossible:
            assert_never(impossible)


def rules_to_domain(given: Sequence[RuleBody]) -> tuple[ToolRule, ...]:
    """The rules, each once however often it was said."""
    kept: list[ToolRule] = []
    for rule in map(rule_to_domain, given):
        if rule not in kept:
            kept.append(rule)
    return tuple(kept)


def rule_state(rule: ToolRule) -> JsonObject:
    """The rule as clients read it."""
    common: JsonObject = {"tool_name": rule.tool_name, "type": rule.type, "prompt_template": rule.prompt_template}
    match rule:
        case InitToolRule():
            return common | {"args": rule.args}
        case ChildToolRule():
            nodes = rule.child_arg_nodes
            return common | {
                "children": list(rule.children),
                "child_arg_nodes": None if nodes is None else [{"name": n.name, "args": n.args} for n in nodes],
            }
        case ParentToolRule():
            return common | {"children": list(rule.children)}
        case ConditionalToolRule():
            return common | {
                "child_output_mapping": rule.child_output_mapping,
                "default_child": rule.default_child,
                "require_output_mapping": rule.require_output_mapping,
            }
        case MaxCountPerStepToolRule():
            return common | {"max_count_limit": rule.max_count_limit}
        case TerminalToolRule() | ContinueToolRule() | RequiredBeforeExitToolRule() | RequiresApprovalToolRule():
            return common
        case impossible:
            assert_never(impossible)
