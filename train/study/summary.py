"""What a study's finished runs say together: numbers a network, comparisons, and words for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from train.networks import NETWORKS
from train.study import PAPER_LEAD_POINTS, STUDIES
from train.study.compare import Difference, Spread, discordant, paired, spread
from train.study.results import Result, by_network
from train.study.runs import Cost, StudyRun


@dataclass(frozen=True)
class Line:
    """A network of the summary.

    Attributes
    ----------
    run : its first run
    cost : of the network
    accuracy : of the finished models on the validation set
    mean_accuracy : validation accuracy, averaged over the epochs
    lead : of the study's first network over this one in `mean_accuracy`, percentage points; None for itself
        and without a seed in common
    paper_lead : the same in the paper; None for the first network
    """

    run: StudyRun
    cost: Cost
    accuracy: Spread
    mean_accuracy: Spread
    lead: Difference | None
    paper_lead: float | None


def summarise(study: str, results: Sequence[Result]) -> list[Line]:
    """Sum up the finished runs, a line a network that has one."""
    groups = by_network(results)
    points = {name: _points(group) for name, group in groups.items()}
    base = STUDIES[study][0]
    return [
        Line(
            run=groups[name][0].run,
            cost=groups[name][0].cost,
            accuracy=spread([result.scores["accuracy"] for result in groups[name]]),
            mean_accuracy=spread([result.mean_accuracy for result in groups[name]]),
            lead=paired(points[base], points[name]) if name != base and base in points else None,
            paper_lead=PAPER_LEAD_POINTS.get(name),
        )
        for name in STUDIES[study]
        if name in groups
    ]


def _points(results: Sequence[Result]) -> dict[int, float]:
    """Seed to mean validation accuracy over the epochs, in percentage points."""
    return {result.run.seed: 100 * result.mean_accuracy for result in results}


def caveats(study: str, runs: Sequence[StudyRun], results: Sequence[Result]) -> list[str]:
    """Say in what the study is not the paper's, and whether it is finished."""
    recipe = runs[0].recipe
    said = []
    if len(results) < len(runs):
        said.append(f"Unfinished: {len(results)} of {len(runs)} runs.")
    smaller = [run for run in runs if run.crop_px != NETWORKS[run.network].input_px]
    if smaller:
        names = " and ".join(dict.fromkeys(run.network for run in smaller))
        own = NETWORKS[smaller[0].network].input_px
        said.append(
            f"{names} saw crops of {smaller[0].crop_px} px, not the {own} px that they were made for."
        )
    if recipe.width != 1:
        ours = "fusion has" if study == "peers" else "fusion and its ablations have"
        said.append(f"{ours} {recipe.width:g} times the paper's channels.")
    if recipe.name != "paper":
        said.append(f"The recipe is not the paper's but {recipe.name}.")
    if recipe.epochs != 25:
        said.append(f"{recipe.epochs} epochs, not the paper's 25.")
    if recipe.precision != "float32":
        said.append(f"The steps were computed in {recipe.precision}.")
    if study == "peers":
        said.append("All networks start from random weights; none was trained on other pictures before.")
    return said


def findings(study: str, results: Sequence[Result]) -> list[str]:
    """Put into words what the runs allow to conclude, a sentence or two a comparison."""
    lines = summarise(study, results)
    base = STUDIES[study][0]
    said = [
        _compared(f"{base} − {line.run.network}", line.lead, line.paper_lead)
        for line in lines
        if line.lead is not None and line.paper_lead is not None
    ]
    here = {line.run.network: line.mean_accuracy.mean for line in lines}
    if base not in here or len(here) < 2:
        return said
    paper = {name: -PAPER_LEAD_POINTS.get(name, 0.0) for name in here}
    said.append(f"Order here: {_order(here)}. In the paper: {_order(paper)}.")
    pairs = discordant(here, paper)
    points = {name: _points(group) for name, group in by_network(results).items()}
    for better, worse in pairs:
        difference = paired(points[better], points[worse])
        if difference is not None:
            settled = "settled" if difference.settled and difference.mean > 0 else "not settled"
            said.append(
                f"Unlike in the paper, {better} stands above {worse}, by {_measured(difference)}: {settled}."
            )
    if not pairs:
        said.append("No two networks stand the other way round than in the paper.")
    return said


def _compared(pair: str, lead: Difference, paper: float) -> str:
    """What a measured lead allows to say beside the paper's, in percentage points."""
    words = f"{pair}: {_measured(lead)}; the paper has {signed(paper)}."
    if lead.low is None:
        return f"{words} One seed gives no error: nothing can be concluded."
    inside = "inside" if lead.holds(paper) else "outside"
    if not lead.settled:
        verdict = "The interval holds zero: these runs do not tell the two apart"
    elif lead.mean > 0:
        verdict = "The first leads, as in the paper"
    else:
        verdict = "The first is behind, unlike in the paper"
    return f"{words} {verdict}; the paper's value lies {inside} the interval."


def _measured(difference: Difference) -> str:
    words = f"{signed(difference.mean)} points"
    if difference.low is None or difference.high is None:
        return f"{words} with one seed"
    return (
        f"{words} (standard error {difference.standard_error:.2f}, 95 % interval {signed(difference.low)} to "
        f"{signed(difference.high)}, {difference.n} seeds)"
    )


def signed(points: float) -> str:
    """Write percentage points with their sign, a true minus."""
    return f"{points:+.2f}".replace("-", "−")


def _order(values: dict[str, float]) -> str:
    """Names by falling value, equal ones joined by an equals sign."""
    names = sorted(values, key=lambda name: -values[name])
    words = names[0]
    for before, name in pairwise(names):
        words += f" {'=' if values[before] == values[name] else '>'} {name}"
    return words
