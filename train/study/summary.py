"""Summarise a study's finished runs: numbers per network, comparisons, and conclusions in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

from edge.base import quantity
from train.recipe import NETWORK_INPUT_PX
from train.study import PAPER_LEAD_POINTS, STUDIES
from train.study.differences import Difference, Spread, corrected, paired, spread
from train.study.results import Result, by_network
from train.study.runs import Cost, StudyRun


def discordant(here: Mapping[str, float], paper: Mapping[str, float]) -> list[tuple[str, str]]:
    """List the pairs (better, worse) by `here` that `paper` ranks the other way; ties do not count."""
    ranked = ((a, b) if here[a] > here[b] else (b, a) for a, b in combinations(here, 2))
    return [
        (better, worse)
        for better, worse in ranked
        if here[better] > here[worse] and paper[better] < paper[worse]
    ]


@dataclass(frozen=True)
class Line:
    """One network of the summary, with its first run and its accuracies on the validation set.

    `mean_accuracy` is averaged over the epochs. `lead` and `paper_lead` are those of the study's first
    network in it, here and in the paper, percentage points; None for the first network itself, and `lead`
    also without a common seed.
    """

    run: StudyRun
    cost: Cost
    accuracy: Spread
    mean_accuracy: Spread
    lead: Difference | None
    paper_lead: float | None


def summarise(study: str, results: Sequence[Result]) -> list[Line]:
    """Summarise the finished runs, one line per network that has any."""
    groups = by_network(results)
    points = {name: _points(group) for name, group in groups.items()}
    base = STUDIES[study][0]
    leads = corrected(
        {
            name: lead
            for name in STUDIES[study][1:]
            if base in points and name in points and (lead := paired(points[base], points[name]))
        }
    )
    return [
        Line(
            run=groups[name][0].run,
            cost=groups[name][0].cost,
            accuracy=spread([result.scores["accuracy"] for result in groups[name]]),
            mean_accuracy=spread([result.mean_accuracy for result in groups[name]]),
            lead=leads.get(name),
            paper_lead=PAPER_LEAD_POINTS.get(name),
        )
        for name in STUDIES[study]
        if name in groups
    ]


def _points(results: Sequence[Result]) -> dict[int, float]:
    """Return seed → mean validation accuracy over the epochs, percent."""
    return {result.run.seed: 100 * result.mean_accuracy for result in results}


def caveats(study: str, runs: Sequence[StudyRun], results: Sequence[Result]) -> list[str]:
    """Return how the study differs from the paper's, and whether it is unfinished."""
    recipe = runs[0].recipe
    found = []
    if len(results) < len(runs):
        found.append(f"Unfinished: {len(results)} of {len(runs)} runs.")
    smaller = [run for run in runs if run.recipe.side_px != NETWORK_INPUT_PX[run.network]]
    if smaller:
        names = " and ".join(dict.fromkeys(run.network for run in smaller))
        own = NETWORK_INPUT_PX[smaller[0].network]
        found.append(
            f"{names} saw crops of {smaller[0].recipe.side_px} px instead of the {own} px they were made for."
        )
    if recipe.width != 1:
        ours = "The fusion network has" if study == "peers" else "All networks have"
        found.append(f"{ours} {recipe.width:g} times the paper's channels.")
    if recipe.name != "paper":
        found.append(f"The recipe is {recipe.name}, not the paper's.")
    if recipe.epochs != 25:
        found.append(f"{quantity(recipe.epochs, 'epoch')}, not the paper's 25.")
    if recipe.precision != "float32":
        found.append(f"The steps were computed in {recipe.precision}.")
    if study == "peers":
        found.append("All networks start from random weights; none was pretrained on other images.")
    return found


def findings(study: str, results: Sequence[Result]) -> list[str]:
    """Return what the runs allow to conclude, in one or two sentences per comparison."""
    lines = summarise(study, results)
    base = STUDIES[study][0]
    conclusions = [
        _compared(f"{base} − {line.run.network}", line.lead, line.paper_lead)
        for line in lines
        if line.lead is not None and line.paper_lead is not None
    ]
    here = {line.run.network: line.mean_accuracy.mean for line in lines}
    if base not in here or len(here) < 2:
        return conclusions
    paper = {name: -PAPER_LEAD_POINTS.get(name, 0.0) for name in here}
    conclusions.append(f"Order here: {_order(here)}. In the paper: {_order(paper)}.")
    pairs = discordant(here, paper)
    points = {name: _points(group) for name, group in by_network(results).items()}
    ranked = combinations(sorted(points, key=lambda name: -here[name]), 2)
    every = corrected({(a, b): found for a, b in ranked if (found := paired(points[a], points[b]))})
    for better, worse in pairs:
        if (difference := every.get((better, worse))) is not None:
            certain = "significant" if difference.significant and difference.mean > 0 else "not significant"
            conclusions.append(
                f"Unlike in the paper, {better} ranks above {worse}, by {_measured(difference)}: {certain}."
            )
    if not pairs:
        conclusions.append("No two networks rank in the opposite order to the paper.")
    return conclusions


def _compared(pair: str, lead: Difference, paper: float) -> str:
    """Compare a measured lead with the paper's, in percentage points."""
    words = f"{pair}: {_measured(lead)}; the paper reports {signed(paper)}."
    if lead.low is None:
        return f"{words} One seed gives no error estimate: nothing can be concluded."
    inside = "inside" if lead.holds(paper) else "outside"
    if not lead.significant:
        verdict = "These runs do not distinguish the two"
    elif lead.mean > 0:
        verdict = "The first leads, as in the paper"
    else:
        verdict = "The first trails, unlike in the paper"
    return f"{words} {verdict}; the paper's value lies {inside} the interval."


def _measured(difference: Difference) -> str:
    words = f"{signed(difference.mean)} points"
    if difference.low is None or difference.high is None:
        return f"{words} with one seed"
    return (
        f"{words} (standard error {difference.standard_error:.2f}, 95 % interval {signed(difference.low)} to "
        f"{signed(difference.high)}, {difference.n} seeds, p {_p(difference.p)}, by Holm's correction "
        f"{_p(difference.holm)})"
    )


def _p(value: float | None) -> str:
    """Return a p value to three digits; what is smaller as such."""
    return "unknown" if value is None else "< 0.001" if value < 0.001 else f"= {value:.3f}"


def signed(points: float) -> str:
    """Return percentage points with their sign, a typographic minus."""
    return f"{points:+.2f}".replace("-", "−")


def _order(values: dict[str, float]) -> str:
    """Return the names by falling value, equal ones joined by an equals sign."""
    names = sorted(values, key=lambda name: -values[name])
    words = names[0]
    for before, name in pairwise(names):
        words += f" {'=' if values[before] == values[name] else '>'} {name}"
    return words
