"""devices.yaml: what may be written there, and what is said about what may not."""

import textwrap

import pytest
from examples import inventory
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import BadInput
from orchestrator.inventory.inventory import Inventory, natural, read_inventory

PI = "profiles:\n  pi: {kind: raspberry-pi, arch: aarch64, ram_mib: 1024, runtimes: [litert]}\n"


def read(*texts: str) -> Inventory:
    files = [(f"{name}.yaml", textwrap.dedent(text)) for name, text in zip("abc", texts)]
    return read_inventory([("profiles.yaml", PI), *files])


def refusal(*texts: str) -> tuple[str, str]:
    """Message and hint of the refusal of some files a.yaml, b.yaml …"""
    with pytest.raises(BadInput) as caught:
        read(*texts)
    return caught.value.message, caught.value.hint


def test_a_device_has_what_its_file_says_over_what_its_profile_says():
    found = read(
        """
        defaults: {user: everybody, port: 2222, python: python3.11}
        devices:
          plain: {address: 10.0.0.1, profile: pi}
          own: {address: "fe80::1%eth0", profile: pi, user: me, port: 22, labels: {site: attic}}
        """
    ).devices

    plain, own = found["plain"], found["own"]
    assert (plain.user, plain.port, plain.python) == ("everybody", 2222, "python3.11")
    assert (own.user, own.port, own.labels) == ("me", 22, (("site", "attic"),))
    assert plain.storage_root == "~/.fleet"


def test_the_defaults_of_one_file_are_not_those_of_another():
    found = read(
        "defaults: {user: one}\ndevices: {a: {address: x, profile: pi}}",
        "defaults: {user: two}\ndevices: {b: {address: x, profile: pi}}",
    ).devices

    assert [found[name].user for name in "ab"] == ["one", "two"]


def test_an_unknown_key_is_refused_with_the_nearest_known_one():
    message, hint = refusal(
        """
        devices:
          kitchen:
            address: 10.0.0.1
            user: pi
            profile: pi
            adress: 10.0.0.2
        """
    )

    assert message == "a.yaml:7: unknown key 'adress'; did you mean 'address'?"
    assert hint.startswith("known keys here: address, ")
    assert "name" not in hint.split(": ")[1].split(", ")


def test_an_unknown_key_deep_inside_is_refused_with_its_own_neighbours():
    message, hint = refusal(
        """
        devices:
          kitchen:
            address: 10.0.0.1
            user: pi
            profile: pi
            facts:
              ram_mb: 4
        """
    )

    assert message == "a.yaml:8: unknown key 'ram_mb'; did you mean 'ram_mib'?"
    assert hint == "known keys here: accelerators, arch, board, cores, ram_mib"


def test_an_unknown_section_is_refused_with_the_nearest_known_one():
    message, hint = refusal("\ndevice: {}\n")

    assert message == "a.yaml:2: unknown key 'device'; did you mean 'devices'?"
    assert hint == "known keys here: defaults, profiles, groups, devices"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("port: ssh", "'port' is 'ssh': should be a valid integer"),
        ("port: 99999", "'port' is 99999: should be less than or equal to 65535"),
        ("groups: kitchen", "'groups' is 'kitchen': should be a valid tuple"),
        ("groups: [3]", "'groups' is 3: should be a valid string"),
        ("emulated: perhaps", "'emulated' is 'perhaps': should be a valid boolean"),
        ("storage_root: relative/path", "'storage_root' is 'relative/path': string should match"),
        ("storage_root: /a b", "'storage_root' is '/a b': string should match"),
        ("facts: {ram_mib: -1}", "'ram_mib' is -1: should be greater than or equal to 0"),
        ("facts: 7", "'facts' is 7: "),
        ("name: other", "unknown key 'name': the name is what stands before the colon"),
    ],
)
def test_a_value_of_the_wrong_kind_is_shown_with_what_was_expected(line, said):
    message, _ = refusal(
        f"devices:\n  d:\n    address: x\n    user: u\n    profile: pi\n    {line}\n"
    )

    assert message.startswith(f"a.yaml:6: {said}")


def test_a_label_that_yaml_takes_for_a_number_is_pointed_at():
    message, hint = refusal(
        """
        devices:
          d:
            address: x
            user: u
            profile: pi
            labels:
              site: attic
              rack: 7
        """
    )

    assert message == "a.yaml:9: 'rack' is 7: should be a valid string"
    assert hint == "put the value in quotes"


def test_a_missing_key_is_named_with_the_device_it_is_missing_from():
    message, hint = refusal("devices:\n  kitchen:\n    user: pi\n    profile: pi\n")

    assert message == "a.yaml:2: 'address' is missing in 'devices.kitchen'"
    assert hint == "add a line address: …"


@pytest.mark.parametrize("body", ["", " {}", " {address: x}", " word"])
def test_a_device_without_a_profile_is_told_to_name_one(body):
    message, hint = refusal(f"devices:\n  kitchen:{body}\n")

    assert message == "a.yaml:2: device 'kitchen' names no profile"
    assert hint == "add a line profile: …"


@pytest.mark.parametrize("section", ["devices", "groups", "profiles"])
def test_a_section_that_is_a_list_is_refused(section):
    message, _ = refusal(f"{section}:\n  - kitchen\n")

    assert message == f"a.yaml:1: '{section}' must be a mapping of names"


def test_a_file_that_is_a_list_is_refused():
    assert refusal("- kitchen\n")[0] == "a.yaml:1: expected a mapping of keys to values"


def test_a_device_given_twice_in_one_file_names_both_lines():
    message, _ = refusal("devices:\n  d: {address: x}\n  e: {address: x}\n  d: {address: y}\n")

    assert message == "a.yaml:4: 'd' is given twice (first on line 2)"


def test_a_device_given_in_two_files_names_both():
    one = "devices:\n  d: {address: x, user: u, profile: pi}\n"

    message, hint = refusal(one, "\n" + one)

    assert message == "b.yaml:3: device 'd' is already defined in a.yaml:2"
    assert hint == "rename or remove one of them"


def test_a_profile_of_ours_cannot_be_given_another_meaning():
    message, _ = refusal("profiles:\n  pi: {kind: other}\n")

    assert message == "a.yaml:2: profile 'pi' is already defined in profiles.yaml:2"


def test_an_unknown_profile_is_refused_with_the_nearest_known_one():
    message, hint = refusal("devices:\n  d:\n    address: x\n    profile: pii\n")

    assert message == "a.yaml:4: device 'd' has unknown profile 'pii'; did you mean 'pi'?"
    assert hint == "known profiles: pi"


@pytest.mark.parametrize("profile", ["[pi]", "{pi: 1}", "4"])
def test_a_profile_that_is_no_name_is_refused(profile):
    message, _ = refusal(f"devices:\n  d:\n    address: x\n    profile: {profile}\n")

    assert message.startswith("a.yaml:4: device 'd' has unknown profile ")


def test_an_unknown_group_is_refused_with_the_nearest_known_one():
    message, hint = refusal(
        """
        groups: {kitchen: {}, cellar: {}}
        devices:
          d:
            address: x
            user: u
            profile: pi
            groups:
              - cellar
              - kitchn
        """
    )

    expected = "a.yaml:10: device 'd' is in unknown group 'kitchn'; did you mean 'kitchen'?"
    assert message == expected
    assert hint == "add it under 'groups:', or use one of: cellar, kitchen"


def test_an_unknown_child_of_a_group_is_refused_with_the_nearest_known_one():
    message, _ = refusal("groups:\n  kitchen: {}\n  house:\n    children: [kitchn]\n")

    expected = "group 'house' contains unknown group 'kitchn'; did you mean 'kitchen'?"
    assert message == f"a.yaml:4: {expected}"


def test_groups_that_contain_each_other_are_shown_as_a_circle():
    message, hint = refusal(
        """
        groups:
          a: {children: [b]}
          b: {children: [c]}
          c: {children: [a]}
        """
    )

    assert message == "a.yaml:3: groups contain each other: a > b > c > a"
    assert hint == "remove one of these from its parent's children"


def test_gateways_that_lead_to_each_other_are_shown_as_a_circle():
    message, hint = refusal(
        """
        devices:
          a: {address: a, user: u, profile: pi, via: b}
          b: {address: b, user: u, profile: pi, via: a}
        """
    )

    assert message == "a.yaml:3: gateways lead to each other: a > b > a"
    assert hint == "remove one of these"


def test_a_phone_on_adb_has_an_address_or_a_serial_and_no_user():
    found = read(
        """
        devices:
          usb: {transport: adb, serial: R58M0000000, profile: pi}
          lan: {transport: adb, address: 192.0.2.31, port: 5555, profile: pi}
        """
    ).devices

    assert (found["usb"].adb_serial, found["usb"].place) == ("R58M0000000", "adb R58M0000000")
    assert found["lan"].adb_serial == "192.0.2.31:5555"
    assert found["lan"].by_hand == "adb -s 192.0.2.31:5555 shell true"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("transport: adb", "a device on adb has either an 'address' or a 'serial'"),
        (
            "transport: adb, address: a, serial: b",
            "a device on adb has either an 'address' or a 'serial'",
        ),
        ("transport: adb, address: a, via: b", "adb has no gateways"),
        ("address: a, user: u, serial: b", "'serial' means nothing over ssh"),
        ("address: a", "'user' is missing in 'devices.x'"),
        ("user: u", "'address' is missing in 'devices.x'"),
    ],
)
def test_what_a_transport_cannot_use_is_refused(words, said):
    message, hint = refusal(f"devices:\n  x: {{profile: pi, {words}}}\n")

    assert message == f"a.yaml:2: {said}"
    assert hint


def test_a_gateway_on_adb_is_refused():
    message, _ = refusal(
        """
        devices:
          a: {address: a, user: u, profile: pi, via: b}
          b: {serial: b, transport: adb, profile: pi}
        """
    )

    assert message == "a.yaml:3: gateway 'b' is reached over adb, which carries no further"


def test_a_group_that_contains_itself_is_refused():
    message, _ = refusal("groups:\n  a: {children: [a]}\n")

    assert message == "a.yaml:2: groups contain each other: a > a"


def test_groups_may_share_a_child():
    found = read(
        """
        groups: {top: {children: [left, right]}, left: {children: [low]}, right: {children: [low]}, low: {}}
        devices: {d: {address: x, user: u, profile: pi, groups: [low]}}
        """
    )

    assert [found.members(group) for group in found.groups] == [frozenset({"d"})] * 4


@pytest.mark.parametrize("section", ["devices", "groups"])
def test_nothing_but_everything_may_be_called_all(section):
    message, hint = refusal(f"{section}:\n  all:\n")

    assert (message, hint) == ("a.yaml:2: 'all' already means every device", "rename it")


def test_a_device_with_the_name_of_a_group_is_refused():
    message, hint = refusal(
        "devices:\n  kitchen: {address: x, user: u, profile: pi}\n", "groups:\n  kitchen: {}\n"
    )

    assert message == "a.yaml:2: device 'kitchen' has the name of a group"
    assert hint == "rename one of them: a target could mean either"


@pytest.mark.parametrize(
    "word", ["-oProxyCommand=x", "a b", "$(reboot)", "a;b", "`x`", "'", "a\n-o"]
)
@pytest.mark.parametrize("key", ["address", "user"])
def test_nothing_a_shell_or_ssh_could_obey_is_an_address_or_a_user(key, word):
    device = {"address": "10.0.0.1", "user": "pi", "profile": "pi", key: word}
    lines = "".join(f"    {name}: {value!r}\n" for name, value in device.items())
    where = 3 if key == "address" else 4

    message, _ = refusal(f"devices:\n  d:\n{lines.replace(chr(92) + 'n', ' ')}")

    assert message.startswith(f"a.yaml:{where}: '{key}' is ")
    assert "string should match pattern" in message


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("user: -oProxyCommand=x", "user"),
        ("port: 99999", "port"),
        ("storage_root: x", "storage_root"),
    ],
)
def test_a_bad_default_is_refused_where_it_is_written(line, key):
    message, _ = refusal(
        f"defaults:\n  {line}\ndevices:\n  d: {{address: x, user: u, profile: pi}}\n"
    )

    assert message.startswith(f"a.yaml:2: '{key}' is ")


@pytest.mark.parametrize("name", ["a b", "-x", "../up", "a/b", "x" * 65])
def test_a_name_that_could_not_stand_in_a_path_is_refused(name):
    message, _ = refusal(f"devices:\n  {name!r}: {{address: x, user: u, profile: pi}}\n")

    assert message.startswith(f"a.yaml:2: 'name' is '{name}'")


def test_devices_stand_in_the_order_people_count():
    lines = [f"  pi-{n}: {{address: x, user: u, profile: pi}}" for n in (10, 9, 2, 100, 1)]

    found = read("devices:\n" + "\n".join(lines))

    assert list(found.devices) == ["pi-1", "pi-2", "pi-9", "pi-10", "pi-100"]


def test_an_inventory_of_ten_thousand_devices_is_read():
    lines = (f"  pi-{n}: {{address: 10.0.0.1, user: u, profile: pi}}" for n in range(10_000))

    found = read("devices:\n" + "\n".join(lines))

    assert len(found.devices) == 10_000
    assert list(found.devices)[9_999] == "pi-9999"


def test_members_of_a_group_are_those_of_its_children_too():
    found = inventory()

    assert found.members("pis") == {"pi-2", "pi-10"}
    assert found.members("everything") == {"pi-2", "pi-10", "jetson-1"}


@given(st.lists(st.text(alphabet="ab-.0129", min_size=1), min_size=1))
def test_any_names_can_be_put_into_natural_order(names):
    assert sorted(sorted(names, key=natural)) == sorted(names)


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_numbers_in_names_are_compared_as_numbers(one, other):
    assert (natural(f"pi-{one}") < natural(f"pi-{other}")) == (one < other)
