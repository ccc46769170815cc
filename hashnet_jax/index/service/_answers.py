"""Data models of the responses, from which the OpenAPI document is derived."""

import os
from typing import Annotated

import numpy as np
from jaxtyping import Int64
from pydantic import BaseModel, Field

from hashnet_jax.distributed.printing import printable
from hashnet_jax.index.service._searcher import Searcher


class Picture(BaseModel):
    """A picture in the index."""

    id: Annotated[str, Field(description="Path to the picture at the time of indexing.")]
    name: Annotated[str, Field(description="File name, with unprintable characters escaped.")]
    label: Annotated[str | None, Field(description="Label of the picture.")]


class Neighbour(Picture):
    """A picture in the index, and its distance from the query."""

    distance: Annotated[int, Field(ge=0, description="Hamming distance in bits.")]


class Answer(BaseModel):
    """The pictures nearest to a query, nearest first, with ties broken by id."""

    version: Annotated[int, Field(description="Store version that was searched.")]
    bits: Annotated[int, Field(description="Number of bits per code.")]
    searched: Annotated[int, Field(description="Number of codes that were searched.")]
    code: Annotated[str, Field(description="Packed code of the query in hexadecimal.")]
    neighbours: list[Neighbour]


class Sample(BaseModel):
    """Random pictures from the index."""

    version: int
    total: Annotated[int, Field(description="Number of pictures in the index.")]
    pictures: list[Picture]


class Added(BaseModel):
    """The result of adding a picture."""

    id: str
    version: Annotated[int, Field(description="Store version after the picture was added.")]


class Removed(BaseModel):
    """The result of removing a picture."""

    version: Annotated[int, Field(description="Store version after the picture was removed.")]


class Status(BaseModel):
    """The state of the service."""

    status: str
    version: Annotated[int, Field(description="Store version currently being searched.")]
    codes: Annotated[int, Field(description="Number of codes currently being searched.")]
    bits: Annotated[int, Field(description="Number of bits per code.")]
    fault: Annotated[
        str,
        Field(description="Why the newest version of the store cannot be read; empty if it can."),
    ]


class Problem(BaseModel):
    """The reason that a request was refused."""

    detail: str


def pictures(searcher: Searcher, rows: Int64[np.ndarray, " n"]) -> list[Picture]:
    """Returns the pictures in the given rows."""
    labels = searcher.snapshot.labels.take(rows).to_pylist()
    paths = searcher.snapshot.paths(rows.tolist())
    return [
        Picture(id=path, name=printable(os.path.basename(path)), label=label)
        for path, label in zip(paths, labels, strict=True)
    ]


def neighbours(
    searcher: Searcher, distances: Int64[np.ndarray, " n"], rows: Int64[np.ndarray, " n"]
) -> list[Neighbour]:
    """Returns the pictures in the given rows, each with its distance from the query."""
    found = zip(pictures(searcher, rows), distances.tolist(), strict=True)
    return [Neighbour(**dict(picture), distance=distance) for picture, distance in found]
