"""Memory tools as models use them, and edits of blocks that several agents share."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from letta_client import Letta
from tests.support.provider import Provider
from tests.support.replies import call, hang, reply, say
from tests.wire.samples import bare_agent

LINES = "alpha\nbeta\ngamma"
ALL = ["memory", "memory_insert", "memory_replace", "memory_rethink", "memory_apply_patch", "core_memory_append",
       "core_memory_replace"]  # fmt: skip


def agent_with(client: Letta, tools: list[str] | None = None, **block: Any) -> str:
    """An agent with one block called `notes`, and the memory tools."""
    blocks = [{"label": "notes", "value": LINES, **block}]
    return bare_agent(client, memory_blocks=blocks, tools=tools or ALL).id


def use(client: Letta, provider: Provider, agent_id: str, tool: str, **arguments: Any) -> tuple[str, str, str]:
    """Let the agent call one tool: the status, the result, and what the block holds afterwards."""
    provider.script(call(tool, arguments), say("ok"))
    answer = client.agents.messages.create(agent_id, input="go")
    result: Any = next(item for item in answer.messages if item.message_type == "tool_return_message")
    value = {block.label: block.value for block in client.agents.blocks.list(agent_id)}
    return result.status, result.tool_return, value.get("notes", "")


@pytest.mark.parametrize(
    ("tool", "arguments", "value"),
    [
        ("memory_insert", {"new_string": "delta"}, f"{LINES}\ndelta"),
        ("memory_insert", {"new_string": "delta", "insert_line": -1}, f"{LINES}\ndelta"),
        ("memory_insert", {"new_string": "one\ntwo", "insert_line": 1}, "alpha\none\ntwo\nbeta\ngamma"),
        ("memory_insert", {"new_string": "zero", "insert_line": 0}, f"zero\n{LINES}"),
        ("memory_replace", {"old_string": "beta\n", "new_string": ""}, "alpha\ngamma"),
        ("memory_rethink", {"new_memory": "short"}, "short"),
        ("memory_apply_patch", {"patch": "@@\n-alpha\n+ALPHA\n@@\n beta\n-gamma\n+GAMMA"}, "ALPHA\nbeta\nGAMMA"),
        ("memory_apply_patch", {"patch": "@@\n-gamma\n+3\n@@\n-alpha\n+1"}, "1\nbeta\n3"),
        ("core_memory_append", {"content": "delta"}, f"{LINES}\ndelta"),
        ("core_memory_replace", {"old_content": "a", "new_content": "o"}, "olpho\nbeto\ngommo"),
    ],
)
def test_each_tool_edits_as_it_says(
    client: Letta, provider: Provider, tool: str, arguments: dict[str, Any], value: str
) -> None:
    agent_id = agent_with(client, [tool])
    status, told, after = use(client, provider, agent_id, tool, label="notes", **arguments)
    assert (status, after) == ("success", value), told
    assert value in provider.requests[-1].system


@pytest.mark.parametrize(
    ("tool", "arguments", "reason"),
    [
        ("memory_insert", {"new_string": "x", "insert_line": 9}, "no line 9"),
        ("memory_insert", {"new_string": "3→ x"}, "Line numbers"),
        ("memory_replace", {"old_string": "delta", "new_string": "x"}, "alpha"),
        ("memory_replace", {"old_string": "a", "new_string": "x"}, "places"),
        ("memory_replace", {"old_string": "1→ alpha", "new_string": "x"}, "Line numbers"),
        ("memory_rethink", {"new_memory": "1→ x"}, "Line numbers"),
        ("memory_rethink", {"new_memory": "x" * 41}, "at most 40 characters"),
        ("memory_apply_patch", {"patch": "-alpha\n+1\n@@\n-delta\n+4"}, "hunk 2"),
        ("memory_apply_patch", {"patch": "*** Add Block: new\n+1→ x"}, "Line numbers"),
        ("core_memory_replace", {"old_content": "delta", "new_content": "x"}, "alpha"),
    ],
)
def test_what_cannot_be_is_refused_with_a_reason_and_changes_nothing(
    client: Letta, provider: Provider, tool: str, arguments: dict[str, Any], reason: str
) -> None:
    agent_id = agent_with(client, [tool], limit=40)
    status, told, after = use(client, provider, agent_id, tool, label="notes", **arguments)
    assert (status, after) == ("error", LINES)
    assert reason in told
    assert reason in str(provider.requests[-1].body)


def test_one_tool_does_it_all_by_commands(client: Letta, provider: Provider) -> None:
    agent_id = agent_with(client, ["memory"])

    def do(**arguments: Any) -> tuple[str, str, str]:
        return use(client, provider, agent_id, "memory", **arguments)

    assert "2→ beta" in do(command="view", path="/memories/notes")[1]
    assert do(command="create", path="/memories/plan", description="What comes", file_text="north")[0] == "success"
    assert "/memories/plan" in do(command="view", path="/memories")[1]
    assert "north" in provider.requests[-1].system
    assert do(command="create", path="/memories/plan", description="again")[0] == "error"
    assert do(command="str_replace", path="/memories/notes", old_string="beta", new_string="B")[2] == "alpha\nB\ngamma"
    assert do(command="insert", path="/memories/notes", insert_line=1, insert_text="A")[2] == "alpha\nA\nB\ngamma"
    assert do(command="rename", old_path="/memories/plan", new_path="/memories/route")[0] == "success"
    assert do(command="rename", path="/memories/route", description="The way")[0] == "success"
    route = client.agents.blocks.retrieve("route", agent_id=agent_id)
    assert (route.value, route.description) == ("north", "The way")
    assert do(command="delete", path="/memories/route")[0] == "success"
    assert [block.label for block in client.agents.blocks.list(agent_id)] == ["notes"]
    assert "north" not in provider.requests[-1].system
    assert "needs" in do(command="insert", path="/memories/notes")[1]
    assert "'memoriesnotes'" in do(command="view", path="/memoriesnotes")[1]
    assert do(command="create", path="/memories/plan/next", file_text="south")[0] == "success"
    deep = client.agents.blocks.update("plan/next", agent_id=agent_id, description="What is next")
    assert client.agents.blocks.retrieve("plan/next", agent_id=agent_id) == deep
    assert (deep.label, deep.value) == ("plan/next", "south")


def test_a_patch_of_several_blocks_is_applied_whole_or_not_at_all(client: Letta, provider: Provider) -> None:
    agent_id = agent_with(client, ["memory_apply_patch", "memory_rethink"])
    assert "empty" in use(client, provider, agent_id, "memory_rethink", label=" ", new_memory="x")[1]
    half = "*** Add Block: plan\n+north\n*** Update Block: notes\n-delta\n+4"
    assert use(client, provider, agent_id, "memory_apply_patch", label="", patch=half)[0] == "error"
    assert [block.label for block in client.agents.blocks.list(agent_id)] == ["notes"]
    whole = "*** Add Block: plan\nDescription: The way\n+north\n*** Update Block: notes\n-beta\n+2\n*** Move to: list"
    assert use(client, provider, agent_id, "memory_apply_patch", label="", patch=whole)[0] == "success"
    found = {block.label: block.value for block in client.agents.blocks.list(agent_id)}
    assert found == {"plan": "north", "list": "alpha\n2\ngamma"}


def two_that_share(client: Letta) -> tuple[str, str, str]:
    """Two agents of one block, and the block."""
    block = client.blocks.create(label="notes", value=LINES)
    one, other = (bare_agent(client, block_ids=[block.id], tools=ALL).id for _ in range(2))
    return one, other, block.id


def test_an_edit_of_another_agent_is_there_in_the_middle_of_a_turn(client: Letta, provider: Provider) -> None:
    one, other, _ = two_that_share(client)
    gate = provider.gate("thinking")
    provider.script(
        hang(gate, call("memory_insert", label="notes", new_string="mine")), say("done"),
        when=lambda request: "slowly" in str(request.body),
    )  # fmt: skip
    with ThreadPoolExecutor() as pool:
        slow = pool.submit(lambda: client.agents.messages.create(one, input="slowly"))
        gate.wait_reached()
        provider.script(call("memory_insert", label="notes", new_string="theirs"), say("ok"))
        client.agents.messages.create(other, input="quickly")
        gate.release()
        slow.result()
    last = provider.requests[-1]
    assert "slowly" in str(last.body)
    assert f"{LINES}\ntheirs\nmine" in last.system


@pytest.mark.parametrize(
    ("tool", "arguments", "then"),
    [
        ("memory_rethink", {"new_memory": "all anew"}, "all anew"),
        ("memory_insert", {"new_string": "x", "insert_line": 2}, f"first\nx\n{LINES}"),
        ("memory_replace", {"old_string": LINES, "new_string": "x"}, None),
    ],
)
def test_a_rewrite_over_what_another_wrote_meanwhile_is_refused_once_and_works_again(
    client: Letta, provider: Provider, tool: str, arguments: dict[str, Any], then: str | None
) -> None:
    agent_id, other, block_id = two_that_share(client)
    gate = provider.gate("thinking")
    wish = call(tool, {"label": "notes", **arguments})
    again = {**arguments, "insert_line": 1} if "insert_line" in arguments else arguments
    if then is None:
        provider.script(hang(gate, wish), say("so be it"))
        meanwhile = "first"
    else:
        provider.script(hang(gate, wish), call(tool, {"label": "notes", **again}), say("done"))
        meanwhile = f"first\n{LINES}"
    with ThreadPoolExecutor() as pool:
        turn = pool.submit(lambda: client.agents.messages.create(agent_id, input="write"))
        gate.wait_reached()
        client.agents.blocks.update("notes", agent_id=other, value=meanwhile)
        gate.release()
        answer = turn.result()
    results: list[Any] = [item for item in answer.messages if item.message_type == "tool_return_message"]
    assert results[0].status == "error"
    assert meanwhile.split("\n")[0] in results[0].tool_return
    assert [item.status for item in results[1:]] == ([] if then is None else ["success"])
    assert client.blocks.retrieve(block_id).value == (meanwhile if then is None else then)


def test_two_calls_of_one_reply_do_not_disturb_each_other(client: Letta, provider: Provider) -> None:
    agent_id = agent_with(client)
    provider.script(
        reply(
            call("memory_insert", label="notes", new_string="delta"),
            call("memory_rethink", label="notes", new_memory="all"),
            call("core_memory_append", label="notes", content="more"),
        ),
        say("ok"),
    )
    answer = client.agents.messages.create(agent_id, input="go")
    result: Any = answer.messages[1]
    assert [item.status for item in result.tool_returns] == ["success"] * 3
    assert client.agents.blocks.retrieve("notes", agent_id=agent_id).value == "all\nmore"


def test_a_call_that_was_approved_late_does_not_write_over_what_came_between(client: Letta, provider: Provider) -> None:
    agent_id = agent_with(client, ["memory_rethink"], limit=100)
    client.agents.tools.update_approval("memory_rethink", agent_id=agent_id, body_requires_approval=True)
    provider.script(call("memory_rethink", label="notes", new_memory="anew"))
    asked: Any = client.agents.messages.create(agent_id, input="rewrite").messages[-1]
    client.agents.blocks.update("notes", agent_id=agent_id, value="by hand")
    provider.script(say("I see."))
    approval: Any = {
        "type": "approval",
        "approvals": [{"type": "approval", "tool_call_id": asked.tool_call.tool_call_id, "approve": True}],
    }
    answer = client.agents.messages.create(agent_id, messages=[approval])
    assert "by hand" in str(answer.messages[0])
    assert client.agents.blocks.retrieve("notes", agent_id=agent_id).value == "by hand"


def test_many_agents_append_at_once_and_nothing_is_lost(client: Letta, provider: Provider) -> None:
    first = client.blocks.create(label="notes", value="")
    second = client.blocks.create(label="log", value="")
    count = 6
    agents = [
        # Attached in either order: agents that lock both must not wait for each other.
        bare_agent(client, block_ids=[first.id, second.id] if place % 2 else [second.id, first.id], tools=ALL).id
        for place in range(count)
    ]
    for place in range(count):
        provider.script(
            reply(
                call("memory_insert", label="notes", new_string=f"n{place}"),
                call("core_memory_append", label="log", content=f"l{place}"),
            ),
            say("ok"),
            when=lambda request, place=place: f"number {place}." in str(request.body),  # type: ignore[misc]
        )
    with ThreadPoolExecutor(count) as pool:
        answers = list(
            pool.map(lambda it: client.agents.messages.create(it[1], input=f"number {it[0]}."), enumerate(agents))
        )
    assert all(answer.stop_reason.stop_reason == "end_turn" for answer in answers)
    assert sorted(client.blocks.retrieve(first.id).value.split()) == [f"n{place}" for place in range(count)]
    assert sorted(client.blocks.retrieve(second.id).value.split()) == [f"l{place}" for place in range(count)]


def test_what_was_just_said_is_found_by_its_meaning(client: Letta, provider: Provider) -> None:
    agent = bare_agent(client, include_base_tools=True)
    provider.script(say("Good for her."))
    client.agents.messages.create(agent.id, input="My kitten dozes on the radiator all day.")
    (best, *_) = client.messages.search(query="sleepy cats", search_mode="vector", agent_id=agent.id)
    assert "dozes on the radiator" in str(best)
    provider.script(call("conversation_search", query="sleepy cats", limit=1), say("Found."))
    answer = client.agents.messages.create(agent.id, input="What did I tell you?")
    (told,) = [item for item in answer.messages if item.message_type == "tool_return_message"]
    assert "dozes on the radiator" in str(told.tool_return)
