"""The parts of a detector as plans: slices of its backbone, a pyramid's convolutions, the heads."""

from __future__ import annotations

from dataclasses import replace

from reskeras.networks.detector import DetectorSpec, RegionSpec
from reskeras.networks.lower import Maker
from reskeras.networks.neck import FpnSpec, endpoints
from reskeras.networks.orders import ORDERS
from reskeras.networks.parts import SMALL_NORMAL
from reskeras.plans import operations as op
from reskeras.plans.nodes import Node, Sequence
from reskeras.plans.operation import Shape
from reskeras.plans.plan import Plan, Unit


def shared_plan(spec: DetectorSpec, network: Plan) -> tuple[Plan, tuple[str, ...]]:
    """The part of the network that runs once per image, and the units whose maps are used."""
    if spec.neck is None:
        end = network.units[network.endpoint(str(spec.shared))].name
        return network.slice(until=end), (end,)
    known = endpoints(network)
    ends = tuple(known[stride] for stride in spec.neck.strides or ())
    return network.slice(until=ends[-1]), ends


def pyramid_parts(neck: FpnSpec, maker: Maker, shared: Plan, ends: tuple[str, ...]) -> dict[str, Plan]:
    """The convolutions of a pyramid by name, each for its own map: lateral ones of the backbone's maps, then those that
    smooth the merged maps, from the finest on."""
    found = dict[str, Plan]()
    for kind, kernel in (("lateral", 1), ("smooth", 3)):
        for stride, end in zip(neck.strides or (), ends, strict=True):
            shape = shared.slice(until=end).output_shape
            before = activated(maker, shared, end, f"lateral{stride}_pre_") if kind == "lateral" else ()
            nodes = (*before, *_conv(maker, f"{kind}{stride}", kernel, neck.width, neck.bn, relu=False))
            found[f"{kind}{stride}"] = one_unit(
                f"{kind}{stride}", nodes, shape if kind == "lateral" else (*shape[:2], neck.width)
            )
    return found


def detection_parts(spec: DetectorSpec, maker: Maker, first: Plan, regions: Plan) -> dict[str, Plan]:
    """The proposal network, on the output of `first`, and the last layers of `regions`."""
    each = len(spec.anchors.sizes or ()) // (len(spec.neck.levels()) if spec.neck else 1) * len(spec.anchors.ratios)
    width, classes = spec.proposals.width or 0, spec.classes or 0
    # a pre-activation network's stream is raw (v2 section 4), so the proposal network activates it first
    nodes: list[Node] = [] if spec.neck else [*activated(maker, first, first.units[-1].name, "rpn_pre_")]
    for index in range(spec.proposals.convs):
        number = "" if spec.proposals.convs == 1 else str(index + 1)
        nodes += [*maker.conv(f"rpn_conv{number}", 3, width, 1, bias_start=0.0), op.Relu(name=f"rpn_relu{number}")]
    rpn = one_unit("rpn", tuple(nodes), first.output_shape)
    pooled = (regions.output_shape[0] * (2 if spec.regions.context else 1),)
    convs = {
        name: one_unit(
            name,
            (op.Conv(name=name, filters=filters, kernel=(1, 1), bias=True, initialiser=SMALL_NORMAL),),
            rpn.output_shape,
        )
        for name, filters in (("objectness", each), ("anchor_deltas", 4 * each))
    }
    dense = {
        name: one_unit(name, (op.Dense(name=name, units=units, initialiser=SMALL_NORMAL),), pooled)
        for name, units in (("logits", classes + 1), ("box_deltas", 4 * classes))
    }
    return {"rpn": rpn, **convs, **dense}


def region_plan(spec: DetectorSpec, network: Plan, shared: Plan) -> Plan:
    """The last stages and the head's pooling, on a region's part of the shared map."""
    after, size = network.endpoint(str(spec.shared)) + 1, spec.regions.size or 0
    units = (*network.units[after:-1], without_logits(network.units[-1]))
    return Plan(units=units, input_shape=(size, size, shared.output_shape[-1]))


def without_logits(head: Unit) -> Unit:
    """The head of a network, without its dense layer."""
    return replace(head, nodes=tuple(node for node in head.nodes if not isinstance(node, op.Dense)))


def dense_regions(regions: RegionSpec, neck: FpnSpec, maker: Maker) -> Plan:
    """Convolutions and dense layers on a region's part of a pyramid's map."""
    nodes: list[Node] = []
    for number in range(1, regions.convs + 1):
        nodes += _conv(maker, f"region_conv{number}", 3, neck.width, neck.bn, relu=True)
    nodes.append(op.Flatten(name="region_flatten"))
    for number in range(1, regions.dense + 1):
        nodes.append(op.Dense(name=f"region_dense{number}", units=regions.width, float32=False))
        nodes.append(op.Relu(name=f"region_dense{number}_relu"))
    size = regions.size or 0
    return one_unit("regions", tuple(nodes), (size, size, neck.width))


def activated(maker: Maker, plan: Plan, end: str, prefix: str) -> Sequence:
    """The activation that the raw stream after unit `end` of a pre-activation network needs; nothing for others."""
    stages = [unit.stage for unit in plan.slice(until=end).units if isinstance(unit.stage, int)]
    rows = maker.network.stages
    order = ORDERS[rows[stages[-1] - 1 if stages else 0].order]
    return maker.activation(order.head if stages else (), prefix)


def _conv(maker: Maker, name: str, kernel: int, width: int, bn: bool, relu: bool) -> Sequence:
    """A convolution with a bias, or batch norm in its place, and ReLU where it is asked for."""
    conv = maker.conv(f"{name}_conv", kernel, width, 1, bias_start=None if bn else 0.0)
    return (
        *conv,
        *(maker.activation(("bn",), f"{name}_") if bn else ()),
        *((op.Relu(name=f"{name}_relu"),) if relu else ()),
    )


def one_unit(name: str, nodes: Sequence, shape: Shape) -> Plan:
    """The plan of a part that is one unit, on a map of `shape`."""
    return Plan(units=(Unit(stage=name, nodes=nodes),), input_shape=shape)
