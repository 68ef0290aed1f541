"""A bundle's model card: one self-contained page to decide by whether to use the bundle."""

from __future__ import annotations

from html import escape

from edge.base import quantity
from edge.classify import int8_to_grey
from edge.count import confusion_accuracy, estimate_proportion
from edge.model import Bundle, Manifest
from edge.report.page import validation
from edge.report.shell import Html, Picture, definitions, encode_jpeg, gallery, page_shell, paragraph, section
from edge.report.words import percent

GOLDEN_SHOWN = 8
"""Golden crops shown."""

UNKNOWN = "not recorded"

EXPLAINED = {
    "Input": "Pass the pixel size of your frames with --pixel-um: cells are cut out and scaled by it.",
    "Validation": "Cells that the network was not trained on, before any is rejected.",
    "Quantisation": "The network in the file computes in 8 bits. The effect on the validation cells:",
    "Rejection": "A rejected cell is shown apart and counted under no label. An AUROC of 1 means that the "
    "score separates all cells of a kind never trained on from the validation cells; 0.5, that it separates "
    "none.",
}


def validation_accuracy(manifest: Manifest) -> str:
    """Return the share of correct validation cells, with its exact 95 % interval."""
    share, interval = percent(confusion_accuracy(manifest.confusion))
    cells = sum(map(sum, manifest.confusion))
    return f"{share} of {quantity(cells, 'cell')} ({interval})" if cells else UNKNOWN


def model_facts(bundle: Bundle, size_bytes: int) -> dict[str, dict[str, str]]:
    """Return a bundle's own statements in plain words: heading → name → value."""
    manifest = bundle.manifest
    others = [label for label in manifest.labels if label not in manifest.counted]
    background = manifest.normalisation.background
    facts = {
        "Use": {
            "Counts": ", ".join(manifest.counted),
            "Classifies, but does not count": ", ".join(others) or "nothing",
            "Intended use": manifest.intended_use,
            "Licence": manifest.licence,
        },
        "Input": {
            "Cell image": f"{manifest.crop_px} × {manifest.crop_px} px, {manifest.crop_um:g} µm wide",
            "Pixel": f"{manifest.pixel_um:.4g} µm",
            "Test-time views": _views(manifest),
            "Light": f"levelled to the grey level {background}" if background else "unchanged",
        },
        "Training": {"Data": manifest.training.name, "SHA-256 of the data": manifest.training.sha256},
        "Validation": {"Correct": validation_accuracy(manifest)} | _readers(manifest),
        "Quantisation": _quantisation(manifest),
        "Rejection": _rejection(manifest),
        "File": {
            "Size": f"{size_bytes / 1e6:.2f} MB",
            "SHA-256": bundle.sha256,
            "Signature": bundle.signed,
            "Golden crops": str(len(bundle.golden_crops)),
        },
    }
    if bundle.signature is not None:
        facts["File"]["Public key"] = bundle.signature.public_key
        facts["File"]["SHA-256 without the signature"] = bundle.unsigned_sha256
    if manifest.notice:
        facts["Use"]["Notice"] = manifest.notice
    return facts


def _views(manifest: Manifest) -> str:
    if manifest.test_time_views == 1:
        return "one, the crop as it is"
    averaged = f"answers are averaged over {manifest.test_time_views} mirrored and rotated views"
    if manifest.margin is None:
        return averaged
    return f"{averaged} where the margin of the first is below {manifest.margin:.3g}"


def _quantisation(manifest: Manifest) -> dict[str, str]:
    representative, parity = manifest.representative, manifest.parity
    facts = {
        "Ranges from": UNKNOWN
        if representative is None
        else f"{representative.crops:,} crops, SHA-256 {representative.sha256}",
        "Compared with the float network": UNKNOWN
        if parity is None
        else f"on {quantity(parity.cells, 'cell')}",
    }
    if parity is not None:
        before, after = 100 * parity.float_accuracy, 100 * parity.int8_accuracy
        interval = f"{parity.low:+.2f} to {parity.high:+.2f}"
        facts |= {
            "Correct": f"float {before:.2f} %, int8 {after:.2f} %",
            "Difference": f"{after - before:+.2f} points, 95 % interval {interval}",
            "Loss that is not excluded": f"up to {max(0.0, -parity.low):.2f} points",
            "Cells with the same label": f"{100 * parity.agreement:.2f} %",
            "Largest difference of a probability": f"{parity.largest_probability_difference:.3f}",
        }
    return facts


def _readers(manifest: Manifest) -> dict[str, str]:
    """Return what several readers of the validation cells agree on; nothing if there was one reader."""
    readers = manifest.readers
    if readers is None or not readers.cells:
        return {}
    kappa = "" if readers.kappa is None else f"; Fleiss' kappa {readers.kappa:.2f}"
    share = percent(estimate_proportion(readers.agreed, readers.cells))[0]
    facts = {"Readers agree on": f"{readers.agreed:,} of {quantity(readers.cells, 'cell')} ({share}){kappa}"}
    if readers.agreed:
        correct, interval = percent(estimate_proportion(readers.right, readers.agreed))
        facts["Correct where they agree"] = f"{correct} of {quantity(readers.agreed, 'cell')} ({interval})"
    return facts


def _rejection(manifest: Manifest) -> dict[str, str]:
    rejection = manifest.rejection
    facts = {"Rejected below a probability of": f"{manifest.reject_below:g}"}
    if rejection is None:
        return facts | {"How chosen": UNKNOWN}
    correct = f"{100 * rejection.precision:.1f} %" if rejection.coverage else "none kept"
    return (
        facts
        | {
            "Score": rejection.score,
            "Threshold": f"{rejection.threshold:g}",
            "Correct among the cells kept": correct,
            "Correct among new cells that it keeps": UNKNOWN
            if rejection.least_precision is None
            else f"at least {100 * rejection.least_precision:.1f} %, with 95 % confidence",
            "Cells kept": f"{100 * rejection.coverage:.1f} %",
        }
        | {f"AUROC against {kind}": f"{area:.3f}" for kind, area in rejection.auroc.items()}
    )


def model_card(bundle: Bundle, size_bytes: int, file_name: str, *, name: str = "") -> str:
    """Return the page; size and `file_name` are those of the file, `name` that of a shipped bundle."""
    manifest = bundle.manifest
    bodies = {heading: definitions(pairs) for heading, pairs in model_facts(bundle, size_bytes).items()}
    bodies["Validation"] += validation(manifest)
    bodies["File"] += _verify(bundle, file_name, name or file_name)
    for heading, words in EXPLAINED.items():
        bodies[heading] = paragraph(words) + bodies[heading]
    bodies["Golden crops"] = _golden(bundle)
    figures = {
        "Counts": ", ".join(manifest.counted),
        "Validation": validation_accuracy(manifest),
        "Signature": bundle.signed,
    }
    return page_shell(
        f"{manifest.name} {manifest.version}",
        "Model card",
        (section(heading, body) for heading, body in bodies.items()),
        notices=(manifest.notice,),
        figures=figures,
        ending=f"SHA-256 {bundle.sha256[:12]}",
    )


def _verify(bundle: Bundle, file_name: str, name: str) -> str:
    signed = (
        ""
        if bundle.signature is None
        else paragraph(
            Html(
                "The signature is Ed25519, over the line <code>leuko-edge bundle</code> and the SHA-256 of "
                "the file without the signature."
            )
        )
    )
    return (
        signed
        + paragraph(
            "To check that a file is this one, and that a device computes what the converter computed:"
        )
        + f"<pre>sha256sum {escape(file_name)}\nleuko verify {escape(name)}</pre>"
    )


def _golden(bundle: Bundle) -> str:
    """Return golden crops as the network sees them, with the label that it gives them."""
    manifest = bundle.manifest
    images = int8_to_grey(bundle.golden_crops[:GOLDEN_SHOWN, ..., 0], manifest)
    pictures = [
        Picture(encode_jpeg(image, 85), manifest.labels[int(answer.argmax())])
        for image, answer in zip(images, bundle.golden_outputs, strict=False)
    ]
    return paragraph(
        f"{len(pictures)} of {len(bundle.golden_crops)} crops in the file, as the network sees them, with "
        "the label that it gives them. Before its first count a device classifies them again and refuses the "
        "file if an answer differs."
    ) + gallery(pictures, alt="golden crop")
