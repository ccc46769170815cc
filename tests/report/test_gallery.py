"""Tests the table of classes and the gallery of queries with their results."""

import numpy as np

from hashnet_jax.metrics import evaluate
from hashnet_jax.report import read_finished_run
from hashnet_jax.report._gallery import gallery
from hashnet_jax.report._tables import class_table


def test_the_table_of_classes_contains_the_map_of_their_queries(made):
    finished = read_finished_run(made.folder)
    table = class_table(finished, made.dataset)
    assert [row[0] for row in table.rows] == list(made.dataset.classes)
    labels, query, database = made.dataset.labels, finished.query, finished.database
    members = labels[:, 2] == 1 if labels.ndim == 2 else labels == 2
    rows = np.flatnonzero(members[query.indices])
    mean, _ = evaluate(
        query.codes[rows], database.codes, query.labels[rows], database.labels, bits=finished.bits
    )
    assert table.rows[2][1] == len(rows)
    np.testing.assert_allclose(table.rows[2][2:], (mean.expected, mean.worst, mean.best))


def test_the_gallery_shows_the_nearest_codes_with_hits_marked(made):
    finished = read_finished_run(made.folder)
    queries = gallery(finished, made.dataset)
    assert len(queries) == 12
    precisions = [query.average_precision for query in queries]
    assert precisions == sorted(precisions)
    bits = [np.unpackbits(part.codes, axis=1) for part in (finished.query, finished.database)]
    for query in queries:
        row = np.flatnonzero(finished.query.indices == query.shown.index).item()
        nearest = np.sort((bits[0][row] != bits[1]).sum(axis=1))[:10]
        assert [result.distance for result in query.results] == nearest.tolist()
        for result in query.results:
            assert result.hit == bool(set(result.shown.labels) & set(query.shown.labels))
    text = made.page().text
    hits = sum(result.hit for query in queries for result in query.results)
    assert text.count(">✓ hit</span>") == hits + 1  # one more in the key
    assert text.count(">✗ miss</span>") == 120 - hits + 1


def test_the_worst_query_is_always_shown(made):
    finished = read_finished_run(made.folder)
    worst = finished.average_precision.expected.min()
    for seed in range(3):
        assert gallery(finished, made.dataset, seed=seed)[0].average_precision == worst


def test_file_names_are_shown_if_the_data_set_has_them(made):
    queries = gallery(read_finished_run(made.folder), made.dataset)
    for query in queries:
        for shown in (query.shown, *(result.shown for result in query.results)):
            names = made.dataset.names
            assert shown.name == (names[shown.index] if names else "")
    assert ('<p class="file"' in made.page().text) == bool(made.dataset.names)
