"""Encodes a user's own pictures into folders of packed codes, and searches them."""

from hashnet_jax.index._build import encode_to_folder
from hashnet_jax.index._codes_folder import (
    check_codes,
    check_same_weights,
    note_unchecked,
    open_codes,
    read_ids,
)
from hashnet_jax.index._faiss import KINDS, import_faiss, nearest, open_index, register
from hashnet_jax.index._inputs import expand, list_pictures
from hashnet_jax.index._manifest import MANIFEST, PARTIAL, Manifest, read_manifest
from hashnet_jax.index._rescoring import rescored
from hashnet_jax.index._stream import encode_pictures, picture_logits

__all__ = [
    "KINDS",
    "MANIFEST",
    "PARTIAL",
    "Manifest",
    "check_codes",
    "check_same_weights",
    "encode_pictures",
    "encode_to_folder",
    "expand",
    "import_faiss",
    "list_pictures",
    "nearest",
    "note_unchecked",
    "open_codes",
    "open_index",
    "picture_logits",
    "read_ids",
    "read_manifest",
    "register",
    "rescored",
]
