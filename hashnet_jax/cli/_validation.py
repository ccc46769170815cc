"""The cut-off and the description of the validation MAP, which selects the best checkpoint."""

from collections.abc import Iterator
from typing import Any

from hashnet_jax.cli._run import Run
from hashnet_jax.distributed import processes
from hashnet_jax.distributed.reading import read_text

_METRICS = "metrics.jsonl"


def validation_cutoff(run: Run) -> int | None:
    """Returns R in the validation MAP@R, normally the cut-off in the config; None for MAP@all.

    A run that an earlier version validated with MAP@all continues to use MAP@all, because MAP
    values with different cut-offs cannot be compared.
    """
    return None if processes.from_first(lambda: _was_validated_without(run)) else run.config.cutoff


def describe_validation(run: Run) -> Iterator[str]:
    """Yields lines that describe the validation; none if validation is disabled."""
    if not run.config.validate_every:
        return
    n, cutoff = len(run.dataset.split.train), validation_cutoff(run)
    more = f"; R is larger, so all {n:,} are ranked" if cutoff is not None and cutoff > n else ""
    yield (
        f"validation: MAP@{cutoff or 'all'} every {run.config.validate_every:,} steps, "
        f"{len(run.dataset.split.validation):,} validation images against {n:,} training images"
        f"{more}"
    )
    if cutoff != run.config.cutoff:
        yield (
            f"note: an earlier version validated this run with MAP@all. Validation continues with "
            f"MAP@all, although the queries are evaluated with MAP@{run.config.cutoff}."
        )


def validation_record(run: Run) -> dict[str, Any]:
    """Returns the entry of `result.json` that describes validation; empty if validation is off."""
    if not run.config.validate_every:
        return {}
    split = run.dataset.split
    return {
        "validation": {
            "cutoff": validation_cutoff(run),
            "queries": len(split.validation),
            "database": len(split.train),
            "select": run.config.select,
        }
    }


def _was_validated_without(run: Run) -> bool:
    """Returns whether the run was validated by an old version, which did not log the cut-off."""
    path = run.folder.path / _METRICS
    if not path.is_file():
        return False
    lines = read_text(path, "the metrics of this run", "restore it, or delete it").splitlines()
    return any('"validation_map"' in line and '"validation_cutoff"' not in line for line in lines)
