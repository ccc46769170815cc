"""Encodes a user's own pictures, stores their packed codes, and searches them.

The names in `__init__.pyi` are imported on first use: a search of a store needs neither Flax nor
LanceDB.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
