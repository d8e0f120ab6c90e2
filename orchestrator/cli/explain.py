"""fleet explain: which variant a device gets, and why not each of the others."""

from orchestrator.cli.options import Device, Output, Plain, Playbook, Site
from orchestrator.cli.session import opened


def explain(
    device: Device, playbook: Playbook = None, output: Output = Plain.TEXT, site: Site = None
) -> None:
    """Explain which variant of each model a device gets, and why none of the others."""
    with opened(site, output) as (fleet, screen):
        from orchestrator.catalog.assignment import Assignment
        from orchestrator.cli.render import age

        found = fleet.device(device)
        book = fleet.site.playbook(playbook or fleet.settings["playbook"])
        choices = fleet.explain(found, book)
        facts = fleet.ledger.facts().get(device)
        if not screen.for_people:
            data = {model: choice.model_dump(mode="json") for model, choice in choices.items()}
            screen.envelope("explain", {"device": device, "facts": facts, "models": data})
            return
        told = f"as it said {age(facts.observed_at)} ago" if facts else "never asked: its profile"
        mark = "  EMULATED" if found.emulated else ""
        screen.say(f"[bold]{device}[/]{mark}  {found.profile}, {told}; objective {book.objective}")
        for model, choice in choices.items():
            if isinstance(choice, Assignment):
                screen.say(
                    f"  {model}: [green]{choice.variant}[/] on {choice.runtime}: {choice.because}"
                )
            else:
                screen.say(f"  {model}: [yellow]none fits[/]")
            for other in choice.others:
                screen.say(f"      {other.variant:<22}{other.because}")
