"""Samples of what is searched: which words are common there, and how long its texts are."""

import re
import weakref
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Engine, String, and_, func, select
from sqlalchemy import cast as sql_cast

from reverie.storage.search.corpora import MESSAGES, Corpus, Reach
from reverie.storage.wording import Sample, sample_of

_SAMPLE_TEXTS: Final = 200
_SAMPLE_CHARS: Final = 300
_SAMPLE_PLACES: Final = 8
_FIELD: Final = re.compile(r'"\w+": ?(?:"(?:text|user|assistant|system|tool_return|image)")?')
"""What stands in the JSON of every message and is none of its words."""
_SAMPLES_KEPT: Final = 256
_LARGE: Final = _SAMPLE_TEXTS * 3 // 4
"""A sample of so many texts, of which a few newer ones change little ..."""
_USES: Final = 64
"""... is used so often before it is drawn anew; a smaller one as long as nothing was added."""


@dataclass(slots=True)
class _Kept:
    """A sample that was drawn before."""

    sample: Sample
    newest: tuple[int | None, ...]
    """In each place, when it was drawn."""
    uses: int = 0


_samples: "weakref.WeakKeyDictionary[Engine, OrderedDict[object, _Kept]]" = weakref.WeakKeyDictionary()
"""Of each database."""


def sample_in(c: Connection, corpus: Corpus, reach: Reach) -> Sample:
    """Words of some of the newest texts: enough to tell which words are common here, and as quick in any archive."""
    if not reach.holders:
        return _drawn(c, corpus, [and_(*corpus.bounds(reach))])
    # One place after the other: only within one does an index give the newest without sorting all.
    held = reach.holders[:_SAMPLE_PLACES]
    key, kept = (corpus.words, *held), _samples.setdefault(c.engine, OrderedDict())
    known = kept.get(key)
    if known is not None and known.sample.count >= _LARGE and known.uses < _USES:
        known.uses += 1
        return known.sample
    places = [corpus.holder == item for item in held]
    newest = tuple(c.execute(select(func.max(corpus.rows.c.seq)).where(place)).scalar_one() for place in places)
    if known is None or known.newest != newest or known.sample.count >= _LARGE:
        known = kept[key] = _Kept(_drawn(c, corpus, places), newest)
        while len(kept) > _SAMPLES_KEPT:
            kept.popitem(last=False)
    return known.sample


def _drawn(c: Connection, corpus: Corpus, places: Sequence[Any]) -> Sample:
    said = sql_cast(corpus.text, String)
    texts: list[str] = []
    sizes: list[int] = []
    for place in places:
        newest = (
            select(func.substr(said, 1, _SAMPLE_CHARS), func.length(said))
            .where(place)
            .order_by(corpus.rows.c.seq.desc())
            .limit(_SAMPLE_TEXTS // len(places))
        )
        for text, size in c.execute(newest).all():
            texts.append(text)
            sizes.append(size)
    if corpus is MESSAGES:
        texts = [re.sub(_FIELD, " ", body) for body in texts]
    return sample_of(texts, sizes)
