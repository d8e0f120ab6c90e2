"""Host keys: shown, compared, pinned, and never replaced by themselves."""

import pytest

OTHER_KEY = "AAAAC3NzaC1lZDI1NTE5AAAAIJ9yCzWzPnDeoUrfZVPUgUQoKWMvTQnTBFYmbTtRy8Cd"


@pytest.fixture
def pins(site, tmp_path):
    """A file of pinned host keys for pi-01; empty."""
    file = tmp_path / "known_hosts"
    site.describe("pi-01", known_hosts=str(file))
    return file


def test_a_device_that_nobody_has_enrolled_is_deferred_with_the_command_to_do_it(site, pins):
    done = site.run("deploy", "-t", "pi-01", "--yes")

    assert done.code == 3
    assert "fleet enroll pi-01" in done.said
    assert site.running("pi-01") == [None]


def test_enrolling_pins_the_key_that_is_shown_and_opens_the_door(site, pins):
    enrolled = site.run("enroll", "pi-01", "--accept-new")
    again = site.run("enroll", "pi-01", "--accept-new")
    asked = site.run("facts", "--refresh", "-t", "pi-01")

    address, port = site.addresses["pi-01"]
    assert (enrolled.code, again.code, asked.code) == (0, 0, 0)
    assert "SHA256:" in enrolled.said
    assert "it is pinned already" in again.said
    assert pins.read_text().startswith(f"[{address}]:{port} ssh-ed25519 ")


def test_without_anybody_to_compare_it_no_key_is_pinned(site, pins):
    done = site.run("enroll", "pi-01")

    assert done.code == 2
    assert "add --accept-new" in done.said
    assert not pins.exists()


def test_a_changed_key_is_refused_until_somebody_says_replace(site, pins):
    address, port = site.addresses["pi-01"]
    pins.write_text(f"[{address}]:{port} ssh-ed25519 {OTHER_KEY}\n")

    deployed = site.deploy("pi-01")
    refused = site.run("enroll", "pi-01", "--accept-new")
    unchanged = OTHER_KEY in pins.read_text()
    replaced = site.run("enroll", "pi-01", "--accept-new", "--replace")

    assert deployed.outcome["code"] == "TRANSPORT > HOST_KEY > CHANGED"
    assert (refused.code, unchanged, replaced.code) == (1, True, 0)
    assert "fleet enroll pi-01 --replace" in refused.said
    assert OTHER_KEY not in pins.read_text()
