"""No id of one organisation can be read, changed, or told from a missing one by another: over all routes.

`ROUTES` says of each route how to call it. A route without an entry fails the test: whoever adds one says here what it
takes. Words in braces, in the path, the query or the body, are the things of a world (`World.things`). Each is taken in
turn from the other organisation, and must be answered exactly as if it did not exist.
"""

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from fastapi.dependencies.utils import get_flat_params
from fastapi.params import Query
from fastapi.routing import APIRoute
from tests.conftest import MODEL
from tests.support.replies import call
from tests.support.server import ROOT, Server
from tests.wire.conftest import StartServer
from tests.wire.samples import echo_source, stored_bytes

from reverie.api.describe import described_routes

pytestmark = pytest.mark.one_database("postgresql")

_WORD = re.compile(r"\{(\w+)(?::path)?\}")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NOTHING = "00000000-0000-4000-8000-000000000000"
_PLAIN = frozenset({"block_label", "tool_name", "version", "marker", "now", "provider_url", "mcp_tool_name"})
"""Words that stand for no thing of its own: what they mean depends on the thing beside them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """How a route is called."""

    body: Any = None
    query: Mapping[str, str] = field(default_factory=dict)
    files: bool = False
    lists: str | None = None
    """The kind of things that the answer lists, and whose ids are its cursors."""
    status: tuple[int, ...] = (404,)
    """What another organisation's thing in the path or in the body is answered with."""
    open: str | None = None
    """Why nothing here can be of another organisation."""
    plain: frozenset[str] = frozenset()
    """Words that are the caller's own here."""
    own: tuple[int, ...] = ()
    """What the owner may be answered with, beside success: 404 where the old spelling did it before, or what the
    scripted world cannot do."""


TEXT = {"role": "user", "content": "{marker}"}
SAY = Call(body={"messages": [TEXT]})
AGENT = {"model": MODEL, "name": "{marker}", "include_base_tools": False}
ASK_ME: dict[str, Any] = {"name": "ask_me", "description": "Ask.", "parameters": {"type": "object", "properties": {}}}
PROJECT = frozenset({"project_id"})
"""Templates lie in projects that are made by naming them; another organisation's has the same name and other things."""
FILE = "the file of the caller's agent"
SNAPSHOT = {"agents": [{"entityId": "a", "agentType": "letta_v1_agent", "model": MODEL, "systemPrompt": "{marker}"}]}
MCP = {"mcp_server_type": "streamable_http", "server_url": "{provider_url}/{marker}"}
NO_MCP = (400, 404, 408, 502)
"""What the owner is told of a server of tools that does not answer."""
RULE = "a text of its own"
OWN = "nothing is named"

ROUTES: dict[str, Call] = {
    "GET /v1/health": Call(open=OWN),
    "GET /v1/ready": Call(open=OWN),
    "POST /v1/agents": Call(
        body={
            **AGENT,
            "block_ids": ["{block_id}"],
            "tool_ids": ["{tool_id}"],
            "identity_ids": ["{identity_id}"],
            "folder_ids": ["{folder_id}"],
        }
    ),
    "GET /v1/agents": Call(lists="agent_id"),
    "GET /v1/_internal_agents/count": Call(open=OWN),
    "GET /v1/agents/count": Call(open=OWN),
    "GET /v1/agents/{agent_id}": Call(),
    "PATCH /v1/agents/{agent_id}": Call(
        body={
            "description": "{marker}",
            "block_ids": ["{block_id}"],
            "tool_ids": ["{tool_id}"],
            "identity_ids": ["{identity_id}"],
            "folder_ids": ["{folder_id}"],
        }
    ),
    "DELETE /v1/agents/{agent_id}": Call(),
    "POST /v1/agents/{agent_id}/system-prompt/recompile": Call(),
    "POST /v1/agents/{agent_id}/recompile": Call(),
    "GET /v1/agents/{agent_id}/export": Call(),
    "POST /v1/agents/{agent_id}/export": Call(body={"conversation_id": "{conversation_id}"}, status=(404, 422)),
    "POST /v1/agents/import": Call(open="a file names nothing by its id here"),
    "GET /v1/agents/{agent_id}/secrets": Call(),
    "GET /v1/agents/{agent_id}/repair": Call(),
    "POST /v1/agents/{agent_id}/repair": Call(),
    "POST /v1/agents/{agent_id}/messages/capture": Call(
        body={
            "provider": "openai",
            "model": "gpt",
            "request_messages": [{"role": "user", "content": "{marker}"}],
            "response_dict": {"role": "assistant", "content": "{marker}"},
        }
    ),
    "GET /v1/agents/{agent_id}/context": Call(),
    "POST /v1/agents/{agent_id}/generate": Call(body={"prompt": "{marker}"}),
    "GET /v1/archives/{archive_id}/agents": Call(lists="agent_id"),
    "GET /v1/agents/{agent_id}/messages": Call(lists="message_id"),
    "POST /v1/agents/{agent_id}/messages": SAY,
    "POST /v1/agents/{agent_id}/messages/stream": SAY,
    "POST /v1/agents/{agent_id}/messages/async": SAY,
    "POST /v1/agents/{agent_id}/messages/cancel": Call(body={"run_ids": ["{run_id}"]}, status=(404, 200)),
    "POST /v1/agents/{agent_id}/messages/preview-raw-payload": SAY,
    "PATCH /v1/agents/{agent_id}/messages/{message_id}": Call(body={"content": "{marker}"}),
    "PATCH /v1/agents/{agent_id}/reset-messages": Call(),
    "POST /v1/agents/{agent_id}/summarize": Call(own=(400,)),
    "GET /v1/agents/{agent_id}/core-memory": Call(),
    "GET /v1/agents/{agent_id}/core-memory/variables": Call(),
    "GET /v1/agents/{agent_id}/memory-blocks": Call(),
    "GET /v1/agents/{agent_id}/core-memory/blocks": Call(),
    "GET /v1/agents/{agent_id}/memory-blocks/{block_label:path}": Call(),
    "GET /v1/agents/{agent_id}/core-memory/blocks/{block_label:path}": Call(),
    "PATCH /v1/_internal_agents/{agent_id}/core-memory/blocks/{block_label:path}": Call(body={"value": "{marker}"}),
    "PATCH /v1/agents/{agent_id}/memory-blocks/{block_label:path}": Call(body={"value": "{marker}"}),
    "PATCH /v1/agents/{agent_id}/core-memory/blocks/{block_label:path}": Call(body={"value": "{marker}"}),
    "PATCH /v1/agents/{agent_id}/core-memory/blocks/attach/{block_id}": Call(),
    "PATCH /v1/agents/{agent_id}/core-memory/blocks/detach/{block_id}": Call(),
    "PATCH /v1/agents/{agent_id}/archives/attach/{archive_id}": Call(),
    "PATCH /v1/agents/{agent_id}/archives/detach/{archive_id}": Call(),
    "GET /v1/agents/{agent_id}/archival-memory": Call(),
    "POST /v1/agents/{agent_id}/archival-memory": Call(body={"text": "{marker}"}),
    "GET /v1/agents/{agent_id}/archival-memory/search": Call(query={"query": "tea"}),
    "DELETE /v1/agents/{agent_id}/archival-memory/{memory_id}": Call(),
    "GET /v1/agents/{agent_id}/sources": Call(lists="folder_id"),
    "GET /v1/agents/{agent_id}/folders": Call(lists="folder_id"),
    "PATCH /v1/agents/{agent_id}/sources/attach/{folder_id}": Call(),
    "PATCH /v1/agents/{agent_id}/folders/attach/{folder_id}": Call(),
    "PATCH /v1/agents/{agent_id}/sources/detach/{folder_id}": Call(),
    "PATCH /v1/agents/{agent_id}/folders/detach/{folder_id}": Call(),
    "GET /v1/agents/{agent_id}/files": Call(),
    "PATCH /v1/agents/{agent_id}/files/close-all": Call(),
    "PATCH /v1/agents/{agent_id}/files/{file_id}/open": Call(),
    "PATCH /v1/agents/{agent_id}/files/{file_id}/close": Call(),
    "GET /v1/approvals": Call(lists="approval_id"),
    "GET /v1/agents/{agent_id}/tools": Call(lists="tool_id"),
    "PATCH /v1/agents/{agent_id}/tools/attach/{tool_id}": Call(),
    "PATCH /v1/agents/{agent_id}/tools/detach/{tool_id}": Call(),
    "PATCH /v1/agents/{agent_id}/tools/approval/{tool_name}": Call(body={"requires_approval": True}),
    "POST /v1/agents/{agent_id}/tools/{tool_name}/run": Call(body={"args": {"text": "{marker}"}}),
    "POST /v1/agents/{agent_id}/schedule": Call(
        body={"messages": [TEXT], "schedule": {"type": "recurring", "cron_expression": "@yearly"}}
    ),
    "GET /v1/agents/{agent_id}/schedule": Call(lists="scheduled_message_id"),
    "GET /v1/agents/{agent_id}/schedule/{scheduled_message_id}": Call(),
    "DELETE /v1/agents/{agent_id}/schedule/{scheduled_message_id}": Call(),
    "POST /v1/client-side-access-tokens": Call(
        body={
            "hostname": "https://{marker}.example",
            "policy": [{"type": "agent", "id": "{agent_id}", "access": ["read_agent"]}],
        }
    ),
    "GET /v1/client-side-access-tokens": Call(lists="token"),
    "DELETE /v1/client-side-access-tokens/{token}": Call(),
    "POST /v1/environments/register": Call(open="a device of another organisation may have the same name"),
    "GET /v1/environments": Call(lists="environment_id"),
    "GET /v1/environments/{device_id}": Call(),
    "DELETE /v1/environments/{environment_id}": Call(),
    "POST /v1/environments/{connection_id}/messages": Call(
        body={"messages": [{**TEXT, "client_message_id": "m"}], "agentId": "{agent_id}"}, own=(503,)
    ),
    "GET /v1/metadata/user": Call(open=OWN),
    "GET /v1/metadata/status": Call(open=OWN),
    "GET /v1/metadata/balance": Call(open=OWN),
    "POST /v1/metadata/feedback": Call(open=OWN),
    "POST /v1/metadata/telemetry": Call(open=OWN),
    "POST /v1/conversations": Call(query={"agent_id": "{agent_id}"}, body={"summary": "{marker}"}),
    "GET /v1/conversations": Call(lists="conversation_id"),
    "GET /v1/conversations/{conversation_id}": Call(),
    "PATCH /v1/conversations/{conversation_id}": Call(body={"summary": "{marker}"}),
    "DELETE /v1/conversations/{conversation_id}": Call(),
    "POST /v1/conversations/{conversation_id}/fork": Call(),
    "POST /v1/conversations/{conversation_id}/cancel": Call(own=(409,)),
    "POST /v1/conversations/{conversation_id}/compact": Call(own=(400,)),
    "POST /v1/conversations/{conversation_id}/recompile": Call(),
    "GET /v1/conversations/{conversation_id}/messages": Call(),
    "POST /v1/conversations/{conversation_id}/messages": SAY,
    "POST /v1/conversations/{conversation_id}/messages/preview-raw-payload": SAY,
    "POST /v1/conversations/{conversation_id}/stream": Call(body={"run_id": "{run_id}"}, own=(404,)),
    "GET /v1/_internal_runs": Call(lists="run_id"),
    "GET /v1/runs": Call(lists="run_id"),
    "GET /v1/runs/active": Call(open="none is active"),
    "GET /v1/runs/{run_id}": Call(),
    "DELETE /v1/runs/{run_id}": Call(),
    "GET /v1/runs/{run_id}/messages": Call(),
    "GET /v1/runs/{run_id}/steps": Call(lists="step_id"),
    "GET /v1/runs/{run_id}/usage": Call(),
    "GET /v1/runs/{run_id}/metrics": Call(),
    "GET /v1/runs/{run_id}/trace": Call(),
    "POST /v1/runs/{run_id}/stream": Call(),
    "GET /v1/steps": Call(lists="step_id"),
    "GET /v1/steps/{step_id}": Call(),
    "GET /v1/steps/{step_id}/messages": Call(),
    "GET /v1/steps/{step_id}/metrics": Call(),
    "GET /v1/steps/{step_id}/trace": Call(),
    "GET /v1/telemetry/{step_id}": Call(),
    "PATCH /v1/steps/{step_id}/feedback": Call(body={"feedback": "negative", "tags": ["{marker}"]}),
    "POST /v1/_internal_blocks": Call(open=RULE),
    "POST /v1/blocks": Call(open=RULE),
    "GET /v1/_internal_blocks": Call(lists="block_id"),
    "GET /v1/blocks": Call(lists="block_id"),
    "GET /v1/blocks/count": Call(open=OWN),
    "GET /v1/blocks/{block_id}": Call(),
    "PATCH /v1/blocks/{block_id}": Call(body={"value": "{marker}"}),
    "DELETE /v1/_internal_blocks/{block_id}": Call(),
    "DELETE /v1/blocks/{block_id}": Call(own=(404,)),
    "GET /v1/_internal_blocks/{block_id}/agents": Call(),
    "GET /v1/blocks/{block_id}/agents": Call(),
    "GET /v1/blocks/{block_id}/history": Call(),
    "GET /v1/blocks/{block_id}/history/as-of": Call(query={"time": "{now}"}),
    "GET /v1/blocks/{block_id}/history/diff": Call(query={"from_version": "1", "to_version": "{version}"}),
    "GET /v1/blocks/{block_id}/history/{version}": Call(),
    "POST /v1/blocks/{block_id}/history/{version}/restore": Call(),
    "POST /v1/identities": Call(
        body={
            "identifier_key": "{marker}",
            "name": "{marker}",
            "identity_type": "user",
            "agent_ids": ["{agent_id}"],
            "block_ids": ["{block_id}"],
        }
    ),
    "PUT /v1/identities": Call(
        body={
            "identifier_key": "{marker}",
            "name": "{marker}",
            "identity_type": "user",
            "agent_ids": ["{agent_id}"],
            "block_ids": ["{block_id}"],
        }
    ),
    "GET /v1/identities": Call(lists="identity_id"),
    "GET /v1/identities/count": Call(open=OWN),
    "GET /v1/identities/{identity_id}": Call(),
    "PATCH /v1/identities/{identity_id}": Call(
        body={"name": "{marker}", "agent_ids": ["{agent_id}"], "block_ids": ["{block_id}"]}
    ),
    "PUT /v1/identities/{identity_id}/properties": Call(body=[{"key": "{marker}", "value": "v", "type": "string"}]),
    "DELETE /v1/identities/{identity_id}": Call(),
    "GET /v1/identities/{identity_id}/agents": Call(),
    "GET /v1/identities/{identity_id}/blocks": Call(),
    "PATCH /v1/agents/{agent_id}/identities/attach/{identity_id}": Call(),
    "PATCH /v1/agents/{agent_id}/identities/detach/{identity_id}": Call(),
    "PATCH /v1/blocks/{block_id}/identities/attach/{identity_id}": Call(),
    "PATCH /v1/blocks/{block_id}/identities/detach/{identity_id}": Call(),
    "POST /v1/tools": Call(open=RULE),
    "PUT /v1/tools": Call(open="a tool of another organisation may have the same name"),
    "GET /v1/tools": Call(lists="tool_id"),
    "GET /v1/tools/count": Call(open=OWN),
    "POST /v1/tools/add-base-tools": Call(open=OWN),
    "POST /v1/tools/search": Call(body={"query": "echo"}, lists="tool_id"),
    "POST /v1/tools/run": Call(body={"tool_id": "{tool_id}", "args": {"text": "{marker}"}}),
    "GET /v1/tools/{tool_id}": Call(),
    "PATCH /v1/tools/{tool_id}": Call(body={"description": "{marker}"}),
    "DELETE /v1/tools/{tool_id}": Call(),
    "POST /v1/archives": Call(open=RULE),
    "GET /v1/archives": Call(lists="archive_id"),
    "GET /v1/archives/{archive_id}": Call(),
    "PATCH /v1/archives/{archive_id}": Call(body={"name": "{marker}"}),
    "DELETE /v1/archives/{archive_id}": Call(),
    "POST /v1/archives/{archive_id}/passages": Call(body={"text": "{marker}"}),
    "POST /v1/archives/{archive_id}/passages/batch": Call(body={"passages": [{"text": "{marker}"}]}),
    "DELETE /v1/archives/{archive_id}/passages/{passage_id}": Call(),
    "POST /v1/passages/search": Call(body={"query": "tea", "agent_id": "{agent_id}"}),
    "GET /v1/tags": Call(open=OWN),
    "GET /v1/models": Call(open=OWN),
    "GET /v1/models/embeddings": Call(open=OWN),
    "GET /v1/models/embedding": Call(open=OWN),
    "POST /v1/sources": Call(open=RULE),
    "POST /v1/folders": Call(open=RULE),
    "GET /v1/sources": Call(lists="folder_id"),
    "GET /v1/folders": Call(lists="folder_id"),
    "GET /v1/sources/count": Call(open=OWN),
    "GET /v1/folders/count": Call(open=OWN),
    "GET /v1/sources/metadata": Call(open=OWN),
    "GET /v1/folders/metadata": Call(open=OWN),
    "GET /v1/sources/name/{folder_name:path}": Call(),
    "GET /v1/folders/name/{folder_name:path}": Call(),
    "GET /v1/sources/{folder_id}": Call(),
    "GET /v1/folders/{folder_id}": Call(),
    "PATCH /v1/sources/{folder_id}": Call(body={"description": "{marker}"}),
    "PATCH /v1/folders/{folder_id}": Call(body={"description": "{marker}"}),
    "DELETE /v1/sources/{folder_id}": Call(own=(404,)),
    "DELETE /v1/folders/{folder_id}": Call(),
    "POST /v1/sources/{folder_id}/upload": Call(files=True),
    "POST /v1/folders/{folder_id}/upload": Call(files=True),
    "GET /v1/sources/{folder_id}/agents": Call(),
    "GET /v1/folders/{folder_id}/agents": Call(),
    "GET /v1/sources/{folder_id}/passages": Call(),
    "GET /v1/folders/{folder_id}/passages": Call(),
    "GET /v1/sources/{folder_id}/files": Call(lists="file_id"),
    "GET /v1/folders/{folder_id}/files": Call(lists="file_id"),
    "GET /v1/sources/{folder_id}/files/{file_id}": Call(),
    "GET /v1/folders/{folder_id}/files/{file_id}": Call(),
    "DELETE /v1/sources/{folder_id}/{file_id}": Call(own=(404,)),
    "DELETE /v1/folders/{folder_id}/{file_id}": Call(),
    "POST /v1/messages/batches": Call(body={"requests": [{"agent_id": "{agent_id}", "messages": [TEXT]}]}),
    "GET /v1/messages/batches": Call(lists="batch_id"),
    "GET /v1/messages/batches/{batch_id}": Call(),
    "GET /v1/messages/batches/{batch_id}/messages": Call(),
    "PATCH /v1/messages/batches/{batch_id}/cancel": Call(own=(409,)),
    "GET /v1/jobs": Call(lists="job_id"),
    "GET /v1/jobs/active": Call(),
    "GET /v1/jobs/{job_id}": Call(),
    "PATCH /v1/jobs/{job_id}/cancel": Call(own=(409,)),
    "DELETE /v1/jobs/{job_id}": Call(),
    "POST /v1/mcp-servers": Call(open="a server of another organisation may have the same name"),
    "GET /v1/mcp-servers": Call(lists="mcp_server_id"),
    "GET /v1/mcp-servers/connect/{mcp_server_id}": Call(),
    "GET /v1/mcp-servers/{mcp_server_id}": Call(),
    "PATCH /v1/mcp-servers/{mcp_server_id}": Call(body={"config": MCP}),
    "DELETE /v1/mcp-servers/{mcp_server_id}": Call(own=(404,)),
    "PATCH /v1/mcp-servers/{mcp_server_id}/refresh": Call(own=NO_MCP),
    "GET /v1/mcp-servers/{mcp_server_id}/tools": Call(),
    "GET /v1/mcp-servers/{mcp_server_id}/tools/{tool_id}": Call(own=(404,)),
    "POST /v1/mcp-servers/{mcp_server_id}/tools/{tool_id}/run": Call(own=(404,)),
    "GET /v1/tools/mcp/servers": Call(lists="mcp_server_name"),
    "PUT /v1/tools/mcp/servers": Call(open="a server of another organisation may have the same name"),
    "POST /v1/tools/mcp/servers/test": Call(open=RULE),
    "POST /v1/tools/mcp/servers/connect": Call(open=RULE),
    "GET /v1/tools/mcp/oauth/callback": Call(open="a grant is found by a word that only its maker was told"),
    "PATCH /v1/tools/mcp/servers/{mcp_server_name}": Call(body=MCP),
    "DELETE /v1/tools/mcp/servers/{mcp_server_name}": Call(),
    "GET /v1/tools/mcp/servers/{mcp_server_name}/tools": Call(own=NO_MCP),
    "POST /v1/tools/mcp/servers/{mcp_server_name}/resync": Call(own=NO_MCP),
    "POST /v1/tools/mcp/servers/{mcp_server_name}/{mcp_tool_name}": Call(own=NO_MCP),
    "POST /v1/tools/mcp/servers/{mcp_server_name}/tools/{tool_name}/execute": Call(own=NO_MCP),
    "POST /v1/agents/search": Call(body={}, lists="agent_id"),
    "GET /v1/agents/search/count": Call(open=OWN),
    "GET /v1/templates": Call(lists="template_id"),
    "POST /v1/templates": Call(body={"type": "agent", "agent_id": "{agent_id}", "name": "t-{marker}"}),
    "POST /v1/templates/{project_id}": Call(
        body={"type": "agent", "agent_id": "{agent_id}", "name": "u-{marker}"}, plain=PROJECT
    ),
    "POST /v1/templates/{template_name}/save": Call(body={"message": "{marker}"}),
    "POST /v1/templates/{template_name}/rollback": Call(body={"version": "1"}),
    "POST /v1/templates/{template_version}/agents": Call(
        body={"tags": ["{marker}"], "identity_ids": ["{identity_id}"]}
    ),
    "DELETE /v1/templates/{template_name}": Call(),
    "PATCH /v1/templates/{template_name}": Call(body={"agent_file_json": FILE}),
    "POST /v1/templates/{project_id}/{template_name}": Call(body={"message": "{marker}"}, plain=PROJECT),
    "DELETE /v1/templates/{project_id}/{template_name}": Call(plain=PROJECT),
    "POST /v1/templates/{project_id}/{template_version}/agents": Call(body={"tags": ["{marker}"]}, plain=PROJECT),
    "POST /v1/templates/{project_id}/{template_name}/rollback": Call(body={"version": "1"}, plain=PROJECT),
    "GET /v1/templates/{project_id}/{template_version}/snapshot": Call(plain=PROJECT),
    "PUT /v1/templates/{project_id}/{template_version}/snapshot": Call(body=SNAPSHOT, plain=PROJECT, own=(400,)),
    "POST /v1/templates/{project_id}/{template_version}/fork": Call(body={"name": "f-{marker}"}, plain=PROJECT),
    "PATCH /v1/templates/{project_id}/{template_name}/name": Call(body={"new_name": "{template_name}"}, plain=PROJECT),
    "PATCH /v1/templates/{project_id}/{template_name}/description": Call(
        body={"description": "{marker}"}, plain=PROJECT
    ),
    "GET /v1/templates/{project_id}/{name}/versions": Call(plain=PROJECT),
    "PUT /v1/templates/{project_id}/{template_name}/agent-file": Call(body={"agent_file_json": FILE}, plain=PROJECT),
    "POST /v1/templates/{project_id}/{template_name}/deployments/{deployment_id}/migrate": Call(
        body={"version": "1"}, plain=PROJECT
    ),
    "POST /v1/legacy-templates/{template_id}/migrates": Call(own=(400,)),
    "POST /v1/_internal_templates/agents": Call(open="what its maker keeps book of, by ids of its own"),
    "POST /v1/_internal_templates/blocks": Call(open="what its maker keeps book of, by ids of its own"),
    "POST /v1/_internal_templates/blocks/batch": Call(open="what its maker keeps book of, by ids of its own"),
    "GET /v1/_internal_templates/deployment/{deployment_id}": Call(status=(200, 404)),
    "DELETE /v1/_internal_templates/deployment/{deployment_id}": Call(status=(200, 404)),
    "PATCH /v1/agents/{agent_id}/archival-memory/{memory_id}": Call(body={"text": "{marker}"}),
    "POST /v1/chat/completions": Call(body={"model": "{agent_id}", "messages": [TEXT]}),
    "POST /v1/voice-beta/{agent_id}/chat/completions": Call(body={"model": "any", "messages": [TEXT]}),
    "GET /v1/embeddings/total_storage_size": Call(open=OWN),
    "GET /v1/agents/{agent_id}/mcp-servers": Call(),
    "PATCH /v1/agents/{agent_id}/mcp-servers/attach/{mcp_server_id}": Call(),
    "PATCH /v1/agents/{agent_id}/mcp-servers/detach/{mcp_server_id}": Call(),
    "POST /v1/_internal_templates/groups": Call(
        body={
            "description": "{marker}",
            "agent_ids": ["{agent_id}"],
            "shared_block_ids": ["{block_id}"],
            "template_id": "t",
            "base_template_id": "b",
            "deployment_id": "d",
        }
    ),
    "POST /v1/sandbox-config": Call(open=OWN),
    "POST /v1/sandbox-config/e2b/default": Call(open=OWN),
    "POST /v1/sandbox-config/local/default": Call(open=OWN),
    "POST /v1/sandbox-config/local": Call(open=OWN),
    "POST /v1/sandbox-config/local/recreate-venv": Call(open=OWN),
    "GET /v1/sandbox-config": Call(lists="config_id"),
    "PATCH /v1/sandbox-config/environment-variable/{variable_id}": Call(body={"description": "{marker}"}),
    "DELETE /v1/sandbox-config/environment-variable/{variable_id}": Call(),
    "PATCH /v1/sandbox-config/{config_id}": Call(body={}),
    "DELETE /v1/sandbox-config/{config_id}": Call(),
    "POST /v1/sandbox-config/{config_id}/environment-variable": Call(body={"key": "B", "value": "{marker}"}),
    "GET /v1/sandbox-config/{config_id}/environment-variable": Call(lists="variable_id"),
    "POST /v1/groups": Call(
        body={"description": "{marker}", "agent_ids": ["{agent_id}"], "shared_block_ids": ["{block_id}"]}
    ),
    "GET /v1/groups": Call(lists="group_id"),
    "GET /v1/groups/count": Call(open=OWN),
    "GET /v1/groups/{group_id}": Call(),
    "PATCH /v1/groups/{group_id}": Call(
        body={"description": "{marker}", "agent_ids": ["{agent_id}"], "shared_block_ids": ["{block_id}"]}
    ),
    "DELETE /v1/groups/{group_id}": Call(),
    "PATCH /v1/groups/{group_id}/blocks/attach/{block_id}": Call(),
    "PATCH /v1/groups/{group_id}/blocks/detach/{block_id}": Call(),
    "GET /v1/agents/{agent_id}/groups": Call(lists="group_id"),
    "GET /v1/groups/{group_id}/messages": Call(),
    "POST /v1/groups/{group_id}/messages": SAY,
    "POST /v1/groups/{group_id}/messages/stream": SAY,
    "PATCH /v1/groups/{group_id}/messages/{message_id}": Call(body={"content": "{marker}"}, own=(404,)),
    "PATCH /v1/groups/{group_id}/reset-messages": Call(),
    "GET /v1/projects": Call(open="an id or a slug that is one's own is made by naming it"),
    "POST /v1/projects": Call(open=RULE),
    "DELETE /v1/projects/{project_id}": Call(),
    "GET /v1/providers": Call(lists="provider_id"),
    "POST /v1/providers": Call(open=RULE),
    "POST /v1/providers/check": Call(open=RULE),
    "GET /v1/providers/{provider_id}": Call(),
    "PATCH /v1/providers/{provider_id}": Call(body={"api_key": "{marker}"}, own=(400, 401)),
    "DELETE /v1/providers/{provider_id}": Call(),
    "POST /v1/providers/{provider_id}/check": Call(own=(400, 401)),
    "PATCH /v1/providers/{provider_id}/refresh": Call(own=(400, 401)),
    "GET /v1/messages": Call(lists="message_id"),
    "POST /v1/agents/messages/search": Call(body={"query": "tea", "agent_id": "{agent_id}"}, status=(200,)),
    "POST /v1/messages/search": Call(body={"query": "tea", "agent_id": "{agent_id}"}, status=(200,)),
    "GET /v1/messages/{message_id}": Call(),
}


class World:
    """An organisation with one thing of every kind."""

    def __init__(self, server: Server, name: str, provider_url: str) -> None:
        self.http = httpx.Client(
            base_url=server.url, timeout=60, headers={"Authorization": f"Bearer {make_key(server, name)}"}
        )
        self.things = {"marker": f"marker-of-{name}", **self._made(name, provider_url)}

    def with_file(self, body: dict[str, Any]) -> dict[str, Any]:
        """A body with the agent's file where `FILE` stands."""
        return {key: self.file if value == FILE else value for key, value in body.items()}

    def _post(self, path: str, body: Any = None, **more: Any) -> Any:
        answer = self.http.post(path, json=body, **more)
        assert answer.status_code < 300, (path, answer.text)
        return answer.json()

    def _first(self, path: str, **query: Any) -> Any:
        found = self.http.get(path, params=query)
        assert found.status_code == 200, (path, found.text)
        assert found.json(), path
        return found.json()[0]

    def _made(self, name: str, provider_url: str) -> dict[str, str]:
        tool = self._post("/v1/tools", {"source_code": echo_source()})
        block = self._post("/v1/blocks", {"label": "extra", "value": "one"})
        self.http.patch(f"/v1/blocks/{block['id']}", json={"value": "two"})
        identity = self._post("/v1/identities", {"identifier_key": name, "name": name, "identity_type": "user"})
        folder = self._post("/v1/folders", {"name": f"papers of {name}"})
        body = {**AGENT, "name": name, "memory_blocks": [{"label": "human", "value": "v"}], "tool_ids": [tool["id"]]}
        agent = self._post("/v1/agents", {**body, "folder_ids": [folder["id"]], "identity_ids": [identity["id"]]})
        base = f"/v1/agents/{agent['id']}"
        file = self._post(f"/v1/folders/{folder['id']}/upload", files={"file": ("a.txt", b"tea and cake")})
        run = self._post(f"{base}/messages/async", {"messages": [{"role": "user", "content": f"tea for {name}"}]})
        archive = self._post("/v1/archives", {"name": name})
        passage = self._post(f"/v1/archives/{archive['id']}/passages", {"text": "likes tea"})
        (memory,) = self._post(f"{base}/archival-memory", {"text": "drinks tea"})
        self.http.patch(f"{base}/archives/attach/{archive['id']}").raise_for_status()
        yearly = {"type": "recurring", "cron_expression": "@yearly"}
        schedule = self._post(f"{base}/schedule", {"messages": [{"role": "user", "content": "x"}], "schedule": yearly})
        grant = {"type": "agent", "id": agent["id"], "access": ["read_agent"]}
        self._post("/v1/client-side-access-tokens", {"hostname": "https://a.example", "policy": [grant]})
        device = self._post("/v1/environments/register", {"deviceId": f"device-{agent['id']}", "connectionName": name})
        provider = self._post(
            "/v1/providers",
            {"name": f"own-{name}", "provider_type": "openai", "api_key": "k", "base_url": provider_url},
        )
        config = {"mcp_server_type": "streamable_http", "server_url": f"{provider_url}/mcp"}
        mcp = self._post("/v1/mcp-servers", {"server_name": f"tools of {name}", "config": config})
        said = {"agent_id": agent["id"], "messages": [{"role": "user", "content": "tea again"}]}
        batch = self._post("/v1/messages/batches", {"requests": [said]})
        named = {"type": "agent", "agent_id": agent["id"], "name": f"template-of-{name}"}
        template = self._post("/v1/templates", named)
        project = self._post("/v1/projects", {"name": f"project of {name}"})["id"]
        self._post(f"/v1/templates/{project}", named)
        self._post(f"/v1/templates/{named['name']}/save", {})
        self._post(f"/v1/templates/{project}/{named['name']}", {})
        deployment = self._post(f"/v1/templates/{project}/{named['name']}:1/agents", {})
        self.file = self.http.get(f"{base}/export").json()
        sandbox = self._post("/v1/sandbox-config/local/default")
        variable = self._post(f"/v1/sandbox-config/{sandbox['id']}/environment-variable", {"key": "A", "value": "1"})
        asking = self._post("/v1/agents", {**AGENT, "name": f"asking of {name}"})
        asked = {"messages": [{"role": "user", "content": "ask"}], "client_tools": [ASK_ME]}
        approval = self._post(f"/v1/agents/{asking['id']}/messages", asked)["messages"][-1]
        self._wait(run["id"], base)
        user_message = next(
            item for item in self.http.get(f"{base}/messages").json() if item["message_type"] == "user_message"
        )
        return {
            "agent_id": agent["id"],
            "block_id": block["id"],
            "block_label": "human",
            "tool_id": tool["id"],
            "tool_name": "echo",
            "identity_id": identity["id"],
            "folder_id": folder["id"],
            "folder_name": folder["name"],
            "file_id": file["id"],
            "archive_id": archive["id"],
            "passage_id": passage["id"],
            "memory_id": memory["id"],
            "conversation_id": self._post("/v1/conversations", {}, params={"agent_id": agent["id"]})["id"],
            "run_id": run["id"],
            "step_id": self._first(f"/v1/runs/{run['id']}/steps")["id"],
            "message_id": user_message["id"],
            "approval_id": approval["id"],
            "scheduled_message_id": schedule["id"],
            "token": self.http.get("/v1/client-side-access-tokens").json()["tokens"][0]["token"],
            "device_id": f"device-{agent['id']}",
            "environment_id": self.http.get("/v1/environments").json()["connections"][0]["id"],
            "connection_id": device["connectionId"],
            "provider_id": provider["id"],
            "group_id": self._post("/v1/groups", {"description": name, "agent_ids": [agent["id"]]})["id"],
            "project_id": project,
            "template_id": template["id"],
            "template_name": named["name"],
            "template_version": named["name"],
            "name": named["name"],
            "deployment_id": deployment["deployment_id"],
            "mcp_server_id": mcp["id"],
            "mcp_server_name": f"tools of {name}",
            "mcp_tool_name": "add",
            "provider_url": provider_url,
            "batch_id": batch["id"],
            "config_id": sandbox["id"],
            "variable_id": variable["id"],
            "job_id": batch["id"],
            "version": "1",
            "now": "2030-01-01T00:00:00Z",
        }

    def _wait(self, run_id: str, agent: str) -> None:
        deadline = time.monotonic() + 60
        while (
            self.http.get(f"/v1/runs/{run_id}").json()["completed_at"] is None
            or not self.http.get(f"{agent}/files").json()["files"]
        ):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def make_key(server: Server, organization: str) -> str:
    """A key of an organisation, made beside the running server."""
    command = [sys.executable, "-m", "reverie", "keys", "create", "all", "--organization", organization]
    command += ["--scope", "admin", "--data-dir", str(server.data_dir)]
    if server.database_url:
        command += ["--database-url", server.database_url]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={"PYTHONPATH": str(ROOT / "src"), "PATH": ""}
    )
    return done.stdout.strip()


def routes() -> Iterator[tuple[str, APIRoute]]:
    for route in described_routes():
        for method in sorted(route.methods or ()):
            yield f"{method} {route.path}", route


def send(world: World, name: str, things: Mapping[str, str], /, **query: str) -> httpx.Response:
    """Call a route as `world`, with these things, and with this query beside its own."""
    call = ROUTES[name]
    method, path = name.split(" ")
    own = {key: filled(text, things) for key, text in call.query.items()}
    more: dict[str, Any] = {"params": {**own, **query}}
    if call.files:
        more["files"] = {"file": (f"{things['marker']}.txt", things["marker"].encode())}
    elif call.body is not None:
        more["json"] = json.loads(filled(json.dumps(call.body), things), object_hook=world.with_file)
    return world.http.request(method, filled(path, things), **more)


def filled(text: str, things: Mapping[str, str]) -> str:
    return _WORD.sub(lambda word: things[word[1]], text)


def missing(value: str) -> str:
    """An id of the same form, of nothing."""
    return _UUID.sub(_NOTHING, value) if _UUID.search(value) else f"no-{value}"


def unnamed(answer: httpx.Response, *names: str) -> tuple[int, str]:
    text = answer.text
    for name in sorted(names, key=len, reverse=True):
        text = text.replace(name, "NAME")
    return answer.status_code, text


def test_every_route_says_how_it_is_called() -> None:
    found = [name for name, _ in routes()]
    assert sorted(set(found) - set(ROUTES)) == [], "say in ROUTES how these are called"
    assert sorted(set(ROUTES) - set(found)) == [], "these are gone"


@pytest.fixture
def worlds(start_server: StartServer, provider: Any) -> tuple[Server, World, World]:
    server = start_server("--host", "0.0.0.0", REVERIE_ALLOW_PRIVATE_ADDRESSES="true")
    provider.script(*[call("ask_me")] * 2, when=lambda request: "ask_me" in request.tools)
    return server, World(server, "owner", provider.openai_url), World(server, "intruder", provider.openai_url)


def test_no_id_of_one_organisation_means_anything_to_another(worlds: tuple[Server, World, World]) -> None:
    server, owner, intruder = worlds
    faults: list[str] = []
    for name, route in routes():
        faults += intrude(name, route, owner, intruder)
    assert not faults, "\n".join(faults)
    stored = b"".join(stored_bytes(server))
    assert intruder.things["marker"].encode() not in stored, "something of a refused request was stored"
    for name, _ in sorted(routes(), key=order_of_life):
        call = ROUTES[name]
        if call.open is None:
            answer = send(owner, name, owner.things)
            if answer.status_code >= 400 and answer.status_code not in call.own:
                faults.append(f"{name}: its owner is answered {answer.status_code} {answer.text[:300]}")
    assert not faults, "\n".join(faults)


def order_of_life(item: tuple[str, APIRoute]) -> tuple[bool, bool, bool, int, str]:
    """Reading first, then changing; deleting last, and agents last of all."""
    method, path = item[0].split(" ")
    deletes = method == "DELETE"
    agent = deletes and path == "/v1/agents/{agent_id}"
    return deletes, agent, "detach" in path or "reset" in path, -path.count("/"), path


def intrude(name: str, route: APIRoute, owner: World, intruder: World) -> list[str]:
    """What is wrong when the intruder calls this route with things of the owner, one at a time."""
    faults = intrude_things(name, owner, intruder)
    if "{conversation_id}" in name:
        faults += intrude_default(name, owner, intruder)
    # What a query names beside a thing of one's own is a filter; a change is not sent twice.
    if name.startswith("GET "):
        faults += intrude_filters(name, route, owner, intruder)
    if name.startswith("GET ") or ROUTES[name].lists:
        faults += look_around(name, owner, intruder)
    return faults


def intrude_things(name: str, owner: World, intruder: World) -> list[str]:
    """The things in the path, the query and the body."""
    call, faults = ROUTES[name], []
    text = name + json.dumps(call.body) + json.dumps(dict(call.query))
    for kind in sorted(set(_WORD.findall(text)) - _PLAIN - call.plain):
        for theirs in (owner.things[kind], *([owner.things["agent_id"]] if kind == "conversation_id" else ())):
            answers = [
                unnamed(send(intruder, name, {**intruder.things, kind: value}), theirs, missing(theirs))
                for value in (theirs, missing(theirs))
            ]
            if answers[0] != answers[1]:
                faults.append(f"{name}: {kind} of another organisation is told from a missing one: {answers}")
            elif answers[0][0] not in call.status:
                faults.append(f"{name}: {kind} of another organisation is answered {answers[0]}")
    return faults


def intrude_default(name: str, owner: World, intruder: World) -> list[str]:
    """The word that names an agent's own thread, and the agent beside it."""
    theirs = owner.things["agent_id"]
    things = {**intruder.things, "conversation_id": "default"}
    answers = [
        unnamed(send(intruder, name, things, agent_id=value), theirs, missing(theirs))
        for value in (theirs, missing(theirs))
    ]
    # Where the agent is named in the body, a query without it is malformed whoever asks.
    if answers[0] == answers[1] and answers[0][0] in (404, 422):
        return []
    return [f"{name}: the default thread: {answers}"]


def intrude_filters(name: str, route: APIRoute, owner: World, intruder: World) -> list[str]:
    """Filters by id, and cursors."""
    call, faults = ROUTES[name], []
    words = {item.alias for item in get_flat_params(route.dependant) if isinstance(item.field_info, Query)}
    asked = {word: word for word in words & set(owner.things) - set(call.query) - _PLAIN}
    if call.lists:
        asked |= dict.fromkeys(words & {"after", "before"}, call.lists)
    for word, kind in sorted(asked.items()):
        theirs = owner.things[kind]
        answers = [
            unnamed(send(intruder, name, intruder.things, **{word: value}), theirs, missing(theirs))
            for value in (theirs, missing(theirs))
        ]
        if answers[0] != answers[1] or answers[0][0] >= 500:
            faults.append(f"{name}: ?{word} of another organisation is told from a missing one: {answers}")
    return faults


def look_around(name: str, owner: World, intruder: World) -> list[str]:
    """What the answer to one's own question shows of the other."""
    seen = send(intruder, name, intruder.things).text
    ids = [value for value in owner.things.values() if _UUID.search(value)]
    faults = [f"{name}: shows {value} of another organisation" for value in ids if value in seen]
    lists = ROUTES[name].lists
    if lists and owner.things[lists] not in send(owner, name, owner.things).text:
        faults.append(f"{name}: does not show its owner {lists}, so that nothing is proved")
    return faults
