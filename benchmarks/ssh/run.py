"""Delivery over SSH side by side with the tools a user would pick, in one run on real sshd.

    python benchmarks/ssh/run.py [--quick] [--only PART] [--json FILE] [--plot FILE]

Builds a throwaway environment with the peers, starts one sshd for each loopback address, runs every
contestant in turn at its own best number of connections at once, and prints medians, ratios and
which targets are met. CPU of the devices' side is counted apart: the floor is what the servers and
their commands use for fleet's own push, spread over all cores.
"""

import argparse
import hashlib
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from farm import PORT, Farm, Target
from plot import plotted
from uv import find_uv_bin

HERE = Path(__file__).parent
SIZE = 4 << 20
PEERS = ("asyncssh", "ssh2-python", "parallel-ssh", "fabric", "pyinfra", "ansible-core")
AT_ONCE = {
    "fleet": (8, 16, 32),
    "fleet-sharded": (16, 32),
    "asyncssh": (16, 32, 50),
    "ssh2-python": (16, 32, 50),
    "parallel-ssh": (16, 50),
    "fabric": (16, 50),
    "pyinfra": (50,),
    "ansible": (50,),
}
USUAL = {"fleet": 16, "fleet-sharded": 16, "asyncssh": 32, "ssh2-python": 32}
ROUNDS = {"parallel-ssh": 3, "fabric": 3, "pyinfra": 1, "ansible": 1}
SLOW_ROUNDS = {"parallel-ssh": 1, "fabric": 1, "pyinfra": 1, "ansible": 1}
FASTER = {
    "ssh2-python": 1.5,
    "asyncssh": 1.5,
    "parallel-ssh": 2.2,
    "fabric": 2.5,
    "pyinfra": 4.0,
    "ansible": 15.0,
}
DEVICE = "cd && sh .fleet/bin/*/device.sh '~/.fleet'"
LOOKS = {
    "ask": "cat /etc/hostname",
    "facts": f"{DEVICE} observe {{python}}",
    "audit": f"{DEVICE} hashes",
}
"""What a device is asked: the last two are what `fleet facts` and `fleet audit` have it do."""
Row = dict[str, Any]


class Bench:
    """A farm, the peers' environment, and what has been measured so far."""

    def __init__(self, farm: Farm, peers: Path, rounds: int) -> None:
        self.farm, self.peers, self.rounds = farm, peers, rounds
        self.file = farm.folder / "model.bin"
        self.file.write_bytes(os.urandom(SIZE))
        self.best: dict[str, int] = {}
        self.rows: list[Row] = []
        self.mib_in_flight: float | None = None

    def target(self, devices: int, task: str = "push") -> Path:
        """What a contestant is told."""
        self.farm.grow(devices)
        folder = self.farm.folder
        file = folder / "target.json"
        digest = hashlib.sha256(self.file.read_bytes()).hexdigest()
        names = [folder / name for name in ("login", "known_hosts", "homes")]
        Target(
            self.farm.hosts[:devices],
            PORT,
            self.farm.user,
            *map(str, names),
            str(self.file),
            digest,
            LOOKS.get(task, "").format(python=folder / "homes" / "python"),
        ).write(file)
        return file

    def once(self, who: str, task: str, devices: int, at_once: int) -> Row:
        """One contestant, one task, once."""
        python = sys.executable if who.startswith("fleet") else str(self.peers / "bin" / "python")
        sort = "ask" if task in LOOKS else task
        command = [python, str(HERE / "contest.py"), who, sort, str(at_once)]
        target = self.target(devices, task)
        before = self.farm.cpu_s()
        try:
            done = subprocess.run(
                [*command, str(target)], capture_output=True, text=True, timeout=600
            )
        except subprocess.TimeoutExpired:
            print(f"  {who} {task} × {devices} stood still for 600 s", file=sys.stderr)
            return {"failed": True}
        self.farm.settled()
        if done.returncode or json.loads(done.stdout)["good"] != devices:
            print(f"  {who} {task} × {devices} failed: {done.stderr[-400:]}", file=sys.stderr)
            return {"failed": True}
        return {**json.loads(done.stdout), "devices_cpu_s": self.farm.cpu_s() - before}

    def tune(self, who: str, *, several: bool) -> None:
        """Find out how many connections at once suit a contestant best."""
        choices = AT_ONCE[who] if several and len(AT_ONCE[who]) > 1 else ()
        tried = {n: self.once(who, "push", 50, n) for n in choices}
        good = {n: row["wall_s"] for n, row in tried.items() if "wall_s" in row}
        self.best[who] = min(good, key=lambda n: good[n]) if good else USUAL.get(who, 50)

    def compare(self, task: str, devices: int, contestants: tuple[str, ...]) -> None:
        """All contestants by turns, round after round, so that a loud neighbour disturbs all alike."""
        found: dict[str, list[Row]] = {who: [] for who in contestants}
        for number in range(self.rounds):
            for who in contestants:
                most = ROUNDS.get(who, self.rounds) if devices <= 50 else SLOW_ROUNDS.get(who, 3)
                if number < min(most, self.rounds):
                    row = self.once(who, task, devices, self.best[who])
                    if "wall_s" in row:
                        found[who].append(row)
        for who, rows in found.items():
            if rows:
                middle = {key: statistics.median(row[key] for row in rows) for key in rows[0]}
                self.add({"who": who, "task": task, "devices": devices, **middle}, len(rows))

    def add(self, row: Row, rounds: int) -> None:
        """Keep a row and show it."""
        row = {**row, "rounds": rounds, "at_once": self.best.get(row["who"], 16)}
        self.rows.append(row)
        print(
            f"{row['task']:<34}{row['who']:<14}{row['devices']:>5}{row['at_once']:>5}"
            f"{row['wall_s']:>9.2f}{row['cpu_s']:>9.2f}{row.get('devices_cpu_s', 0):>9.2f}"
            f"{row['peak_mib']:>7.0f}{rounds:>4}",
            flush=True,
        )

    def deploy(self, devices: int, rounds: int) -> None:
        """fleet's whole deployments."""
        found: dict[str, list[Row]] = {}
        for _ in range(rounds):
            self.farm.empty()
            command = [sys.executable, str(HERE / "rollout.py"), str(self.target(devices))]
            done = subprocess.run(
                [*command, str(self.best["fleet"]), str(SIZE)],
                capture_output=True,
                text=True,
                check=True,
                timeout=1800,
            )
            for line in done.stdout.splitlines():
                row = json.loads(line)
                found.setdefault(row.pop("step"), []).append(row)
            self.farm.settled()
        for step, rows in found.items():
            middle = {key: statistics.median(row[key] for row in rows) for key in rows[0]}
            self.add({"who": "fleet", "task": step, "devices": devices, **middle}, rounds)

    def of(self, who: str, task: str, devices: int) -> Row | None:
        """A row by what it measures."""
        wanted = (who, task, devices)
        return next((r for r in self.rows if (r["who"], r["task"], r["devices"]) == wanted), None)


class Verdicts:
    """Every target of the table that was measured: what was wanted, what was found, is it met."""

    def __init__(self, bench: Bench, growth: list[Row]) -> None:
        self.bench = bench
        self.all: list[Row] = []
        for devices in (50, 200):
            self._push(devices)
            for task in LOOKS:
                self._ask(task, devices)
            self._rollouts(devices)
        if bench.mib_in_flight is not None:
            self._judge("MiB for each device in flight", bench.mib_in_flight, at_most=1.0)
        each = [row["wall_s"] / row["devices"] for row in growth]
        if len(each) > 1:
            middle = statistics.mean(each)
            furthest = max(abs(seconds / middle - 1) for seconds in each)
            self._judge("growth: time per device, furthest from the mean", furthest, at_most=0.2)

    def _judge(
        self, what: str, value: float, *, at_most: float | None = None, at_least: float = 0.0
    ) -> None:
        met = value <= at_most if at_most is not None else value >= at_least
        target = at_least if at_most is None else at_most
        self.all.append({"what": what, "value": round(value, 3), "target": target, "met": met})

    def _faster(self, task: str, devices: int, who: str, wanted: float) -> None:
        ours, theirs = (self.bench.of(each, task, devices) for each in ("fleet", who))
        if ours and theirs:
            ratio = theirs["wall_s"] / ours["wall_s"]
            self._judge(f"{task} × {devices}: times faster than {who}", ratio, at_least=wanted)

    def _push(self, devices: int) -> None:
        ours = self.bench.of("fleet", "push", devices)
        if ours is None:
            return
        floor_s = ours["devices_cpu_s"] / (os.cpu_count() or 1)
        cpu_ms = ours["cpu_s"] / devices * 1e3
        self._judge(f"push × {devices}: wall ÷ floor", ours["wall_s"] / floor_s, at_most=1.6)
        self._judge(f"push × {devices}: controller ms per device", cpu_ms, at_most=15.0)
        for who, wanted in FASTER.items():
            self._faster("push", devices, who, wanted)
        if devices == 200:
            self._judge("push × 200: peak MiB", ours["peak_mib"], at_most=120.0)

    def _ask(self, task: str, devices: int) -> None:
        ours, threads = (self.bench.of(who, task, devices) for who in ("fleet", "ssh2-python"))
        if ours and threads:
            ratio = ours["wall_s"] / threads["wall_s"]
            self._judge(f"{task} × {devices}: wall ÷ ssh2-python's", ratio, at_most=1.3)
        self._faster(task, devices, "pyinfra", 1.0)
        self._faster(task, devices, "ansible", 8.0)

    def _rollouts(self, devices: int) -> None:
        def of(step: str) -> Row | None:
            return self.bench.of("fleet", step, devices)

        if again := of("the same again"):
            name = f"the same again × {devices}"
            self._judge(f"{name}: bytes", again["bytes_sent"], at_most=0)
            trips = again["commands"] / devices
            self._judge(f"{name}: commands on each device", trips, at_most=1)
            if devices == 200:
                self._judge(f"{name}: peak MiB of all so far", again["peak_mib"], at_most=120)
        if delta := of("5 % changed, metered line"):
            share = delta["bytes_sent"] / (SIZE * devices)
            what = f"5 % of blocks changed × {devices}: share of the bytes"
            self._judge(what, share, at_most=0.08)
        first, back = of("first deployment"), of("rollback")
        if first and back:
            ratio = first["wall_s"] / back["wall_s"]
            self._judge(f"rollback × {devices}: times faster than the push", ratio, at_least=3.0)


def grow(bench: Bench, growth: list[Row], devices: int) -> None:
    """Add fleet's push to some devices."""
    rounds = 3 if devices <= 200 else 1
    tries = [bench.once("fleet", "push", devices, bench.best["fleet"]) for _ in range(rounds)]
    middle = {key: statistics.median(row[key] for row in tries) for key in tries[0]}
    print(f"growth: {devices:>5} devices  {middle['wall_s'] / devices * 1e3:7.1f} ms each")
    growth.append({"devices": devices, **middle})


def in_flight(bench: Bench) -> None:
    """MiB of the controller for each more device that gets bytes at the same time."""
    few, many = 8, 40
    tries = [(bench.once("fleet", "push", 80, n)["peak_mib"], n) for n in (few, many) * 3]
    peaks = {n: statistics.median(peak for peak, of in tries if of == n) for n in (few, many)}
    each = (peaks[many] - peaks[few]) / (many - few)
    print(f"memory: {each:.2f} MiB for each device in flight")
    bench.mib_in_flight = each


def environment(folder: Path) -> Path:
    """A Python with the peers, and nothing of it left afterwards."""
    uv = find_uv_bin()
    place = folder / "peers"
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, str(place)], check=True)
    python = str(place / "bin" / "python")
    subprocess.run([uv, "pip", "install", "-q", "--python", python, *PEERS], check=True)
    return place


def machine(peers: Path) -> Row:
    """What it was measured on, and with which versions."""
    cpu = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.partition(":")[2].strip()
    listed = subprocess.run(
        [str(peers / "bin" / "python"), "-c", _VERSIONS, *PEERS], capture_output=True, text=True
    )
    sshd = subprocess.run(["ssh", "-V"], capture_output=True, text=True).stderr.strip()
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "ssh": sshd,
        "load_before": os.getloadavg()[0],
        "peers": json.loads(listed.stdout or "{}"),
    }


_VERSIONS = (
    "import sys, json; from importlib.metadata import version as v; "
    "print(json.dumps({p: v(p) for p in sys.argv[1:]}))"
)


def measured(bench: Bench, asked: argparse.Namespace, growth: list[Row]) -> Iterator[None]:
    """Everything, the dearest last; gives way after each part, so that what is there can be kept."""
    everyone = tuple(who for who in AT_ONCE if who not in asked.without)
    few = ("fleet", "asyncssh", "ssh2-python")
    quick = asked.quick
    for who in few if quick else everyone:
        bench.tune(who, several=bench.rounds > 1 and not asked.untuned)
    lookers = tuple(w for w in ("ssh2-python", "pyinfra", "ansible") if w not in asked.without)
    askers = tuple(dict.fromkeys((*few, *lookers)))
    parts: list[tuple[str, Callable[[], None]]] = [
        ("push-50", lambda: bench.compare("push", 50, few if quick else everyone)),
        ("rollout-50", lambda: bench.deploy(50, 1 if quick else 3)),
        ("ask-50", lambda: bench.compare("ask", 50, few if quick else everyone)),
    ]
    if not quick:
        parts += [
            ("push-200", lambda: bench.compare("push", 200, everyone)),
            ("rollout-200", lambda: bench.deploy(200, 1)),
            ("ask-200", lambda: bench.compare("ask", 200, askers)),
            # the next two look at what the rollout left there
            ("facts-200", lambda: bench.compare("facts", 200, lookers)),
            ("audit-200", lambda: bench.compare("audit", 200, lookers)),
            ("memory", lambda: in_flight(bench)),
        ]
        parts += [(f"growth-{n}", partial(grow, bench, growth, n)) for n in (10, 50, 200, 1000)]
    for name, measure in parts:
        if not asked.only or name in asked.only:
            measure()
            yield


def main() -> None:
    """Measure, print, write; what was measured until somebody stops it is kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="once each, the fastest alone")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--untuned", action="store_true", help="as many at once as suit usually")
    parser.add_argument("--without", action="append", default=[], help="leave this peer out")
    parser.add_argument("--only", action="append", help="this part alone: push-50, audit-200, …")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # no server may stay behind
    signal.signal(signal.SIGINT, signal.default_int_handler)
    growth: list[Row] = []
    with tempfile.TemporaryDirectory() as folder, Farm() as farm:
        bench = Bench(farm, environment(Path(folder)), 1 if asked.quick else asked.rounds)
        about = machine(bench.peers)
        print(json.dumps(about))
        print(f"{'task':<34}{'who':<14}{'n':>5}{'at':>5}{'wall s':>9}{'cpu s':>9}{'dev s':>9}  MiB")
        try:
            for _ in measured(bench, asked, growth):
                about["load_after"] = os.getloadavg()[0]
                judged = Verdicts(bench, growth).all
                whole = {"machine": about, "rows": bench.rows, "growth": growth, "targets": judged}
                if asked.json:
                    asked.json.write_text(json.dumps(whole, indent=1) + "\n")
                if asked.plot:
                    asked.plot.write_text(plotted(bench.rows))
        except KeyboardInterrupt:
            print("stopped: the rest was not measured")
    judged = Verdicts(bench, growth).all
    print()
    for one in judged:
        mark = "met   " if one["met"] else "MISSED"
        print(f"{mark} {one['what']:<48}{one['value']:>9}  target {one['target']}")
    print(json.dumps({"met": sum(one["met"] for one in judged), "of": len(judged)}))


if __name__ == "__main__":
    main()
