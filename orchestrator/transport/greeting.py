"""A second look at a device that could not be logged in to: errors that mislead get their name.

An SSH library sees "no banner" whether a server is full, punishes this address, stands still or is
not one at all; and a login that is refused because the key file cannot be read looks like a wrong
key. One more connection, of which only the first line is read, tells them apart.
"""

import socket
from contextlib import suppress

from orchestrator.errors import Owner
from orchestrator.transport.transport import DeviceUnreachable, LoginRefused

_LOOK_S = 3.0


class Crowded(DeviceUnreachable):
    """The server has as many unfinished logins as it takes (MaxStartups)."""

    path = ("TRANSPORT", "TURNED_AWAY", "CROWDED")


class Punished(DeviceUnreachable):
    """The server refuses this address for a while, after failed logins (OpenSSH 9.8 and later)."""

    path = ("TRANSPORT", "TURNED_AWAY", "PENALTY")


class TurnedAway(DeviceUnreachable):
    """The server closes the connection before it says a word."""

    path = ("TRANSPORT", "TURNED_AWAY")


class Silent(DeviceUnreachable):
    """The connection is taken, and nothing ever comes."""

    path = ("TRANSPORT", "SILENT")


class LoginLost(DeviceUnreachable):
    """A device refuses a login that it took before."""

    path = ("TRANSPORT", "LOGIN", "LOST")
    owner = Owner.DEVICE


def looked_again(
    error: DeviceUnreachable, host: str, port: int, last_login: str | None
) -> DeviceUnreachable:
    """The same failure by its right name, or `error` itself if another look says nothing more.

    Args:
        last_login: when this device was last logged in to, in words; None if never.
    """
    if isinstance(error, LoginRefused) and "EOF" in error.because:
        return DeviceUnreachable(error.device, f"{host}:{port}: the line went away in the login")
    if type(error) is LoginRefused and last_login and "refused the login" in error.because:
        return LoginLost(
            error.device,
            f"{error.because}, and it took it on {last_login}: its storage may be dead, so that "
            "the key file cannot be read; or the key was taken away",
            hint=f"look at its storage (dmesg on {error.device}'s console); else put the key back",
        )
    if type(error) is not DeviceUnreachable:
        return error
    return _named(error.device, f"{host}:{port}", first_line(host, port)) or error


def first_line(host: str, port: int) -> bytes | None:
    """What whoever listens says first, up to its line's end; None for silence, empty for a close.

    A connection that is refused, or cannot be made, counts as a greeting: nothing new is learnt.
    """
    said = b""
    try:
        with socket.create_connection((host, port), _LOOK_S) as line:
            line.settimeout(_LOOK_S)
            while b"\n" not in said and len(said) < 255:
                piece = line.recv(255)
                if not piece:
                    return said
                said += piece
    except TimeoutError:
        return said or None
    except ConnectionResetError:
        return said
    except OSError:
        return b"SSH-"
    return said


def _named(device: str, where: str, said: bytes | None) -> DeviceUnreachable | None:
    if said is None:
        return Silent(
            device,
            f"{where} takes connections and says nothing: the device is frozen, or its line is dead",
            hint=f"switch {device} off and on; then: fleet facts --target {device} --refresh",
        )
    if said.startswith(b"SSH-"):
        return None
    if b"MaxStartups" in said:
        return Crowded(
            device,
            f"{where} has as many unfinished logins as it takes (MaxStartups)",
            hint="try again, with fewer devices at once behind one address, or raise MaxStartups",
        )
    if b"Not allowed at this time" in said:
        return Punished(
            device,
            f"{where} refuses this address for a while, as OpenSSH does after failed logins",
            hint="wait a minute and try again, with the right key and no other; see sshd_config(5), "
            "PerSourcePenalties",
        )
    with suppress(UnicodeDecodeError):
        if words := said.decode().strip():
            return TurnedAway(
                device, f"{where} says {words[:60]!r}, which is no SSH", hint="is the port right?"
            )
    return TurnedAway(
        device,
        f"{where} closes every connection before it says a word",
        hint="a firewall, an sshd that starts, or one that punishes this address: wait a minute",
    )
