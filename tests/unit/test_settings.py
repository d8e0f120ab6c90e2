"""Which site, which settings, and where each of them came from."""

import pytest

from orchestrator.errors import BadInput
from orchestrator.settings import NoSite, Setting, find_site, load


def written(folder, text=""):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "fleet.toml").write_text(text)
    return folder


# --- which site -------------------------------------------------------------------------------


def test_the_flag_stands_over_the_environment_and_that_over_the_folder(tmp_path, monkeypatch):
    flag, environment, here = (written(tmp_path / name) for name in ("flag", "env", "here"))
    monkeypatch.chdir(here)

    assert find_site(flag, {"FLEET_SITE": str(environment)}) == flag
    assert find_site(None, {"FLEET_SITE": str(environment)}) == environment
    assert find_site(None, {"FLEET_SITE": ""}) == here
    assert find_site(None, {}) == here


def test_the_nearest_site_upward_is_taken(tmp_path, monkeypatch):
    outer = written(tmp_path / "outer")
    inner = written(outer / "a" / "inner")
    (inner / "deep" / "down").mkdir(parents=True)

    monkeypatch.chdir(inner / "deep" / "down")
    assert find_site(None, {}) == inner
    monkeypatch.chdir(outer / "a")
    assert find_site(None, {}) == outer


def test_without_a_site_one_is_told_how_to_make_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    with pytest.raises(NoSite) as caught:
        find_site(None, {})

    assert caught.value.message == f"no fleet.toml in {str(tmp_path)!r} or above"
    assert caught.value.hint.startswith("make a site here: fleet init .")


def test_a_named_site_that_is_none_is_not_searched_for_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(written(tmp_path / "here"))
    gone = tmp_path / "gone"

    with pytest.raises(NoSite) as caught:
        find_site(gone, {})

    assert caught.value.message == f"no fleet.toml in {str(gone)!r}"
    assert caught.value.hint == f"make a site: fleet init {gone}"


# --- which settings ---------------------------------------------------------------------------


def test_the_environment_stands_over_the_file_and_that_over_the_default(tmp_path):
    site = written(tmp_path, 'inventory = "inventory/main"\nplaybook = "slow"\n')

    values = load(site, {"FLEET_PLAYBOOK": "fast"}).values

    assert values == {
        "inventory": Setting("inventory/main", str(site / "fleet.toml")),
        "playbook": Setting("fast", "$FLEET_PLAYBOOK"),
        "jobs": Setting("0", "default"),
        "at_once": Setting("32", "default"),
        "edgetpu_compiler": Setting("", "default"),
    }


def test_an_empty_variable_says_nothing(tmp_path):
    settings = load(written(tmp_path), {"FLEET_INVENTORY": ""})

    assert settings.values["inventory"].source == "default"


def test_everything_fleet_writes_lies_below_the_site(tmp_path):
    settings = load(written(tmp_path, 'inventory = "x"\njobs = 3\n'), {})

    assert settings.state == tmp_path / ".fleet"
    assert settings.inventory == tmp_path / "x"
    assert settings.count("jobs") == 3


@pytest.mark.parametrize("written_as", ["-1", '"many"', '""'])
def test_a_count_that_is_none_is_refused_with_the_file(tmp_path, written_as):
    settings = load(written(tmp_path, f"at_once = {written_as}\n"), {})

    with pytest.raises(BadInput, match=r"fleet\.toml: 'at_once' is '.*': should be a number"):
        settings.count("at_once")


@pytest.mark.parametrize(
    "written_as", ['["podman", "run", "my image"]', "\"podman run 'my image'\""]
)
def test_a_command_is_a_list_of_words_or_one_text_quoted_as_in_a_shell(tmp_path, written_as):
    site = written(tmp_path, f"edgetpu_compiler = {written_as}\n")

    assert load(site, {}).command("edgetpu_compiler") == ("podman", "run", "my image")
    assert load(site, {"FLEET_EDGETPU_COMPILER": "/opt/c"}).command("edgetpu_compiler") == (
        "/opt/c",
    )


def test_a_command_whose_quotes_are_not_closed_is_refused(tmp_path):
    site = written(tmp_path, 'edgetpu_compiler = "podman \'run"\n')

    with pytest.raises(BadInput) as caught:
        load(site, {}).command("edgetpu_compiler")

    assert "no closing quotation" in caught.value.message


def refusal(folder) -> tuple[str, str]:
    with pytest.raises(BadInput) as caught:
        load(folder, {})
    return caught.value.message.removeprefix(f"{folder / 'fleet.toml'}: "), caught.value.hint


def test_an_unknown_key_is_refused_with_the_nearest_known_one(tmp_path):
    message, hint = refusal(written(tmp_path, 'playbok = "canary"\n'))

    assert message == "unknown key 'playbok'; did you mean 'playbook'?"
    assert hint == "known keys: inventory, playbook, jobs, at_once, edgetpu_compiler"


def test_broken_toml_names_its_line(tmp_path):
    message, _ = refusal(written(tmp_path, 'inventory = "a"\nplaybook = \n'))

    assert message.startswith("not TOML: Invalid value (at line 2, column 12)")


@pytest.mark.parametrize("value", ["true", "[1]", "{a = 1}", "1.5"])
def test_a_value_that_is_neither_text_nor_a_whole_number_is_refused(tmp_path, value):
    message, _ = refusal(written(tmp_path, f"inventory = {value}\n"))

    assert message.startswith("'inventory' is ")
    assert message.endswith(": should be text or a number")


def test_a_file_that_is_not_utf_8_is_refused(tmp_path):
    (tmp_path / "fleet.toml").write_bytes(b'inventory = "caf\xe9"\n')

    assert refusal(tmp_path)[0] == "not UTF-8 at byte 16"
