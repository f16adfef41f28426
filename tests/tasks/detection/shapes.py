"""A detection set that is learned in seconds: squares and discs on noise, as a VOC folder; and a detector for it."""

import numpy as np
from PIL import Image, ImageDraw

from tests.tasks.detection.folders import voc_lists, voc_object, voc_xml

SIZE = 48, 64  # height, width
DETECTOR = {
    "backbone": {
        "family": "cifar",
        "stages": [{"units": 1, "width": 16}, {"units": 1, "width": 32}, {"units": 1, "width": 32}],
        "stem": {"convs": [{"width": 16, "stride": 2}]},
        "input_shape": [48, 64, 3],
    },
    "anchors": {"sizes": [10, 16, 24], "ratios": [1.0]},
    "proposals": {"training": 64, "testing": 32, "before": 200, "sample": 64},
    "regions": {"size": 6, "sample": 32},
}
LEARNING = {
    "epochs": 20,
    "batch_size": 4,
    "learning_rate": 0.05,
    "precision": "float32",
    "augment": {"flip": True, "flip_rows": True},
}


def shapes_folder(root, train=16, test=6, seed=0, sizes=(SIZE,)):
    """The folder, with lists trainval and test; each image has one to three shapes of 9 to 22 pixels. Images have the
    `sizes` in turn."""
    generator = np.random.default_rng(seed)
    (root / "JPEGImages").mkdir(parents=True)
    (root / "Annotations").mkdir()
    names = [f"image-{number:02d}" for number in range(train + test)]
    for place, name in enumerate(names):
        size = sizes[place % len(sizes)]
        pixels, objects = _scene(generator, size)
        pixels.save(root / "JPEGImages" / f"{name}.png")
        (root / "Annotations" / f"{name}.xml").write_text(voc_xml(objects, filename=f"{name}.png", size=size))
    voc_lists(root, trainval=names[:train], test=names[train:])
    return root


def _scene(generator, size):
    image = Image.fromarray(generator.integers(90, 130, (*size, 3), np.uint8))
    draw, objects, taken = ImageDraw.Draw(image), [], []
    for _ in range(generator.integers(1, 4)):
        side = int(generator.integers(9, 23))
        left, top = int(generator.integers(0, size[1] - side)), int(generator.integers(0, size[0] - side))
        box = left, top, left + side, top + side
        if any(
            left < other[2] and other[0] < left + side and top < other[3] and other[1] < top + side for other in taken
        ):
            continue
        taken.append(box)
        kind = "square" if generator.random() < 0.5 else "disc"
        if kind == "square":
            draw.rectangle((left, top, left + side - 1, top + side - 1), fill=(220, 60, 40))
        else:
            draw.ellipse((left, top, left + side - 1, top + side - 1), fill=(30, 60, 230))
        objects.append(voc_object(kind, (left + 1, top + 1, left + side, top + side)))
    return image, objects
