"""Shortcut options A, B and C (v1 section 3.3): when each projects, and what it is otherwise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from reskeras.plans import operations as op
from reskeras.plans.nodes import Sequence


@dataclass(frozen=True)
class Change:
    """How a unit changes the stream's shape: channels in and out, and its stride. `downsample` is the network's."""

    in_width: int
    out_width: int
    stride: int
    downsample: str

    @property
    def any(self) -> bool:
        """Whether the shortcut must change the stream. With `downsample: last`, a strided unit that keeps its width
        subsamples and needs no projection, as keras.applications V2 does."""
        return self.in_width != self.out_width or (self.stride != 1 and self.downsample == "first")


def subsampled(name: str, change: Change) -> Sequence:
    """The parameter-free shortcut (option A): subsampling by the stride, then zero-padded channels."""
    nodes: list[op.Op] = []
    if change.stride != 1:
        strides = (change.stride, change.stride)
        nodes.append(op.Pool(name=f"{name}_subsample", reduce="max", kernel=(1, 1), stride=strides))
    if change.in_width != change.out_width:
        nodes.append(op.PadChannels(name=f"{name}_pad_channels", channels=change.out_width))
    return tuple(nodes)


@dataclass(frozen=True)
class ShortcutOption:
    """One option: `projects` says where a 1x1 convolution is the shortcut, `fitted` makes the shortcut elsewhere.
    `narrows`: whether it can reduce the channels. Without `residual` units have no shortcut."""

    projects: Callable[[Change], bool]
    fitted: Callable[[str, Change], Sequence] = subsampled
    narrows: bool = True
    residual: bool = True

    @property
    def always_projects(self) -> bool:
        """Whether it projects even where nothing changes."""
        return self.projects(Change(in_width=1, out_width=1, stride=1, downsample="first"))


SHORTCUTS: dict[str, ShortcutOption] = {
    "A": ShortcutOption(lambda change: False, fitted=subsampled, narrows=False),
    "B": ShortcutOption(lambda change: change.any),
    "C": ShortcutOption(lambda change: True),
    "none": ShortcutOption(lambda change: False, residual=False),  # a plain net
}


def averaged(name: str, stride: int) -> Sequence:
    """Average pool before an unstrided projection, which then skips no position (ResNet-D, arXiv:1812.01187 figure
    2 c). Ceil mode, padding not counted."""
    window = (stride, stride)
    return (op.Pool(name=f"{name}_pool", reduce="average", kernel=window, stride=window, padding="same"),)
