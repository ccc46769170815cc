"""Metrics of the service for Prometheus."""

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.process_collector import ProcessCollector

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)

CONTENT_TYPE = prometheus_client.CONTENT_TYPE_PLAIN_0_0_4


class Metrics:
    """The metrics of one service, in a separate Prometheus registry."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.requests = Counter(
            "hashnet_requests", "Responses sent.", ["method", "route", "status"], registry=registry
        )
        self.seconds = Histogram(
            "hashnet_request_seconds",
            "Time from a request to its response.",
            ["route"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.batch_size = Histogram(
            "hashnet_batch_size", "Pictures per batch.", buckets=_SIZES, registry=registry
        )
        self.waiting = Gauge(
            "hashnet_requests_in_progress",
            "Requests in progress.",
            registry=registry,
        )
        self.version = Gauge(
            "hashnet_store_version", "Store version currently being searched.", registry=registry
        )
        self.codes = Gauge("hashnet_store_codes", "Codes that are searched.", registry=registry)
        self.faults = Counter(
            "hashnet_store_faults", "Failed attempts to read the store.", registry=registry
        )

    def text(self) -> bytes:
        """Returns all metrics in the Prometheus text format."""
        return prometheus_client.generate_latest(self._registry)
