"""Whether all that one side may send is something the other side can read, by their types."""

import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Annotated, Any, Literal, NotRequired, Required, TypeVar, Union, get_args, get_origin

from pydantic import AliasChoices, BaseModel
from pydantic.fields import FieldInfo
from typing_extensions import TypeAliasType, is_typeddict

from tests.support.sdk import alias_of

WRAPPERS = (Annotated, Required, NotRequired)
SCALARS: Mapping[type, tuple[type, ...]] = {
    bool: (bool,),
    int: (int, float),
    float: (float,),
    str: (str,),
    datetime: (datetime, str),
    bytes: (bytes, str),
}
"""What each kind of value can be read as."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One field of an object."""

    annotation: Any
    required: bool
    """In what is sent: it is always there. In what is read: the reader insists on it."""
    readable_as: tuple[str, ...] = ()
    """Other names under which a reader takes it."""


@dataclass(frozen=True, slots=True)
class Shape:
    """An object with known fields."""

    name: str
    parts: Mapping[str, Part]


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is sent and cannot be read."""

    at: str
    """`Shape.field` of the reader."""
    what: str
    where: str
    """The place, from the outermost object on."""

    def __str__(self) -> str:
        return f"{self.at}: {self.what} (at {self.where or 'the whole'})"


@dataclass(slots=True, kw_only=True)
class Fit:
    """Compares what is sent with what is read."""

    extra: bool
    """Fields that the reader does not know are a fault."""
    missing: bool
    """So are fields that the reader knows and is never sent."""
    checked: bool = False
    """The reader is a server: it checks what has a wider type than what it reads."""
    _fitting: set[tuple[int, int]] = field(default_factory=set)
    _alive: list[Any] = field(default_factory=list)

    def faults(self, sent: Any, read: Any, where: str = "", at: str = "") -> list[Fault]:
        """What is sent and cannot be read; `where` and `at` are the place of both."""
        readers = leaves(read)
        found: list[Fault] = []
        for item in leaves(sent):
            near = likely(item, readers)
            tries = [self._leaf(item, reader, where, at) for reader in near]
            if not near and (tags := tags_of(item)):
                name, words = next(iter(tags.items()))
                found.append(Fault(f"{name}={'|'.join(sorted(words))}", "is a kind that is not read", where))
            elif not near:
                found.append(Fault(at, f"{name_of(item)} is sent, {names_of(readers)} is read", where))
            elif all(tries):
                found += sorted(tries, key=len)[0]
        return found

    def _leaf(self, sent: Any, read: Any, where: str, at: str) -> list[Fault]:
        pair = (id(sent), id(read))
        if anything(read) or pair in self._fitting:
            return []
        there, here = shape_of(sent), shape_of(read)
        if there is not None and here is not None:
            self._fitting.add(pair)  # for types that hold themselves
            self._alive += [sent, read]  # so that no later type has the same identity
            found = self._objects(there, here, where)
            if found:
                self._fitting.discard(pair)
            return found
        if kind_of(sent) == kind_of(read) and kind_of(sent) in ("list", "dict"):
            return self.faults(inside(sent), inside(read), f"{where}[]", f"{at}[]")
        if kind_of(read) == "dict" and there is not None:
            values = inside(read)
            return [
                fault
                for name, part in there.parts.items()
                for fault in self.faults(part.annotation, values, f"{where}.{name}", f"{at}[]")
            ]
        if self._reads(sent, read):
            return []
        return [Fault(at, f"{name_of(sent)} is sent, {name_of(read)} is read", where)]

    def _objects(self, sent: Shape, read: Shape, where: str) -> list[Fault]:
        found: list[Fault] = []
        names = {name: name for name in read.parts}
        names |= {other: name for name, part in read.parts.items() for other in part.readable_as}
        met: set[str] = set()
        for name, part in sent.parts.items():
            place, own = f"{where}.{name}".lstrip("."), names.get(name)
            if own is None:
                if self.extra:
                    found.append(Fault(f"{read.name}.{name}", "is sent and not known", place))
                continue
            reader, at = read.parts[own], f"{read.name}.{own}"
            met.add(own)
            found += self.faults(part.annotation, reader.annotation, place, at)
            if reader.required and not part.required:
                found.append(Fault(at, f"is insisted on, and {sent.name} may leave it out", place))
        for name, part in read.parts.items():
            if name not in met and (self.missing or part.required):
                found.append(Fault(f"{read.name}.{name}", f"{sent.name} never has it", where))
        return found

    def _reads(self, sent: Any, read: Any) -> bool:
        if sent is type(None) or read is type(None):
            return sent is read
        if get_origin(read) is Literal:
            return word_of(sent) == word_of(read) or (self.checked and sent is type(word_of(read)))
        if get_origin(sent) is Literal:
            return self._reads(type(word_of(sent)), read)
        if self.checked and (sent, read) in ((str, datetime), (str, int), (float, int)):
            return True
        return isinstance(sent, type) and read in SCALARS.get(sent, ())


def bare(annotation: Any) -> Any:
    """The annotation without what only decorates it."""
    while True:
        if get_origin(annotation) in WRAPPERS:
            annotation = get_args(annotation)[0]
        elif isinstance(annotation, TypeAliasType):
            annotation = annotation.__value__
        elif isinstance(annotation, TypeVar):
            return Any
        else:
            return annotation


def leaves(annotation: Any) -> list[Any]:
    """The members of a union, or the one type there is; closed words one by one."""
    annotation = bare(annotation)
    if get_origin(annotation) in (Union, types.UnionType):
        return [leaf for part in get_args(annotation) for leaf in leaves(part)]
    if get_origin(annotation) is Literal:
        return [Literal[word] for word in get_args(annotation)]
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return [Literal[item.value] for item in annotation]
    return [annotation]


def anything(annotation: Any) -> bool:
    """Whether every value is of this type."""
    return annotation in (Any, object)


def kind_of(leaf: Any) -> str:
    """What a leaf is, roughly."""
    if anything(leaf):
        return "anything"
    if shape_of(leaf) is not None:
        return "object"
    origin = get_origin(leaf)
    if leaf is dict or (isinstance(origin, type) and issubclass(origin, Mapping)):
        return "dict"
    if origin is Literal:
        return "scalar"
    if isinstance(origin, type):
        return "list"
    return "scalar"


def likely(sent: Any, readers: list[Any]) -> list[Any]:
    """The readers that a value would reach: by its tags where there are some, else by its kind."""
    mine = tags_of(sent)
    tagged = [reader for reader in readers if tags_of(reader)]
    if mine and len(tagged) > 1:
        named = [reader for reader in tagged if agree(mine, tags_of(reader))]
        if named or len(tagged) == sum(kind_of(reader) == "object" for reader in readers):
            return named
    kind = kind_of(sent)
    near = {"object": ("object", "dict"), "dict": ("dict",)}.get(kind, (kind,))
    return [reader for reader in readers if kind_of(reader) in (*near, "anything")]


def tags_of(annotation: Any) -> dict[str, frozenset[Any]]:
    """Fields of an object that hold one of few words, by which kinds of objects are told apart."""
    shape = shape_of(annotation)
    if shape is None:
        return {}
    tags: dict[str, frozenset[Any]] = {}
    for name in ("message_type", "type", "role", "provider_type", "manager_type", "mcp_server_type"):
        if name in shape.parts:
            words = [word_of(leaf) for leaf in leaves(shape.parts[name].annotation) if leaf is not type(None)]
            if words and None not in words:
                tags[name] = frozenset(words)
    return tags


def agree(sent: Mapping[str, frozenset[Any]], read: Mapping[str, frozenset[Any]]) -> bool:
    """Whether the reader takes some of each tag that both have, and there is one at least."""
    shared = sent.keys() & read.keys()
    return bool(shared) and all(sent[name] & read[name] for name in shared)


def word_of(leaf: Any) -> Any:
    """The one word of a leaf; None where it has none."""
    return get_args(leaf)[0] if get_origin(leaf) is Literal else None


def inside(annotation: Any) -> Any:
    """What a list holds, or the values of a dictionary."""
    inner = get_args(annotation)
    return inner[-1] if inner and inner[-1] is not Ellipsis else inner[0] if inner else Any


def shape_of(annotation: Any) -> Shape | None:
    """The fields of an object; None for everything else."""
    if isinstance(annotation, Shape):
        return annotation
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return Shape(annotation.__name__, dict(_model_parts(annotation)))
    if is_typeddict(annotation):
        return Shape(annotation.__name__, dict(_dict_parts(annotation)))
    return None


def _model_parts(model: type[BaseModel]) -> Iterator[tuple[str, Part]]:
    for name, info in model.model_fields.items():
        yield part_of(name, info)


def part_of(name: str, info: FieldInfo) -> tuple[str, Part]:
    """A field of a model or a parameter, under its name on the wire."""
    chosen = info.validation_alias
    others = tuple(str(choice) for choice in chosen.choices) if isinstance(chosen, AliasChoices) else ()
    wire = info.alias or (chosen if isinstance(chosen, str) else name)
    return wire, Part(annotation=info.annotation, required=info.is_required(), readable_as=(name, *others))


def _dict_parts(model: Any) -> Iterator[tuple[str, Part]]:
    required = model.__required_keys__
    for name, hint in typing.get_type_hints(model, include_extras=True).items():
        insists = get_origin(hint) is Required or (name in required and get_origin(hint) is not NotRequired)
        yield alias_of(hint) or name, Part(annotation=hint, required=insists)


def name_of(annotation: Any) -> str:
    """For messages."""
    if isinstance(annotation, Shape):
        return annotation.name
    word = word_of(annotation)
    if word is not None:
        return repr(word)
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)


def names_of(annotations: list[Any]) -> str:
    """For messages."""
    return " or ".join(dict.fromkeys(map(name_of, annotations)))
