"""The built-in tools that act outside: web search, pages, and code in the sandbox."""

import asyncio
import importlib
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, Final
from urllib.parse import urlencode

from reverie.domain.content import join_text
from reverie.domain.errors import AddressRefused, BadGateway, TimedOut, ToolError
from reverie.domain.json import JsonObject
from reverie.tools.arguments import fit_arguments
from reverie.tools.base import ToolExecutor, ToolOutcome, ToolRun
from reverie.tools.builtin.online import OnlineOptions
from reverie.web.addresses import WebOptions
from reverie.web.fetch import Fetched, fetch

_AGENT: Final = "Mozilla/5.0 (compatible; Reverie)"
_MOST_OF_TAVILY: Final = 20
_LONGEST_ERROR: Final = 300
_READABLE: Final = re.compile(r"text/|application/(json|xml|[\w.+-]+\+(json|xml)|javascript)")

_PYTHON: Final = """
def run_code(code: str) -> str:
    import ast
    tree = ast.parse(code, "code")
    scope = {"__name__": "__main__"}
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "code", "exec"), scope)
    value = None if last is None else eval(compile(ast.Expression(last.value), "code", "eval"), scope)
    return "" if value is None else repr(value)
"""
"""Runs in the sandbox; the last expression's value is the result, as in a notebook."""


class OnlineExecutor:
    """Runs tools of type `letta_builtin`; implements `ToolExecutor`."""

    def __init__(self, options: OnlineOptions, web: WebOptions, sandbox: ToolExecutor) -> None:
        self._options = options
        self._pages = replace(web, max_bytes=options.max_page_bytes)
        # These addresses come from the settings and not from a user's word.
        self._services = replace(web, allow_private=True, max_bytes=options.max_page_bytes)
        self._sandbox = sandbox
        self._tools: Mapping[str, Callable[[ToolRun, JsonObject], Awaitable[ToolOutcome]]] = {
            "web_search": self._search,
            "fetch_webpage": self._page,
            "run_code": self._code,
        }

    async def run(self, call: ToolRun) -> ToolOutcome:
        """Execute one call; see `ToolExecutor.run`."""
        tool = self._tools.get(call.tool.name)
        if tool is None:
            return ToolOutcome.error(f"this server has no tool {call.tool.name!r}")
        try:
            return await tool(call, fit_arguments(call.arguments, call.tool.spec))
        except ToolError as error:
            return ToolOutcome.error(str(error))

    async def aclose(self) -> None:
        """Nothing of its own to end."""

    async def _page(self, _call: ToolRun, args: JsonObject) -> ToolOutcome:
        url: str = args["url"]
        try:
            found = await fetch(url, self._pages, headers={"User-Agent": _AGENT, "Accept": "text/html,text/*;q=0.9"})
        except (AddressRefused, BadGateway, TimedOut) as error:
            raise ToolError(f"{url!r} could not be fetched: {error}") from error
        if found.status >= 400:
            raise ToolError(f"{url!r} could not be fetched: the site answers with status {found.status}")
        if found.media_type and not _READABLE.match(found.media_type) and "html" not in found.media_type:
            raise ToolError(f"what lies at {url!r} is of type {found.media_type}, which cannot be read as text")
        text = await asyncio.to_thread(_readable, found)
        if not text.strip():
            raise ToolError(f"the page at {url!r} holds no text; perhaps it is made by scripts in a browser")
        return ToolOutcome.success(text)

    async def _search(self, call: ToolRun, args: JsonObject) -> ToolOutcome:
        options, own = self._options, call.environment
        exa, tavily = own.get("EXA_API_KEY") or options.exa_key, own.get("TAVILY_API_KEY") or options.tavily_key
        if exa:
            found = await self._exa(args, exa)
        elif tavily:
            found = await self._tavily(args, tavily)
        elif options.searxng_url:
            found = await self._searxng(args, options.searxng_url)
        else:
            raise ToolError(
                "web search is not set up on this server: it needs EXA_API_KEY or TAVILY_API_KEY, in the server's "
                "settings or among the agent's secrets, or the address of a SearXNG server in REVERIE_SEARXNG_URL"
            )
        results = [{name: value for name, value in item.items() if value not in (None, "", [])} for item in found]
        answer = {"query": args["query"], "results": results}
        return ToolOutcome.success(json.dumps(answer, ensure_ascii=False), answer)

    async def _exa(self, args: JsonObject, key: str) -> list[JsonObject]:
        body = {
            "query": args["query"],
            "numResults": args.get("num_results", 10),
            "type": "auto",
            "category": args.get("category"),
            "includeDomains": args.get("include_domains"),
            "excludeDomains": args.get("exclude_domains"),
            "startPublishedDate": args.get("start_published_date"),
            "endPublishedDate": args.get("end_published_date"),
            "userLocation": args.get("user_location"),
            "contents": {"text": bool(args.get("include_text")), "highlights": True, "summary": True},
        }
        answer = await self._ask("Exa", f"{self._options.exa_url}/search", {"x-api-key": key}, body)
        return [
            {
                "title": item.get("title"),
                "url": item.get("url"),
                "published_date": item.get("publishedDate"),
                "author": item.get("author"),
                "summary": item.get("summary"),
                "highlights": item.get("highlights"),
                "text": item.get("text"),
            }
            for item in answer
        ]

    async def _tavily(self, args: JsonObject, key: str) -> list[JsonObject]:
        category = args.get("category")
        body = {
            "query": args["query"] if category in (None, "news") else f"{args['query']} {category}",
            "max_results": min(args.get("num_results", 10), _MOST_OF_TAVILY),
            "topic": "news" if category == "news" else "general",
            "include_raw_content": bool(args.get("include_text")),
            "include_domains": args.get("include_domains"),
            "exclude_domains": args.get("exclude_domains"),
            "start_date": args.get("start_published_date"),
            "end_date": args.get("end_published_date"),
        }
        headers = {"Authorization": f"Bearer {key}"}
        answer = await self._ask("Tavily", f"{self._options.tavily_url}/search", headers, body)
        return [
            {
                "title": item.get("title"),
                "url": item.get("url"),
                "published_date": item.get("published_date"),
                "summary": item.get("content"),
                "text": item.get("raw_content"),
            }
            for item in answer
        ]

    async def _searxng(self, args: JsonObject, url: str) -> list[JsonObject]:
        words = [args["query"]]
        sites = " OR ".join(f"site:{domain}" for domain in args.get("include_domains") or ())
        words += [f"({sites})"] if sites else []
        words += [f"-site:{domain}" for domain in args.get("exclude_domains") or ()]
        query = {"q": " ".join(words), "format": "json"}
        if args.get("category") == "news":
            query["categories"] = "news"
        answer = await self._ask("SearXNG", f"{url}/search?{urlencode(query)}", {}, None)
        return [
            {
                "title": item.get("title"),
                "url": item.get("url"),
                "published_date": item.get("publishedDate"),
                "summary": item.get("content"),
            }
            for item in answer[: args.get("num_results", 10)]
        ]

    async def _ask(self, who: str, url: str, headers: Mapping[str, str], body: JsonObject | None) -> list[JsonObject]:
        """The results of one search; None among the body's values is left out."""
        content = None
        if body is not None:
            content = json.dumps({name: value for name, value in body.items() if value is not None}).encode()
        sent = {"Accept": "application/json", "Content-Type": "application/json", **headers}
        try:
            found = await fetch(
                url, self._services, method="GET" if body is None else "POST", headers=sent, content=content
            )
        except (AddressRefused, BadGateway, TimedOut) as error:
            raise ToolError(f"web search failed: {who} cannot be reached: {error}") from error
        if found.status >= 400:
            said = found.body.decode("utf-8", "replace")[:_LONGEST_ERROR]
            raise ToolError(f"web search failed: {who} answers with status {found.status}: {said}")
        try:
            results: Any = json.loads(found.body)["results"]
        except (ValueError, KeyError, TypeError) as error:
            raise ToolError(f"web search failed: what {who} answers is not in its format") from error
        return [item for item in results if isinstance(item, dict)] if isinstance(results, list) else []

    async def _code(self, call: ToolRun, args: JsonObject) -> ToolOutcome:
        language, code = args["language"], args["code"]
        if language == "python":
            tool = replace(call.tool, source_code=_PYTHON, source_type="python")
            arguments: JsonObject = {"code": code}
        else:
            # A module, so that `import` and top-level `await` work; it has run when the function is called.
            source = f"{code}\n;function $code(): string {{ return ''; }}\n"
            tool = replace(call.tool, name="$code", source_code=source, source_type="typescript")
            arguments = {}
        outcome = await self._sandbox.run(replace(call, tool=tool, arguments=arguments))
        said = join_text(outcome.content)
        answer: JsonObject = {
            "results": said if outcome.status == "success" else "",
            "stdout": "\n".join(outcome.stdout),
            "stderr": "\n".join(outcome.stderr),
        }
        if outcome.status == "error":
            answer["error"] = said
            # Where it went wrong stands in both.
            if said.endswith("\n".join(outcome.stderr).strip()):
                del answer["stderr"]
        text = json.dumps({name: value for name, value in answer.items() if value}, ensure_ascii=False)
        shown = ToolOutcome.success(text, answer) if outcome.status == "success" else ToolOutcome.error(text)
        return replace(shown, stdout=outcome.stdout, stderr=outcome.stderr)


def _readable(found: Fetched) -> str:
    """The text of a page; blocking, and loads a library of half a second on first use."""
    if "html" not in found.media_type and found.media_type:
        return found.body.decode(found.charset or "utf-8", "replace")
    trafilatura = importlib.import_module("trafilatura")
    # Without a charset in the headers the library looks into the page.
    page: str | bytes = found.body
    if found.charset:
        page = found.body.decode(found.charset, "replace")
    text: str | None = trafilatura.extract(
        page, url=found.url, output_format="markdown", include_links=True, include_tables=True, with_metadata=True
    )
    return text or trafilatura.html2txt(page) or ""
