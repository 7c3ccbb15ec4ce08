"""A panel as SVG inside a page: matplotlib's, made small and made to follow the page's colours and font.

matplotlib's backend and not code of our own, so that there is one drawing of each figure: the PNG file and the page cannot disagree. As
it comes, its SVG has fixed colours (unreadable on a dark page), a font of its own, a style sheet that would hold for the whole page, and
identifiers that are the same in each figure. Cleaned, a learning curve has 5 kB instead of 14, and 500 points 20 instead of 89.
"""

import io
import re
import warnings
from xml.etree import ElementTree

import matplotlib
from matplotlib.figure import Figure

from deep_cnn.reporting.plots.panel import Panel
from deep_cnn.reporting.plots.style import BLUE, DPI, GREEN, GREY, ORANGE

THEME = {
    BLUE: "var(--blue)",
    ORANGE: "var(--orange)",
    GREEN: "var(--green)",
    GREY: "var(--soft)",
    "#000000": "var(--ink)",
    "#ffffff": "var(--ground)",
    "#b0b0b0": "var(--soft)",  # matplotlib's colour of a grid, and
    "#cccccc": "var(--line)",  # of the frame of a legend
}
_THEME = {colour.lower(): variable for colour, variable in THEME.items()}
_LINK = "{http://www.w3.org/1999/xlink}href"
_LENGTHS = {"d", "x", "y", "width", "height", "transform", "points"}


def as_svg(panel: Panel, key: str) -> str:
    """The panel as an <svg> element, without its title.

    Args:
        key: unlike that of every other figure of the page; identifiers begin with it.
    """
    figure, text = Figure(figsize=(panel.width, panel.height), dpi=DPI, layout="constrained"), io.StringIO()
    panel.draw(figure.add_subplot())
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": key}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # the browser has it
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    root = ElementTree.fromstring(text.getvalue())
    _clean(root, key)
    box = root.attrib.pop("viewBox")
    width, height = (round(float(side) * 4 / 3) for side in box.split()[2:])  # of points at 72 an inch, pixels at 96
    root.attrib.clear()
    root.attrib |= {"viewBox": box, "width": f"{width}", "height": f"{height}", "role": "img", "aria-label": panel.alt}
    return ElementTree.tostring(root, encoding="unicode")


def _clean(root: ElementTree.Element, key: str) -> None:
    used = {found for element in root.iter() for found in re.findall(r"#([\w-]+)", " ".join(element.attrib.values()))}
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        attributes = {_name(name): value for name, value in element.attrib.items()}
        if attributes.get("id") not in used:
            attributes.pop("id", None)
        decimals = 2 if "id" in attributes else 1  # a marker is drawn a thousand times, and is small
        attributes = {name: _value(name, value, key, decimals) for name, value in attributes.items()}
        element.attrib = {name: value for name, value in attributes.items() if value}
    _prune(root)


def _name(name: str) -> str:
    return "href" if name == _LINK else name


def _value(name: str, value: str, key: str, decimals: int) -> str:
    if name == "id":
        return f"{key}-{value}"
    if name == "style":
        return _style(value)
    if name in _LENGTHS:
        short = _short(value, decimals)
        return "" if short.startswith(("rotate(0 ", "rotate(-0 ")) else short
    return value.replace("#", f"#{key}-")


def _short(value: str, decimals: int) -> str:
    """Numbers with as many decimals as can be seen, and no line breaks."""
    rounded = re.sub(r"-?\d+\.\d+", lambda found: f"{round(float(found[0]), decimals) + 0:g}", value)
    return re.sub(r"\s+", " ", rounded).strip()


def _style(value: str) -> str:
    """Without the font, in the page's colours."""
    rules = [rule.strip() for rule in value.split(";") if rule.strip() and "font-family" not in rule]
    return "; ".join(re.sub(r"#[0-9a-f]{6}", lambda found: _THEME.get(found[0], found[0]), rule) for rule in rules)


def _prune(element: ElementTree.Element) -> None:
    """Remove what is not seen, groups that group nothing, and white space; what all children share moves to the parent."""
    kept: list[ElementTree.Element] = []
    for child in element:
        child.tail = None
        if child.tag in ("metadata", "style") or child.attrib.get("style") == "fill: none":
            continue
        _prune(child)
        if child.tag in ("g", "defs") and not len(child):
            continue
        kept += list(child) if child.tag == "g" and not child.attrib else [child]
    if element.tag not in ("text", "tspan"):
        element.text = None
    element[:] = _joined(kept)
    styles = {child.attrib.get("style") for child in element}
    if element.tag == "g" and "style" not in element.attrib and len(styles) == 1 and None not in styles:
        element.attrib["style"] = element[0].attrib["style"]
        for child in element:
            del child.attrib["style"]


def _joined(elements: list[ElementTree.Element]) -> list[ElementTree.Element]:
    """Neighbouring groups that are clipped alike as one: matplotlib has a group for each point."""
    found: list[ElementTree.Element] = []
    for element in elements:
        if found and element.tag == "g" and found[-1].tag == "g" and element.attrib == found[-1].attrib:
            found[-1].extend(element)
        else:
            found.append(element)
    return found
