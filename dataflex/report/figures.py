"""Figures inside the page: matplotlib's SVG with ids of its own, in the page's colours, with words."""

from __future__ import annotations

import re
from dataclasses import dataclass
from xml.etree import ElementTree

from markupsafe import Markup

IDS = re.compile(r"url\(#([^)]+)\)")
LONG = re.compile(r"-?\d+\.\d{3,}")
COLOURS = {
    "#000000": "currentColor",
    "#ffffff": "var(--page)",
    "#dddddd": "var(--rule)",
    "#eeeeee": "var(--band)",
    "#cccccc": "var(--rule)",
}
"""What the page decides about in light and dark: ink, paper, grid."""
PAINT = re.compile(r"(fill|stroke): (#[0-9a-f]{6})")
PIXELS = 96 / 72
"""A CSS pixel is 1/96 of an inch, a point 1/72."""


@dataclass(frozen=True)
class InlineFigure:
    """A figure as the page shows it: caption, description, and the SVG."""

    caption: str
    description: str
    svg: Markup


def inline(svg: str, prefix: str, caption: str, description: str) -> InlineFigure:
    """Turn an SVG document into an element of the page.

    Args:
        svg: as matplotlib writes it.
        prefix: begins every id, so that several figures can stand on one page.
        caption: what is shown.
        description: how.
    """
    source = ElementTree.fromstring(svg)
    root = ElementTree.Element("svg")
    _copy(source, root, prefix)
    root.attrib |= {
        "viewBox": source.attrib["viewBox"],
        "width": f"{float(source.attrib['width'].removesuffix('pt')) * PIXELS:.0f}",
        "class": "figure",
        "fill": "currentColor",
        "stroke-linejoin": "round",
        "stroke-linecap": "butt",
        "role": "img",
        "aria-labelledby": f"{prefix}title {prefix}desc",
    }
    for key in ("height", "version", "id"):
        root.attrib.pop(key, None)
    for place, (tag, text) in enumerate((("title", caption), ("desc", description))):
        element = ElementTree.Element(tag, {"id": f"{prefix}{tag}"})
        element.text = text
        root.insert(place, element)
    text = ElementTree.tostring(root, encoding="unicode", short_empty_elements=True)
    return InlineFigure(caption, description, Markup(text))


def _copy(source: ElementTree.Element, target: ElementTree.Element, prefix: str) -> None:
    """Copy attributes and children without namespaces, metadata and the style that would hold for all."""
    for name, value in source.attrib.items():
        key = name.rpartition("}")[2]
        target.set(key, _attribute(key, value, prefix))
    for child in source:
        tag = str(child.tag).rpartition("}")[2]
        if tag in ("metadata", "style"):
            continue
        _copy(child, ElementTree.SubElement(target, tag), prefix)


def _attribute(key: str, value: str, prefix: str) -> str:
    if key == "id":
        return prefix + value
    if key == "href":
        return f"#{prefix}{value.removeprefix('#')}"
    if key in ("d", "x", "y"):
        return " ".join(LONG.sub(lambda found: f"{float(found[0]):.2f}", value).split())
    value = IDS.sub(lambda found: f"url(#{prefix}{found[1]})", value)
    if key == "style":
        return PAINT.sub(lambda found: f"{found[1]}: {COLOURS.get(found[2], found[2])}", value)
    return value
