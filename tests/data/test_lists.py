"""Tests how list files are read, and every way in which they can be malformed."""

import re
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hashnet_jax.data import DATASETS, Options, list_files
from hashnet_jax.data.list_files import MAX_FAULTS_SHOWN, read_lists

LISTS = {
    "train.txt": "a.png 1 0 0\nb.png 0 1 1\n",
    "test.txt": "sub/my photo (1).png 0 0 1\n",
    "database.txt": "b.png 0 1 1\na.png 1 0 0\nc.png 1 1 0\n",
}


@pytest.fixture
def write(tmp_path):
    """Returns a function that writes images and list files, and can replace some of the lists."""
    (tmp_path / "sub").mkdir()
    for level, name in enumerate(["a", "b", "c", "sub/my photo (1)"]):
        Image.fromarray(np.full((2, 3, 3), level, np.uint8)).save(tmp_path / f"{name}.png")

    def write(replaced=()):
        for name, text in (LISTS | dict(replaced)).items():
            (tmp_path / name).write_bytes(text.encode())
        return tmp_path

    return write


def test_an_image_has_one_index_in_all_lists(write):
    read = read_lists(write())
    assert read.train.tolist() == [0, 1]
    assert read.query.tolist() == [2]
    assert read.database.tolist() == [1, 0, 3]
    assert [path.rsplit("/", 1)[1] for path in read.paths[:2]] == ["a.png", "b.png"]
    assert read.labels.dtype == np.int8
    np.testing.assert_array_equal(read.labels, [[1, 0, 0], [0, 1, 1], [0, 0, 1], [1, 1, 0]])


def test_an_image_is_identified_by_its_file_under_any_path(write):
    folder = write()
    (folder / "link.png").symlink_to(folder / "c.png")
    train = f"sub/../a.png 1 0 0\n{folder}/b.png 0 1 1\nlink.png 1 1 0\n"
    read = read_lists(write({"train.txt": train}))
    assert len(read.paths) == 4
    assert set(read.train) == set(read.database)


def test_windows_line_ends_blank_lines_tabs_and_byte_order_marks_make_no_difference(write):
    expected = read_lists(write())
    other = {
        name: "\ufeff\n" + text.replace("\n", " \r\n\r\n").replace(" 0", "\t 0")
        for name, text in LISTS.items()
    }
    read = read_lists(write(other))
    assert read.paths == expected.paths
    np.testing.assert_array_equal(read.labels, expected.labels)
    np.testing.assert_array_equal(read.database, expected.database)


def test_paths_are_relative_to_the_image_root(write, tmp_path):
    elsewhere = tmp_path / "lists"
    elsewhere.mkdir()
    for name, text in LISTS.items():
        (elsewhere / name).write_text(text)
    write()
    assert read_lists(elsewhere, tmp_path).paths == read_lists(tmp_path).paths
    with pytest.raises(FileNotFoundError, match="`image_root`, but 6 lines violate this rule"):
        read_lists(elsewhere)


def test_every_malformed_line_is_named_with_file_number_expected_and_got(write):
    broken = {
        "train.txt": "a.png 1 0 0\n\nb.png 0 1\n",
        "test.txt": "sub/my photo (1).png 0 2 1\n0 0 1\n",
        "database.txt": "b.png 0 1 1\na.png 1 0 0\nc.png 1 1 0\nc.png\n",
    }
    with pytest.raises(ValueError, match=r"`path 0 1 0 \.\.\.`, but 4 lines violate") as error:
        read_lists(write(broken))
    expected = "expected a path and 3 labels (0 or 1), as on most lines"
    assert str(error.value).splitlines()[1:] == [
        f"  train.txt, line 3: {expected}, got 'b.png' and 2 labels",
        f"  test.txt, line 1: {expected}, got 'sub/my photo (1).png 0 2' and 1 labels",
        f"  test.txt, line 2: {expected}, got '0' and 2 labels",
        f"  database.txt, line 4: {expected}, got 'c.png' and 0 labels",
    ]


def test_a_line_with_a_different_number_of_labels_is_named(write):
    with pytest.raises(ValueError, match=r"test.txt, line 1: expected .* 3 labels .* and 4 labels"):
        read_lists(write({"test.txt": "sub/my photo (1).png 0 0 1 0\n"}))


def test_lists_without_any_label_are_malformed(write):
    with pytest.raises(
        ValueError, match=r"train.txt, line 1: expected a path and a 0 or 1 for each class"
    ):
        read_lists(write(dict.fromkeys(LISTS, "a.png\n")))


@pytest.mark.parametrize(
    ("line", "n_labels"),
    [
        ("a" + " 0" * 200_000, 200_000),
        ("a" + " 0" * 200_000 + " 2", 0),
        ("0" + " " * 400_000 + "x", 0),
        ("a" + " " * 400_000 + "1", 1),
        ("a " + "0" * 400_000, 0),
    ],
)
def test_a_long_line_is_parsed_in_linear_time(line, n_labels):
    start = time.process_time()
    length = list_files._length_of_labels(line)
    assert time.process_time() - start < 1  # it took minutes when the time was quadratic
    assert line[len(line) - length :].split() == ["0" if " 0" in line else "1"] * n_labels


@given(st.text(" \t01a", max_size=12))
def test_the_labels_are_all_trailing_fields_that_are_0_or_1(text):
    line = text.strip()
    fields = re.search(r"(?:\s+[01])+$", line)
    assert list_files._length_of_labels(line) == (len(fields[0]) if fields else 0)


def test_a_list_that_is_not_text_is_named_with_its_line(write):
    text = LISTS["train.txt"]
    with pytest.raises(ValueError, match=r"train\.txt must be UTF-8 text, but line 2 contains"):
        read_lists(write({"train.txt": text.replace("b.png", "b\0.png")}))
    folder = write()
    (folder / "train.txt").write_bytes(text.encode("utf-16"))
    with pytest.raises(ValueError, match=r"train\.txt must be UTF-8 text, but line 1 contains"):
        read_lists(folder)


def test_names_in_errors_about_lists_are_escaped(write):
    with pytest.raises(FileNotFoundError) as error:
        read_lists(write({"train.txt": "no\x1b[31m.png 1 0 0\n"}))
    assert r"no\x1b[31m.png" in str(error.value)
    assert "\x1b" not in str(error.value)


@pytest.mark.slow
def test_many_faults_are_counted_and_the_first_named(write):
    missing = "".join(f"no-{i}.png 1 0 0\n" for i in range(MAX_FAULTS_SHOWN + 1_000))
    with pytest.raises(FileNotFoundError, match="1,020 lines violate this rule") as error:
        read_lists(write({"database.txt": missing}))
    lines = str(error.value).splitlines()
    assert len(lines) == MAX_FAULTS_SHOWN + 2
    assert re.search(r"database.txt, line 1: file not found: .*no-0.png", lines[1])
    assert lines[-1].strip() == "and 1,000 more"


def test_an_image_with_different_labels_on_two_lines_is_an_error(write):
    with pytest.raises(
        ValueError, match=r"database.txt, line 1: the labels of b.png differ from .* train.txt"
    ):
        read_lists(write({"database.txt": "b.png 0 1 0\nc.png 1 1 0\n"}))


@pytest.mark.parametrize("name", LISTS)
def test_a_missing_or_an_empty_list_is_named(write, name):
    with pytest.raises(ValueError, match=f"{name} must list at least one image, but it is empty"):
        read_lists(write({name: "\n"}))
    folder = write()
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"`lists` must be a folder .* lacks {name}"):
        read_lists(folder)


def test_the_dataset_counts_images_without_labels_and_repeated_lines(write):
    text = LISTS["database.txt"]
    folder = write(
        {"train.txt": "a.png 1 0 0\n", "database.txt": text.replace("0 1 1", "0 0 0") * 2}
    )
    dataset = DATASETS["lists"](Options(lists=str(folder)))
    assert dataset.notes == (
        "images without labels (not similar to any other image): 1",
        "lines that repeat an image listed earlier in the same file: 3",
    )
    assert dataset.split.sizes() == {"train": 1, "query": 1, "database": 3, "validation": 0}
    assert dataset.classes == ("0", "1", "2")
    np.testing.assert_array_equal(dataset.source[dataset.split.query[0]], np.full((2, 3, 3), 3))


def test_a_query_in_the_database_is_an_error_or_a_note_if_it_is_allowed(write):
    folder = write({"test.txt": "c.png 1 1 0\n"})
    message = r"database.txt must not list the same images, but have 1 .*`allow_overlap=True`"
    with pytest.raises(ValueError, match=message):
        DATASETS["lists"](Options(lists=str(folder)))
    dataset = DATASETS["lists"](Options(lists=str(folder), allow_overlap=True))
    assert dataset.notes == ("images in both test.txt and database.txt: 1",)
    assert np.isin(dataset.split.query, dataset.split.database).all()


def test_validation_images_are_drawn_from_images_that_are_only_in_the_database(write):
    dataset = DATASETS["lists"](Options(lists=str(write()), validation_images=1))
    assert dataset.split.sizes() == {"train": 2, "query": 1, "database": 3, "validation": 1}
    with pytest.raises(ValueError, match=r"`validation_images` must be at most 1, .* got 2"):
        DATASETS["lists"](Options(lists=str(write()), validation_images=2))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lists": None}, "'lists' requires `lists`"),
        ({"queries": 5}, "`queries` does not apply to lists, but is set to 5"),
        (
            {"train_in_database": False},
            "`train_in_database` does not apply to lists, but is set to False",
        ),
    ],
)
def test_an_option_that_the_lists_determine_is_rejected(write, options, message):
    with pytest.raises(ValueError, match=message):
        DATASETS["lists"](Options(**{"lists": str(write())} | options))
