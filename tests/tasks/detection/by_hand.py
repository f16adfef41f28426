"""What a saved detector says of images, with all that follows its Keras model done in plain loops."""

import numpy as np
from PIL import Image

from reskeras.data.preprocessing import Preprocessing
from reskeras.networks.detector_plan import lower_detector


def overlap(a, b):
    height, width = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(height, 0) * max(width, 0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def by_hand(run, paths):
    """Of each image, which is as large as the canvas: [(class, score, box)], the surest first."""
    spec = lower_detector(run.folder.spec()).spec
    preprocessing = Preprocessing.load(run.folder.preprocessing_file)
    pixels = np.stack([np.asarray(Image.open(path).convert("RGB"), np.float32) for path in paths])
    windows = np.tile(np.float32([0, 0, *pixels.shape[1:3]]), (len(paths), 1))
    answer = run.model().predict(
        {"image": (pixels - preprocessing.mean) / preprocessing.std, "window": windows}, verbose=0
    )
    powers = np.exp(answer["logits"] - answer["logits"].max(axis=-1, keepdims=True))
    shares = powers / powers.sum(axis=-1, keepdims=True)
    for image, regions in enumerate(answer["proposals"]):
        kept = []
        for label, name in enumerate(run.folder.classes()):
            candidates = []
            for region, deltas, share in zip(
                regions, answer["box_deltas"][image], shares[image, :, label], strict=True
            ):
                size = region[2:] - region[:2]
                moves = deltas.reshape(-1, 4)[label] * spec.regions.deviations
                centre, sides = region[:2] + size / 2 + moves[:2] * size, size * np.exp(moves[2:])
                box = np.clip(np.concatenate([centre - sides / 2, centre + sides / 2]), 0, np.tile(windows[0, 2:], 2))
                if share > spec.detections.score and size.min() > 0:
                    candidates.append((name, share, box))
            for each in sorted(candidates, key=lambda each: -each[1]):
                if all(overlap(each[2], other[2]) <= spec.detections.overlap for other in kept if other[0] == name):
                    kept.append(each)
        yield sorted(kept, key=lambda each: -each[1])
