"""A controller's name on leases: alive as long as its process is, and known afterwards."""

from orchestrator.deploy.claim import Claim


def test_a_controller_is_gone_as_soon_as_it_has_let_go_and_not_before(tmp_path):
    with Claim(tmp_path) as one, Claim(tmp_path) as other:
        while_alive = other.gone(one.owner)

    assert not while_alive
    assert other.gone(one.owner)


def test_nothing_is_said_of_controllers_of_other_sites(tmp_path):
    with Claim(tmp_path / "here") as here, Claim(tmp_path / "there") as there:
        pass

    assert not here.gone(there.owner)
    assert not here.gone("")
    assert not here.gone("../there/" + there.owner)
