"""The gallery: every kind of picture that reskeras draws, beside the command that draws it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from docs.site.page import Page, block, picture, prose

PATH = "gallery.md"
PICTURES = (".png", ".jpg")  # those that a browser shows in a page; .svg files are the same pictures


@dataclass(frozen=True)
class Drawn:
    """A kind of picture: the command that draws it, what it shows, and pictures below docs/ with their descriptions."""

    title: str
    command: str
    shows: str
    pictures: dict[str, str]


DRAWN = (
    Drawn(
        "A network, unit by unit",
        "reskeras build --depth 152 --preact --plot preact-152.png",
        "Operations, widths and shortcuts of each unit; equal units are drawn once. Also .svg and .pdf.",
        {"preact-152.png": "The units of preact-152 from stem to head"},
    ),
    Drawn(
        "Learning curves of a table's rows",
        "reskeras reproduce v1-figure-6 --scale budget",
        "Error by epoch of every row: test bold, training thin, seeds as a band.",
        {
            "results/v1-figure-6/curves.png": "Error by epoch of plain and residual nets of 20 to 110 layers",
            "results/v1-figure-7/curves.png": "Error by epoch of the five networks that are analysed",
            "results/v2-table-2/curves.png": "Error by epoch of the five activation orders",
            "results/short/v1-figure-6/curves.png": "The same curves after a schedule that is too short",
            "results/short/v1-figure-6/warmup.png": "56 layers with and without warm-up",
        },
    ),
    Drawn(
        "Rows beside published figures",
        "reskeras reproduce v2-table-2 --scale budget",
        "Errors row by row: a dot for each seed, the published figure beside them.",
        {
            "results/v1-figure-6/rows.png": "Test and training errors of plain and residual nets",
            "results/v2-table-2/rows.png": "Test and training errors of the five activation orders",
        },
    ),
    Drawn(
        "Layer responses",
        "reskeras analyse RUN RUN",
        "Standard deviation of each layer's response, in order and sorted (v1 figure 7).",
        {
            "results/v1-figure-7/responses.png": "Responses of plain and residual nets of 20 to 110 layers",
            "results/short/v1-figure-7/responses.png": "Responses after a schedule that is too short",
        },
    ),
    Drawn(
        "Units removed and swapped",
        "reskeras analyse RUN",
        "Test error with one unit removed, and with neighbours swapped.",
        {"results/v1-figure-7/lesions.png": "With one unit removed plain nets fail, residual nets barely notice"},
    ),
    Drawn(
        "The stream",
        "reskeras analyse RUN",
        "How much of each unit's output is its shortcut, and the effective depth that follows.",
        {"results/v1-figure-7/signal.png": "Share of the shortcut in each unit's output"},
    ),
    Drawn(
        "Gradients",
        "reskeras analyse RUN",
        "Gradient norms by unit.",
        {"results/v1-figure-7/gradients.png": "Gradient norms of plain and residual nets"},
    ),
    Drawn(
        "Losses of a detector",
        "reskeras report RUN",
        "The total and its parts by epoch: training thin, test bold.",
        {"results/bccd/losses.png": "Losses of a detector of blood cells over 40 epochs"},
    ),
    Drawn(
        "Precision by recall",
        "reskeras detect evaluate RUN --curves curves.png",
        "A detector's precision by recall, class by class.",
        {"gallery/precision.png": "Precision by recall of blood cells after five epochs: no platelet is found yet"},
    ),
    Drawn(
        "Detections beside annotations",
        "reskeras detect evaluate RUN --pictures detections.png",
        "Test images with what is annotated and what was found.",
        {"results/bccd/detections.jpg": "Blood cells: annotated boxes beside detected ones"},
    ),
    Drawn(
        "Speed beside other libraries",
        "make bench",
        "Training steps of one network in several libraries, measured in turns.",
        {
            "benchmarks/throughput.png": "Images per second of reskeras, Keras and PyTorch",
            "benchmarks/depth.png": "Time to the first step and memory by depth",
        },
    ),
    Drawn(
        "Artefacts of a run",
        "reskeras benchmark RUN",
        "Accuracy, with its 95% interval, against the latency of one image; the larger a marker, the larger the file.",
        {"gallery/exports.png": "Nine artefacts of cifar-resnet-20: integers are the smallest and the fastest"},
    ),
    Drawn(
        "Confusion matrix",
        "reskeras evaluate RUN --confusion confusion.png",
        "True classes by predicted ones.",
        {"gallery/confusion.png": "Ten classes of CIFAR-10: cats are taken for dogs most often, and dogs for cats"},
    ),
    Drawn(
        "Augmented images",
        "reskeras data digits --recipe modern-cifar --input-shape 32x32 --sheet digits.png",
        "Images next to augmented versions, as the recipe makes them in training.",
        {"gallery/augmented.png": "Digits of eight classes, each beside six versions that are shifted"},
    ),
    Drawn(
        "First batch of a detector",
        "reskeras detect show RUN --data SOURCE --recipe RECIPE --batch batch.png",
        "The images of the first training batch with their boxes.",
        {"gallery/batch.jpg": "Nine images of blood cells, most of them mosaics of four, with their boxes"},
    ),
    Drawn(
        "A search",
        "reskeras tune --family cifar --depth 8 --space mine-space.yaml --data digits --trials 10",
        "Every trial's objective by its costs, and by each parameter of the space.",
        {
            "gallery/pareto.png": "Accuracy of ten trials by parameters and by multiply-adds, with the Pareto front",
            "gallery/effects.png": "Accuracy of the same trials by depth, width, skip and learning rate",
        },
    ),
    Drawn(
        "Seeds as a band",
        "reskeras train --family cifar --depth 8 --data digits --seeds 3",
        "Mean learning curves of several seeds.",
        {"gallery/seeds.png": "Training and held-out error on digits by epoch, means of three seeds in bands"},
    ),
    Drawn(
        "Found objects",
        "reskeras detect predict RUN blood.jpg --score 0.5 --out found",
        "Images with the boxes found in them.",
        {"gallery/found.jpg": "Ten red blood cells and a white one, each in a box with its class and score"},
    ),
    Drawn(
        "Places of one object",
        "reskeras localise predict RUN four.png --classes 4 --out found",
        "The best box of a class.",
        {"gallery/place.png": "A four in the box that is likeliest to hold one, after six epochs"},
    ),
)


def pages(root: Path) -> list[Page]:
    """The page of the gallery; a picture below docs/ that is in no entry is an error."""
    shown = [path for drawn in DRAWN for path in drawn.pictures]
    there = {
        path.relative_to(root / "docs").as_posix() for path in (root / "docs").rglob("*") if path.suffix in PICTURES
    }
    if left := there ^ set(shown):
        raise SystemExit(
            f"docs/site/gallery.py: DRAWN and the pictures below docs/ differ in {', '.join(sorted(left))}"
        )
    parts = [
        "# Gallery",
        "The pictures that reskeras draws, each with its command. All are made by matplotlib or Pillow"
        " from the numbers of a run; the same plots stand in the pages of `reskeras report`. A picture leads to"
        " itself in its own size. (Photographs are stored here as JPEG, which is smaller; commands write PNG.)",
    ]
    for drawn in DRAWN:
        parts += [f"## {drawn.title}", prose(drawn.shows), block(drawn.command, "shell")]
        parts += [picture(words, path) for path, words in drawn.pictures.items()]
    return [
        Page(PATH, "Gallery", "\n\n".join(parts), "docs/site/gallery.py", "Pictures drawn by reskeras, with commands.")
    ]
