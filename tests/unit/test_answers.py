"""What devices answer, as recorded: whole, with a banner around it, cut short, or not ours at all."""

import io
import tarfile
from collections.abc import Sequence
from datetime import timedelta
from typing import BinaryIO

import pytest
from examples import NOON, complaint, device, digest_of
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.deploy.cargo import packed
from orchestrator.deploy.hands import Answer, BadAnswer, DeviceRefused, Hands, Scripts
from orchestrator.deploy.probe import (
    current_files,
    observe,
    read_facts,
    read_file,
    read_installed,
)
from orchestrator.errors import Owner
from orchestrator.inventory.facts import InstalledRuntime
from orchestrator.inventory.profile import Runtime
from orchestrator.rollout.drift import FileSeen
from orchestrator.rollout.observation import Installed
from orchestrator.transport.transport import Completed

SCRIPTS = Scripts((("device.sh", b"#!/bin/sh\n"), ("smoke.py", b"pass\n")))


class Tape:
    """A transport that plays recorded answers one after the other and keeps what it was asked."""

    def __init__(self, *answers: Completed) -> None:
        self.answers = list(answers)
        self.asked: list[list[str]] = []
        self.streamed: list[bytes] = []

    def run(self, argv: Sequence[str], *, timeout_s: float) -> Completed:
        self.asked.append(list(argv))
        return self.answers.pop(0)

    def stream(self, source: BinaryIO, argv, *, timeout_s, sent=lambda count: None) -> Completed:
        self.streamed.append(source.read(-1))
        return self.run(argv, timeout_s=timeout_s)

    def close(self) -> None:
        """Nothing to end."""

    def __enter__(self) -> "Tape":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def said(text: str, status: int | None = 0, err: bytes = b"") -> Completed:
    return Completed(status, text.encode("utf-8", "surrogateescape"), err)


def hands(*answers: Completed) -> Hands:
    return Hands(Tape(*answers), device("pi-1"), SCRIPTS)


def whole(*lines: str) -> str:
    return "\n".join(["=fleet 1=", *lines, "=end=", ""])


def answer(text: str) -> Answer:
    return hands(said(whole(*text.strip("\n").splitlines()))).call("observe")


# --- facts ------------------------------------------------------------------------------------

PI_4 = """
arch=aarch64
kernel=6.6.51+rpt-rpi-v8
bits=64
cores=4
epoch=1767355203
board=Raspberry Pi 4 Model B Rev 1.4\0
ram_kib=3884360
ram_free_kib=3301120
cpu=Features	: fp asimd evtstrm crc32 cpuid
cpu=core: 0x41 0xd08
os="Debian GNU/Linux 12 (bookworm)"
l4t=
power=
throttled=throttled=0x50000
zone=48199 cpu-thermal
usb=1d6b:0002
usb=18d1:9302
lab=
home=/home/pi
disk=/dev/mmcblk0p2  30358000 5120000 23950000  18% /
inodes=/dev/mmcblk0p2  1905008 96000 1809008    6% /
runtimes={"python": "3.11.2", "bits": 64, "litert": "1.2.0", "onnxruntime": "1.20.1"}
"""

ORIN = """
arch=aarch64
kernel=5.15.148-tegra
bits=64
cores=6
epoch=1767355200
board=NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super
ram_kib=7802964
ram_free_kib=6012345
cpu=Features	: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp
os="Ubuntu 22.04.5 LTS"
l4t=# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64, DATE: Wed Jan  8
power=NV Power Mode: 15W
throttled=
zone=50093 cpu-thermal
zone=52093 gpu-thermal
disk=/dev/nvme0n1p1 238737052 61234567 165300000  28% /
inodes=/dev/nvme0n1p1 15204352 512000 14692352    4% /
runtimes={"python": "3.10.12", "bits": 64, "onnxruntime": "1.19.0"}
"""

PI_3_32 = """
arch=aarch64
kernel=6.6.51+rpt-rpi-v8
bits=32
cores=4
epoch=1767355200
board=Raspberry Pi 3 Model B Plus Rev 1.3
ram_kib=931264
os="Raspbian GNU/Linux 12 (bookworm)"
disk=/dev/root 14988008 4000000 10300000 28% /
inodes=/dev/root 950272 66000 884272 7% /
runtimes={"python": "3.11.2", "bits": 32, "tflite-runtime": "2.14.0"}
"""

BUSYBOX = """
arch=armv7l
kernel=4.9.118
bits=
cores=
epoch=1767355200
board=
ram_kib=124000
l4t=
power=
throttled=
disk=
inodes=
runtimes=
"""


def test_a_raspberry_pi_4_is_read_as_one():
    found = read_facts(answer(PI_4), NOON)

    assert (found.arch, found.userland_bits, found.cores) == ("aarch64", 64, 4)
    assert found.board == "Raspberry Pi 4 Model B Rev 1.4"
    assert (found.ram_mib, found.ram_free_mib) == (3793, 3223)
    assert (found.disk_free_mib, found.inodes_free) == (23388, 1809008)
    assert found.os == "Debian GNU/Linux 12 (bookworm)"
    assert found.cpu_features == ("asimd", "cpuid", "crc32", "evtstrm", "fp")
    assert found.throttled == "0x50000"
    assert found.temperature_c == 48.199
    assert found.cpu == ("cortex-a72",)
    assert (found.disk_mib, found.storage) == (29646, "/dev/mmcblk0p2")
    assert found.accelerators == ("edgetpu",)
    assert found.python == "3.11.2"
    assert found.runtimes == (
        InstalledRuntime(name=Runtime.LITERT, version="1.2.0"),
        InstalledRuntime(name=Runtime.ONNXRUNTIME, version="1.20.1"),
    )
    assert found.clock_skew_s == 3.0
    assert (found.l4t, found.power_mode, found.emulated) == (None, None, None)
    assert found.observed_at == NOON


def test_a_jetson_orin_is_read_with_its_l4t_its_power_mode_and_cuda():
    found = read_facts(answer(ORIN), NOON)

    assert (found.l4t, found.power_mode) == ("36.4.3", "15W")
    assert found.accelerators == ("cuda",)
    assert found.version_of(Runtime.ONNXRUNTIME) == "1.19.0"
    assert found.version_of(Runtime.LITERT) is None
    assert found.ram_mib == 7620


def test_a_32_bit_userland_is_seen_through_a_64_bit_kernel():
    found = read_facts(answer(PI_3_32), NOON)

    assert (found.arch, found.userland_bits) == ("aarch64", 32)


def test_python_s_own_word_on_its_bits_stands_over_the_shell_s():
    found = read_facts(answer(PI_3_32.replace("bits=32\n", "bits=64\n", 1)), NOON)

    assert found.userland_bits == 32


def test_a_busybox_that_answers_little_leaves_the_rest_empty_and_not_guessed():
    found = read_facts(answer(BUSYBOX), NOON)

    assert (found.arch, found.ram_mib) == ("armv7l", 121)
    assert (found.runtimes, found.python, found.accelerators) == ((), None, ())
    assert (found.inodes_free, found.temperature_c) == (None, None)
    assert (found.disk_free_mib, found.ram_free_mib) == (0, 0)


def test_a_file_system_that_does_not_count_inodes_has_none_to_run_out_of():
    found = read_facts(answer("arch=x\ninodes=/dev/sda 0 0 0 - /"), NOON)

    assert found.inodes_free is None


@pytest.mark.parametrize(
    "odd", ["-256000 gpu", "0 skin", "99999999 x", "--5 x", " x", "n/a x", "²"]
)
def test_a_zone_that_says_what_no_device_survives_is_left_out(odd):
    found = read_facts(answer(f"arch=x\nzone={odd}\nzone=41500 cpu"), NOON)

    assert [(each.zone, each.celsius) for each in found.temperatures] == [("cpu", 41.5)]
    assert found.temperature_c == 41.5


def test_a_device_s_clock_is_compared_with_ours():
    late = read_facts(answer("arch=x\nepoch=1767355200"), NOON + timedelta(minutes=1))

    assert late.clock_skew_s == -60.0


@pytest.mark.parametrize("runtimes", ["", "Killed", "[]", '"x"', '{"python"', "{}"])
def test_a_python_that_does_not_answer_has_no_runtimes(runtimes):
    assert read_facts(answer(f"arch=x\nruntimes={runtimes}"), NOON).runtimes == ()


def test_a_lab_device_says_that_it_is_emulated_and_on_what():
    lab = '{"emulated": true, "cpu": "AMD EPYC"}'

    assert read_facts(answer(f"arch=x\nlab={lab}"), NOON).emulated == "AMD EPYC"
    assert read_facts(answer('arch=x\nlab={"emulated": true}'), NOON).emulated == "yes"
    assert read_facts(answer("arch=x\nlab="), NOON).emulated is None


# --- what is installed ------------------------------------------------------------------------

INSTALLED = """
arch=aarch64
model=zebra
current=
previous=
model=fashion
current=2.0.0+tflite-int8.bbbbbbbbbbbb
previous=1.0.0+tflite-int8.aaaaaaaaaaaa
pending=token 2.0.0 1.0.0
release=2.0.0+tflite-int8.bbbbbbbbbbbb
release=1.0.0+tflite-int8.aaaaaaaaaaaa
"""


def test_models_come_with_what_runs_what_ran_before_and_what_is_kept():
    assert read_installed(answer(INSTALLED)) == (
        Installed(
            model="fashion",
            current="2.0.0+tflite-int8.bbbbbbbbbbbb",
            previous="1.0.0+tflite-int8.aaaaaaaaaaaa",
            releases=("1.0.0+tflite-int8.aaaaaaaaaaaa", "2.0.0+tflite-int8.bbbbbbbbbbbb"),
        ),
        Installed(model="zebra"),
    )


def test_a_device_nothing_was_deployed_to_has_nothing():
    assert read_installed(answer(PI_4)) == ()


def test_one_round_trip_answers_everything():
    found = observe(hands(said(whole(*(PI_4 + INSTALLED).splitlines()))), NOON)

    assert found.device == "pi-1"
    assert found.facts.board.startswith("Raspberry Pi 4")
    assert found.of("fashion").current == "2.0.0+tflite-int8.bbbbbbbbbbbb"


def test_files_of_the_current_releases_come_with_their_digests():
    digest = digest_of("x")
    lines = (
        "model=fashion",
        "current=r1",
        f"file={digest} 42 model.tflite",
        "model=zebra",
        "current=",
    )

    found = current_files(hands(said(whole(*lines))))

    assert [(each.model, each.current) for each in found] == [("fashion", "r1"), ("zebra", None)]
    assert found[0].files == (FileSeen(path="model.tflite", sha256=digest, size_bytes=42),)


@pytest.mark.parametrize(
    "line", ["file=broken", "cores=²\nepoch=x", "elf=²", 'runtimes={"bits": "x"}']
)
def test_an_answer_that_makes_no_sense_is_the_device_s_fault(line):
    lines = ("model=m", "current=r1", *line.split("\n"))
    odd = hands(said(whole(*lines)))

    with pytest.raises(BadAnswer, match="makes no sense"):
        current_files(odd) if line.startswith("file") else observe(odd, NOON)


def test_hashes_before_any_model_make_no_sense():
    with pytest.raises(BadAnswer, match="makes no sense"):
        current_files(hands(said(whole("current=r1"))))


def test_a_file_s_name_may_have_blanks():
    assert read_file(f"{digest_of('x')} 7 a b c").path == "a b c"


# --- answers ----------------------------------------------------------------------------------

BANNER = "Welcome to Debian!\nlast login: a=b\n\n"


@pytest.mark.parametrize(
    "text",
    [
        whole("current=r1"),
        BANNER + whole("current=r1"),
        whole("current=r1") + "bye=bye\nlogout\n",
        (BANNER + whole("current=r1")).replace("\n", "\r\n"),
        BANNER.replace("Debian", "\udcff\udcfe") + whole("current=r1"),
        "no newline at the end of the banner" + whole("current=r1"),
        "=end=\n" + whole("current=r1"),
    ],
)
def test_what_a_login_shell_prints_around_an_answer_is_ignored(text):
    assert hands(said(text)).call("observe").lines == (("current", "r1"),)


def test_lines_that_are_no_answers_are_ignored_and_values_may_hold_equal_signs():
    found = hands(said(whole("noise", "key=a=b", "key=c", ""))).call("observe")

    assert found.lines == (("key", "a=b"), ("key", "c"))
    assert (found.one("key"), found.all("key"), found.one("none")) == ("c", ("a=b", "c"), "")


@pytest.mark.parametrize(
    "text",
    ["", "=fleet 1=\ncurrent=r1\n", "current=r1\n=end=\n", "=fleet 2=\n=end=\n", BANNER],
)
def test_an_answer_cut_short_is_no_answer(text):
    with pytest.raises(BadAnswer) as caught:
        hands(said(text, 137, b"noise\nsh: killed\n")).call("prepare")

    error = caught.value
    assert error.message == "pi-1: no whole answer to 'prepare' (exit status 137): sh: killed"
    assert error.hint == "try it by hand: ssh pi@10.0.0.1 -p 22 true"
    assert (error.code, error.owner, error.transient) == ("DEPLOY > ANSWER", Owner.DEVICE, False)


@given(st.integers(0, len(whole("a=1", "b=2")) - 2))
def test_an_answer_cut_anywhere_is_never_taken_for_a_whole_one(length):
    with pytest.raises(BadAnswer, match="nothing on its error output"):
        hands(said(whole("a=1", "b=2")[:length])).call("observe")


@given(st.binary(max_size=60))
def test_any_other_bytes_are_refused_in_words(noise):
    message = complaint(lambda: hands(Completed(1, noise, noise)).call("observe"))

    assert message.startswith("pi-1: no whole answer to 'observe' (exit status 1): ")


@pytest.mark.parametrize(
    ("word", "code", "hint"),
    [
        ("disk-space", "DEPLOY > PREFLIGHT > DISK_SPACE", "free some space on pi-1"),
        ("inodes", "DEPLOY > PREFLIGHT > INODES", "remove small files on pi-1"),
        ("unwritable", "DEPLOY > PREFLIGHT > UNWRITABLE", "check storage_root"),
        ("locked", "DEPLOY > LEASE > HELD", "wait for the other controller"),
        ("lease-lost", "DEPLOY > LEASE > LOST", "run the same command again"),
        ("transfer", "DEPLOY > TRANSFER > WRITE", "check the disk of pi-1"),
        ("no-python", "DEPLOY > SMOKE > NO_PYTHON", "install Python on pi-1"),
        ("no-release", "DEPLOY > RELEASE > MISSING", "deploy it first"),
        ("changed", "DEPLOY > SWITCH > CHANGED", "make a new plan: fleet plan --target pi-1"),
        ("reverted", "DEPLOY > SWITCH > REVERTED", "run the same command again"),
        ("never-heard-of", "DEPLOY > NEVER_HEARD_OF", ""),
    ],
)
def test_a_refusal_has_a_code_its_words_and_the_next_step(word, code, hint):
    refused = said(whole("owner=x", f"refused={word}", "because=it = so"), 1)

    with pytest.raises(DeviceRefused) as caught:
        hands(refused).call("prepare")

    error = caught.value
    assert (error.code, error.message) == (code, "pi-1: it = so")
    assert error.hint.startswith(hint)
    assert (error.device, error.word, error.owner) == ("pi-1", word, Owner.DEVICE)


# --- our scripts ------------------------------------------------------------------------------


def test_a_verb_is_asked_word_for_word():
    asked = hands(said(whole()))

    asked.call("prepare", "fashion", "a b; reboot")

    (argv,) = asked.transport.asked
    assert argv[:2] == ["sh", "-c"]
    assert argv[3:] == ["fleet", "~/.fleet", SCRIPTS.name, "prepare", "fashion", "a b; reboot"]


def test_scripts_a_device_does_not_have_are_put_there_once_and_the_verb_is_asked_again():
    asked = hands(said("", 90), said(""), said(whole("a=1")))

    assert asked.call("observe").one("a") == "1"

    first, install, again = asked.transport.asked
    assert first == again
    assert install[-1] == SCRIPTS.name
    with tarfile.open(fileobj=io.BytesIO(asked.transport.streamed[0])) as tar:
        assert tar.getnames() == ["device.sh", "smoke.py"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("Permission denied", "DEPLOY > PREFLIGHT > UNWRITABLE"),
        ("Read-only file system", "DEPLOY > STORAGE > READ_ONLY"),
        ("No space left on device", "DEPLOY > STORAGE > FULL"),
        ("Disk quota exceeded", "DEPLOY > STORAGE > QUOTA"),
        ("Input/output error", "DEPLOY > STORAGE > DEAD"),
    ],
)
def test_a_device_our_scripts_cannot_be_written_to_is_refused_with_its_own_words(words, code):
    with pytest.raises(DeviceRefused) as caught:
        hands(said("", 90), said("", 1, f"mkdir: {words}\n".encode())).call("observe")

    assert caught.value.code == code
    assert caught.value.message == f"pi-1: cannot write ~/.fleet: mkdir: {words}"


def test_a_script_that_was_killed_is_named_with_what_the_kernel_counted():
    killed = hands(said("", None), said("oom_kill 3\n"))

    with pytest.raises(DeviceRefused) as caught:
        killed.call("prepare")

    assert caught.value.code == "DEPLOY > KILLED"
    assert "3 processes for want of memory" in caught.value.message


def test_scripts_are_named_by_their_content():
    other = Scripts((("device.sh", b"#!/bin/sh\n"), ("smoke.py", b"pass\n\n")))

    assert SCRIPTS.name == Scripts(SCRIPTS.files).name
    assert SCRIPTS.name != other.name
    assert len(SCRIPTS.name) == 12


def test_equal_files_are_packed_into_equal_bytes_with_nothing_but_names_and_contents():
    files = [("manifest.json", b"{}"), ("model.tflite", bytes(range(256)) * 9)]

    data = packed(files).read()

    assert data == packed(files).read()
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        found = [(m.name, tar.extractfile(m).read()) for m in tar.getmembers()]
        about = {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode) for m in tar.getmembers()}
    assert found == files
    assert about == {(0, 0, 0, "", "", 0o600)}
