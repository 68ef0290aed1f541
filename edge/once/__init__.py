"""Each cell once: the same number for a cell wherever it is seen, in overlapping fields or in a flow.

Off for separate fields: without a tracker every cell found is a cell.
"""

from edge.once.labels import SeenOften
from edge.once.tracker import Tracker

__all__ = ["SeenOften", "Tracker"]
