"""The benchmarks are scripts beside each other: their folder goes on the import path, as it does when one runs."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
