"""Render a study as Markdown, CSV, a page and figures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import starmap

from edge import __version__
from edge.base import RESEARCH_USE, quantity
from edge.report import page_shell, paragraph, section, table
from train.study import figures
from train.study.differences import Difference, Spread, spread
from train.study.results import Result, Study, by_network, defined_scores
from train.study.summary import caveats, findings, signed, summarise
from train.table import table_text


def files(study: Study) -> dict[str, str]:
    """Return the content of each file of a study, by name."""
    groups, labels = by_network(study.results), list(study.training)
    per_class = "Recall, precision and F1 per class on the validation set"
    drawn = {
        "loss": ("Training loss over the epochs", figures.loss(groups)),
        "accuracy": ("Training and validation accuracy over the epochs", figures.accuracy(groups)),
        "scores": (per_class, figures.scores(groups, labels)),
    }
    if study.maps:
        drawn["channels"] = (
            "The first 16 channels before vectorization, with and without fusion, of the first validation "
            "crop of each class; brightness is scaled per panel",
            figures.channels(study.maps, labels),
        )
    sections = _sections(study)
    return {
        "study.csv": _csv(study),
        "study.md": _markdown(study, sections, {name: caption for name, (caption, _) in drawn.items()}),
        "study.html": _page(study, sections, drawn.values()),
        **{f"{name}.svg": text for name, (_, text) in drawn.items()},
    }


def as_json(study: Study) -> dict[str, object]:
    """Return the summary as one JSON object; accuracies are shares, leads percentage points."""
    return {
        "study": study.name,
        "runs": {"finished": len(study.results), "planned": len(study.runs)},
        "networks": {
            line.run.network: {
                "crop_px": line.run.recipe.side_px,
                "width": line.run.recipe.width,
                "parameters": line.cost.parameters,
                "macs": line.cost.macs,
                "accuracy": asdict(line.accuracy),
                "mean_accuracy": asdict(line.mean_accuracy),
                "lead_points": None if line.lead is None else asdict(line.lead),
                "paper_lead_points": line.paper_lead,
            }
            for line in summarise(study.name, study.results)
        },
        "notes": notes(study),
        "findings": findings(study.name, study.results),
    }


def notes(study: Study) -> list[str]:
    """Return what must accompany the numbers: the operator's note and the study's caveats."""
    return [text for text in (study.note, " ".join(caveats(study.name, study.runs, study.results))) if text]


_Table = tuple[Sequence[str], Sequence[Sequence[str]]]
"""Header and rows."""


@dataclass(frozen=True)
class _Section:
    """Heading, paragraphs and perhaps a table, for Markdown and for the page."""

    heading: str
    text: Sequence[str]
    table: _Table | None = None


def _sections(study: Study) -> list[_Section]:
    return [
        _Section("Summary", [_ABOUT_SUMMARY], (SUMMARY_HEADER, summary_rows(study))),
        _Section("What the runs allow to conclude", [*findings(study.name, study.results), _ABOUT_SEEDS]),
        _Section("Classes", [_ABOUT_CLASSES], _classes(study)),
        _Section("Data", [_ABOUT_DATA], _data(study)),
        _Section("Runs", [], _runs(study)),
    ]


_ABOUT_SUMMARY = (
    "Accuracies are on the validation set, in percent, mean ± standard deviation over the seeds. The paper "
    "compares networks by validation accuracy averaged over the epochs. Fusion's lead in it is in "
    "percentage points, paired by seed, with its 95 % t interval. The paper's test accuracy is 80.3 % on its "
    "own cells."
)
_ABOUT_SEEDS = (
    "The errors come from the seeds on one fixed split. They do not cover another draw of cells, which would "
    "move all networks. Each interval is for one comparison; what is significant follows from p by Holm's "
    "correction, at 5 % over the comparisons with fusion, and over all pairs where the order is another."
)
_ABOUT_CLASSES = "F1 on the validation set, percent, mean ± standard deviation over the seeds."
_ABOUT_DATA = "All runs share one split; only the seed of weights, order and augmentation differs."


SUMMARY_HEADER = (
    *("network", "runs", "parameters", "MMAC", "accuracy", "over the epochs"),
    *("fusion leads by", "in the paper"),
)


def summary_rows(study: Study) -> list[list[str]]:
    """Return the summary, one row per network; the columns are `SUMMARY_HEADER`."""
    return [
        [
            line.run.title,
            str(line.accuracy.n),
            f"{line.cost.parameters / 1e6:.2f} M",
            f"{line.cost.macs / 1e6:,.1f}",
            _percent(line.accuracy),
            _percent(line.mean_accuracy),
            "" if line.lead is None else _lead_words(line.lead),
            "" if line.paper_lead is None else signed(line.paper_lead),
        ]
        for line in summarise(study.name, study.results)
    ]


def _lead_words(lead: Difference) -> str:
    if lead.low is None or lead.high is None:
        return signed(lead.mean)
    return f"{signed(lead.mean)} ({signed(lead.low)} to {signed(lead.high)})"


def _percent(found: Spread) -> str:
    return f"{100 * found.mean:.1f}" + ("" if found.sd is None else f" ± {100 * found.sd:.1f}")


def _classes(study: Study) -> _Table:
    rows = []
    for group in by_network(study.results).values():
        values = [defined_scores(group, "f1", label) for label in study.training]
        rows.append([group[0].run.title, *(_percent(spread(v)) if v else "none" for v in values)])
    return ("network", *study.training), rows


def _data(study: Study) -> _Table:
    parts = {"training": study.training, "validation": study.validation}
    rows = [[name, *map(str, part.values()), str(sum(part.values()))] for name, part in parts.items()]
    return ("crops", *study.training, "all"), rows


def _runs(study: Study) -> _Table:
    rows = [
        [
            result.run.title,
            str(result.run.seed),
            str(len(result.history)),
            f"{100 * result.scores['accuracy']:.1f}",
            f"{100 * result.mean_accuracy:.1f}",
            f"{result.seconds / 60:.1f}",
        ]
        for result in study.results
    ]
    return ("network", "seed", "epochs", "accuracy", "over the epochs", "minutes"), rows


def _csv(study: Study) -> str:
    labelled = [(measure, label) for measure in figures.MEASURES for label in study.training]
    header = (
        *("network", "seed", "crop_px", "width", "parameters", "macs", "epochs"),
        *("validation_accuracy", "mean_validation_accuracy"),
        *(f"{measure}_{label}" for measure, label in labelled),
        "training_seconds",
    )

    def row(result: Result) -> tuple[object, ...]:
        run = result.run
        scores = (result.score(measure, label) for measure, label in labelled)
        return (
            *(run.network, run.seed, run.recipe.side_px, f"{run.recipe.width:g}"),
            *(result.cost.parameters, result.cost.macs, len(result.history)),
            *(f"{result.scores['accuracy']:.6f}", f"{result.mean_accuracy:.6f}"),
            *("" if score is None else f"{score:.6f}" for score in scores),
            f"{result.seconds:.1f}",
        )

    return table_text(header, map(row, study.results))


def _title(study: Study) -> str:
    return {"ablation": "Ablation study", "peers": "Comparison with peers"}[study.name]


def _lead(study: Study) -> str:
    recipe = study.runs[0].recipe
    seeds = len({run.seed for run in study.runs})
    return f"recipe {recipe.name}, {quantity(recipe.epochs, 'epoch')}, {quantity(seeds, 'seed')}"


def _markdown(study: Study, sections: Sequence[_Section], captions: Mapping[str, str]) -> str:
    blocks = [f"# {_title(study)}", f"`leuko study {study.name}`, leuko-edge {__version__}: {_lead(study)}."]
    blocks += [f"> {text}" for text in notes(study)]
    blocks.append(f"**{RESEARCH_USE[0].upper()}{RESEARCH_USE[1:]}.**")
    for part in sections:
        blocks += [f"## {part.heading}", *part.text]
        if part.table is not None:
            header, rows = part.table
            rule = ["---", *("--:" for _ in header[1:])]
            blocks.append("\n".join(f"| {' | '.join(row)} |" for row in (header, rule, *rows)))
    blocks.append("## Figures")
    blocks += [f"![{caption}]({name}.svg)\n\n*{caption}.*" for name, caption in captions.items()]
    return "\n\n".join(blocks) + "\n"


def _page(study: Study, sections: Sequence[_Section], drawn: Iterable[tuple[str, str]]) -> str:
    bodies = []
    for part in sections:
        body = "".join(map(paragraph, part.text))
        if part.table is not None:
            body += table(*part.table)
        bodies.append((part.heading, body))
    bodies[2:2] = drawn
    return page_shell(_title(study), _lead(study), starmap(section, bodies), notices=notes(study))
