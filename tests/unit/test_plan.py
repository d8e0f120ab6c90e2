"""Plans: the same bytes for the same inputs, every changing device in exactly one wave."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
from examples import (
    CHECKOUT,
    FLEET,
    artifact,
    lock,
    locked,
    manifest,
    observed,
    runs,
    unobserved,
)
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.artifact.lock import write_lock
from orchestrator.catalog.assignment import Reason
from orchestrator.errors import BadInput
from orchestrator.inventory.profile import Runtime
from orchestrator.rollout.observation import Installed, Observation
from orchestrator.rollout.plan import (
    Desired,
    Intent,
    Keep,
    Plan,
    Skip,
    Switch,
    Why,
    changed_since,
    plan,
    read_plan,
    write_plan,
)
from orchestrator.rollout.playbook import Playbook, Wave, read_playbook, waves
from orchestrator.values import canonical

V1, V2, V3 = manifest("1.0.0"), manifest("2.0.0"), manifest("3.0.0", "onnx-int8")


def desired(device: str, release=V2, model: str = "fashion") -> Desired:
    return Desired(device, model, release, Runtime.LITERT, "best latency")


def one_plan(wishes, *seen: Observation, playbook: Playbook | None = None) -> Plan:
    profiles = {each.device: f"p{n % 2}" for n, each in enumerate(seen)}
    by_name = {each.device: each for each in seen}
    return plan(Intent.DEPLOY, "all", playbook or Playbook(), wishes, by_name, profiles)


# --- steps ------------------------------------------------------------------------------------


def test_a_device_that_runs_another_release_is_switched():
    (step,) = one_plan([desired("a")], observed("a", runs(V1))).steps

    assert isinstance(step, Switch)
    assert (step.was, step.release, step.manifest) == (V1.release, V2.release, V2.sha256)
    assert step.bytes_to_send == V2.size_bytes


def test_a_device_that_runs_nothing_yet_is_switched_from_nothing():
    (step,) = one_plan([desired("a")], observed("a")).steps

    assert isinstance(step, Switch)
    assert step.was is None


def test_a_device_that_still_has_the_release_needs_no_bytes():
    (step,) = one_plan([desired("a")], observed("a", runs(V1, V2))).steps

    assert isinstance(step, Switch)
    assert step.bytes_to_send == 0


def test_a_device_that_runs_it_already_is_left_alone():
    made = one_plan([desired("a")], observed("a", runs(V2)))

    assert [type(step) for step in made.steps] == [Keep]
    assert made.waves == ()


def test_a_device_that_does_not_answer_is_skipped_with_the_reason_and_not_dropped():
    (step,) = one_plan([desired("a")], unobserved("a")).steps

    assert isinstance(step, Skip)
    assert (step.why, step.hint) == (Why.UNREACHABLE, "switch it on")
    assert step.because == "TRANSPORT > UNREACHABLE: no route"


def test_a_manifest_stands_in_a_plan_once_however_many_devices_get_it():
    names = [f"d{n}" for n in range(50)]

    made = one_plan([desired(name) for name in names], *(observed(name) for name in names))

    assert made.manifests == (V2,)
    assert made.manifest(V2.sha256) is made.manifests[0]
    assert len(made.switches) == 50


def test_a_device_with_two_models_stands_in_one_wave_once():
    other = manifest("1.0.0", name="other")

    made = one_plan([desired("a"), desired("a", other, "other")], observed("a"))

    assert [wave.devices for wave in made.waves] == [("a",)]
    assert len(made.switches) == 2


# --- files ------------------------------------------------------------------------------------

NAMES = st.lists(st.from_regex(r"[a-z][a-z0-9-]{0,6}", fullmatch=True), unique=True, max_size=12)
SIZES = st.one_of(
    st.integers(1, 15).map(str),
    st.integers(1, 150).map(lambda n: f"{n}%"),
    st.sampled_from(["all", "one-per-profile"]),
)
SHARES = st.one_of(st.integers(0, 5).map(str), st.integers(0, 100).map(lambda n: f"{n}%"))
PLAYBOOKS = st.builds(
    Playbook,
    waves=st.lists(
        st.builds(Wave, name=st.sampled_from("abc"), size=SIZES, max_failed=SHARES),
        min_size=1,
        max_size=4,
    ).map(tuple),
)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    wishes, seen = [], []
    for name in draw(NAMES):
        running = draw(st.sampled_from([None, V1, V2, V3]))
        silent = draw(st.integers(0, 5)) == 0
        seen.append(
            unobserved(name) if silent else observed(name, *([runs(running)] if running else []))
        )
        words = draw(st.text(max_size=5, alphabet=st.characters(exclude_categories=["Cs"])))
        skip = Skip(
            device=name,
            model="fashion",
            why=Why.NO_VARIANT,
            because=words,
            others=(Reason(variant="x", because=words),),
        )
        wishes.append(draw(st.sampled_from([desired(name), desired(name, V3), skip])))
    return one_plan(wishes, *seen, playbook=draw(PLAYBOOKS))


@given(plans())
def test_a_plan_survives_its_file(made):
    again = read_plan(write_plan(made).decode(), "plan.json")

    assert again == made
    assert again.id == made.id
    assert write_plan(again) == write_plan(made)


@given(plans())
def test_every_wish_has_one_step_and_every_changing_device_one_wave(made):
    changing = [device for wave in made.waves for device in wave.devices]

    assert sorted(changing) == sorted({step.device for step in made.switches})
    assert len(changing) == len(set(changing))
    assert {step.manifest for step in made.steps if not isinstance(step, Skip)} <= {
        each.sha256 for each in made.manifests
    }


def test_equal_plans_have_one_id_and_any_difference_has_another():
    one = one_plan([desired("a")], observed("a"))
    same = one_plan([desired("a")], observed("a"))
    other = one_plan([desired("a")], observed("a", runs(V1)))

    assert one.id == same.id
    assert len({one.id, other.id}) == 2
    assert len(one.id) == 12


MAKE_A_PLAN = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from examples import facts, observed, reading, runs, manifest
from orchestrator.artifact.lock import read_lock
from orchestrator.catalog.model import read_models
from orchestrator.inventory.inventory import read_inventory
from orchestrator.inventory.profile import Runtime
from orchestrator.inventory.selection import select
from orchestrator.rollout.desire import Known, to_deploy
from orchestrator.rollout.plan import Intent, plan, write_plan
from orchestrator.rollout.playbook import read_playbook

here = Path(sys.argv[1])
text = {name: (here / name).read_text(encoding="utf-8") for name in
        ("devices.yaml", "models.yaml", "canary.yaml", "fleet.lock")}
inventory = read_inventory([("devices.yaml", text["devices.yaml"])])
models = read_models(text["models.yaml"], "models.yaml")
playbook = read_playbook(text["canary.yaml"], "canary.yaml")
devices = select(inventory, "edge | box-1 & runtimes=onnxruntime")
said = facts(Runtime.ONNXRUNTIME, Runtime.LITERT, cpu_features=("asimd", "fp"))
seen = {d.name: observed(d.name, runs(manifest("0.9.0")), facts_=said) for d in devices}
readings = {"0" * 64: (reading(said.fingerprint, 1.0),)}
known = Known(inventory.profiles, read_lock(text["fleet.lock"], "fleet.lock"), readings,
              playbook.objective)
wishes = to_deploy([(m, d) for d in devices for m in models.values()], seen, known)
made = plan(Intent.DEPLOY, "edge", playbook, wishes, seen, {d.name: d.profile for d in devices})
sys.stdout.buffer.write(write_plan(made))
"""


def test_the_same_files_give_the_same_plan_whatever_the_hash_seed(tmp_path: Path):
    whole = lock(locked(artifact("tflite-int8"), artifact("onnx-int8")), locked(name="other"))
    (tmp_path / "devices.yaml").write_text(FLEET)
    (tmp_path / "models.yaml").write_text(
        "models:\n"
        "  fashion: {source: f.keras, version: 1.0.0, variants: [onnx-int8, tflite-int8]}\n"
        "  other: {source: f.keras, version: 1.0.0, variants: {tflite-int8: {}, onnx-int8: }}\n"
    )
    (tmp_path / "canary.yaml").write_text((CHECKOUT / "playbooks/canary.yaml").read_text())
    (tmp_path / "fleet.lock").write_text(write_lock(whole))

    made = [
        subprocess.run(
            [sys.executable, "-c", MAKE_A_PLAN, str(tmp_path), str(Path(__file__).parent)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            timeout=60,
        ).stdout
        for seed in ("0", "1", "4711")
    ]

    assert len(set(made)) == 1
    read = read_plan(made[0].decode(), "plan.json")
    assert len(read.switches) == 6
    assert [step.device for step in read.steps if isinstance(step, Skip)] == ["box-1", "jetson-1"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not a plan, at its start: Invalid JSON"),
        ("[]", "not a plan, at its start: "),
        ('{"intent": "deploy"}', "not a plan, at target: Field required"),
        ('{"format": 2, "new": 1}', "written by another fleet: format 2, and this one reads 1"),
    ],
)
def test_a_damaged_plan_says_where(text, said):
    with pytest.raises(BadInput) as caught:
        read_plan(text, "plan.json")

    assert caught.value.message.startswith(f"plan.json: {said}")
    assert "plan" in caught.value.hint


def cut(plain: dict) -> None:
    plain["steps"][0]["manifest"] = plain["steps"][0]["manifest"][:-1]


def lose_the_manifest(plain: dict) -> None:
    plain["manifests"] = []


def lose_a_wave(plain: dict) -> None:
    plain["waves"].pop()


def deal_twice(plain: dict) -> None:
    plain["waves"][0]["devices"].append(plain["waves"][1]["devices"][0])


def add_a_stranger(plain: dict) -> None:
    plain["waves"][0]["devices"].append("stranger")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (cut, "at steps.0.switch.manifest: String should match pattern"),
        (lose_the_manifest, "at its start: Value error, the manifest of 'a' is not in the plan"),
        (lose_a_wave, "at its start: Value error, a changing device must stand in exactly one"),
        (deal_twice, "at its start: Value error, a changing device must stand in exactly one"),
        (add_a_stranger, "at its start: Value error, a changing device must stand in exactly one"),
    ],
)
def test_a_plan_changed_by_hand_is_refused(damage, said):
    names = ["a", "b", "c"]
    made = one_plan([desired(name) for name in names], *(observed(name) for name in names))
    plain = json.loads(write_plan(made))
    assert len(plain["waves"]) == 2

    damage(plain)

    with pytest.raises(BadInput) as caught:
        read_plan(json.dumps(plain), "plan.json")
    assert caught.value.message.startswith(f"plan.json: not a plan, {said}")


# --- what has changed since -------------------------------------------------------------------


def test_a_saved_plan_holds_as_long_as_devices_run_what_they_did_or_what_they_shall():
    made = one_plan([desired("a"), desired("b")], observed("a", runs(V1)), observed("b"))

    now = {"a": observed("a", runs(V1)), "b": observed("b", runs(V2))}

    assert changed_since(made, now) == ()


def test_a_saved_plan_does_not_hold_for_a_device_that_runs_something_else_by_now():
    names = ("a", "b", "c")
    made = one_plan([desired(name) for name in names], *(observed(n, runs(V1)) for n in names))

    now = {"a": observed("a", runs(V3)), "b": unobserved("b"), "c": observed("c")}
    changed = {skip.device: (skip.why, skip.because) for skip in changed_since(made, now)}

    assert changed == {
        "a": (Why.UNKNOWN_RELEASE, f"runs {V3.release}, and the plan was made for {V1.release}"),
        "b": (Why.UNREACHABLE, "TRANSPORT > UNREACHABLE: no route"),
        "c": (Why.UNKNOWN_RELEASE, f"runs None, and the plan was made for {V1.release}"),
    }


def test_a_device_that_was_left_alone_cannot_change_a_plan():
    made = one_plan([desired("a")], observed("a", runs(V2)))

    assert changed_since(made, {}) == ()


# --- waves ------------------------------------------------------------------------------------

TEN = [f"d{n}" for n in range(10)]
KINDS = {name: f"p{n % 3}" for n, name in enumerate(TEN)}


def dealt(*sizes: str) -> list[int]:
    playbook = Playbook(waves=tuple(Wave(name=f"w{n}", size=size) for n, size in enumerate(sizes)))
    return [len(wave.devices) for wave in waves(playbook, TEN, KINDS)]


@pytest.mark.parametrize(
    ("sizes", "counts"),
    [
        (["all"], [10]),
        (["1"], [10]),
        (["1", "all"], [1, 9]),
        (["1", "2", "3"], [1, 2, 7]),
        (["10%", "50%", "all"], [1, 5, 4]),
        (["1%", "all"], [1, 9]),
        (["25%", "25%", "all"], [3, 3, 4]),
        (["100%", "all"], [10]),
        (["99", "all"], [10]),
        (["all", "all"], [10]),
        (["one-per-profile", "all"], [3, 7]),
        (["one-per-profile", "one-per-profile", "1"], [3, 3, 4]),
    ],
)
def test_waves_are_as_big_as_the_playbook_says_and_the_last_takes_the_rest(sizes, counts):
    assert dealt(*sizes) == counts


def test_the_first_of_each_profile_goes_first():
    first, _ = waves(Playbook(), TEN, KINDS)

    assert first.devices == ("d0", "d1", "d2")


@pytest.mark.parametrize(
    ("share", "may_fail"), [("0", 0), ("3", 3), ("10%", 1), ("19%", 1), ("20%", 2), ("100%", 10)]
)
def test_a_share_of_a_wave_that_may_fail_is_rounded_down(share, may_fail):
    playbook = Playbook(waves=(Wave(name="all", size="all", max_failed=share),))

    assert waves(playbook, TEN, KINDS)[0].may_fail == may_fail


@given(st.integers(0, 60), PLAYBOOKS, st.integers(1, 5))
def test_every_device_stands_in_exactly_one_wave_in_the_order_given(count, playbook, kinds):
    names = [f"d{n}" for n in range(count)]

    made = waves(playbook, names, {name: f"p{n % kinds}" for n, name in enumerate(names)})

    flat = [name for wave in made for name in wave.devices]
    assert sorted(flat) == sorted(names)
    assert all(wave.devices for wave in made)
    assert all(list(w.devices) == sorted(w.devices, key=names.index) for w in made)
    assert len(made) <= len(playbook.waves)


@given(st.integers(1, 400), st.integers(1, 100))
def test_a_percentage_is_never_rounded_to_nobody(count, percent):
    playbook = Playbook(waves=(Wave(name="a", size=f"{percent}%"), Wave(name="b", size="all")))

    first = waves(playbook, [str(n) for n in range(count)], {})[0]

    assert len(first.devices) == max(1, -(-percent * count // 100))
    assert first.may_fail == 0
    assert math.isclose(len(first.devices), count * percent / 100, abs_tol=1)


# --- playbooks --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["canary", "all-at-once"])
@pytest.mark.parametrize("folder", ["playbooks", "templates/site/playbooks"])
def test_the_playbooks_that_ship_can_be_read(folder, name):
    text = (CHECKOUT / folder / f"{name}.yaml").read_text(encoding="utf-8")

    assert read_playbook(text, name).name == name


def test_a_playbook_may_say_nothing():
    assert read_playbook("", "empty.yaml") == Playbook()


def test_sizes_may_be_numbers_or_words():
    text = "waves:\n- {name: a, size: 3, max_failed: 1}\n- {name: b, size: 10%}\n"

    assert [(w.size, w.max_failed) for w in read_playbook(text, "p.yaml").waves] == [
        ("3", "1"),
        ("10%", "0"),
    ]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("- {name: a, size: 0}", "2: 'size' is 0: should be a count, a percentage such as 10%"),
        ("- {name: a, size: -1}", "2: 'size' is -1: should be a count"),
        ("- {name: a, size: half}", "2: 'size' is 'half': should be a count"),
        ("- {name: a, size: 1.5}", "2: 'size' is 1.5: should be a count"),
        ("- {name: a, size: }", "2: 'size' is None: should be a count"),
        ("- {name: a, size: 1, max_failed: few}", "2: 'max_failed' is 'few': should be a count or"),
        ("- {name: a, sise: 1}", "2: 'size' is missing in 'waves.0'"),
        ("- {name: a, size: 1, max_fail: 1}", "2: unknown key 'max_fail'; did you mean"),
        ("at_once: 0", "2: 'at_once' is 0: should be greater than or equal to 1"),
        ("at_once_per_group: {a: 0}", "2: 'a' is 0: should be greater than or equal to 1"),
        ("send_at_most: 50%", "2: 'send_at_most' is '50%': should be a percentage of a release's"),
        ("link: slow", "2: 'link' is 'slow': should be 'auto', 'metered' or 'fast'"),
        ("keep_releases: 1", "2: 'keep_releases' is 1: should be greater than or equal to 2"),
        ("objective: speed", "2: 'objective' is 'speed': should be 'latency', 'accuracy' or"),
        ("wave: []", "2: unknown key 'wave'; did you mean 'waves'?"),
    ],
)
def test_a_playbook_that_cannot_be_meant_is_refused_where_it_is_wrong(line, said):
    text = f"waves:\n{line}\n" if line.startswith("-") else f"name: x\n{line}\n"

    with pytest.raises(BadInput) as caught:
        read_playbook(text, "p.yaml")

    assert caught.value.message.startswith(f"p.yaml:{said}")


def test_limits_of_groups_are_kept_in_order_and_survive_the_plans_file():
    book = read_playbook("at_once_per_group: {b: 2, a: 1}\nlink: metered\n", "p.yaml")

    assert book.at_once_per_group == (("a", 1), ("b", 2))
    assert Playbook.model_validate_json(canonical(book)) == book


def test_a_playbook_without_waves_is_refused():
    with pytest.raises(BadInput, match=r"p\.yaml:1: 'waves' is \[\]"):
        read_playbook("waves: []", "p.yaml")


def test_what_is_installed_of_a_model_that_never_was_is_empty():
    assert observed("a").of("fashion") == Installed(model="fashion")
