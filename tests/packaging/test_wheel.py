"""What is installed from the wheel works outside the checkout: scripts, migrations and profiles inside."""

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from uv import find_uv_bin

CHECKOUT = Path(__file__).parents[2]
uv = find_uv_bin()


def ran(*command: object, **more: object) -> str:
    done = subprocess.run(
        list(map(str, command)), capture_output=True, timeout=120, check=False, **more
    )
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
    return done.stdout.decode()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    ran(uv, "build", "--wheel", "--quiet", "--out-dir", out, CHECKOUT)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def fleet(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The installed command, in an environment that borrows the packages it needs from this one."""
    venv = tmp_path_factory.mktemp("venv") / "v"
    ran(uv, "venv", "--quiet", "--python", sys.executable, venv)
    python = venv / "bin" / "python"
    ran(uv, "pip", "install", "--quiet", "--no-deps", "--offline", "--python", python, wheel)
    site_packages = ran(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))")
    borrowed = Path(site_packages.strip()) / "borrowed.pth"
    borrowed.write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return venv / "bin" / "fleet"


@pytest.fixture
def outside(tmp_path: Path) -> dict[str, object]:
    """Far from the checkout, and without any setting of this shell."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("FLEET_")}
    return {"cwd": tmp_path, "env": kept}


def test_the_wheel_holds_what_devices_databases_and_inventories_need(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())

    assert {
        "orchestrator/templates/device/device.sh",
        "orchestrator/templates/device/facts.sh",
        "orchestrator/templates/device/runtimes.py",
        "orchestrator/templates/device/smoke.py",
        "orchestrator/templates/device/accelerators.py",
        "orchestrator/templates/device/relay.py",
        "orchestrator/templates/site/fleet.toml",
        "orchestrator/ledger/migrations/env.py",
        "orchestrator/inventory/profiles.yaml",
    } <= names
    versions = (CHECKOUT / "orchestrator/ledger/migrations/versions").glob("*.py")
    assert {f"orchestrator/ledger/migrations/versions/{file.name}" for file in versions} <= names


def test_the_wheel_holds_every_file_of_the_package_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}

    kept = [
        f"{into}/{file.relative_to(CHECKOUT / folder)}"
        for folder, into in (
            ("orchestrator", "orchestrator"),
            ("templates", "orchestrator/templates"),
        )
        for file in (CHECKOUT / folder).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    ]
    assert names == set(kept)


def test_what_is_installed_runs_from_its_own_files(fleet, outside):
    code = "import orchestrator; print(orchestrator.__file__)"

    assert ran(fleet.with_name("python"), "-c", code, **outside).startswith(str(fleet.parents[1]))


def test_the_installed_command_tells_the_version_of_its_wheel(fleet, wheel, outside):
    version = wheel.name.split("-")[1]

    assert ran(fleet, "--version", **outside) == f"fleet {version}\n"


def test_a_site_made_by_the_installed_command_is_whole(fleet, outside):
    said = ran(fleet, "init", "x", **outside)
    assert "x/fleet.toml" in said

    checked = ran(fleet, "inventory", "check", "--site", "x", **outside)

    assert checked.startswith("ok: ")
    assert " profiles" in checked


def test_a_ledger_made_by_the_installed_command_is_at_the_newest_revision(fleet, outside):
    ran(fleet, "init", "x", **outside)

    ran(fleet, "history", "--site", "x", **outside)

    assert (outside["cwd"] / "x" / ".fleet" / "ledger.db").is_file()


def test_scripts_for_devices_come_from_the_wheel(fleet, outside):
    code = (
        "from orchestrator.site import templates; "
        "print((templates() / 'device' / 'device.sh').read_text(encoding='utf-8'), end='')"
    )

    said = ran(fleet.with_name("python"), "-c", code, **outside)

    assert said == (CHECKOUT / "templates/device/device.sh").read_text(encoding="utf-8")
