"""Words for the OpenAPI page that stand nowhere else: an example of every body, the meaning of parameters.

A house test holds every body to an example that it takes, and every parameter to a description.
"""

from typing import Any, Final

_AGENT: Final = "agent-123e4567-e89b-42d3-8456-426614174000"
_TOOL: Final = "tool-123e4567-e89b-42d3-8456-426614174000"
_SOURCE: Final = '''\
def roll_dice(sides: int) -> int:
    """Roll one die.

    Args:
        sides: how many sides it has
    """
    import random

    return random.randint(1, sides)
'''
_MESSAGES: Final = {"messages": [{"role": "user", "content": "My name is Ada."}]}
_ROUND: Final = {"manager_type": "round_robin", "max_turns": 3}
_PLACE: Final = {
    "base_template_id": "base-template-1",
    "template_id": "template-1",
    "deployment_id": "deployment-1",
    "entity_id": "friend",
}
_URL: Final = {"server_url": "http://localhost:9000/mcp"}
_MCP: Final = {"mcp_server_type": "streamable_http", **_URL}

_FILE: Final = {"agents": [{"id": "agent-0", "name": "helper", "model": "openai/gpt-4o-mini"}]}
_SNAPSHOT: Final = {
    "agents": [
        {
            "entityId": "agent-0",
            "name": "helper",
            "agentType": "letta_v1_agent",
            "model": "openai/gpt-4o-mini",
            "systemPrompt": "Help with letters.",
        }
    ],
    "blocks": [{"entityId": "block-0", "label": "human", "value": "Name: {{name}}"}],
    "relationships": [{"agentEntityId": "agent-0", "blockEntityId": "block-0"}],
}

EXAMPLES: Final[dict[str, Any]] = {
    "AgentCreate": {
        "name": "Ada's friend",
        "model": "openai/gpt-4o-mini",
        "memory_blocks": [{"label": "human", "value": "Name: Ada"}, {"label": "persona", "value": "I am kind."}],
        "tags": ["friends"],
    },
    "AgentUpdate": {"description": "Knows Ada well", "tags": ["friends", "old"]},
    "AgentMessages": _MESSAGES,
    "AsyncMessages": {**_MESSAGES, "callback_url": "https://example.org/done"},
    "ConversationMessages": {**_MESSAGES, "streaming": False},
    "CancelRuns": {"run_ids": ["run-123e4567-e89b-42d3-8456-426614174000"]},
    "MessageUpdate": {"message_type": "user_message", "content": "My name is Ada Lovelace."},
    "ChatRequest": {"model": _AGENT, **_MESSAGES, "stream": False},
    "PassageUpdate": {"text": "Ada's cat is called Tom.", "tags": ["cats"]},
    "ResetMessages": {"add_default_initial_messages": True},
    "Compact": {"compaction_settings": {"mode": "sliding_window", "sliding_window_percentage": 0.3}},
    "ApprovalSetting": {"requires_approval": True},
    "ToolRunArguments": {"args": {"sides": 6}},
    "ScheduleCreate": {
        "messages": [{"role": "user", "content": "Good morning!"}],
        "schedule": {"type": "recurring", "cron_expression": "0 8 * * 1-5"},
    },
    "ConversationCreate": {"summary": "About engines"},
    "ConversationUpdate": {"summary": "About analytical engines", "archived": False},
    "RetrieveStream": {"starting_after": 12, "include_pings": True},
    "Feedback": {"feedback": "positive", "tags": ["kind"]},
    "BlockCreate": {"label": "human", "value": "Name: Ada", "limit": 5000},
    "BlockUpdate": {"value": "Name: Ada Lovelace"},
    "IdentityCreate": {"identifier_key": "ada-1", "name": "Ada", "identity_type": "user"},
    "IdentityUpdate": {"name": "Ada Lovelace", "agent_ids": [_AGENT]},
    "list[reverie.api.wire.identities.IdentityPropertyBody]": [{"key": "age", "value": 36, "type": "number"}],
    "ToolCreate": {"source_code": _SOURCE, "tags": ["games"]},
    "ToolUpdate": {"tags": ["games", "dice"], "return_char_limit": 1000},
    "ToolSearch": {"query": "throw dice", "limit": 5},
    "ToolRunFromSource": {"source_code": _SOURCE, "args": {"sides": 6}},
    "ArchiveCreate": {"name": "letters", "description": "Letters of a year"},
    "ArchiveUpdate": {"description": "Letters of two years"},
    "PassageCreate": {"text": "The engine weaves algebraic patterns.", "tags": ["engine"]},
    "PassagesCreate": {"passages": [{"text": "The engine weaves algebraic patterns."}, {"text": "Letter of May."}]},
    "PassageSearch": {"query": "weaving machines", "agent_id": _AGENT, "limit": 3},
    "MessageSearch": {"query": "engine", "search_mode": "hybrid", "limit": 10},
    "FolderCreate": {"name": "letters", "description": "Letters of a year", "embedding": "builtin/minilm"},
    "FolderUpdate": {"instructions": "Quote letters with their date."},
    "ExportRequest": {},
    "PlacedGroupCreate": {"agent_ids": [_AGENT], "description": "Who writes letters", **_PLACE},
    "CreateBatch": {"requests": [{"agent_id": _AGENT, **_MESSAGES}]},
    "CaptureMessages": {
        "provider": "openai",
        "model": "gpt-4o-mini",
        "request_messages": [{"role": "user", "content": "My name is Ada."}],
        "response_dict": {"role": "assistant", "content": "Hello, Ada."},
    },
    "Generate": {"prompt": "Name a colour."},
    "GroupCreate": {"agent_ids": [_AGENT], "description": "Who writes letters", "manager_config": _ROUND},
    "GroupUpdate": {"description": "Who reads letters"},
    "GroupMessages": _MESSAGES,
    "McpServerCreate": {"server_name": "clock", "config": _MCP},
    "McpServerUpdate": {"config": _MCP},
    "McpToolArguments": {"args": {"timezone": "UTC"}},
    "OldServerConfig": {"server_name": "clock", "type": "streamable_http", **_URL},
    "OldServerUpdate": _URL,
    "AccessTokenCreate": {
        "hostname": "https://example.com",
        "policy": [{"type": "agent", "id": _AGENT, "access": ["read_messages", "write_messages"]}],
    },
    "Register": {"deviceId": "laptop-1", "connectionName": "Ada's laptop", "metadata": {"os": "linux"}},
    "SendToEnvironment": {
        "agentId": _AGENT,
        "messages": [{"role": "user", "content": "Run the tests.", "client_message_id": "message-1"}],
    },
    "FeedbackBody": {"message": "It remembers!", "feature": "sdk"},
    "TelemetryBody": {
        "service": "letta-code",
        "events": [{"type": "session_start", "timestamp": "2026-11-01T08:00:00Z", "data": {"session_id": "1"}}],
    },
    "AgentSearch": {"search": [{"field": "tags", "operator": "contains", "value": ["friends"]}], "limit": 10},
    "FromAgent": {"type": "agent", "agent_id": _AGENT, "name": "friend"},
    "TemplateSave": {"message": "Kinder", "migrate_agents": True},
    "TemplateRollback": {"version": "1"},
    "TemplateUpdate": {"agent_file_json": {"agents": []}, "save_existing_changes": True},
    "TemplateRename": {"new_name": "old-friend"},
    "TemplateDescribe": {"description": "Knows people well"},
    "TemplateFork": {"name": "friend-of-bo"},
    "DeploymentCreate": {"agent_name": "bos-friend", "memory_variables": {"name": "Bo"}, "tags": ["friends"]},
    "DeploymentMigrate": {"version": "2", "preserve_core_memories": True},
    "SnapshotBody": {
        "agents": [
            {
                "entityId": "friend",
                "agentType": "letta_v1_agent",
                "model": "openai/gpt-4o-mini",
                "systemPrompt": "Be kind.",
            }
        ],
        "blocks": [{"entityId": "human", "label": "human", "value": "Name: {{name}}"}],
        "relationships": [{"agentEntityId": "friend", "blockEntityId": "human"}],
    },
    "PlacedAgentCreate": {"name": "bos-friend", **_PLACE},
    "PlacedBlockCreate": {"label": "human", "value": "Name: Bo", **_PLACE},
    "list[reverie.api.wire.deployments.PlacedBlockCreate]": [{"label": "human", "value": "Name: Bo", **_PLACE}],
    "ProjectCreate": {"name": "Engines"},
    "SandboxConfigBody": {"timeout": 30, "use_venv": True, "pip_requirements": [{"name": "numpy"}]},
    "SandboxConfigCreate": {"config": {"timeout": 30}},
    "SandboxConfigUpdate": {"config": {"timeout": 60}},
    "VariableCreate": {"key": "REGION", "value": "eu", "description": "where tools look"},
    "VariableUpdate": {"value": "us"},
    "ProviderCreate": {"name": "my-openai", "provider_type": "openai", "api_key": "sk-123456"},
    "ProviderCheck": {"provider_type": "openai", "api_key": "sk-123456"},
    "CredentialsBody": {"api_key": "sk-123456"},
    "dict[str, typing.Any]": {},
}
"""By the name of the body's type."""

PARAMETERS: Final[dict[str, str]] = {
    "limit": "Most items to answer.",
    "after": "Id of an item: only those behind it, in the order of the list.",
    "before": "Id of an item: only those in front of it, in the order of the list.",
    "order": "`asc` is oldest first, `desc` newest first.",
    "order_by": "What the list is ordered by.",
    "offset": "How many items to leave out.",
    "ascending": "Old form of `order`.",
    "sort_by": "Old form of `order_by`.",
    "include": "Relationships to answer besides the agent's own fields. SDKs get none that they do not ask for.",
    "include_relationships": "Old form of `include`.",
    "name": "Only those with this name.",
    "names": "Only those with one of these names.",
    "tags": "Only those with these tags.",
    "match_all_tags": "All tags must be there, instead of one.",
    "query_text": "Only those whose name holds this text.",
    "search": "Only those whose name holds this text.",
    "label": "Only those with this label.",
    "label_search": "Only those whose label holds this text.",
    "value_search": "Only those whose value holds this text.",
    "description_search": "Only those whose description holds this text.",
    "block_label": "The block's label.",
    "tool_name": "The tool's name.",
    "memory_id": "The passage's id.",
    "conversation_id": "The conversation's id; `default`, or the agent's id, is the agent's own thread.",
    "statuses": "Only those in one of these states.",
    "stop_reason": "Only those that ended for this reason.",
    "background": "Only those that were, or were not, started in the background.",
    "active": "Only those that have not ended.",
    "start_date": "Only what is not older.",
    "end_date": "Only what is not younger.",
    "query": "What to search for.",
    "top_k": "Most items to answer.",
    "tag_match_mode": "Whether one tag is enough (`any`), or all must be there (`all`).",
    "start_datetime": "Only what is not older.",
    "end_datetime": "Only what is not younger.",
    "requires_approval": "Old place of what belongs into the body.",
    "include_err": "Errors too.",
    "use_assistant_message": "Show calls of the messaging tool as what they say.",
    "assistant_message_tool_name": "Name of the messaging tool.",
    "assistant_message_tool_kwarg": "Argument of the messaging tool that holds the words.",
    "include_return_message_types": "Only messages of these types.",
    "feedback": "Only those that a person found so.",
    "model": "Only those of this model.",
    "provider_name": "Only those of this provider.",
    "provider_type": "Only those of this kind of provider.",
    "provider_category": "`base` is the server's own, `byok` what organisations added.",
    "identifier_keys": "Only those of identities with one of these keys.",
    "identifier_key": "Only the one with this key.",
    "identity_type": "Only those of this type.",
    "last_stop_reason": "Only those whose last run ended for this reason.",
    "update_timestamp": "Ignored: the prompt tells the time of its making.",
    "summary_search": "Only those whose summary holds this text.",
    "archive_status": "`unarchived`, `archived` or `all`.",
    "hidden": "Only those that are, or are not, hidden.",
    "agent_ids": "Old form of `agent_id`, for several.",
    "trace_ids": "Only those of one of these traces.",
    "has_feedback": "Only those that have, or lack, feedback.",
    "templates_only": "Only blocks of templates.",
    "connected_to_agents_count_gt": "Only those with more agents.",
    "connected_to_agents_count_lt": "Only those with fewer agents.",
    "connected_to_agents_count_eq": "Only those with one of these numbers of agents.",
    "time": "The moment that is asked about.",
    "from_version": "The version to compare.",
    "to_version": "The version to compare it with.",
    "version": "Number of the version.",
    "tool_ids": "Only those with one of these ids.",
    "tool_types": "Only those of these types.",
    "exclude_tool_types": "None of these types.",
    "return_only_letta_tools": "Only tools that the server brings.",
    "exclude_letta_tools": "No tools that the server brings.",
    "max_steps": "How many of the latest steps' messages to take along.",
    "use_legacy_format": "Write the older form of agent files.",
    "scrub_messages": "Leave the messages out.",
    "x-override-embedding-model": "Old place of `embedding`.",
    "cursor": "Where the page begins: the `next_cursor` of the page before.",
    "is_open": "Only files that are, or are not, open in the agent's prompt.",
    "include_detailed_per_source_metadata": "Tell of each folder by itself too.",
    "folder_name": "The folder's name.",
    "duplicate_handling": "What to do about a file of the same name.",
    "include_content": "Answer the files' text too.",
    "check_status_updates": "Ignored: states are always those of now.",
    "manager_type": "Only those of this type.",
    "mcp_server_name": "The server's name.",
    "mcp_tool_name": "The tool's name, as its server has it.",
    "combinator": "How conditions go together: all must hold.",
    "exact": "The name must be the whole name, not a part of it.",
    "project_slug": "Only those of this project.",
    "template_name": "The template's name; `name:version` where a version is meant.",
    "template_version": "The template's name and version, as `name:version`; `name:latest` is the latest.",
    "entity_types": "Only these kinds of things.",
    "sandbox_type": "Only settings for this kind of sandbox.",
    "dry_run": "Say what would be, and change nothing.",
}
"""By the parameter's name; a description of its own at the parameter comes first."""
