"""What agents have of folders: tools, open files in the very next prompt, search, and limits."""

import re
from typing import Any
from uuid import uuid4

import pytest
from letta_client import APIStatusError, Letta, NotFoundError
from tests.support.documents import put, upload, wait_read
from tests.support.provider import Provider
from tests.support.replies import call, say
from tests.support.server import Server
from tests.wire.samples import bare_agent

TOOLS = ["grep_files", "open_files", "semantic_search_files"]
LONG = "\n".join(f"entry {number}" for number in range(1, 101))


class Shelf:
    """A folder with a name of its own, since the server is shared, and its files."""

    def __init__(self, client: Letta, **texts: str) -> None:
        self.client = client
        self.name = f"shelf {uuid4().hex[:8]}"
        self.id = client.folders.create(name=self.name, description="What we know", instructions="Quote it").id
        self.ids = self.add(**texts)

    def add(self, **texts: str) -> dict[str, str]:
        files = put(self.client, self.id, [(f"{name}.md", text) for name, text in texts.items()])
        return {name: file.id for name, file in zip(texts, files, strict=True)}

    def file(self, name: str) -> str:
        return f"{self.name}/{name}.md"


def tool_names(client: Letta, agent_id: str) -> list[str]:
    return sorted(tool.name or "" for tool in client.agents.tools.list(agent_id))


def open_names(client: Letta, agent_id: str) -> set[str]:
    return {file.file_name.rpartition("/")[2] for file in client.agents.files.list(agent_id, is_open=True)}


def result_of(client: Letta, agent_id: str, provider: Provider, name: str, **arguments: Any) -> str:
    """What the model is told when it calls a tool, read from the request that follows."""
    provider.script(call(name, **arguments), say("done"))
    client.agents.messages.create(agent_id, input="go")
    stored = client.agents.messages.list(agent_id, limit=10).items
    return next(str(item.tool_return) for item in stored if item.message_type == "tool_return_message")


def test_an_attached_folder_brings_tools_and_open_files_and_takes_them_away(client: Letta, provider: Provider) -> None:
    shelf = Shelf(client, tides="High water at six.", moon="New moon on Friday.")
    agent = bare_agent(client)
    client.agents.messages.create(agent.id, input="before")
    attached = client.agents.folders.attach(shelf.id, agent_id=agent.id)
    assert attached is not None
    assert [source.id for source in attached.sources] == [shelf.id]
    assert tool_names(client, agent.id) == TOOLS
    assert {tool.tool_type for tool in attached.tools} == {"letta_files_core"}
    client.agents.messages.create(agent.id, input="during")
    assert [folder.id for folder in client.agents.folders.list(agent.id)] == [shelf.id]
    assert list(client.folders.agents.list(shelf.id)) == [agent.id]
    client.agents.folders.detach(shelf.id, agent_id=agent.id)
    client.agents.messages.create(agent.id, input="after")
    # What an earlier test left running in the background may ask the same provider.
    before, during, after = (request for request in provider.requests if agent.id in request.system)
    assert sorted(during.tools) == TOOLS
    assert before.tools == after.tools == ()
    for text in ("<directories>", f'<directory name="{shelf.name}">', "What we know", "Quote it",
                 "- current_files_open=2", f'<file status="open" name="{shelf.file("tides")}">',
                 "[Viewing file start (out of 1 lines)]\n1: High water at six.", "1: New moon on Friday."):  # fmt: skip
        assert text in during.system, text
        assert text not in before.system
        assert text not in after.system
    assert re.sub(r"^- \d+ earlier.*$", "", before.system, flags=re.MULTILINE) == re.sub(
        r"^- \d+ earlier.*$", "", after.system, flags=re.MULTILINE
    )
    client.agents.folders.detach(shelf.id, agent_id=agent.id)  # what is done already is no error
    with pytest.raises(NotFoundError):
        client.agents.folders.detach(f"source-{uuid4()}", agent_id=agent.id)
    assert list(client.agents.files.list(agent.id)) == []


def test_a_file_that_comes_later_is_in_the_very_next_prompt(client: Letta, provider: Provider) -> None:
    shelf = Shelf(client)
    agent = bare_agent(client, folder_ids=[shelf.id], max_files_open=1)
    assert [source.id for source in agent.sources] == [shelf.id]
    assert sorted(tool.name or "" for tool in agent.tools) == TOOLS
    client.agents.messages.create(agent.id, input="one")
    shelf.add(first="The first.")
    client.agents.messages.create(agent.id, input="two")
    shelf.add(second="The second.")
    client.agents.messages.create(agent.id, input="three")
    shelf_again = upload(client, shelf.id, "first.md", "Other words.", duplicate_handling="replace")
    wait_read(client, shelf.id, shelf_again.id)
    client.agents.messages.create(agent.id, input="four")
    client.folders.delete(shelf.id)
    client.agents.messages.create(agent.id, input="five")
    one, two, three, four, five = (request.system for request in provider.requests)
    assert "The first." not in one
    assert "1: The first." in two
    assert "1: The first." in three
    assert f'<file status="closed" name="{shelf.file("second")}">\n</file>' in three, (
        "a full agent keeps what it has open"
    )
    assert "The first." not in four
    assert "1: Other words." in four
    assert "<directories>" not in five
    assert tool_names(client, agent.id) == []


def test_the_model_opens_ranges_and_sees_them(client: Letta, provider: Provider) -> None:
    shelf = Shelf(client, log=LONG, note="A note.")
    agent = bare_agent(client, folder_ids=[shelf.id])
    client.agents.files.close_all(agent.id)
    provider.script(call("open_files", file_requests=[{"file_name": shelf.file("log"), "offset": 9, "length": 2}]),
                    call("open_files", file_requests=[{"file_name": shelf.file("log"), "offset": 98, "length": 50},
                                                      {"file_name": shelf.file("note")}]),
                    call("open_files", file_requests=[{"file_name": shelf.file("note")}], close_all_others=True),
                    say("done"))  # fmt: skip
    reply = client.agents.messages.create(agent.id, input="read")
    told = [str(item.tool_return) for item in reply.messages if item.message_type == "tool_return_message"]
    assert told[0] == f"* Opened {shelf.file('log')} (lines 10-11)"
    assert told[1] == (
        f"* Opened 2 files: {shelf.file('log')} (lines 99-148) (previously lines 10-11), {shelf.file('note')}"
    )
    assert told[2].startswith(f"* Opened {shelf.file('note')} (previously full file)\nNote: Closed 1 other file(s)")
    _, one, two, three = (request.system for request in provider.requests)
    assert "[Viewing lines 10 to 11 (out of 100 lines)]\n10: entry 10\n11: entry 11\n</value>" in one
    assert "[Viewing lines 99 to 100 (out of 100 lines)]\n99: entry 99\n100: entry 100\n</value>" in two
    assert "1: A note." in two
    assert "entry" not in three
    listed = {file.file_id: file for file in client.agents.files.list(agent.id)}
    assert (listed[shelf.ids["note"]].is_open, listed[shelf.ids["log"]].is_open) == (True, False)
    assert listed[shelf.ids["note"]].visible_content == "[Viewing file start (out of 1 lines)]\n1: A note."


def test_a_wrong_request_for_files_is_refused_with_what_to_do(client: Letta, provider: Provider) -> None:
    shelf = Shelf(client, log=LONG)
    agent = bare_agent(client, folder_ids=[shelf.id], max_files_open=1)
    name = shelf.file("log")
    for requests, words in (
        ([{"file_name": "nowhere.md"}], "there is no file 'nowhere.md'"),
        ([], "file_requests is empty"),
        ([{"file_name": name}, {"file_name": name}], "at most 1 files open"),
        ([{"file_name": name, "offset": -1}], "counted from 0"),
        ([{"file_name": name, "offset": 100}], "has only 100 lines"),
        ([{"file_name": name, "length": 0}], "at least one line"),
    ):
        assert words in result_of(client, agent.id, provider, "open_files", file_requests=requests)
    assert "1: entry 1\n" in provider.all_requests[-1].system, "what was open stays open"


def test_files_are_searched_for_patterns(client: Letta, provider: Provider) -> None:
    shelf = Shelf(client, log=LONG, other="Entry of another kind\n\nnothing\nENTRY 7 again")
    agent = bare_agent(client, folder_ids=[shelf.id])
    told = result_of(client, agent.id, provider, "grep_files", pattern="entry 7$|kind")
    assert told.startswith("Found 2 total matches across 2 files (showing matches 1-2 of 2)")
    assert f"=== {shelf.file('log')}:7 ===\n  6: entry 6\n> 7: entry 7\n  8: entry 8" in told
    assert f"=== {shelf.file('other')}:1 ===\n> 1: Entry of another kind\n  2: " in told
    assert "No more matches to show." in told
    first = result_of(client, agent.id, provider, "grep_files", pattern="entry", context_lines=0)
    assert "(showing matches 1-20 of 102)" in first
    assert 'grep_files(pattern="entry", offset=20)' in first
    last = result_of(client, agent.id, provider, "grep_files", pattern="entry", offset=100, include="*other.md")
    assert "Found 2 total matches across 1 files (none at offset 100)" in last
    for glob in ("*o[s-u]her.{md,txt}", "*[!a-k]ther.m?", "*/other.md"):
        told = result_of(client, agent.id, provider, "grep_files", pattern="kind", include=glob)
        assert "Found 1 total matches across 1 files" in told, (glob, told)
    assert "No matches found" in result_of(client, agent.id, provider, "grep_files", pattern="zebra")
    assert "No files match" in result_of(client, agent.id, provider, "grep_files", pattern="x", include="*.pdf")
    assert "cannot be used" in result_of(client, agent.id, provider, "grep_files", pattern="(?<=a)b")
    assert "102 total" in result_of(client, agent.id, provider, "grep_files", pattern="(e|en|ent)*(.*)*ry")


def test_files_are_searched_by_meaning_and_by_words(client: Letta, provider: Provider) -> None:
    shelf = Shelf(
        client,
        sea="The herring fleet leaves the harbour before dawn.",
        money="The yearly budget of the parish is nine hundred crowns.",
    )
    foreign = Shelf(client, secret="The herring fleet is foreign.")
    agent = bare_agent(client, folder_ids=[shelf.id])
    told = result_of(client, agent.id, provider, "semantic_search_files", query="fishing boats", limit=1)
    assert told.startswith("Found 1 semantic matches in 1 file for query: 'fishing boats'")
    assert f"=== {shelf.file('sea')} (passage #1, from line 1) ===\n  The herring fleet" in told
    everything = result_of(client, agent.id, provider, "semantic_search_files", query="herring crowns")
    assert "in 2 files" in everything
    assert foreign.name not in everything
    bare = bare_agent(client, folder_ids=[Shelf(client).id])
    assert "No semantic matches" in result_of(client, bare.id, provider, "semantic_search_files", query="herring")


def test_the_file_unused_for_longest_is_closed(client: Letta, provider: Provider) -> None:
    shelf = Shelf(client, a="alpha", b="beta", c="gamma")
    agent = bare_agent(client, folder_ids=[shelf.id], max_files_open=2)
    assert open_names(client, agent.id) == {"a.md", "b.md"}
    client.agents.files.open(shelf.ids["b"], agent_id=agent.id)
    client.agents.files.open(shelf.ids["a"], agent_id=agent.id)
    assert client.agents.files.open(shelf.ids["c"], agent_id=agent.id) == [shelf.file("b")]
    assert open_names(client, agent.id) == {"a.md", "c.md"}
    result_of(client, agent.id, provider, "grep_files", pattern="alpha")
    told = result_of(client, agent.id, provider, "open_files", file_requests=[{"file_name": shelf.file("b")}])
    assert f"Closed 1 least recently used file(s), as 2 can be open: {shelf.file('c')}" in told, "a search is a use"
    assert open_names(client, agent.id) == {"a.md", "b.md"}
    client.agents.files.close(shelf.ids["a"], agent_id=agent.id)
    client.agents.files.close(shelf.ids["a"], agent_id=agent.id)
    assert client.agents.files.close_all(agent.id) == [shelf.file("b")]
    assert open_names(client, agent.id) == set()


def test_open_files_fit_their_window_and_follow_its_changes(client: Letta, provider: Provider) -> None:
    shelf = Shelf(client, log=LONG, note="A note.")
    agent = bare_agent(client, folder_ids=[shelf.id], per_file_view_window_char_limit=300)
    client.agents.messages.create(agent.id, input="one")
    client.agents.update(agent.id, per_file_view_window_char_limit=5000)
    client.agents.messages.create(agent.id, input="two")
    client.agents.update(agent.id, max_files_open=1)
    client.agents.messages.create(agent.id, input="three")
    one, two, three = (request.system for request in provider.requests)
    views = re.findall(r"<value>\n(.*?)\n</value>", one, flags=re.DOTALL)
    assert all(len(view) <= 300 for view in views)
    assert "[Cut at 300 characters" in one
    assert "entry 100" not in one
    assert "100: entry 100\n</value>" in two
    assert "- current_files_open=1\n- max_files_open=1" in three
    small = bare_agent(client, context_window_limit=8000)
    assert (small.max_files_open, small.per_file_view_window_char_limit) == (3, 2000)
    large = bare_agent(client)
    assert (large.max_files_open, large.per_file_view_window_char_limit) == (10, 25000)
    shrunk = client.agents.update(large.id, context_window_limit=8000)
    assert (shrunk.max_files_open, shrunk.per_file_view_window_char_limit) == (3, 2000)


def test_folders_are_given_at_creation_and_by_update_all_or_none(client: Letta) -> None:
    one, two = Shelf(client, a="x"), Shelf(client, b="y")
    nowhere = "source-00000000-0000-4000-8000-000000000000"
    name = uuid4().hex
    with pytest.raises(NotFoundError) as missing:
        bare_agent(client, name=name, folder_ids=[one.id, nowhere])
    assert nowhere in str(missing.value.body)
    assert list(client.agents.list(name=name)) == []
    agent = bare_agent(client, source_ids=[one.id], tool_rules=[{"type": "exit_loop", "tool_name": "grep_files"}])
    assert [source.id for source in agent.sources] == [one.id]
    include: Any = ["agent.sources", "agent.tools"]
    with pytest.raises(NotFoundError):
        client.agents.update(agent.id, folder_ids=[two.id, nowhere])
    assert [item.id for item in client.agents.retrieve(agent.id, include=include).sources] == [one.id]
    client.agents.update(agent.id, folder_ids=[two.id])
    listed = client.agents.list(name=agent.name, include=include).items[0]
    assert [item.id for item in listed.sources] == [two.id]
    assert open_names(client, agent.id) == {"b.md"}
    client.agents.update(agent.id, folder_ids=[])
    left = client.agents.retrieve(agent.id, include=include)
    assert (left.sources, left.tools) == ([], [])
    assert client.agents.retrieve(agent.id).sources == []


def test_an_agent_may_be_made_with_a_folder_of_its_own(client: Letta) -> None:
    name = uuid4().hex
    extra: Any = {"include_default_source": True, "embedding_chunk_size": 50}
    first, second = (bare_agent(client, name=name, extra_body=extra) for _ in range(2))
    (own,), (other,) = first.sources, second.sources
    assert own.name == f"{name} files"
    assert other.name.startswith(f"{name} files ")
    assert own.embedding_config.embedding_chunk_size == 50
    client.agents.delete(first.id)
    assert client.folders.retrieve(own.id).id == own.id


def test_the_files_of_an_agent_are_paged(client: Letta, server: Server) -> None:
    shelf = Shelf(client, a="1", b="2", c="3")
    agent = bare_agent(client, folder_ids=[shelf.id])
    names = [file.file_name for file in client.agents.files.list(agent.id, limit=1)]
    assert names == [shelf.file("c"), shelf.file("b"), shelf.file("a")]
    page = client.agents.files.list(agent.id, limit=2, order="asc")
    assert [file.file_id for file in page.files] == [shelf.ids["a"], shelf.ids["b"]]
    assert page.has_more
    assert page.next_cursor == page.files[-1].id
    rest = client.agents.files.list(agent.id, order="asc", cursor=page.next_cursor)
    assert [file.file_id for file in rest.files] == [shelf.ids["c"]]
    assert not rest.has_more
    back = client.agents.files.list(agent.id, order="asc", before=shelf.ids["c"], limit=1)
    assert [file.file_id for file in back.files] == [shelf.ids["b"]]
    file = page.files[0]
    assert (file.folder_id, file.folder_name, file.is_open) == (shelf.id, shelf.name, True)
    assert file.last_accessed_at is not None
    with server.http as http:
        memory = http.get(f"/v1/agents/{agent.id}/core-memory").json()
    assert [item["label"] for item in memory["file_blocks"]] == [shelf.file(name) for name in "abc"]
    assert memory["file_blocks"][0]["value"].endswith("1: 1")
    asked = client.agents.retrieve(agent.id, include=["agent.blocks"])
    assert [item.label for item in asked.memory.file_blocks or []] == [shelf.file(name) for name in "abc"]
    assert not asked.sources


def test_files_of_other_folders_and_unread_ones_cannot_be_opened(client: Letta) -> None:
    shelf, foreign = Shelf(client, a="1"), Shelf(client, b="2")
    agent = bare_agent(client, folder_ids=[shelf.id], max_files_open=0)
    broken = upload(client, shelf.id, "no.pdf", b"no PDF").id
    wait_read(client, shelf.id, broken)
    for file_id in (foreign.ids["b"], broken, "file-00000000-0000-4000-8000-000000000000"):
        for attempt in (client.agents.files.open, client.agents.files.close):
            with pytest.raises(NotFoundError) as missing:
                attempt(file_id, agent_id=agent.id)
            assert file_id in str(missing.value.body)
    with pytest.raises(APIStatusError) as refused:
        client.agents.files.open(shelf.ids["a"], agent_id=agent.id)
    assert refused.value.status_code == 400
    assert "max_files_open" in str(refused.value.body)
