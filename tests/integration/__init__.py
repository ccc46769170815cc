"""Tests that need the folder of shared material, a browser, or minutes; run them by name."""

import os
from pathlib import Path

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("HASHNET_SHARED", ROOT.parent / "shared"))
