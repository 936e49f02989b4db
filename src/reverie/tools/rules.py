"""What an agent's tool rules mean. Pure functions over the rules and what ran in the present request."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, assert_never

from reverie.domain.errors import MalformedInput
from reverie.domain.json import JsonObject, JsonValue
from reverie.domain.tool import Tool
from reverie.domain.tool_rule import (
    ChildToolRule,
    ConditionalToolRule,
    ContinueToolRule,
    InitToolRule,
    MaxCountPerStepToolRule,
    ParentToolRule,
    RequiredBeforeExitToolRule,
    RequiresApprovalToolRule,
    TerminalToolRule,
    ToolRule,
)

_PLACEHOLDER: Final = re.compile(r"\{\{\s*(\w+)[^}]*\}\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Executed:
    """One call that ran in the present request."""

    name: str
    value: JsonValue = None
    """Its real return value, or its text where there is no other."""
    succeeded: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """What may come next."""

    names: frozenset[str] | None
    """None: all tools."""
    forced: str | None = None
    """The one tool that must be called now."""
    must_continue: bool = False
    """The turn may not end here, even if the model wants it to."""
    missing_before_exit: tuple[str, ...] = ()
    """Tools the turn may not end without, in the rules' order."""


def allowed_tools(rules: Sequence[ToolRule], tool_names: Iterable[str], history: Sequence[Executed]) -> Allowed:
    """What `rules` let happen after `history`, oldest call first.

    Rules on tools that the agent does not have are without effect; a rule must never leave a turn
    that can neither go on nor end.
    """
    owned = frozenset(tool_names)
    missing = missing_before_exit(rules, owned, history)
    if missing and any(item.succeeded and is_terminal(rules, item.name) for item in history):
        # Nothing but what the rules still ask for stands between the turn and its end.
        names = frozenset(missing) - _hidden(rules, history) or frozenset(missing)
        return Allowed(names=names, forced=_only(names), must_continue=True, missing_before_exit=missing)
    first = frozenset(rule.tool_name for rule in rules if isinstance(rule, InitToolRule)) & owned
    if first and not history:
        return Allowed(names=first, forced=_only(first), must_continue=True, missing_before_exit=missing)
    chosen = _chosen(rules, history, owned)
    names = (owned if chosen is None else chosen) - _hidden(rules, history)
    # A continue rule is not looked at: it is met as soon as the model is asked again.
    must_continue = bool(names) and (bool(missing) or bool(chosen))
    return Allowed(
        names=None if names == owned else names,
        forced=_only(names) if chosen and must_continue else None,
        must_continue=must_continue,
        missing_before_exit=missing,
    )


def missing_before_exit(
    rules: Sequence[ToolRule], tool_names: Iterable[str], history: Sequence[Executed]
) -> tuple[str, ...]:
    """Tools the turn may not end without, in the rules' order; those that can never run are not waited for."""
    owned = frozenset(tool_names)
    ran = {item.name for item in history}
    parents = _parents(rules)
    return tuple(
        dict.fromkeys(
            rule.tool_name
            for rule in rules
            if isinstance(rule, RequiredBeforeExitToolRule)
            and rule.tool_name in owned - ran
            and (rule.tool_name not in parents or parents[rule.tool_name] & owned)
        )
    )


def is_terminal(rules: Sequence[ToolRule], name: str) -> bool:
    """Whether the turn ends after the tool."""
    return any(isinstance(rule, TerminalToolRule) and rule.tool_name == name for rule in rules)


def must_continue_after(rules: Sequence[ToolRule], name: str) -> bool:
    """Whether the turn goes on after the tool, whatever the model says."""
    kinds = ContinueToolRule | ChildToolRule | ConditionalToolRule
    return any(isinstance(rule, kinds) and rule.tool_name == name for rule in rules)


def requires_approval(rules: Sequence[ToolRule], name: str) -> bool:
    """Whether a person must approve each call of the tool."""
    return any(isinstance(rule, RequiresApprovalToolRule) and rule.tool_name == name for rule in rules)


def with_default_approvals(
    rules: Sequence[ToolRule], tools: Iterable[Tool], said: Mapping[str, bool]
) -> tuple[ToolRule, ...]:
    """`rules`, and one for each tool that asks for approval by default, unless `said` has a word on it for the agent.

    Clients look among an agent's rules for what needs approval.
    """
    asking = [tool.name for tool in tools if tool.default_requires_approval and tool.name not in said]
    return (*rules, *(RequiresApprovalToolRule(tool_name=it) for it in asking if not requires_approval(rules, it)))


def args_override(rules: Sequence[ToolRule], name: str, history: Sequence[Executed]) -> JsonObject | None:
    """Arguments that rules fix for a call of the tool after `history`; None: they fix none."""
    fixed: JsonObject = {}
    for rule in rules:
        if isinstance(rule, InitToolRule) and not history and rule.tool_name == name:
            fixed |= rule.args or {}
        elif isinstance(rule, ChildToolRule) and history and rule.tool_name == history[-1].name:
            for node in rule.child_arg_nodes or ():
                if node.name == name:
                    fixed |= node.args or {}
    return fixed or None


def constrains(rules: Sequence[ToolRule]) -> bool:
    """Whether the order or number of calls matters, so that a reply should hold one call at a time."""
    return any(not isinstance(rule, RequiresApprovalToolRule | ContinueToolRule) for rule in rules)


def violation(rules: Sequence[ToolRule], name: str, allowed: Allowed) -> str:
    """What the model is told when it calls a tool that may not run now."""
    reasons = [_describe(rule) for rule in rules if _concerns(rule, name)]
    names = sorted(allowed.names or ())
    text = f"{name} may not be called now by your tool rules, and it was not run."
    text += f" You may call: {', '.join(names)}." if names else " No tool may be called now; answer without one."
    return " ".join([text, *reasons])


def describe_rules(rules: Sequence[ToolRule]) -> str | None:
    """The rules as the system prompt tells them; None where there are none to tell."""
    lines = list(dict.fromkeys(_describe(rule) for rule in rules))
    return "\n".join(f"- {line}" for line in lines) or None


def check_rules(rules: Sequence[ToolRule], tool_names: Iterable[str] = ()) -> None:
    """Refuse rules that cannot all hold.

    Rules may name tools the agent does not have yet. `tool_names` are those it has.

    Raises:
        MalformedInput: it names the rule, and the one it collides with.
    """
    del tool_names  # rules are often set before their tools are attached
    for place, rule in enumerate(rules):
        field = f"tool_rules[{place}]"
        if isinstance(rule, ChildToolRule | ParentToolRule) and not rule.children:
            raise MalformedInput(f"{field}.children", f"the rule of {rule.tool_name!r} names no tool")
        if isinstance(rule, MaxCountPerStepToolRule) and rule.max_count_limit < 1:
            raise MalformedInput(f"{field}.max_count_limit", f"must be at least 1, got {rule.max_count_limit}")
        if isinstance(rule, ConditionalToolRule) and not rule.child_output_mapping and rule.default_child is None:
            raise MalformedInput(f"{field}.child_output_mapping", f"the rule of {rule.tool_name!r} leads to no tool")
        if isinstance(rule, TerminalToolRule) and must_continue_after(rules, rule.tool_name):
            raise MalformedInput(
                field, f"the turn cannot both end after {rule.tool_name!r} and go on; remove one of the two rules"
            )
    _check_parents(rules)
    for name in {rule.tool_name for rule in rules if isinstance(rule, ChildToolRule)}:
        sets = [set(rule.children) for rule in rules if isinstance(rule, ChildToolRule) and rule.tool_name == name]
        if not set.intersection(*sets):
            raise MalformedInput("tool_rules", f"the child rules of {name!r} have no tool in common; none could run")


def _check_parents(rules: Sequence[ToolRule]) -> None:
    """Refuse rules that call for a tool where the rules of its parents hide it."""
    parents = _parents(rules)

    def hidden_after(child: str, caller: str | None) -> bool:
        return child in parents and caller not in parents[child]

    for place, rule in enumerate(rules):
        name = rule.tool_name
        match rule:
            case InitToolRule():
                lost = name if hidden_after(name, None) else None
            case ChildToolRule(children=children):
                lost = children[0] if all(hidden_after(child, name) for child in children) else None
            case ConditionalToolRule():
                targets = (*rule.child_output_mapping.values(), *filter(None, (rule.default_child,)))
                lost = next((child for child in targets if hidden_after(child, name)), None)
            case _:
                lost = None
        if lost is not None:
            allowed = " or ".join(sorted(parents[lost]))
            when = "first" if isinstance(rule, InitToolRule) else f"after {name!r}"
            raise MalformedInput(
                f"tool_rules[{place}]",
                f"{lost!r} shall run {when}, but another rule lets it run only right after {allowed}; remove one",
            )


def _parents(rules: Sequence[ToolRule]) -> dict[str, set[str]]:
    """For each tool that is hidden until another one ran, which those are."""
    found: dict[str, set[str]] = {}
    for rule in rules:
        if isinstance(rule, ParentToolRule):
            for child in rule.children:
                found.setdefault(child, set()).add(rule.tool_name)
    return found


def _chosen(rules: Sequence[ToolRule], history: Sequence[Executed], owned: frozenset[str]) -> frozenset[str] | None:
    """The tools that the last call leads to; None: it leads to none in particular."""
    if not history:
        return None
    last = history[-1]
    chosen: frozenset[str] | None = None
    for rule in rules:
        if rule.tool_name != last.name:
            continue
        step: frozenset[str] | None = None
        if isinstance(rule, ChildToolRule):
            step = frozenset(rule.children) & owned or None  # children it does not have cannot be waited for
        elif isinstance(rule, ConditionalToolRule):
            step = _branch(rule, last.value)
            step = step if step is None else step & owned
        if step is not None:
            chosen = step if chosen is None else chosen & step
    return chosen


def _branch(rule: ConditionalToolRule, value: JsonValue) -> frozenset[str] | None:
    for key, child in rule.child_output_mapping.items():
        if _matches(key, value):
            return frozenset({child})
    if rule.default_child is not None:
        return frozenset({rule.default_child})
    return frozenset() if rule.require_output_mapping else None


def _matches(key: str, value: JsonValue) -> bool:
    """Whether a mapping's key, always text, means `value`: same type, same value."""
    if isinstance(value, str) and value == key:
        return True
    words: dict[str, Any] = {"true": True, "false": False, "none": None, "null": None}
    lowered = key.strip().lower()
    if lowered in words:
        meant = words[lowered]
    else:
        try:
            meant = json.loads(key)
        except ValueError:
            return False
    if isinstance(value, str) and not isinstance(meant, str):
        # A tool that returns the text of a value, as those written in other languages do.
        return value.strip().lower() == lowered
    if isinstance(meant, bool) or isinstance(value, bool):
        return meant is value
    return bool(meant == value)


def _hidden(rules: Sequence[ToolRule], history: Sequence[Executed]) -> frozenset[str]:
    """Tools that may not run now, whatever else."""
    last = history[-1].name if history else None
    children: set[str] = set()
    shown: set[str] = set()
    spent: set[str] = set()
    for rule in rules:
        if isinstance(rule, ParentToolRule):
            children |= set(rule.children)
            shown |= set(rule.children) if rule.tool_name == last else set()
        elif isinstance(rule, MaxCountPerStepToolRule):
            if sum(item.name == rule.tool_name for item in history) >= rule.max_count_limit:
                spent.add(rule.tool_name)
    return frozenset((children - shown) | spent)


def _only(names: frozenset[str]) -> str | None:
    return next(iter(names)) if len(names) == 1 else None


def _concerns(rule: ToolRule, name: str) -> bool:
    match rule:
        case ParentToolRule() | ChildToolRule():
            return name in rule.children
        case ConditionalToolRule():
            return name in rule.child_output_mapping.values() or name == rule.default_child
        case MaxCountPerStepToolRule():
            return name == rule.tool_name
        case InitToolRule():
            return True
        case _:
            return False


def _describe(rule: ToolRule) -> str:  # noqa: C901 - one line for each type of rule
    if rule.prompt_template:
        return _filled(rule.prompt_template, rule)
    name = rule.tool_name
    match rule:
        case InitToolRule():
            return f"Begin every turn with {name}."
        case ChildToolRule():
            return f"Right after {name}, call one of: {', '.join(rule.children)}."
        case ParentToolRule():
            return f"Only right after {name} may you call: {', '.join(rule.children)}."
        case ConditionalToolRule():
            paths = [f"{child} when it returned {value}" for value, child in rule.child_output_mapping.items()]
            if rule.default_child is not None:
                paths.append(f"{rule.default_child} otherwise")
            return f"Right after {name}, call {'; '.join(paths)}."
        case TerminalToolRule():
            return f"A call of {name} ends your turn."
        case ContinueToolRule():
            return f"After {name} your turn goes on; call a further tool or answer."
        case RequiredBeforeExitToolRule():
            return f"Call {name} before you end your turn."
        case MaxCountPerStepToolRule():
            return f"Call {name} at most {rule.max_count_limit} times in one turn."
        case RequiresApprovalToolRule():
            return f"A person approves or denies each call of {name} before it runs."
        case impossible:
            assert_never(impossible)


def _filled(template: str, rule: ToolRule) -> str:
    """A client's own wording, with `{{ tool_name }}`, `{{ children }}` and the rule's other fields put in."""

    def value(found: re.Match[str]) -> str:
        field = getattr(rule, found[1], found[0])
        return ", ".join(map(str, field)) if isinstance(field, tuple | dict) else str(field)

    return _PLACEHOLDER.sub(value, template)
