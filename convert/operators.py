"""Which operators a flatbuffer holds, and whether every device loads them and XNNPACK runs them in int8."""

from __future__ import annotations

from ai_edge_litert import schema_py_generated as schema

ALLOWED = {
    "ADD": 5,
    "CONCATENATION": 4,
    "CONV_2D": 7,
    "DEPTHWISE_CONV_2D": 7,
    "FULLY_CONNECTED": 10,
    "MAX_POOL_2D": 3,
    "MEAN": 3,
    "PAD": 4,
    "SPACE_TO_DEPTH": 2,
}
"""Operators that XNNPACK runs in int8, and the highest version of each that tflite-runtime 2.14 loads.

The former after "Quantized operators" in tensorflow/lite/delegates/xnnpack/README.md; that SPACE_TO_DEPTH is
one was measured: LiteRT takes a tenth of the plain kernel's time for it. The latter after
tensorflow/lite/core/kernels/register.cc, which LiteRT's goes beyond.
"""

_NAMES = {code: name for name, code in vars(schema.BuiltinOperator).items() if not name.startswith("_")}


def operators(flatbuffer: bytes) -> list[tuple[str, int]]:
    """List name and version of each operator, in the order in which they run."""
    model = schema.ModelT.InitFromPackedBuf(flatbuffer, 0)
    (graph,) = model.subgraphs
    codes = [model.operatorCodes[operator.opcodeIndex] for operator in graph.operators]
    # old schemas have codes below 127 only, in a byte of their own
    return [(_NAMES[max(c.builtinCode, c.deprecatedBuiltinCode)], c.version) for c in codes]


def refuse_others(flatbuffer: bytes) -> None:
    """Raise ValueError, naming the operator, if one is outside of `ALLOWED`."""
    for name, version in operators(flatbuffer):
        if name not in ALLOWED:
            raise ValueError(f"the operator {name} does not run in int8 with XNNPACK: change the network")
        if version > ALLOWED[name]:
            raise ValueError(
                f"version {version} of the operator {name} does not load with tflite-runtime 2.14, "
                f"which knows {ALLOWED[name]}: change the network"
            )
