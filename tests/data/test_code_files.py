"""Tests for reading codes and labels that other programs have written."""

import pickle

import numpy as np
import pytest

from hashnet_jax.data.code_files import read_codes
from hashnet_jax.data.label_files import read_labels
from hashnet_jax.distributed.reading import DamagedFile

CODES = np.array([[1, -1, -1, 1], [-1, -1, 1, 1]])
BITS = CODES > 0


def unpacked(file):
    return np.unpackbits(file.packed, axis=1, count=file.bits).astype(bool)


@pytest.fixture
def text(tmp_path):
    def write(content):
        path = tmp_path / "file.txt"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    return write


@pytest.fixture
def array(tmp_path):
    def write(values, name="file.npy"):
        np.save(tmp_path / name, values, allow_pickle=True)
        return str(tmp_path / name)

    return write


@pytest.mark.parametrize(
    "content",
    [
        "1001\n0011\n",
        "1 0 0 1\n0 0 1 1",
        "1,0,0,1\r\n0,0,1,1\r\n",
        "\ufeff1\t-1\t-1\t1\n\n-1\t-1\t1\t1\n\n",
        "# two codes\n+1 -1 -1 +1\n-1;-1;1;1\n",
        "1-1-11\n-1-1+1+1\n",
        "1.0e+00, 0.0, 0, 1\n0 0 1 1.\n",
    ],
)
def test_text_is_read_with_or_without_separators(content, text):
    codes = read_codes(text(content))
    np.testing.assert_array_equal(unpacked(codes), BITS)
    assert codes.encoding.startswith("text, 2 lines of 4 entries of ")


def test_text_of_savetxt_is_read(tmp_path):
    path = tmp_path / "codes.csv"
    np.savetxt(path, CODES, delimiter=",", header="codes")
    np.testing.assert_array_equal(unpacked(read_codes(str(path))), BITS)
    np.savetxt(path, [3, 5])
    np.testing.assert_array_equal(read_labels(str(path)).values, [3, 5])


def test_the_content_tells_the_format_of_a_file_with_another_suffix(tmp_path):
    for name, save in (("a.codes", np.save), ("b.codes", np.savez)):
        with open(tmp_path / name, "wb") as file:
            save(file, CODES)
        np.testing.assert_array_equal(unpacked(read_codes(str(tmp_path / name))), BITS)


def test_without_bits_eight_columns_of_0_and_1_are_eight_bits_and_with_bits_64_they_are_packed(
    array,
):
    eight = np.tile(np.array([0, 1], np.uint8), (3, 4))
    assert read_codes(array(eight)).bits == read_codes(array(eight), bits=8).bits == 8
    packed = read_codes(array(eight), bits=64)
    assert (packed.bits, packed.encoding) == (64, "uint8 [3, 8], packed")
    np.testing.assert_array_equal(packed.packed, eight)


def test_one_bit_is_packed_if_a_byte_is_above_1(array):
    for column in ([[0], [1]], [[0], [128]]):
        codes = read_codes(array(np.array(column, np.uint8)), bits=1)
        np.testing.assert_array_equal(unpacked(codes), [[False], [True]])


def test_large_files_are_packed_in_blocks(array, monkeypatch):
    from hashnet_jax.data import code_files

    monkeypatch.setattr(code_files, "_ENTRIES_PER_BLOCK", 8)
    codes = np.random.default_rng(0).choice([-1.0, 1.0], (11, 4))
    np.testing.assert_array_equal(unpacked(read_codes(array(codes))), codes > 0)
    codes[9, 2] = 0
    with pytest.raises(ValueError, match=r"file.npy, entry \[9, 2\]: codes must be -1 and \+1"):
        read_codes(array(codes))


def changed(value, dtype=float):
    codes = CODES.astype(dtype)
    codes[1, 2] = value
    return codes


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (changed(np.nan), r"entry \[1, 2\]: codes must be .* this entry is nan"),
        (changed(0.3), r"entry \[1, 2\]: codes must be .* is 0.3. Pass binary codes, not logits"),
        (changed(0), r"entry \[1, 2\]: codes must .* is 0, and others are -1. Use np.where"),
        (changed(200, np.uint8), r"If the codes are packed, pass `bits`"),
        (CODES.reshape(2, 2, 2), r"one code per row, \[N, K\], but it is int64 \[2, 2, 2\]"),
        (CODES[0], r"one code per row, \[N, K\]"),
        (CODES.astype(str), r"as booleans, integers or floats, but its type is <U21"),
        (CODES.astype(complex), r"its type is complex128"),
        (np.zeros((0, 4)), r"must contain binary codes, but it is empty \(float64 \[0, 4\]\)"),
        (np.zeros((4, 0)), r"is empty"),
        (CODES.astype(object), r"damaged or not binary codes .*not describe an array of numbers"),
    ],
)
def test_what_is_no_binary_code_is_refused_with_its_first_place(codes, message, array):
    if codes.dtype == np.uint8:
        codes = np.where(codes == 255, 0, codes).astype(np.uint8)
    with pytest.raises(ValueError, match=message):
        read_codes(array(codes))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("1 0\n0 x\n", r"line 2: 'x' is not a number"),
        ("1 0\n\n0 1 1\n", r"line 3: it has 3 entries, but line 1 has 2"),
        ("1,,0\n", r"line 1: '' is not a number"),
        ("1 0\n0 nan\n", r"line 2: 'nan' is not a number"),
        ("1 1_0\n", r"line 1: '1_0' is not a number"),
        ("# nothing\n\n", r"is empty \(text, 0 lines of 0 entries\)"),
        ("", r"is empty"),
        ("1 0\n\n2 1\n", r"file.txt, line 3, entry 1: codes must be"),
        ("-1 1\n1 0\n", r"file.txt, line 2, entry 2: codes must be .* is 0, and others are -1"),
        (b"1 0\n\xff\xfe\n", r"damaged or not binary codes \('utf-8' codec"),
        (pickle.dumps([1, 0]), r"damaged or not binary codes"),
    ],
)
def test_unreadable_text_is_refused_with_its_line(content, message, text):
    with pytest.raises(ValueError, match=message):
        read_codes(text(content))


def test_padding_bits_must_be_0_in_packed_codes(array):
    with pytest.raises(ValueError, match=r"padding bits of `.*file.npy` beyond K = 12 must"):
        read_codes(array(np.full((2, 2), 255, np.uint8)), bits=12)


def test_an_array_of_an_archive_is_chosen_by_name(tmp_path):
    path = tmp_path / "files.npz"
    np.savez(path, codes=CODES, names=np.array(["a", "b"], object))
    np.testing.assert_array_equal(unpacked(read_codes(f"{path}:codes")), BITS)
    with pytest.raises(ValueError, match=r"as its only array, but contains codes, names. Choose"):
        read_codes(str(path))
    with pytest.raises(ValueError, match=r"an array named 'code', but contains codes, names"):
        read_codes(f"{path}:code")
    with pytest.raises(DamagedFile, match="does not describe an array of numbers"):
        read_codes(f"{path}:names")
    np.savez(path, CODES)
    np.testing.assert_array_equal(unpacked(read_codes(str(path))), BITS)
    with pytest.raises(FileNotFoundError, match=r"none.npz must be a file with binary codes"):
        read_codes(f"{tmp_path}/none.npz:codes")


def test_only_an_archive_has_names_and_a_colon_may_be_part_of_a_file_name(array):
    path = array(CODES)
    with pytest.raises(ValueError, match=r"must be a .npz file to contain an array named 'codes'"):
        read_codes(f"{path}:codes")
    np.testing.assert_array_equal(unpacked(read_codes(array(CODES, "a:b.npy"))), BITS)


def test_a_header_that_declares_more_than_the_file_has_is_refused(tmp_path):
    path = tmp_path / "codes.npy"
    with open(path, "wb") as file:
        header = {"descr": "<f8", "fortran_order": False, "shape": (10**12, 64)}
        np.lib.format.write_array_header_1_0(file, header)
    with pytest.raises(DamagedFile, match="its header declares 512,000,000,000,000 bytes"):
        read_codes(str(path))


@pytest.mark.parametrize("dtype", [np.int32, np.uint64, np.float32])
def test_class_ids_have_any_type_of_whole_numbers(dtype, array):
    labels = read_labels(array(np.array([5, 0, 7], dtype)))
    assert labels.values.dtype == np.int64
    assert labels.values.tolist() == [5, 0, 7]


def test_text_with_one_number_per_line_is_class_ids_and_with_several_multi_hot(text):
    assert read_labels(text("10\n-1\n0\n")).values.tolist() == [10, -1, 0]
    assert read_labels(text("9007199254740993\n")).values.tolist() == [2**53 + 1]
    hot = read_labels(text("1 0 1\n0,0,0\n")).values
    assert hot.tolist() == [[True, False, True], [False, False, False]]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.array([0, np.nan]), r"entry \[1\]: class ids must be integers, but this entry is nan"),
        (np.array([0, 1.5]), r"class ids must be integers, but this entry is 1.5"),
        (np.array([0, 2**63], np.uint64), r"class ids must be integers"),
        (np.array([True, False]), r"Convert it with array.astype\(int\) if False and True are two"),
        (np.array([[0], [1]]), r"multi-hot labels \[N, C\] of several classes"),
        (np.array([[0, 1], [-1, 1]]), r"entry \[1, 0\]: multi-hot labels must be 0 or 1, .* is -1"),
        (np.array([[0, 3], [1, 1]]), r"entry \[0, 1\]: multi-hot labels .* is 3"),
        (np.zeros((2, 2, 2)), r"must be class ids \[N\] or multi-hot labels \[N, C\]"),
        (np.array(["cat", "dog"]), r"as booleans, integers or floats, but its type is <U3"),
        (np.zeros(0, int), r"is empty"),
    ],
)
def test_wrong_labels_are_refused_with_their_place(labels, message, array):
    with pytest.raises(ValueError, match=message):
        read_labels(array(labels))


def test_columns_are_class_ids_or_labels_of_one_class(array):
    assert read_labels(array(np.array([[0], [2]]))).values.tolist() == [0, 2]
    assert read_labels(array(np.array([[True], [False]]))).values.tolist() == [[True], [False]]


def test_multi_hot_labels_in_text_need_separators(text):
    with pytest.raises(ValueError, match=r"line 1: '0101' starts with 0, but is not a class id"):
        read_labels(text("0101\n1100\n"))
