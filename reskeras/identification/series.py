"""A graph as nested sequences: a chain of operations in which parallel branches are forks of a plan."""

from __future__ import annotations

from reskeras.errors import failure
from reskeras.identification.foreign import Unlike
from reskeras.identification.graph import Tensors
from reskeras.plans.merges import Merge
from reskeras.plans.nodes import Fork, Node, Sequence

DEEPEST_FORKS = 20
MOST_STEPS = 20_000_000  # of the walk up the dominator tree, which is short in every real network


def series(tensors: Tensors) -> Sequence:
    """`tensors` from the image to the output as a sequence of operations and forks, named by their kind.

    The branches of a merge begin at its immediate dominator (Cooper, Harvey and Kennedy 2001). Raises Unlike when two
    branches share more than where they begin.
    """
    return _Series(tensors).between(0, tensors.output, 0)


class _Series:
    def __init__(self, tensors: Tensors):
        self.tensors = tensors
        self.above = _dominators(tensors)
        self.used: set[int] = set()

    def between(self, first: int, last: int, depth: int) -> Sequence:
        """The nodes between tensor `first` and tensor `last`."""
        if depth > DEEPEST_FORKS:
            raise failure(f"model: branches are nested deeper than {DEEPEST_FORKS} levels")
        nodes: list[Node] = []
        while last != first:
            if last in self.used or last < first:
                raise Unlike("its branches share layers after they split, so it is not a sequence of units")
            self.used.add(last)
            maker, inputs = self.tensors.makers[last], self.tensors.inputs[last]
            if isinstance(maker, Merge):
                parting = self.above[last]
                branches = tuple(self.between(parting, end, depth + 1) for end in inputs)
                nodes.append(Fork(name=maker.kind, branches=branches, merge=maker))
                last = parting
            else:
                nodes.append(maker)
                [last] = inputs
        return tuple(reversed(nodes))


def _dominators(tensors: Tensors) -> list[int]:
    """The immediate dominator of each tensor; tensors are numbered in topological order."""
    above, steps = [0] * len(tensors.inputs), 0
    for tensor, inputs in enumerate(tensors.inputs):
        if not inputs:
            continue
        meeting = inputs[0]
        for other in inputs[1:]:
            while meeting != other:
                steps += 1
                if meeting > other:
                    meeting = above[meeting]
                else:
                    other = above[other]
            if steps > MOST_STEPS:
                raise failure("model: its branches are too long for a network")
        above[tensor] = meeting
    return above
