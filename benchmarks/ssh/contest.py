"""One contestant does one task on some devices and says as JSON how long it took and what it used.

    python contest.py CONTESTANT TASK AT_ONCE TARGET.json

Tasks: `push` (make a folder, put a file beside, compare its SHA-256 on the device, rename it,
say ok) and `ask` (one command, such as `cat /etc/hostname`), both over fresh connections. Every
contestant does them in the way that suits it best; libraries are measured without their import,
commands with their start.
Runs under any Python that has the contestant; imports nothing of fleet but for `fleet` itself.
"""

import asyncio
import json
import os
import resource
import shlex
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

T = json.loads(Path(sys.argv[4]).read_text())
HOSTS, PORT, USER, KEY, SHA = T["hosts"], T["port"], T["user"], T["key"], T["sha256"]
ASK = T["ask"]
MKDIR = "cd && mkdir -p app"
CHECK = f"cd && echo '{SHA}  app/.part' | sha256sum -c --status && mv -f app/.part app/model.bin && echo ok"
STREAM = f"cd && mkdir -p app && cat >app/.part && {CHECK}"


def part(host):
    """Where the file is put on a device before it counts."""
    return f"{T['homes']}/{host}/app/.part"


def pool(one, at_once):
    """How many devices went well, so many at once in threads."""
    with ThreadPoolExecutor(at_once) as workers:
        return sum(workers.map(one, HOSTS))


def fleet(task, at_once):
    """fleet's own transport: one connection, one command, a stream into it."""
    from orchestrator.deploy.cargo import Pieces
    from orchestrator.transport.login import Address
    from orchestrator.transport.ssh import SshTransport

    data = Path(T["file"]).read_bytes()

    def one(host):
        address = Address(host, host, PORT, USER, Path(KEY), (Path(T["known_hosts"]),))
        with SshTransport(address) as session:
            if task == "ask":
                return session.run(shlex.split(ASK), timeout_s=60).status == 0
            done = session.stream(Pieces([data]), ["sh", "-c", STREAM], timeout_s=120)
            return done.stdout == b"ok\n"

    return lambda: pool(one, at_once)


def fleet_sharded(task, at_once):
    """fleet's transport in a process for each core, each with its share of the devices."""
    shards = os.cpu_count() or 1
    import orchestrator.transport.ssh  # noqa: F401 - imported once, before the clock runs

    def share(number):
        global HOSTS
        HOSTS = HOSTS[number::shards]
        return fleet(task, max(1, at_once // shards))()

    def work():
        children = []
        for number in range(shards):
            ready, wrote = os.pipe()
            if (child := os.fork()) == 0:
                os.write(wrote, str(share(number)).encode())
                os._exit(0)
            os.close(wrote)
            children.append((child, ready))
        good = 0
        for child, ready in children:
            with os.fdopen(ready) as pipe:
                good += int(pipe.read() or 0)
            os.waitpid(child, 0)
        return good

    return work


def asyncssh(task, at_once):
    """One event loop, a stream into one command."""
    import asyncssh as library

    data = Path(T["file"]).read_bytes()
    options = library.SSHClientConnectionOptions(
        username=USER,
        client_keys=[KEY],
        known_hosts=T["known_hosts"],
        encryption_algs=["aes128-gcm@openssh.com"],
        agent_path=None,
        config=None,
    )

    async def one(host, gate):
        async with gate, library.connect(host, PORT, options=options) as line:
            if task == "ask":
                return (await line.run(ASK)).exit_status == 0
            done = await line.run(STREAM, input=data, encoding=None)
            return done.stdout == b"ok\n"

    async def everyone():
        gate = asyncio.Semaphore(at_once)
        return sum(await asyncio.gather(*(one(host, gate) for host in HOSTS)))

    return lambda: asyncio.run(everyone())


def ssh2_python(task, at_once):
    """libssh2 in threads, a stream into one command; host keys are not even looked at."""
    from ssh2.session import Session

    data = Path(T["file"]).read_bytes()

    def one(host):
        sock = socket.create_connection((host, PORT))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        session = Session()
        session.handshake(sock)
        session.userauth_publickey_fromfile(USER, KEY, "", KEY + ".pub")
        channel = session.open_session()
        channel.execute(ASK if task == "ask" else STREAM)
        if task == "push":
            channel.write(data)
            channel.send_eof()
        said = b""
        while True:
            count, piece = channel.read()
            if count <= 0:
                break
            said += piece
        channel.close()
        channel.wait_closed()
        good = channel.get_exit_status() == 0 and (task == "ask" or said == b"ok\n")
        session.disconnect()
        sock.close()
        return good

    return lambda: pool(one, at_once)


def parallel_ssh(task, at_once):
    """libssh2 in greenlets, its own scp."""
    from gevent import joinall
    from pssh.clients import ParallelSSHClient

    def run(client, command):
        client.join(found := client.run_command(command))
        return [output.exit_code == 0 for output in found]

    def work():
        client = ParallelSSHClient(
            HOSTS, user=USER, port=PORT, pkey=KEY, pool_size=at_once, allow_agent=False
        )
        if task == "ask":
            return sum(run(client, ASK))
        run(client, MKDIR)
        places = [{"local_file": T["file"], "remote_file": part(host)} for host in HOSTS]
        sent = client.scp_send("%(local_file)s", "%(remote_file)s", copy_args=places)
        joinall(sent, raise_error=True)
        return sum(run(client, CHECK))

    return work


def fabric(task, at_once):
    """`Connection.put` and `run` in threads."""
    from fabric import Config, Connection

    def one(host):
        config = Config(overrides={"load_ssh_configs": False})
        options = {"key_filename": KEY, "look_for_keys": False, "allow_agent": False}
        with Connection(host, user=USER, port=PORT, config=config, connect_kwargs=options) as line:
            if task == "ask":
                return line.run(ASK, hide=True, in_stream=False).ok
            line.run(MKDIR, hide=True, in_stream=False)
            line.put(T["file"], part(host))
            return line.run(CHECK, hide=True, in_stream=False).ok

    return lambda: pool(one, at_once)


def pyinfra(task, at_once):
    """Its command line, three operations."""
    folder = Path(tempfile.mkdtemp())
    settings = {
        "ssh_user": USER,
        "ssh_port": PORT,
        "ssh_key": KEY,
        "ssh_known_hosts_file": T["known_hosts"],
        "ssh_allow_agent": False,
        "ssh_look_for_keys": False,
    }
    (folder / "inventory.py").write_text(
        f"devices = {[(host, {**settings, 'part': part(host)}) for host in HOSTS]!r}\n"
    )
    (folder / "push.py").write_text(
        "from pyinfra import host\nfrom pyinfra.operations import files, server\n"
        f"server.shell(commands=[{MKDIR!r}])\n"
        f"files.put(src={T['file']!r}, dest=host.data.part, force=True, create_remote_dir=False)\n"
        f"server.shell(commands=[{CHECK!r}])\n"
    )
    program = str(Path(sys.executable).with_name("pyinfra"))
    head = [program, "-y", "--parallel", str(at_once), "inventory.py"]
    command = [*head, "exec", "--", ASK] if task == "ask" else [*head, "push.py"]
    return lambda: _ran(command, folder, {})


def ansible(task, at_once):
    """A playbook without facts, pipelining and shared connections."""
    folder = Path(tempfile.mkdtemp())
    common = (
        f"ansible_user={USER} ansible_port={PORT} ansible_ssh_private_key_file={KEY} "
        f"ansible_python_interpreter=/usr/bin/python3 "
        f"ansible_ssh_common_args='-o UserKnownHostsFile={T['known_hosts']}'"
    )
    (folder / "hosts.ini").write_text(
        "[all]\n"
        + "\n".join(f"{host} part={part(host)}" for host in HOSTS)
        + "\n[all:vars]\n"
        + common.replace(" ansible", "\nansible")
    )
    tasks = [{"shell": ASK}]
    if task == "push":
        tasks = [
            {"shell": MKDIR},
            {"copy": {"src": T["file"], "dest": "{{ part }}", "force": True}},
            {"shell": CHECK},
        ]
    play = [{"hosts": "all", "gather_facts": False, "tasks": tasks}]
    (folder / "play.yml").write_text(json.dumps(play))
    program = str(Path(sys.executable).with_name("ansible-playbook"))
    command = [program, "-i", "hosts.ini", "-f", str(at_once), "play.yml"]
    environment = {
        "ANSIBLE_PIPELINING": "True",
        "ANSIBLE_SSH_ARGS": "-o ControlMaster=auto -o ControlPersist=5s",
        "ANSIBLE_HOME": str(folder),
    }
    return lambda: _ran(command, folder, environment)


def _ran(command, folder, environment):
    done = subprocess.run(
        command,
        cwd=folder,
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            **environment,
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.stderr.write(done.stdout[-2000:] + done.stderr[-2000:])
    return len(HOSTS) if done.returncode == 0 else 0


CONTESTANTS = {
    "fleet": fleet,
    "fleet-sharded": fleet_sharded,
    "asyncssh": asyncssh,
    "ssh2-python": ssh2_python,
    "parallel-ssh": parallel_ssh,
    "fabric": fabric,
    "pyinfra": pyinfra,
    "ansible": ansible,
}


def used():
    """CPU seconds of this process and of those it has waited for."""
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in both)


def main():
    """Do the task and say so."""
    work = CONTESTANTS[sys.argv[1]](sys.argv[2], int(sys.argv[3]))
    cpu, began = used(), time.perf_counter()
    good = work()
    wall = time.perf_counter() - began
    command = sys.argv[1] in ("pyinfra", "ansible")
    whose = resource.RUSAGE_CHILDREN if command else resource.RUSAGE_SELF
    print(
        json.dumps(
            {
                "wall_s": wall,
                "cpu_s": used() - cpu,
                "peak_mib": resource.getrusage(whose).ru_maxrss / 1024,
                "good": int(good),
            }
        )
    )


if __name__ == "__main__":
    main()
