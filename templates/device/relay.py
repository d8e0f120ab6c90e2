"""Runs on a gateway and on the devices behind it: files of a release go from one to the other.

    python3 relay.py serve FOLDER ADDRESS NAME…  <secret     prints port=…, then waits in the back
    python3 relay.py fetch HOST PORT             <secret     a tar of the files

The secret is a line of hexadecimal digits for one transfer; both ends get it over SSH. Whoever asks
proves that he knows it, and the tar is masked by the key stream that SHAKE256 makes of it, so that
nobody else on the way can read it. It is not what makes the files right: their digests are compared
afterwards, as always. Python 3.6 and later, nothing else.
"""

import hashlib
import hmac
import os
import signal
import socket
import sys
import tarfile

BLOCK = 1 << 16
COMES_S, STALLS_S = 60, 30


def proof(secret):
    """What shows that one knows the secret, and does not tell it."""
    return hashlib.sha256(b"fetch" + secret).digest()


class Mask:
    """Exclusive or with the secret's key stream, block by block; the same there and back."""

    def __init__(self, secret, put):
        self.secret, self.put, self.blocks = secret, put, 0

    def write(self, data):
        """Any block but the last is BLOCK bytes long."""
        key = self.secret + self.blocks.to_bytes(8, "big")
        pad = hashlib.shake_256(key).digest(len(data))
        self.blocks += 1
        mixed = int.from_bytes(data, "big") ^ int.from_bytes(pad, "big")
        self.put(mixed.to_bytes(len(data), "big"))


def serve(secret, folder, address, names):
    """Listen where devices behind this one see it; the first that knows the secret gets the files."""
    family, _, _, _, where = socket.getaddrinfo(address, 0, type=socket.SOCK_STREAM)[0]
    door = socket.socket(family)
    door.bind(where)
    door.listen(4)
    print("port=%d" % door.getsockname()[1], flush=True)
    if os.fork():
        return
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    signal.alarm(COMES_S)
    while True:
        line, _ = door.accept()
        line.settimeout(STALLS_S / 6)
        with line, line.makefile("rb") as asked:
            try:
                if not hmac.compare_digest(asked.read(32), proof(secret)):
                    continue
            except OSError:
                continue
            signal.alarm(0)
            line.settimeout(STALLS_S)
            hand_out(Mask(secret, line.sendall), folder, names)
        return


def hand_out(sink, folder, names):
    """The files as a tar: names and contents, nothing else."""
    with tarfile.open(fileobj=sink, mode="w|", bufsize=BLOCK, format=tarfile.USTAR_FORMAT) as tar:
        for name in names:
            with open(os.path.join(folder, name), "rb") as file:
                entry = tarfile.TarInfo(name)
                entry.size, entry.mode = os.fstat(file.fileno()).st_size, 0o600
                tar.addfile(entry, file)


def fetch(secret, host, port):
    """Ask, and write what comes to standard output."""
    with socket.create_connection((host, int(port)), STALLS_S) as line:
        line.sendall(proof(secret))
        sink = Mask(secret, sys.stdout.buffer.write)
        with line.makefile("rb") as source:
            for data in iter(lambda: source.read(BLOCK), b""):
                sink.write(data)


def main(verb, *words):
    secret = bytes.fromhex(sys.stdin.readline())
    try:
        if verb == "serve":
            serve(secret, words[0], words[1], words[2:])
        else:
            fetch(secret, *words)
    except OSError as error:
        sys.exit("%s %s: %s" % (verb, " ".join(words[:2]), error))


main(*sys.argv[1:])
