"""What people write, and what they are told when it cannot be meant."""

import textwrap

import pytest
from examples import complaint
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import BadInput
from orchestrator.site import read_text
from orchestrator.yamltext import Document


def refusal(text: str) -> BadInput:
    with pytest.raises(BadInput) as caught:
        Document(textwrap.dedent(text), "devices.yaml")
    return caught.value


def test_a_syntax_error_names_its_file_and_line():
    error = refusal("devices:\n  pi: [1\n  other: 2\n")

    assert error.message.startswith("devices.yaml:3: not YAML: while parsing a flow sequence")
    assert error.hint == "check indentation"


def test_a_tab_where_blanks_belong_names_its_line():
    assert refusal("devices:\n\t- pi\n").message.startswith("devices.yaml:2: not YAML: ")


def test_a_control_character_is_refused_with_the_file_s_name():
    assert refusal("a: \x01").message.startswith("devices.yaml: not YAML: ")


def test_a_key_given_twice_names_both_lines():
    error = refusal("devices:\n  pi: 1\n  jetson: 2\n  pi: 3\n")

    assert error.message == "devices.yaml:4: 'pi' is given twice (first on line 2)"
    assert error.hint == "remove or rename one of them"


def test_a_key_that_is_no_word_is_refused():
    assert refusal("? [a, b]\n: 1\n").message == "devices.yaml:1: a key must be a plain word"


@pytest.mark.parametrize("value", ["!!int x", "!!float x", "!!bool x", "!!python/name:os.system x"])
def test_a_tag_that_does_not_fit_its_value_is_refused(value):
    assert refusal(f"a: 1\nb: {value}\n").message == "devices.yaml:2: cannot read 'x'"


def test_a_number_too_long_to_be_one_is_refused_in_few_words():
    error = refusal("a: " + "9" * 5000)

    assert error.message.startswith("devices.yaml:1: cannot read '999")
    assert len(error.message) < 200


def test_two_documents_in_one_file_are_refused():
    assert "devices.yaml:2: not YAML: " in refusal("a: 1\n---\nb: 2\n").message


def test_an_alias_stands_for_what_its_anchor_says():
    document = Document("a: &kind {x: [1, 2]}\nb: *kind\nc: *kind\n", "devices.yaml")

    assert document.data == {name: {"x": [1, 2]} for name in "abc"}


def test_a_few_letters_of_aliases_cannot_unfold_to_a_mountain():
    levels = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]

    error = refusal("a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "\n".join(levels))

    assert "nested too deeply, or too many aliases" in error.message
    assert error.line is not None


def test_a_thousand_devices_may_share_one_anchor():
    shared = "base: &base [1, 2, 3, 4, 5, 6, 7, 8]\n"
    text = shared + "\n".join(f"d{n}: *base" for n in range(5000))

    assert len(Document(text, "devices.yaml").data) == 5001


@pytest.mark.parametrize("text", ["a: &a [*a]", "a: &a {b: *a}", "a: &a [*a, *a]"])
def test_an_alias_that_holds_itself_is_refused(text):
    assert refusal(text).message == "devices.yaml:1: nested too deeply, or too many aliases"


@pytest.mark.parametrize("text", ["[" * 60_000 + "]" * 60_000, "- " * 60_000, "[" * 60_000])
def test_nesting_that_would_end_the_process_is_refused(text):
    assert refusal(text).message == "devices.yaml:1: nested too deeply, or too many aliases"


def test_an_empty_file_holds_nothing():
    assert Document("# nothing yet\n", "devices.yaml").data == {}


def test_a_line_is_known_for_everything_and_for_what_is_not_there_its_surroundings():
    document = Document("a:\n  b:\n    - x\n    - y\n", "devices.yaml")

    assert [document.line(path) for path in [("a",), ("a", "b"), ("a", "b", 1)]] == [1, 2, 4]
    assert document.line(("a", "b", 7)) == 2
    assert document.line(("a", "c", "d")) == 1


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_any_text_is_a_document_or_refused_in_words(text):
    message = complaint(lambda: Document(text, "devices.yaml"))

    assert message == "" or message.startswith("devices.yaml")


@given(st.text(alphabet="ab:-[]{},&*!|>?'\"# \n0.", max_size=40))
def test_any_punctuation_is_a_document_or_refused_in_words(text):
    message = complaint(lambda: Document(text, "devices.yaml"))

    assert message == "" or message.startswith("devices.yaml")


def test_a_file_that_is_not_utf_8_names_the_byte(tmp_path):
    file = tmp_path / "devices.yaml"
    file.write_bytes(b"board: Caf\xe9\n")

    with pytest.raises(BadInput) as caught:
        read_text(file)

    assert caught.value.message == f"{file}: not UTF-8 at byte 10"


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(BadInput, match=r"gone\.yaml: no such file or directory"):
        read_text(tmp_path / "gone.yaml")


def test_a_folder_in_place_of_a_file_is_named(tmp_path):
    with pytest.raises(BadInput, match="is a directory"):
        read_text(tmp_path)
