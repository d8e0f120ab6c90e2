"""Dropbear, as many small devices have it: smaller windows, other ciphers, no SFTP."""

import hashlib
import io
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.transport.login import Address, shown_host_key
from orchestrator.transport.ssh import SshTransport
from orchestrator.transport.transport import DeviceUnreachable

MIB = 1 << 20
_HOME = "mount -t tmpfs none {home} && mkdir {home}/.ssh && cp {key} {home}/.ssh/authorized_keys"
_SERVE = 'chmod -R go= {home} && exec dropbear -F -E -p 127.0.0.1:{port} -r {host} -W "$1"'


@pytest.fixture(params=[24_576, 262_144], ids=["small windows", "large windows"])
def dropbear(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Address]:
    """A server whose user has a home of its own, in a mount namespace."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("dropbear", "dropbearkey", "unshare"))):
        pytest.skip("NO DROPBEAR ON THIS MACHINE, OR NOT ROOT: apt-get install dropbear-bin")
    login, host, home = tmp_path / "login", tmp_path / "host", Path("~").expanduser()
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(login)], check=True)
    made = ["dropbearkey", "-t", "ed25519", "-f", str(host)]
    subprocess.run(made, check=True, capture_output=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    script = f"{_HOME} && {_SERVE}".format(home=home, key=f"{login}.pub", port=port, host=host)
    words = ["unshare", "-m", "sh", "-c", script, "sh", str(request.param)]
    with subprocess.Popen(words, stderr=subprocess.DEVNULL) as server:
        known = tmp_path / "known_hosts"
        address = Address("small", "127.0.0.1", port, "root", login, (known,))
        until = time.monotonic() + 20
        while True:
            try:
                known.write_text(f"{address.host_key_name} {' '.join(shown_host_key(address))}\n")
                break
            except DeviceUnreachable:
                assert time.monotonic() < until, "dropbear did not come up"
                time.sleep(0.05)
        yield address
        server.terminate()


@pytest.mark.parametrize("script", ["cat", "sleep 2.2; cat"], ids=["at once", "late"])
def test_a_stream_arrives_whole_and_comes_back_whole(dropbear, script):
    data = os.urandom(3 * MIB)

    with SshTransport(dropbear) as transport:
        done = transport.stream(io.BytesIO(data), ["sh", "-c", script], timeout_s=60)

    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(data).digest()
