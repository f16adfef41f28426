"""Another library's tensors to our weights and back: names, transposes, and rewrites that keep the function."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from types import MappingProxyType

import numpy as np

from reskeras.errors import ReskerasError, failure
from reskeras.plans import operations as op
from reskeras.plans.nodes import followed
from reskeras.plans.plan import Plan
from reskeras.porting.foreign_model import ForeignModel
from reskeras.porting.layouts import Library, with_weights
from reskeras.porting.rearranged import Rearranged
from reskeras.printable import few

Weights = dict[str, np.ndarray]  # by canonical name
MOST_LISTED = 5
DEFAULTS = {"bias": 0.0, "gamma": 1.0}  # the values that a layer without them implies
AS_THEY_ARE: Mapping[str, Rearranged] = MappingProxyType({})


def our_weights(
    source: ForeignModel,
    title: str,
    layers: Mapping[str, str],
    plan: Plan,
    own: Mapping[str, tuple[int, ...]],
    aside: Set[str] = frozenset(),
    rearranged: Mapping[str, Rearranged] = AS_THEY_ARE,
) -> Weights:
    """The source's tensors under our names; `layers` maps operations to its layers, `own` weights to their shapes. The
    layers `aside` are not part of the network; the numbers of operations in `rearranged` are in another order there.

    A missing bias is 0, a missing scale of a batch norm 1. ReskerasError (status 1) names tensors that are missing,
    unexpected, or of the wrong shape.
    """
    left = {
        name: values
        for name, values in source.tensors.items()
        if name.rpartition(source.library.separator)[0] not in aside
    }
    found = {}
    missing, misshapen = [], []
    for each in with_weights(plan):
        for role in each.held:
            name, theirs = f"{each.name}/{role}", source.library.tensor(layers[each.name], each.kind, role)
            values = left.pop(theirs, None)
            if values is None:
                if role in DEFAULTS:
                    found[name] = np.full(own[name], DEFAULTS[role], np.float32)
                else:
                    missing.append(theirs)
                continue
            turned = as_ours(values, each.kind) if source.library.transposed else values
            if each.name in rearranged:
                turned = _rearranged(rearranged[each.name], turned)
            if {turned.shape, (1, 1, *turned.shape)} >= {own[name]} or turned.shape == (1, 1, *own[name]):
                turned = turned.reshape(own[name])  # a dense layer is a 1x1 convolution of one position
            if turned.shape != own[name]:
                misshapen.append(f"{theirs} {values.shape}")
            found[name] = np.ascontiguousarray(turned, np.float32)
    wrong = [
        f"{label}: {few(names, MOST_LISTED)}"
        for label, names in (("missing", missing), ("unexpected", sorted(left)), ("of the wrong shape", misshapen))
        if names
    ]
    if wrong:
        raise failure(f"port: the tensors of {source.name} do not match its network ({title}); " + "; ".join(wrong))
    return found


def their_tensors(
    weights: Mapping[str, np.ndarray],
    library: Library,
    layers: Mapping[str, str],
    plan: Plan,
    rearranged: Mapping[str, Rearranged] = AS_THEY_ARE,
) -> dict[str, np.ndarray]:
    """Our weights under a library's names; `layers` maps operations to its layers, and the numbers of those in
    `rearranged` are in another order there."""
    kinds = {each.name: each.kind for each in with_weights(plan)}
    tensors = {}
    for name, values in weights.items():
        operation, _, role = name.rpartition("/")
        if operation in kinds:
            if operation in rearranged:
                values = rearranged[operation].theirs(values)
            theirs = library.tensor(layers[operation], kinds[operation], role)
            tensors[theirs] = np.ascontiguousarray(as_theirs(values) if library.transposed else values)
    return tensors


def as_ours(values: np.ndarray, kind: str) -> np.ndarray:
    """A PyTorch tensor in Keras' layout. The layer of the logits may be a 1x1 convolution in PyTorch."""
    if values.ndim == 4:
        turned = values.transpose(2, 3, 1, 0)
        return turned[0, 0] if kind == "dense" else turned
    return values.T


def _rearranged(order: Rearranged, values: np.ndarray) -> np.ndarray:
    """`values` in our order; as they are where their shape has no such order, so that it is reported."""
    try:
        return order.ours(values)
    except ValueError:
        return values


def as_theirs(values: np.ndarray) -> np.ndarray:
    """A Keras tensor in PyTorch's layout."""
    return values.transpose(3, 2, 0, 1) if values.ndim == 4 else values.T


def without_biases(plan: Plan, weights: Weights, keep: Set[str] = frozenset()) -> Weights:
    """`weights` with the biases of convolutions folded into the moving mean of the batch norm that follows; those of
    the convolutions named in `keep` stay.

    ReskerasError where a bias is not 0 and no batch norm follows.
    """
    left = dict(weights)
    norms = {conv.name: norm for conv, norm in _followed(plan)}
    for each in plan.ops():
        if not isinstance(each, op.Conv) or each.name in keep or (bias := left.pop(f"{each.name}/bias", None)) is None:
            continue
        if each.name in norms:
            left[f"{norms[each.name].name}/moving_mean"] = left[f"{norms[each.name].name}/moving_mean"] - bias
        elif bias.any():
            raise ReskerasError(f"port: the bias of {each.name} cannot be folded, because no batch norm follows it")
    return left


def with_epsilon(plan: Plan, weights: Weights, epsilon: float) -> Weights:
    """`weights` for batch norms with `epsilon` instead of the plan's: variance + epsilon is unchanged, or where the
    variance would be negative the scale, relative to its root."""
    changed = {}
    for each in plan.ops():
        if isinstance(each, op.BatchNorm) and each.epsilon != epsilon:
            variance, scale = (f"{each.name}/{role}" for role in ("moving_variance", "gamma"))
            own = weights[variance]
            if (other := own + np.float32(each.epsilon - epsilon)).min() >= 0:
                changed[variance] = other
            else:
                ratio = np.sqrt((own + epsilon) / (own + each.epsilon))
                changed[scale] = np.asarray(weights[scale] * ratio, np.float32)
    return {**weights, **changed}


def with_channels_reversed(plan: Plan, weights: Weights) -> Weights:
    """`weights` for images with the channels reversed: RGB instead of BGR."""
    first = next(each for each in plan.ops() if isinstance(each, op.Conv))
    name = f"{first.name}/kernel"
    return {**weights, name: np.ascontiguousarray(weights[name][:, :, ::-1])}


def _followed(plan: Plan) -> Iterator[tuple[op.Conv, op.BatchNorm]]:
    """Convolutions directly followed by a batch norm, each with it."""
    for unit in plan.units:
        for node, following in followed(unit.nodes):
            if isinstance(node, op.Conv) and isinstance(following, op.BatchNorm):
                yield node, following
