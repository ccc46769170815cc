"""Tests that are slow, or need shared data files or a browser; they must be selected by name."""

import os
from pathlib import Path

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("HASHNET_SHARED", ROOT.parent / "shared"))
