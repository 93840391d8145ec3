"""The records' tests inspect the same small part as the decision's tests."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "decision"))
