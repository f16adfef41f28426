"""Files that examples mention and that no reader of a page has: made small, and of the form of real ones.

An input is made once, when a block that mentions it is about to run and the page's folder does not have it yet. A page
that makes such a file itself writes it as `./photos`.
"""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from .commands import ROOT
from .terminal import Terminal

# what a command writes is no input of it
OUTPUTS = "out|write|plot|csv|json|sheet|batch|confusion|predictions|curves|coco|yolo|save-crops"
WRITTEN = re.compile(rf"""(--({OUTPUTS})[ =]|out=["']|>)\s*\S+""")
CELLS = {"RBC": (200, 120, 120, 90), "WBC": (110, 70, 160, 150), "Platelets": (130, 90, 150, 32)}  # colour, diameter
CELL_SIZE = 480, 640
PHOTO_SIZE = 240, 320  # of scikit-learn's photographs of 427 x 640


class InputError(Exception):
    """An input cannot be made, or takes too long for the block that mentions it."""


@dataclass(frozen=True)
class Input:
    """A file or folder that `make(place, terminal)` writes to its place, with the other inputs that it refers to. Those
    that are `slow` to make are for slow blocks."""

    make: Callable[[Path, Terminal], None]
    needs: tuple[str, ...] = ()
    slow: bool = False


def provide(text: str, folder: Path, terminal: Terminal, slow: bool) -> None:
    """Put the inputs that a block's `text` mentions into `folder`, but for those already there.

    Raises InputError for one that takes long unless `slow`, and for one that cannot be made.
    """
    read = WRITTEN.sub("", text)
    for name, each in INPUTS.items():
        if re.search(rf"(?<![\w./-]){re.escape(name)}(?![\w-]|\.\w)", read):
            for one in (*each.needs, name):
                _put(one, folder, terminal, slow)


def _put(name: str, folder: Path, terminal: Terminal, slow: bool) -> None:
    if (folder / name).exists():
        return
    if INPUTS[name].slow and not slow:
        raise InputError(f"{name} takes long to make: mark the block slow")
    made = _made(name, terminal)
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    if made.is_dir():
        shutil.copytree(made, folder / name)
    else:
        shutil.copy(made, folder / name)


def _made(name: str, terminal: Terminal) -> Path:
    """The one of which pages get copies."""
    place = terminal.root / "inputs" / name
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        for one in INPUTS[name].needs:
            _made(one, terminal)
        INPUTS[name].make(place, terminal)
    return place


def _image(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def _seven(place: Path, _: Terminal) -> None:
    """The first seven of scikit-learn's digits, 8 x 8 pixels."""
    from sklearn.datasets import load_digits

    _image((load_digits().images[7] * 255 / 16).round()).save(place)


def _photo(which: str) -> Callable[[Path, Terminal], None]:
    """One of scikit-learn's photographs."""

    def make(place: Path, _: Terminal) -> None:
        from sklearn.datasets import load_sample_image

        _image(load_sample_image(which)).save(place)

    return make


def _photos(place: Path, _: Terminal) -> None:
    """A folder with 20 photographs in each of 3 classes: parts of scikit-learn's two, and of both in one."""
    from sklearn.datasets import load_sample_images

    temple, flower = (image.astype(float) for image in load_sample_images().images)
    draws = np.random.default_rng(0)
    height, width = PHOTO_SIZE
    for name, whole in {"both": (temple + flower) / 2, "flower": flower, "temple": temple}.items():
        (place / name).mkdir(parents=True)
        for number in range(20):
            top, left = draws.integers(0, 427 - height), draws.integers(0, 640 - width)
            part = _image(whole[top : top + height, left : left + width])
            part.save(place / name / f"{name}-{number:02d}.jpg", quality=90)


def _table(place: Path, _: Terminal) -> None:
    """A table of the images in `photos` by what is on them: flower, temple, or flower|temple."""
    rows = ["path,label,split"]
    for name, labels in {"both": "flower|temple", "flower": "flower", "temple": "temple"}.items():
        for number in range(20):
            split = "train" if number % 4 else "test"
            rows.append(f"photos/{name}/{name}-{number:02d}.jpg,{labels},{split}")
    place.write_text("\n".join(rows) + "\n", encoding="utf-8")


def _blood(place: Path, _: Terminal) -> None:
    """A drawn photograph of blood cells."""
    _cells(np.random.default_rng(1))[0].save(place)


def _cells(draws: np.random.Generator) -> tuple[Image.Image, str]:
    """A drawing of six cells, and their boxes as VOC's XML has objects."""
    image, objects = _image(draws.normal(215, 6, (*CELL_SIZE, 3))), []
    for kind in draws.choice([*CELLS], 6, p=[0.6, 0.2, 0.2]):
        *colour, side = CELLS[kind]
        top, left = (int(draws.integers(0, size - side)) for size in CELL_SIZE)
        ImageDraw.Draw(image).ellipse((left, top, left + side - 1, top + side - 1), fill=tuple(colour))
        sides = {"xmin": left + 1, "ymin": top + 1, "xmax": left + side, "ymax": top + side}
        box = "".join(f"<{name}>{value}</{name}>" for name, value in sides.items())
        objects.append(f"<object><name>{kind}</name><difficult>0</difficult><bndbox>{box}</bndbox></object>")
    return image, "".join(objects)


def _voc(place: Path, _: Terminal) -> None:
    """A VOC folder of 16 training and 6 test images of blood cells, in the form of BCCD."""
    for part in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (place / part).mkdir(parents=True)
    draws, (height, width) = np.random.default_rng(0), CELL_SIZE
    names = [f"BloodImage_{number:05d}" for number in range(22)]
    for name in names:
        image, objects = _cells(draws)
        image.save(place / "JPEGImages" / f"{name}.jpg")
        size = f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>"
        xml = f"<annotation><filename>{name}.jpg</filename>{size}{objects}</annotation>"
        (place / "Annotations" / f"{name}.xml").write_text(xml, encoding="utf-8")
    for split, held in {"trainval": names[:16], "test": names[16:]}.items():
        (place / "ImageSets" / "Main" / f"{split}.txt").write_text("\n".join(held) + "\n", encoding="utf-8")


def _results(place: Path, _: Terminal) -> None:
    """A copy of docs/results: reports are written beside what they are about."""
    shutil.copytree(ROOT / "docs" / "results", place)


def _by_python(code: str) -> Callable[[Path, Terminal], None]:
    """What `code` writes to `PLACE`."""

    def make(place: Path, terminal: Terminal) -> None:
        folder = terminal.root / "inputs"
        status, printed = terminal.python(code.replace("PLACE", repr(str(place))), "inputs.py", folder)
        terminal.close(folder)
        _check(place, status, printed)

    return make


def _by_command(command: str) -> Callable[[Path, Terminal], None]:
    """What a command line writes to `PLACE`."""

    def make(place: Path, terminal: Terminal) -> None:
        line = command.replace("PLACE", shlex.quote(str(place)))
        _check(place, *terminal.run(line, terminal.root / "inputs"))

    return make


def _check(place: Path, status: int, printed: list[str]) -> None:
    if status or not place.exists():
        raise InputError("\n".join([f"{place.name} was not made:", *printed[-5:]]))


INPUTS = {
    "seven.png": Input(_seven),
    "beach.jpg": Input(_photo("china.jpg")),
    "street.jpg": Input(_photo("china.jpg")),
    "photo.jpg": Input(_photo("flower.jpg")),
    "photos": Input(_photos),
    "photos.csv": Input(_table, needs=("photos",)),
    "BCCD": Input(_voc),
    "blood.jpg": Input(_blood),
    "docs/results": Input(_results),
    "resnet50v2.keras": Input(
        _by_python("import keras; keras.applications.ResNet50V2(weights=None).save(PLACE)"), slow=True
    ),
    "saved_models/cifar": Input(
        _by_command("reskeras train cifar-resnet-20 --data folder:photos --epochs 1 --out PLACE"),
        needs=("photos",),
        slow=True,
    ),
    "saved_models/demo": Input(
        _by_command("reskeras train cifar-resnet-20 --data digits --recipe quick --out PLACE"), slow=True
    ),
}
