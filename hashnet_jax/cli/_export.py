"""Implements `hashnet export`."""

from pathlib import Path

from hashnet_jax.distributed.printing import printable

# What a network is written as, and what the codes of a store are written as, by the suffix of the
# output. A codes folder has none.
NETWORK_FORMATS = {".onnx": "onnx", ".stablehlo": "stablehlo"}
CODES_FORMATS = {".parquet": "parquet", ".faiss": "faiss", "": "folder"}
FORMATS = CODES_FORMATS | NETWORK_FORMATS


def export(folder: str, out: Path, output_format: str | None) -> None:
    """Exports the codes of a store, or a network, and prints what was written.

    Args:
      folder: the store, or the run folder of the network.
      out: the file or folder to write.
      output_format: one of the ``FORMATS``, or None for the one that the suffix of ``out`` stands
        for.

    Raises:
      ValueError: if ``out`` has another suffix.
    """
    _check_suffix(out, output_format)
    if out.suffix in NETWORK_FORMATS:
        _export_network(folder, out)
    else:
        _export_codes(folder, out)


def _check_suffix(out: Path, output_format: str | None) -> None:
    if output_format is None:
        if out.suffix not in FORMATS:
            raise ValueError(
                "`out` must end in .onnx or .stablehlo to export a network; or, to export a store, "
                f"end in .parquet or .faiss, or be a folder without a suffix; got {out}."
            )
    elif FORMATS.get(out.suffix) != output_format:
        (suffix,) = (suffix for suffix, name in FORMATS.items() if name == output_format)
        form = f"end in {suffix}" if suffix else "be a folder without a suffix"
        raise ValueError(f"`out` must {form} with `output_format={output_format!r}`, got {out}.")


def _export_codes(uri: str, out: Path) -> None:
    # Imports LanceDB, which a network does not need.
    from hashnet_jax.index import export_codes_folder, export_faiss, export_parquet, open_store

    write = {"": export_codes_folder, ".faiss": export_faiss, ".parquet": export_parquet}
    number = write[out.suffix](open_store(uri), out)
    print(f"{number:,} {'code' if number == 1 else 'codes'} in {printable(out)}")


def _export_network(folder: str, out: Path) -> None:
    # Imports Flax, which a store does not need.
    from hashnet_jax.weights import export_onnx, export_stablehlo

    spec = export_onnx(folder, out) if out.suffix == ".onnx" else export_stablehlo(folder, out)
    print(
        f"{spec.backbone} with {spec.bits} bits in {printable(out)}, for uint8 images "
        f"[B, {spec.resize}, {spec.resize}, 3]"
    )
