"""A test double of edgetpu_compiler, installed under that name. It compiles nothing: the custom operation
that it writes in the place of others holds words instead of a program, and no Edge TPU would run it.
Options, files, log and exit status are those of version 16.0 as coral.ai and public logs describe them.

DOUBLE in the environment makes it misbehave: `lie` (its log counts what its file does not hold), `partial`
(the last operation stays), `nameless` (it drops the signature), `refuse`, `slow`, `silent` (no file) or
`nothing` (maps no operation).
"""

import argparse
import os
import sys
import time
from pathlib import Path

VERSION = "16.0.384591198"
HOW = os.environ.get("DOUBLE", "")


def main():
    parser = argparse.ArgumentParser(prog="edgetpu_compiler")
    parser.add_argument("-s", "--show_operations", action="store_true")
    parser.add_argument("-o", "--out_dir", default=".")
    parser.add_argument("-m", "--min_runtime_version", type=int)
    parser.add_argument("-t", "--timeout_sec", type=int, default=180)
    parser.add_argument("-v", "--version", action="store_true")
    parser.add_argument("model")
    asked = parser.parse_args()
    print("Edge TPU Compiler version %s" % VERSION)
    print("Started a compilation timeout timer of %d seconds." % asked.timeout_sec)
    if HOW == "slow":
        time.sleep(600)
    if HOW == "refuse":
        print("ERROR: Didn't find op for builtin opcode 'CONV_2D' version '6'.")
        print("\nERROR: Registration failed.\n\nInvalid model: %s" % asked.model)
        print("Model could not be parsed")
        return 1
    source = Path(asked.model)
    out = Path(asked.out_dir) / (source.stem + "_edgetpu.tflite")
    mapped, left = compile_(source, out)
    report(asked, source, out, mapped, left)
    return 0


def compile_(source, out):
    """Write the model with one custom operation for those that are mapped; both lists of kinds."""
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model(str(source))
    graph = model.subgraphs[0]
    kinds = [flatbuffer_utils.opcode_to_name(model, o.opcodeIndex) for o in graph.operators]
    count = len(kinds) - {"partial": 1, "nothing": len(kinds)}.get(HOW, 0)
    if count and HOW != "silent":
        code = schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
        code.customCode, code.version = b"edgetpu-custom-op", 1
        model.operatorCodes.append(code)
        one = schema.OperatorT()
        one.opcodeIndex = len(model.operatorCodes) - 1
        one.inputs, one.outputs = graph.inputs, graph.operators[count - 1].outputs
        one.customOptions = list(b"written by a test double: no program")
        graph.operators = [one, *graph.operators[count:]]
    if HOW == "nameless":
        model.signatureDefs = []
    if HOW != "silent":
        flatbuffer_utils.write_model(model, str(out))
    return kinds[:count], kinds[count:]


def report(asked, source, out, mapped, left):
    print("\nModel compiled successfully in 12 ms.\n")
    print("Input model: %s\nInput size: %.2fKiB" % (source, source.stat().st_size / 1024))
    if out.exists():
        print("Output model: %s\nOutput size: %.2fKiB" % (out, out.stat().st_size / 1024))
    print("On-chip memory used for caching model parameters: 7.50KiB")
    print("On-chip memory remaining for caching model parameters: 7.96MiB")
    print("Off-chip memory used for streaming uncached model parameters: 0.00B")
    print("Number of Edge TPU subgraphs: %d" % bool(mapped))
    print("Total number of operations: %d" % len(mapped + left))
    print("Operation log: %s" % out.with_suffix(".log"))
    if left:
        print("\nModel successfully compiled but not all operations are supported by the Edge TPU.")
        print("Number of operations that will run on Edge TPU: %d" % len(mapped))
        print("Number of operations that will run on CPU: %d" % len(left))
    rows = [(kind, mapped.count(kind), "Mapped to Edge TPU") for kind in sorted(set(mapped))]
    rows += [(kind, left.count(kind), "Operation not supported") for kind in sorted(set(left))]
    if HOW == "lie":
        rows = [(kind, count + 1, status) for kind, count, status in rows]
    table = ["Operator                       Count      Status", ""]
    table += ["%-30s %-10d %s" % row for row in rows]
    out.with_suffix(".log").write_text("\n".join(table) + "\n")
    if asked.show_operations:
        print("\n" + "\n".join(table))


if __name__ == "__main__":
    sys.exit(main())
