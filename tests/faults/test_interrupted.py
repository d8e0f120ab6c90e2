"""Shells that die and power that goes at every step: the device serves, the next run converges."""

import os

from case import Case

from orchestrator.lab.breakage import Breakage


def test_the_remote_shell_may_be_killed_at_every_step_of_a_deployment(rig):
    rig.at_every_step(
        lambda at, land: Case("remote shell killed", at) if land != "bash" else None
    )  # bash has dash's tools, and so its steps


def test_the_power_may_be_cut_at_every_step_of_a_deployment(powered):
    """In half of the cases the journal has just been written: names reach the disk, bytes do not."""

    def cut(device: str) -> None:
        powered.lab.break_device(device, Breakage.POWER_CUT)

    def commit_and_cut(device: str) -> None:
        with (powered.root(device) / "home/other").open("w") as other:
            os.fsync(other.fileno())
        cut(device)

    def case(at: int, land: str) -> Case | None:
        if land == "busybox":
            return None  # renames as dash's tools do
        names = land == "bash" or (land == "toybox" and at // 2 % 2)
        if names:
            return Case("power cut, names written and bytes not", at, commit_and_cut)
        return Case("power cut, nothing written since the last flush", at, cut)

    powered.at_every_step(case)
