"""ResolvedNetwork to Plan: the tables of blocks, orders, shortcuts and skips turned into operations."""

from __future__ import annotations

from dataclasses import dataclass
from functools import singledispatch

from reskeras.spec import operations as op
from reskeras.spec import shortcuts
from reskeras.spec.excitation import middle
from reskeras.spec.families import BLOCKS
from reskeras.spec.network import NetworkSpec, PoolSpec, ResolvedNetwork, StageRow
from reskeras.spec.orders import ORDERS, Words
from reskeras.spec.plan import Fork, Node, Plan, Sequence, Unit
from reskeras.spec.resolve import resolve, unit_stride


@singledispatch
def lower(spec: object) -> Plan:
    """The plan of a spec, sparse or resolved. Another kind of network registers its own lowering here."""
    raise TypeError(f"no lowering for {type(spec).__name__}")


@lower.register
def _(spec: NetworkSpec) -> Plan:
    return lower(resolve(spec))


@lower.register
def _(network: ResolvedNetwork) -> Plan:
    make = Maker(network)
    units = [make.stem()]
    width = network.stem.convs[-1].width
    places = [(stage, unit) for stage, row in enumerate(network.stages) for unit in range(row.units)]
    for place, (stage, unit) in enumerate(places):
        row = network.stages[stage]
        # stochastic depth's linear rule: the rate grows from 0 to drop_path at the last unit
        drop_rate = network.drop_path * (place + 1) / len(places)
        stride = unit_stride(network, stage, unit)
        units.append(make.unit(f"stage{stage + 1}_unit{unit + 1}", row, width, stride, place == 0, drop_rate))
        width = row.width * BLOCKS[row.block].expansion
    return Plan(units=(*units, make.head()), input_shape=network.input_shape)


@dataclass(frozen=True)
class Maker:
    """Makes the units of one network; what all of them share (padding, BN, initialiser) comes from it."""

    network: ResolvedNetwork

    def stem(self) -> Unit:
        """Convolutions, activation, and where the preset has one the max-pool (v1 table 1)."""
        stem, nodes = self.network.stem, []
        words = ORDERS[self.network.stages[0].order].stem
        for index, conv in enumerate(stem.convs):
            number = "" if len(stem.convs) == 1 else str(index + 1)
            nodes += self.conv(f"stem_conv{number}", conv.kernel, conv.width, conv.stride)
            last = index == len(stem.convs) - 1
            # a max-pool wants its input activated whatever the order; so does a further convolution
            if not last or stem.activated:
                nodes += self.activation(words if last and not stem.pool else ("bn", "relu"), "stem_", number)
        if stem.pool:
            nodes += self.pool("stem_pool", stem.pool)
        return Unit(name="stem", nodes=tuple(nodes))

    def unit(self, name: str, row: StageRow, in_width: int, stride: int, first: bool, drop_rate: float) -> Unit:
        """One unit: residual beside shortcut, merged as the row's skip says, with the row's activation order.

        v2 appendix: in the network's first unit, and where the shortcut is a convolution, pre-activation
        is shared by both paths; elsewhere the shortcut takes the raw stream. `first_shortcut` says otherwise of the
        first unit.
        """
        order, form = ORDERS[row.order], BLOCKS[row.block]
        out_width = row.width * form.expansion
        residual = (*self.residual(name, row, stride), *self.excitation(f"{name}_se", out_width))
        if drop_rate and row.shortcut != "none":
            residual += (op.Dropout(name=f"{name}_drop_path", rate=drop_rate, per_image=True),)
        added = self.activation(order.add, f"{name}_out_")
        before = self.activation(order.before, f"{name}_pre_", "1")
        if row.shortcut == "none":
            return Unit(name=name, nodes=(*before, *residual, *added))
        gate: Sequence = ()
        if projected := shortcuts.projects(row.shortcut, in_width, out_width, stride, self.network.downsample):
            pooled = stride > 1 and self.network.projection == "pooled"
            shortcut = (*(shortcuts.averaged(f"{name}_shortcut", stride) if pooled else ()),
                        *self.conv(f"{name}_shortcut_conv", 1, out_width, 1 if pooled else stride),
                        *self.activation(order.projection, f"{name}_shortcut_"))
        else:
            shortcut = shortcuts.parameter_free(f"{name}_shortcut", in_width, out_width, stride)
        if row.skip.kind.endswith("_gate"):
            gate = (*self.conv(f"{name}_gate_conv", 1, out_width, stride, bias_start=row.skip.bias),
                    op.Sigmoid(name=f"{name}_gate_sigmoid"))
        shared = projected or (first and self.network.first_shortcut == "activated")
        fork = shortcuts.merge(name, row.skip, shortcut, residual if shared else (*before, *residual), gate)
        return Unit(name=name, nodes=(*(before if shared else ()), fork, *added))

    def residual(self, name: str, row: StageRow, stride: int) -> Sequence:
        """The convolutions of the block with what the order puts around them, less the first pre-activation."""
        order, form = ORDERS[row.order], BLOCKS[row.block]
        strided = 1 if row.block == "bottleneck" and self.network.stride_on == "3x3" else 0
        nodes: list[Node] = []
        channels = form.channels(row.width, self.network.inner_factor)
        for index, (kernel, width) in enumerate(zip(form.kernels, channels, strict=True)):
            number, last = str(index + 1), index == len(form.kernels) - 1
            if index:
                nodes += self.activation(order.before, f"{name}_pre_", number)
            nodes += self.conv(f"{name}_conv{number}", kernel, width, stride if index == strided else 1,
                               groups=self.network.groups if index == form.grouped else 1)
            silent = last and self.network.zero_gamma
            nodes += self.activation(order.last if last else order.between, f"{name}_", number, silent)
        return tuple(nodes)

    def excitation(self, name: str, width: int) -> Sequence:
        """What multiplies each channel by a gate made of all channels' means; nothing where `squeeze` is not set
        (squeeze-and-excitation, arXiv:1709.01507 section 3)."""
        if not self.network.squeeze:
            return ()
        inside = middle(width, self.network.squeeze, self.network.squeeze_multiple)
        gate = (op.GlobalPool(name=f"{name}_pool", keep_positions=True),
                *self.conv(f"{name}_conv1", 1, inside, 1, bias_start=0.0),
                op.Relu(name=f"{name}_relu"),
                *self.conv(f"{name}_conv2", 1, width, 1, bias_start=0.0),
                op.Sigmoid(name=f"{name}_sigmoid"))
        return (Fork(name=f"{name}_multiply", branches=((), gate), merge="multiply"),)

    def head(self) -> Unit:
        """Activation that a pre-activation stream still wants, global pooling, dropout, logits."""
        head, network = self.network.head, self.network
        nodes = [*self.activation(ORDERS[network.stages[-1].order].head, "head_"),
                 op.GlobalPool(name="head_pool", reduce=head.pool)]
        if head.dropout:
            nodes.append(op.Dropout(name="head_dropout", rate=head.dropout))
        nodes.append(op.Dense(name="logits", units=network.classes, initialiser=network.initialiser))
        return Unit(name="head", nodes=tuple(nodes))

    def activation(self, words: Words, prefix: str, number: str = "", silent: bool = False) -> Sequence:
        """`bn` and `relu` as operations; a `silent` bn starts with gamma 0 (Goyal et al. 2017, section 5.1)."""
        bn = self.network.bn
        return tuple(
            op.Relu(name=f"{prefix}relu{number}") if word == "relu" else
            op.BatchNorm(name=f"{prefix}bn{number}", momentum=bn.momentum, epsilon=bn.epsilon, scale=bn.scale,
                         gamma_start=0.0 if silent else 1.0)
            for word in words
        )

    def conv(self, name: str, kernel: int, width: int, stride: int, bias_start: float | None = None,
             groups: int = 1) -> Sequence:
        """A square convolution, with the padding that its stride needs; a `bias_start` gives it a bias."""
        pad, padding = self.padding(name, kernel, stride)
        return (*pad, op.Conv(
            name=name, filters=width, kernel=(kernel, kernel), stride=(stride, stride), padding=padding,
            groups=groups, bias=self.network.conv_bias or bias_start is not None, bias_start=bias_start or 0.0,
            initialiser=self.network.initialiser,
        ))

    def pool(self, name: str, pool: PoolSpec) -> Sequence:
        """A max-pool. Zeros around it are harmless where what comes in has passed a ReLU."""
        pad, padding = self.padding(name, pool.kernel, pool.stride, pool.border)
        window = {"kernel": (pool.kernel,) * 2, "stride": (pool.stride,) * 2, "padding": padding}
        return (*pad, op.Pool(name=name, reduce="max", **window))

    def padding(self, name: str, kernel: int, stride: int, border: str = "zero") -> tuple[Sequence, str]:
        """The Pad before a window and the window's own padding.

        With an odd kernel and stride 1 TensorFlow's `same` is symmetric; with a stride it pads more at
        the end, so `symmetric` (what the papers' Caffe does) pads by hand.
        """
        if kernel == 1 or self.network.padding == "same" or (stride == 1 and kernel % 2):
            return (), "same"
        before, after = (kernel - 1) // 2, kernel // 2
        return (op.Pad(name=f"{name}_pad", rows=(before, after), columns=(before, after), border=border),), "valid"
