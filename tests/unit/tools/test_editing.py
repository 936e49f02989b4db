"""Edits of a block's text."""

import pytest

from reverie.domain.agent import AgentType
from reverie.domain.errors import ToolError
from reverie.tools.base import ToolOutcome
from reverie.tools.builtin import BUILTIN, base_tools, editing
from reverie.tools.limits import cut

TEXT = "one\ntwo\nthree\ntwo"


@pytest.mark.parametrize(
    ("line", "text"), [(0, "x\none\ntwo\nthree\ntwo"), (1, "one\nx\ntwo\nthree\ntwo"), (-1, "one\ntwo\nthree\ntwo\nx")]
)
def test_text_is_inserted_after_a_line(line: int, text: str) -> None:
    assert editing.insert(TEXT, "x", line).text == text


def test_a_replacement_must_be_unique() -> None:
    with pytest.raises(ToolError, match="lines 2, 4"):
        editing.replace_once(TEXT, "two", "x")
    assert editing.replace_once(TEXT, "two\nthree", "x").text == "one\nx\ntwo"
    with pytest.raises(ToolError, match="not in the block"):
        editing.replace_once(TEXT, "four", "x")


def test_line_numbers_are_refused() -> None:
    with pytest.raises(ToolError, match="new_string"):
        editing.refuse_numbers(new_string="a\n12→ b")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (" one\n-two\n+2", "one\n2\nthree\ntwo"),
        ("--- a\n+++ b\n@@ -3,2 +3,1 @@\n three\n-two", "one\ntwo\nthree"),
        ("@@ -4 +4 @@\n-two\n+2", "one\ntwo\nthree\n2"),
        ("+four", "one\ntwo\nthree\ntwo\nfour"),
        ("@@\n-one\n+1\n@@\n-three\n+3", "1\ntwo\n3\ntwo"),
        ("*** Begin Patch\n@@\n-one\n+1\n*** End of File\n*** End Patch", "1\ntwo\nthree\ntwo"),
        (" one\r\n-two\r\n+2\r\n three\r\n", "one\n2\nthree\ntwo"),
    ],
)
def test_a_patch_is_applied_where_its_lines_stand(change: str, text: str) -> None:
    assert editing.patch(TEXT, change).text == text


def test_a_patch_leaves_other_lines_as_they_stand_and_takes_rules_for_lines() -> None:
    assert editing.patch("a\tb  \nc\nd ", " a   b\n-c\n+C\n d").text == "a\tb  \nC\nd "
    assert editing.patch("-- a\nb", "@@\n--- a\n+c").text == "c\nb"


@pytest.mark.parametrize("change", ["-two\n+2", "-five\n+5", " one", "what"])
def test_a_patch_that_does_not_fit_is_refused(change: str) -> None:
    with pytest.raises(ToolError):
        editing.patch(TEXT, change)


def test_base_tools_exist_and_hold_the_archival_ones() -> None:
    for agent_type in AgentType:
        for sleeptime in (False, True):
            assert set(base_tools(agent_type, sleeptime)) <= set(BUILTIN)
    assert set(base_tools(AgentType.LETTA_V1, False)) == {
        *("conversation_search", "memory_insert", "memory_replace", "archival_memory_insert", "archival_memory_search")
    }


def test_long_results_are_cut_with_a_note() -> None:
    result = cut(ToolOutcome.success("x" * 10), 4)
    assert getattr(result.content[0], "text", "") == "xxxx"
    assert "truncated to the first 4 of its 10 characters" in getattr(result.content[1], "text", "")
    assert result.value == "x" * 10
