"""Our wire models against the types of the client SDK, field by field."""

import importlib
import types
import typing
from enum import Enum
from typing import Annotated, Any, Literal, NotRequired, Required, Union, get_args, get_origin

import pytest
from pydantic import BaseModel as Body
from typing_extensions import is_typeddict

from reverie.api.encode import fold, messages, sse
from reverie.api.wire import agents, archives, blocks, conversations, health, identities, models, runs, schedules, tools
from reverie.api.wire import messages as inputs

ANSWERS = [
    (agents.AgentState, "agent_state.AgentState"),
    (agents.MemoryState, "agent_state.Memory"),
    (agents.Source, "agent_state.Source"),
    (agents.CompactionSettingsState, "agent_state.CompactionSettings"),
    (identities.IdentityState, "agent_state.Identity"),
    (identities.IdentityPropertyState, "agent_state.IdentityProperty"),
    (agents.Group, "agent_state.ManagedGroup"),
    (agents.Group, "agent_state.MultiAgentGroup"),
    (agents.AgentEnvironmentVariable, "agent_environment_variable.AgentEnvironmentVariable"),
    (models.LlmConfig, "llm_config.LlmConfig"),
    (models.EmbeddingConfig, "embedding_config.EmbeddingConfig"),
    (models.ModelState, "model.Model"),
    (models.EmbeddingModelState, "embedding_model.EmbeddingModel"),
    (blocks.BlockState, "block_response.BlockResponse"),
    (blocks.BlockState, "agents.block.Block"),
    (tools.ToolState, "tool.Tool"),
    (tools.Requirement, "pip_requirement.PipRequirement"),
    (tools.Requirement, "npm_requirement.NpmRequirement"),
    (tools.ToolSearchHit, "tool_search_result.ToolSearchResult"),
    (tools.ToolExecution, "agents.tool_execution_result.ToolExecutionResult"),
    (archives.ArchiveState, "archive.Archive"),
    (archives.PassageState, "passage.Passage"),
    (archives.PassageHit, "passage_search_response.PassageSearchResponseItem"),
    (archives.ArchivalSearchState, "agents.passage_search_response.PassageSearchResponse"),
    (archives.ArchivalHit, "agents.passage_search_response.Result"),
    (conversations.ConversationState, "conversation.Conversation"),
    (conversations.CompactionState, "conversations.compaction_response.CompactionResponse"),
    (runs.RunState, "agents.run.Run"),
    (runs.RequestConfig, "agents.run.RequestConfig"),
    (runs.StepState, "step.Step"),
    (runs.StepMetrics, "steps.metric_retrieve_response.MetricRetrieveResponse"),
    (runs.UsageState, "runs.usage_retrieve_response.UsageRetrieveResponse"),
    (runs.PromptTokensDetails, "runs.usage_retrieve_response.PromptTokensDetails"),
    (runs.CompletionTokensDetails, "runs.usage_retrieve_response.CompletionTokensDetails"),
    (schedules.ScheduleState, "agents.schedule_retrieve_response.ScheduleRetrieveResponse"),
    (schedules.ScheduleState, "agents.schedule_list_response.ScheduledMessage"),
    (schedules.ScheduleList, "agents.schedule_list_response.ScheduleListResponse"),
    (schedules.ScheduleMade, "agents.schedule_create_response.ScheduleCreateResponse"),
    (schedules.Deleted, "agents.schedule_delete_response.ScheduleDeleteResponse"),
    (schedules.ScheduledRequest, "agents.schedule_retrieve_response.Message"),
    (schedules.ScheduledMessageCreate, "agents.schedule_retrieve_response.MessageMessage"),
    (schedules.OneTime, "agents.schedule_retrieve_response.ScheduleUnionMember0"),
    (schedules.RecurringTime, "agents.schedule_retrieve_response.ScheduleUnionMember1"),
    (health.Health, "health_response.HealthResponse"),
    (messages.SystemMessage, "agents.system_message.SystemMessage"),
    (messages.UserMessage, "agents.user_message.UserMessage"),
    (messages.AssistantMessage, "agents.assistant_message.AssistantMessage"),
    (messages.ReasoningMessage, "agents.reasoning_message.ReasoningMessage"),
    (messages.HiddenReasoningMessage, "agents.hidden_reasoning_message.HiddenReasoningMessage"),
    (messages.ToolCallMessage, "agents.tool_call_message.ToolCallMessage"),
    (messages.ToolReturnMessage, "tool_return_message.ToolReturnMessage"),
    (messages.ApprovalRequestMessage, "agents.approval_request_message.ApprovalRequestMessage"),
    (messages.ApprovalResponseMessage, "agents.approval_response_message.ApprovalResponseMessage"),
    (messages.SummaryMessage, "agents.summary_message.SummaryMessage"),
    (messages.EventMessage, "agents.event_message.EventMessage"),
    (messages.WireToolCall, "agents.tool_call.ToolCall"),
    (messages.WireToolReturn, "agents.tool_return.ToolReturn"),
    (messages.WireDecision, "agents.approval_return.ApprovalReturn"),
    (messages.TextContent, "agents.text_content.TextContent"),
    (messages.ImageContent, "agents.image_content.ImageContent"),
    (sse.StopReasonEvent, "agents.letta_response.StopReason"),
    (sse.UsageEvent, "agents.letta_response.Usage"),
    (fold.LettaResponse, "agents.letta_response.LettaResponse"),
]

BODIES = [
    (agents.AgentCreate, "agent_create_params.AgentCreateParams"),
    (agents.AgentUpdate, "agent_update_params.AgentUpdateParams"),
    (agents.CompactionSettingsBody, "agent_create_params.CompactionSettings"),
    (models.LlmConfigBody, "llm_config_param.LlmConfigParam"),
    (models.EmbeddingConfigBody, "embedding_config_param.EmbeddingConfigParam"),
    *(
        (models.ModelSettingsBody, f"{name}_model_settings_param.{title}ModelSettingsParam")
        for name, title in (
            ("openai", "OpenAI"),
            ("anthropic", "Anthropic"),
            ("google_ai", "GoogleAI"),
            ("google_vertex", "GoogleVertex"),
            ("azure", "Azure"),
            ("xai", "Xai"),
            ("groq", "Groq"),
            ("deepseek", "Deepseek"),
            ("together", "Together"),
            ("bedrock", "Bedrock"),
        )
    ),
    *(
        (models.ModelSettingsBody, f"agent_create_params.ModelSettings{title}ModelSettings")
        for title in ("SgLang", "Moonshot", "Zai", "MoonshotCoding", "Baseten", "OpenRouter", "ChatGptoAuth")
    ),
    (models.ThinkingBody, "agent_create_params.ModelSettingsZaiModelSettingsThinking"),
    (blocks.BlockCreate, "create_block_param.CreateBlockParam"),
    (blocks.BlockCreate, "block_create_params.BlockCreateParams"),
    (blocks.BlockUpdate, "block_update_params.BlockUpdateParams"),
    (tools.ToolCreate, "tool_create_params.ToolCreateParams"),
    (tools.ToolCreate, "tool_upsert_params.ToolUpsertParams"),
    (tools.ToolUpdate, "tool_update_params.ToolUpdateParams"),
    (tools.ToolSearch, "tool_search_params.ToolSearchParams"),
    (tools.RequirementBody, "pip_requirement_param.PipRequirementParam"),
    (tools.InitRule, "init_tool_rule_param.InitToolRuleParam"),
    (tools.ChildRule, "child_tool_rule_param.ChildToolRuleParam"),
    (tools.ParentRule, "parent_tool_rule_param.ParentToolRuleParam"),
    (tools.ConditionalRule, "conditional_tool_rule_param.ConditionalToolRuleParam"),
    (tools.TerminalRule, "terminal_tool_rule_param.TerminalToolRuleParam"),
    (tools.ContinueRule, "continue_tool_rule_param.ContinueToolRuleParam"),
    (tools.RequiredBeforeExitRule, "required_before_exit_tool_rule_param.RequiredBeforeExitToolRuleParam"),
    (tools.MaxCountPerStepRule, "max_count_per_step_tool_rule_param.MaxCountPerStepToolRuleParam"),
    (tools.RequiresApprovalRule, "requires_approval_tool_rule_param.RequiresApprovalToolRuleParam"),
    (inputs.AgentMessages, "agents.message_create_params.MessageCreateParamsStreaming"),
    (inputs.AgentMessages, "agents.message_stream_params.MessageStreamParams"),
    (inputs.AsyncMessages, "agents.message_create_async_params.MessageCreateAsyncParams"),
    (inputs.ConversationMessages, "conversations.message_create_params.MessageCreateParams"),
    (inputs.MessageCreate, "message_create_param.MessageCreateParam"),
    (inputs.ApprovalCreate, "agents.approval_create_param.ApprovalCreateParam"),
    (inputs.ToolReturnCreate, "agents.message_create_params.MessageToolReturnCreate"),
    (inputs.ToolReturnBody, "agents.tool_return_param.ToolReturnParam"),
    (inputs.ApprovalReturnBody, "agents.approval_return_param.ApprovalReturnParam"),
    (inputs.ClientToolBody, "agents.message_create_params.ClientTool"),
    (inputs.ClientSkillBody, "agents.message_create_params.ClientSkill"),
    (inputs.RetrieveStream, "conversations.message_stream_params.MessageStreamParams"),
    (inputs.ResetMessages, "agents.message_reset_params.MessageResetParams"),
    (inputs.CancelRuns, "agents.message_cancel_params.MessageCancelParams"),
    (inputs.MessageSearch, "message_search_params.MessageSearchParams"),
    (conversations.ConversationCreate, "conversation_create_params.ConversationCreateParams"),
    (conversations.ConversationUpdate, "conversation_update_params.ConversationUpdateParams"),
    (archives.ArchiveCreate, "archive_create_params.ArchiveCreateParams"),
    (archives.ArchiveUpdate, "archive_update_params.ArchiveUpdateParams"),
    (archives.PassageCreate, "archives.passage_create_params.PassageCreateParams"),
    (archives.PassagesCreate, "archives.passage_create_many_params.PassageCreateManyParams"),
    (archives.PassageSearch, "passage_search_params.PassageSearchParams"),
    (schedules.ScheduleCreate, "agents.schedule_create_params.ScheduleCreateParams"),
    (schedules.OneTimeBody, "agents.schedule_create_params.ScheduleUnionMember0"),
    (schedules.RecurringBody, "agents.schedule_create_params.ScheduleUnionMember1"),
    (runs.Feedback, "steps.feedback_create_params.FeedbackCreateParams"),
]

NOT_IN_SDK = {
    # Fields of the API description that this SDK version does not know; it ignores them.
    "ConversationState": {"isolated_block_ids"},
}


def sdk_type(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(f"letta_client.types.{module}"), name)


def bare(annotation: Any) -> Any:
    while get_origin(annotation) in (Annotated, Required, NotRequired):
        annotation = get_args(annotation)[0]
    return annotation


def members(annotation: Any) -> list[Any]:
    annotation = bare(annotation)
    if get_origin(annotation) in (Union, types.UnionType):
        return [leaf for part in get_args(annotation) for leaf in members(part)]
    return [annotation]


def words(annotation: Any) -> set[Any] | None:
    """The closed set of words that `annotation` allows; None where it is open."""
    found: set[Any] = set()
    for part in members(annotation):
        if get_origin(part) is Literal:
            found |= set(get_args(part))
        elif isinstance(part, type) and issubclass(part, Enum):
            found |= {item.value for item in part}
        elif part is not type(None):
            return None
    return found or None


def allows_none(annotation: Any) -> bool:
    return type(None) in members(annotation) or annotation is Any


def our_fields(model: Any) -> dict[str, Any]:
    if is_typeddict(model):
        return typing.get_type_hints(model)
    return {name: field.annotation for name, field in model.model_fields.items()}


def sdk_fields(model: Any) -> dict[str, tuple[Any, bool]]:
    """Each field's type, and whether the SDK insists on it."""
    if isinstance(model, type) and issubclass(model, Body):
        return {f.alias or name: (f.annotation, f.is_required()) for name, f in model.model_fields.items()}
    hints = typing.get_type_hints(model, include_extras=True)
    return {
        name: (hint, get_origin(hint) is Required or name in model.__required_keys__) for name, hint in hints.items()
    }


@pytest.mark.parametrize(("ours", "path"), ANSWERS, ids=[path for _, path in ANSWERS])
def test_an_answer_has_the_fields_the_sdk_reads(ours: Any, path: str) -> None:
    mine, theirs = our_fields(ours), sdk_fields(sdk_type(path))
    assert set(mine) - NOT_IN_SDK.get(ours.__name__, set()) <= set(theirs)
    assert set(theirs) <= set(mine)
    for name, (annotation, required) in theirs.items():
        assert not (required and allows_none(mine[name])), f"{name} may be null here, and the SDK needs it"
        allowed, used = words(annotation), words(mine[name])
        if allowed is not None and used is not None:
            assert used <= allowed, f"{name} may say what the SDK does not know"


@pytest.mark.parametrize(("ours", "path"), BODIES, ids=[path for _, path in BODIES])
def test_a_body_takes_all_that_the_sdk_sends(ours: type[Body], path: str) -> None:
    theirs = sdk_fields(sdk_type(path))
    theirs.pop("agent_id", None) if "agent_id" not in ours.model_fields else None
    if path.startswith("conversation_create"):
        theirs.pop("agent_id", None)  # goes into the query
    assert set(theirs) <= set(ours.model_fields)
    for name, (annotation, required) in theirs.items():
        field = ours.model_fields[name]
        assert required or not field.is_required(), f"{name} is needed here only"
        if allows_none(annotation):
            assert allows_none(field.annotation), f"{name} may be null in the SDK"
        sent, taken = words(annotation), words(field.annotation)
        if sent is not None and taken is not None:
            assert sent <= taken, f"{name} refuses what the SDK sends"


def test_a_found_message_has_the_fields_the_sdk_reads() -> None:
    union = sdk_type("message_search_response.MessageSearchResponseItem")
    mine = set(our_fields(messages.MessageHit))
    for kind in members(union):
        assert set(sdk_fields(kind)) <= mine
