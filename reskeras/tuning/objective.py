"""The objective of a search: one figure of a trial, or a weighted sum of several."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reskeras.errors import ReskerasError, unknown

# figure: its better direction
LEARNED = {
    "val_accuracy": "max",
    "val_average_precision": "max",
    "val_localised": "max",
    "val_loss": "min",
    "accuracy": "max",
    "average_precision": "max",
    "loss": "min",
}
COSTS = {"parameters": "min", "multiply_adds": "min", "activation_memory": "min", "latency_ms": "min", "seconds": "min"}
DIRECTIONS = ("min", "max")
SUM = "objective"


@dataclass(frozen=True)
class Term:
    """A figure of a trial, its better direction, and its weight in a sum."""

    name: str
    direction: str
    weight: float = 1.0

    def __str__(self) -> str:
        weight = f":{self.weight:g}" if self.weight != 1 else ""
        return f"{self.name}:{self.direction}{weight}"


@dataclass(frozen=True)
class Objective:
    """A single term, used as it is; or several, whose weighted sum is minimised.

    In a sum, costs are relative to those of the base network, before anything is varied, so that with `val_accuracy`
    and `multiply_adds:min:0.01` a percentage point of accuracy is worth as many multiply-adds as the base network has.
    """

    terms: tuple[Term, ...]

    @property
    def name(self) -> str:
        """The name of the figure that a tuner compares."""
        return self.terms[0].name if len(self.terms) == 1 else SUM

    @property
    def direction(self) -> str:
        """`min` or `max`."""
        return self.terms[0].direction if len(self.terms) == 1 else "min"

    def best_epoch(self, rows: Sequence[Mapping[str, float]]) -> Mapping[str, float]:
        """The best epoch of a training, by the first term that training changes; of ties the first."""
        names = [*(term for term in self.terms if term.name in LEARNED), *(Term(*each) for each in LEARNED.items())]
        term = next(term for term in names if term.name in rows[0])
        pick = max if term.direction == "max" else min
        return pick(rows, key=lambda row: row[term.name])

    def value(self, figures: Mapping[str, float], base: Mapping[str, float]) -> float:
        """The objective's value for a trial's `figures`; `base` are the costs of the base network."""
        if len(self.terms) == 1:
            return figures[self.terms[0].name]
        total = 0.0
        for term in self.terms:
            share = figures[term.name] / base[term.name] if base.get(term.name) else figures[term.name]
            total += term.weight * (share if term.direction == "min" else -share)
        return total

    def needs(self, name: str) -> bool:
        """Whether a term is called `name`."""
        return any(term.name == name for term in self.terms)

    def __str__(self) -> str:
        return " + ".join(map(str, self.terms))


def read_objective(texts: Sequence[str], default: str = "val_accuracy") -> Objective:
    """Parse `NAME[:min|max[:WEIGHT]]` for each term; ReskerasError (status 2) for unknown names."""
    terms = tuple(map(_read_term, texts or [default]))
    if len({term.name for term in terms}) < len(terms):
        [(name, _)] = Counter(term.name for term in terms).most_common(1)
        raise ReskerasError(f"objective: {name} is given twice")
    return Objective(terms)


def _read_term(text: str) -> Term:
    name, _, rest = text.partition(":")
    direction, _, factor = rest.partition(":")
    known = LEARNED | COSTS
    if name not in known:
        raise unknown("objective", name, known)
    if direction and direction not in DIRECTIONS:
        raise unknown(f"objective: {name}", direction, DIRECTIONS)
    try:
        weight = float(factor or 1)
    except ValueError:
        weight = 0.0
    if not weight > 0:
        raise ReskerasError(f"objective: {text}: the weight should be a number above 0, as in {name}:{known[name]}:0.5")
    return Term(name, direction or known[name], weight)
