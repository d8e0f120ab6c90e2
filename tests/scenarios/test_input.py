"""What a person may get wrong at the command line: one screen, what is wrong, and what to do next."""

import socket
import subprocess
import threading

import pytest


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["plan", "-t", "pi-99"], "pi-99"),
        (["plan", "-t", "pi-gruop"], "did you mean 'pi-group'?"),
        (["plan", "-t", ""], "target"),
        (["plan", "-t", "pi-01 & pi-02"], "selects no device"),
        (["plan", "-t", "pi-01 & ("], "target"),
        (["plan", "-t", "all", "-m", "scael"], "did you mean 'scale'?"),
        (["plan", "-t", "all", "-p", "canray"], "did you mean 'canary'?"),
        (["plan", "-t", "pi-01", "--out", "/nowhere/at/all/plan.json"], "/nowhere/at/all"),
        (["deploy", "-t", "pi-01", "--plan", "x.json"], "name a --target or a --plan"),
        (["deploy"], "name a --target or a --plan"),
        (["deploy", "--plan", "/nowhere.json"], "/nowhere.json"),
        (["deploy", "-t", "pi-01"], "there is nobody to ask"),
        (["rollback", "-t", "nobody"], "nobody"),
        (["history", "-d", "pi-99"], "no device named 'pi-99'"),
        (["explain", "pi-99"], "no device named 'pi-99'"),
        (["enroll", "pi-99"], "no device named 'pi-99'"),
    ],
)
def test_a_wrong_word_is_named_with_what_to_do_next(site, words, expected):
    done = site.run(*words)

    assert done.code == 2
    assert expected in done.said
    assert "next:" in done.said
    assert len(done.err.splitlines()) <= 8


def test_an_error_for_programs_is_an_envelope_too(site):
    done = site.run("plan", "-t", "pi-99", "-o", "json")

    assert done.code == 2
    assert done.out == ""
    assert '"schema": "fleet/v1/error"' in done.err


def test_yaml_that_does_not_parse_is_named_with_its_line(site):
    (site.inventory / "devices.yaml").write_text("devices:\n  pi-01: {address: [\n")

    done = site.run("plan", "-t", "all")

    assert done.code == 2
    assert "devices.yaml:" in done.said


def test_an_unknown_key_of_a_playbook_is_named_with_its_line(site):
    site.playbook("odd", "  - {name: all, size: all, max_faild: 0}")

    done = site.run("plan", "-t", "all", "-p", "odd")

    assert done.code == 2
    assert "odd.yaml:3" in done.said
    assert "max_faild" in done.said


def test_a_lock_for_another_version_is_a_reason_not_an_error(site):
    text = (site.inventory / "models.yaml").read_text()
    (site.inventory / "models.yaml").write_text(text.replace("1.0", "7.0"))

    done = site.deploy("pi-01")

    assert done.code == 1
    assert "built for version 1.0, and the catalog says 7.0: run fleet build scale" in done.said


def test_a_folder_without_a_site_is_named(tmp_path, site):
    done = subprocess.run(
        [site.argv()[0], "plan", "-t", "all", "--site", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=30,
    )

    assert done.returncode == 2
    assert "fleet init" in done.stderr


def test_a_server_that_speaks_no_ssh_costs_one_line(site):
    def hang_up() -> None:
        server.accept()[0].close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=hang_up, daemon=True).start()
        site.describe("pi-01", address="127.0.0.1", port=server.getsockname()[1])
        done = site.start("facts", "--refresh", "-t", "pi-01")

    assert done.code == 3
    assert "takes connections and says nothing" in done.out
    assert len(done.err.splitlines()) <= 1
