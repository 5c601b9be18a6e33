"""In a real browser the page draws, zooms, filters and tells, asks for nothing, and never errs."""

from __future__ import annotations

import io
import math
import time

import pytest
from matplotlib import image
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By

import recorded
from browser import appearance, browser, requests, said
from gradcore.page import write_page
from recorded import finding

HOSTILE = (
    "<img src=x onerror=\"document.title='owned'\"></script><script>document.title='owned'</script>"
)
NAMES = (*(f"layers.{n}.{kind}" for n in range(20) for kind in ("weight", "bias")), HOSTILE)


@pytest.fixture(scope="module")
def chrome(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("profile")) as chrome:
        yield chrome


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """The page of a run whose 21st parameter breaks at step 60, and all before it with it."""
    said_then = finding(HOSTILE, "critical", message=HOSTILE, parameters=(HOSTILE,))
    steps = [
        recorded.step(
            n,
            [10.0 ** math.sin(n / 9 + i) for i in range(len(NAMES))],
            names=NAMES,
            loss=5.0 / (n + 1),
            bad=range(21) if n >= 60 else (),
            findings=(said_then,) if n == 60 else (),
        )
        for n in range(80)
    ]
    path = tmp_path_factory.mktemp("page") / "run.html"
    write_page(recorded.run(*steps), path, title=HOSTILE)
    return path


def show(chrome, path, *, width=1280, dark=False):
    """Open the page and wait until it is drawn."""
    appearance(chrome, width=width, dark=dark)
    chrome.get(path.as_uri())
    wait(chrome, "return document.documentElement.dataset.drawn === 'yes'")


def wait(chrome, condition):
    deadline = time.monotonic() + 60
    while not chrome.execute_script(condition):
        assert time.monotonic() < deadline, condition
        time.sleep(0.02)


def text_of(chrome, name):
    return chrome.find_element(By.ID, name).text


def layout_of(chrome, name):
    return chrome.execute_script(f"return document.getElementById('{name}').layout.xaxis.range")


def test_it_draws_without_an_error_and_asks_for_nothing(chrome, path):
    show(chrome, path)

    assert said(chrome) == []
    assert requests(chrome) == [path.as_uri()]
    assert chrome.execute_script(
        "return document.querySelectorAll('#curves .scatterlayer .trace').length"
    )
    assert chrome.execute_script(
        "return document.querySelectorAll('#map .heatmaplayer image').length"
    )


def panels_of(chrome):
    """What stands beside the curves, from top to bottom."""
    axes = chrome.execute_script(
        "const {_fullLayout: all} = document.getElementById('curves');"
        "return all._subplots.yaxis.map((id) => all[id.replace('y', 'yaxis')]).map("
        "(axis) => [axis.title.text, axis.domain])"
    )
    return [title for title, _ in sorted(axes, key=lambda axis: -axis[1][0])]


def test_a_run_without_losses_has_no_panel_for_them(chrome, tmp_path):
    """And one with them has."""
    rest = ["gradient norm", "non-finite", "clip factor"]
    for loss, titles in ((1.0, ["loss", *rest]), (math.nan, ["loss", *rest]), (None, rest)):
        steps = [recorded.step(n, [1.0, 2.0, 3.0], loss=loss) for n in range(4)]
        path = tmp_path / f"{loss}.html"
        write_page(recorded.run(*steps), path, title="run")
        show(chrome, path)

        assert panels_of(chrome) == titles
        assert said(chrome) == []


def test_hostile_names_run_nothing(chrome, path):
    show(chrome, path)

    assert chrome.title.startswith("<img src=x")
    assert chrome.find_elements(By.TAG_NAME, "img") == []
    assert said(chrome) == []


def test_pointing_at_a_cell_tells_parameter_step_and_norm(chrome, path):
    show(chrome, path)
    point_at(chrome, row=3, step=20.5)

    norm = 10.0 ** math.sin(20 / 9 + 3)
    assert chrome.find_element(By.ID, "tip").text == f"layers.1.bias\nstep 20: norm {norm:.3g}"
    point_at(chrome, row=20, step=70.5)
    assert "layers.10.weight\nstep 70: not finite" in text_of(chrome, "tip")


PLACE = """
const [drawn, step, row] = arguments;
const {xaxis, yaxis} = drawn._fullLayout;
const {width, height} = drawn.getBoundingClientRect();
return [xaxis._offset + xaxis.d2p(step), yaxis._offset + yaxis.d2p(row), width, height];
"""


def point_at(chrome, *, row, step):
    """Move the mouse to a cell of the map."""
    drawn = chrome.find_element(By.ID, "map")
    chrome.execute_script("arguments[0].scrollIntoView({block: 'center'})", drawn)
    x, y, width, height = chrome.execute_script(PLACE, drawn, step, row)
    mouse = ActionChains(chrome, duration=50)
    mouse.move_to_element_with_offset(drawn, x - width // 2 + 4, y - height // 2)
    mouse.move_to_element_with_offset(drawn, x - width // 2, y - height // 2).perform()
    wait(chrome, "return !document.getElementById('tip').hidden")
    time.sleep(0.2)


def test_the_filter_leaves_the_parameters_of_that_name(chrome, path):
    show(chrome, path)
    chrome.find_element(By.ID, "filter").send_keys("layers.1.")

    assert text_of(chrome, "matches") == "2 of 41"
    names = [row.text for row in chrome.find_elements(By.CSS_SELECTOR, "#table button")]
    assert sorted(names) == ["layers.1.bias", "layers.1.weight"]
    assert chrome.execute_script("return document.getElementById('map').data[0].z.length") == 2
    labels = chrome.find_elements(By.CSS_SELECTOR, "#map .ytick text")
    assert {label.text for label in labels} == {"layers.1.weight", "layers.1.bias"}


def test_a_click_on_an_event_zooms_both_drawings(chrome, path):
    show(chrome, path)
    assert layout_of(chrome, "curves") == [-0.5, 79.5]
    event = chrome.find_element(By.CSS_SELECTOR, "td .zoom")
    assert event.text == "steps 60 to 79"
    event.click()

    wait(chrome, "return document.getElementById('map').layout.xaxis.range[0] === 41")
    assert layout_of(chrome, "curves") == layout_of(chrome, "map") == [41, 79.5]
    chrome.find_element(By.ID, "all").click()
    wait(chrome, "return document.getElementById('map').layout.xaxis.range[0] === -0.5")


@pytest.mark.parametrize("width", [1280, 390])
def test_it_fits_its_window_light_and_dark(chrome, path, width):
    brightness = []
    for dark in (False, True):
        show(chrome, path, width=width, dark=dark)
        assert chrome.execute_script("return document.documentElement.scrollWidth") <= width
        picture = image.imread(io.BytesIO(chrome.get_screenshot_as_png()))
        brightness.append(picture[..., :3].mean())
    assert brightness[0] > 0.7
    assert brightness[1] < 0.3


def test_it_changes_with_the_appearance_of_the_system(chrome, path):
    show(chrome, path)
    appearance(chrome, width=1280, dark=True)

    wait(chrome, "return document.getElementById('curves').layout.paper_bgcolor === '#14171a'")
    assert said(chrome) == []
