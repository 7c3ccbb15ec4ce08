"""A panel as SVG: small, in the page's colours and font, and apart from all other figures of the page."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from deep_cnn.reporting.plots.panel import Panel
from deep_cnn.reporting.plots.style import BLUE, short_label
from deep_cnn.reporting.plots.svg import as_svg


def line(ax):
    ax.plot([0, 1, 2], [0.5, 0.25, 0.75], color=BLUE, marker="o", label="training")
    ax.grid(alpha=0.25)
    ax.set_xlabel("epoch")
    ax.legend()


def points(count):
    rng = np.random.default_rng(0)
    x, y = rng.random((2, count))
    return lambda ax: ax.scatter(x, y, s=14, alpha=0.6, color=BLUE, edgecolors="none")


def test_it_is_an_image_with_a_description_and_text_that_can_be_selected():
    svg = ElementTree.fromstring(as_svg(Panel("loss", 'loss by epoch: "a" & <b>', line), "k"))
    assert svg.tag == "svg" and svg.attrib["role"] == "img" and svg.attrib["aria-label"] == 'loss by epoch: "a" & <b>'
    assert (svg.attrib["width"], svg.attrib["height"]) == ("326", "240"), "3.4 x 2.5 inches at 96 pixels an inch"
    texts = ["".join(text.itertext()) for text in svg.iter("text")]
    assert {"epoch", "training", "0.5"} <= set(texts)
    parents = {child: parent for parent in svg.iter() for child in parent}
    for text in svg.iter("text"):
        assert "font-size: 10px" in text.attrib.get("style", "") + parents[text].attrib.get("style", ""), "sizes stay"


def test_its_colours_and_its_font_are_the_pages():
    svg = as_svg(Panel("", "", line), "k")
    assert "var(--blue)" in svg and not re.findall(r"#(?!k-)\w+", svg), "a fixed colour"
    assert "font-family" not in svg and "<style" not in svg and "metadata" not in svg and "ns0:" not in svg


def test_identifiers_begin_with_the_key_and_lead_somewhere():
    first, second = (as_svg(Panel("", "", line), key) for key in ("a0", "b0"))
    for svg, key in ((first, "a0"), (second, "b0")):
        names = re.findall(r' id="([^"]*)"', svg)
        used = re.findall(r'href="#([^"]*)"|url\(#([^)]*)\)', svg)
        assert len(names) == len(set(names)) and all(name.startswith(f"{key}-") for name in names)
        assert {a or b for a, b in used} == set(names)


def test_a_point_is_where_it_was():
    """Rounding and moving styles to groups changes no place by more than what is seen."""

    def draw(ax):
        ax.set(xlim=(0, 1), ylim=(0, 1))
        ax.set_position([0, 0, 1, 1])
        ax.figure.set_layout_engine("none")
        ax.scatter([0.25, 0.5], [0.75, 0.5], color=BLUE, edgecolors="none")

    svg = ElementTree.fromstring(as_svg(Panel("", "", draw, width=1, height=2), "k"))
    places = [(float(use.attrib["x"]), float(use.attrib["y"])) for use in svg.iter("use") if "path" not in use.attrib]
    for expected in ((18.0, 36.0), (36.0, 72.0)):  # points of 1/72 inch, from above
        assert any(place == pytest.approx(expected, abs=0.06) for place in places), places


def test_it_is_small():
    assert len(as_svg(Panel("", "", line), "k")) < 8_000
    assert len(as_svg(Panel("", "", points(500)), "k")) < 30_000


def test_names_that_are_markup_or_formulas_stay_text():
    def draw(ax):
        ax.set_xticks([0], [short_label("<b>$x^2$ & 東京\x00", 40)])

    svg = ElementTree.fromstring(as_svg(Panel("", "", draw), "k"))
    assert "<b>$x^2$ & 東京�" in ["".join(text.itertext()) for text in svg.iter("text")]
