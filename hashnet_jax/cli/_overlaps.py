"""Counts, once per run, the images that occur in more than one part of the split."""

from collections.abc import Mapping

from hashnet_jax.data import Dataset, overlap
from hashnet_jax.distributed import processes
from hashnet_jax.distributed.json_values import count, optional, record
from hashnet_jax.distributed.progress import Progress
from hashnet_jax.distributed.reading import damage_named
from hashnet_jax.training import RunFolder

Counts = dict[str, dict[str, int | None]]

_check_counts = record(
    {
        "/".join(pair): record({"same_image": count, "same_picture": optional(count)})
        for pair in overlap.PAIRS
    }
)


def check_overlaps(dataset: Dataset, folder: RunFolder, when: str) -> str:
    """Counts images that occur in more than one part of the split.

    The counts are computed once per run and saved to `overlaps.json`.

    Args:
      dataset: the run's data set.
      folder: the run's folder.
      when: whether to compare image contents: "always", "never" or "auto" (only if the
        comparison is cheap).

    Returns:
      A description of the counts, or "" in every process except the first.
    """
    by_content = when == "always" or (when == "auto" and overlap.is_cheap(dataset))
    found = folder.read_json("overlaps.json")
    if not processes.is_first():
        return ""
    if found is not None:
        remedy = "delete it to count the overlaps again"
        with damage_named(folder.path / "overlaps.json", "this run's overlap counts", remedy):
            _check_counts(found)
            _check_same_images(found, overlap.overlaps(dataset, by_content=False))
    if found is None or (by_content and not overlap.has_content(found)):
        found = _count_overlaps(dataset, by_content)
        folder.write_json("overlaps.json", found)
    hint = "" if overlap.has_content(found) else " (use `check_overlap='always'` to check)"
    return overlap.describe(found) + hint


def _check_same_images(found: Mapping[str, Mapping[str, int | None]], counted: Counts) -> None:
    """Raises a ValueError if the saved counts of shared image indices do not match the data set."""
    for pair, counts in counted.items():
        if found[pair]["same_image"] != counts["same_image"]:
            raise ValueError(
                f"for {pair}, it counts {found[pair]['same_image']} shared images, but the data "
                f"set has {counts['same_image']}"
            )


def _count_overlaps(dataset: Dataset, by_content: bool) -> Counts:
    if not by_content:
        return overlap.overlaps(dataset, by_content=False)
    with Progress(overlap.n_compared(dataset), "comparing pictures", "image") as progress:
        return overlap.overlaps(dataset, progress=progress)
