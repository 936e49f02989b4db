"""Programs of the client before version 1.0, unmodified, and bodies that still older ones sent."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import MODEL
from tests.support.provider import Provider
from tests.support.sdk import NotInstalled, sdk_place
from tests.support.server import ROOT, Server
from tests.wire.samples import PIXEL

pytestmark = pytest.mark.one_database("sqlite")

VERSION = "0.1.324"


@pytest.fixture(scope="session")
def old_sdk() -> Path:
    """A directory with that client and nothing else."""
    try:
        return sdk_place(VERSION)
    except NotInstalled as missing:
        pytest.skip(str(missing))


def test_a_program_of_the_client_before_1_0(server: Server, provider: Provider, old_sdk: Path) -> None:
    told = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "wire" / "job_0_1_324.py")],
        env={
            **os.environ,
            "PYTHONPATH": str(old_sdk),
            "REVERIE_URL": server.url,
            "PROVIDER_URL": provider.url,
            "PIXEL": PIXEL,
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert told.returncode == 0, told.stderr[-3000:]


def test_bodies_of_still_older_clients_are_understood(server: Server, provider: Provider) -> None:
    with server.http as http:

        def ask(method: str, path: str, **body: Any) -> Any:
            answer = http.request(method, path, json=body, headers={"user_id": "user-1"})
            assert answer.status_code == 200, answer.text
            return answer.json()

        agent = ask(
            "POST",
            "/v1/agents/",
            llm_config={"model": MODEL.partition("/")[2], "model_endpoint_type": "openai", "context_window": 9000},
            memory_blocks=[{"label": "human", "value": "Bo", "limit": 5000, "name": None, "metadata_": {}}],
            message_buffer_autoclear=False,
            unknown_field=True,
        )
        path = f"/v1/agents/{agent['id']}"
        assert agent["memory"]["blocks"][0]["value"] == "Bo"
        assert agent["tool_exec_environment_variables"] == []
        image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
        content = [{"type": "text", "text": "see"}, image]
        answer = ask("POST", f"{path}/messages", messages=[{"role": "user", "content": content}], stream_steps=True)
        assert answer["messages"][0]["message_type"] == "assistant_message"
        assert PIXEL in str(provider.requests[-1].body["messages"])
        (passage,) = ask("POST", f"{path}/archival-memory", text="old fact", tags=["a"])
        (changed,) = ask("PATCH", f"{path}/archival-memory/{passage['id']}", text="new fact", metadata_={"k": 1})
        assert (changed["id"], changed["text"], changed["tags"]) == (passage["id"], "new fact", ["a"])
        assert changed["metadata"] == {"k": 1}
        found = http.get(f"{path}/archival-memory/search", params={"query": "fact", "tags": ["a"]}).json()
        assert [item["content"] for item in found["results"]] == ["new fact"]
        kept = ask("PATCH", f"{path}/archival-memory/{passage['id']}", tags=["b"])
        assert (kept[0]["text"], kept[0]["tags"]) == ("new fact", ["b"])
        assert http.get(f"{path}/archival-memory/search", params={"query": "fact", "tags": ["a"]}).json()["count"] == 0
        assert (
            http.get(f"{path}/archival-memory/search", params={"query": "new fact", "tags": ["b"]}).json()["count"] == 1
        )
        template = ask("POST", "/v1/blocks/", label="human", value="x", name="mine", is_template=True)
        assert template["template_name"] == "mine"
        old_answer = ask("POST", f"{path}/messages", messages=[{"role": "user", "text": "old", "content": "words"}])
        assert old_answer["usage"]["step_count"] == 1
