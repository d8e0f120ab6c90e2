"""The build report: self-contained, true to the lock, and seen in a real browser."""

import importlib.util
import json
import re
import shutil
import subprocess
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest

from orchestrator.artifact.lock import LockedModel, Status
from orchestrator.catalog.assignment import Figures
from orchestrator.catalog.variant import Format
from orchestrator.site import templates
from orchestrator.web.chart import Dot, Mark, scatter
from orchestrator.web.report import Beside, Sensed, metric_of, on_front, pareto, report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

PROBE = """
<script>
const boxes = s => [...s.querySelectorAll('text')].map(t => [t, t.getBoundingClientRect()]);
const meet = (a, b) => a.left < b.right - 1 && b.left < a.right - 1
  && a.top < b.bottom - 2 && b.top < a.bottom - 2;
const light = c => { const v = c.match(/[\\d.]+/g).slice(0, 3).map(x => { x /= 255;
  return x <= .03928 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4; });
  return .2126 * v[0] + .7152 * v[1] + .0722 * v[2]; };
const contrast = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p);
  return (x + .05) / (y + .05); };
const charts = [...document.querySelectorAll('svg[role=img]')];
const found = {widths: [], overlaps: [], cut: [], contrast: 99};
for (const s of charts) {
  const frame = s.getBoundingClientRect(), all = boxes(s);
  found.widths.push(Math.round(frame.width));
  all.forEach(([t, b], i) => {
    if (b.left < frame.left - 1 || b.right > frame.right + 1 || b.top < frame.top - 1
      || b.bottom > frame.bottom + 1) found.cut.push(t.textContent);
    all.slice(i + 1).forEach(([u, c]) => {
      if (meet(b, c)) found.overlaps.push(t.textContent + ' | ' + u.textContent); });
  });
}
const paper = getComputedStyle(document.body).backgroundColor;
found.paper = paper;
for (const e of document.querySelectorAll('svg[role=img] text, td, th, p, li, h1, h2, span')) {
  const style = getComputedStyle(e), ink = e.tagName == 'text' ? style.fill : style.color;
  const under = e.closest('.warning') ? getComputedStyle(e.closest('.warning')).backgroundColor : paper;
  found.contrast = Math.min(found.contrast, contrast(ink, under));
}
found.fits = document.documentElement.scrollWidth <= innerWidth;
document.title = JSON.stringify(found);
</script>
"""


def _examples() -> ModuleType:
    """The models to show: tests are no package, so their neighbour is loaded by its path."""
    file = Path(__file__).with_name("examples.py")
    spec = importlib.util.spec_from_file_location("report_examples", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


examples = _examples()
EVERY = (
    examples.labelled(),
    examples.unlabelled(),
    examples.unevaluated(),
    examples.regression(),
)


def page(*models: LockedModel, **beside: object) -> str:
    template = (templates() / "pages" / "report.html").read_text()
    return report(models, template, Beside(packed=examples.packed(*models), **beside))


def svg(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text)


def of_class(text: str, name: str) -> list[ElementTree.Element]:
    return [each for each in svg(text).iter() if each.get("class") == name]


def test_the_page_needs_nothing_from_anywhere_else() -> None:
    html = page(*EVERY)

    assert not re.search(r"(src|href)\s*=|url\(|@import|<script", html)
    assert set(re.findall(r"https?://[^\"' ]+", html)) == {"http://www.w3.org/2000/svg"}


def test_every_variant_is_on_the_page_with_what_became_of_it_and_why_escaped() -> None:
    html = page(EVERY[0])

    for artifact in EVERY[0].artifacts:
        assert f'<th scope="row">{artifact.variant}<td class="{artifact.status.value}">' in html
    for status in Status:
        assert f'</b>, <span class="{status.value}">{status.value}</span>: ' in html
    assert "0.191 below float32" in html
    assert "the worker died of SIGSEGV: &lt;b&gt;no" in html
    assert "<b>no" not in html


def test_a_metric_is_called_by_its_own_name() -> None:
    own = EVERY[0].artifacts[0].figures.model_copy(update={"metric": "map", "accuracy": None})
    detector = examples.a_model("boxes", examples.artifact("onnx-float32", own))

    html = page(EVERY[3], detector)

    assert "mean squared error" in html
    assert "<h2>mAP at IoU 0.5 against latency and size</h2>" in html
    assert "ccuracy" not in re.sub(r"<style>.*?</style>", "", html, flags=re.DOTALL)


def test_a_model_without_evaluation_data_says_so_loudly_and_is_drawn_by_size() -> None:
    html = page(EVERY[2])

    assert 'role="alert"><b>There is no evaluation data.</b>' in html
    assert "size, KiB" in pareto(EVERY[2])
    assert "95 % interval" not in html


def test_a_model_without_labels_says_so_and_is_drawn_by_the_cosine_with_float32() -> None:
    html = page(EVERY[1])

    assert "<b>There are no labels.</b>" in html
    assert metric_of(EVERY[1]) == "cosine with float32"
    assert on_front(EVERY[1]) == ("tflite-float32", "tflite-mixed")
    assert not any("There is no" in page(model) for model in (EVERY[0], EVERY[3]))


def test_intervals_are_those_of_the_difference_around_float32_with_less_is_better_turned() -> None:
    better = EVERY[0].artifact("tflite-mixed").figures
    error = EVERY[3].artifact("onnx-int8").figures

    assert better.interval == pytest.approx((0.9748 - 0.0075, 0.9748 + 0.0064))
    assert error.interval == pytest.approx((0.0204, 0.022))
    assert EVERY[0].artifact("tflite-float32").figures.interval is None
    assert "0.9673 to 0.9812" in page(EVERY[0])


def test_accuracy_and_latency_whiskers_are_drawn_to_scale() -> None:
    dots = (
        Dot("a", x=1.0, y=0.5, low=0.4, high=0.7, until=2.0, mark=Mark.FRONT),
        Dot("b", x=4.0, y=0.6),
    )

    drawn = scatter(dots, "ms", "accuracy")

    (whisker,) = of_class(drawn, "whisker")
    x, low_y, high_y = (
        float(n) for n in re.match(r"M(\S+) (\S+)V(\S+?)M", whisker.get("d")).groups()
    )
    a, b = of_class(drawn, "front")[0], of_class(drawn, "usable")[0]
    unit = (float(a.get("cy")) - float(b.get("cy"))) / 0.1
    until = float(re.search(r"H(\S+?)M", whisker.get("d"))[1])
    assert x == float(a.get("cx"))
    assert low_y - float(a.get("cy")) == pytest.approx(0.1 * unit, abs=0.3)
    assert float(a.get("cy")) - high_y == pytest.approx(0.2 * unit, abs=0.3)
    assert until - x == pytest.approx((float(b.get("cx")) - x) / 2, abs=0.3)


def test_what_is_not_accepted_is_crossed_out_and_what_is_far_off_stands_on_the_edge() -> None:
    drawn = pareto(EVERY[0])

    assert len(of_class(drawn, "front")) == 3
    assert len(of_class(drawn, "usable")) == 1
    assert len(of_class(drawn, "refused")) == 2
    assert "tflite-int8 (0.7839 ↓)" in drawn


def test_sensitivities_and_the_search_are_shown_and_what_stayed_float_is_hollow() -> None:
    asked = {("crops", Format.TFLITE): Sensed(EVERY[0].artifact("tflite-mixed").mixture.blocks)}

    mixed, other = page(EVERY[0]), page(EVERY[1], sensed=asked)
    missing = page(
        EVERY[1], sensed={("crops", Format.TFLITE): Sensed(because="no calibration data")}
    )

    assert mixed.count('class="bar kept"') == 2
    assert "The search for tflite-mixed" in mixed
    assert "47.9 % (6.4 dB)" in mixed
    assert "What is sensitive to int8 (tflite)" in other
    assert 'class="bar kept"' not in other
    assert "Not known: no calibration data" in missing


def test_what_pruning_buys_is_beside_its_unpruned_twin() -> None:
    html = page(EVERY[3])

    assert '<th scope="row">onnx-int8-pruned-80<td class="n">0.800' in html
    assert '<tr class="soft"><th scope="row">onnx-int8<td>' in html
    assert "What pruning buys" not in page(EVERY[0])


def test_compression_is_shown_in_bytes_and_in_bars() -> None:
    html = page(EVERY[3])

    assert "2,520" in html
    assert "2.461 KiB gzip" in html
    assert "2.188 KiB zstd" in html


def test_a_model_of_two_files_is_as_large_as_both() -> None:
    figures = examples.measured(240_833, 0.226, 0.9748, None, None)
    weights = {"sha256": "cd" * 32, "size_bytes": 226_971}
    both = examples.artifact("openvino-float32", figures, size_bytes=13_862, weights=weights)

    html = page(examples.a_model("both", both))

    assert '<td class="n">240,833' in html
    assert "13,862" not in html


def test_tables_and_charts_have_names_and_headings_for_whoever_does_not_see_them() -> None:
    html = page(*EVERY)

    charts = re.findall(r"<svg viewBox=\"0 0 680.*?</svg>", html, flags=re.DOTALL)
    assert len(charts) > 8
    for chart in charts:
        assert re.search(r'role="img".*?<title>.+?</title><desc>.+?</desc>', chart, re.DOTALL)
    assert html.count("<table") == html.count("<caption>")
    heads = re.findall(r"<thead>.*?</thead>", html, flags=re.DOTALL)
    assert all(head.count("<th") - 1 == head.count('scope="col"') for head in heads)


def test_a_model_without_figures_still_has_a_page() -> None:
    bare = examples.artifact("onnx-int8", None, status=Status.FAILED, because="no luck")

    assert "no luck" in page(examples.a_model("bare", bare))


def test_a_picture_of_its_own_brings_its_colours_for_light_and_dark() -> None:
    drawn = pareto(EVERY[0], alone=True)

    assert "prefers-color-scheme:dark" in drawn
    assert 'class="paper"' in drawn
    assert "prefers-color-scheme" not in pareto(EVERY[0])


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium here: apt-get install chromium")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_real_browser_shows_every_name_whole_apart_and_readable(
    scheme: str, tmp_path: Path
) -> None:
    file = tmp_path / "report.html"
    crowd = [
        Figures(size_bytes=1000 + i, p50_ms=0.1 + i / 900, p95_ms=0.2, accuracy=0.9, samples=9)
        for i in range(6)
    ]
    near = [examples.artifact(f"tflite-float{i}", each) for i, each in enumerate(crowd)]
    file.write_text(page(*EVERY, examples.a_model("crowded", *near)) + PROBE)
    dark = ("--blink-settings=preferredColorScheme=0",) if scheme == "dark" else ()

    dom = browse(file, tmp_path / "profile", "--dump-dom", *dark)

    title = re.search(r"<title>(\{.*?\})</title>", dom)
    assert title, dom[:500]
    seen = json.loads(title[1])
    assert len(seen["widths"]) == file.read_text().count("<desc>") == 15
    assert all(width > 600 for width in seen["widths"])
    assert seen["overlaps"] == []
    assert seen["cut"] == []
    assert seen["fits"]
    assert seen["contrast"] >= 4.5, "what WCAG asks of text"
    assert seen["paper"] == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(20, 23, 28)")


def browse(file: Path, profile: Path, *options: str) -> str:
    """Open a file in headless Chromium and return what it prints."""
    done = subprocess.run(
        [
            str(CHROMIUM),
            *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            f"--user-data-dir={profile}",
            "--window-size=1000,1200",
            *options,
            file.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout
