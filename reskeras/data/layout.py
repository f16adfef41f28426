"""Which sub-folders of a set of images are its classes, and which are training, validation and test splits."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from reskeras.errors import ReskerasError
from reskeras.walk import Walk, count_images, counted_images, is_image, listed

ROLES = {
    "train": {"train", "training", "trainset", "trainval"},
    "validation": {"val", "valid", "validation", "valset", "dev", "devel", "development", "eval", "evaluation"},
    "test": {"test", "testing", "testset"},
}
WORDS = {"train": "training", "validation": "validation", "test": "test"}  # of the images of each split, in messages
# words beside a role without a meaning, such as those of `training_set` and `Test Images`
FILLERS = {"set", "data", "dataset", "split", "folder", "image", "images", "img", "imgs", "photos", "pictures"}
OTHER_SPLITS = ("validation", "test")


@dataclass
class Layout:
    """The folders of the classes of each split; without `test`, those of `train` are all there is.

    `top` is the folder that holds the splits, which are named relative to it.
    """

    top: Path
    train: Path | None = None
    validation: Path | None = None
    test: Path | None = None
    notes: list[str] = field(default_factory=list)

    def name(self, folder: Path) -> str:
        """A split's folder as messages name it: `Training`, or `seg_train/seg_train`."""
        return folder.relative_to(self.top).as_posix()


def read_layout(walk: Walk, classes: Collection[str] = ()) -> Layout:
    """The layout below `walk.root`. Folders whose names are all in `classes`, as far as those are known, are classes.

    Splits are recognised by name whatever the case, the separators and words such as `set` or `images` beside it, or by
    what they share (seg_train, seg_test). A folder that repeats its parent's role (seg_train/seg_train), and one that
    alone holds everything, is looked into. Test and validation folders whose images are in no classes of `train` are
    left out, and the validation split tests where there is no other. Raises ReskerasError (status 2) where folders
    contradict each other.
    """
    top = _innermost(walk, walk.root, classes)
    names = {child.name: child for child in walk.children(top).folders}
    for folder in (top, *names.values()):
        _refuse_annotated(walk, folder)
    layout = Layout(top)
    if top != walk.root:
        layout.notes.append(f"everything is in its sub-folder {top.relative_to(walk.root).as_posix()}")
    chosen = {} if set(map(folded, names)) <= set(map(folded, classes)) else _chosen(walk, top, list(names))
    if not chosen:
        layout.train = top
        _look_inside(walk, layout)
        return layout
    for name in sorted(names.keys() - set(chosen.values())):
        walk.left_out.add("unused", names[name], count_images(names[name]))
    found = {role: _repeated(walk, names[name], role) for role, name in chosen.items()}
    layout.train = found.get("train")
    known = set(map(folded, classes))
    if layout.train and not known:
        known = {folded(child.name) for child in walk.children(layout.train).folders}
    for role in OTHER_SPLITS:
        if role in found:
            if _labelled(walk, found[role], known):
                setattr(layout, role, found[role])
            else:
                count = count_images(found[role])
                images = f"{counted_images(count)} without classes" if count else "no images"
                layout.notes.append(f"the folder {layout.name(found[role])} has {images} and is skipped")
    if layout.test is None:
        layout.test, layout.validation = layout.validation, None
    return layout


def _refuse_annotated(walk: Walk, folder: Path) -> None:
    """A ReskerasError where text files with boxes stand beside the images: they would be taken for a class."""
    inside = {child.name.casefold(): child for child in walk.children(folder).folders}
    if not {"images", "labels"} <= inside.keys():
        return
    labels = walk.files(inside["labels"])
    if labels and not any(map(is_image, labels)):
        raise ReskerasError(
            f"data: {folder} has images and boxes in YOLO format, not one folder per class; "
            f"a detector reads them as yolo:{walk.root}"
        )


def _look_inside(walk: Walk, layout: Layout) -> None:
    """Note what classes are made of where they have folders inside; a ReskerasError where these are splits."""
    inside = [
        child
        for each in walk.children(layout.top).folders
        for child in walk.children(each).folders
        if walk.files(child)
    ]
    roles = {found_role[0] for child in inside if (found_role := role_of(child.name)) and not found_role[1]}
    if "train" in roles and len(roles) > 1:
        shown = listed(layout.name(child) for child in inside)
        raise ReskerasError(
            f"data: {layout.top} has splits inside its classes, {shown}; put the classes inside the splits, "
            f"such as {inside[0].name}/{inside[0].parent.name}"
        )
    if inside:
        layout.notes.append(
            f"images in sub-folders of a class belong to that class: {listed(layout.name(child) for child in inside)}"
        )


def in_words(split: str) -> str:
    """A split's name as messages have it before "images": `training` for `train`."""
    return WORDS.get(split, split)


def folded(name: str) -> str:
    """A class' name as it is compared and kept: in Unicode's composed form (NFC), whichever a file system gives."""
    return unicodedata.normalize("NFC", name)


def role_of(name: str) -> tuple[str, tuple[str, ...]] | None:
    """The role of a split's folder, and the other words that are not fillers: `seg_train` is train, (seg,)."""
    parts = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", unicodedata.normalize("NFKC", name))
    words = [word.casefold() for word in re.findall(r"[^\W\d_]+", parts)]
    roles = [role for word in words for role, names in ROLES.items() if word in names]
    if len(roles) != 1:
        return None
    return roles[0], tuple(word for word in words if word not in FILLERS and word not in ROLES[roles[0]])


def _innermost(walk: Walk, folder: Path, classes: Collection[str]) -> Path:
    """`folder`, or the one inside that alone holds everything, as unpacked archives have it."""
    while True:
        children = walk.children(folder)
        if len(children.folders) != 1 or children.images or role_of(children.folders[0].name):
            return folder
        [child] = children.folders
        inner = walk.children(child)
        if folded(child.name) in set(map(folded, classes)) or inner.images or not inner.folders:
            return folder
        if len(inner.folders) == 1 and not role_of(inner.folders[0].name):
            return folder
        folder = child


def _chosen(walk: Walk, top: Path, names: list[str]) -> dict[str, str]:
    """The folder of each role; empty where the folders are classes."""
    groups: dict[tuple[str, ...], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for name in names:
        if found_role := role_of(name):
            groups[found_role[1]][found_role[0]].append(name)
    whole = [beside for beside, roles in groups.items() if "train" in roles and len(roles) > 1]
    if () in whole:
        whole = [()]
    if len(whole) > 1:
        sets = [" and ".join(name for each in groups[beside].values() for name in each) for beside in whole[:2]]
        raise ReskerasError(f"data: {top} has several sets, {'; '.join(sets)}; move one of them to its own folder")
    alone = groups.get((), {})
    others = set(names).difference(*alone.values())
    if not whole and (not alone or any(is_image(file) for name in others for file in walk.files(top / name))):
        return {}  # such as vehicles, of which one class is `train`
    roles = groups[whole[0]] if whole else alone
    return {role: _plainest(top, role, found) for role, found in roles.items()}


def _plainest(top: Path, role: str, names: list[str]) -> str:
    """Of several folders of one role the plainest: `train` before `train_images`."""
    lengths = [len(re.findall(r"[^\W\d_]+|\d+", name)) for name in names]
    best = [name for name, length in zip(names, lengths, strict=True) if length == min(lengths)]
    if len(best) > 1:
        raise ReskerasError(f"data: {top} has {' and '.join(best)}, which are both {role} splits; keep one")
    return best[0]


def _repeated(walk: Walk, folder: Path, role: str) -> Path:
    """`folder`, or the one of the same role that is all it holds: seg_train/seg_train."""
    while True:
        children = walk.children(folder)
        if len(children.folders) != 1 or children.images:
            return folder
        found_role = role_of(children.folders[0].name)
        if found_role is None or found_role[0] != role:
            return folder
        folder = children.folders[0]


def _labelled(walk: Walk, folder: Path, known: set[str]) -> bool:
    """Whether the images of a split are sorted into classes: not when they lie loose, nor all in one folder that is
    no class of the training images."""
    below = [child for child in walk.children(folder).folders if walk.files(child)]
    if not known:
        return bool(below)
    return len(below) > 1 or any(folded(child.name) in known for child in below)
