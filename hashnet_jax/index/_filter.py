"""Checks SQL filters, and distinguishes an invalid filter from a damaged store."""

from typing import Any

from hashnet_jax.index._lance import faults_named

_ROWS_PER_BATCH = 8192


def check_filter(table: Any, uri: str, where: str) -> str:
    """Checks a filter.

    Args:
      table: the LanceDB table.
      uri: location of the store, a folder or an address in object storage.
      where: a SQL filter, e.g. ``"label = 'cat'"``.

    Returns:
      The filter in parentheses. Without parentheses, LanceDB ignores any text after the expression.

    Raises:
      DamagedFile: a ValueError, if the store cannot be read even without the filter.
      ValueError: if the filter is invalid.
    """
    filter_ = f"({where})"
    try:
        table.search().where(filter_).explain_plan()  # reads no rows
    except Exception as error:
        raise _invalid(where, error) from error
    try:
        table.count_rows(filter_)
    except Exception as error:
        with faults_named(uri):
            for _ in table.search().limit(None).to_batches(_ROWS_PER_BATCH):
                pass
        raise _invalid(where, error) from error  # e.g. it divides by zero
    return filter_


def _invalid(where: str, error: Exception) -> ValueError:
    return ValueError(
        f"`where` must be a SQL filter, e.g. \"label = 'cat'\", got {where!r} ({error})."
    )
