"""Pinned host keys: the file OpenSSH reads, changed by one name at a time."""

import shutil
import subprocess

import pytest

from orchestrator.trust.hostkeys import HostKey, pin, pinned

ONE, OTHER = HostKey("ssh-ed25519", "QUJD"), HostKey("ssh-rsa", "REVG")


def test_what_is_pinned_is_found_under_its_name_and_no_other(tmp_path):
    file = tmp_path / "new" / "known_hosts"

    pin(file, "[10.0.0.5]:2222", ONE)
    pin(file, "10.0.0.5", OTHER)

    assert pinned(file, "[10.0.0.5]:2222") == (ONE,)
    assert pinned(file, "10.0.0.5") == (OTHER,)
    assert pinned(file, "10.0.0.50") == ()


def test_nothing_is_pinned_where_there_is_no_file(tmp_path):
    assert pinned(tmp_path / "known_hosts", "a") == ()


def test_a_new_key_takes_the_place_of_the_old_ones_and_leaves_the_rest_as_it_was(tmp_path):
    file = tmp_path / "known_hosts"
    rest = (
        "# written by hand\n\nb ssh-ed25519 QUJD a comment\n"
        "@revoked a ssh-ed25519 QUJD\n|1|x|y ssh-rsa A\n"
    )
    file.write_text(f"a ssh-rsa AAAA\n{rest}a ssh-ed25519 BBBB\n")

    pin(file, "a", ONE)

    assert file.read_text() == f"{rest}a ssh-ed25519 QUJD\n"
    assert [each.name for each in tmp_path.iterdir()] == ["known_hosts"]


def test_a_host_that_shared_a_line_keeps_its_key(tmp_path):
    file = tmp_path / "known_hosts"
    file.write_text("a,b,10.0.0.1 ssh-ed25519 QUJD\n")

    pin(file, "b", OTHER)

    assert pinned(file, "a") == pinned(file, "10.0.0.1") == (ONE,)
    assert pinned(file, "b") == (OTHER,)


def test_pinning_twice_is_pinning_once(tmp_path):
    file = tmp_path / "known_hosts"

    pin(file, "a", ONE)
    pin(file, "a", ONE)

    assert file.read_text() == "a ssh-ed25519 QUJD\n"


def test_a_comment_in_another_encoding_is_kept_byte_for_byte(tmp_path):
    file = tmp_path / "known_hosts"
    file.write_bytes(b"b ssh-rsa AAAA caf\xe9\n")

    pin(file, "a", ONE)

    assert file.read_bytes() == b"b ssh-rsa AAAA caf\xe9\na ssh-ed25519 QUJD\n"
    assert pinned(file, "b") == (HostKey("ssh-rsa", "AAAA"),)


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="no ssh-keygen on this machine")
@pytest.mark.parametrize("kind", ["ed25519", "ecdsa"])
def test_a_fingerprint_is_the_one_ssh_keygen_prints(tmp_path, kind):
    key = tmp_path / "key"
    make = ["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", str(key)]
    subprocess.run(make, check=True, capture_output=True, timeout=30)
    words = key.with_suffix(".pub").read_text().split()

    show = ["ssh-keygen", "-lf", str(key)]
    shown = subprocess.run(show, check=True, capture_output=True, timeout=30).stdout.decode()

    assert HostKey(words[0], words[1]).fingerprint == shown.split()[1]


@pytest.mark.parametrize("body", ["not base64!", "AAA", "café"])
def test_a_body_that_is_no_key_has_no_fingerprint(body):
    assert HostKey("ssh-rsa", body).fingerprint == "unreadable"
