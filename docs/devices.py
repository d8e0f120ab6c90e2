"""Writes the table of shipped profiles into docs/devices.md, from the profiles themselves.

python docs/devices.py          write it
python docs/devices.py --check  exit 1 if it is not what would be written
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from orchestrator.inventory.inventory import read_inventory
from orchestrator.inventory.profile import Profile, Tried

PAGE = Path(__file__).with_name("devices.md")
PROFILES = Path(__file__).parents[1] / "orchestrator" / "inventory" / "profiles.yaml"
BEGIN, END = "<!-- profiles: written by make docs -->\n", "<!-- end -->\n"


def main() -> None:
    """Write the table, or compare it."""
    old = PAGE.read_text(encoding="utf-8")
    before, _, rest = old.partition(BEGIN)
    _, _, after = rest.partition(END)
    text = f"{before}{BEGIN}{''.join(table())}{END}{after}"
    if "--check" not in sys.argv:
        PAGE.write_text(text, encoding="utf-8")
    elif old != text:
        sys.exit("docs/devices.md is not what the profiles say: run make docs")


def table() -> Iterator[str]:
    """What each word means, and a row a profile, in the order of the file."""
    inventory = read_inventory([(PROFILES.name, PROFILES.read_text(encoding="utf-8"))])
    yield "\n| tried | means |\n|---|---|\n"
    for tried in Tried:
        count = sum(each.tried is tried for each in inventory.profiles.values())
        yield f"| {tried.value} ({count}) | {tried.means} |\n"
    yield "\n| profile | what | architecture | C library | runtimes | accelerators | tried |\n"
    yield "|---|---|---|---|---|---|---|\n"
    yield from (row(each) for each in inventory.profiles.values())
    yield "\n"


def row(profile: Profile) -> str:
    """One profile."""
    runtimes = ", ".join(runtime.value for runtime in profile.runtimes)
    more = ", ".join(profile.accelerators) or "–"
    return (
        f"| `{profile.name}` | {profile.description} | {profile.arch} | {profile.libc} "
        f"| {runtimes} | {more} | **{profile.tried}** |\n"
    )


if __name__ == "__main__":
    main()
