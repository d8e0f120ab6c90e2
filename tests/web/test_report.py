"""The build report: self-contained, true to the lock, and seen in a real browser."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from orchestrator.artifact.bought import Packed
from orchestrator.artifact.lock import LockedArtifact, LockedModel, Status
from orchestrator.catalog.assignment import Figures
from orchestrator.catalog.model import Preprocessing
from orchestrator.catalog.variant import Format
from orchestrator.site import templates
from orchestrator.web.report import pareto, report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def artifact(variant: str, number: int, figures: Figures, **more: object) -> LockedArtifact:
    return LockedArtifact.model_validate(
        {
            "variant": variant,
            "key": f"{number:064x}",
            "status": Status.ACCEPTED,
            "format": Format.TFLITE,
            "sha256": f"{number + 100:064x}",
            "size_bytes": figures.size_bytes,
            "figures": figures,
            **more,
        }
    )


@pytest.fixture
def locked() -> LockedModel:
    return LockedModel(
        name="fashion",
        version="1.0.0",
        source="ab" * 32,
        preprocessing=Preprocessing(),
        artifacts=(
            artifact("float", 1, Figures(size_bytes=4000, accuracy=0.9, p50_ms=2.0)),
            artifact("int8", 2, Figures(size_bytes=1000, accuracy=0.89, p50_ms=1.0)),
            artifact(
                "bad",
                3,
                Figures(size_bytes=1000, accuracy=0.1, p50_ms=1.0),
                status=Status.REJECTED,
                because="<b>accuracy 0.100 is 0.800 below float32's",
            ),
        ),
    )


def page(model: LockedModel) -> str:
    template = (templates() / "pages" / "report.html").read_text()
    return report([model], template, {f"{101:064x}": Packed(gzip=3700, zstd=3500)})


def test_the_page_needs_nothing_from_anywhere_else(locked: LockedModel) -> None:
    html = page(locked)

    assert not re.search(r"(src|href)\s*=|url\(|@import|<script", html)


def test_the_page_says_why_a_variant_was_rejected_and_escapes_what_it_shows(
    locked: LockedModel,
) -> None:
    html = page(locked)

    assert "0.800 below float32" in html
    assert "&lt;b&gt;accuracy" in html
    assert "<b>accuracy" not in html


def test_a_rejected_variant_is_drawn_but_is_not_on_the_front(locked: LockedModel) -> None:
    drawn = pareto(locked)

    assert drawn.count('class="dot"') == 2
    assert drawn.count('class="dot weak"') == 1


def test_a_model_without_figures_still_has_a_page(locked: LockedModel) -> None:
    bare = locked.artifacts[0].model_copy(
        update={"figures": None, "sha256": None, "status": Status.FAILED, "because": "no luck"}
    )

    assert "no luck" in page(locked.model_copy(update={"artifacts": (bare,)}))


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium here: apt-get install chromium")
def test_a_real_browser_lays_the_page_out_with_its_charts(
    locked: LockedModel, tmp_path: Path
) -> None:
    file = tmp_path / "report.html"
    file.write_text(page(locked))
    measure = (
        "<script>document.title=JSON.stringify([...document.querySelectorAll('svg')]"
        ".map(s=>Math.round(s.getBoundingClientRect().width)).concat("
        "document.documentElement.scrollWidth<=innerWidth))</script>"
    )
    probe = tmp_path / "probe.html"
    probe.write_text(file.read_text() + measure)

    dom = browse(probe, tmp_path / "profile", "--dump-dom")

    title = re.search(r"<title>(\[.*?\])</title>", dom)
    assert title, dom[:500]
    widths = title[1].strip("[]").split(",")
    assert widths[-1] == "true"
    assert len(widths) == 4
    assert all(int(width) > 400 for width in widths[:-1])


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
