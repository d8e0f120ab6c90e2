"""The remote shell dies at every step of a deployment: the device serves, and the next run converges."""

from rig import Case


def test_the_remote_shell_may_be_killed_at_every_step_of_a_deployment(rig):
    rig.at_every_step(lambda at: Case("remote shell killed", at))
