"""Target expressions: what they mean, and what is said about those that mean nothing."""

import pytest
from examples import complaint, facts, inventory
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import BadTarget, FleetError, NotFound
from orchestrator.inventory.facts import Facts
from orchestrator.inventory.inventory import Inventory
from orchestrator.inventory.profile import Runtime
from orchestrator.inventory.selection import select

FLEET = inventory()
ALL = ["box-1", "jetson-1", "pi-2", "pi-10"]


def names(target: str, said: dict[str, Facts] | None = None, of: Inventory = FLEET) -> list[str]:
    return [device.name for device in select(of, target, said)]


def refusal(target: str) -> FleetError:
    with pytest.raises(FleetError) as caught:
        select(FLEET, target)
    return caught.value


@pytest.mark.parametrize(
    ("target", "meant"),
    [
        ("all", ALL),
        ("pi-2", ["pi-2"]),
        ("pis", ["pi-2", "pi-10"]),
        ("edge", ["jetson-1", "pi-2", "pi-10"]),
        ("everything", ["jetson-1", "pi-2", "pi-10"]),
        ("pi-*", ["pi-2", "pi-10"]),
        ("pi-?", ["pi-2"]),
        ("pi-[0-9]", ["pi-2"]),
        ("*-1", ["box-1", "jetson-1"]),
        ("!pis", ["box-1", "jetson-1"]),
        ("!!pis", ["pi-2", "pi-10"]),
        ("pis & canary", ["pi-2"]),
        ("pis & !canary", ["pi-10"]),
        ("canary | jetsons", ["jetson-1", "pi-2"]),
        ("canary, jetsons", ["jetson-1", "pi-2"]),
        ("pi-10,pi-2,pi-10", ["pi-2", "pi-10"]),
        ("box-1 | pis & canary", ["box-1", "pi-2"]),
        ("(box-1 | pis) & canary", ["pi-2"]),
        ("!(pis | jetsons)", ["box-1"]),
        ("!pis & !jetsons", ["box-1"]),
        (" ( pis )\t", ["pi-2", "pi-10"]),
        ("site=attic", ["pi-2"]),
        ("site=*", ["pi-2", "pi-10"]),
        ("site!=attic", ["box-1", "jetson-1", "pi-10"]),
        ("row>=9", ["pi-2", "pi-10"]),
        ("row>9", ["pi-2"]),
        ("row<10", ["pi-10"]),
        ("row<=9.5", ["pi-10"]),
        ("site>=1", []),
        ("arch=x86_64", ["box-1"]),
        ("kind=jetson", ["jetson-1"]),
        ("profile=pi", ["pi-2", "pi-10"]),
        ("runtimes=litert", ["pi-2", "pi-10"]),
        ("accelerators=cuda", ["jetson-1"]),
        ("accelerators!=cuda", ["box-1", "pi-2", "pi-10"]),
        ("emulated=false", ALL),
        ("name=pi-*", ["pi-2", "pi-10"]),
        ("ram_mib>=8192", ["box-1"]),
        ("arch=aarch64 & ram_mib>=4000 & !jetsons", ["pi-2", "pi-10"]),
    ],
)
def test_a_target_means(target, meant):
    if meant:
        assert names(target) == meant
    else:
        assert refusal(target).message == f"target {target!r} selects no device"


def test_what_its_owner_declares_stands_over_what_the_profile_says():
    assert "jetson-1" not in names("ram_mib>=8000")
    assert "jetson-1" in names("ram_mib=4096")


def test_what_a_device_said_stands_over_what_its_owner_declared():
    said = {"jetson-1": facts(Runtime.ONNXRUNTIME, ram_mib=7620, power_mode="15W", cores=6)}

    assert names("ram_mib=7620", said) == ["jetson-1"]
    assert names("power_mode=15W", said) == ["jetson-1"]
    assert names("cores>4", said) == ["jetson-1"]
    assert "jetson-1" not in names("ram_mib=4096", said)


def test_the_runtimes_found_on_a_device_stand_over_those_its_profile_offers():
    said = {"pi-2": facts(Runtime.LITERT)}

    assert names("runtimes=onnxruntime & pis", said) == ["pi-10"]


def test_what_a_device_did_not_say_leaves_what_was_declared():
    said = {"jetson-1": facts(ram_mib=0, board="", accelerators=())}

    assert names("ram_mib=4096 & accelerators=cuda", said)[0] == "jetson-1"


def test_a_label_stands_over_everything():
    labelled = inventory(
        """
        profiles: {pi: {kind: raspberry-pi, arch: aarch64, ram_mib: 1, runtimes: [litert]}}
        devices: {d: {address: x, user: u, profile: pi, labels: {ram_mib: "5"}}}
        """
    )

    assert names("ram_mib=5", {"d": facts(ram_mib=3)}, labelled) == ["d"]


def test_an_unknown_name_is_refused_with_the_nearest_known_one():
    error = refusal("jetson-2")

    assert isinstance(error, NotFound)
    assert error.message == "no device or group named 'jetson-2'; did you mean 'jetson-1'?"
    assert "box-1" in error.hint


def test_a_glob_that_matches_nothing_is_refused():
    error = refusal("tpu-*")

    assert isinstance(error, NotFound)
    assert error.message.startswith("no device matching named 'tpu-*'")


def test_an_unknown_key_is_refused_with_the_nearest_known_one():
    error = refusal("sight=attic")

    assert isinstance(error, BadTarget)
    assert error.message == "no device has a label or fact 'sight'; did you mean 'site'?"
    assert "ram_mib" in error.hint


@pytest.mark.parametrize(
    ("target", "column", "why"),
    [
        ("pis &", 6, "the expression ends too early"),
        ("pis pi-2", 5, "unexpected 'pi-2'"),
        ("& pis", 1, "unexpected '&'"),
        ("pis | | canary", 7, "unexpected '|'"),
        ("pis ; reboot", 4, "unexpected ';'"),
        ("(pis", 5, "a '(' is never closed"),
        ("pis)", 4, "unexpected ')'"),
        ("pis & ()", 8, "unexpected ')'"),
        ("all & site=", 7, "site= is followed by no value"),
        ("site==attic", 1, "site= is followed by no value"),
        ("=attic", 1, "unexpected '='"),
        ("ram_mib>=lots", 10, "ram_mib>= wants a number, not 'lots'"),
        ("!" * 65 + "all", 65, "more than 64 '!' and '(' inside each other"),
        ("(" * 9999, 65, "more than 64 '!' and '(' inside each other"),
    ],
)
def test_what_does_not_parse_is_pointed_at(target, column, why):
    error = refusal(target)

    assert isinstance(error, BadTarget)
    assert error.message == f"target {target!r}, column {column}: {why}"
    assert error.hint.startswith("for example: ")


@pytest.mark.parametrize("target", ["", "   ", "\t\n"])
def test_an_empty_target_is_refused(target):
    assert refusal(target).message == "the target is empty"


def test_a_target_that_selects_nothing_is_refused_and_not_taken_for_done():
    error = refusal("pis & jetsons")

    assert isinstance(error, BadTarget)
    assert error.message == "target 'pis & jetsons' selects no device"
    assert error.hint == "see what there is: fleet inventory list"


def test_a_fleet_without_devices_has_nothing_to_select():
    with pytest.raises(BadTarget, match="there is no device yet"):
        select(Inventory(), "all")


def test_sixty_four_brackets_are_not_too_many():
    assert names("(" * 64 + "pis" + ")" * 64) == ["pi-2", "pi-10"]


def test_a_list_of_a_thousand_names_is_no_nesting():
    assert names("|".join(["pi-2", "(pi-10)"] * 1000)) == ["pi-2", "pi-10"]


LEAVES = st.sampled_from(
    [*ALL, "pis", "edge", "canary", "pi-*", "site=attic", "row>9", "ram_mib>=5000", "arch=aarch64"]
)
TARGETS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        inner.map(lambda a: f"!({a})"),
        st.tuples(inner, st.sampled_from("&|,"), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
    ),
    max_leaves=6,
)


def meant(target: str) -> set[str]:
    """The devices of a target; the empty set instead of a refusal."""
    message = complaint(lambda: names(target))

    assert message in ("", f"target {target!r} selects no device")
    return set() if message else set(names(target))


@given(TARGETS)
def test_not_not_a_is_a(a):
    assert meant(f"!!({a})") == meant(a)


@given(TARGETS)
def test_a_and_everything_else_is_all(a):
    assert names(f"({a}) | !({a})") == ALL
    assert meant(f"({a}) & !({a})") == set()


@given(TARGETS, TARGETS)
def test_neither_a_nor_b_is_not_a_and_not_b(a, b):
    assert meant(f"!(({a}) | ({b}))") == meant(f"!({a}) & !({b})")
    assert meant(f"!(({a}) & ({b}))") == meant(f"!({a}) | !({b})")


@given(TARGETS, TARGETS)
def test_either_and_both_are_union_and_intersection(a, b):
    assert meant(f"({a}) | ({b})") == meant(a) | meant(b)
    assert meant(f"({a}) & ({b})") == meant(a) & meant(b)


@given(TARGETS)
def test_what_is_selected_keeps_the_order_of_the_inventory(a):
    chosen = meant(a)

    if chosen:
        assert names(a) == [name for name in ALL if name in chosen]


@given(st.text())
def test_any_text_selects_devices_or_is_refused_in_words(target):
    assert complaint(lambda: select(FLEET, target)) or select(FLEET, target)


@given(st.text(alphabet="all pi-210*?[]!&|,()=<>.:", max_size=30))
def test_any_signs_select_devices_or_are_refused_in_words(target):
    assert complaint(lambda: select(FLEET, target)) or select(FLEET, target)
