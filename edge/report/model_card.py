"""A bundle's model card: one self-contained page for whoever has to decide whether to use it."""

from __future__ import annotations

from html import escape

import cv2

from edge.classify import int8_to_grey
from edge.count import confusion_accuracy
from edge.model import Bundle, Manifest
from edge.report.page import confusion
from edge.report.shell import data_uri, definitions, page_shell, section

GOLDEN_SHOWN = 8
"""Golden crops shown."""

UNKNOWN = "not recorded"


def validation_accuracy(manifest: Manifest) -> str:
    """State the share of the validation cells named right, with its exact 95 % interval."""
    share = confusion_accuracy(manifest.confusion)
    if share.value is None:
        return UNKNOWN
    cells = sum(map(sum, manifest.confusion))
    return f"{100 * share.value:.1f} % of {cells:,} cells ({100 * share.low:.1f}–{100 * share.high:.1f} %)"


def model_facts(bundle: Bundle, size_bytes: int) -> dict[str, dict[str, str]]:
    """State what a bundle says of itself: heading → name → value, all in plain words."""
    manifest = bundle.manifest
    others = [label for label in manifest.labels if label not in manifest.counted]
    said = {
        "Use": {
            "Counts": ", ".join(manifest.counted),
            "Names, but does not count": ", ".join(others) or "nothing",
            "Intended use": manifest.intended_use,
            "Licence": manifest.licence,
        },
        "Input": {
            "Cell image": f"{manifest.crop_px} × {manifest.crop_px} px, {manifest.crop_um:g} µm wide",
            "Pixel": f"{manifest.pixel_um:.4g} µm",
            "Views": _views(manifest),
            "Light": f"levelled to the grey level {manifest.normalisation.background}"
            if manifest.normalisation.background
            else "as it is",
        },
        "Training": {"Data": manifest.training.name, "SHA-256 of the data": manifest.training.sha256},
        "Validation": {"Named right": validation_accuracy(manifest)},
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
        said["File"]["Public key"] = bundle.signature.public_key
        said["File"]["SHA-256 without the signature"] = bundle.unsigned_sha256
    if manifest.notice:
        said["Use"]["Notice"] = manifest.notice
    return said


def _views(manifest: Manifest) -> str:
    if manifest.test_time_views == 1:
        return "one, as the cell lies"
    averaged = f"answers are means over {manifest.test_time_views} mirrored and turned views"
    return averaged if manifest.margin is None else f"{averaged}, of cells that the first leaves in doubt"


def _quantisation(manifest: Manifest) -> dict[str, str]:
    representative, parity = manifest.representative, manifest.parity
    said = {
        "Ranges from": UNKNOWN
        if representative is None
        else f"{representative.crops:,} crops, SHA-256 {representative.sha256}",
        "Compared with the float network": UNKNOWN if parity is None else f"on {parity.cells:,} cells",
    }
    if parity is not None:
        before, after = 100 * parity.float_accuracy, 100 * parity.int8_accuracy
        interval = f"{parity.low:+.2f} to {parity.high:+.2f}"
        said |= {
            "Named right": f"float {before:.2f} %, int8 {after:.2f} %",
            "Difference": f"{after - before:+.2f} points, 95 % interval {interval}",
            "Cells named alike": f"{100 * parity.agreement:.2f} %",
            "Largest difference of a probability": f"{parity.largest_probability_difference:.3f}",
        }
    return said


def _rejection(manifest: Manifest) -> dict[str, str]:
    rejection = manifest.rejection
    said = {"Rejected below a probability of": f"{manifest.reject_below:g}"}
    if rejection is None:
        return said | {"How chosen": UNKNOWN}
    said |= {
        "Score": rejection.score,
        "Threshold": f"{rejection.threshold:g}",
        # asked for at conversion or, if nothing was, found
        "Right among the cells kept": f"{100 * rejection.precision:.1f} %"
        if rejection.coverage
        else "none kept",
        "Cells kept": f"{100 * rejection.coverage:.1f} %",
        "Measured on": rejection.source,
    }
    return said | {f"AUROC against {kind}": f"{area:.3f}" for kind, area in rejection.auroc.items()}


EXPLAINED = {
    "Input": "Say the size of a pixel of your frames with --pixel-um: cells are cut out and scaled by it.",
    "Validation": "Cells that the network was not trained on; before any is rejected.",
    "Quantisation": "The file holds a network of 8-bit numbers. What that changed, on the validation cells:",
    "Rejection": "A cell of low score is shown apart and counted under no label. An AUROC of 1 means that "
    "the score tells every cell of a kind never trained on from those it knows; 0.5 that it tells none.",
}


def model_card(bundle: Bundle, size_bytes: int, file_name: str) -> str:
    """Set the page.

    Parameters
    ----------
    size_bytes, file_name : of the bundle's file
    """
    manifest = bundle.manifest
    bodies = {heading: definitions(pairs) for heading, pairs in model_facts(bundle, size_bytes).items()}
    bodies["Validation"] += confusion(manifest)
    bodies["File"] += _verify(bundle, file_name)
    sections = (
        section(heading, (f"<p>{EXPLAINED[heading]}</p>\n" if heading in EXPLAINED else "") + body)
        for heading, body in bodies.items()
    )
    figures = {
        "Counts": ", ".join(manifest.counted),
        "Validation": validation_accuracy(manifest),
        "Signature": bundle.signed,
    }
    return page_shell(
        f"{manifest.name} {manifest.version}",
        "Model card",
        (*sections, section("Golden crops", _golden(bundle))),
        notices=(manifest.notice,),
        figures=figures,
        ending=f"SHA-256 {bundle.sha256[:12]}",
    )


def _verify(bundle: Bundle, file_name: str) -> str:
    signed = (
        ""
        if bundle.signature is None
        else "<p>The signature is Ed25519, over the line <code>leuko-edge bundle</code> and the SHA-256 of "
        "the file without the signature.</p>\n"
    )
    return (
        signed + "<p>Whether a file is this one, and whether it computes on a device what it computed where "
        f"it was made:</p>\n<pre>sha256sum {escape(file_name)}\nleuko verify {escape(file_name)}</pre>"
    )


def _golden(bundle: Bundle) -> str:
    """Golden crops as the network sees them, with the label that it gives them."""
    manifest = bundle.manifest
    images = int8_to_grey(bundle.golden_crops[:GOLDEN_SHOWN, ..., 0], manifest)
    figures = []
    for image, answer in zip(images, bundle.golden_outputs, strict=False):
        jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
        label = manifest.labels[int(answer.argmax())]
        figures.append(
            f'<figure><img alt="golden crop" src="{data_uri(jpeg)}" loading=lazy>'
            f"<figcaption>{escape(label)}</figcaption></figure>"
        )
    return (
        f"<p>{len(figures)} of {len(bundle.golden_crops)} crops that travel in the file, as the network sees "
        "them, with the label that it gives them. Before its first count a device computes them anew and "
        f"refuses the file if an answer differs.</p>\n<div class=gallery>{''.join(figures)}</div>"
    )
