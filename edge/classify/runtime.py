"""LiteRT and tflite-runtime behind one small interface."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.base import shown
from edge.classify.network import check_network
from edge.model import Quantisation

RUNTIMES = {"litert": "ai_edge_litert.interpreter", "tflite-runtime": "tflite_runtime.interpreter"}
"""Runtime → module, preferred first: LiteRT runs int8 through XNNPACK, 5 times as fast on the same CPU."""

CRASHES = frozenset({"tflite-runtime"})
"""Runtimes that damaged models take down: 50 of 250 mutated ones, where LiteRT refused or ran them all."""

_DISTRIBUTIONS = {"litert": "ai-edge-litert", "tflite-runtime": "tflite-runtime"}


_FAILURES = (ValueError, RuntimeError, TypeError, IndexError, OverflowError, MemoryError, SystemError)
"""What interpreters raise for a model that they cannot load or run."""


class RuntimeMissingError(RuntimeError):
    """No runtime is installed, or not the requested one."""


def installed_runtimes() -> list[str]:
    """Return the installed runtimes, preferred first; only their parent packages are imported."""
    return [name for name, module in RUNTIMES.items() if importlib.util.find_spec(module.split(".")[0])]


def chosen_runtime(requested: str | None) -> str:
    """Return the requested runtime, or the first that is installed; RuntimeMissingError without it."""
    available = installed_runtimes()
    if not available:
        raise RuntimeMissingError("no TFLite runtime: pip install ai-edge-litert")
    runtime = requested or available[0]
    if runtime not in available:
        raise RuntimeMissingError(f"no runtime {runtime}: installed is {', '.join(available)}")
    return runtime


def runtime_version(runtime: str) -> str:
    """Return the version of an installed runtime."""
    from importlib import metadata  # a count, which starts in half a second, does without it

    return metadata.version(_DISTRIBUTIONS[runtime])


class Model:
    """A flatbuffer in an interpreter.

    Parameters
    ----------
    flatbuffer : bytes
        A checked model: an interpreter may crash the process on a damaged one.
    runtime : str, optional
        A key of `RUNTIMES`, by default the first that is installed.
    dtype : int8 or float32
        Of input and output; float32 for a network that was not quantised.

    Raises
    ------
    RuntimeMissingError
        If the runtime is not installed.
    ValueError
        If the interpreter refuses the model, the model has another `dtype`, or it asks for more than any
        bundle's.
    """

    def __init__(
        self,
        flatbuffer: bytes,
        runtime: str | None = None,
        threads: int = 1,
        dtype: type[np.generic] = np.int8,
    ) -> None:
        self.runtime = chosen_runtime(runtime)
        self._at_once = check_network(flatbuffer, dtype)
        module = importlib.import_module(RUNTIMES[self.runtime])
        try:
            self._interpreter: Any = module.Interpreter(model_content=flatbuffer, num_threads=threads)
            self._interpreter.allocate_tensors()
            inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        except _FAILURES as error:
            raise ValueError(f"{self.runtime} refuses the model: {_first_line(error)}") from error
        if len(inputs) != 1 or len(outputs) != 1:
            raise ValueError(
                f"the model has {len(inputs)} inputs and {len(outputs)} outputs, not one of each"
            )
        (self._input,), (self._output,) = inputs, outputs
        if self._input["dtype"] is not dtype or self._output["dtype"] is not dtype:
            raise ValueError(f"the model is not {dtype.__name__} in and out")
        if len(self._input["shape"]) != 4 or len(self._output["shape"]) < 2:
            raise ValueError("the model does not take images")
        self._batch = int(self._input["shape"][0])

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input, without the batch."""
        return tuple(int(n) for n in self._input["shape"][1:])

    @property
    def labels(self) -> int:
        """Numbers that come out for one input."""
        return int(np.prod(self._output["shape"][1:]))

    @property
    def input_quantisation(self) -> Quantisation:
        """Scale and zero point of the input."""
        scale, zero_point = self._input["quantization"]
        return Quantisation(float(scale), int(zero_point))

    @property
    def output_quantisation(self) -> Quantisation:
        """Scale and zero point of the output."""
        scale, zero_point = self._output["quantization"]
        return Quantisation(float(scale), int(zero_point))

    def run(self, batch: NDArray[Any]) -> NDArray[Any]:
        """Return outputs [n, labels] of inputs [n, height, width, channels], both of the model's dtype.

        Raises
        ------
        ValueError
            If the interpreter cannot run the model.
        """
        starts = range(0, len(batch), self._at_once)
        return np.concatenate([self._run(batch[start : start + self._at_once]) for start in starts])

    def _run(self, batch: NDArray[Any]) -> NDArray[Any]:
        try:
            if len(batch) != self._batch:
                self._interpreter.resize_tensor_input(self._input["index"], batch.shape)
                self._interpreter.allocate_tensors()
                self._batch = len(batch)
            self._interpreter.set_tensor(self._input["index"], batch)
            self._interpreter.invoke()
            output: NDArray[Any] = self._interpreter.get_tensor(self._output["index"])
            return output.reshape(len(batch), -1)
        except _FAILURES as error:
            raise ValueError(f"{self.runtime} cannot run the model: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    """Return the first line of an interpreter's reason, in printable characters."""
    return shown((str(error).strip().splitlines() or [type(error).__name__])[0])
