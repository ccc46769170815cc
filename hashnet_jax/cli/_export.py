"""Implements `hashnet export`."""

from pathlib import Path

from hashnet_jax.distributed.printing import printable

# Without a suffix, a codes folder is written.
CODES_SUFFIXES, NETWORK_SUFFIXES = (".parquet", ".faiss", ""), (".onnx", ".stablehlo")


def export(folder: str, out: Path) -> None:
    """Exports a store or a network in the format that the suffix of ``out`` stands for.

    Args:
      folder: the store, or the run folder of the network.
      out: the file or folder to write.

    Raises:
      ValueError: if ``out`` has any other suffix.
    """
    if out.suffix in CODES_SUFFIXES:
        _export_codes(folder, out)
    elif out.suffix in NETWORK_SUFFIXES:
        _export_network(folder, out)
    else:
        raise ValueError(
            "`out` must end in .parquet or .faiss, or be a folder without a suffix, to export a "
            f"store; or end in .onnx or .stablehlo to export a network; got {out}."
        )


def _export_codes(uri: str, out: Path) -> None:
    # Imports LanceDB, which a network does not need.
    from hashnet_jax.index import export_codes_folder, export_faiss, export_parquet, open_store

    store = open_store(uri)
    if out.suffix == ".parquet":
        number = export_parquet(store, out)
    elif out.suffix == ".faiss":
        number = export_faiss(store, out)
    else:
        number = export_codes_folder(store, out)
    print(f"{number:,} {'code' if number == 1 else 'codes'} in {printable(out)}")


def _export_network(folder: str, out: Path) -> None:
    # Imports Flax, which a store does not need.
    from hashnet_jax.weights import export_onnx, export_stablehlo

    spec = export_onnx(folder, out) if out.suffix == ".onnx" else export_stablehlo(folder, out)
    print(
        f"{spec.backbone} with {spec.bits} bits in {printable(out)}, for uint8 images "
        f"[B, {spec.resize}, {spec.resize}, 3]"
    )
