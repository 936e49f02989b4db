"""Tools on the network: through the proxy where they may, to permitted addresses only, and not at all where not."""

import ipaddress
import shutil
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

import pytest

from reverie.auth.call_keys import CallKeys
from reverie.domain.ids import OrganizationId, ToolId
from reverie.domain.tool import Tool
from reverie.tools.base import SandboxOptions, ToolOutcome, ToolRun
from reverie.tools.executors.door import Door
from reverie.tools.executors.sandbox import SandboxExecutor
from reverie.web.addresses import WebOptions
from reverie.web.proxy import GuardedProxy

pytestmark = pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")
NOW = datetime(2026, 11, 1, tzinfo=UTC)

ASK = """
import httpx
def probe(url):
    answer = httpx.get(url, timeout=10)
    return [answer.status_code, answer.text]
"""
DIG = """
import os, socket, base64, urllib.parse
def probe(host, port):
    out = urllib.parse.urlsplit(os.environ["HTTPS_PROXY"])
    line = socket.create_connection((out.hostname, out.port))
    key = base64.b64encode(f"{out.username}:{out.password}".encode()).decode()
    line.sendall(f"CONNECT {host}:{port} HTTP/1.1\\r\\nProxy-Authorization: Basic {key}\\r\\n\\r\\n".encode())
    first = line.recv(4096).decode()
    if " 200 " not in first:
        return first
    line.sendall(b"GET /deep HTTP/1.0\\r\\n\\r\\n")
    received = b""
    while chunk := line.recv(4096):
        received += chunk
    return received.decode()
"""


@pytest.fixture(scope="module")
def site() -> Iterator[int]:
    """The port of a web server on this machine's loopback."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = f"{self.path} {self.headers.get('Proxy-Authorization')}".encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Stay silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


async def run(
    tmp_path: Path,
    source: str,
    arguments: dict[str, Any],
    *,
    network: Literal["none", "tagged", "all"] = "all",
    tags: tuple[str, ...] = (),
    open_to: str = "127.0.0.1/32",
    source_type: str = "python",
) -> ToolOutcome:
    door, keys = Door(tmp_path), CallKeys()
    listener = door.listen()
    assert listener is not None
    assert door.proxy is not None
    options = WebOptions(networks=(ipaddress.ip_network(open_to),))
    tool = Tool(
        id=ToolId("tool-1"),
        organization_id=OrganizationId("org-1"),
        name="probe",
        json_schema={},
        source_code=source,
        source_type=source_type,
        tags=tags,
        created_at=NOW,
        updated_at=NOW,
    )
    sandbox = SandboxOptions(data_dir=str(tmp_path / "tools"), network=network)
    async with GuardedProxy(door.proxy, options, keys.may_go_out):
        executor = SandboxExecutor(sandbox, door=door, keys=keys)
        try:
            return await executor.run(ToolRun(tool=tool, arguments=arguments))
        finally:
            await executor.aclose()
            listener.close()
            door.close()


def text(outcome: ToolOutcome) -> str:
    return "".join(getattr(part, "text", "") for part in outcome.content)


async def test_a_page_is_read_and_the_key_stays_at_the_proxy(tmp_path: Path, site: int) -> None:
    outcome = await run(tmp_path, ASK, {"url": f"http://127.0.0.1:{site}/page?q=1"})
    assert outcome.value == [200, "/page?q=1 None"], outcome


async def test_a_tunnel_is_dug(tmp_path: Path, site: int) -> None:
    outcome = await run(tmp_path, DIG, {"host": "127.0.0.1", "port": site})
    assert "/deep None" in text(outcome), outcome


@pytest.mark.parametrize("url", ["http://127.0.0.1:{site}/", "http://localhost:{site}/", "http://169.254.169.254/"])
async def test_loopback_and_private_addresses_are_refused(tmp_path: Path, site: int, url: str) -> None:
    outcome = await run(tmp_path, ASK, {"url": url.format(site=site)}, open_to="192.0.2.0/24")
    assert isinstance(outcome.value, list)
    assert outcome.value[0] == 400
    assert "is not opened" in str(outcome.value[1])


async def test_only_tagged_tools_go_out_where_the_setting_says_so(tmp_path: Path, site: int) -> None:
    url = f"http://127.0.0.1:{site}/"
    assert (await run(tmp_path, ASK, {"url": url}, network="tagged")).status == "error"
    assert (await run(tmp_path, ASK, {"url": url}, network="tagged", tags=("network",))).status == "success"
    assert (await run(tmp_path, ASK, {"url": url}, network="none", tags=("network",))).status == "error"


async def test_a_call_without_the_network_cannot_use_the_proxy(tmp_path: Path, site: int) -> None:
    source = f"""
import socket
def probe():
    line = socket.socket(socket.AF_UNIX)
    line.connect("/door/proxy.sock")
    line.sendall(b"GET http://127.0.0.1:{site}/ HTTP/1.1\\r\\nProxy-Authorization: Basic Y2FsbDpndWVzcw==\\r\\n\\r\\n")
    return line.recv(4096).decode()
"""
    assert " 407 " in text(await run(tmp_path, source, {}, network="tagged"))


async def test_typescript_goes_the_same_way(tmp_path: Path, site: int) -> None:
    source = f"export const probe = async () => await (await fetch('http://127.0.0.1:{site}/ts')).text();"
    outcome = await run(tmp_path, source, {}, source_type="typescript")
    assert outcome.value == "/ts None", outcome
