"""``python -m orchestrator.cli`` is ``fleet``."""

from orchestrator.cli import main

main()
