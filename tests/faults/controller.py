"""Controllers that can be killed: ``python controller.py SITE``, a target a line, a process each.

Everything is imported once; each line forks a controller of its own, whose process id is answered
at once, and whose exit status when it has ended.
"""

import os
import signal
import sys
from pathlib import Path

from orchestrator.app import Fleet


def deploy(site: Path, target: str) -> int:
    fleet = Fleet(site)
    report = fleet.execute(fleet.plan(target, fleet.site.playbook("all")))
    return 1 if report.failed else 0


def main() -> None:
    import orchestrator.deploy.execute
    import orchestrator.ledger.ledger
    import orchestrator.transport.ssh  # noqa: F401 - imported once, for all that are forked

    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os._exit(deploy(Path(sys.argv[1]), line.strip()))
        sys.stdout.write(f"{child}\n")
        sys.stdout.flush()
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


main()
