"""The web page, the API description, and the routes for monitoring."""

import string
from pathlib import Path

from fastapi import APIRouter, Request, Response

from hashnet_jax.index.service._answers import Status
from hashnet_jax.index.service._api_page import operations, problem_table
from hashnet_jax.index.service._metrics import CONTENT_TYPE
from hashnet_jax.index.service._routes import Running
from hashnet_jax.index.service._service import Service

_ASSETS = Path(__file__).parent / "assets"
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}

router = APIRouter()


@router.get("/", include_in_schema=False)
async def page() -> Response:
    """Returns the page."""
    return _asset("page.html")


@router.get("/page.css", include_in_schema=False)
async def style() -> Response:
    """Returns the style of the pages."""
    return _asset("page.css")


@router.get("/page.js", include_in_schema=False)
async def script() -> Response:
    """Returns the script of the page."""
    return _asset("page.js")


@router.get("/api", include_in_schema=False)
async def api_page(request: Request) -> Response:
    """Returns a description of the API, generated from its OpenAPI document."""
    template = string.Template((_ASSETS / "api.html").read_text())
    parts = {"operations": operations(request.app.openapi()), "problems": problem_table()}
    return Response(template.substitute(parts), media_type="text/html")


@router.get("/health", tags=["operation"])
async def health(service: Running) -> Status:
    """Responds with status 200 as long as the process is running."""
    return _status(service, "alive")


@router.get("/ready", responses={503: {"model": Status}}, tags=["operation"])
async def ready(service: Running, response: Response) -> Status:
    """Responds with status 200 once the network is compiled, and with 503 before that."""
    if not service.ready:
        response.status_code = 503
        response.headers["Retry-After"] = "1"
    return _status(service, "ready" if service.ready else "compiling the network")


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}}},
    tags=["operation"],
)
async def metrics(service: Running) -> Response:
    """Returns metrics in the text format of Prometheus."""
    return Response(service.metrics.text(), headers={"Content-Type": CONTENT_TYPE})


def _asset(name: str) -> Response:
    content = (_ASSETS / name).read_bytes()
    kind = _TYPES[Path(name).suffix]
    return Response(content, media_type=kind, headers={"Cache-Control": "no-cache"})


def _status(service: Service, status: str) -> Status:
    snapshot = service.current.snapshot
    return Status(
        status=status,
        version=snapshot.version,
        codes=len(snapshot),
        bits=snapshot.manifest.bits,
        fault=service.fault,
    )
