"""Damages `.npy` and `.npz` files: headers, sizes, members, and values with valid checksums."""

import functools
import io
import random
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

BOMB_CHUNK, BOMB_CHUNKS = 2**24, 255  # just below 4 GiB, where zip64 begins


def _npy_header(path: Path, rng: random.Random) -> str:
    data = path.read_bytes()
    _, body = _split_npy(data)
    header, said = _bad_header(rng)
    path.write_bytes(header + body)
    return said


def _npy_value(path: Path, rng: random.Random) -> str:
    try:
        array = np.load(path, allow_pickle=False)
    except ValueError:  # it is not fully written
        header, body = _split_npy(path.read_bytes())
        place = rng.randrange(len(body))
        changed_byte = bytes([body[place] ^ 1])
        path.write_bytes(header + body[:place] + changed_byte + body[place + 1 :])
        return f"byte {place} of an unfinished array changed"
    changed, said = _other_array(array, rng)
    np.save(path, changed)
    return said


def _npz_header(path: Path, rng: random.Random) -> str:
    return _rezipped(path, rng, lambda data: _with_bad_header(data, rng))


def _npz_value(path: Path, rng: random.Random) -> str:
    """Changes an array; the archive and its checksums are valid."""

    def change(data: bytes) -> tuple[bytes, str]:
        array, said = _other_array(np.load(io.BytesIO(data), allow_pickle=False), rng)
        buffer = io.BytesIO()
        np.save(buffer, array)
        return buffer.getvalue(), said

    return _rezipped(path, rng, change)


def _npz_member(path: Path, rng: random.Random) -> str:
    """Removes, renames, doubles or adds a member of the archive."""
    with zipfile.ZipFile(path) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    i = rng.randrange(len(members))
    name, data = members[i]
    what = rng.choice(["removed", "renamed", "twice", "exchanged", "is no array", "outside"])
    if what == "removed":
        del members[i]
    elif what == "renamed":
        members[i] = (f"x{name}", data)
    elif what == "twice":
        members.append((name, data))
    elif what == "exchanged":
        other, other_data = members[i - 1]
        members[i], members[i - 1] = (name, other_data), (other, data)
    elif what == "is no array":
        members[i] = (name, b"no array")
    else:
        members.append(("../../outside.npy", data))
    _write_zip(path, members)
    return f"{name} {what}"


def _npz_bomb(path: Path, rng: random.Random) -> str:
    """Makes one array 4 GiB of zeros, which are a few MB when packed."""
    with zipfile.ZipFile(path) as archive:
        name = rng.choice(archive.namelist())
    path.write_bytes(_bomb(name))
    return f"{name} unpacks to {BOMB_CHUNK * BOMB_CHUNKS:,} bytes"


def _npz_sizes(path: Path, rng: random.Random) -> str:
    """Declares a size in the archive's directory that a member does not have."""

    def change(data: bytearray) -> str:
        entry = data.rfind(b"PK\x01\x02")
        size = rng.choice([0, 1, 2**32 - 2, rng.randrange(2**31)])
        field = rng.choice([20, 24])  # the packed or the unpacked size
        data[entry + field : entry + field + 4] = struct.pack("<I", size)
        return f"the directory declares {size:,} bytes"

    content = bytearray(path.read_bytes())
    said = change(content)
    path.write_bytes(content)
    return said


def _rezipped(path: Path, rng: random.Random, change: Callable[[bytes], tuple[bytes, str]]) -> str:
    with zipfile.ZipFile(path) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    i = rng.randrange(len(members))
    name, data = members[i]
    changed, said = change(data)
    members[i] = (name, changed)
    _write_zip(path, members)
    return f"{name}: {said}"


def _write_zip(path: Path, members: list[tuple[str, bytes]]) -> None:
    with zipfile.ZipFile(path, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a name that appears twice
        for name, data in members:
            archive.writestr(name, data)


def _other_array(array: np.ndarray, rng: random.Random) -> tuple[np.ndarray, str]:
    what = rng.choice(["element", "rolled", "dtype", "shape", "shorter", "nan"])
    changed = array.copy()
    if what == "rolled" and array.ndim:
        return np.roll(array, 1, axis=0), "rows rolled by one"
    if what == "dtype" and array.dtype.kind in "iuf":
        return array.astype(np.float64), "converted to float64"
    if what == "shape":
        return array.reshape(-1, 1), "reshaped"
    if what == "shorter" and array.ndim:
        return array[:-1], "without its last row"
    if what == "nan" and array.dtype.kind == "f" and array.size:
        changed.flat[rng.randrange(array.size)] = np.nan
        return changed, "NaN in it"
    if array.dtype.kind in "iuf" and array.size:
        place = rng.randrange(array.size)
        changed.flat[place] += 1
        return changed, f"element {place} increased by 1"
    return array[..., None], "an axis more"


def _split_npy(data: bytes) -> tuple[bytes, bytes]:
    """Splits a `.npy` file of version 1 into its header and its data."""
    (length,) = struct.unpack("<H", data[8:10])
    return data[: 10 + length], data[10 + length :]


def _with_bad_header(data: bytes, rng: random.Random) -> tuple[bytes, str]:
    header, said = _bad_header(rng)
    return header + _split_npy(data)[1], said


def _bad_header(rng: random.Random) -> tuple[bytes, str]:
    shape = rng.choice(
        ["(1099511627776,)", "(4294967296, 4294967296)", "(-1,)", "()", "(0,)", "(1.5,)", "(True,)"]
    )
    dtype = rng.choice(["'<f4'", "'|O'", "'<U99999'", "'|V0'", "[('a', '<f4')]", "'x'", "None"])
    text = rng.choice(
        [
            f"{{'descr': {dtype}, 'fortran_order': False, 'shape': {shape}, }}",
            f"{{'descr': '<f4', 'fortran_order': True, 'shape': {shape}, }}",
            "(" * 5_000,
            "{'descr': '<f4'",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (" + "9" * 5_000 + ",), }",
            "\0" * 100,
            "-" * 9_000 + "1",
        ]
    ).encode()
    length = rng.choice([len(text), len(text), len(text), 65_535])
    version = rng.choice([b"\x01\x00", b"\x01\x00", b"\x01\x00", b"\x09\x00"])
    return b"\x93NUMPY" + version + struct.pack("<H", length) + text, f"header {text[:70]!r}"


@functools.cache
def _bomb_stream() -> tuple[bytes, bytes, int]:
    """A header, 4 GiB of packed zeros behind it, and their checksum."""
    size = BOMB_CHUNK * BOMB_CHUNKS
    fields = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({size // 4},), }}"
    header = b"\x93NUMPY\x01\x00" + struct.pack("<H", 118) + fields.ljust(117).encode() + b"\n"
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    start = packer.compress(header) + packer.flush(zlib.Z_FULL_FLUSH)
    zeros = bytes(BOMB_CHUNK)
    chunk = packer.compress(zeros) + packer.flush(zlib.Z_FULL_FLUSH)
    # Each chunk is packed without reference to the one before.
    checksum = zlib.crc32(header)
    for _ in range(BOMB_CHUNKS):
        checksum = zlib.crc32(zeros, checksum)
    return start + chunk * BOMB_CHUNKS + packer.flush(), header, checksum


def _bomb(name: str) -> bytes:
    packed, header, checksum = _bomb_stream()
    size = len(header) + BOMB_CHUNK * BOMB_CHUNKS
    fields = struct.pack("<HHHHHIII", 20, 0, 8, 0, 33, checksum, len(packed), size)
    names = struct.pack("<HH", len(name), 0)
    local = b"PK\x03\x04" + fields + names + name.encode()
    entry = b"PK\x01\x02\x14\x00" + fields + names + struct.pack("<HHHII", 0, 0, 0, 0, 0)
    directory = entry + name.encode()
    place = len(local) + len(packed)
    end = struct.pack("<HHHHIIH", 0, 0, 1, 1, len(directory), place, 0)
    return local + packed + directory + b"PK\x05\x06" + end


OF_NPY: dict[str, Callable[[Path, random.Random], str]] = {
    "header": _npy_header,
    "array": _npy_value,
}
OF_NPZ: dict[str, Callable[[Path, random.Random], str]] = {
    "member header": _npz_header,
    "member array": _npz_value,
    "member": _npz_member,
    "bomb": _npz_bomb,
    "sizes": _npz_sizes,
}
