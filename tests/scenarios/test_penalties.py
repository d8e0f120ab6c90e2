"""An OpenSSH 10 that punishes an address for failed logins: named, and over when it is over."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.lab.debian import Debian, machine, system
from orchestrator.lab.errors import LabError
from orchestrator.rollout.observation import Observed
from orchestrator.transport.login import Address, shown_host_key
from orchestrator.transport.transport import DeviceUnreachable

PENALTY_S = 4
_CONFIG = f"""ListenAddress 127.0.0.1:{{port}}
HostKey /etc/ssh/host
AuthorizedKeysFile /etc/ssh/authorized_keys
PermitRootLogin prohibit-password
PidFile none
UsePAM no
StrictModes no
PerSourcePenalties authfail:{PENALTY_S}s noauth:0s min:{PENALTY_S}s
"""
_PASSWD = "root:x:0:0:root:/root:/bin/sh\nsshd:x:100:65534::/run/sshd:/bin/false\n"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root directory of a device with Debian 13's OpenSSH 10 and a shell."""
    if os.geteuid() != 0:
        pytest.skip("NO OPENSSH 10 ON THIS MACHINE: it takes root")
    try:
        wanted = Debian("trixie", machine(), ("openssh-server", "dash"))
        fetched = system(wanted, lambda words: None) / "root"
    except LabError as error:
        pytest.skip(f"NO OPENSSH 10 TO BE HAD: {error.message}")
    root = tmp_path_factory.mktemp("openssh10") / "root"
    shutil.copytree(fetched, root, symlinks=True)
    for name in ("dev", "run/sshd", "root", "tmp"):
        (root / name).mkdir(parents=True, exist_ok=True)
    os.mknod(root / "dev/null", 0o20666, os.makedev(1, 3))
    (root / "dev/null").chmod(0o666)
    (root / "etc/passwd").write_text(_PASSWD)
    (root / "etc/group").write_text("root:x:0:\nnogroup:x:65534:\n")
    return root


@pytest.fixture
def strict(site, tree: Path, tmp_path: Path) -> Iterator[Path]:
    """pi-01 is that device; the folder with the keys `right` and `wrong`."""
    for name in ("right", "wrong", "host"):
        made = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)]
        subprocess.run(made, check=True)
    shutil.copy(tmp_path / "host", tree / "etc/ssh/host")
    shutil.copy(tmp_path / "right.pub", tree / "etc/ssh/authorized_keys")
    port = 20_000 + os.getpid() % 10_000
    (tree / "etc/ssh/strict").write_text(_CONFIG.format(port=port))
    known = tmp_path / "known_hosts"
    address = Address("pi-01", "127.0.0.1", port, "root", None, (known,))
    server = ["chroot", str(tree), "/usr/sbin/sshd", "-D", "-f", "/etc/ssh/strict"]
    with subprocess.Popen(server, stderr=subprocess.DEVNULL) as process:
        until = time.monotonic() + 20
        while not known.exists():
            try:
                shown = " ".join(shown_host_key(address))
                known.write_text(f"{address.host_key_name} {shown}\n")
            except DeviceUnreachable:
                assert time.monotonic() < until, "OpenSSH 10 did not come up"
                time.sleep(0.1)
        site.describe("pi-01", address="127.0.0.1", port=port, user="root", known_hosts=str(known))
        yield tmp_path
        process.terminate()


def test_a_server_that_punishes_failed_logins_is_named_and_lets_in_when_it_is_over(site, strict):
    def asked(key: str) -> str:
        site.describe("pi-01", identity_file=str(strict / key))
        fleet = site.fleet
        seen = fleet.observe([fleet.device("pi-01")])["pi-01"]
        return "observed" if isinstance(seen, Observed) else seen.code

    name = "TRANSPORT > TURNED_AWAY > PENALTY"
    wrong = [asked("wrong")]
    while wrong[-1] != name and len(wrong) < 10:
        time.sleep(0.3)  # the server hears of a login's end a little later
        wrong.append(asked("wrong"))
    punished = asked("right")
    time.sleep(PENALTY_S * 4)
    after = asked("right")

    assert wrong[0] == "TRANSPORT > LOGIN"
    assert wrong[-1] == punished == name
    assert not after.startswith("TRANSPORT")
