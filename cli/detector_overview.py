"""A readable overview of a detector: its parts stage by stage with their costs, and how anchors fit objects."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from reskeras.networks.built_on import built_name
from reskeras.networks.detector import DetectorSpec
from reskeras.networks.detector_plan import OF_REGIONS, DetectorPlan, lower_detector
from reskeras.plans.complexity import Cost
from reskeras.plans.stages import Line, cost_data, stage_lines
from reskeras.quantities import short, short_bytes

from .output import echo, facts, heading, sentence, shape_text
from .tables import Column, table

if TYPE_CHECKING:
    from reskeras.tasks.detection.object_statistics import AnchorSurvey

POOLS = {"align": "RoIAlign", "max": "RoI pooling"}


@dataclass(frozen=True)
class Part:
    """A stage of a detector: the part it belongs to, its line, and how often it is computed per image in testing and in
    training."""

    name: str
    line: Line
    times: float
    training: float

    def data(self) -> dict[str, Any]:
        """For JSON."""
        return {"part": self.name, **self.line.data(1), "times": self.times, "times_training": self.training}


@dataclass(frozen=True)
class DetectorOverview:
    """Everything `detect show` prints of a detector before it is built."""

    spec: DetectorSpec

    @cached_property
    def plan(self) -> DetectorPlan:
        """The detector's plans."""
        return lower_detector(self.spec)

    @property
    def name(self) -> str:
        """The detector's name."""
        return built_name(self.spec)

    def parts(self) -> list[Part]:
        """The stages, in order of computation."""
        training = self.plan.times(self.plan.spec.regions.sample)
        return [
            Part(name, line, times, training[name])
            for name, (complexity, times) in self.plan.costs().items()
            for line in stage_lines(self.plan.parts[name], complexity)
        ]

    def total(self) -> Cost:
        """Parameters and statistics of the whole detector, multiply-adds per image in testing, activations per image in
        training."""
        return sum(
            (
                Cost(
                    part.line.cost.parameters,
                    part.line.cost.statistics,
                    round(part.line.cost.multiply_adds * part.times),
                    round(part.line.cost.activations * part.training),
                )
                for part in self.parts()
            ),
            Cost(),
        )

    def echo(self) -> None:
        """Print the overview."""
        heading(self.name)
        sentence(self.spec.backbone.describe())
        echo()
        facts(self._facts())
        echo()
        right = {"right": True}
        columns = [
            Column("stage"),
            Column("output"),
            Column("operations"),
            Column("parameters", **right),
            Column("multiply-adds", **right),
            Column("times per image", **right),
        ]
        table(
            columns,
            [
                [
                    part.line.name,
                    shape_text(part.line.shape),
                    part.line.words,
                    short(part.line.cost.parameters),
                    short(part.line.cost.multiply_adds),
                    f"{part.times:,.4g}" if part.times < 1000 else f"{part.times:,.0f}",
                ]
                for part in self.parts()
            ],
        )
        echo()
        facts(self._totals())

    def _facts(self) -> list[tuple[str, str, str]]:
        plan, spec = self.plan, self.plan.spec
        regions, proposals = spec.regions, spec.proposals
        points = f", {regions.points}x{regions.points} points per cell" if regions.pool == "align" else ""
        context = ", with the whole image's features" if regions.context else ""
        return [
            _canvas_fact(plan),
            self._maps(),
            (
                "anchors",
                f"{plan.anchors} per cell",
                f"sizes {_numbers(spec.anchors.sizes)} x ratios "
                f"{_numbers(spec.anchors.ratios)}; {plan.all_anchors:,} in total",
            ),
            ("proposals", f"{proposals.testing:,}", f"best boxes per image; {proposals.training:,} in training"),
            (
                "regions",
                f"{regions.size}x{regions.size}",
                f"cells by {POOLS[regions.pool]}{points}{context}; {regions.sample} regions per image in training",
            ),
            (
                "classes",
                f"{spec.classes:,}",
                "plus background" + ("" if self.spec.classes else "; in training, those of the data"),
            ),
        ]

    def _maps(self) -> tuple[str, str, str]:
        """The maps that the heads run on."""
        plan, spec = self.plan, self.plan.spec
        if spec.neck is None:
            told = f"feature map of {shape_text(plan.map_shape)} with stride {plan.stride:g}, computed once per image"
            return "shared", spec.shared or "", told
        levels = plan.levels()
        strides = ", ".join(f"{level.stride:g}" for level in levels)
        last = "the last" if spec.neck.extra == 1 else f"the last {spec.neck.extra}"
        extra = f", {last} for proposals alone" if spec.neck.extra else ""
        return "neck", spec.neck.kind, f"maps of {spec.neck.width} channels at strides {strides}{extra}"

    def _totals(self) -> list[tuple[str, str, str]]:
        total, regions = self.total(), self.plan.spec.regions.sample
        of_regions = sum(part.line.cost.multiply_adds * part.times for part in self.parts() if part.name in OF_REGIONS)
        return [
            ("parameters", f"{total.parameters:,}", ""),
            ("statistics", f"{total.statistics:,}", "moving means and variances"),
            (
                "multiply-adds",
                short(total.multiply_adds),
                f"per image, {of_regions / total.multiply_adds:.0%} of them for its regions",
            ),
            (
                "memory",
                short_bytes(total.activation_bytes(1)),
                f"float32 activations for the backward pass, one image and its {regions} regions",
            ),
        ]

    def data(self) -> dict[str, Any]:
        """For JSON."""
        plan = self.plan
        return {
            "name": self.name,
            "understood": self.spec.backbone.describe(),
            "detector": self.spec.sparse(),
            "canvas": list(plan.input_shape),
            "canvases": [list(each) for each in plan.canvases],
            "map": list(plan.map_shape),
            "stride": plan.stride,
            "maps": [
                {"stride": level.stride, "shape": list(level.shape), "sizes": list(level.sizes), "pooled": level.pooled}
                for level in plan.levels()
            ],
            "anchors": {
                "sizes": list(plan.spec.anchors.sizes or ()),
                "ratios": list(plan.spec.anchors.ratios),
                "count": plan.all_anchors,
            },
            "stages": [part.data() for part in self.parts()],
            "total": cost_data(self.total(), 1),
        }


def echo_anchors(found: AnchorSurvey, data: str) -> None:
    """Print how well anchors fit the objects of each class."""
    heading(f"training objects of {data}", f"their sides on {found.where}, and the IoU with their best anchors")
    covers = {**found.classes, **({"all": found.every} if len(found.classes) > 1 else {})}
    columns = [
        Column("class"),
        *(Column(title, right=True) for title in ("objects", "side, quartiles", "IoU 0.5 or more", "0.7 or more")),
    ]
    table(
        columns,
        [
            [name, f"{cover.objects:,}", _numbers(map(round, cover.sides)), *(f"{share:.1%}" for share in cover.shares)]
            for name, cover in covers.items()
        ],
    )


def _canvas_fact(plan: DetectorPlan) -> tuple[str, str, str]:
    resize = plan.spec.resize
    if resize is None:
        return "canvas", shape_text(plan.input_shape), "images are scaled to fit it"
    shorter, longer = resize.sides
    every = f"the largest of {', '.join(map(shape_text, plan.canvases))}; " if len(plan.canvases) > 1 else ""
    if resize.multiple:
        every = f"the largest of {len(plan.canvases)}, whose sides are multiples of {resize.multiple}; "
    how = f"images have a shorter side of {shorter} and a longer one of at most {longer}"
    return "canvas", shape_text(plan.input_shape), f"{every}{how}"


def _numbers(values: Any) -> str:
    return ", ".join(f"{value:g}" for value in values)
