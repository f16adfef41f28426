"""How lines are told apart: one colour a network, markers where colours or runs repeat, dashes by panel."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

# 3.7:1 or more against white; CIEDE2000 of any two at least 10, also in deuteranopia, protanopia and tritanopia
COLOURS = ("#0072b2", "#d55e00", "#5a1150", "#14966f", "#76767e", "#8a3000", "#3b1fc4", "#222222")
MARKERS = ("", "o", "s", "^")
DASHES: tuple[Any, ...] = ("-", (0, (4, 1.6)), (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)))

Panels = Mapping[str, tuple[str, str]]  # every network to its panel and its label there; equal labels share a colour


def line_style(place: int) -> dict[str, Any]:
    """Colour and marker of line number `place`: cycles through the colours first, then through the markers."""
    return {"color": COLOURS[place % len(COLOURS)], "marker": MARKERS[place // len(COLOURS) % len(MARKERS)]}


def labelled(name: str) -> str:
    """`name` as a legend label: matplotlib omits labels that begin with an underscore."""
    return f" {name}" if name.startswith("_") else name


def line_styles(
    names: Iterable[str], networks: Mapping[str, str] | None = None, panels: Panels | None = None
) -> dict[str, dict[str, Any]]:
    """Colour, marker, dashes and label of a line for each of `names`.

    Runs of one of `networks` (name to network) share its colour and differ in their markers; if there are more runs
    than markers, they are a bundle of lines with one label. Networks with the same label in different `panels` share a
    colour too and differ in their dashes, which go by panel.
    """
    names = list(names)
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault((networks or {}).get(name, name), []).append(name)
    colours = list(
        dict.fromkeys(label for _, label in (panels or {network: ("", network) for network in groups}).values())
    )
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
