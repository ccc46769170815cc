"""Smoke test of the benchmark of search over a store."""

import re

import pytest

from benchmarks import store_search

pytest.importorskip("lancedb")
pytest.importorskip("faiss")


@pytest.mark.slow
def test_the_benchmark_of_search_prints_times_and_recall_and_draws_them(tmp_path, capsys):
    store_search.main(["--small", "--plot", str(tmp_path / "plot.png")])
    printed = capsys.readouterr().out
    for name in ("hamming.top_k", "search_snapshots", "faiss IndexBinaryFlat", "LanceDB"):
        assert re.search(rf"{name}.*, 5 at a time: \S+ ms per query, \d", printed), name
    recalls = [float(found) for found in re.findall(r"recall ([\d.]+)", printed)]
    assert len(recalls) == 8
    assert recalls[-1] == 1.0, "all lists are searched"
    assert (tmp_path / "plot.png").stat().st_size > 5000
