"""The routes of the JSON API."""

import hmac
import random
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends, File, Form, Query, Request, Response, UploadFile
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import Field, create_model

from hashnet_jax.index.service._answers import (
    Added,
    Answer,
    Problem,
    Removed,
    Sample,
    neighbours,
    pictures,
)
from hashnet_jax.index.service._guard import THUMBNAILS
from hashnet_jax.index.service._limits import Refused
from hashnet_jax.index.service._searcher import Searcher
from hashnet_jax.index.service._service import Code, Found, Service

MAX_NEIGHBOURS = 1000
_MAX_SAMPLE = 100
# Browsers send a new request after this time. The response is empty if the file has not changed.
_THUMBNAIL_SECONDS = 300

PROBLEMS = {
    400: "The request is malformed.",
    401: "The token is missing or wrong.",
    403: "Writing is disabled.",
    404: "No picture in the index has this id.",
    408: "The request was not received in time.",
    413: "The request has too many bytes, or the picture too many pixels.",
    415: "The file is not a picture in a supported format.",
    422: "A parameter is invalid, or the picture is damaged.",
    429: "Too many requests at the same time; try again.",
    503: "The service is starting, or could not answer in time; try again.",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Returns the descriptions of the error responses for the OpenAPI document."""
    return {
        status: {"model": Problem, "description": PROBLEMS[status]}
        for status in sorted({*statuses, 408, 413, 422, 429, 503})
    }


async def service_of(request: Request) -> Service:
    """Returns the service that an application was created for."""
    return request.app.state.service


async def may_write(
    request: Request,
    given: Annotated[HTTPAuthorizationCredentials | None, Depends(HTTPBearer(auto_error=False))],
) -> None:
    """Refuses requests without the token."""
    token: str | None = request.app.state.token
    if token is None:
        raise Refused(403, "Writing is disabled, because the service has no token.")
    if given is None or not hmac.compare_digest(given.credentials.encode(), token.encode()):
        raise Refused(401, "The token is missing or wrong.", {"WWW-Authenticate": "Bearer"})


Running = Annotated[Service, Depends(service_of)]
K = Annotated[int, Query(ge=1, le=MAX_NEIGHBOURS, description="Number of neighbours.")]
Id = Annotated[str, Query(min_length=1, max_length=4096, description="Id of a picture.")]
Label = Annotated[str | None, Form(max_length=200, description="Label of the picture.")]

Upload = Annotated[UploadFile, File(description="A picture file in a supported format.")]

router = APIRouter(prefix="/api")


@router.post("/search/picture", responses=problems(400, 415), tags=["search"])
async def search_by_picture(service: Running, picture: Upload, k: K = 10) -> Answer:
    """Finds the pictures nearest to an uploaded picture."""
    code, found = await service.search_picture(picture.file, k)
    return _answer(code, found)


@router.get("/search/id", responses=problems(404), tags=["search"])
async def search_by_id(service: Running, id: Id, k: K = 10) -> Answer:
    """Finds the pictures nearest to a picture in the index. The result includes that picture."""
    code = service.current.snapshot.codes[_row(service.current, id)]
    return _answer(code, await service.search_code(code, k))


@router.get("/pictures", responses=problems(), tags=["index"])
async def sample_pictures(
    service: Running,
    number: Annotated[int, Query(ge=1, le=_MAX_SAMPLE, description="Number of pictures.")] = 24,
    seed: Annotated[int, Query(ge=0, le=2**31 - 1, description="Seed for the draw.")] = 0,
) -> Sample:
    """Draws random pictures from the index."""
    searcher = service.current
    total = len(searcher)
    rows = sorted(random.Random(seed).sample(range(total), min(number, total)))
    drawn = pictures(searcher, np.array(rows, np.int64))
    return Sample(version=searcher.snapshot.version, total=total, pictures=drawn)


@router.post(
    "/pictures",
    status_code=201,
    responses=problems(400, 401, 403, 415),
    dependencies=[Depends(may_write)],
    tags=["index"],
)
async def add_picture(service: Running, picture: Upload, label: Label = None) -> Added:
    """Adds an uploaded picture to the index. Adding it again replaces its label."""
    added, version = await service.add(picture.file, label)
    return Added(id=added, version=version)


@router.delete(
    "/pictures",
    responses=problems(401, 403, 404),
    dependencies=[Depends(may_write)],
    tags=["index"],
)
async def remove_picture(service: Running, id: Id) -> Removed:
    """Removes a picture from the index. Its file is deleted only if it was uploaded."""
    return Removed(version=await service.remove(id))


@router.get(
    THUMBNAILS.removeprefix("/api"),
    responses=problems(404) | {200: {"content": {"image/jpeg": {}}}, 304: {"description": "Same."}},
    response_class=Response,
    tags=["index"],
)
async def thumbnail(request: Request, service: Running, id: Id) -> Response:
    """Returns a JPEG thumbnail of a picture in the index."""
    _row(service.current, id)
    tag, content = await service.thumbnail(id, request.headers.get("if-none-match"))
    headers = {"Cache-Control": f"private, max-age={_THUMBNAIL_SECONDS}", "ETag": tag}
    if content is None:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type="image/jpeg", headers=headers)


def add_code_search(to: APIRouter, bits: int) -> None:
    """Adds the route for searching by code. The required code length depends on the network."""
    width = -(-bits // 8)
    pattern = f"^[0-9a-fA-F]{{{2 * width}}}$"
    explained = f"Packed code of {bits} bits in hexadecimal, zero-padded to whole bytes."
    query_type = create_model(
        "CodeQuery", code=(str, Field(pattern=pattern, description=explained))
    )

    async def search_by_code(
        service: Running,
        query: query_type,  # pyright: ignore[reportInvalidTypeForm]
        k: K = 10,
    ) -> Answer:
        """Finds the pictures nearest to a packed code."""
        code = np.frombuffer(bytes.fromhex(query.code), np.uint8)
        if int(code[-1]) & ((1 << (8 * width - bits)) - 1):
            raise Refused(422, f"`code`: the bits after the first {bits} must be zero.")
        return _answer(code, await service.search_code(code, k))

    to.add_api_route(
        "/search/code", search_by_code, methods=["POST"], responses=problems(400), tags=["search"]
    )


def _row(searcher: Searcher, picture: str) -> int:
    row = searcher.row(picture)
    if row is None:
        raise Refused(404, PROBLEMS[404])
    return row


def _answer(code: Code, found: Found) -> Answer:
    searcher, distances, rows = found
    snapshot = searcher.snapshot
    return Answer(
        version=snapshot.version,
        bits=snapshot.manifest.bits,
        searched=len(snapshot),
        code=code.tobytes().hex(),
        neighbours=neighbours(searcher, distances, rows),
    )
