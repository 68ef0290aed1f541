"""The comparison of a bundle with its run as a page and as JSON."""

from __future__ import annotations

import json
from itertools import starmap
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convert.verify import Verification
from edge.base import write_atomically
from edge.report import Picture, encode_jpeg, gallery, page_shell, paragraph, section, table
from train.report.figure import plots, svg


def write(out: Path, verification: Verification) -> None:
    """Write ``parity.html`` and ``parity.json`` into the folder `out`.

    Raises OSError if one cannot be written.
    """
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / "parity.json", (json.dumps(verification.as_json(), indent=2) + "\n").encode())
    sections = [
        ("Answers", _answers(verification)),
        ("Noise per layer", _noise(verification)),
        ("Cells whose probabilities differ most", _worst(verification)),
    ]
    html = page_shell(
        "Parity of float and int8",
        verification.title,
        starmap(section, sections),
        notices=verification.refusals,
    )
    write_atomically(out / "parity.html", html.encode())


def _answers(verification: Verification) -> str:
    compared = verification.comparison
    header = ("", "accuracy", "difference, points", "same answer", "largest probability difference")
    rows = [("Keras, float32", f"{compared.parity.float_accuracy:.4f}", "", "", "")]
    flatbuffers = {"flatbuffer, float32": compared.rewriting, "flatbuffer, int8": compared.parity}
    for name, parity in flatbuffers.items():
        rows.append(
            (
                name,
                f"{parity.int8_accuracy:.4f}",
                f"{parity.low:+.2f} to {parity.high:+.2f}",
                f"{100 * parity.agreement:.1f} %",
                f"{parity.largest_probability_difference:.2g}",
            )
        )
    return (
        table(header, rows)
        + paragraph(f"{verification.loss_words[0].upper()}{verification.loss_words[1:]}.")
        + paragraph(
            "Intervals: Tango's paired score interval, 95 %, on effective numbers of cells.", small=True
        )
    )


def _noise(verification: Verification) -> str:
    layers, alone = verification.comparison.layers, list(verification.costs.values())
    names = [layer.name for layer in layers]
    figure, (axes,) = plots(height_in=0.28 * len(layers) + 0.9)
    axes.plot([layer.sqnr_db for layer in layers], names, "o-", label="output, all layers before in int8 too")
    axes.plot(alone, names, "s--", label="logits, this layer alone in int8")
    axes.invert_yaxis()
    axes.set_xlabel("signal to quantisation noise, dB")
    figure.legend(loc="outside upper center", ncols=2)
    rows = [
        (layer.name, f"{layer.sqnr_db:.1f}", f"{cost:.1f}", f"{layer.quantisation.scale:.3g}")
        for layer, cost in zip(layers, alone, strict=True)
    ]
    return (
        svg(figure)
        + table(("layer", "output, dB", "alone, logits, dB", "step"), rows)
        + paragraph("6 dB are one bit. The layer whose second number is lowest costs most.", small=True)
    )


def _worst(verification: Verification) -> str:
    compared, cells = verification.comparison, verification.cells

    def answer(probabilities: NDArray[np.float32]) -> str:
        return f"{cells.labels[int(probabilities.argmax())]} {probabilities.max():.2f}"

    pictures = [
        Picture(
            encode_jpeg(cells.crops[k], quality=85),
            f"{cells.labels[cells.truth[k]]}: {answer(compared.trained[k])} → {answer(compared.int8[k])}",
            cells.names[k],
        )
        for k in verification.worst
    ]
    return paragraph("Truth: answer in float → answer in int8.") + gallery(pictures, kind="gallery large")
