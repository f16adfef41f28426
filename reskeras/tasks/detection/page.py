"""The report page of detectors: precision, losses, proposals, mistakes, pictures, networks, provenance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from reskeras.data.source import Source
from reskeras.networks.catalog import name_of
from reskeras.networks.detector_plan import DetectorPlan
from reskeras.recipes.recipe import Recipe
from reskeras.report.curves import draw_losses, losses_in_words
from reskeras.report.exports import exports_of
from reskeras.report.plots import networks_by_plan, networks_of
from reskeras.report.provenance import provenance_of, trained_on
from reskeras.report.sections import Page, Plot, Section, Table, plot
from reskeras.tasks.detection.augmented import batches
from reskeras.tasks.detection.by_map import by_map_in_words, draw_by_map
from reskeras.tasks.detection.detection_evaluation import DetectionEvaluation
from reskeras.tasks.detection.feed import DetectionFeed
from reskeras.tasks.detection.gains_plot import draw_gains, gains_in_words
from reskeras.tasks.detection.job import DetectorSubject
from reskeras.tasks.detection.mistakes import SURE, WORDS
from reskeras.tasks.detection.mistakes_page import confusions, ranked
from reskeras.tasks.detection.model import LOSSES
from reskeras.tasks.detection.objects import Objects
from reskeras.tasks.detection.pictures import Pictures
from reskeras.tasks.detection.precision_plot import draw_precision, precision_in_words
from reskeras.tasks.run import Material, seeds_of
from reskeras.training.strategy import open_replicas

MEANING = "description"
PARTS = {
    "shared": "what an image goes through once: the network up to the map, or the maps, of its regions",
    "rpn": "features of the proposal network, from each map",
    "objectness": "whether an anchor contains an object",
    "anchor_deltas": "offsets from an anchor to a proposal",
    "regions": "what each region's part of a map goes through",
    "logits": "a region's class",
    "box_deltas": "offsets from a proposal to a box, per class",
}


def page_of_detectors(runs: Sequence[Material]) -> Page:
    """One page for one detector's run or several."""
    one = len(runs) == 1
    title = runs[0].name if one else f"{len(runs)} detectors: {', '.join(run.name for run in runs)}"
    judged = {run.name: run.evaluation for run in runs if run.evaluation}
    known = {run.name: run.metrics for run in runs if run.metrics}
    networks = networks_by_plan({run.name: run.plan for run in runs})
    sections: list[Section] = [_summary(runs)]
    sections += _precision(judged, one) if judged else []
    if known:
        sections.append(
            plot(
                "Losses",
                draw_losses(known, LOSSES, networks, seeds_of(runs)),
                losses_in_words(known),
                "By epoch. Classes of regions and anchors have a cross-entropy loss, their boxes a smooth L1 loss.",
            )
        )
    sections += batches(runs, _feed)
    if judged:
        sections += [_proposals(runs, one), *_maps(judged, one), *_limits(judged, networks), *confusions(judged, one)]
    for run in runs:
        if run.evaluation and run.test:
            pictures = Pictures(run.test, run.evaluation, run.classes, "" if one else f", {run.name}")
            sections += [*ranked(pictures), *pictures.galleries()]
    sections += _parts(runs)
    sections += _backbones(runs)
    sections += exports_of({run.name: run.proofs for run in runs})
    sections += [provenance_of(run.provenance, run.path, "" if one else f", {run.name}") for run in runs]
    return Page(title, trained_on(run.provenance for run in runs), sections)


def _feed(run: Material, source: Source[Objects], recipe: Recipe) -> DetectionFeed:
    return DetectorSubject(run.plan, run.name, source, run.preprocessing).feed(recipe, open_replicas("one"))


def _summary(runs: Sequence[Material]) -> Table:
    columns = ["run", "mAP at 0.5", "11-point mAP", "COCO mAP", "images", "backbone", "canvas", "parameters", "epochs"]
    rows = []
    for run in runs:
        found, canvases = run.evaluation, run.plan.canvases
        coco = found.coco.map if found and found.coco else None
        rows.append(
            [
                run.name,
                f"{found.voc.map_area:.2%}" if found else "",
                f"{found.voc.map_eleven:.2%}" if found else "",
                _share(coco),
                f"{found.images:,}" if found else "",
                name_of(run.plan.spec.backbone),
                ", ".join(f"{height}x{width}" for height, width in canvases),
                f"{run.plan.parameters:,}",
                str(len(run.metrics)),
            ]
        )
    notes = [f"{run.name}: no precision ({run.missing})" for run in runs if run.missing]
    caption = (
        "Mean average precision of the best model on the test images, in float32: the area under the curve at "
        "an IoU of 0.5, the same by VOC's 11-point interpolation, and COCO's mean over IoUs of 0.5 to 0.95."
    )
    return Table("Summary", columns, rows, caption, notes)


def _precision(judged: Mapping[str, DetectionEvaluation], one: bool) -> Iterator[Section]:
    """Average precision by class, and a precision-recall plot for each run."""
    columns = ["class", *([] if one else ["run"]), "objects", "found", "AP at 0.5", "11-point AP", "COCO AP"]
    rows = []
    for name, found in judged.items():
        coco = {each.name: each.map for each in found.coco.by_class} if found.coco else {}
        for each in found.voc.classes:
            recall = each.recall[-1] if len(each.recall) else 0.0
            shares = [recall, each.area, each.eleven, coco.get(each.name)]
            rows.append(
                [
                    each.name,
                    *([] if one else [name]),
                    f"{each.objects:,}",
                    *(_share(share if each.objects else None) for share in shares),
                ]
            )
    yield Table(
        "Precision by class",
        columns,
        _together(rows),
        "Found: the share of the objects found by any detection, whatever its probability.",
    )
    for name, found in judged.items():
        yield plot(
            f"Precision and recall{'' if one else f', {name}'}",
            draw_precision(found.voc),
            precision_in_words(found.voc),
        )


def _proposals(runs: Sequence[Material], one: bool) -> Table:
    rows, notes = [], []
    for run in runs:
        if run.evaluation is None:
            continue
        rows += [
            [f"{count:,}", *([] if one else [run.name]), f"{recall.share:.2%}", f"{recall.average:.2%}"]
            for count, recall in run.evaluation.recall.items()
        ]
        notes.append(f"{'The detector' if one else run.name} uses {run.plan.spec.proposals.testing:,} of them.")
    caption = (
        "The share of the objects covered by that many of the best proposals of their image, whatever their class."
    )
    columns = ["proposals", *([] if one else ["run"]), "recall at 0.5", "mean over 0.5 to 0.95"]
    return Table("Recall of the proposals", columns, _together(rows), caption, notes)


def _maps(judged: Mapping[str, DetectionEvaluation], one: bool) -> Iterator[Plot]:
    """For each detector with a pyramid, which of its maps proposes which objects."""
    for name, each in judged.items():
        if each.by_map:
            yield plot(
                f"Objects by map{'' if one else f', {name}'}",
                draw_by_map(each.by_map),
                by_map_in_words(each.by_map),
                f"The map of the pyramid whose proposal covers an object best, at an IoU of {each.by_map.overlap:g} or "
                f"more, among the {each.classified:,} proposals that are classified.",
            )


def _limits(judged: Mapping[str, DetectionEvaluation], networks: Mapping[str, str]) -> Iterator[Section]:
    """Kinds of mistakes as a plot and a table; `networks` are those of all runs on the page."""
    one = len(networks) == 1
    found = {name: each.mistakes for name, each in judged.items()}
    yield plot(
        "Gain by kind of mistake",
        draw_gains(found, networks),
        gains_in_words(found),
        "Each kind of mistake fixed alone (after TIDE, arXiv:2008.08115); the gains do not add up.",
    )
    columns = ["mistake", *([] if one else ["run"]), "count", "confident", "mAP if fixed", "gain", MEANING]
    rows = [
        [
            each.name,
            *([] if one else [name]),
            f"{each.count:,}",
            "" if each.sure is None else f"{each.sure:,}",
            f"{each.mended:.2%}",
            f"{each.mended - mistakes.map_area:+.2%}",
            WORDS[each.name],
        ]
        for name, mistakes in found.items()
        for each in mistakes.table
    ]
    notes = [
        f"{'' if one else f'{name}: '}{mistakes.table[-1].count:,} missed objects, {mistakes.missed_unproposed:,} "
        "of them not covered by any proposal."
        for name, mistakes in found.items()
        if mistakes.missed_unproposed is not None
    ]
    caption = (
        f"Confident: detections with a probability of {SURE:g} or more. Fixed: a confused detection gets the "
        "right class, a badly placed one the right box, others are removed; missed objects are ignored."
    )
    yield Table("Mistakes", columns, _together(rows), caption, notes, [MEANING])


def _together(rows: list[list[str]]) -> list[list[str]]:
    """Rows of several runs, grouped by their first cell."""
    order = list(dict.fromkeys(row[0] for row in rows))
    return sorted(rows, key=lambda row: order.index(row[0]))


def _parts(runs: Sequence[Material]) -> Iterator[Table]:
    """The parts of each detector, equal ones once."""
    described: list[DetectorPlan] = []
    for run in runs:
        if run.plan not in described:
            described.append(run.plan)
            yield parts_table(run.plan, "" if len(runs) == 1 else f", {run.name}")


def _of_neck(name: str) -> str:
    """What a convolution of a pyramid is for."""
    kind = name.rstrip("0123456789")
    what = {"lateral": "takes the backbone's map into the pyramid", "smooth": "smooths the pyramid's map"}[kind]
    return f"{what}, of stride {name.removeprefix(kind)}"


def _use(runs: Sequence[Material]) -> str:
    """How the detectors compute their backbones."""
    specs = [run.plan.spec for run in runs]
    ends = " or ".join(dict.fromkeys(str(spec.shared) for spec in specs if not spec.neck))
    said = [f"a detector computes it up to {ends} once per image, and the rest, without the logits, once per region"]
    said = said if ends else []
    if any(spec.neck for spec in specs):
        said.append(f"one with a neck computes {'all of it' if ends else 'it'} once per image, without the head")
    return "; ".join(said)


def parts_table(plan: DetectorPlan, of: str = "") -> Table:
    """The parts of a detector and what they cost."""
    total, rows = plan.multiply_adds, []
    for name, (cost, often) in plan.costs().items():
        shape = "x".join(map(str, plan.parts[name].output_shape))
        spent = cost.multiply_adds * often
        rows.append(
            [
                name,
                shape,
                f"{cost.parameters:,}",
                f"{cost.multiply_adds:,}",
                f"{often:,.4g}" if often < 1000 else f"{often:,.0f}",
                f"{spent / total:.1%}",
                PARTS.get(name) or _of_neck(name),
            ]
        )
    spec = plan.spec
    anchors, regions = spec.anchors, spec.regions
    sizes, ratios = (
        ", ".join(f"{number:g}" for number in numbers or ()) for numbers in (anchors.sizes, anchors.ratios)
    )
    pooling = "RoIAlign" if regions.pool == "align" else "RoI pooling"
    context = ", each with the whole image as context" if regions.context else ""
    notes = [
        f"{plan.anchors} anchors at each position of {'the maps' if spec.neck else 'the shared map'}: sides of "
        f"{sizes} pixels on the canvas, height/width ratios of {ratios}.",
        f"Regions are {regions.size}x{regions.size} cells by {pooling}{context}.",
    ]
    columns = ["part", "output", "parameters", "multiply-adds", "times", "share", MEANING]
    caption = f"{plan.parameters:,} parameters and {total:,} multiply-adds per image with all its regions."
    return Table(f"Parts{of}", columns, rows, caption, notes, [MEANING])


def _backbones(runs: Sequence[Material]) -> Iterator[Plot]:
    """The backbones of the detectors, equal ones once."""
    names = [name_of(run.plan.spec.backbone) for run in runs]
    plans = {
        name if names.count(name) == 1 else f"{name} of {run.name}": run.plan.network
        for name, run in zip(names, runs, strict=True)
    }
    return networks_of(plans, "Backbone", f"These are figures as a classifier: {_use(runs)}.")


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.2%}"
