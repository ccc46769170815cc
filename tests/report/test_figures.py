"""Tests the placement of labels, axis limits with spikes, and class names in figures."""

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from hashnet_jax.report._code_map import NO_LABEL, CodeMap
from hashnet_jax.report._figures import STYLE, literal
from hashnet_jax.report._labels import Label, place_labels, spread
from hashnet_jax.report._training_figures import axis_top


@pytest.fixture
def axes():
    with matplotlib.rc_context(STYLE):
        axes = Figure(figsize=(3.4, 2.5)).subplots()
        axes.set(xlim=(0, 1), ylim=(0, 1))
        yield axes


def covers(annotation, axes, x, y):
    box = annotation.get_window_extent()
    return any(box.contains(*axes.transData.transform(point)) for point in zip(x, y, strict=True))


@pytest.mark.parametrize("curve", [lambda x: x, lambda x: 1 - x, lambda x: x**0.1, lambda x: x**8])
def test_no_label_overlaps_the_curve_or_another_label(axes, curve):
    x = np.linspace(0, 1, 300)
    axes.plot(x, curve(x))
    points = [(at, float(curve(at))) for at in (0.1, 0.3, 0.5, 0.7, 0.9)]
    labels = [Label(f"$r$ = {n}", [point], "k", required=True) for n, point in enumerate(points)]
    placed = place_labels(axes, labels)
    assert len(placed) == len(labels)
    boxes = [annotation.get_window_extent() for annotation in placed]
    for number, annotation in enumerate(placed):
        assert not covers(annotation, axes, x, curve(x))
        assert not any(boxes[number].overlaps(other) for other in boxes[:number])


def test_a_label_without_a_free_place_is_left_out_unless_it_is_required(axes):
    crowd = np.random.default_rng(0).random((5000, 2))
    label = Label("nowhere", [(0.5, 0.5)], "k")
    assert place_labels(axes, [label], obstacles=crowd) == []
    required = Label("somewhere", [(0.5, 0.5)], "k", required=True)
    assert len(place_labels(axes, [required], obstacles=crowd)) == 1


def test_labels_are_moved_apart_no_more_than_they_must_be():
    np.testing.assert_allclose(spread([0.5, 0.5], [0.1, 0.1]), [0.45, 0.55])
    np.testing.assert_allclose(spread([0.2, 0.8], [0.1, 0.1]), [0.2, 0.8])
    np.testing.assert_allclose(spread([0.0, 0.0], [0.2, 0.1]), [0.1, 0.25])
    np.testing.assert_allclose(spread([1.0, 1.0], [0.1, 0.1]), [0.9, 1.0])


def test_a_few_spikes_do_not_dominate_the_scale():
    decay = np.exp(-np.linspace(0, 3, 100))
    assert axis_top(decay) == pytest.approx(1.05)  # a plain decay is not cut off
    spiked = np.r_[[50.0, 20.0], np.full(98, 0.5)]
    assert axis_top(spiked, decay) < 2
    assert axis_top(np.array([np.nan])) == 1.0


def test_a_dollar_sign_in_a_name_does_not_start_a_formula(axes):
    text = axes.text(0, 0, literal("$ and $x"))
    axes.figure.draw_without_rendering()
    assert text.get_text() == r"\$ and \$x"


def test_classes_are_told_apart_if_their_codes_form_clusters():
    plane = np.array([[0.0, 0], [1, 0], [9, 9], [10, 9], [5, 5]])
    images = np.ones(5, int)
    apart = CodeMap(plane, images, np.array([0, 0, 1, 1, NO_LABEL]))
    mixed = CodeMap(plane, images, np.array([0, 1, 0, 1, NO_LABEL]))
    assert apart.told_apart([0, 1]) == 1
    assert mixed.told_apart([0, 1]) < 0.9
    assert apart.by_frequency() == [0, 1]
