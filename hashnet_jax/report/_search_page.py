"""Writes a page of search results: one self-contained HTML file with embedded pictures."""

import os
from collections.abc import Sequence
from pathlib import Path

from hashnet_jax.data.pictures import UnreadablePicture, read_picture
from hashnet_jax.distributed.files import write_whole
from hashnet_jax.report._markup import asset, breakable, image, render, text
from hashnet_jax.report._thumbnails import thumbnail

# Longest side of a thumbnail in pixels: twice the displayed size, for high-density screens.
SIDE = 440

Found = tuple[int, str]

_BY_SCORE = (
    "score (the inner product of the logits of the query and the code of a picture) among the "
    "nearest by "
)


def write_search_page(
    path: str | os.PathLike[str],
    results: Sequence[tuple[str, Sequence[Found]]],
    bits: int,
    scores: Sequence[Sequence[float]] | None = None,
) -> None:
    """Writes a page of queries and their search results.

    A result that is the query file itself is marked as such. The page is written atomically.

    Args:
      path: file to write the page to.
      results: ``(query, [(distance, picture), ...])`` for each query, nearest first; queries
        and pictures are paths.
      bits: K, the number of bits per code.
      scores: the scores of each query's results, if the results are sorted by score; None if they
        are sorted by distance.
    """
    queries = ", ".join(Path(query).name for query, _ in results[:3])
    more = f" and {len(results) - 3} more" if len(results) > 3 else ""
    parts = {
        "title": text(f"Search results: {queries}{more}"),
        "css": asset("base.css") + asset("search.css"),
        "heading": "1 query" if len(results) == 1 else f"{len(results):,} queries",
        "order": "" if scores is None else _BY_SCORE,
        "bits": str(bits),
        "contents": _contents([query for query, _ in results]),
        "sections": "".join(
            _section(number, query, found, None if scores is None else scores[number - 1])
            for number, (query, found) in enumerate(results, 1)
        ),
    }
    page = render("search.html", parts)
    write_whole(Path(path), lambda file: file.write(page.encode()))


def _contents(queries: Sequence[str]) -> str:
    """Returns links to the queries, or ``""`` if there is only one query."""
    if len(queries) < 2:
        return ""
    links = "".join(
        f'<li><a href="#query-{number}">{breakable(Path(query).name)}</a></li>\n'
        for number, query in enumerate(queries, 1)
    )
    return f'<nav aria-label="Queries"><ol>\n{links}</ol></nav>'


def _section(
    number: int, query: str, found: Sequence[Found], scores: Sequence[float] | None
) -> str:
    own = _real_path(query)
    tiles = "".join(
        _tile(
            rank,
            _facts(distance, None if scores is None else scores[rank - 1]),
            path,
            same=_real_path(path) == own,
        )
        for rank, (distance, path) in enumerate(found, 1)
    )
    title = f"query-{number}-title"
    return (
        f'<section id="query-{number}" class="query" aria-labelledby="{title}">\n'
        f'<div class="asked"><figure>{picture(query, f"Query: {Path(query).name}")}'
        f"<figcaption>Query {number}</figcaption></figure>\n"
        f'<h2 id="{title}">{breakable(query)}</h2></div>\n'
        f'<ol class="results">\n{tiles}</ol>\n</section>\n'
    )


def _real_path(path: str) -> str:
    # A list of ids can contain a path with a NUL character, to which no file can belong.
    return path if "\0" in path else os.path.realpath(path)


def _facts(distance: int, score: float | None) -> str:
    unit = "bit" if distance == 1 else "bits"
    shown = "" if score is None else f' <span class="score">score {score:.4g}</span>'
    return f'<span class="distance">{distance} {unit}</span>{shown}'


def _tile(rank: int, facts: str, path: str, *, same: bool) -> str:
    name = Path(path).name
    kind = ' class="own"' if same else ""
    mark = ' <span class="same">the same file</span>' if same else ""
    alt = f"Result {rank}: {name}{', the same file as the query' if same else ''}"
    return (
        f"<li{kind}><figure>{picture(path, alt)}<figcaption>"
        f'<p class="facts"><span class="rank">{rank}</span> {facts}{mark}</p>'
        f'<p class="file" title="{text(path)}">{breakable(name)}</p>'
        "</figcaption></figure></li>\n"
    )


def picture(path: str, alt: str) -> str:
    """Renders the thumbnail of a picture file, or says why it cannot be shown."""
    try:
        return image(thumbnail(read_picture(path, draft=SIDE), side=SIDE), alt)
    except UnreadablePicture as error:  # e.g. moved since it was encoded
        return f'<p class="gone">cannot be shown: {text(str(error))}</p>'
