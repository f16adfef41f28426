"""The integer form in NumPy's int64, window by window: an implementation of its own, of what LiteRT's kernels do.

A tensor is (stored 8-bit integers, step, zero); what is not rounded yet is a list of terms (int64, step), and whether a
ReLU follows. Every function says how LiteRT comes from the exact number to the 8-bit one.
"""

from dataclasses import dataclass
from math import ceil, erf, exp, frexp

import numpy as np

from reskeras.plans import merges
from reskeras.plans import operations as op
from reskeras.plans.integers import Offset
from reskeras.plans.nodes import Fork

f32 = np.float32


@dataclass
class Stored:
    """Integers from -128 to 127; `zero` is the one that stands for 0."""

    numbers: np.ndarray
    step: np.float32
    zero: int

    @property
    def centred(self):
        return self.numbers.astype(np.int64) - self.zero


@dataclass
class Exact:
    """A number times a step that is not an 8-bit one yet; `how` brings it to one, given the new step."""

    how: object
    relu: bool = False


def answers(plan, weights, images):
    """Stored integers of the output, of images as the plan takes them."""
    value = images
    for unit in plan.units:
        value = sequence(unit.nodes, value, weights)
    return value


def sequence(nodes, value, weights):
    for node in nodes:
        if isinstance(node, Fork):
            value = MERGES[type(node.merge)]([sequence(branch, value, weights) for branch in node.branches])
        elif isinstance(node, op.Quantise):
            value = rounded(value, *range_of(node, weights))
        else:
            value = OPERATIONS[type(node)](node, value, weights)
    return value


def range_of(node, weights):
    name = node.like or node.name
    low, high = node.fixed or (float(weights[f"{name}/low"]), float(weights[f"{name}/high"]))
    step = (high - low) / 255
    return f32(step), round(-128 - low / step)


def rounded(value, step, zero):
    if isinstance(value, list):  # of a concatenation
        return Stored(
            np.concatenate([rounded(part, step, zero).numbers for part in aligned(value, step)], 3), step, zero
        )
    if isinstance(value, Exact):
        numbers, least = value.how(step), zero if value.relu else -128
    elif isinstance(value, Stored):  # rounded again
        numbers, least = np.rint(value.centred.astype(f32) * f32(value.step / step)), -128
    else:
        numbers, least = np.rint(value.astype(f32) / step), -128
    return Stored(np.clip(numbers + zero, least, 127).astype(np.int64), step, zero)


def aligned(parts, step):
    """Integers of another step times a factor of 8 bits after the point, halves up."""
    for part in parts:
        if isinstance(part, list):
            yield from aligned(part, step)
        elif isinstance(part, Stored) and part.step != step:
            factor = int(np.rint(256 * part.step / step))
            moved = np.floor_divide(part.centred * factor + 128, 256)
            yield Exact(lambda step, moved=moved: moved)
        else:
            yield part


def edges(size, kernel, stride, padding):
    """Rows before and after, and the number of windows."""
    if padding == "valid":
        return 0, 0, (size - kernel) // stride + 1
    count = ceil(size / stride)
    missing = max((count - 1) * stride + kernel - size, 0)
    return missing // 2, missing - missing // 2, count


def windows(values, node, fill=0):
    """The values at each place of the window, as (place down, place across, images, rows, columns, channels)."""
    (above, below, rows), (left, right, columns) = (
        edges(values.shape[axis + 1], node.kernel[axis], node.stride[axis], node.padding) for axis in (0, 1)
    )
    wide = np.pad(values, [(0, 0), (above, below), (left, right), (0, 0)], constant_values=fill)
    down, across = node.stride
    return [
        (i, j, wide[:, i : i + rows * down : down, j : j + columns * across : across][:, :rows, :columns])
        for i in range(node.kernel[0])
        for j in range(node.kernel[1])
    ]


def whole_kernel(kernel, bits):
    """Integers, with a step for each filter: the largest weight is the largest integer."""
    step = (np.abs(kernel).max(axis=(0, 1, 2)) / f32(2 ** (bits - 1) - 1)).astype(f32)
    return np.rint(kernel / step).astype(np.int64), step


def conv(node, x, weights):
    kernel, steps = whole_kernel(weights[f"{node.name}/kernel"], node.weight_bits)
    steps = f32(x.step) * steps
    each = kernel.shape[2]
    total = np.rint(weights[f"{node.name}/bias"] / steps.astype(np.float64)).astype(np.int64)
    filters = node.filters // node.groups
    for i, j, values in windows(x.centred, node):
        sums = [
            np.einsum(
                "nhwc,cf->nhwf",
                values[..., g * each : (g + 1) * each],
                kernel[i, j, :, g * filters : (g + 1) * filters],
            )
            for g in range(node.groups)
        ]
        total = total + np.concatenate(sums, axis=-1)
    if node.weight_bits < 8:
        return Exact(lambda step: twice(total, steps.astype(np.float64) / float(step)))
    return Exact(lambda step: np.rint(total.astype(f32) * (steps / step)))


def twice(total, factors):
    """To 31 bits, then to 8, halves up each time."""
    found = np.empty_like(total)
    for channel, factor in enumerate(factors):
        mantissa, exponent = frexp(factor)
        numbers = total[..., channel] * 2 ** max(exponent, 0) * round(mantissa * 2**31)
        numbers = np.floor_divide(numbers + 2**30, 2**31)
        right = 2 ** max(-exponent, 0)
        found[..., channel] = np.floor_divide(numbers + right // 2, right)
    return found


def relu(node, x, weights):
    if isinstance(x, Exact):
        return Exact(x.how, relu=True)
    return Exact(lambda step: np.rint(x.centred.astype(f32) * f32(x.step / step)), relu=True)


def table(function):
    def looked_up(node, x, weights):
        numbers = np.arange(-128, 128)
        values = np.array([function(float(f32(number - x.zero) * x.step)) for number in numbers], f32)
        return values[x.numbers + 128]

    return looked_up


def silu(node, x, weights):
    """Times a sigmoid of 8 bits."""
    shares = table(lambda number: 1 / (1 + exp(-number)))(node, x, weights)
    gate = np.clip(np.rint(shares * 256), 0, 255).astype(np.int64)
    return Exact(lambda step: np.rint((x.centred * gate).astype(f32) * f32(f32(x.step / f32(256)) / step)))


def pool(node, x, weights):
    if node.reduce == "max":
        places = np.stack([values for _, _, values in windows(x.numbers, node, fill=-128)])
        return Stored(places.max(axis=0), x.step, x.zero)
    total = sum(values for _, _, values in windows(x.numbers, node))
    count = sum(values for _, _, values in windows(np.ones_like(x.numbers), node))
    halves = np.sign(total) * ((2 * np.abs(total) + count) // (2 * count))  # away from zero
    return Stored(halves, x.step, x.zero)


def global_pool(node, x, weights):
    if node.reduce == "max":
        return Stored(x.numbers.max(axis=(1, 2), keepdims=True), x.step, x.zero)
    step = f32(x.step / f32(x.numbers.shape[1] * x.numbers.shape[2]))
    total = x.centred.sum(axis=(1, 2), keepdims=True)
    return Exact(lambda new: np.rint(total.astype(f32) * f32(step / new)))


def flatten(node, x, weights):
    return Stored(x.numbers.reshape(len(x.numbers), -1), x.step, x.zero)


def pad(node, x, weights):
    around = [(0, 0), node.rows, node.columns, (0, 0)]
    if node.border == "edge":
        return Stored(np.pad(x.numbers, around, mode="symmetric"), x.step, x.zero)
    return Stored(np.pad(x.numbers, around, constant_values=x.zero), x.step, x.zero)


def pad_channels(node, x, weights):
    around = [(0, 0)] * 3 + [(0, node.channels - x.numbers.shape[-1])]
    return Stored(np.pad(x.numbers, around, constant_values=x.zero), x.step, x.zero)


def offset(node, x, weights):
    added = weights[f"{node.name}/map"]
    low, high = min(float(added.min()), 0), max(float(added.max()), 0)
    step = (high - low) / 255
    return add([x, rounded(added[None], f32(step), round(-128 - low / step))])


def add(parts):
    """In fixed point: factors of 21 bits, halves up."""

    def how(step):
        factors = [float(f32(part.step / step)) for part in parts]
        shift = 21 - frexp(max(factors))[1]
        total = sum(part.centred * round(factor * 2**shift) for part, factor in zip(parts, factors, strict=True))
        return np.floor_divide(total + 2 ** (shift - 1), 2**shift)

    return Exact(how)


def multiply(parts):
    one, other = parts
    product = one.centred * other.centred
    return Exact(lambda step: np.rint(product.astype(f32) * f32(f32(one.step * other.step) / step)))


OPERATIONS = {
    op.Conv: conv,
    op.Relu: relu,
    op.Gelu: table(lambda number: number * (1 + erf(number / 2**0.5)) / 2),
    op.Silu: silu,
    op.Sigmoid: table(lambda number: 1 / (1 + exp(-number))),
    op.Pool: pool,
    op.GlobalPool: global_pool,
    op.Flatten: flatten,
    op.Pad: pad,
    op.PadChannels: pad_channels,
    Offset: offset,
}
MERGES = {merges.Add: add, merges.Multiply: multiply, merges.Concat: list}
