"""A chat in the browser: one agent for each visitor, answers as they are written, memory beside them.

Run it: `python app.py`, then open http://localhost:8000
"""

import asyncio
import json
import os
import re
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import letta_client
import uvicorn
from fastapi import Cookie, Depends, FastAPI, HTTPException, Response
from fastapi.responses import FileResponse, StreamingResponse
from fastapi.staticfiles import StaticFiles
from letta_client import AsyncLetta
from pydantic import BaseModel, Field

HERE = Path(__file__).parent
YEAR_S = 365 * 24 * 60 * 60
USER = re.compile(r"[\w-]{22}")
BLOCKS = [
    {
        "label": "human",
        "value": "Nothing is known about them yet.",
        "description": "What I know about the person I talk to: name, work, likes, plans. I keep it up to date.",
    },
    {
        "label": "persona",
        "value": "I am a warm and curious companion. I answer briefly, and I write down what matters about the person.",
        "description": "Who I am, and how I talk.",
    },
]

client = AsyncLetta(
    base_url=os.getenv("REVERIE_URL", "http://localhost:8283"),
    api_key=os.getenv("REVERIE_API_KEY", "local"),
    timeout=600,
)
app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
app.mount("/static", StaticFiles(directory=HERE / "static"))
making = asyncio.Lock()


class Message(BaseModel):
    """What the visitor says."""

    text: str = Field(min_length=1, max_length=20_000)


class Memory(BaseModel):
    """A block as the visitor corrected it."""

    value: str


# ---- whose agent it is -------------------------------------------------------------------------


async def agent_of(user: Annotated[str | None, Cookie()] = None) -> str:
    """The id of the visitor's own agent, which is made when they come for the first time."""
    if user is None or not USER.fullmatch(user):
        raise HTTPException(401, "Open the page first: it gives you a cookie.")
    async with making:  # a page that is opened twice at once must not make two
        found = await client.agents.list(tags=["chat-app", f"user:{user}"], match_all_tags=True, limit=1)
        if found.items:
            return found.items[0].id
        model = os.getenv("REVERIE_MODEL") or (await client.models.list())[0].handle
        agent = await client.agents.create(
            name="chat-companion", model=model, memory_blocks=BLOCKS, tags=["chat-app", f"user:{user}"]
        )
        return agent.id


AgentId = Annotated[str, Depends(agent_of)]


@app.get("/")
async def page(user: Annotated[str | None, Cookie()] = None) -> Response:
    """The page, and for a visitor who is new a cookie."""
    response = FileResponse(HERE / "static" / "index.html", headers={"cache-control": "no-cache"})
    if user is None or not USER.fullmatch(user):
        response.set_cookie("user", secrets.token_urlsafe(16), max_age=YEAR_S, httponly=True, samesite="strict")
    return response


# ---- the talk ----------------------------------------------------------------------------------


@app.get("/api/talk")
async def talk(agent: AgentId) -> dict[str, Any]:
    """What was said so far, oldest first, and what is remembered."""
    newest = await client.agents.messages.list(agent, limit=200)
    said = [
        {"who": "you" if message.message_type == "user_message" else "agent", "text": text_of(message.content)}
        for message in reversed(newest.items)
        if message.message_type in ("user_message", "assistant_message")
    ]
    return {"said": said, "memory": await memory_of(agent)}


@app.post("/api/talk")
async def say(message: Message, agent: AgentId) -> StreamingResponse:
    """The agent's answer: a line of JSON for each piece."""
    return StreamingResponse(lines(agent, message.text), media_type="application/x-ndjson")


@app.post("/api/stop", status_code=204)
async def stop(agent: AgentId) -> None:
    """End the answer that is being written."""
    try:
        await client.agents.messages.cancel(agent)
    except letta_client.ConflictError:
        pass  # it had ended already


async def lines(agent: str, text: str) -> AsyncIterator[str]:
    """Pieces of text, tools in use, and what is remembered after each of them."""

    def line(**fields: Any) -> str:
        return json.dumps(fields) + "\n"

    used: set[str] = set()
    try:
        stream = await client.agents.messages.create(
            agent, input=text, streaming=True, stream_tokens=True, include_pings=True
        )
        async for event in stream:
            match event.message_type:
                case "assistant_message":
                    yield line(text=text_of(event.content))
                case "tool_call_message":
                    call = event.tool_call
                    if call.name and call.tool_call_id not in used:  # a call comes in pieces too
                        used.add(call.tool_call_id)
                        yield line(tool=call.name)
                case "tool_return_message":
                    yield line(memory=await memory_of(agent))
                case "error_message":
                    yield line(error=event.message)
    except letta_client.APIError as error:
        body = getattr(error, "body", None)
        yield line(error=str(body["detail"]) if isinstance(body, dict) and "detail" in body else error.message)


# ---- the memory --------------------------------------------------------------------------------


@app.put("/api/memory/{label}")
async def correct(label: str, memory: Memory, agent: AgentId) -> list[dict[str, Any]]:
    """Write what the visitor says is right."""
    await client.agents.blocks.update(label, agent_id=agent, value=memory.value)
    return await memory_of(agent)


@app.delete("/api/talk", status_code=204)
async def forget(agent: AgentId) -> None:
    """Delete the visitor's agent, its memory and all that was said."""
    for block in (await client.agents.blocks.list(agent)).items:
        await client.blocks.delete(block.id)
    await client.agents.delete(agent)


async def memory_of(agent: str) -> list[dict[str, Any]]:
    """The blocks in the agent's context."""
    blocks = (await client.agents.blocks.list(agent)).items
    return [{"label": block.label, "value": block.value} for block in blocks]


def text_of(content: Any) -> str:
    """Content is text, or a list of parts."""
    if isinstance(content, str):
        return content
    return "".join(getattr(part, "text", "") for part in content or [])


@app.exception_handler(letta_client.APIConnectionError)
async def no_server(_request: Any, _error: Exception) -> Response:
    """Say what is missing."""
    detail = f"No server answers at {client.base_url} Start one with `reverie serve`."
    return Response(json.dumps({"detail": detail}), 502, media_type="application/json")


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.getenv("PORT", "8000")), log_level="warning")
