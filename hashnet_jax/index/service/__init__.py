"""A search service over HTTP, with a web page and a JSON API.

To install its dependencies, run ``pip install 'hashnet_jax[serve]'``.
"""

from hashnet_jax.index.service._app import LOCAL_HOSTS, check_token, create_app
from hashnet_jax.index.service._limits import Limits
from hashnet_jax.index.service._server import listen, serve, url_of
from hashnet_jax.index.service._service import Service

__all__ = [
    "LOCAL_HOSTS",
    "Limits",
    "Service",
    "check_token",
    "create_app",
    "listen",
    "serve",
    "url_of",
]
