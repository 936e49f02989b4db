"""Agent files between JSON and records: the present form and the older one of a single agent.

What reads a file is lenient where other servers wrote null for "nothing said", and strict
about everything that an agent is made of.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from functools import cache
from typing import Any, Final, NoReturn

import orjson
from pydantic import TypeAdapter, ValidationError

from reverie.domain.agent_file import (
    AgentFile,
    FileAgent,
    FileBlock,
    FileFile,
    FileGroup,
    FileMcpServer,
    FileMessage,
    FileSkill,
    FileSource,
    FileTool,
    check_references,
)
from reverie.domain.errors import InvalidInput
from reverie.domain.json import JsonObject

_FORMS: Final[Mapping[str, tuple[type[Any], bool]]] = {
    "agents": (FileAgent, True),
    "groups": (FileGroup, False),
    "blocks": (FileBlock, False),
    "files": (FileFile, False),
    "sources": (FileSource, False),
    "tools": (FileTool, False),
    "mcp_servers": (FileMcpServer, False),
    "skills": (FileSkill, False),
}
"""The lists of a file: what they hold, and whether a file must have them."""
_NULL_WHEN_EMPTY: Final = ("tool_calls", "tool_returns", "approvals")
_MOST: Final = 2**31 - 1
_FREE: Final = frozenset({"metadata", "metadata_", "json_schema", "args_json_schema", "file_size", "content"})
"""What may hold any number: it is kept as JSON, or counted anew."""
_BARE_LISTS: Final = ("memory_blocks", "tools", "initial_message_sequence")


def decode_text(text: bytes | str) -> AgentFile:
    """The file that `text` is; JSON within a JSON string is taken too, as some clients send it.

    Raises:
        InvalidInput: what is wrong, and where.
    """
    try:
        data = orjson.loads(text)
        if isinstance(data, str):
            data = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"agent file: not JSON: {error}; send a file as the export endpoint gives it") from error
    return decode(data)


def decode(data: object) -> AgentFile:
    """The file that decoded JSON is; errors as above."""
    if not isinstance(data, dict):
        raise InvalidInput("agent file: a JSON object is expected; send a file as the export endpoint gives it")
    if "agents" not in data and ("core_memory" in data or "agent_type" in data):
        data = _from_legacy(data)
    data = _spread(data)
    file = AgentFile(
        **{name: _decoded_list(data, name) for name in _FORMS},
        metadata={str(key): str(value) for key, value in _object(data.get("metadata"), "metadata").items()},
        created_at=_decoded(datetime, data.get("created_at"), "created_at"),
    )
    check_references(file)
    return file


def _spread(data: JsonObject) -> JsonObject:
    """`data` with what may also stand inside an agent in its place: blocks and the first messages."""
    agents, blocks = [], list(_objects(data, "blocks"))
    for agent in _objects(data, "agents"):
        inline = [
            {**block, "id": f"{agent.get('id')}/memory-{place}"}
            for place, block in enumerate(_objects(agent, "memory_blocks"))
        ]
        first = [
            {"content": "", **message, "id": f"{agent.get('id')}/message-{place}"}
            for place, message in enumerate(_objects(agent, "initial_message_sequence"))
        ]
        blocks += inline
        agents.append(
            {
                **agent,
                "block_ids": [*(agent.get("block_ids") or []), *(block["id"] for block in inline)],
                "messages": agent.get("messages") or first,
            }
        )
    return {**data, "blocks": blocks, **({"agents": agents} if "agents" in data else {})}


def encode(file: AgentFile) -> JsonObject:
    """`file` as plain JSON."""
    data: JsonObject = orjson.loads(orjson.dumps(file))
    for agent in data["agents"]:
        for message in agent["messages"]:
            # Servers that read them tell an empty list from none.
            for name in _NULL_WHEN_EMPTY:
                message[name] = message[name] or None
    return data


def encode_legacy(file: AgentFile) -> JsonObject:
    """The first agent of `file` in the older form."""
    agent = encode(file)["agents"][0]
    blocks = {block.id: block for block in file.blocks}
    tools = {tool["id"]: tool for tool in encode(file)["tools"]}
    moment = None if file.created_at is None else file.created_at.isoformat()
    places = {message["id"]: place for place, message in enumerate(agent["messages"])}
    return {
        "version": file.metadata.get("version", ""),
        **{name: agent[name] for name in ("agent_type", "name", "system", "description", "llm_config")},
        **{name: agent[name] for name in ("embedding_config", "message_buffer_autoclear", "tool_rules")},
        "created_at": moment,
        "updated_at": moment,
        "metadata_": agent["metadata"],
        "multi_agent_group": None,
        "tags": [{"tag": tag} for tag in agent["tags"]],
        "core_memory": [
            {
                "label": block.label,
                "value": block.value,
                "limit": block.limit,
                "description": block.description,
                "is_template": block.is_template,
                "template_name": block.template_name,
                "metadata_": block.metadata,
                "created_at": moment,
                "updated_at": moment,
            }
            for block in (blocks[block_id] for block_id in agent["block_ids"])
        ],
        "in_context_message_indices": [places[item] for item in agent["in_context_message_ids"]],
        "messages": [_legacy_message(message) for message in agent["messages"]],
        "tool_exec_environment_variables": [
            {"key": name, "value": "", "description": None, "created_at": moment, "updated_at": moment}
            for name in agent["tool_exec_environment_variables"]
        ],
        "tools": [
            {**tool, "created_at": moment, "updated_at": moment, "description": tool["description"] or ""}
            for tool in (tools[tool_id] for tool_id in agent["tool_ids"])
        ],
    }  # fmt: skip


def _legacy_message(message: JsonObject) -> JsonObject:
    kept = ("created_at", "group_id", "model", "name", "role", "content", "tool_call_id")
    return {
        **{name: message[name] for name in kept},
        "updated_at": message["created_at"],
        "tool_calls": message["tool_calls"] or [],
        "tool_returns": message["tool_returns"] or [],
    }


def _from_legacy(data: JsonObject) -> JsonObject:
    """The present form of an agent that stands alone."""
    blocks = [{**_renamed(item), "id": f"block-{place}"} for place, item in enumerate(_objects(data, "core_memory"))]
    tools = [{**item, "id": f"tool-{place}"} for place, item in enumerate(_objects(data, "tools"))]
    messages = [
        {**item, "id": f"message-{place}", "content": _content(item)}
        for place, item in enumerate(_objects(data, "messages"))
    ]
    indices = data.get("in_context_message_indices") or []
    if not isinstance(indices, list) or not all(isinstance(n, int) and 0 <= n < len(messages) for n in indices):
        raise InvalidInput("agent file: in_context_message_indices must be places in 'messages', counted from 0")
    secrets = _objects(data, "tool_exec_environment_variables")
    agent = {
        **{key: value for key, value in _renamed(data).items() if key not in _BARE_LISTS},
        "id": "agent-0",
        "tags": [item.get("tag") if isinstance(item, dict) else item for item in data.get("tags") or []],
        "tool_exec_environment_variables": {str(item.get("key")): item.get("value") or "" for item in secrets},
        "messages": messages,
        "in_context_message_ids": [f"message-{place}" for place in indices],
        "block_ids": [block["id"] for block in blocks],
        "tool_ids": [tool["id"] for tool in tools],
        "include_base_tools": False,
        "include_base_tool_rules": False,
    }
    return {
        **{name: [] for name in _FORMS},
        "agents": [agent],
        "blocks": blocks,
        "tools": tools,
        "metadata": {"version": str(data.get("version") or "")},
    }


def _renamed(item: JsonObject) -> JsonObject:
    return {"metadata" if key == "metadata_" else key: value for key, value in item.items()}


def _content(message: JsonObject) -> Any:
    """The content of an older message, which may have stood under `text`."""
    content = message.get("content")
    return message.get("text") or "" if content is None else content


def _objects(data: JsonObject, name: str) -> list[JsonObject]:
    items = data.get(name) or []
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise InvalidInput(f"agent file: {name} must be a list of objects")
    return items


def _object(value: object, name: str) -> JsonObject:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidInput(f"agent file: {name} must be an object")
    return value


def _decoded_list(data: JsonObject, name: str) -> tuple[Any, ...]:
    kind, needed = _FORMS[name]
    if needed and name not in data:
        raise InvalidInput(f"agent file: {name!r} is missing; send a file as the export endpoint gives it")
    found = []
    for place, item in enumerate(_objects(data, name)):
        where = f"{name}[{place}]"
        if kind is FileAgent:
            found.append(_agent(item, where))
        else:
            found.append(_decoded(kind, item, where))
    return tuple(found)


def _agent(item: JsonObject, where: str) -> FileAgent:
    """An agent with its messages, which are decoded one by one so that errors name them."""
    messages = tuple(
        _decoded(FileMessage, {**message, "content": _content(message)}, f"{where}.messages[{place}]")
        for place, message in enumerate(_objects(item, "messages"))
    )
    rest = {key: value for key, value in item.items() if key != "messages"}
    compaction = rest.get("compaction_settings")
    if isinstance(compaction, dict):
        rest["compaction_settings"] = _said(compaction, keep=("clip_chars",))
    agent: FileAgent = _decoded(FileAgent, rest, where)
    return replace(agent, messages=messages)


def _said(item: JsonObject, keep: tuple[str, ...] = ()) -> JsonObject:
    """`item` without what is null, so that the record's own defaults stand."""
    return {key: value for key, value in item.items() if value is not None or key in keep}


def _decoded(kind: Any, value: Any, where: str) -> Any:
    if value is None:
        return None
    try:
        found = _adapter(kind).validate_python(_said(value) if isinstance(value, dict) else value)
    except ValidationError as error:
        _refuse(error, where)
    if isinstance(value, dict):
        _check_numbers(value, where)
    return found


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _check_numbers(value: Any, where: str) -> None:
    """Refuse numbers that no column takes, wherever in the part they stand.

    Raises:
        InvalidInput: it says where.
    """
    if isinstance(value, dict):
        for name, part in value.items():
            if name not in _FREE:
                _check_numbers(part, f"{where}.{name}")
    elif isinstance(value, list):
        for place, part in enumerate(value):
            _check_numbers(part, f"{where}.{place}")
    elif isinstance(value, int) and not -_MOST <= value <= _MOST:
        raise InvalidInput(f"agent file: {where}: {value} is larger than any number here may be")


def _refuse(error: ValidationError, where: str) -> NoReturn:
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in (where, *first["loc"]))
    raise InvalidInput(f"agent file: {place}: {first['msg']}") from error
