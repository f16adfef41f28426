"""Tiny annotated folders of real image files, as Pascal VOC and COCO lay them out."""

import json

import numpy as np
from PIL import Image

SIZE = 40, 60  # height, width


def picture(path, size=SIZE, seed=0):
    """A noisy image file; its pixels as Pillow reads them back."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return np.asarray(Image.open(path).convert("RGB"))


def voc_object(name="cat", box=(11, 6, 30, 20), difficult=0):
    """The XML of one object; `box` is xmin, ymin, xmax, ymax as the file has them."""
    corners = "".join(
        f"<{side}>{number}</{side}>" for side, number in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    )
    return f"<object><name>{name}</name><difficult>{difficult}</difficult><bndbox>{corners}</bndbox></object>"


def voc_xml(objects, filename="", size=SIZE):
    """A whole annotation."""
    return (
        f"<annotation><filename>{filename}</filename><size><width>{size[1]}</width><height>{size[0]}</height>"
        f"</size>{''.join(objects)}</annotation>"
    )


def voc_image(root, stem, objects=None, suffix=".png", size=SIZE, **more):
    """One image of a VOC folder and its annotation; of one cat unless told otherwise."""
    pixels = picture(root / "JPEGImages" / f"{stem}{suffix}", size, seed=len(stem))
    (root / "Annotations").mkdir(exist_ok=True)
    objects = [voc_object()] if objects is None else objects
    text = voc_xml(objects, **({"filename": f"{stem}{suffix}", "size": size} | more))
    (root / "Annotations" / f"{stem}.xml").write_text(text)
    return pixels


def voc_lists(root, **lists):
    """Lists of ImageSets/Main: test=["a", "b"]."""
    folder = root / "ImageSets" / "Main"
    folder.mkdir(parents=True, exist_ok=True)
    for name, stems in lists.items():
        (folder / f"{name}.txt").write_text("".join(f"{stem}\n" for stem in stems))


def coco_image(number, file_name, size=SIZE):
    return {"id": number, "file_name": file_name, "height": size[0], "width": size[1]}


def coco_object(image, category=1, box=(10, 5, 20, 15), **more):
    """One annotation; `box` is left, top, width, height."""
    return {"id": 1, "image_id": image, "category_id": category, "bbox": list(box), "iscrowd": 0, **more}


def coco_json(path, images, annotations, categories=None):
    """An annotation file; cat is 1 and dog is 3 unless told otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    named = {1: "cat", 3: "dog"} if categories is None else categories
    path.write_text(
        json.dumps(
            {
                "images": images,
                "annotations": annotations,
                "categories": [{"id": number, "name": name} for number, name in named.items()],
            }
        )
    )
    return path


def yolo_image(root, name, lines=("0 0.5 0.5 0.5 0.5",), size=SIZE, labels=None):
    """One image of a YOLO folder, such as images/train/a.png, and its labels, unless `lines` is None."""
    pixels = picture(root / name, size, seed=len(name))
    if lines is not None:
        file = root / (labels or name.replace("images/", "labels/"))
        file = file.with_suffix(".txt")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(f"{line}\n" for line in lines))
    return pixels


def labelme_json(path, shapes, image, size=SIZE, **more):
    """One JSON of LabelMe; `shapes` are (label, shape_type, points)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = {
        "version": "5.5.0",
        "flags": {},
        "shapes": [
            {"label": label, "points": points, "group_id": None, "shape_type": kind, "flags": {}}
            for label, kind, points in shapes
        ],
        "imagePath": image,
        "imageData": None,
        "imageHeight": size[0],
        "imageWidth": size[1],
    }
    path.write_text(json.dumps({**data, **more}))
    return path


def by_id(split, classes):
    """The boxes of each image as lists of (class, left, top, right, bottom), by the image's id."""
    found = {}
    for index, number in enumerate(split.ids):
        boxes, labels, _ = split.rows(index)
        found[number] = [
            (classes[label], *box[[1, 0, 3, 2]].tolist()) for box, label in zip(boxes, labels, strict=True)
        ]
    return found
