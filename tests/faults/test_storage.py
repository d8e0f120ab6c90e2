"""Disks that fill, seal themselves, run out of inodes or die, and bits that flip where they lie."""

import os
import shutil

from case import COUNTED, Case
from sight import look

from orchestrator.lab.breakage import Breakage
from orchestrator.rollout.outcome import Status

WRITES = ("mkdir", "mv", "ln", "cp", "tar", "cat", "date", "sync", "fsync", "rm")
FULL = ("DEPLOY > STORAGE > FULL", "DEPLOY > PREFLIGHT > DISK_SPACE")
INODES = ("DEPLOY > STORAGE > INODES", "DEPLOY > STORAGE > FULL", "DEPLOY > PREFLIGHT > INODES")
SEALED = ("DEPLOY > STORAGE > READ_ONLY",)
QUOTA = ("DEPLOY > STORAGE > QUOTA",)
DEAD = ("DEPLOY > STORAGE > DEAD", "TRANSPORT > UNREACHABLE", "TRANSPORT > LOGIN")


def filled(rig):
    """Fill a device's /home to the last byte, and free it again."""

    def fill(device: str) -> None:
        home = rig.root(device) / "home"
        space = os.statvfs(home)
        with (home / ".filler").open("wb") as filler:
            os.posix_fallocate(filler.fileno(), 0, space.f_bavail * space.f_frsize)

    def free(device: str) -> None:
        (rig.root(device) / "home/.filler").unlink(missing_ok=True)

    return fill, free


def writing(rig, land: str, at: int) -> bool:
    return rig.steps[land][at - 1].split()[-1] in WRITES


def test_the_disk_may_become_full_before_every_write(rig):
    fill, free = filled(rig)

    def case(at: int, land: str) -> Case | None:
        if land == "bash" or not writing(rig, land, at):
            return None  # bash has dash's tools, and so its writes
        return Case("disk full from a step on", at, fill, goes_on=True, heal=free, codes=FULL)

    rig.at_every_step(case)


def broken(rig, how: Breakage):
    return (
        lambda device: rig.lab.break_device(device, how) and None,
        lambda device: rig.lab.mend(device) and None,
    )


def test_inodes_may_run_out_before_every_write_that_makes_something(rig):
    take, give = broken(rig, Breakage.NO_INODES)
    kind = "no inodes from a step on"

    def case(at: int, land: str) -> Case | None:
        made = rig.steps[land][at - 1].split()[-1] in ("mkdir", "ln", "cp", "tar", "cat", "date")
        if land != "bash" or not made:
            return None
        return Case(kind, at, take, goes_on=True, heal=give, codes=INODES)

    rig.at_every_step(case)


def test_a_quota_may_be_used_up_before_every_write(limited):
    """Refused by btrfs with the kernel's own words, while df shows room."""
    take, give = broken(limited, Breakage.QUOTA)

    def case(at: int, land: str) -> Case | None:
        if at % 4 != 1 or not writing(limited, land, at):
            return None
        return Case("quota used up from a step on", at, take, goes_on=True, heal=give, codes=QUOTA)

    limited.at_every_step(case)


def test_the_file_system_may_become_read_only_at_a_step(rig):
    seal, unseal = broken(rig, Breakage.READ_ONLY)

    def case(at: int, land: str) -> Case | None:
        if land not in ("dash", "toybox") or at % 5 or not writing(rig, land, at):
            return None
        return Case("read-only from a step on", at, seal, goes_on=True, heal=unseal, codes=SEALED)

    rig.at_every_step(case)


def test_the_storage_may_die_at_a_step(powered):
    """Dropbear reads keys from the dead storage, so its devices refuse the login."""
    die, mend = broken(powered, Breakage.DEAD_STORAGE)

    def revive(device: str) -> None:
        mend(device)
        powered.roots.pop(device, None)

    def case(at: int, land: str) -> Case | None:
        if at % 24 != 1 or at > len(powered.steps[land]) - 6:
            return None
        return Case("storage dead from a step on", at, die, goes_on=True, heal=revive)

    powered.blind = True
    try:
        powered.at_every_step(case)
    finally:
        powered.blind = False


# --- rot: bits, lengths, links and state files that are not what they were -------------------------


def flip(file) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 4
    file.write_bytes(bytes(data))


def cut_short(file) -> None:
    with file.open("r+b") as opened:
        opened.truncate(file.stat().st_size // 2)


def pad(file) -> None:
    with file.open("ab") as opened:
        opened.write(b"\0" * 100)


def empty(file) -> None:
    file.write_bytes(b"")


DAMAGE = {"bit flipped": flip, "cut short": cut_short, "padded": pad, "emptied": empty}


FILES = ("model.onnx", "golden.npz", "manifest.json")
EVERY = [(how, name) for how in DAMAGE for name in FILES]
"""Twelve sorts of damage, one for each device."""


def test_a_running_release_that_rots_is_found_and_repaired_and_none_of_it_is_believed(rig):
    hurt = sorted(rig.userlands)
    for device, (how, name) in zip(hurt, EVERY, strict=True):
        DAMAGE[how](rig.place(device) / "releases" / rig.linked(device) / name)
        COUNTED[f"running release, a file {how}"] += 1

    found = rig.findings(hurt)
    outcomes = rig.deploy(hurt, repair=True)

    assert set(found.values()) == {"drift"}
    assert {o.status for o in outcomes.values()} == {Status.SUCCEEDED}
    rig.settle(hurt)
    rig.verdict()


def test_what_was_staged_and_has_rotted_is_sent_again(rig):
    """A transfer was cut after everything had arrived; meanwhile the bytes rot."""
    lands = rig.steps  # found out by a deployment of their own
    rig.next_version()
    at = {}
    for device, land in sorted(rig.userlands.items()):
        steps = enumerate(lands[land], 1)
        at[device] = max(n for n, step in steps if step.startswith("receive"))
        rig.trip(device, at[device], "kill")
    rig.deploy(at)
    cases = {}
    for device, (how, name) in zip(at, EVERY, strict=True):
        (part,) = (rig.place(device) / "staging").iterdir()
        DAMAGE[how](part / name)
        cases[device] = Case(f"staged bytes, a file {how}", at[device])

    rig.judge(cases, {})

    rig.verdict()


ROT = {
    "lease without an owner": lambda place: ((place / "lock").mkdir(), None),
    "lease of nonsense": lambda place: ((place / "lock").mkdir(), wrote(place / "lock/owner", "\0\xff 7")),
    "pending of nonsense": lambda place: wrote(place / "pending", "\xff\xff"),
    "pending of releases that are not there": lambda place: wrote(place / "pending", "t a b c\n"),
    "half a pending": lambda place: wrote(place / "pending", "token "),
    "reverting of nonsense": lambda place: wrote(place / "reverting", "zz\n"),
    "confirmed of nonsense": lambda place: wrote(place / "confirmed", "\n"),
    "journal of nonsense": lambda place: wrote(place / "journal.ndjson", "\xff" * 999),
    "a half-made link": lambda place: (place / ".current.new").symlink_to("releases/none"),
    "a staged file of nobody": lambda place: wrote(place / "staging/other.part", "x"),
    "no journal": lambda place: (place / "journal.ndjson").unlink(),
    "previous points nowhere": lambda place: relinked(place / "previous", "releases/none"),
}  # fmt: skip


def wrote(file, text: str) -> None:
    file.write_bytes(text.encode("latin-1"))


def relinked(link, target: str) -> None:
    link.unlink()
    link.symlink_to(target)


def test_whatever_lies_in_the_state_files_the_next_deployment_goes_well(rig):
    """Each sort of rot in turn on each device, in the state an interrupted visit could leave."""
    kinds = sorted(ROT)
    devices = sorted(rig.userlands)
    for turn in range(2):
        given = {d: kinds[(n + turn * 7) % len(kinds)] for n, d in enumerate(devices)}
        for device, kind in given.items():
            ROT[kind](rig.place(device))
            own(rig, device)
        rig.next_version()
        cases = {d: Case(f"state: {kind}", turn) for d, kind in given.items()}
        before = {d: look(rig.place(d)).linked("current") for d in devices}
        outcomes = rig.deploy(devices)
        for device, case in cases.items():
            COUNTED[case.kind] += 1
            if outcomes[device].status is not Status.SUCCEEDED:
                rig.report(case, device, f"{outcomes[device].status} {outcomes[device].because}")
            if look(rig.place(device)).linked("previous") != before[device]:
                rig.report(case, device, "previous is not what ran before")
        rig.settle(devices)
    rig.verdict()


def own(rig, device: str) -> None:
    """Let the device's user own what the test has made."""
    place = rig.place(device)
    for path in place.rglob("*"):
        if not path.is_symlink():
            shutil.chown(path, 1000, 1000)
