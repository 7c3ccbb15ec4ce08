"""Maps: which images share one, shapes and scale, colours, what the caption says, and how large the page becomes."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from deep_cnn.config.registries import FIGURES
from deep_cnn.data.space import RADIUS
from deep_cnn.reporting.plots import of_task, score_map
from deep_cnn.reporting.plots.map_areas import Sites, clusters, map_areas, round_bar
from deep_cnn.reporting.plots.svg import as_svg
from deep_cnn.tasks.make import new_task

TASK = new_task("regression", ["safety"]).fitted(np.zeros((2, 1)))
CITIES = {"Oslo": (59.91, 10.75), "Quito": (-0.18, -78.47), "Suva": (-18.14, 178.44), "Nome": (64.5, -165.4)}


def sites(counts: dict[str, int], spread: float = 0.03, seed: int = 0, named: bool = True) -> Sites:
    rng = np.random.default_rng(seed)
    places = [np.array(CITIES[name]) + rng.uniform(-spread, spread, (n, 2)) for name, n in counts.items()]
    names = [name if named else "" for name, n in counts.items() for _ in range(n)]
    return Sites(np.concatenate(places), np.array(names, dtype=object))


def scores(n: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    true = rng.normal(5, 2, (n, 1))
    return true + rng.normal(0, 1, (n, 1)), true


def axes_of(panel):
    ax = Figure().add_subplot()
    panel.draw(ax)
    return ax


def test_cities_are_maps_of_their_own_the_largest_first():
    found = map_areas(sites({"Oslo": 30, "Quito": 50, "Suva": 12}))
    assert [(area.name, len(area.members)) for area in found] == [("Quito", 50), ("Oslo", 30), ("Suva", 12)]
    assert sorted(np.concatenate([area.members for area in found]).tolist()) == list(range(92))


def test_a_code_for_each_place_agrees_with_single_linkage():
    """Places are rounded before they are linked: the codes are those of scipy's single linkage, where no gap is near the limit."""
    from scipy.cluster.hierarchy import fcluster, linkage

    from deep_cnn.data.space import chord_of, on_sphere

    places = sites({"Oslo": 40, "Quito": 40, "Suva": 20}, seed=3).places
    expected = fcluster(linkage(on_sphere(places), "single"), chord_of(20_000), "distance")
    code = clusters(places)
    assert np.array_equal(code[:, None] == code, expected[:, None] == expected)


def test_points_spread_over_a_country_are_one_map_and_few_in_many_cities_too():
    rng = np.random.default_rng(0)
    country = np.stack([rng.uniform(44, 50, 150), rng.uniform(0, 6, 150)], axis=1)  # about 40 km apart
    assert len(np.unique(clusters(country))) == 1
    few = Sites(
        np.stack([rng.uniform(-50, 60, 24).repeat(2), rng.uniform(-170, 170, 24).repeat(2)], axis=1),
        np.full(48, "", object),
    )
    few.places[::2] += 0.002
    assert len(np.unique(clusters(few.places))) > 10
    (area,) = map_areas(few)
    assert len(area.members) == 48, "no city has ten images: one map of all"


def test_20_000_images_of_one_city_are_one_area():
    assert len(np.unique(clusters(sites({"Oslo": 20_000}).places))) == 1


def test_shapes_and_lengths_are_right_at_any_latitude_and_across_the_date_line():
    """A square of 2 km: its corners are 2 km apart on the map."""
    for latitude in (0.0, 60.0, -45.0):
        step = np.degrees(1000 / RADIUS)
        east = step / np.cos(np.radians(latitude))
        corners = np.array([(dy * step, dx * east) for dy in (-1, 1) for dx in (-1, 1)])
        for longitude in (10.0, 180.0):
            places = np.array([latitude, longitude]) + np.repeat(corners, 3, axis=0)
            places[:, 1] = (places[:, 1] + 180) % 360 - 180
            (area,) = map_areas(Sites(places, np.full(12, "", object)))
            assert np.abs(area.x) == pytest.approx(1000, rel=1e-3) and np.abs(area.y) == pytest.approx(1000, rel=1e-6)
            assert area.x[0] < 0 < area.x[3] and area.y[0] < 0 < area.y[6], "north is up, east is right"
    assert map_areas(sites({"Suva": 20}, named=False))[0].name.endswith("° E")
    assert (
        map_areas(sites({"Quito": 20}, named=False))[0].name.startswith("0.1")
        and "° S" in map_areas(sites({"Quito": 20}, named=False))[0].name
    )


def test_names_are_of_cities_and_not_of_cells():
    some = sites({"Oslo": 20})
    assert map_areas(Sites(some.places, np.array(["12:-40", "12:-41"] * 10, dtype=object)))[0].name.startswith("59.9")
    assert map_areas(Sites(some.places, np.array(["North", "South"] * 10, dtype=object)))[0].name == "North and South"
    assert "°" in map_areas(Sites(some.places, np.array([f"district {i}" for i in range(20)], dtype=object)))[0].name


def test_unknown_places_and_too_few_have_no_map():
    some = sites({"Oslo": 12})
    some.places[:3] = np.nan
    decoded, true = scores(12)
    assert score_map.panels(TASK, decoded, true, some) == []
    assert of_task.panels_of(FIGURES["score_map"], TASK, decoded, true) == [], "no coordinates at all"


@pytest.mark.parametrize(
    ("width", "bar"), [(1500.0, 500), (1499.0, 200), (350.0, 100), (20_000_000.0, 5_000_000), (0.9, 0.2)]
)
def test_the_scale_bar_is_round_and_at_most_a_third(width, bar):
    assert round_bar(width) == pytest.approx(bar)


def test_residuals_are_predicted_minus_true_and_0_is_in_the_middle():
    where, (decoded, true) = sites({"Oslo": 40, "Quito": 30}), scores(70)
    decoded[5] += 1000  # one wild error does not take the colours of all others
    found = score_map.panels(TASK, decoded, true, where)
    assert [panel.title for panel in found] == [
        "safety: predicted\nOslo, n = 40",
        "safety: residual\nOslo, n = 40",
        "safety: predicted\nQuito, n = 30",
        "safety: residual\nQuito, n = 30",
    ]
    shown = [axes_of(panel).collections[0] for panel in found]
    assert np.array_equal(shown[1].get_array(), (decoded - true)[:40, 0])
    assert np.array_equal(shown[2].get_array(), decoded[40:, 0])
    low, high = shown[1].get_clim()
    assert low == -high and 1 < high < 10 and shown[3].get_clim() == (low, high), "the same colours on all maps"
    assert shown[0].get_clim() == shown[2].get_clim() != (low, high)
    ax = axes_of(found[1])
    (bar,) = ax.lines
    assert np.ptp(bar.get_xdata()) == 2000 and "2 km" in [text.get_text() for text in ax.texts] and ax.get_aspect() == 1


def test_the_caption_says_what_is_not_shown_and_what_morans_i_means():
    counts = {"Oslo": 600, "Quito": 30, "Suva": 5}
    where, (_, true) = sites(counts), scores(635)
    where.places[0] = np.nan
    test = {"space": {"safety": {"morans_i": 0.213, "expected": -0.002, "p": 0.001, "count": 634}}}
    said = score_map.note(TASK, true, where, test)
    assert said == [
        "A map of more than 500 images shows the mean of each hexagon.",
        "The 2 areas with most images are shown; 1 other has 5 images.",
        "1 image has no coordinates.",
        "Moran's I of the residuals of safety is 0.213 (-0.002 expected without a pattern, p < 0.01): neighbouring places have similar errors, "
        "so the place holds something that the network does not see.",
    ]
    test["space"]["safety"] |= {"p": 0.4}
    assert (
        "p = 0.40): errors of neighbouring places are not clearly alike" in score_map.note(TASK, true, where, test)[-1]
    )


def test_many_cities_and_many_targets_are_cut():
    names = [f"t{k}" for k in range(8)]
    task = new_task("regression", names).fitted(np.zeros((2, 8)))
    where, n = sites({"Oslo": 20, "Quito": 15}), 35
    true = np.tile(scores(n)[1], (1, 8))
    true[:, 0] = np.nan  # a target that no test image has
    found = score_map.panels(task, true + 1, true, where)
    assert len(found) == 2 * 7 and {panel.title.split(":")[0] for panel in found} == set(names[1:])
    assert "Maps of 1 more target are not drawn." in score_map.note(task, true, where, {})


def test_equal_values_are_drawn():
    where = sites({"Oslo": 20})
    for panel in score_map.panels(TASK, np.full((20, 1), 3.0), np.full((20, 1), 3.0), where):
        assert as_svg(panel, "k")


def test_20_000_images_make_a_small_page():
    counts = {"Oslo": 10_000, "Quito": 9_500, "Suva": 500}
    where, (decoded, true) = sites(counts), scores(20_000)
    drawn = [as_svg(panel, f"k{k}") for k, panel in enumerate(score_map.panels(TASK, decoded, true, where))]
    assert len(drawn) == 6 and sum(map(len, drawn)) < 400_000
    assert all(svg.count("data:image/png") >= 1 for svg in drawn)
