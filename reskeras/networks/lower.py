"""ResolvedNetwork to Plan: the tables of blocks, orders, shortcuts and skips turned into operations."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from reskeras.documents.fields import whole_shape
from reskeras.networks.blocks import BLOCKS
from reskeras.networks.excitation import middle
from reskeras.networks.orders import BN_RELU, ORDERS
from reskeras.networks.shortcuts import SHORTCUTS, Change, averaged
from reskeras.plans import operations as op
from reskeras.plans.initialisers import IDENTITIES
from reskeras.plans.merges import Multiply
from reskeras.plans.nodes import Fork, Node, Sequence
from reskeras.plans.plan import HEAD, STEM, Plan, Unit

if TYPE_CHECKING:
    from reskeras.networks.parts import PoolSpec
    from reskeras.networks.resolved import ResolvedNetwork
    from reskeras.networks.stages import StageRow


def lowered(network: ResolvedNetwork) -> Plan:
    """The plan of a residual or plain network."""
    make = Maker(network)
    units = [make.stem()]
    width = network.stem.convs[-1].width
    places = [(stage, unit) for stage, row in enumerate(network.stages) for unit in range(row.units)]
    for place, (stage, unit) in enumerate(places):
        row = network.stages[stage]
        # stochastic depth's linear rule: the rate grows from 0 to drop_path at the last unit
        drop_rate = network.drop_path * (place + 1) / len(places)
        change = Change(
            width, row.width * BLOCKS[row.block].expansion, network.unit_stride(stage, unit), network.downsample
        )
        units.append(make.unit(stage + 1, unit + 1, row, change, place == 0, drop_rate))
        width = change.out_width
    return Plan(units=(*units, make.head()), input_shape=whole_shape(network.input_shape))


@dataclass(frozen=True)
class Maker:
    """Builds the units of one network, from which padding, batch norm and initialiser are taken."""

    network: ResolvedNetwork

    def stem(self) -> Unit:
        """Convolutions, activation, and the max-pool if there is one (v1 table 1)."""
        stem = self.network.stem
        nodes: list[Node] = []
        words = ORDERS[self.network.stages[0].order].stem
        for index, conv in enumerate(stem.convs):
            number = "" if len(stem.convs) == 1 else str(index + 1)
            nodes += self.conv(f"stem_conv{number}", conv.kernel, conv.width, conv.stride, bias=not conv.bn)
            last = index == len(stem.convs) - 1
            # a max-pool needs an activated input whatever the order; so does a further convolution
            if not last or stem.activated:
                after = words if last and not stem.pool else BN_RELU
                nodes += self.activation([word for word in after if conv.bn or word != "bn"], "stem_", number)
        if stem.pool:
            nodes += self.pool("stem_pool", stem.pool)
        return Unit(stage=STEM, nodes=tuple(nodes))

    def unit(self, stage: int, index: int, row: StageRow, change: Change, first: bool, drop_rate: float) -> Unit:
        """One unit: residual and shortcut in parallel, merged as the row's skip says, with the row's activation order.

        v2 appendix: in the network's first unit, and where the shortcut is a convolution, pre-activation
        is shared by both paths; elsewhere the shortcut takes the raw stream. `first_shortcut` can override this for
        the first unit.
        """
        order, option = ORDERS[row.order], SHORTCUTS[row.shortcut]
        unit = Unit(stage=stage, index=index, nodes=())
        name = unit.name
        residual = (*self.residual(name, row, change.stride), *self.excitation(f"{name}_se", change.out_width))
        added = self.activation(order.add, f"{name}_out_")
        before = self.activation(order.before, f"{name}_pre_", "1")
        if not option.residual:
            return replace(unit, nodes=(*before, *residual, *added))
        if drop_rate:
            residual += (op.Dropout(name=f"{name}_drop_path", rate=drop_rate, per_image=True),)
        projected = option.projects(change)
        shortcut = self.projection(name, row, change) if projected else option.fitted(f"{name}_shortcut", change)
        shared = projected or (first and self.network.first_shortcut == "activated")
        fork = row.skip.fork(
            name, shortcut, residual if shared else (*before, *residual), lambda bias: self.gate(name, change, bias)
        )
        return replace(unit, nodes=(*(before if shared else ()), fork, *added))

    def projection(self, name: str, row: StageRow, change: Change) -> Sequence:
        """A 1x1 convolution as shortcut, strided, or unstrided after an average pool."""
        pooled = change.stride > 1 and self.network.projection == "pooled"
        return (
            *(averaged(f"{name}_shortcut", change.stride) if pooled else ()),
            *self.conv(f"{name}_shortcut_conv", 1, change.out_width, 1 if pooled else change.stride),
            *self.activation(ORDERS[row.order].projection, f"{name}_shortcut_"),
        )

    def gate(self, name: str, change: Change, bias: float) -> Sequence:
        """The gating branch: a 1x1 convolution of the unit's input, then a sigmoid (v2 section 3.1)."""
        return (
            *self.conv(f"{name}_gate_conv", 1, change.out_width, change.stride, bias_start=bias),
            op.Sigmoid(name=f"{name}_gate_sigmoid"),
        )

    def residual(self, name: str, row: StageRow, stride: int) -> Sequence:
        """The block's convolutions with BN and ReLU in the order given, without the first pre-activation."""
        order, form = ORDERS[row.order], BLOCKS[row.block]
        strided = form.inner if form.inner is not None and self.network.stride_on == "3x3" else 0
        nodes: list[Node] = []
        channels = form.channels(row.width, self.network.inner_factor)
        for index, (kernel, width) in enumerate(zip(form.kernels, channels, strict=True)):
            number, last = str(index + 1), index == len(form.kernels) - 1
            if index:
                nodes += self.activation(order.before, f"{name}_pre_", number)
            nodes += self.conv(
                f"{name}_conv{number}",
                kernel,
                width,
                stride if index == strided else 1,
                groups=self.network.groups if index == form.inner else 1,
            )
            silent = last and self.network.zero_gamma
            nodes += self.activation(order.last if last else order.between, f"{name}_", number, silent)
        return tuple(nodes)

    def excitation(self, name: str, width: int) -> Sequence:
        """Squeeze-and-excitation (arXiv:1709.01507 section 3); empty unless `squeeze` is set."""
        if not self.network.squeeze:
            return ()
        inside = middle(width, self.network.squeeze, self.network.squeeze_multiple)
        gate = (
            op.GlobalPool(name=f"{name}_pool", keep_positions=True),
            *self.conv(f"{name}_conv1", 1, inside, 1, bias_start=0.0),
            op.Relu(name=f"{name}_relu"),
            *self.conv(f"{name}_conv2", 1, width, 1, bias_start=0.0),
            op.Sigmoid(name=f"{name}_sigmoid"),
        )
        return (Fork(name=f"{name}_multiply", branches=((), gate), merge=Multiply()),)

    def head(self) -> Unit:
        """The last activation of a pre-activation network, global pooling, dropout, logits."""
        head, network = self.network.head, self.network
        nodes = [
            *self.activation(ORDERS[network.stages[-1].order].head, "head_"),
            op.GlobalPool(name="head_pool", reduce=head.pool),
        ]
        if head.dropout:
            nodes.append(op.Dropout(name="head_dropout", rate=head.dropout))
        nodes.append(op.Dense(name="logits", units=network.classes, initialiser=network.initialiser))
        if head.scale != 1.0:
            nodes.append(op.Scale(name="logits_scale", factor=head.scale, float32=True))
        return Unit(stage=HEAD, nodes=tuple(nodes))

    def activation(self, words: Iterable[str], prefix: str, number: str = "", silent: bool = False) -> Sequence:
        """`bn` and `relu`, or the network's activation in its place, as operations; a `silent` bn starts with gamma 0
        (Goyal et al. 2017, section 5.1)."""
        words = [self.network.activation if word == "relu" else word for word in words]
        numbers = {"bn": {**self.network.bn.model_dump(), "gamma_start": 0.0 if silent else 1.0}}
        return tuple(op.OPERATIONS[word](name=f"{prefix}{word}{number}", **numbers.get(word, {})) for word in words)

    def conv(
        self,
        name: str,
        kernel: int,
        width: int,
        stride: int,
        bias_start: float | None = None,
        groups: int = 1,
        bias: bool = False,
    ) -> Sequence:
        """A square convolution, with the padding that its stride needs. One with a `bias_start` is a gate or an output,
        which does not begin as the identity."""
        pad, padding = self.padding(name, kernel, stride)
        initialiser = self.network.initialiser
        return (
            *pad,
            op.Conv(
                name=name,
                filters=width,
                kernel=(kernel, kernel),
                stride=(stride, stride),
                padding=padding,
                groups=groups,
                bias=bias or self.network.conv_bias or bias_start is not None,
                bias_start=bias_start or 0.0,
                initialiser=initialiser if bias_start is None else IDENTITIES.get(initialiser, initialiser),
            ),
        )

    def pool(self, name: str, pool: PoolSpec) -> Sequence:
        """A max-pool. Zero padding is harmless after a ReLU."""
        pad, padding = self.padding(name, pool.kernel, pool.stride, pool.border)
        return (
            *pad,
            op.Pool(
                name=name,
                reduce="max",
                kernel=(pool.kernel, pool.kernel),
                stride=(pool.stride, pool.stride),
                padding=padding,
            ),
        )

    def padding(
        self, name: str, kernel: int, stride: int, border: op.Border = "zero"
    ) -> tuple[Sequence, op.WindowPadding]:
        """The Pad before a window and the window's own padding.

        With an odd kernel and stride 1 TensorFlow's `same` is symmetric; with a stride it pads more at
        the end, so `symmetric` (as in the papers' Caffe) needs an explicit Pad.
        """
        if kernel == 1 or self.network.padding == "same" or (stride == 1 and kernel % 2):
            return (), "same"
        before, after = (kernel - 1) // 2, kernel // 2
        return (op.Pad(name=f"{name}_pad", rows=(before, after), columns=(before, after), border=border),), "valid"
