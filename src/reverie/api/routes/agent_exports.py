"""Agent files: agents out of the server and into it."""

from typing import Annotated

import orjson
from fastapi import File, Form, Header, Query, UploadFile
from starlette.responses import Response

from reverie.api.context import AgentPath, Ask, Call, IntoProject
from reverie.api.declaring import Routes
from reverie.api.encode.json import Json, dumps
from reverie.api.wire.agent_exports import ExportRequest, ImportedAgents, secrets_of
from reverie.domain.agent_file import AgentFile, FileSkill
from reverie.domain.errors import MalformedId
from reverie.domain.ids import DEFAULT_CONVERSATION, AgentId, ConversationId, is_id
from reverie.domain.json import JsonObject
from reverie.operations import agent_exports
from reverie.operations.packing import PackOptions
from reverie.operations.unpacking import UnpackOptions
from reverie.storage.agent_file_codec import encode, encode_legacy

routes = Routes("agents")

COPY_SUFFIX = "_copy"


class FileAnswer(Json[JsonObject]):
    """The text of a file, which is JSON too, indented for people who open it."""

    def __init__(self, content: JsonObject) -> None:
        Response.__init__(self, orjson.dumps(orjson.loads(dumps(content)), option=orjson.OPT_INDENT_2))


@routes.get("/v1/agents/{agent_id}/export")
async def export_agent(
    agent_id: AgentPath,
    call: Ask,
    max_steps: Annotated[int, Query(ge=0, le=1_000_000)] = 100,
    use_legacy_format: bool = False,
    conversation_id: str | None = None,
    scrub_messages: bool = False,
) -> Json[JsonObject]:
    """Export an agent as a file: with its blocks and their past, tools, and messages.

    Messages are those in context, and what followed the last `max_steps` messages of the user.
    Of secrets the file has the names alone.
    """
    options = _options(agent_id, conversation_id, past=not scrub_messages, max_turns=max_steps)
    file = await _file(call, agent_id, options)
    return FileAnswer(encode_legacy(file) if use_legacy_format else encode(file))


@routes.post("/v1/agents/{agent_id}/export")
async def export_agent_with_skills(
    agent_id: AgentPath, call: Ask, body: ExportRequest | None = None
) -> Json[JsonObject]:
    """Export an agent as a file, together with skills that the client has for it."""
    wish = body or ExportRequest()
    options = _options(agent_id, wish.conversation_id, past=not wish.scrub_messages)
    skills = tuple(skill.to_domain() for skill in wish.skills)
    return FileAnswer(encode(await _file(call, agent_id, options, skills)))


@routes.post("/v1/agents/import")
async def import_agents(
    call: Ask,
    project: IntoProject,
    file: Annotated[UploadFile, File()],
    override_existing_tools: Annotated[bool, Form()] = True,
    strip_messages: Annotated[bool, Form()] = False,
    append_copy_suffix: Annotated[bool, Form()] = True,
    secrets: Annotated[str | None, Form()] = None,
    env_vars_json: Annotated[str | None, Form()] = None,
    name: Annotated[str | None, Form()] = None,
    override_name: Annotated[str | None, Form()] = None,
    model: Annotated[str | None, Form()] = None,
    override_model_handle: Annotated[str | None, Form()] = None,
    embedding: Annotated[str | None, Form()] = None,
    override_embedding_handle: Annotated[str | None, Form()] = None,
    project_id: Annotated[str | None, Form()] = None,
    x_override_embedding_model: Annotated[str | None, Header()] = None,
) -> Json[ImportedAgents]:
    """Make the agents of a file with all they need, or nothing.

    Files of the present form and of the older one, with a single agent at the top, are taken.
    """
    given = secrets_of(env_vars_json, "env_vars_json") | secrets_of(secrets, "secrets")
    options = UnpackOptions(
        name=name or override_name or None,
        name_suffix=COPY_SUFFIX if append_copy_suffix else "",
        model=model or override_model_handle or None,
        embedding=embedding or override_embedding_handle or x_override_embedding_model or None,
        secrets=given,
        override_existing_tools=override_existing_tools,
        with_messages=not strip_messages,
        project_id=project or project_id or None,
    )
    made = await agent_exports.import_file(call.ops, call.caller, await file.read(), options)
    return Json({"agent_ids": list(made)})


async def _file(call: Call, agent_id: str, options: PackOptions, skills: tuple[FileSkill, ...] = ()) -> AgentFile:
    return await agent_exports.export(call.ops, call.caller, AgentId(agent_id), options, skills)


def _options(agent_id: str, conversation_id: str | None, *, past: bool, max_turns: int = 100) -> PackOptions:
    thread = None if conversation_id in (None, "", DEFAULT_CONVERSATION, agent_id) else conversation_id
    if thread is not None and not is_id(thread, "conv"):
        raise MalformedId("conversation_id", thread, "conv")
    return PackOptions(
        past=past, conversation_id=None if thread is None else ConversationId(thread), max_turns=max_turns
    )
