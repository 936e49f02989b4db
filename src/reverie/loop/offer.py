"""The next request to the model: which tools it may call now, and everything else it is sent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from reverie.context.prompt import with_note, with_skills
from reverie.context.turns import turns_of
from reverie.domain.ids import RunId
from reverie.domain.inputs import TurnOptions
from reverie.domain.provider import ModelInfo
from reverie.domain.tool import ToolSpec
from reverie.loop.decide import executed
from reverie.loop.generation import generation_settings
from reverie.loop.state import View
from reverie.models.base import Prompt, ToolChoice
from reverie.tools.rules import allowed_tools, constrains


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """The tools of one model request."""

    specs: tuple[ToolSpec, ...]
    choice: ToolChoice
    one_at_a_time: bool
    """Rules look at the order of calls, so parallel calls are not asked for."""


def tool_names(view: View, client_tools: Mapping[str, ToolSpec]) -> tuple[str, ...]:
    """All tools of the agent and of the client for a request."""
    own = [tool.name for tool in view.details.tools]
    return (*own, *(name for name in client_tools if name not in own))


def offer_tools(view: View, client_tools: Mapping[str, ToolSpec], run_id: RunId | None) -> Offer:
    """What the model is offered now, by the agent's rules; without a run nothing was called in it yet."""
    rules = view.agent.tool_rules
    names = tool_names(view, client_tools)
    allowed = allowed_tools(rules, names, () if run_id is None else executed(view.context, run_id))
    by_name = {tool.name: tool.spec for tool in view.details.tools} | dict(client_tools)
    specs = tuple(by_name[name] for name in names if allowed.names is None or name in allowed.names)
    choice = ToolChoice()
    if allowed.forced is not None and allowed.forced in by_name:
        choice = ToolChoice(mode="named", name=allowed.forced)
    elif specs and (
        view.agent.agent_type.speaks_through_tool
        or (allowed.must_continue and not allowed.missing_before_exit)
        or _owed(view, run_id, allowed.missing_before_exit)
    ):
        choice = ToolChoice(mode="required")
    return Offer(specs=specs, choice=choice, one_at_a_time=constrains(rules))


def compile_request(view: View, options: TurnOptions, info: ModelInfo, run_id: RunId | None = None) -> Prompt:
    """Everything the model is sent next. What is shown of a request without sending it is made here too."""
    offer = offer_tools(view, {spec.name: spec for spec in options.client_tools}, run_id)
    settings = generation_settings(view, options, info)
    if offer.one_at_a_time:
        settings = replace(settings, parallel_tool_calls=False)
    system = options.override_system if options.override_system is not None else view.prompt
    return Prompt(
        system=with_note(with_skills(system, options.client_skills), options.note),
        turns=turns_of(view.context),
        tools=offer.specs,
        tool_choice=offer.choice,
        settings=settings,
    )


def _owed(view: View, run_id: RunId | None, missing: Sequence[str]) -> bool:
    """A tool is owed before the end, and the model was already told so."""
    last = view.context[-1]
    return bool(missing) and run_id is not None and last.kind == "system" and last.run_id == run_id
