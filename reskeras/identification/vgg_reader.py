"""A graph read as VGG (arXiv:1409.1556): convolutions and pools without batch norm or shortcut, then dense layers."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from reskeras.documents.validation import validated
from reskeras.networks.vgg import VggSpec
from reskeras.plans import operations as op
from reskeras.plans.nodes import Sequence
from reskeras.plans.plan import Unit


def read_vgg(nodes: Sequence, shape: tuple[int | None, ...]) -> tuple[VggSpec, tuple[Unit, ...]] | None:
    """The spec of `nodes`, and the nodes cut into its units; None unless they are a VGG.

    Stages of 3x3 convolutions of one width, each ended by a 2x2 max-pool, then flatten and dense layers.
    """
    kinds = op.Conv | op.Relu | op.Pool | op.Flatten | op.Dense | op.Dropout
    flat = next((index for index, node in enumerate(nodes) if isinstance(node, op.Flatten)), None)
    if flat is None or not all(isinstance(node, kinds) for node in nodes):
        return None
    body = [node for node in nodes[:flat] if isinstance(node, op.Conv | op.Pool)]
    pools = [index for index, node in enumerate(body) if isinstance(node, op.Pool)]
    stages = [_stage(body[begin:end]) for begin, end in pairwise([0, *(index + 1 for index in pools)])]
    dense = [node.units for node in nodes[flat:] if isinstance(node, op.Dense)]
    if not stages or pools[-1] != len(body) - 1 or not dense or not all(stages):
        return None
    fixed = {} if None in shape else {"input_shape": list(shape)}
    spec = validated(
        VggSpec,
        {
            "units": [len(convs) for convs in stages],
            "classes": dense[-1],
            "widths": [convs[0].filters for convs in stages],
            "dense": dense[:-1],
            **fixed,
        },
    )
    starts = [index for index, node in enumerate(nodes[:flat]) if isinstance(node, op.Conv)]
    ends = [*starts[1:], flat, len(nodes)]
    planned = spec.lower()
    units = tuple(
        replace(unit, nodes=nodes[begin:end])
        for unit, begin, end in zip(planned.units, [*starts, flat], ends, strict=True)
    )
    changed = {name: value for name, value in spec.sparse().items() if getattr(VggSpec(), name) != getattr(spec, name)}
    # the name makes a file read as a VGG again
    return validated(VggSpec, {"name": spec.name, **changed}), units


def _stage(nodes: list[op.Conv | op.Pool]) -> list[op.Conv]:
    """The convolutions of a stage that ends in a pool; none if it is not a stage of a VGG."""
    *before, pool = nodes
    convs = [
        conv
        for conv in before
        if isinstance(conv, op.Conv) and conv.kernel == (3, 3) and conv.stride == (1, 1) and conv.groups == 1
    ]
    fits = (
        len(convs) == len(before)
        and len({conv.filters for conv in convs}) == 1
        and isinstance(pool, op.Pool)
        and pool.reduce == "max"
        and pool.kernel == (2, 2) == pool.stride
    )
    return convs if fits else []
