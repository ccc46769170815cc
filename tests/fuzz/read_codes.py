"""The readers of codes folders."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hashnet_jax.index import read_manifest
from tests.fuzz.read_store import codes_by_id
from tests.fuzz.reader import Reader, command, digest


def _manifest(case: Path, world: Path) -> Any:
    manifest = read_manifest(case / "codes")
    if dataclasses.asdict(manifest).get("codes_sha256") == "":
        print("cannot be verified")
    return digest(manifest)


def _info_codes(case: Path, world: Path) -> Any:
    return command(case, "info", case / "codes")


def _imported(case: Path, world: Path) -> Any:
    command(case, "index", "import", case / "codes", "--store", case / "store")
    return codes_by_id(case / "store")


def codes(suffix: str, codes: str, *, is_old: bool) -> Iterator[Reader]:
    """The readers of codes folders."""
    folders, other = {"codes": codes}, {"codes": f"{codes}_x"}
    files = ("codes/manifest.json", "codes/codes.npy", "codes/ids.txt")
    # Whoever reads the codes as well notices that they are not those of the manifest.
    yield Reader(f"read_manifest{suffix}", folders, files[:1], _manifest, other, is_old=is_old,
                 others_right=("stranger",))  # fmt: skip
    yield Reader(f"info codes{suffix}", folders, files, _info_codes, other, is_old=is_old)
    yield Reader(f"index import{suffix}", folders, files, _imported, other, is_old=is_old,
                 weight=3)  # fmt: skip
