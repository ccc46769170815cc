"""The readers of codes folders."""

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hashnet_jax.index import KINDS, read_manifest
from tests.fuzz.fake_network import fake_network
from tests.fuzz.reader import Reader, command, digest, tree, without


def _manifest(case: Path, world: Path) -> Any:
    manifest = read_manifest(case / "codes")
    if dataclasses.asdict(manifest).get("codes_sha256") == "":
        print("cannot be verified")
    return digest(manifest)


def _info_codes(case: Path, world: Path) -> Any:
    return command(case, "info", case / "codes")


def _search(kind: str) -> Callable[[Path, Path], Any]:
    def read(case: Path, world: Path) -> Any:
        pictures = sorted((world / "pictures").rglob("0*.png"))[:3]
        with fake_network():
            said = command(
                *(case, "search", case / "run", case / "codes", *pictures),
                *("-k", 5, "--index", kind, "--json"),
            )
        # An approximate index, built again, may be another one.
        results = json.loads(said)["results"]
        return results if kind == "flat" else [r["neighbours"][0] for r in results]

    return read


def _encode(pictures: str) -> Callable[[Path, Path], Any]:
    def read(case: Path, world: Path) -> Any:
        with fake_network():
            said = command(
                *(case, "encode", case / "run", world / pictures, "-o", case / "codes"),
                *("--batch-size", 8, "--devices", 1),
            )
        said = said.removeprefix("already finished: ")
        files = {k: v for k, v in tree(case / "codes").items() if not k.endswith(".faiss")}
        return [said, files]

    return read


def encode_new(case: Path, world: Path) -> Any:
    """Encodes pictures, of which one is damaged, to a new folder."""
    with fake_network():
        command(
            *(case, "encode", case / "run", case / "formats", "-o", case / "codes"),
            *("--batch-size", 4, "--devices", 1),
        )
    manifest = read_manifest(case / "codes")
    if manifest.skipped:
        raise ValueError(manifest.skipped)
    return tree(case / "codes")


def codes(
    suffix: str, run: str, codes: str, part: str, pictures: str, *, is_old: bool
) -> Iterator[Reader]:
    """The readers of codes folders."""
    other = {"codes": f"{codes}_x", "run": f"{run}_x"}
    folders = {"codes": codes, "run": run}
    own = ("codes/manifest.json", "codes/codes.npy", "codes/ids.txt")
    # Whoever reads the codes as well notices that they are not those of the manifest.
    yield Reader(f"read_manifest{suffix}", folders, own[:1], _manifest, other, is_old=is_old,
                 others_right=("stranger",))  # fmt: skip
    yield Reader(f"info codes{suffix}", folders, own, _info_codes, other, is_old=is_old)
    for kind in ("flat",) if is_old else KINDS:
        files = (*own, f"codes/{kind}.faiss", "run/model.npz")
        yield Reader(f"search {kind}{suffix}", folders, files, _search(kind), other, is_old=is_old)
    files = (*own, "codes/flat.faiss")
    yield Reader(f"encode, finished{suffix}", folders, files, _encode(pictures), other,
                 is_old=is_old)  # fmt: skip
    files = tuple(f"codes/.partial/{name}" for name in ("journal.json", "listing", "codes.npy",
                                                        "ids.txt", "skipped"))  # fmt: skip
    folders, other = {"codes": part, "run": run}, {"codes": f"{part}_x", "run": f"{run}_x"}
    yield Reader(f"encode, unfinished{suffix}", folders, files, _encode(pictures), other,
                 is_old=is_old, also=(without("codes/.partial"),), weight=2)  # fmt: skip
