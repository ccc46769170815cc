"""Limits on the requests that the service accepts, and the error for requests that it refuses."""

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits on requests, so that no client can exhaust the memory or block the service.

    Attributes:
      max_bytes: maximum size of the body of a request, in bytes.
      max_pixels: maximum number of pixels of a picture. Decoding takes up to 16 bytes per pixel in
        each thread, with one thread per processor.
      max_seconds: maximum time from the first byte of a request to its response.
      max_requests: maximum number of requests in progress at the same time. Further requests are
        refused at once with status 429, so that no queue can grow.

    Raises:
      ValueError: if a limit is not positive.

    Examples:
      >>> Limits(max_requests=0)
      Traceback (most recent call last):
      ...
      ValueError: `max_requests` must be > 0, got 0.
    """

    max_bytes: int = 20 * 2**20
    max_pixels: int = 50_000_000
    max_seconds: float = 10.0
    max_requests: int = 64

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            if not value > 0:
                raise ValueError(f"`{name}` must be > 0, got {value}.")


class Refused(Exception):
    """Raised to refuse a request.

    Attributes:
      status: the HTTP status of the response.
      detail: the reason, which is sent to the client.
      headers: headers of the response.
    """

    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, headers or {}


def try_again(status: int, detail: str) -> Refused:
    """Returns a :class:`Refused` error that asks the client to retry after one second."""
    return Refused(status, detail, {"Retry-After": "1"})
