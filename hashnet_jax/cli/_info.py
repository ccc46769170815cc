"""Describes a run folder or a codes folder."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jax

from hashnet_jax.distributed.files import sha256
from hashnet_jax.distributed.printing import printable
from hashnet_jax.index import MANIFEST, PARTIAL, check_codes, note_unchecked, read_manifest
from hashnet_jax.report import UNVERIFIED, has_result, is_bound, read_result
from hashnet_jax.weights import MODEL_FILE as MODEL
from hashnet_jax.weights import load


def describe_folder(folder: Path) -> dict[str, Any]:
    """Describes a folder as a dict of property names and their values, in display order.

    Raises:
      FileNotFoundError: if the folder contains neither a finished run nor codes.
    """
    if (folder / MODEL).is_file():
        return _describe_run(folder)
    if (folder / MANIFEST).is_file() or (folder / PARTIAL).is_dir():
        return _describe_codes(folder)
    raise FileNotFoundError(
        f"{folder} contains neither a finished run ({MODEL}) nor codes ({MANIFEST}). Pass a "
        "different folder. To describe a store, run `hashnet index info --store ...`."
    )


def _describe_run(folder: Path) -> dict[str, Any]:
    params = load(folder)
    spec, leaves = params.spec, jax.tree.leaves(params)
    facts = {
        "run": folder,
        "backbone": spec.backbone,
        "bits": spec.bits,
        "parameters": f"{sum(leaf.size for leaf in leaves):,}",
        "preprocessing": _preprocessing(spec.resize, spec.image_size, spec.mean, spec.std),
        "weights SHA-256": sha256(folder / MODEL),
    }
    if has_result(folder):
        result = read_result(folder)
        facts["result"] = result["summary"]
        if not is_bound(result):
            facts["note"] = UNVERIFIED
    return facts


def _describe_codes(folder: Path) -> dict[str, Any]:
    manifest = read_manifest(folder)
    check_codes(folder, manifest)
    note_unchecked(folder, manifest)
    steps = manifest.preprocessing
    return {
        "codes": folder,
        "pictures": f"{manifest.number:,} ({len(manifest.skipped):,} skipped)",
        "bits": f"{manifest.bits} in {manifest.code_bytes} bytes",
        "bit order": manifest.bit_order,
        "sgn(0)": f"{manifest.sign_of_zero:+}",
        "backbone": manifest.backbone,
        "preprocessing": _preprocessing(
            steps["resize"][0], steps["centre_crop"][0], steps["mean"], steps["std"]
        ),
        "weights SHA-256": manifest.weights_sha256,
        "encoded by": manifest.package,
        "inputs": ", ".join(printable(path) for path in manifest.inputs),
    }


def _preprocessing(resize: int, crop: int, mean: Iterable[float], std: Iterable[float]) -> str:
    shown = [", ".join(f"{value:g}" for value in values) for values in (mean, std)]
    return f"resize to {resize} x {resize}, centre crop {crop}, mean {shown[0]}, std {shown[1]}"
