"""Finding OpenSSH's server and writing what it is told."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from orchestrator.lab.errors import SshdMissing
from orchestrator.lab.spec import PORT

_ALSO = ("/usr/sbin", "/usr/local/sbin", "/sbin")
_SFTP = (
    "/usr/lib/openssh/sftp-server",
    "/usr/libexec/openssh/sftp-server",
    "/usr/lib/ssh/sftp-server",
)

_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"

_COMMON = """UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PubkeyAuthentication yes
PermitRootLogin prohibit-password
StrictModes no
PrintMotd no
UseDNS no
PidFile none
MaxStartups 200:30:400
MaxSessions 64
LogLevel INFO
"""


def find_sshd() -> str:
    """The absolute path of sshd, which it needs to start itself again for each connection.

    Raises:
        SshdMissing: it is in none of PATH and the usual places.
    """
    searched = tuple(dict.fromkeys([*os.environ.get("PATH", "").split(":"), *_ALSO]))
    found = shutil.which("sshd", path=":".join(searched))
    if found is None:
        raise SshdMissing(tuple(path for path in searched if path))
    return str(Path(found).absolute())


def namespaced_config(address: tuple[str, int], env: Mapping[str, str], path: str = "") -> str:
    """The configuration of a device with a root of its own; every path is the device's.

    `env` is what sessions have in their environment besides a PATH, the ordinary one or `path`.
    """
    more = "".join(f" {name}={text}" for name, text in env.items())
    return (
        f"ListenAddress {address[0]}:{address[1]}\n"
        "HostKey /etc/ssh/ssh_host_ed25519_key\n"
        "AuthorizedKeysFile /etc/ssh/authorized_keys\n"
        "Subsystem sftp internal-sftp\n"
        f"SetEnv PATH=/opt/fleet-lab/bin:{path or _PATH}{more}\n" + _COMMON
    )


def machine_config(keys: str) -> str:
    """The configuration of a machine of its own, whose keys lie in a folder that is there when it is on."""
    return (
        f"HostKey {keys}/host_key\n"
        f"AuthorizedKeysFile {keys}/authorized_keys\n"
        "Subsystem sftp internal-sftp\n"
        f"SetEnv PATH={_PATH}\n" + _COMMON
    )


def plain_config(address: str, root: Path, host_key: Path) -> str:
    """The configuration of a device that is a directory of this machine's own file system.

    Sessions start through a fixture command that goes to the device's home first: sshd itself
    goes to the home that the user has in the password database.
    """
    own, keys = root / "opt" / "fleet-lab", root / "etc" / "ssh" / "authorized_keys"
    env = {
        "HOME": str(root / "home" / "pi"),
        "PATH": f"{own / 'bin'}:{_PATH}",
        "FLEET_LAB_ROOT": str(root),
    }
    pairs = " ".join(_quoted(f"{name}={text}") for name, text in env.items())
    sftp = next((path for path in _SFTP if Path(path).exists()), "internal-sftp")
    return (
        f"ListenAddress {address}:{PORT}\n"
        f"HostKey {_quoted(str(host_key))}\n"
        f"AuthorizedKeysFile {_quoted(str(keys), tokens=True)}\n"
        f"Subsystem sftp {sftp}\n"
        'ForceCommand exec "$FLEET_LAB_ROOT/opt/fleet-lab/session"\n'
        f"SetEnv {pairs}\n" + _COMMON
    )


SESSION = b"""#!/bin/sh
# Lab fixture: a session begins in the emulated device's home.
cd "$HOME" || exit 1
if [ -n "${SSH_ORIGINAL_COMMAND:-}" ]; then
    exec /bin/sh -c "$SSH_ORIGINAL_COMMAND"
fi
exec /bin/sh -i
"""
"""What every session in the plain tier runs first."""


def _quoted(text: str, *, tokens: bool = False) -> str:
    """`text` as one word of sshd_config; with `tokens`, per cent signs stand for themselves."""
    safe = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{safe.replace("%", "%%") if tokens else safe}"'
