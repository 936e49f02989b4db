"""Environments: registered over the API, connected by a real WebSocket, and sent messages."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from uuid import uuid4

import httpx
import pytest
from letta_client import InternalServerError, Letta, NotFoundError, UnprocessableEntityError
from letta_client.types import EnvironmentRetrieveResponse
from tests.support.databases import database_urls
from tests.support.provider import Provider
from tests.support.server import Server, provider_environment, running_server
from tests.wire.samples import bare_agent
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

pytestmark = pytest.mark.one_database("sqlite")

HELLO: list[Any] = [{"role": "user", "content": "hi", "client_message_id": "m-1"}]


def register(server: Server, **more: Any) -> dict[str, Any]:
    body = {"deviceId": f"device-{uuid4()}", "connectionName": "laptop", **more}
    with server.http as http:
        answer = http.post("/v1/environments/register", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return {**found, "deviceId": body["deviceId"]}


@contextmanager
def device(client: Letta, made: dict[str, Any]) -> Iterator[ClientConnection]:
    """A connected environment."""
    with connect(f"{made['wsUrl']}?deviceId={made['deviceId']}&connectionName=laptop") as socket:
        wait_for(client, made, lambda state: state.connection_id is not None)
        yield socket


def wait_for(client: Letta, made: dict[str, Any], holds: Callable[[EnvironmentRetrieveResponse], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds(state := client.environments.retrieve(made["deviceId"])):
        assert time.monotonic() < deadline, state
        time.sleep(0.02)


def test_a_message_reaches_the_connected_environment(client: Letta, server: Server) -> None:
    agent = bare_agent(client)
    made = register(server, metadata={"os": "linux", "gitBranch": "main", "other": 1})
    messages: list[Any] = [
        {"role": "user", "content": [{"type": "text", "text": "build it"}], "client_message_id": "m-1", "otid": "o-1"},
        {"type": "approval", "approvals": [{"type": "approval", "tool_call_id": "call-1", "approve": True}]},
        {"type": "approval",
         "approvals": [{"type": "tool", "tool_call_id": "call-2", "tool_return": "42", "status": "success"}]},
    ]  # fmt: skip
    with device(client, made) as socket:
        sent = client.environments.send_message(made["connectionId"], agent_id=agent.id, messages=messages)
        assert sent.success
        frame = json.loads(socket.recv(timeout=20))
        assert frame["type"] == "input"
        assert frame["runtime"] == {"agent_id": agent.id, "conversation_id": "default"}
        assert frame["payload"] == {"kind": "create_message", "messages": messages}


def test_an_environment_is_shown_as_it_is(client: Letta, server: Server) -> None:
    before = time.time() * 1000
    made = register(server, metadata={"os": "linux", "workingDirectory": "/src", "other": 1})
    state = client.environments.retrieve(made["deviceId"])
    assert (state.device_id, state.connection_name) == (made["deviceId"], "laptop")
    assert (state.connection_id, state.connected_at, state.pod_id, state.current_mode) == (None, None, None, None)
    assert state.metadata is not None
    assert (state.metadata.os, state.metadata.working_directory) == ("linux", "/src")
    assert state.first_seen_at >= before - 1000
    with device(client, made) as socket:
        socket.send('{"type":"ping"}')
        assert json.loads(socket.recv(timeout=20)) == {"type": "pong"}
        socket.send("no json")
        socket.send(json.dumps({"type": "mode_changed", "mode": "acceptEdits", "success": True}))
        wait_for(client, made, lambda found: found.current_mode == "acceptEdits")
        socket.send(
            json.dumps({"type": "update_device_status", "device_status": {"current_permission_mode": "default"}})
        )
        wait_for(client, made, lambda found: found.current_mode == "default")
        online = client.environments.retrieve(made["deviceId"])
        assert online.connection_id == made["connectionId"]
        assert online.pod_id
        assert online.connected_at is not None
        assert online.last_heartbeat is not None
    wait_for(client, made, lambda found: found.connection_id is None)


def test_who_is_not_connected_is_not_told_to_have_got_the_message(client: Letta, server: Server) -> None:
    made = register(server)
    with pytest.raises(InternalServerError, match="'laptop' is not connected") as refused:
        client.environments.send_message(made["connectionId"], messages=HELLO)
    assert refused.value.status_code == 503
    with device(client, made):
        assert client.environments.send_message(made["connectionId"], messages=HELLO).success
    wait_for(client, made, lambda found: found.connection_id is None)
    with pytest.raises(InternalServerError):
        client.environments.send_message(made["connectionId"], messages=HELLO)


def test_unknown_things_are_named(client: Letta, server: Server) -> None:
    made = register(server)
    nobody = "agent-00000000-0000-4000-8000-000000000000"
    with pytest.raises(NotFoundError, match="environment 'nowhere' does not exist"):
        client.environments.retrieve("nowhere")
    with pytest.raises(NotFoundError, match="environment 'connection-0'"):
        client.environments.send_message("connection-0", messages=HELLO)
    with pytest.raises(NotFoundError, match="agent"):
        client.environments.send_message(made["connectionId"], messages=HELLO, agent_id=nobody)
    one, other = bare_agent(client), bare_agent(client)
    talk = client.conversations.create(agent_id=other.id)
    with pytest.raises(NotFoundError, match="conversation"):
        client.environments.send_message(made["connectionId"], messages=HELLO, agent_id=one.id, conversation_id=talk.id)
    for bad in ([], [{"role": "user", "content": "no id"}], [{"type": "approval", "approvals": []}]):
        with pytest.raises(UnprocessableEntityError):
            client.environments.send_message(made["connectionId"], messages=bad)  # type: ignore[arg-type]
    with pytest.raises(InvalidStatus) as refused, connect(made["wsUrl"].replace(made["connectionId"], "connection-0")):
        pass
    assert refused.value.response.status_code == 404


def test_environments_are_listed_in_pages_and_by_what_they_are(client: Letta, server: Server) -> None:
    made = [register(server) for _ in range(3)]
    first = client.environments.list(limit="2")
    assert ([item.device_id for item in first.connections], first.has_next_page) == (
        [made[2]["deviceId"], made[1]["deviceId"]],
        True,
    )
    second = client.environments.list(limit="1", after=first.connections[-1].id)
    assert [item.device_id for item in second.connections] == [made[0]["deviceId"]]
    user_id = first.connections[0].user_id
    assert user_id is not None
    with device(client, made[1]):
        online = client.environments.list(online_only="true", user_id=user_id, source="local")
        assert [item.device_id for item in online.connections] == [made[1]["deviceId"]]
    assert client.environments.list(source="remote").connections == []
    assert client.environments.list(user_id="user-nobody").connections == []


def test_registering_anew_replaces_the_connection(client: Letta, server: Server) -> None:
    made = register(server, metadata={"os": "linux"})
    state = client.environments.retrieve(made["deviceId"])
    with device(client, made) as old:
        again = register(server, deviceId=made["deviceId"], connectionName="desktop")
        with pytest.raises(ConnectionClosed):
            old.recv(timeout=20)
        with pytest.raises(NotFoundError):
            client.environments.send_message(made["connectionId"], messages=HELLO)
        with device(client, again) as fresh:
            client.environments.send_message(again["connectionId"], messages=HELLO)
            assert json.loads(fresh.recv(timeout=20))["payload"]["messages"] == HELLO
            now = client.environments.retrieve(made["deviceId"])
    assert (now.id, now.first_seen_at, now.connection_name) == (state.id, state.first_seen_at, "desktop")
    assert now.metadata is not None
    assert now.metadata.os == "linux"


def test_a_forgotten_environment_is_closed(client: Letta, server: Server) -> None:
    made = register(server)
    with device(client, made) as socket, server.http as http:
        environment_id = client.environments.retrieve(made["deviceId"]).id
        gone = http.delete(f"/v1/environments/{environment_id}")
        assert (gone.status_code, gone.json()["success"]) == (200, True)
        with pytest.raises(ConnectionClosed):
            socket.recv(timeout=20)
        assert http.delete(f"/v1/environments/{environment_id}").status_code == 404
    with pytest.raises(NotFoundError):
        client.environments.retrieve(made["deviceId"])


def test_many_senders_at_once_are_all_heard(client: Letta, server: Server) -> None:
    made = register(server)

    def send(number: int) -> None:
        message: Any = {"role": "user", "content": str(number), "client_message_id": str(number)}
        assert client.environments.send_message(made["connectionId"], messages=[message]).success

    with device(client, made) as socket:
        senders = [threading.Thread(target=send, args=(number,)) for number in range(10)]
        for sender in senders:
            sender.start()
        heard = {json.loads(socket.recv(timeout=20))["payload"]["messages"][0]["content"] for _ in senders}
        for sender in senders:
            sender.join()
    assert heard == {str(number) for number in range(10)}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://evil.example"}, 403),
        ({"Host": "evil.example"}, 403),
        ({"Authorization": "Bearer ck-rev-unknown"}, 401),
    ],
)
def test_a_socket_is_guarded_like_every_request(server: Server, headers: dict[str, str], status: int) -> None:
    made = register(server)
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    key = {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
    url = made["wsUrl"].replace("ws://", "http://")
    refused = httpx.get(url, headers={**upgrade, **key, **headers})
    assert refused.status_code == status
    assert refused.json()["detail"]


def test_an_access_token_of_a_page_opens_no_socket(client: Letta, server: Server) -> None:
    agent, made = bare_agent(client), register(server)
    token = client.access_tokens.create(
        hostname="https://app.example", policy=[{"type": "agent", "id": agent.id, "access": ["write_messages"]}]
    ).token
    headers = {"Authorization": f"Bearer {token}"}
    with (
        pytest.raises(InvalidStatus) as refused,
        connect(made["wsUrl"], origin=Origin("https://app.example"), additional_headers=headers),
    ):
        pass
    assert refused.value.response.status_code == 403


def test_a_message_reaches_an_environment_that_another_server_holds(provider: Provider) -> None:
    environment = provider_environment(provider)
    with ExitStack() as stack:
        url = stack.enter_context(database_urls("postgresql"))
        holder = stack.enter_context(running_server(url, environment))
        other = stack.enter_context(running_server(url, environment))
        client, far = holder.client, other.client
        made = register(holder)
        with device(client, made) as socket:
            assert far.environments.retrieve(made["deviceId"]).connection_id == made["connectionId"]
            assert far.environments.send_message(made["connectionId"], messages=HELLO).success
            assert json.loads(socket.recv(timeout=20))["payload"]["messages"] == HELLO
            holder.kill()
            with pytest.raises(InternalServerError, match="was lost"):
                far.environments.send_message(made["connectionId"], messages=HELLO)
