"""The kernel of a whitening convolution, from patches of training images."""

from __future__ import annotations

import numpy as np

from reskeras.plans.operations import Conv

MOST_PATCHES = 5_000_000
AT_ONCE = 2**24  # numbers of the patches that are in memory at a time


def images_to_whiten(conv: Conv, size: tuple[int, ...], asked: int) -> int:
    """How many images of `size` (height, width, channels) to take patches of, at most those `asked` for."""
    return min(asked, max(MOST_PATCHES // _places(conv, size), 1))


def whitening_kernel(conv: Conv, images: np.ndarray, epsilon: float) -> np.ndarray:
    """float32 (rows, columns, channels, filters) of `conv` from images as the network gets them, float32 (n, height,
    width, channels).

    The second moments of their patches, about 0 and not about the mean, are diagonalised in float64. The eigenvector of
    the largest eigenvalue comes first; the negatives come after all of them.
    """
    rows, columns = conv.kernel
    size = rows * columns * images.shape[-1]
    moments, step = np.zeros((size, size)), max(AT_ONCE // (_places(conv, images.shape[1:]) * size), 1)
    for first in range(0, len(images), step):
        windows = np.lib.stride_tricks.sliding_window_view(images[first : first + step], (rows, columns), axis=(1, 2))
        patches = windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, size)  # ordered as a kernel is
        moments += patches.T @ patches
    values, vectors = np.linalg.eigh(moments / (len(images) * _places(conv, images.shape[1:])))
    scaled = (vectors / np.sqrt(np.maximum(values, 0.0) + epsilon))[:, ::-1]
    kernel = np.concatenate([scaled, -scaled], axis=1)
    return kernel.reshape(rows, columns, images.shape[-1], conv.filters).astype(np.float32)


def _places(conv: Conv, size: tuple[int, ...]) -> int:
    """Windows of `conv` inside an image, at every pixel."""
    return max(size[0] - conv.kernel[0] + 1, 1) * max(size[1] - conv.kernel[1] + 1, 1)
