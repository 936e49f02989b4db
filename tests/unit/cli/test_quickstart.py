import io
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from reverie.cli.quickstart import QuickstartFailed, Reply, pick


@pytest.mark.parametrize(
    ("handles", "providers", "picked"),
    [
        (["openai/gpt-4o", "openai/gpt-4o-mini-2024", "openai/gpt-4o-mini"], ["openai"], "openai/gpt-4o-mini"),
        (["anthropic/claude-haiku-4-5", "openai/other"], ["openai", "anthropic"], "openai/other"),
        (["anthropic/claude-haiku-4-5"], ["openai", "anthropic"], "anthropic/claude-haiku-4-5"),
        (["bedrock/a", "ollama/zephyr:7b"], ["bedrock", "ollama"], "ollama/zephyr:7b"),
        (["bedrock/a"], ["bedrock"], "bedrock/a"),
        (["mine/some/model"], ["mine"], "mine/some/model"),
        ([], ["openai"], None),
        (["other/x"], ["openai"], None),
    ],
)
def test_the_first_provider_that_lists_a_model_is_used(
    handles: list[str], providers: list[str], picked: str | None
) -> None:
    assert pick(handles, providers) == picked


def shown(*events: Any, width: int = 40) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    reply = Reply(console)
    for event in events:
        reply.event(event)
    reply.close()
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def said(text: Any) -> SimpleNamespace:
    return SimpleNamespace(message_type="assistant_message", content=text)


def test_pieces_of_text_join_into_one_reply() -> None:
    assert shown(said("Hel"), said("lo "), said("there.")) == "agent  Hello there.\n"


def test_text_parts_are_read_too() -> None:
    assert shown(said([SimpleNamespace(type="text", text="Hello")])) == "agent  Hello\n"


def test_a_long_reply_is_wrapped_between_words() -> None:
    lines = shown(said("many " * 20)).splitlines()
    assert len(lines) > 2
    assert all(len(line) < 40 for line in lines)
    assert "".join(lines).count("many") == 20


def test_line_ends_are_kept_inside_a_reply_and_dropped_around_it() -> None:
    text = shown(said("\nHel"), said("lo\n"), said("\nthere\n\n"), said("\n"))
    assert text == "agent  Hello\n       \n       there\n"


def test_a_tool_call_has_a_line_of_its_own_with_its_outcome() -> None:
    call = SimpleNamespace(name="memory_insert", tool_call_id="c1", arguments="{}")
    text = shown(
        said("One moment."),
        SimpleNamespace(message_type="tool_call_message", tool_call=call),
        SimpleNamespace(message_type="tool_return_message", tool_call_id="c1", status="success"),
        said("Done."),
    )
    assert text == "agent  One moment.\n       ✓ memory_insert\nagent  Done.\n"


def test_a_failed_model_ends_the_tour_with_its_reason() -> None:
    with pytest.raises(QuickstartFailed, match="no credit"):
        shown(SimpleNamespace(message_type="error_message", message="no credit"))
