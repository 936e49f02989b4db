"""What is searched: passages, messages, files' passages and tools, and where a search may look among them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, FromClause, Table, bindparam, func, select

from reverie.domain.ids import OrganizationId
from reverie.domain.message import MessageKind, MessageScope
from reverie.domain.passage import SearchQuery
from reverie.storage.rows import equals, within
from reverie.storage.schema import (
    agents,
    file_passage_bits,
    file_passage_blocks,
    file_passage_vectors,
    file_passages,
    folders,
    message_bits,
    message_blocks,
    message_vectors,
    messages,
    organizations,
    passage_bits,
    passage_blocks,
    passage_tags,
    passage_vectors,
    passages,
    tool_bits,
    tool_blocks,
    tool_vectors,
    tools,
)
from reverie.storage.schema import archives as archive_rows

KINDS_OF_ROLE: Final[Mapping[str, tuple[MessageKind, ...]]] = {
    "user": (MessageKind.USER,),
    "assistant": (MessageKind.ASSISTANT,),
    "system": (MessageKind.SYSTEM,),
    "tool": (MessageKind.TOOL_RETURN,),
}
SEARCHED_KINDS: Final = frozenset(kind for kinds in KINDS_OF_ROLE.values() for kind in kinds)


class Breadth(StrEnum):
    """In how many holders a search looks: its statements are made once for each."""

    ONE = "one"
    SOME = "some"
    ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Corpus:
    """One kind of thing that is searched."""

    rows: Table
    text: ColumnElement[Any]
    words: str
    """Its table of words, which the migrations make and SQLAlchemy does not know."""
    vectors: Table
    bits: Table
    """The signs of its newest vectors, a row for each."""
    blocks: Table
    """The signs of all others, some hundreds in a row."""
    holder: Column[Any]
    """What its rows lie in: the archive, the folder, the agent, the organisation."""
    thread: Column[Any] | None
    """Within what a row's neighbours have to do with it; None: it has none."""
    holders: Table
    """The table of what holds."""
    kinds: frozenset[MessageKind] | None = None
    """The kinds of rows that are searched; None: all are."""

    @property
    def owner(self) -> Column[Any]:
        """The holder, in the table of vectors."""
        return next(column for column in self.vectors.c if column.name not in ("seq", "embedding"))

    def searched(self, rows: FromClause) -> list[ColumnElement[bool]]:
        """What holds for those of `rows` that are searched at all."""
        return [] if self.kinds is None else [rows.c.kind.in_(self.kinds)]

    def bounds(self, reach: "Reach") -> list[ColumnElement[bool]]:
        """What must hold for every row that may be seen; made where it is asked for, since most searches do not."""
        held = [] if reach.holders is None else [self.holder.in_(reach.holders)]
        return [*held, self.rows.c.organization_id == reach.organization_id, *self.searched(self.rows)]

    def held(self, column: ColumnElement[Any], breadth: Breadth) -> ColumnElement[bool]:
        """Whether `column` is one of the holders in a reach's `place`."""
        if breadth is Breadth.ALL:
            owner = self.holders.c.organization_id == bindparam("organization")
            return column.in_(select(self.holders.c.id).where(owner))
        if breadth is Breadth.ONE:  # for most: writing out a list of one, each time, takes as long as asking
            return column == bindparam("holder")
        return column.in_(bindparam("holders", expanding=True))


PASSAGES: Final = Corpus(
    rows=passages,
    text=passages.c.text,
    words="passage_words",
    vectors=passage_vectors,
    bits=passage_bits,
    blocks=passage_blocks,
    holder=passages.c.archive_id,
    thread=passages.c.archive_id,
    holders=archive_rows,
)
MESSAGES: Final = Corpus(
    rows=messages,
    text=messages.c.body,
    words="message_words",
    vectors=message_vectors,
    bits=message_bits,
    blocks=message_blocks,
    holder=messages.c.agent_id,
    thread=messages.c.conversation_id,
    holders=agents,
    kinds=SEARCHED_KINDS,
)
FILES: Final = Corpus(
    rows=file_passages,
    text=file_passages.c.text,
    words="file_passage_words",
    vectors=file_passage_vectors,
    bits=file_passage_bits,
    blocks=file_passage_blocks,
    holder=file_passages.c.folder_id,
    thread=file_passages.c.folder_id,
    holders=folders,
)
TOOLS: Final = Corpus(
    rows=tools,
    text=tools.c.name + " " + tools.c.description,
    words="tool_words",
    vectors=tool_vectors,
    bits=tool_bits,
    blocks=tool_blocks,
    holder=tools.c.organization_id,
    thread=None,
    holders=organizations,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """Where a search looks, and what is wanted there."""

    organization_id: OrganizationId
    holders: Sequence[str] | None
    """These holders only; None: all of the organisation."""
    filters: Sequence[ColumnElement[bool]] = ()
    """What is wanted besides."""

    @property
    def breadth(self) -> Breadth:
        """In how many holders it looks."""
        if self.holders is None:
            return Breadth.ALL
        return Breadth.ONE if len(self.holders) == 1 else Breadth.SOME

    @property
    def place(self) -> dict[str, Any]:
        """Parameters for `Corpus.held`."""
        if self.holders is None:
            return {"organization": self.organization_id}
        return {"holder": self.holders[0]} if len(self.holders) == 1 else {"holders": list(self.holders)}


def passages_in(organization_id: OrganizationId, archive_ids: Sequence[str], query: SearchQuery | None = None) -> Reach:
    """The passages of archives, as far as the query's tags and times allow."""
    filters: list[ColumnElement[bool]] = []
    if query is not None:
        filters += within(passages.c.created_at, query.start, query.end)
        if query.tags:
            tagged = select(passage_tags.c.passage_id).where(
                passage_tags.c.archive_id.in_(archive_ids), passage_tags.c.tag.in_(query.tags)
            )
            if query.match_all_tags:
                tagged = tagged.group_by(passage_tags.c.passage_id).having(func.count() == len(set(query.tags)))
            filters.append(passages.c.id.in_(tagged))
    return Reach(organization_id=organization_id, holders=archive_ids, filters=filters)


def files_in(organization_id: OrganizationId, folder_ids: Sequence[str], query: SearchQuery | None = None) -> Reach:
    """The passages of files in folders."""
    filters = [] if query is None else within(file_passages.c.created_at, query.start, query.end)
    return Reach(organization_id=organization_id, holders=folder_ids, filters=filters)


def messages_in(organization_id: OrganizationId, where: MessageScope, query: SearchQuery | None = None) -> Reach:
    """The messages that `where` names."""
    filters = list(equals((messages.c.conversation_id, where.conversation_id)))
    if where.roles:
        filters.append(messages.c.kind.in_([kind for role in where.roles for kind in KINDS_OF_ROLE.get(role, ())]))
    owner = equals((agents.c.project_id, where.project_id), (agents.c.template_id, where.template_id))
    if owner:
        filters.append(
            messages.c.agent_id.in_(select(agents.c.id).where(agents.c.organization_id == organization_id, *owner))
        )
    if query is not None:
        filters += within(messages.c.created_at, query.start, query.end)
    holders = None if where.agent_id is None else [where.agent_id]
    return Reach(organization_id=organization_id, holders=holders, filters=filters)


def tools_in(organization_id: OrganizationId, filters: Sequence[ColumnElement[bool]] = ()) -> Reach:
    """The tools of an organisation that meet `filters`."""
    return Reach(organization_id=organization_id, holders=[organization_id], filters=filters)
