"""A page of search results: one HTML file that holds its pictures, and needs nothing else."""

import base64
import html
import io
import os
from pathlib import Path

from PIL import Image

from hashnet_jax.data.pictures import UnreadablePicture, printable, read_picture
from hashnet_jax.files import write_whole

SIDE = 240  # longest side of a thumbnail, pixels: sharp at half of it on a phone

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Search results</title>
<style>
  :root {{ color-scheme: light dark; font: 1rem/1.4 system-ui, sans-serif; }}
  body {{ max-width: 75rem; margin: 0 auto; padding: 1rem; }}
  section {{ margin: 0 0 2rem; }}
  h2 {{ font-size: 1rem; overflow-wrap: anywhere; }}
  ol {{ list-style: none; padding: 0; display: grid; gap: 1rem;
       grid-template-columns: repeat(auto-fill, minmax(7.5rem, 1fr)); }}
  figure {{ margin: 0; }}
  img {{ width: 100%; height: 7.5rem; object-fit: contain; }}
  figcaption {{ font-size: .8rem; overflow-wrap: anywhere; }}
  .query {{ width: 10rem; }}
</style>
<h1>Search results</h1>
<p>The nearest pictures to each query, nearest first, by the Hamming distance of codes of {bits}
bits: 0 is an equal code.</p>
{sections}
</html>
"""


def write_page(path, results, bits):
    """Writes the page; the file appears whole or not at all.

    Args:
      path: of the file.
      results: ``[(query, [(distance, picture), ...]), ...]``, paths of pictures.
      bits: K.
    """
    page = _PAGE.format(bits=bits, sections="\n".join(_section(*result) for result in results))
    write_whole(Path(path), lambda file: file.write(page.encode()))


def _section(query, found):
    items = "\n".join(
        f"<li>{_figure(picture, f'distance {distance}: {name_of(picture)}')}</li>"
        for distance, picture in found
    )
    return (
        f"<section>\n<h2>{html.escape(printable(query))}</h2>\n"
        f'<div class="query">{_figure(query, f"query: {name_of(query)}")}</div>\n'
        f"<ol>\n{items}\n</ol>\n</section>"
    )


def name_of(path):
    """The last part of a path, as text that can be printed."""
    return printable(os.path.basename(path))


def _figure(path, caption):
    caption = html.escape(caption)
    title = html.escape(printable(path))
    try:
        picture = f'<img alt="{caption}" title="{title}" src="{_thumbnail(path)}">'
    except UnreadablePicture as error:  # moved away since it was encoded
        picture = f"<p>cannot be shown: {html.escape(str(error))}</p>"
    return f"<figure>{picture}<figcaption>{caption}</figcaption></figure>"


def _thumbnail(path):
    """A data URL."""
    picture = Image.fromarray(read_picture(path, draft=SIDE))
    picture.thumbnail((SIDE, SIDE))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
