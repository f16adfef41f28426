"""The one style of all plots: sizes, fonts, colours; and how lines are told apart: one colour a network, markers where
colours or runs repeat, dashes by panel."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import Any, ParamSpec, TypeVar

WIDTH, HEIGHT = 7.2, 4.2  # inches; 1,008 pixels wide; without legends below
# points: of labels and of ticks; 9.8 and 9 pixels where a figure of WIDTH is shown 390 pixels wide, as on a phone
SIZE, SMALL, TITLE = 13, 12, 14
CHARACTER = 0.56  # width of a usual character, as a share of the font's size
LINE = 1.8  # points
# 3.7:1 or more against white; CIEDE2000 of any two at least 10, also in deuteranopia, protanopia and tritanopia
COLOURS = ("#0072b2", "#d55e00", "#5a1150", "#14966f", "#76767e", "#8a3000", "#3b1fc4", "#222222")
# Okabe and Ito's palette, for boxes on photographs; ordered so that neighbours are far apart
BRIGHT = ("#d55e00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#cc79a7", "#e69f00")
PAPER, BLACK = "#ffffff", "#000000"
INK, QUIET, FAINT = "#222222", "#5c5c5c", "#bbbbbb"  # of texts the first two
GREY = "#444444"  # of what stands for lines of any colour
# of diagrams: lines, those between columns, and bands of stages with their convolutions
LINES, PALE_LINES = "#333333", "#888888"
STAGES = (
    ("#eaf1fb", "#b5cff2"),
    ("#eaf6ea", "#b4deb4"),
    ("#fdf1e3", "#f8cd96"),
    ("#f6ebf8", "#dfb8e6"),
    ("#fbebeb", "#f2b6b6"),
    ("#e8f6f6", "#aadcdc"),
)
NO_STAGE = ("#f4f4f4", "#d6d6d6")
MARKERS = ("", "o", "s", "^")
HATCHES = ("", "///", "...", "xxx")  # of bars, where lines have markers
DASHES: tuple[Any, ...] = ("-", (0, (4, 1.6)), (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)))
DOTTED: dict[str, Any] = {"linestyle": (0, (1, 1.6)), "linewidth": 1.3, "alpha": 0.8}  # a reference
MARK: dict[str, Any] = {  # a published figure
    "marker": "D",
    "markersize": 7.0,
    "markerfacecolor": "none",
    "markeredgewidth": 1.5,
    "linestyle": "none",
}
BAND: dict[str, Any] = {"alpha": 0.2, "linewidth": 0}  # seeds
DEVIATION = "± standard deviation"
FACTOR = "× or ÷ geometric standard deviation"  # on a logarithmic axis

# matplotlib's settings; what is not here is its default, whatever the user's matplotlibrc says
STYLE: dict[str, Any] = {
    "figure.figsize": (WIDTH, HEIGHT),
    "figure.dpi": 140,
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "text.color": INK,
    "axes.labelcolor": INK,
    "font.family": ["DejaVu Sans"],
    "font.size": SIZE,
    "axes.labelsize": SIZE,
    "axes.titlesize": TITLE,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "figure.titlesize": TITLE,
    "figure.titleweight": "bold",
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#b0b0b0",
    "grid.alpha": 0.25,
    "grid.linewidth": 0.7,
    "lines.linewidth": LINE,
    "hatch.linewidth": 0.7,
    "figure.constrained_layout.h_pad": 0.08,
    "text.parse_math": False,
    "text.usetex": False,
    "svg.fonttype": "path",
    "svg.hashsalt": "reskeras",  # makes files reproducible
}
# of the process, not of a plot
NO_STYLE = (
    "backend",
    "interactive",
    "toolbar",
    "timezone",
    "webagg.",
    "tk.",
    "macosx.",
    "date.epoch",
    "savefig.directory",
)

Panels = Mapping[str, tuple[str, str]]  # every network to its panel and its label there; equal labels share a colour
Given = ParamSpec("Given")
Made = TypeVar("Made")


def plot_style() -> Any:
    """A context in which matplotlib draws in STYLE."""
    import matplotlib

    settings: dict[Any, Any] = dict(matplotlib.rcParamsDefault) | STYLE
    return matplotlib.rc_context({key: value for key, value in settings.items() if not key.startswith(NO_STYLE)})


def styled(draw: Callable[Given, Made]) -> Callable[Given, Made]:
    """`draw`, which makes a figure, in STYLE."""

    @wraps(draw)
    def in_style(*arguments: Given.args, **keywords: Given.kwargs) -> Made:
        with plot_style():
            return draw(*arguments, **keywords)

    return in_style


def line_style(place: int) -> dict[str, Any]:
    """Colour and marker of line number `place`: cycles through the colours first, then through the markers."""
    return {"color": COLOURS[place % len(COLOURS)], "marker": MARKERS[place // len(COLOURS) % len(MARKERS)]}


def labelled(name: str) -> str:
    """`name` as a legend label: matplotlib omits labels that begin with an underscore."""
    return f" {name}" if name.startswith("_") else name


def grouped(names: Iterable[str], seeds: Mapping[str, str] | None) -> dict[str, list[str]]:
    """The runs of each line: those that `seeds` gives its name, or the one of its name."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault((seeds or {}).get(name, name), []).append(name)
    return groups


def line_styles(
    names: Iterable[str], networks: Mapping[str, str] | None = None, panels: Panels | None = None
) -> dict[str, dict[str, Any]]:
    """Colour, marker, dashes and label of a line for each of `names`.

    Runs of one of `networks` (name to network) share its colour and differ in their markers; if there are more runs
    than markers, they are a bundle of lines with one label. The colours go by `networks`, so that a network has the
    same in all plots of a page, whichever of its runs are in one. Networks with the same label in different `panels`
    share a colour too and differ in their dashes, which go by panel.
    """
    names, networks = list(names), networks or {}
    groups = grouped(names, networks)
    labels = (label for _, label in panels.values()) if panels else (*networks.values(), *groups)
    colours = list(dict.fromkeys(labels))
    titles = list(dict.fromkeys(title for title, _ in (panels or {}).values()))
    styles: dict[str, dict[str, Any]] = {}
    for network, runs in groups.items():
        title, label = panels[network] if panels else ("", network)
        first = line_style(colours.index(label))
        dashes = DASHES[titles.index(title) % len(DASHES)] if panels else DASHES[0]
        for turn, name in enumerate(runs):
            style = {**first, "linestyle": dashes, "label": labelled(name)}
            if len(runs) > len(MARKERS):
                style |= {"alpha": 0.55, "label": labelled(f"{network}, {len(runs)} runs") if turn == 0 else "_"}
            elif turn:
                style["marker"] = MARKERS[(MARKERS.index(first["marker"]) + turn) % len(MARKERS)]
            styles[name] = style
    return {name: styles[name] for name in names}


def bar_style(line: Mapping[str, Any]) -> dict[str, Any]:
    """Of bars what `line_styles` says of lines: markers are hatches."""
    return {
        "color": line["color"],
        "label": line["label"],
        "hatch": HATCHES[MARKERS.index(line["marker"])],
        "edgecolor": PAPER,
    }
