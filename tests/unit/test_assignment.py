"""Which variant a device gets, and why each of the others was not taken."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from examples import NOON, artifact, digest_of, facts, locked, model, profile, reading
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.artifact.lock import LockedModel, Status, offers
from orchestrator.catalog.assignment import (
    Assignment,
    Figures,
    Objective,
    Offer,
    Refusal,
    assign,
)
from orchestrator.catalog.reading import Means
from orchestrator.catalog.variant import BUILDABLE, Variant
from orchestrator.inventory.facts import InstalledRuntime
from orchestrator.inventory.profile import Runtime
from orchestrator.inventory.software import Software

LITERT, TFLITE, ONNX = Runtime.LITERT, Runtime.TFLITE_RUNTIME, Runtime.ONNXRUNTIME
PI = profile(LITERT, ONNX)


def variant(name: str, **more: Any) -> Variant:
    return Variant(name=name, **dict(BUILDABLE[name]), **more)


def offer(
    name: str, ms: float | None = 1.0, size: int = 100, accuracy: float | None = 0.9, **more: Any
) -> Offer:
    known = {key: more.pop(key) for key in ("archs", "needs_mib") if key in more}
    return Offer(
        variant(name, **known), Figures(size_bytes=size, accuracy=accuracy, p50_ms=ms), **more
    )


def chosen(*given: Offer, by: Objective = Objective.LATENCY, said=None, on=PI) -> Assignment:
    found = assign(given, on, said, by)
    assert isinstance(found, Assignment), found
    return found


def reasons(*given: Offer, said=None, on=PI) -> dict[str, str]:
    found = assign(given, on, said, Objective.LATENCY)
    assert isinstance(found, Refusal)
    return {each.variant: each.because for each in found.others}


# --- refusals ---------------------------------------------------------------------------------


def test_a_variant_that_is_blocked_is_refused_in_the_words_of_the_block():
    assert reasons(offer("onnx-int8", blocked="rejected: drops too much")) == {
        "onnx-int8": "rejected: drops too much"
    }


def test_a_variant_for_other_processors_is_refused():
    assert reasons(offer("onnx-int8", archs=("x86_64", "riscv64"))) == {
        "onnx-int8": "runs on x86_64, riscv64, and this is aarch64"
    }


def test_the_processor_a_device_shows_counts_and_not_its_profile_s():
    said = facts(ONNX, arch="armv7l")

    assert reasons(offer("onnx-int8", archs=("aarch64",)), said=said) == {
        "onnx-int8": "runs on aarch64, and this is armv7l"
    }


def test_a_device_that_does_not_name_its_processor_is_taken_for_its_profile_s():
    said = facts(ONNX, arch="")

    assert chosen(offer("onnx-int8", archs=("aarch64",)), said=said).variant == "onnx-int8"


def test_a_64_bit_variant_is_not_for_a_32_bit_userland_whatever_the_kernel_says():
    said = facts(ONNX, arch="aarch64", userland_bits=32)

    assert reasons(offer("onnx-int8", archs=("aarch64",)), said=said) == {
        "onnx-int8": "runs on aarch64, and this is armv7l"
    }


@pytest.mark.parametrize(
    "said",
    [
        {"arch": "armv6l"},
        {"arch": "armv6l", "cpu_features": ("half", "thumb", "vfp")},
        {"arch": "armv7l", "cpu_features": ("vfpv3d16",)},  # Tegra 2
    ],
)
def test_an_arm_processor_without_neon_is_refused_what_would_die_of_sigill(said):
    (because,) = reasons(offer("tflite-int8"), said=facts(LITERT, **said)).values()

    assert because == (
        f"{said['arch']} without NEON: the published runtimes for 32-bit Arm would die of SIGILL; "
        f"where you have built one yourself, say archs: [{said['arch']}]"
    )


def test_a_profile_of_such_a_processor_is_refused_before_the_device_was_ever_asked():
    (because,) = reasons(offer("tflite-int8"), on=profile(LITERT, arch="armv6l")).values()

    assert because.startswith("armv6l without NEON")


@pytest.mark.parametrize(
    "said",
    [
        {"arch": "aarch64", "cpu_features": ("asimd", "fp")},
        {"arch": "armv7l", "cpu_features": ("neon", "vfpv4")},
        {"arch": "armv7l"},
        {"arch": "x86_64", "cpu_features": ("sse4_2",)},
    ],
)
def test_processors_with_neon_unknown_ones_and_others_are_not(said):
    assert chosen(offer("tflite-int8"), said=facts(LITERT, **said))


def test_who_has_built_a_runtime_for_armv6_says_so_with_archs():
    said = facts(LITERT, arch="armv6l", cpu_features=("vfp",))

    assert chosen(offer("tflite-int8", archs=("armv6l",)), said=said)


def test_a_variant_that_needs_more_memory_than_there_is_is_refused():
    assert reasons(offer("onnx-int8", needs_mib=4097)) == {
        "onnx-int8": "needs 4097 MiB of memory, and there are 4096"
    }
    assert reasons(offer("onnx-int8", needs_mib=901), said=facts(ONNX, ram_mib=900)) == {
        "onnx-int8": "needs 901 MiB of memory, and there are 900"
    }


def test_memory_that_is_just_enough_is_enough():
    assert chosen(offer("onnx-int8", needs_mib=900), said=facts(ONNX, ram_mib=900))


def test_a_device_that_does_not_say_its_memory_has_what_its_profile_says():
    assert chosen(offer("onnx-int8", needs_mib=4096), said=facts(ONNX, ram_mib=0))


def test_a_format_the_profile_has_no_runtime_for_is_refused():
    assert reasons(offer("tflite-int8"), on=profile(ONNX)) == {
        "tflite-int8": "profile pi offers onnxruntime, not litert or tflite-runtime"
    }


def test_a_runtime_that_is_not_installed_is_refused_whatever_the_profile_says():
    assert reasons(offer("tflite-int8"), said=facts(ONNX), on=profile(LITERT, TFLITE, ONNX)) == {
        "tflite-int8": "litert or tflite-runtime is not installed on the device"
    }


def test_a_refusal_says_in_one_line_why_nothing_fits():
    found = assign(
        [offer("onnx-int8", blocked="not built"), offer("tflite-int8", needs_mib=9999)],
        PI,
        None,
        Objective.SIZE,
    )

    assert isinstance(found, Refusal)
    expected = "needs 9999 MiB of memory, and there are 4096"
    assert found.because == f"onnx-int8: not built; tflite-int8: {expected}"


def test_without_any_offer_there_is_nothing_to_assign():
    assert assign([], PI, None, Objective.SIZE) == Refusal(others=())


# --- the runtime ------------------------------------------------------------------------------


def test_the_first_runtime_of_the_profile_runs_it_until_the_device_is_asked():
    assert chosen(offer("tflite-int8"), on=profile(TFLITE, LITERT)).runtime is TFLITE


def test_the_first_runtime_that_is_installed_runs_it():
    given = offer("tflite-int8")

    assert chosen(given, said=facts(LITERT), on=profile(TFLITE, LITERT)).runtime is LITERT


# --- the choice -------------------------------------------------------------------------------

FAST = offer("onnx-float32", ms=1.0, size=300, accuracy=0.90)
EXACT = offer("tflite-float32", ms=3.0, size=200, accuracy=0.95)
SMALL = offer("tflite-int8", ms=2.0, size=100, accuracy=0.85)


@pytest.mark.parametrize(
    ("objective", "variant", "because"),
    [
        (Objective.LATENCY, "onnx-float32", "best latency: 1.000 ms on the build machine"),
        (Objective.ACCURACY, "tflite-float32", "best accuracy: accuracy 0.9500"),
        (Objective.SIZE, "tflite-int8", "best size: 100 bytes"),
    ],
)
def test_the_best_variant_is_best_at_what_the_playbook_asks_for(objective, variant, because):
    found = chosen(FAST, EXACT, SMALL, by=objective)

    assert (found.variant, found.because) == (variant, because)


def test_every_other_variant_has_its_reason():
    others = chosen(FAST, EXACT, SMALL, offer("onnx-int8", blocked="not built")).others

    assert {each.variant: each.because for each in others} == {
        "onnx-int8": "not built",
        "tflite-int8": "fits, but 2.000 ms on the build machine, against 1.000 ms on the build machine",
        "tflite-float32": "fits, but 3.000 ms on the build machine, against 1.000 ms on the build machine",
    }


def test_the_only_one_that_fits_is_called_so():
    assert chosen(FAST).because == "the only one that fits (1.000 ms on the build machine)"


def test_a_tie_goes_to_the_smaller_and_then_to_the_first_by_name():
    big, small = offer("onnx-float32", size=200), offer("tflite-float32", size=100)
    same = offer("onnx-int8", size=100)

    assert chosen(big, small).variant == "tflite-float32"
    assert chosen(big, small, same).variant == "onnx-int8"


def test_a_figure_that_could_not_be_measured_never_wins():
    unknown = offer("onnx-float32", ms=None, accuracy=None, size=1)

    assert chosen(unknown, SMALL).variant == "tflite-int8"
    assert chosen(unknown, SMALL, by=Objective.ACCURACY).variant == "tflite-int8"
    assert chosen(unknown).because == "the only one that fits (latency not measured)"


# --- figures of unlike machines ---------------------------------------------------------------

SAID = facts(LITERT, ONNX)
HERE = SAID.fingerprint
EVERY = facts(runtimes=tuple(InstalledRuntime(name=name, version="2026.1") for name in Runtime))


PROFILED = "fleet profile, 2026-01-02"
SMOKED = "smoke test, 2026-01-02"


def measured(given: Offer, means: Means = Means.SMOKE, **ms: float) -> Offer:
    """With a latency by fingerprint: of this hardware, of another pi, of something else."""
    where = {"here": (HERE, "pi"), "pi": ("another", "pi"), "else": ("else", "jetson")}
    more = tuple(
        reading(where[key][0], value, profile=where[key][1], means=means)
        for key, value in ms.items()
    )
    return replace(given, readings=(*given.readings, *more))


def profiled(given: Offer, **ms: float) -> Offer:
    return measured(given, Means.PROFILE, **ms)


def test_latencies_measured_on_the_same_hardware_stand_over_those_of_the_builder():
    found = chosen(measured(FAST, here=9.0), measured(SMALL, here=8.0), said=SAID)

    assert found.variant == "tflite-int8"
    assert found.because == f"best latency: 8.000 ms on this hardware ({SMOKED})"


def test_what_was_profiled_on_the_same_hardware_stands_over_its_smoke_tests():
    one, other = measured(FAST, here=1.0), measured(SMALL, here=8.0)

    found = chosen(profiled(one, here=7.0), profiled(other, here=5.0), said=SAID)

    assert found.because == f"best latency: 5.000 ms on this hardware ({PROFILED})"
    assert found.others[0].because.startswith(f"fits, but 7.000 ms on this hardware ({PROFILED})")


def test_a_profile_of_one_variant_is_not_compared_with_the_smoke_test_of_another():
    one, other = measured(FAST, here=9.0), measured(SMALL, here=8.0)

    found = chosen(profiled(one, here=1.0), other, said=SAID)

    assert found.because == f"best latency: 8.000 ms on this hardware ({SMOKED})"


def test_figures_of_unlike_machines_are_never_compared_with_each_other():
    found = chosen(measured(FAST, here=9.0), SMALL, said=SAID)

    assert found.variant == "onnx-float32"
    assert found.because == "best latency: 1.000 ms on the build machine"
    assert "on this hardware" not in found.others[0].because


def test_figures_of_the_profile_stand_in_where_this_hardware_was_not_measured_for_all():
    found = chosen(measured(FAST, here=1.0, pi=9.0), measured(SMALL, pi=8.0), said=SAID)

    assert found.because == f"best latency: 8.000 ms on a pi ({SMOKED})"


def test_of_two_other_classes_of_a_profile_the_one_measured_last_is_compared_and_alone():
    old, new = ({"at": NOON + timedelta(days=n)} for n in (0, 1))
    one = replace(FAST, readings=(reading("x", 1.0, **old), reading("y", 9.0, **new)))
    other = replace(SMALL, readings=(reading("x", 2.0, **old), reading("y", 8.0, **new)))

    found = chosen(one, other, said=SAID)

    assert found.because == "best latency: 8.000 ms on a pi (smoke test, 2026-01-03)"


def test_emulated_devices_say_nothing_about_real_ones():
    one, other = (
        replace(each, readings=(reading("x", ms, emulated=True),))
        for each, ms in ((FAST, 9.0), (SMALL, 8.0))
    )

    real = chosen(one, other, said=SAID)
    emulated = chosen(one, other, said=facts(LITERT, ONNX, emulated="x86"))

    assert real.because == "best latency: 1.000 ms on the build machine"
    assert emulated.because == f"best latency: 8.000 ms on a pi ({SMOKED})"


def test_a_variant_that_does_not_fit_does_not_keep_the_others_from_being_compared_here():
    blocked = Offer(FAST.variant, FAST.figures, blocked="not built")

    found = chosen(blocked, measured(SMALL, here=8.0), measured(EXACT, here=7.0), said=SAID)

    assert found.because == f"best latency: 7.000 ms on this hardware ({SMOKED})"


def test_other_hardware_s_figures_do_not_count_here():
    slow, fast = measured(FAST, **{"else": 1.0}), measured(SMALL, **{"else": 0.5})

    assert chosen(slow, fast, said=SAID).because.endswith("on the build machine")


def test_two_devices_of_one_class_in_different_power_modes_get_what_is_faster_in_theirs():
    modes = {mode: facts(LITERT, ONNX, power_mode=mode) for mode in ("MAXN", "15W")}
    ms = {"onnx-float32": {"MAXN": 3.0, "15W": 20.0}, "tflite-int8": {"MAXN": 5.0, "15W": 9.0}}
    given = [
        replace(
            offer(name),
            readings=tuple(
                reading(modes[mode].fingerprint, value, means=Means.PROFILE)
                for mode, value in by_mode.items()
            ),
        )
        for name, by_mode in ms.items()
    ]

    assert {mode: chosen(*given, said=said).variant for mode, said in modes.items()} == {
        "MAXN": "onnx-float32",
        "15W": "tflite-int8",
    }


# --- accuracy as the device measured it ---------------------------------------------------------


def judged_here(given: Offer, value: float | None, **more: Any) -> Offer:
    said = {"metric": "top1", "samples": 100, "data": "labels", "means": Means.PROFILE, **more}
    return replace(given, readings=(reading(HERE, 1.0, value=value, **said),))


def accurate(*given: Offer) -> Assignment:
    return chosen(*given, by=Objective.ACCURACY, said=SAID)


def test_the_accuracy_measured_on_the_device_decides_where_every_variant_has_one():
    found = accurate(judged_here(EXACT, 0.5), judged_here(SMALL, 0.75))

    assert found.variant == "tflite-int8"
    assert found.because == f"best accuracy: accuracy 0.7500 on this hardware ({PROFILED})"


def test_of_errors_the_smaller_is_the_better():
    one, other = (judged_here(each, v, metric="mse") for each, v in ((EXACT, 0.5), (SMALL, 0.25)))

    assert accurate(one, other).because.startswith("best accuracy: mse 0.25 on this hardware")


@pytest.mark.parametrize(
    "unlike", [{"value": None}, {"samples": 50}, {"data": "other"}, {"metric": "mse"}]
)
def test_accuracies_of_other_samples_or_of_some_variants_only_do_not_decide(unlike):
    other = judged_here(SMALL, **{"value": 0.75, **unlike})

    assert "this hardware" not in accurate(judged_here(EXACT, 0.5), other).because


# --- what the lock offers ---------------------------------------------------------------------


def blocks(lock: LockedModel | None, version: str = "1.0.0") -> dict[str, str]:
    wanted = model(version=version, variants=["tflite-int8", "onnx-int8"])
    return {each.variant.name: each.blocked for each in offers(wanted, lock)}


def test_what_was_never_built_is_blocked_with_the_command_that_builds_it():
    assert blocks(None) == dict.fromkeys(
        ["tflite-int8", "onnx-int8"], "not built: run fleet build fashion"
    )
    assert blocks(locked(artifact("onnx-int8")))["onnx-int8"] == ""


@pytest.mark.parametrize("status", [Status.REJECTED, Status.FAILED, Status.UNBUILDABLE])
def test_what_the_builder_did_not_accept_is_never_assigned(status):
    lock = locked(
        artifact("onnx-int8", status=status, because="drops 0.5"),
        artifact("tflite-int8"),
    )
    wanted = model(variants=["tflite-int8", "onnx-int8"])

    found = assign(offers(wanted, lock), PI, None, Objective.SIZE)

    assert isinstance(found, Assignment)
    assert found.variant == "tflite-int8"
    assert found.others[0].because == f"{status}: drops 0.5"
    with pytest.raises(ValueError, match="no accepted artifact"):
        lock.manifest("onnx-int8")


def test_what_was_built_for_another_version_is_blocked():
    said = blocks(locked(artifact("tflite-int8"), artifact("onnx-int8")), version="2.0.0")

    words = "built for version 1.0.0, and the catalog says 2.0.0: run fleet build fashion"
    assert set(said.values()) == {words}


# --- properties -------------------------------------------------------------------------------

NUMBERS = st.sampled_from([None, 0.5, 1.0, 1.0, 2.0])


@st.composite
def some_offers(draw: st.DrawFn) -> list[Offer]:
    names = draw(st.lists(st.sampled_from(sorted(BUILDABLE)), unique=True))
    return [
        Offer(
            variant(name, needs_mib=draw(st.sampled_from([0, 4096, 5000]))),
            Figures(
                size_bytes=draw(st.sampled_from([1, 2, 2])),
                accuracy=draw(NUMBERS),
                p50_ms=draw(NUMBERS),
            ),
            blocked=draw(st.sampled_from(["", "", "rejected: x"])),
            readings=tuple(
                reading(where, ms, means=means, value=draw(NUMBERS), metric="top1")
                for where in (HERE, "another")
                for means in Means
                if (ms := draw(NUMBERS)) is not None
            ),
        )
        for name in names
    ]


@given(some_offers(), st.sampled_from(Objective), st.booleans(), st.randoms())
def test_the_order_of_the_offers_changes_nothing(given, objective, asked, random):
    shuffled = random.sample(given, len(given))
    said = SAID if asked else None

    one, other = assign(given, PI, said, objective), assign(shuffled, PI, said, objective)

    assert type(one) is type(other)
    assert set(one.others) == set(other.others)
    if isinstance(one, Assignment) and isinstance(other, Assignment):
        assert (one.variant, one.runtime, one.because) == (
            other.variant,
            other.runtime,
            other.because,
        )


@given(some_offers(), st.sampled_from(Objective), st.booleans())
def test_every_variant_is_assigned_or_has_its_reason(given, objective, asked):
    found = assign(given, PI, SAID if asked else None, objective)

    names = [each.variant for each in found.others]
    if isinstance(found, Assignment):
        names.append(found.variant)
        taken = next(each for each in given if each.variant.name == found.variant)
        assert not taken.blocked
        assert taken.variant.needs_mib <= 4096
    assert sorted(names) == sorted(each.variant.name for each in given)
    assert all(each.because for each in found.others)


@given(
    st.dictionaries(
        st.sampled_from(sorted(BUILDABLE)), st.sampled_from([0.5, 1.0, 3.0]), min_size=1
    ),
    st.dictionaries(st.sampled_from(sorted(BUILDABLE)), st.sampled_from([0.1, 0.6, 0.9])),
    st.sampled_from(["", "rejected: x"]),
)
def test_no_variant_that_fits_is_better_than_the_chosen_one_on_the_measured_table(
    ms, accuracies, block
):
    """Regret against trying everything is 0, for latency and for accuracy."""
    blocked = min(ms) if len(ms) > 1 else ""
    told = {name: accuracies.get(name, 0.3) for name in ms}
    table = [
        replace(
            offer(name, ms=9.0 - value, accuracy=1.0 - told[name]),  # the builder says the contrary
            readings=(
                reading(
                    EVERY.fingerprint, value, means=Means.PROFILE, value=told[name], metric="top1"
                ),
                reading("another", 9.0 - value, means=Means.PROFILE),
                reading(EVERY.fingerprint, 9.0 - value),
            ),
            blocked=block if name == blocked else "",
        )
        for name, value in ms.items()
    ]
    everywhere = profile(*Runtime)
    tried = {
        each.variant.name: ms[each.variant.name]
        for each in table
        if isinstance(assign([each], everywhere, EVERY, Objective.LATENCY), Assignment)
    }

    for objective, price in (
        (Objective.LATENCY, ms),
        (Objective.ACCURACY, {name: -value for name, value in told.items()}),
    ):
        found = chosen(*table, by=objective, said=EVERY, on=everywhere)
        assert price[found.variant] - min(price[name] for name in tried) == 0


def test_two_devices_alike_have_one_fingerprint_and_time_and_load_do_not_change_it():
    state = {"ram_free_mib": 3, "disk_free_mib": 1, "temperature_c": 70.0, "clock_skew_s": 9}
    alike = facts(LITERT, software=(Software(name="numpy", version="2.0"),), **state)

    assert alike.fingerprint == facts(LITERT).fingerprint
    assert len(alike.fingerprint) == 16


@pytest.mark.parametrize(
    "unlike",
    [
        {"board": "other"},
        {"cores": 2},
        {"userland_bits": 32},
        {"power_mode": "15W"},
        {"emulated": "x86"},
        {"cpu_features": ("neon",)},
        {"accelerators": ("cuda",)},
        {"runtimes": ()},
        {"providers": ("CUDAExecutionProvider",)},
        {"software": (Software(name="tensorrt", version="8.5.2"),)},
    ],
)
def test_what_changes_how_fast_a_device_is_changes_its_fingerprint(unlike):
    assert facts(LITERT, **unlike).fingerprint != facts(LITERT).fingerprint


def test_digests_of_examples_are_digests():
    assert len(digest_of("x")) == 64
