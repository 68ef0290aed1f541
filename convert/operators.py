"""Operators of a flatbuffer: whether every device loads them and XNNPACK runs them in int8."""

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

Sources: "Quantized operators" in tensorflow/lite/delegates/xnnpack/README.md, and for SPACE_TO_DEPTH a
measurement (LiteRT takes a tenth of the plain kernel's time); the versions are those in
tensorflow/lite/core/kernels/register.cc, which LiteRT exceeds.
"""

_NAMES = {code: name for name, code in vars(schema.BuiltinOperator).items() if not name.startswith("_")}


def operators(flatbuffer: bytes) -> list[tuple[str, int]]:
    """Return the name and version of each operator, in the order in which they run."""
    model = schema.ModelT.InitFromPackedBuf(flatbuffer, 0)
    (graph,) = model.subgraphs
    codes = [model.operatorCodes[operator.opcodeIndex] for operator in graph.operators]
    # old schemas keep codes below 127 in another field
    return [(_NAMES[max(c.builtinCode, c.deprecatedBuiltinCode)], c.version) for c in codes]


def refuse_others(flatbuffer: bytes) -> None:
    """Raise ValueError, naming the operator, if one is not in `ALLOWED`."""
    for name, version in operators(flatbuffer):
        if name not in ALLOWED:
            raise ValueError(f"the operator {name} does not run in int8 with XNNPACK: change the network")
        if version > ALLOWED[name]:
            raise ValueError(
                f"version {version} of the operator {name} does not load with tflite-runtime 2.14, "
                f"which knows {ALLOWED[name]}: change the network"
            )
