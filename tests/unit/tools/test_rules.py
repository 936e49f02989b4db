"""Tool rules, through their public functions."""

import pytest

from reverie.domain.errors import MalformedInput
from reverie.domain.tool_rule import (
    ChildToolRule,
    ConditionalToolRule,
    ContinueToolRule,
    InitToolRule,
    MaxCountPerStepToolRule,
    ParentToolRule,
    RequiredBeforeExitToolRule,
    TerminalToolRule,
    ToolCallNode,
)
from reverie.tools.rules import Allowed, Executed, allowed_tools, args_override, check_rules, describe_rules, violation

TOOLS = ("a", "b", "c")


def ran(*names: str) -> tuple[Executed, ...]:
    return tuple(Executed(name=name) for name in names)


def test_without_rules_all_is_allowed() -> None:
    assert allowed_tools((), TOOLS, ()) == Allowed(names=None)


def test_an_init_rule_forces_the_first_call_and_fixes_its_arguments() -> None:
    rules = (InitToolRule(tool_name="a", args={"x": 1}),)
    assert allowed_tools(rules, TOOLS, ()).forced == "a"
    assert args_override(rules, "a", ()) == {"x": 1}
    assert allowed_tools(rules, TOOLS, ran("a")) == Allowed(names=None)
    assert args_override(rules, "a", ran("a")) is None


def test_a_child_rule_leads_on_and_fixes_arguments() -> None:
    rules = (ChildToolRule(tool_name="a", children=("b",), child_arg_nodes=(ToolCallNode(name="b", args={"y": 2}),)),)
    assert allowed_tools(rules, TOOLS, ran("a")) == Allowed(names=frozenset("b"), forced="b", must_continue=True)
    assert args_override(rules, "b", ran("a")) == {"y": 2}
    assert not allowed_tools(rules, TOOLS, ran("a", "b")).must_continue


def test_a_parent_rule_hides_its_children_until_the_parent_ran_last() -> None:
    rules = (ParentToolRule(tool_name="a", children=("b",)),)
    assert allowed_tools(rules, TOOLS, ()).names == frozenset("ac")
    assert allowed_tools(rules, TOOLS, ran("a")).names is None
    assert allowed_tools(rules, TOOLS, ran("a", "c")).names == frozenset("ac")


@pytest.mark.parametrize(
    ("key", "value", "matches"),
    [
        ("true", True, True),
        ("True", True, True),
        ("true", 1, False),
        ("1", 1, True),
        ("1", True, False),
        ("1.0", 1, True),
        ("1", "1", True),
        ("True", "true", True),
        ("None", None, True),
        ("yes", "yes", True),
        ("yes", "Yes", False),
        ('{"a": 1}', {"a": 1}, True),
    ],
)
def test_a_conditional_rule_looks_at_the_real_value(key: str, value: object, matches: bool) -> None:
    rules = (ConditionalToolRule(tool_name="a", child_output_mapping={key: "b"}, default_child="c"),)
    assert allowed_tools(rules, TOOLS, (Executed(name="a", value=value),)).forced == ("b" if matches else "c")


def test_a_count_is_met_after_so_many_calls() -> None:
    rules = (MaxCountPerStepToolRule(tool_name="a", max_count_limit=2),)
    assert allowed_tools(rules, TOOLS, ran("a")).names is None
    allowed = allowed_tools(rules, TOOLS, ran("a", "b", "a"))
    assert allowed.names == frozenset("bc")
    assert "at most 2" in violation(rules, "a", allowed)


def test_a_turn_may_not_end_before_a_required_tool_unless_there_is_none_such() -> None:
    rules = (RequiredBeforeExitToolRule(tool_name="a"), RequiredBeforeExitToolRule(tool_name="gone"))
    assert allowed_tools(rules, TOOLS, ran("b")).missing_before_exit == ("a",)
    assert allowed_tools(rules, TOOLS, ran("a")) == Allowed(names=None)


def test_what_can_never_run_is_not_waited_for() -> None:
    rules = (RequiredBeforeExitToolRule(tool_name="b"), ParentToolRule(tool_name="gone", children=("b",)))
    assert allowed_tools(rules, TOOLS, ()) == Allowed(names=frozenset("ac"))


def test_a_continue_rule_is_met_by_asking_again() -> None:
    assert not allowed_tools((ContinueToolRule(tool_name="a"),), TOOLS, ran("a")).must_continue


@pytest.mark.parametrize(
    "rules",
    [
        (TerminalToolRule(tool_name="a"), ContinueToolRule(tool_name="a")),
        (TerminalToolRule(tool_name="a"), ChildToolRule(tool_name="a", children=("b",))),
        (ChildToolRule(tool_name="a", children=("b",)), ChildToolRule(tool_name="a", children=("c",))),
        (MaxCountPerStepToolRule(tool_name="a", max_count_limit=0),),
        (ParentToolRule(tool_name="a", children=()),),
    ],
)
def test_rules_that_cannot_all_hold_are_refused(rules: tuple[TerminalToolRule, ...]) -> None:
    with pytest.raises(MalformedInput):
        check_rules(rules)


def test_a_clients_wording_is_filled_in() -> None:
    rules = (ChildToolRule(tool_name="a", children=("b", "c"), prompt_template="{{ tool_name }} > {{ children }}"),)
    assert describe_rules(rules) == "- a > b, c"
    assert describe_rules(()) is None
