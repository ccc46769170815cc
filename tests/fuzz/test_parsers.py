"""Parsers on arbitrary input: the right value, or a clear error that names the file."""

import contextlib
import csv
import io
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from hashnet_jax.cli._fields import option_fields, values_of, words_of
from hashnet_jax.cli._options import CONFIG_FIELDS, config_of, overrides, parser
from hashnet_jax.codes import BIT_ORDER
from hashnet_jax.configs import CONFIGS
from hashnet_jax.data.csv_file import read_csv
from hashnet_jax.data.list_files import read_lists
from hashnet_jax.distributed.printing import printable
from hashnet_jax.distributed.reading import (
    DamagedFile,
    parse_json,
    read_json,
    read_npy,
    read_npz,
)
from hashnet_jax.index import Manifest, _import, read_manifest
from hashnet_jax.schedules import SCHEDULES
from hashnet_jax.training import RunFolder

# The same examples in every run, so that a failure can be repeated.
quick = settings(
    derandomize=True, max_examples=60, deadline=None, database=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip

PICTURES = ("a.png", "b c.png", "d 0 1.jpg", "näh ☃.png", "sub/e.png", "2.png", "'f\".png")

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=6,
)
few = settings(quick, max_examples=20)

# Bytes near the formats that are read.
bytes_near = st.binary(max_size=200) | st.lists(
    st.sampled_from([b"{", b"}", b"[", b'"', b":", b",", b"step", b"1", b"-", b"e9", b"NaN", b"\n",
                     b"\x00", b"\xff", b" ", b";", b"a.png", b"0", b"PK\x03\x04", b"\x93NUMPY"]),
    max_size=40,
).map(b"".join)  # fmt: skip


@contextlib.contextmanager
def folder_of_pictures() -> Iterator[Path]:
    """A folder with (empty) files of these names."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for picture in PICTURES:
            (folder / picture).parent.mkdir(exist_ok=True)
            (folder / picture).touch()
        yield folder


class RefusedByName:
    """Lets a block raise errors of these kinds, which name the file."""

    def __init__(self, name, *kinds):
        self.name, self.kinds, self.refused = str(name), kinds or (DamagedFile,), False

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        self.refused = isinstance(error, self.kinds)
        assert not self.refused or self.name in str(error)
        return self.refused


rows = st.integers(1, 4).flatmap(
    lambda n_classes: st.lists(
        st.tuples(st.sampled_from(PICTURES), st.text("01", min_size=n_classes, max_size=n_classes)),
        min_size=1,
        max_size=8,
        unique_by=lambda row: row[0],
    )
)
separators = st.sampled_from([" ", "\t", "   "])


@quick
@given(rows, separators, st.sampled_from(["\n", "\r\n", "\n\n"]), st.booleans())
def test_list_files_give_the_labels_that_were_written(content, separator, end, has_mark):
    lines = [separator.join([picture, *labels]) + end for picture, labels in content]
    with folder_of_pictures() as folder:
        for name in ("train.txt", "test.txt", "database.txt"):
            data = ("\ufeff" if has_mark else "") + "".join(lines)
            (folder / name).write_bytes(data.encode())
        lists = read_lists(folder)
        expected = [os.path.realpath(folder / picture) for picture, _ in content]
    assert list(lists.paths) == expected
    assert lists.labels.tolist() == [[int(label) for label in labels] for _, labels in content]
    assert lists.train.tolist() == lists.query.tolist() == list(range(len(content)))


@quick
@given(bytes_near)
def test_list_files_of_any_bytes_are_read_or_refused_by_name(data):
    with folder_of_pictures() as folder:
        for name in ("test.txt", "database.txt"):
            (folder / name).write_text("a.png 0 1\n")
        (folder / "train.txt").write_bytes(data)
        with RefusedByName(".txt", ValueError, OSError):
            read_lists(folder)


labels_of_csv = st.lists(st.sampled_from(["sea", "sand", "ä b", 'q"t', "a,b"]), max_size=3)


@quick
@given(st.dictionaries(st.sampled_from(PICTURES), labels_of_csv), st.booleans(), st.booleans())
def test_csv_files_give_the_labels_that_were_written(content, has_header, has_mark):
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    if has_header:
        writer.writerow(["path", "labels"])
    for picture, labels in content.items():
        writer.writerow([picture, ";".join(labels)])
    with folder_of_pictures() as folder:
        file = folder / "labels.csv"
        file.write_bytes((("\ufeff" if has_mark else "") + buffer.getvalue()).encode())
        found, repeated = read_csv(file, folder)
    assert found == {picture: tuple(sorted(set(labels))) for picture, labels in content.items()}
    assert list(found) == sorted(found)
    assert repeated == 0


@quick
@given(bytes_near)
def test_csv_files_of_any_bytes_are_read_or_refused_by_name(data):
    with folder_of_pictures() as folder:
        (folder / "labels.csv").write_bytes(data)
        with RefusedByName("labels.csv", ValueError):
            read_csv(folder / "labels.csv", folder)


@pytest.mark.slow
@few
@given(json_values)
def test_json_is_read_as_it_was_written(value):
    assert parse_json(json.dumps(value)) == value


@quick
@given(bytes_near)
def test_json_of_any_bytes_is_read_or_refused_by_name(data):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "config.json")
        path.write_bytes(data)
        with RefusedByName(path):
            assert isinstance(read_json(path, "a config", "restore it"), dict)


@quick
@given(st.integers(0, 200_000), st.sampled_from(["[", '{"a":', '{"a":[']))
def test_json_of_any_depth_is_read_or_refused(depth, opening):
    with contextlib.suppress(ValueError):
        parse_json(opening * depth)


arrays = npst.arrays(
    st.sampled_from([np.uint8, np.int64, np.float32, np.bool_, np.dtype("<U3")]),
    npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
    elements=None,
)


@quick
@given(arrays)
def test_arrays_are_read_as_they_were_written(array):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.npy")
        np.save(path, array)
        found = [read_npy(path, "an array", "restore it", mmap=mmap) for mmap in (False, True)]
        np.savez(Path(folder, "a.npz"), one=array, two=array)
        both = read_npz(Path(folder, "a.npz"), "arrays", "restore it")
    for each in (*found, both["one"], both["two"]):
        assert each.dtype == array.dtype
        np.testing.assert_array_equal(each, array)


@quick
@given(bytes_near, st.sampled_from(["npy", "npz"]))
def test_arrays_of_any_bytes_are_refused_by_name(data, suffix):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"a.{suffix}")
        path.write_bytes(data)
        read = read_npy if suffix == "npy" else read_npz
        with pytest.raises(DamagedFile, match=rf"a\.{suffix}"):
            read(path, "an array", "restore it")


@quick
@given(st.integers(0, 10**6), st.integers(1, 255))
def test_a_changed_byte_of_an_archive_never_changes_an_array(place, change):
    expected = {"one": np.arange(30), "two": np.linspace(0, 1, 5, dtype=np.float32)}
    buffer = io.BytesIO()
    np.savez(buffer, **expected)
    data = bytearray(buffer.getvalue())
    data[place % len(data)] ^= change
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.npz")
        path.write_bytes(data)
        with RefusedByName(path):
            found = read_npz(path, "arrays", "restore it")
            # The change is in a date, or in the name of an array, which its reader compares.
            for array, right in zip(found.values(), expected.values(), strict=True):
                np.testing.assert_array_equal(array, right)


headers = st.builds(
    "{{'descr': {}, 'fortran_order': {}, 'shape': {}, }}".format,
    st.sampled_from(["'<f4'", "'|O'", "'<U9999999'", "'|V0'", "[('a', '<f4')]", "'x'", "1", "'<"]),
    st.sampled_from(["True", "False", "0", "None"]),
    st.sampled_from(["(2,)", "(-1,)", "(1099511627776,)", "()", "(0, 9)", "(1.5,)", "[2]", "2",
                     "(" * 500, "(2**40,)", "(True,)"]),
)  # fmt: skip


@quick
@given(headers, st.binary(max_size=16))
def test_a_header_that_does_not_fit_the_file_is_refused_before_memory_is_taken(header, body):
    text = header.encode()
    data = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + body
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.npy")
        path.write_bytes(data)
        with RefusedByName(path):
            assert read_npy(path, "an array", "restore it").nbytes == len(body)


options = parser()
option_values = st.sampled_from(sorted(CONFIG_FIELDS)).flatmap(
    lambda name: st.tuples(st.just(name), st.text(max_size=12) | st.integers().map(str))
)


@quick
@given(option_values)
def test_options_take_any_text_or_refuse_it_with_the_usage(option):
    name, text = option
    flag = words_of(CONFIG_FIELDS[name], None)[0]
    with (
        contextlib.redirect_stderr(io.StringIO()) as printed,
        RefusedByName("2", SystemExit) as attempt,
    ):
        assert set(overrides(options.parse_args([f"{flag}={text}"]))) == {name}
    assert attempt.refused == ("error: " in printed.getvalue())


@pytest.mark.parametrize("dataset", CONFIGS)
def test_the_words_of_each_field_give_its_value_back(dataset):
    config = CONFIGS[dataset]
    values = values_of(config)
    words = [
        word
        for field in option_fields(config)
        if values[field.name] is not None or None in field.metadata.get("words", {}).values()
        for word in words_of(field, values[field.name])
    ]
    assert config_of(options.parse_args(["--dataset", dataset, *words])) == config


@few
@given(st.sampled_from(sorted(SCHEDULES)), st.integers(-2, 2_000), st.integers(0, 2_000))
def test_a_schedule_increases_from_a_positive_value_or_is_refused(name, total_steps, step):
    with RefusedByName("`total_steps`", ValueError):
        schedule = SCHEDULES[name](total_steps=total_steps)
        first, before, after = (float(schedule(at)) for at in (0, step, step + 1))
        assert 0 < first <= before <= after


file_names = st.binary(min_size=1, max_size=12).map(
    lambda name: os.fsdecode(name.replace(b"\n", b"_").replace(b"\0", b"_"))
)


@quick
@given(st.lists(file_names, min_size=1, max_size=9))
def test_ids_are_read_as_they_were_written(paths):
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "ids.txt").write_bytes(b"".join(os.fsencode(path) + b"\n" for path in paths))
        assert list(_import._blocks(Path(folder))) == [(0, paths)]


MANIFEST = Manifest(
    number=3, bits=12, padding_bits=4, bit_order=BIT_ORDER, sign_of_zero=1,
    weights_sha256="0" * 64, backbone="small_cnn", preprocessing={"resize": [8, 8]}, batch_size=8,
    devices=1, inputs=["/pictures"], skipped=[{"path": "/a.png", "reason": "empty"}],
)  # fmt: skip


@quick
@given(st.integers(0, 10**6), st.binary(min_size=1, max_size=3))
def test_a_manifest_with_any_change_is_the_same_or_refused_by_name(place, change):
    with tempfile.TemporaryDirectory() as folder:
        MANIFEST.write(folder)
        path = Path(folder, "manifest.json")
        data = path.read_bytes()
        start = place % len(data)
        path.write_bytes(data[:start] + change + data[start + len(change) :])
        with RefusedByName(path):
            assert read_manifest(folder) == MANIFEST


@quick
@given(st.dictionaries(st.text(), json_values, max_size=4), st.integers(0, 10**6), st.binary())
def test_a_json_file_of_a_run_with_any_change_is_the_same_or_refused_by_name(
    content, place, change
):
    content = {name: value for name, value in content.items() if name != "sha256"}
    with tempfile.TemporaryDirectory() as parent, RunFolder(Path(parent, "run")) as folder:
        folder.write_json("config.json", content)
        assert folder.read_json("config.json") == content
        path = folder.path / "config.json"
        data = path.read_bytes()
        start = place % len(data)
        path.write_bytes(data[:start] + change + data[start + len(change) :])
        with RefusedByName(path):
            assert folder.read_json("config.json") == content


steps = st.lists(st.integers(1, 40), min_size=1, max_size=8, unique=True).map(sorted)


@quick
@given(steps, st.integers(0, 40), st.data())
def test_a_continued_log_keeps_the_lines_up_to_the_checkpoint(steps, last, data):
    lines = [json.dumps({"step": step, "loss": 1 / step}) + "\n" for step in steps]
    kept = sum(step <= last for step in steps)
    # A kill may cut the last line, unless it was written before the checkpoint.
    whole = "".join(lines[:-1]) + lines[-1][: data.draw(st.integers(0, len(lines[-1])))]
    text = whole if kept < len(steps) else "".join(lines)
    with tempfile.TemporaryDirectory() as parent, RunFolder(Path(parent, "run")) as folder:
        (folder.path / "metrics.jsonl").write_text(text)
        with contextlib.closing(folder.open_metrics(last)) as file:
            file.write({"step": last + 1})
        expected = "".join(lines[:kept]) + json.dumps({"step": last + 1}) + "\n"
        assert (folder.path / "metrics.jsonl").read_text() == expected


@quick
@given(st.text() | file_names)
def test_any_text_is_printed_as_one_line_that_a_terminal_does_not_act_on(text):
    shown = printable(text)
    shown.encode()
    assert len(shown.splitlines()) <= 1
    assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in shown)
