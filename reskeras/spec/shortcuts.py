"""Shortcut options A, B and C (v1 section 3.3) and what a skip does on them (v2 figure 2), as operations."""

from __future__ import annotations

from collections.abc import Callable

from reskeras.spec import operations as op
from reskeras.spec.plan import Fork, Sequence
from reskeras.spec.skips import Skip

Projection = Callable[[], Sequence]


def projects(shortcut: str, in_width: int, out_width: int, stride: int, downsample: str) -> bool:
    """Whether the shortcut of a unit is a 1x1 convolution.

    B projects where the shape changes. With `downsample: last`, a strided unit that keeps its width
    subsamples instead, as keras.applications V2 does.
    """
    if shortcut == "C":
        return True
    return shortcut == "B" and (in_width != out_width or (stride != 1 and downsample == "first"))


def averaged(name: str, stride: int) -> Sequence:
    """Means over windows of `stride` x `stride`, so that a projection after them need not skip any position
    (ResNet-D, arXiv:1812.01187 figure 2 c). At an odd edge the mean is over what there is."""
    window = (stride, stride)
    return (op.Pool(name=f"{name}_pool", reduce="average", kernel=window, stride=window, padding="same"),)


def parameter_free(name: str, in_width: int, out_width: int, stride: int) -> Sequence:
    """The stream itself, made to fit: every stride-th position, then zero channels (option A)."""
    nodes: list[op.Op] = []
    if stride != 1:
        strides = (stride, stride)
        nodes.append(op.Pool(name=f"{name}_subsample", reduce="max", kernel=(1, 1), stride=strides))
    if in_width != out_width:
        nodes.append(op.PadChannels(name=f"{name}_pad_channels", channels=out_width))
    return tuple(nodes)


def merge(unit: str, skip: Skip, shortcut: Sequence, residual: Sequence, gate: Sequence) -> Fork:
    """Shortcut and residual as the fork that `skip` describes; `gate` is used by the gated skips alone."""
    name = f"{unit}_add"
    match skip.kind:
        case "scale":
            return Fork(name=name, branches=(shortcut, residual), merge="scaled_add",
                        factors=(skip.shortcut, skip.residual))
        case "exclusive_gate" | "shortcut_gate":
            return Fork(name=name, branches=(shortcut, residual, gate), merge="gated_add",
                        exclusive=skip.kind == "exclusive_gate")
        case "dropout":
            # Dropout scales what it keeps by 1 / (1 - rate); the paper's does not, so scale back
            drop = (op.Dropout(name=f"{unit}_shortcut_dropout", rate=skip.rate),
                    op.Scale(name=f"{unit}_shortcut_scale", factor=1 - skip.rate))
            return Fork(name=name, branches=((*shortcut, *drop), residual))
        case _:
            return Fork(name=name, branches=(shortcut, residual))
