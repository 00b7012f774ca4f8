"""The drawings, the forms of numbers, and the colours."""

import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from judged import judgements

from dataflex.report import quantities
from dataflex.report.claims import interval_drawing
from dataflex.report.curves import HEIGHT, MARGIN, MOST_POINTS, WIDTH, drawing, thinned
from dataflex.report.figures import inline
from dataflex.report.forest import EDGE, Estimated, forest
from dataflex.report.numerals import parted, wordy
from dataflex.report.standing import standing

MINUS, NONE = "\N{MINUS SIGN}", "\N{EN DASH}"
CSS = (Path(quantities.__file__).parent / "page.css").read_text()


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (quantities.number(-0.0831, 3), f"{MINUS}0.083"),
        (quantities.number(0.7, 2, signed=True), "+0.70"),
        (quantities.number(-0.0004, 2, signed=True), "0.00"),
        (quantities.significant(0.0200000), "0.020"),
        (quantities.significant(0.36247), "0.36"),
        (quantities.significant(7.277), "7.3"),
        (quantities.significant(43.2), "43"),
        (quantities.with_interval(-0.004738, (-0.17786, 0.16838), signed=True), f"0.00 [{MINUS}0.18, +0.17]"),
        (quantities.with_interval(1.7528, (1.6891, 1.8165)), "1.753 [1.689, 1.817]"),
        (quantities.with_interval(2.5, None), "2.50"),
        (quantities.plus_minus(3.4682, (3.4032, 3.5332)), "3.468 ± 0.065"),
        (quantities.plus_minus(3.4682, None), "3.468"),
        (quantities.plural(1, "claim"), "1 claim"),
        (quantities.plural(1600, "claim"), "1,600 claims"),
        (quantities.number(0.0, 2), "0.00"),
        (quantities.number(None), NONE),
        (quantities.number(float("nan")), NONE),
        (quantities.interval((-1.0, 2.0), 1, signed=True), f"[{MINUS}1.0, +2.0]"),
        (quantities.interval(None, 1), NONE),
        (quantities.seconds(59.96), "1 min 00 s"),
        (quantities.seconds(3599.7), "1 h 00 min"),
        (quantities.seconds(12.34), "12.3 s"),
        (quantities.seconds(7260), "2 h 01 min"),
        (quantities.seconds(200_000), "2.3 d"),
        (quantities.seconds(None), NONE),
        (quantities.count(9_143_955), "9\u202f143\u202f955"),
        (quantities.count(6_000_082_944), "6.0 B"),
        (quantities.count(25_000_000), "25.0 M"),
        (quantities.count(None), NONE),
    ],
)
def test_numbers_are_written_so(made, expected):
    assert made == expected


@pytest.mark.parametrize(
    ("value", "margin", "digits"),
    [
        *((45.2, None, 1), (3.562, None, 3), (26.04 - 25.27, None, 2), (4.0, None, 0), (None, None, 2)),
        # The margin's two digits, or one more: 11 points are 11.0 beside a margin of 1.5.
        *((11.0, 1.5, 1), (0.77, 1.5, 2), (-0.02868, 0.02, 4), (-0.0088778, 0.02, 4), (3.562, 0.05, 3)),
    ],
)
def test_decimals_are_those_of_what_was_published(value, margin, digits):
    assert quantities.decimals(value, margin) == digits


@pytest.mark.parametrize(("error", "digits"), [(0.0996, 2), (0.099, 3), (0.173, 2), (1.5, 1), (12.3, 0), (123.0, 0), (None, 2), (0.0, 2), (1e-9, 6)])  # fmt: skip
def test_two_digits_of_the_error_decide(error, digits):
    assert quantities.decimals_of(error) == digits


@pytest.mark.parametrize(
    ("cell", "value", "error"),
    [
        ("3.468 ± 0.065", "3.468", " ± 0.065"),
        ("-1.8 [-6.7, +3.1]", "-1.8", " [-6.7, +3.1]"),
        ("27.9 ± 1.8 ≈", "27.9", " ± 1.8 ≈"),
        ("0.49 → 0.49", "0.49 → 0.49", None),
        ("relevant, <b>", "relevant, <b>", None),
    ],
)
def test_the_error_of_a_cell_is_set_apart(cell, value, error):
    root = ElementTree.fromstring(f"<td>{parted(cell)}</td>")
    assert "".join(root.itertext()) == cell
    assert root.text == value
    assert [part.text for part in root] == ([error] if error else [])


@pytest.mark.parametrize(
    ("reason", "stands"),
    [
        ("LESS was not run", "not-run"),
        ("LESS, TSDS were not run", "not-run"),
        ("no job of the workflow fills this cell", "not-run"),
        ("DoReMi, Baseline: the results lack the number", "not-comparable"),
        (
            "A, B: the two started from models that different versions of the code had trained",
            "not-comparable",
        ),
        ("A, B: the two have no seed in common", "not-comparable"),
        ("the results have no PPL_CC", "not-comparable"),
    ],
)
def test_what_was_run_but_not_so_is_no_gap(reason, stands):
    assert standing(replace(judgements()[5], reason=reason)) == stands


def test_words_may_be_broken_and_numbers_not():
    assert wordy("relevant, duplicated")
    assert not any(map(wordy, ("the control", "0.98 [0.93, 1.00] †", "yes (p < 0.001)", "")))


def test_another_verdict_stands_as_it_is():
    assert [standing(one) for one in judgements()[:5]] == [one.verdict for one in judgements()[:5]]


def test_a_forest_lies_on_one_axis():
    lines = [Estimated("a", 0.5, (0.25, 0.75), "0.50", 0.0), Estimated("b", 1.0, None, "1.00")]
    (_, first), (_, second) = forest("t", "h", "x", lines).lines
    ranges = [tuple(map(float, re.search(r'class="range" x1="([\d.]+)%" x2="([\d.]+)%"', str(line)).groups())) for line in (first, second)]  # fmt: skip
    assert ranges == [
        (EDGE + 0.25 * (100 - 2 * EDGE), EDGE + 0.75 * (100 - 2 * EDGE)),
        (100 - EDGE, 100 - EDGE),
    ]
    assert float(re.search(r'class="beside" x1="([\d.]+)%"', str(first))[1]) == EDGE
    assert "beside" not in str(second)


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=2000))
def test_a_thinned_curve_keeps_its_ends_and_its_extremes(losses):
    points = [(float(step), loss) for step, loss in enumerate(losses)]
    kept = thinned(points)
    assert len(kept) <= MOST_POINTS + 2
    assert (kept[0], kept[-1]) == (points[0], points[-1])
    assert kept == sorted(set(kept) & set(points))
    for extreme in (min, max):
        assert extreme(y for _, y in kept) == extreme(losses)


def path_of(svg):
    return [[tuple(map(float, pair.split())) for pair in re.findall(r"[\d.]+ [\d.]+", d)] for d in re.findall(r' d="([^"]+)"', str(svg))]  # fmt: skip


def test_a_curve_fills_its_frame():
    ((start, middle, end),) = path_of(drawing([[(0, 4.0), (50, 3.0), (100, 2.0)]], "loss"))
    assert start == (MARGIN, MARGIN)
    assert middle == (WIDTH / 2, HEIGHT / 2)
    assert end == (WIDTH - MARGIN, HEIGHT - MARGIN)


def test_all_lines_of_a_drawing_share_its_axes():
    upper, lower = path_of(drawing([[(0, 0.8), (10, 0.8)], [(0, 0.2), (10, 0.2)]], "", low=0.0, shares=True))
    room = HEIGHT - 2 * MARGIN
    assert upper[0][1] == MARGIN
    assert lower[0][1] == pytest.approx(HEIGHT - MARGIN - room / 4, abs=0.05)


def test_nothing_is_drawn_of_nothing():
    assert drawing([], "loss") == drawing([[]], "loss") == ""


def test_the_published_number_lies_in_its_margin_and_ours_in_its_interval():
    drawn = str(interval_drawing(judgements()[0]))
    left, width = map(float, re.search(r'class="band" x="([\d.]+)" y="3" width="([\d.]+)"', drawn).groups())
    diamond = float(re.search(r'class="published" d="M([\d.]+)', drawn)[1])
    low, high = map(float, re.search(r'class="ours" d="M([\d.]+) 13H([\d.]+)', drawn).groups())
    dot = float(re.search(r'cx="([\d.]+)"', drawn)[1])
    zero = float(re.search(r'class="zero" d="M([\d.]+)', drawn)[1])
    assert diamond == pytest.approx(left + width / 2, abs=0.1)
    assert dot == pytest.approx((low + high) / 2, abs=0.1)
    # -0.083 < -0.071 < 0, on one scale: -0.133 lies at the left end, zero at the right.
    assert (diamond - left) / (zero - left) == pytest.approx(0.05 / 0.133, abs=0.005)
    assert (dot - left) / (zero - left) == pytest.approx((0.133 - 0.071) / 0.133, abs=0.005)


def test_what_has_no_number_has_no_drawing():
    assert interval_drawing(judgements()[5]) == ""


SVG = """<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="72pt" height="36pt"
viewBox="0 0 72 36" version="1.1"><metadata>m</metadata><defs><style type="text/css">*{stroke-linejoin: round}</style>
<clipPath id="p1"><rect x="0.123456" y="0" width="1" height="1"/></clipPath></defs>
<path id="a" d="M 1.23456 2 \nL -3.99999 4" clip-path="url(#p1)" style="fill: #ffffff; stroke: #000000"/>
<g id="b"><use xlink:href="#a" style="stroke: #0072b2" transform="scale(0.015625)"/></g></svg>"""


def test_a_figure_gets_ids_of_its_own_the_pages_colours_and_words():
    root = ElementTree.fromstring(str(inline(SVG, "f-", "A <caption>", "How & why").svg))
    assert root.attrib["width"] == "96"
    assert [child.tag for child in root][:2] == ["title", "desc"]
    assert (root[0].text, root[1].text) == ("A <caption>", "How & why")
    assert not [*root.iter("metadata"), *root.iter("style")]
    path, use = root.find("path"), root.find("g/use")
    assert path.attrib == {
        "id": "f-a",
        "d": "M 1.23 2 L -4.00 4",
        "clip-path": "url(#f-p1)",
        "style": "fill: var(--page); stroke: currentColor",
    }
    assert use.attrib == {"href": "#f-a", "style": "stroke: #0072b2", "transform": "scale(0.015625)"}
    assert root.find("defs/clipPath").get("id") == "f-p1"


def luminance(colour):
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_is_enough_for_text_and_for_lines(scheme):
    """WCAG 2.2, level AA: 4.5 for text, 3 for what is drawn."""
    blocks = CSS.split("@media")[:2]
    light, dark = (dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block)) for block in blocks)
    colours = light if scheme == "light" else dark
    assert len(colours) == 21
    for name in ("ink", "quiet", "link", "reproduced", "consistent", "contradicted", "underpowered", "protocol-unknown", "not-comparable", "not-run"):  # fmt: skip
        for ground in ("page", "band"):
            assert contrast(colours[name], colours[ground]) >= 4.5, name
    for place in range(8):
        assert contrast(colours[f"l{place}"], colours["page"]) >= 3
