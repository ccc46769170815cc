"""Reads, writes and shares networks, and reads public backbone weights.

The names in `__init__.pyi` are imported on first use: a search of a store needs a network's arrays,
but not Flax.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
