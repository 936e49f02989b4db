"""What a query says, as far as searching goes: words that tell something, and the dates it names."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import log
from typing import Final

_COMMON_SHARE: Final = 0.03
"""A word in more of the texts than this tells little about any of them: names of the speakers, mostly."""
_FEW: Final = 3
"""A word in no more texts than this is never common, however few texts there are."""
_STOP_WORDS: Final = frozenset(
    """a about after again all also am an and any are as at be because been before being but by can could did do does
    doing don down during each few for from further had has have having he her here hers him his how i if in into is it
    its just me more most my no nor not now of off on once only or other our out over own same she should so some such
    than that the their them then there these they this those through to too under until up very was we were what when
    where which while who whom why will with would you your s t m re ve ll d""".split()
)
_MONTHS: Final = {
    name: (number,)
    for number, name in enumerate(
        "january february march april may june july august september october november december".split(), 1
    )
}
_SEASONS: Final = {"spring": (3, 4, 5), "summer": (6, 7, 8), "autumn": (9, 10, 11), "winter": (12, 1, 2)}
_MONTHS_OF: Final[dict[str, tuple[int, ...]]] = {**_MONTHS, **_SEASONS}


@dataclass(frozen=True, slots=True)
class Sample:
    """How often words occur in some of the texts that are searched."""

    count: int
    holding: Counter[str]
    """How many of the texts hold a word."""
    mean_size: float
    """Of the texts, in characters."""

    def is_common(self, word: str) -> bool:
        """Whether `word` is in so many texts that it does not tell them apart."""
        return self.holding[word] > max(_FEW, _COMMON_SHARE * self.count)

    def weight(self, word: str) -> float:
        """The rarer, the more: the inverse document frequency of BM25."""
        held = self.holding[word]
        return log(1 + (self.count - held + 0.5) / (held + 0.5))


EMPTY: Final = Sample(0, Counter(), 1.0)
"""Of no texts."""


def sample_of(texts: Iterable[str], sizes: Sequence[int]) -> Sample:
    """Count words in beginnings of texts of these `sizes`."""
    sets = [frozenset(words_of(text)) for text in texts]
    holding = Counter(word for words in sets for word in words)
    return Sample(len(sets), holding, sum(sizes) / len(sizes) if sizes else 1.0)


def words_of(text: str) -> list[str]:
    """Words in lower case, in order."""
    return re.findall(r"\w+", text.lower())


def telling_words(text: str, sample: Sample) -> list[str]:
    """The words to look for: no stop words and none that is common, unless there are no others."""
    words = list(dict.fromkeys(words_of(text)))
    meant = [word for word in words if word not in _STOP_WORDS] or words
    return [word for word in meant if not sample.is_common(word)] or meant


@dataclass(frozen=True, slots=True)
class NamedDates:
    """Months, seasons and years that a query names."""

    months: frozenset[int]
    years: frozenset[int]

    def __bool__(self) -> bool:
        return bool(self.months or self.years)

    def hold(self, moment: datetime) -> bool:
        """Whether `moment` lies in them."""
        return (not self.months or moment.month in self.months) and (not self.years or moment.year in self.years)


def named_dates(text: str) -> NamedDates:
    """The dates named in `text`; "may" is a verb more often than a month, so only "May" counts."""
    words: Sequence[str] = words_of(re.sub(r"\bmay\b", "", text))
    months = frozenset(month for word in words for month in _MONTHS_OF.get(word, ()))
    years = frozenset(int(word) for word in words if re.fullmatch(r"(?:19|20)\d\d", word))
    return NamedDates(months, years)
