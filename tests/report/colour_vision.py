"""How far apart colours are to eyes that see three, or two, primary colours."""

from itertools import combinations

import numpy as np

# of Machado, Oliveira, Fernandes 2009, at full severity, over linear sRGB
VISION = {
    "normal": np.eye(3),
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
LUMINANCE = [0.2126729, 0.7151522, 0.0721750]


def linear(colour):
    """Linear sRGB of "#rrggbb" or of three shares."""
    if isinstance(colour, str):
        colour = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    share = np.asarray(colour, float)
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def lab(colour, vision="normal"):
    """CIELAB under D65 of a colour as it is seen."""
    xyz = [[0.4124564, 0.3575761, 0.1804375], LUMINANCE, [0.0193339, 0.1191920, 0.9503041]]
    part = np.array(xyz) @ np.clip(np.array(VISION[vision]) @ linear(colour), 0, 1) / [0.95047, 1, 1.08883]
    x, y, z = np.where(part > 216 / 24389, np.cbrt(part), (24389 / 27 * part + 16) / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def nearest(colours, vision):
    """The least distance (CIE76) of any two; one of about 2 is just seen."""
    seen = [lab(colour, vision) for colour in colours]
    return min(np.linalg.norm(one - other) for one, other in combinations(seen, 2))


def on_white(colour):
    """Contrast against white, WCAG 2.1."""
    return 1.05 / (linear(colour) @ LUMINANCE + 0.05)
