"""What the model says in each program of examples/, what is then printed, and what must have reached the model.

The tests run these one by one; `make examples` runs them all and prints a table.
"""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.support.provider import Default, Request
from tests.support.replies import Say, Usage, call, reply, say, think
from tests.support.server import ROOT

from reverie import __version__

EXAMPLES = ROOT / "examples"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """One program with its half of the talk."""

    program: str
    """Its path under examples/."""
    replies: Sequence[Default] = ()
    printed: str
    """All that it prints."""
    shapes: Sequence[Sequence[str]] = ()
    """Of the requests that reached the model, in order; empty: not looked at."""
    seen: Sequence[str] = ()
    """Texts that must be in the last request."""
    unseen: Sequence[str] = ()
    """Texts that must be in none."""

    def faults(self, printed: str, requests: Sequence[Request]) -> list[str]:
        """What is not as it must be, in words."""
        bodies = [request.raw.decode() for request in requests]
        found = []
        if printed != self.printed:
            found.append(f"printed {printed!r} instead of {self.printed!r}")
        if self.shapes and [request.shape for request in requests] != [list(shape) for shape in self.shapes]:
            found.append(f"the model was asked {[request.shape for request in requests]}")
        found += [f"{text!r} did not reach the model" for text in self.seen if not bodies or text not in bodies[-1]]
        found += [f"{text!r} reached the model" for text in self.unseen if any(text in body for body in bodies)]
        return found


FACT = "Ada, who studies octopuses."
REMEMBER = call("memory_replace", label="human", old_string="Nothing is known about the user yet.", new_string=FACT)
CHANGED = f"Block 'human' is changed (36 → 27 characters). Lines 1 to 1 of 1 now read:\n1→ {FACT}"
NEWS = call("memory_insert", label="board", new_string="Fresh squid at the market.", insert_line=-1)
INSERTED = (
    "Block 'board' is changed (17 → 44 characters). Lines 1 to 2 of 2 now read:\n"
    "1→ News of the team:\n2→ Fresh squid at the market."
)
ORDER = "order 7: two octopus plushies, not yet paid"
NOTES = "The aquarium opens at ten.\n"
STORY = "Once upon a time there was an octopus who never slept."


def _signature(key: str, text: str) -> str:
    return hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()


def _plan(request: Request) -> Say:
    """Two requests come at once, in either order."""
    return say("Start with the hardest task." if "working" in request.text else "Take the train to Cascais.")


def _lessons(python: str | None, typescript: str | None, *, ending: str = "", **half: Any) -> list[Lesson]:
    """A program in Python and its twin; `ending` is what the former alone prints at the end."""
    lessons = []
    if python:
        lessons.append(Lesson(program=f"python/{python}.py", **{**half, "printed": half["printed"] + ending}))
    if typescript:
        lessons.append(Lesson(program=f"typescript/{typescript}.ts", **half))
    return lessons


LESSONS: list[Lesson] = [
    *_lessons(
        "01_basic_client",
        "01_basic_client",
        printed=f"server: ok, version {__version__}\nmodels: 3, such as openai/scripted\nagents: none yet\n"
        "error 404: agent 'agent-00000000-0000-4000-8000-000000000000' does not exist\n",
    ),
    *_lessons(
        "02_create_agent",
        "02_create_agent",
        replies=(REMEMBER, say("Noted."), say("Arr, you be Ada.")),
        printed="[human] Nothing is known about the user yet.\n"
        "[persona] I am brief and kind. I write down what matters about the user.\n"
        f"after a message: {FACT}\nagent: Arr, you be Ada.\n",
        shapes=(
            ["system", "user"],
            ["system", "user", "assistant:memory_replace", f"tool:{CHANGED}"],
            ["system", "user"],
        ),
        seen=(FACT, "I am a pirate", "What is known about the user: name"),
    ),
    *_lessons(
        "03_custom_tool_simple",
        None,
        replies=(call("sphere_volume", radius=3), say("It holds 113.1 cm³.")),
        printed='by hand: success 4.19\ncalls: sphere_volume {"radius": 3}\nresult: success 113.1\n'
        "agent: It holds 113.1 cm³.\n",
        shapes=(["system", "user"], ["system", "user", "assistant:sphere_volume", "tool:113.1"]),
        seen=("half of the diameter, in any unit",),
        unseen=("math.pi",),
    ),
    *_lessons(
        "04_custom_tool_secrets",
        None,
        replies=(call("sign", text="three hearts"), say("Signed.")),
        printed=f"signature: {_signature('octopus', 'three hearts')}\n"
        f"with a new key: {_signature('cuttlefish', 'three hearts')}\n",
        seen=(_signature("octopus", "three hearts"),),
        unseen=("octopus",),
    ),
    *_lessons(
        "05_send_message",
        "03_send_message",
        replies=(
            reply(think("She tells me her name."), REMEMBER, usage=Usage(prompt=1400)),
            reply(say("The giant Pacific octopus."), usage=Usage(prompt=1500)),
            say("Octopus wolfi."),
        ),
        printed=f"thinks: She tells me her name.\ncalls: memory_replace\ngets back: {CHANGED}\n"
        "says: The giant Pacific octopus.\nended: end_turn\ncost: 2900 tokens read, 40 written, 2 steps\n"
        "the history, newest first:\n  assistant: Octopus wolfi.\n  user: And the smallest?\n"
        "  assistant: The giant Pacific octopus.\n",
        seen=("What is the heaviest octopus?", "And the smallest?"),
    ),
    *_lessons(
        "06_send_message_stream",
        "04_send_message_stream",
        replies=(reply(say("They have three hearts."), usage=Usage(prompt=1400)), say(STORY)),
        printed="They have three hearts.\n\nended: end_turn\ntokens: 1400 read, 20 written\n"
        f"\nbefore the line was lost: Once\nafterwards: {STORY.removeprefix('Once')}\n",
        shapes=(["system", "user"], ["system", "user", "assistant", "user"]),
    ),
    *_lessons(
        "07_multi_user",
        "06_multi_user",
        replies=(say("Ada."), say("Grace."), say("At ten, Ada."), say("At ten, Grace.")),
        printed="to ada: Ada.\nto grace: Grace.\nada's agent is found again: yes\n"
        "desk to ada: At ten, Ada.\ndesk to grace: At ten, Grace.\ndeleted agents: 3\n",
        shapes=[["system", "user"]] * 4,
        seen=("We open at ten.", "I'm grace."),
    ),
    *_lessons(
        "08_archival_memory",
        "09_archival_memory",
        replies=(call("archival_memory_search", query="night train Lisbon"), say("No longer.")),
        printed="in the archive: 3\n"
        "by meaning: Octopuses taste what they touch with the suckers of their arms.\n"
        "with a tag: Sourdough needs to rest overnight before it is baked.\n"
        'calls: archival_memory_search {"query": "night train Lisbon"}\nagent: No longer.\nafter a deletion: 2\n',
        seen=("The night train from Lisbon to Madrid no longer runs.",),
    ),
    *_lessons(
        "09_shared_blocks",
        "10_shared_blocks",
        replies=(NEWS, say("They know."), say("Squid!")),
        printed="on the board are: cook, scout\nNews of the team:\nFresh squid at the market.\ncook: Squid!\n",
        ending="the scout keeps: rules\n",
        shapes=(
            ["system", "user"],
            ["system", "user", "assistant:memory_insert", f"tool:{INSERTED}"],
            ["system", "user"],
        ),
        seen=("Fresh squid at the market.", "What could you cook today?"),
    ),
    *_lessons(
        "10_conversations",
        "07_conversations",
        replies=(_plan, _plan, say("A working day.")),
        printed="work: Start with the hardest task.\nholiday: Take the train to Cascais.\nwork again: A working day.\n",
        ending="holiday holds 2 messages\nwork holds 4 messages\n",
        shapes=(["system", "user"], ["system", "user"], ["system", "user", "assistant", "user"]),
        seen=("Ada lives in Lisbon.", "Start with the hardest task."),
    ),
    *_lessons(
        "11_client_injection",
        "11_client_injection",
        replies=(call("add_task", task="call Grace"), say("Done.")),
        printed="success: There are 2 tasks now.\n- feed the octopus\n- call Grace\n",
        shapes=(["system", "user"], ["system", "user", "assistant:add_task", "tool:There are 2 tasks now."]),
        seen=("feed the octopus\\n- call Grace",),
    ),
    *_lessons(
        "12_tool_rules",
        "12_tool_rules",
        replies=(call("read_order", number=7), call("check_stock", item="octopus plushie"), call("confirm", number=7)),
        printed=f"read_order: {ORDER}\ncheck_stock: octopus plushie: 8 in stock\n"
        "confirm: order 7 is confirmed\nended: tool_rule\n",
        shapes=(
            ["system", "user"],
            ["system", "user", "assistant:read_order", f"tool:{ORDER}"],
            [
                *("system", "user", "assistant:read_order", f"tool:{ORDER}"),
                *("assistant:check_stock", "tool:octopus plushie: 8 in stock"),
            ],
        ),
    ),
    *_lessons(
        "13_client_side_tools",
        "13_client_side_tools",
        replies=(call("list_files"), call("read_file", {"name": "notes.txt"}), say("At ten.")),
        printed="ran here: list_files({}) -> success\n"
        'ran here: read_file({"name": "notes.txt"}) -> success\nagent: At ten.\n',
        shapes=(
            ["system", "user"],
            ["system", "user", "assistant:list_files", "tool:notes.txt"],
            ["system", "user", "assistant:list_files", "tool:notes.txt", "assistant:read_file", f"tool:{NOTES}"],
        ),
    ),
    *_lessons(
        None,
        "05_nextjs_singleton",
        replies=(say("Hello to the browser."),),
        printed="one client: true\n200 text/plain; charset=utf-8\nHello to the browser.\n",
        shapes=(["system", "user"],),
    ),
    *_lessons(
        None,
        "08_custom_tool",
        replies=(call("sign", text="three hearts"), say("Signed.")),
        printed=f"by hand: success {_signature('octopus', 'one heart')}\ncalls: sign\n"
        f"signature: {_signature('octopus', 'three hearts')}\nagent: Signed.\n",
        seen=("exactly what is to be signed",),
        unseen=("octopus",),
    ),
]
