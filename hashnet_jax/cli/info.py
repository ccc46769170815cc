"""`hashnet info`: what is in the folder of a run, or in a folder of codes."""

import json
from pathlib import Path

import jax

from hashnet_jax.cli.codes_folder import MANIFEST, PARTIAL, read_manifest
from hashnet_jax.cli.index import KINDS
from hashnet_jax.data.pictures import printable
from hashnet_jax.weight_files import sha256
from hashnet_jax.weights import FILE as MODEL
from hashnet_jax.weights import load


def print_info(folder):
    """Prints what is in a folder, a line each.

    Raises:
      FileNotFoundError: if it is neither of a run nor of codes.
    """
    folder = Path(folder)
    if (folder / MODEL).is_file():
        lines = _run(folder)
    elif (folder / MANIFEST).is_file() or (folder / PARTIAL).is_dir():
        lines = _codes(folder)
    else:
        raise FileNotFoundError(
            f"{folder} must be the folder of a finished run (with {MODEL}) or of codes (with "
            f"{MANIFEST}), got neither."
        )
    for name, content in lines.items():
        print(f"{name + ':':<15} {content}")


def _run(folder):
    params = load(folder)
    spec, leaves = params.spec, jax.tree.leaves(params)
    lines = {
        "run": folder,
        "backbone": spec.backbone,
        "bits": spec.bits,
        "parameters": f"{sum(leaf.size for leaf in leaves):,}",
        "preprocessing": _preprocessing(spec.resize, spec.image_size, spec.mean, spec.std),
        "weights SHA-256": sha256(folder / MODEL),
    }
    if (folder / "result.json").is_file():
        lines["result"] = json.loads((folder / "result.json").read_text())["summary"]
    return lines


def _codes(folder):
    manifest = read_manifest(folder)
    of = manifest.preprocessing
    indexes = [kind for kind in KINDS if (folder / f"{kind}.faiss").is_file()]
    return {
        "codes": folder,
        "number": f"{manifest.number:,} ({len(manifest.skipped):,} pictures skipped)",
        "bits": f"{manifest.bits} in {manifest.bytes} bytes",
        "bit order": manifest.bit_order,
        "sgn(0)": f"{manifest.sign_of_zero:+}",
        "backbone": manifest.backbone,
        "preprocessing": _preprocessing(
            of["resize"][0], of["centre_crop"][0], of["mean"], of["std"]
        ),
        "weights SHA-256": manifest.weights_sha256,
        "encoded by": manifest.package,
        "pictures of": ", ".join(printable(path) for path in manifest.inputs),
        "indexes": ", ".join(indexes) or "none yet",
    }


def _preprocessing(resize, crop, mean, std):
    shown = [", ".join(f"{value:g}" for value in values) for values in (mean, std)]
    return f"squash to {resize}, centre crop {crop}, mean {shown[0]}, std {shown[1]}"
