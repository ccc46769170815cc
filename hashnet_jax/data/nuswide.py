"""NUS-WIDE, with several labels per image: all 81 concepts, or the 21 most frequent ones.

It is read from the files that its authors publish, see :mod:`hashnet_jax.data._nuswide_files`. The
images are in the order of their list. Published splits of NUS-WIDE are read from list files instead
(:mod:`hashnet_jax.data.lists`).
"""

from collections.abc import Iterator

from hashnet_jax.data._concept_split import sizes_per_concept, split_by_concept
from hashnet_jax.data._dataset import Dataset, Options
from hashnet_jax.data._listed_pictures import Listed, Present, find_pictures
from hashnet_jax.data._numbered import describe_count
from hashnet_jax.data._nuswide_files import CONCEPTS, LAYOUT, find_folder, read_labels
from hashnet_jax.data._total_split import describe_unlabelled, split_labelled, total_sizes

_MOST_FREQUENT_CONCEPTS = """
animal beach buildings clouds flowers grass lake mountain ocean person plants reflection road rocks
sky snow sunset tree vehicle water window
"""
MOST_FREQUENT_CONCEPTS = tuple(_MOST_FREQUENT_CONCEPTS.split())

PUBLISHED_IMAGES = 269_648
# Images with a label, keyed by the number of concepts.
PUBLISHED_LABELLED = {81: 209_347, 21: 195_834}


def load(options: Options) -> Dataset:
    """Loads NUS-WIDE with all 81 concepts, dropping unlabelled images.

    Args:
      options: the data set options, :class:`hashnet_jax.data.Options` in which ``image_root``,
        ``queries`` and ``train_images`` must be set.

    Returns:
      :class:`hashnet_jax.data.Dataset` with multi-hot labels, int8 ``[N, 81]``, and the paths in
      the authors' list as ``names``. Images whose pictures are missing are left out, and listed in
      ``skipped``.

    Raises:
      DamagedFile: if a file is damaged.
      FileNotFoundError: if a list, the labels or all pictures are missing.
      ValueError: if an option does not apply to multi-label data, or there are too few images.
    """
    sizes = total_sizes("nuswide", options, "The paper uses 5000 and 10000")
    images, notes = _read("nuswide", CONCEPTS, options)
    split = split_labelled(images.listed.labels, sizes, options)
    return images.dataset("nuswide", split, notes)


def load_21(options: Options) -> Dataset:
    """Loads the images of NUS-WIDE that have one of its 21 most frequent concepts.

    Args:
      options: the data set options, in which ``image_root``, ``queries_per_class`` and
        ``train_per_class`` must be set; see :mod:`hashnet_jax.data._concept_split`.

    Returns:
      :class:`hashnet_jax.data.Dataset` with multi-hot labels, int8 ``[N, 21]``; see :func:`load`.

    Raises:
      DamagedFile: if a file is damaged.
      FileNotFoundError: if a list, the labels or all pictures are missing.
      ValueError: if an option does not apply, or a concept has too few images.
    """
    sizes = sizes_per_concept("nuswide_21", options, "The usual protocol uses 100 and 500")
    images, notes = _read("nuswide_21", MOST_FREQUENT_CONCEPTS, options)
    split = split_by_concept(images.listed.labels, MOST_FREQUENT_CONCEPTS, sizes, options)
    return images.dataset("nuswide_21", split, notes)


def _read(
    name: str, concepts: tuple[str, ...], options: Options
) -> tuple[Present, tuple[str, ...]]:
    root = LAYOUT._replace(name=name).required_root(options)
    listed = read_labels(root, concepts)
    images = find_pictures(LAYOUT, root, find_folder(root), listed)
    return images, (*_describe_counts(listed), describe_unlabelled(images.listed.labels))


def _describe_counts(listed: Listed) -> Iterator[str]:
    n_concepts, labelled = len(listed.classes), int(listed.labels.any(axis=1).sum())
    yield from describe_count("images", published=PUBLISHED_IMAGES, found=len(listed.names))
    yield from describe_count(
        f"images with one of the {n_concepts} concepts",
        published=PUBLISHED_LABELLED[n_concepts],
        found=labelled,
    )
