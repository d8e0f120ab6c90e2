"""What a lab decides before it touches anything."""

import json

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.lab.foreign import Foreign
from orchestrator.lab.keys import kept_key, known_hosts
from orchestrator.lab.kinds import KINDS, SHARES, Family, fixtures, mix
from orchestrator.lab.listing import FILE, listing, remove_listing, write_listing
from orchestrator.lab.runtime import device_python
from orchestrator.lab.spec import DeviceSpec, Spec, Storage, Tier
from orchestrator.lab.status import State


def test_twelve_devices_are_four_jetsons_five_pis_and_three_phones():
    names = [name for name, _ in mix(12)]

    assert names == [
        *("jetson-01", "jetson-02", "jetson-03", "jetson-04"),
        *("pi-01", "pi-02", "pi-03", "pi-04", "pi-05"),
        *("phone-01", "phone-02", "phone-03"),
    ]


@given(st.integers(1, 2500))
def test_any_number_of_devices_is_shared_out_in_proportion(count):
    devices = mix(count)

    families = [KINDS[profile].family for _, profile in devices]
    assert len({name for name, _ in devices}) == count
    for family in Family:
        assert abs(families.count(family) - count * SHARES[family] / 12) < 1


def test_every_kind_has_its_fixtures_and_says_it_is_emulated():
    for kind in KINDS.values():
        files = fixtures(kind, Tier.NAMESPACES, "a board's")

        said = json.loads(files["etc/fleet-lab.json"])
        assert (said["emulated"], said["cpu"]) == (True, "a board's")
        tree = files.get("sys/firmware/devicetree/base/model", b"")
        assert tree == (kind.model.encode() + b"\0" if kind.model else b"")
        assert kind.model or ("ro.product.model", "Pixel 6") in kind.properties
        assert b"MemTotal:" in files["proc/meminfo"]
        assert ("etc/nv_tegra_release" in files) == (kind.family is Family.JETSON)


def test_a_spec_and_a_state_survive_their_files():
    devices = (DeviceSpec("pi-01", "raspberry-pi-4", "127.0.2.1"),)
    python = device_python()
    others = (Foreign("aarch64", "/tree", "/qemu", python),)
    key = "ssh-ed25519 A"
    spec = Spec("/lab", "/usr/sbin/sshd", "", key, python, devices, foreigners=others)
    places = (("pi-01", "raspberry-pi-4", "127.0.2.1"),)
    state = State(1, 2, Tier.PLAIN, "me", "why", ("onnxruntime",), places, ("host",), Storage())

    assert Spec.read(spec.text()) == spec
    assert State.read(state.text()) == state


def test_a_device_keeps_its_host_key(tmp_path):
    first, again = kept_key(tmp_path / "pi-01"), kept_key(tmp_path / "pi-01")

    assert first == again
    assert known_hosts([("127.0.2.1", 2222, first)]) == f"[127.0.2.1]:2222 {first}\n"


def test_only_an_inventory_file_of_our_own_is_removed(tmp_path):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    places = (("pi-01", "raspberry-pi-4", "127.0.2.1"),)
    state = State(1, 2, Tier.PLAIN, "pi", "why", (), places, ("host",), Storage())
    write_listing(ours, listing(state))
    write_listing(theirs, "devices: {}\n")

    remove_listing(ours)
    remove_listing(theirs)

    assert not (ours / FILE).exists()
    assert (theirs / FILE).exists()
