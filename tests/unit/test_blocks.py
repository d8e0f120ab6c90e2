"""Operations → blocks: what is quantized together."""

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.build.mixers import MOST_BLOCKS, Operation, layer_of, parts

kinds = st.sampled_from(["Conv", "Relu", "Add", "CONV_2D", "PAD", "FULLY_CONNECTED"])


def operations(*found: str) -> list[Operation]:
    return [Operation(kind, f"{kind}-{index}", kind) for index, kind in enumerate(found)]


def test_a_block_is_an_operation_with_weights_and_what_follows_it():
    found = parts(operations("Pad", "Conv", "Relu", "Conv", "Add", "Relu", "Gemm", "Softmax"))

    assert [[each.kind for each in part.operations] for part in found] == [
        ["Pad", "Conv", "Relu"],
        ["Conv", "Add", "Relu"],
        ["Gemm", "Softmax"],
    ]
    assert [part.name for part in found] == ["Conv", "Conv#2", "Gemm"]


@given(st.lists(kinds, max_size=200))
def test_blocks_hold_every_operation_once_in_order_are_few_and_have_names_of_their_own(found):
    every = operations(*found)

    blocks = parts(every)

    assert [each for part in blocks for each in part.operations] == every
    assert len(blocks) <= MOST_BLOCKS
    assert len({part.name for part in blocks}) == len(blocks)


def test_an_operation_is_known_by_its_layer():
    assert layer_of("net/block_1/conv/Relu;net/block_1/conv/BiasAdd;") == "conv"
    assert layer_of("Conv_3") == "Conv_3"
    assert layer_of("") == "unnamed"
