"""The paper's two comparisons: its network against its ablations, and against its peers."""

from __future__ import annotations

STUDIES = {
    "ablation": ("fusion", "ablation1", "ablation2", "ablation3"),
    "peers": ("fusion", "hep2", "vgg16", "resnet50"),
}
"""Networks of each study; the others are compared with the first."""

PAPER_LEAD_POINTS = {
    "ablation1": 1.15,
    "ablation2": 0.33,
    "ablation3": 1.31,
    "hep2": 0.3,
    "vgg16": 10.5,
    "resnet50": 0.3,
}
"""Lead of the paper's network over each other network in mean validation accuracy over the epochs, percentage
points. Source: Chen, Fu et al., Heliyon, 2024; its test accuracy is 80.3 %."""
