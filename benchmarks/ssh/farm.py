"""Devices to measure on: one real sshd for each loopback address, each with a home of its own.

Less than the lab's devices (no namespaces), so that a thousand of them start in seconds and nothing
but SSH, a shell and its tools is measured. What the servers and their commands use is counted apart.
"""

import getpass
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

PORT = 2299
_CONFIG = """ListenAddress {address}:{port}
HostKey {key}
AuthorizedKeysFile {authorized}
SetEnv HOME={home}
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
StrictModes no
PrintMotd no
UseDNS no
PidFile none
MaxStartups 400:30:800
MaxSessions 64
LogLevel ERROR
Subsystem sftp internal-sftp -d {home}
"""


@dataclass(frozen=True)
class Target:
    """What a contestant is told of the devices and of its task."""

    hosts: list[str]
    port: int
    user: str
    key: str
    known_hosts: str
    homes: str
    file: str
    sha256: str
    ask: str = "cat /etc/hostname"

    def write(self, file: Path) -> None:
        """As JSON, which a contestant in another environment reads."""
        file.write_text(json.dumps(asdict(self)))


class Farm:
    """Servers, as many as were asked for by now, up as long as this object is entered."""

    def __init__(self) -> None:
        memory = Path("/dev/shm")
        self.folder = Path(
            tempfile.mkdtemp(prefix="farm-", dir=memory if memory.is_dir() else None)
        )
        self.hosts: list[str] = []
        self.user = getpass.getuser()
        self._servers: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> "Farm":
        sshd = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
        if sshd is None:
            raise SystemExit("no sshd on this machine: make system")
        self._sshd = sshd
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        for name in ("host", "login"):
            made = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / name)]
            subprocess.run(made, check=True)
        return self

    def grow(self, count: int) -> None:
        """Start servers until there are so many."""
        old = len(self.hosts)
        new = [f"127.1.{index // 250}.{index % 250 + 1}" for index in range(old, count)]
        for host in new:
            self._servers.append(self._start(self._sshd, host))
        self._wait(new)
        self.hosts += new
        public = (self.folder / "host.pub").read_text().split()[:2]
        lines = [f"[{host}]:{PORT} {' '.join(public)}\n" for host in self.hosts]
        (self.folder / "known_hosts").write_text("".join(lines))

    def __exit__(self, *error: object) -> None:
        for server in self._servers:
            server.send_signal(signal.SIGTERM)
        for server in self._servers:
            server.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def home(self, host: str) -> Path:
        """A device's home."""
        return self.folder / "homes" / host

    def empty(self) -> None:
        """Take away what was put there."""
        for host in self.hosts:
            for entry in self.home(host).iterdir():
                shutil.rmtree(entry, ignore_errors=True)

    def cpu_s(self) -> float:
        """Seconds that all servers and whatever they ran and reaped have used so far."""
        ticks = 0
        for server in self._servers:
            fields = Path(f"/proc/{server.pid}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(int(field) for field in fields[11:15])
        return ticks / os.sysconf("SC_CLK_TCK")

    def memory_mib(self) -> float:
        """What all servers use now, what they share with each other counted once."""
        kib = 0
        for server in self._servers:
            lines = Path(f"/proc/{server.pid}/smaps_rollup").read_text().splitlines()
            kib += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        return kib / 1024

    def settled(self) -> None:
        """Wait until every session has ended, so that what it used is counted."""
        until = time.monotonic() + 20
        while time.monotonic() < until and any(map(_has_children, self._servers)):
            time.sleep(0.05)

    def _start(self, sshd: str, host: str) -> "subprocess.Popen[bytes]":
        self.home(host).mkdir(parents=True)
        config = self.folder / f"{host}.conf"
        config.write_text(
            _CONFIG.format(
                address=host,
                port=PORT,
                key=self.folder / "host",
                authorized=self.folder / "login.pub",
                home=self.home(host),
            )
        )
        return subprocess.Popen(
            [sshd, "-D", "-e", "-f", str(config)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=(self.folder / "errors").open("ab"),
        )

    def _wait(self, hosts: list[str]) -> None:
        until = time.monotonic() + 180
        for host in hosts:
            while True:
                try:
                    with socket.create_connection((host, PORT), 1) as line:
                        if line.recv(4) == b"SSH-":
                            break
                except OSError as error:
                    if time.monotonic() > until:
                        raise SystemExit(f"no sshd came up on {host}: {error}") from error
                    time.sleep(0.02)


def _has_children(server: "subprocess.Popen[bytes]") -> bool:
    try:
        return bool(Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().strip())
    except OSError:
        return False
