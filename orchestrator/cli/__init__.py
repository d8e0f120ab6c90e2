"""Where people speak: one file a command; `render` is the only module that prints."""


def main() -> None:
    """The ``fleet`` command."""
    from orchestrator.cli.main import run

    run()
