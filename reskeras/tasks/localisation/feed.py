"""The input pipeline of a localiser: random crops of images with their boxes; the watched images' centre crops."""

from __future__ import annotations

from reskeras.tasks.detection.feed import DetectionFeed


class LocaliserFeed(DetectionFeed):
    """As a detector's, with one canvas, the crop, of which an image's scaled shorter side is the larger."""

    whose = "localisers"
    rest = 0.5  # the centre
    moves = True
