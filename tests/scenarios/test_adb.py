"""A phone on adb is deployed to like any other device: the same script, the same proofs, another line."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from scale import MODEL
from scene import Site

from orchestrator.lab.errors import DebianMissing, NoTierWorks, SshdMissing, UserlandMissing
from orchestrator.lab.lab import Lab

PHONE = "pi-01"
"""What a lab calls its first device, whatever it is."""


@pytest.fixture(scope="module")
def phones(
    tmp_path_factory: pytest.TempPathFactory, adb_server: None, missing: Callable[..., NoReturn]
) -> Iterator[Lab]:
    """A lab of two devices with adbd for a server: two, for they must not be in each other's way."""
    folder = tmp_path_factory.mktemp("phones")
    lab = Lab(folder, folder / "inventory")
    try:
        lab.up(2, userlands=("adb",))
    except (SshdMissing, UserlandMissing, NoTierWorks, DebianMissing) as error:
        missing("adb", error)
    yield lab
    lab.down()


@pytest.fixture
def site(phones: Lab, tmp_path: Path) -> Iterator[Site]:
    """A site without history, of the lab's two phones."""
    folder = tmp_path / "site"
    (folder / "playbooks").mkdir(parents=True)
    (folder / "fleet.toml").write_text('inventory = "inventory/main"\nplaybook = "all"\n')
    status = phones.status()
    addresses = {one.name: (one.address, one.port) for one in status.devices}
    made = Site(folder, phones, addresses, status.user, tmp_path / "kept")
    made.inventory.mkdir(parents=True)
    for name in addresses:
        made.describe(name, transport="adb")
    made.playbook("all", "  - {name: all, size: all, max_failed: 0}")
    made.offer("1.0")
    yield made
    for name in addresses:
        phones.mend(name)
        shutil.rmtree(made.home(name) / ".fleet", ignore_errors=True)


def test_a_release_goes_over_adb_is_audited_and_taken_back(site):
    both = sorted(site.addresses)
    first = site.offer("1.0")
    assert site.deploy("all").statuses == dict.fromkeys(both, "succeeded")
    second = site.offer("2.0")

    done = site.deploy(PHONE)

    assert done.statuses == {PHONE: "succeeded"}
    assert done.outcome["smoke"]["passed"] is True
    assert site.findings(PHONE) == {PHONE: "match"}
    assert site.running(*both) == [second if name == PHONE else first for name in both]
    assert site.rollback(PHONE).statuses == {PHONE: "succeeded"}
    assert site.running(PHONE) == [first]
    assert site.leftovers(PHONE) == []


def test_a_phone_on_adb_measures_variants_and_keeps_nothing_of_it(site):
    done = site.run("profile", MODEL, "-t", PHONE, "--seconds", "0.3", "-o", "json")

    (found,) = done.data["measurements"]
    assert done.code == 0, done.said
    assert (found["device"], found["runtime"].split()[0]) == (PHONE, "onnxruntime")
    assert 0 < found["p50_ms"] <= found["p95_ms"]
    assert found["runs"] > 3
    assert site.linked(PHONE) is None
    assert site.leftovers(PHONE) == []


def test_a_phone_on_adb_passes_its_selftest(site):
    site.run("facts", "-t", PHONE, "--refresh")

    done = site.run("selftest", PHONE, "-o", "json")

    assert {row["check"]: row["because"] for row in done.data if row["result"] != "ok"} == {}
    assert len(done.data) == 13


def test_a_phone_that_is_off_is_unreachable_and_nothing_else(site, phones):
    phones.break_device(PHONE, "offline")

    done = site.deploy("all")

    assert done.statuses[PHONE] == "deferred"
    assert {status for name, status in done.statuses.items() if name != PHONE} == {"succeeded"}


def test_a_phone_without_python_gets_nothing_that_could_not_be_proved(site):
    site.describe(PHONE, python="/data/local/tmp/python/bin/python3")

    done = site.deploy(PHONE)

    assert done.outcome["status"] == "no-variant"
    assert "onnxruntime is not installed on the device" in done.outcome["because"]
    assert site.linked(PHONE) is None


def test_nothing_is_pinned_of_a_phone_on_adb(site):
    done = site.run("enroll", PHONE)

    assert done.code == 2
    assert "is reached over adb, where nothing can be pinned" in done.said


def test_the_lab_writes_its_phones_as_such(phones):
    text = (phones.inventory / "devices.lab.yaml").read_text()

    assert text.count("transport: adb") == 2
