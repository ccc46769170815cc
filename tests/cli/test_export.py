"""Tests for `hashnet export` of a network: what it prints, and its errors."""

import os
import sys

import pytest

from hashnet_jax.cli._export import FORMATS
from tests.support.cli_case import hashnet, make_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a small network. Tests must not modify it."""
    return make_run(tmp_path_factory.mktemp("made") / "run")


@pytest.mark.parametrize(("suffix", "words"), [("stablehlo", ()), ("onnx", ("--format", "onnx"))])
def test_a_network_is_exported_as_the_suffix_of_the_output_says(
    suffix, words, run, tmp_path, capsys
):
    if suffix == "onnx":
        pytest.importorskip("jax2onnx")
    out = tmp_path / f"net.{suffix}"
    assert hashnet("export", run, out, *words) == 0
    assert capsys.readouterr().out == (
        f"small_cnn with 12 bits in {out}, for uint8 images [B, 8, 8, 3]\n"
    )
    assert out.stat().st_size > 100_000
    assert hashnet("export", run, out) == 1
    assert capsys.readouterr().err == (
        f"hashnet export: error: OUT must be a new file, but {out} exists. Delete it, or choose "
        "another name.\n"
    )


@pytest.mark.parametrize(
    ("name", "words", "message"),
    [
        ("net.pb", (), "OUT must end in .onnx or .stablehlo to export a network; or, to"),
        ("net.pb", ("--format", "onnx"), "OUT must end in .onnx with --format onnx, got"),
        ("net.onnx", ("--format", "stablehlo"), "OUT must end in .stablehlo with --format"),
        ("net.onnx", ("--format", "folder"), "OUT must be a folder without a suffix with --format"),
        ("absent/net.stablehlo", (), "OUT must be in an existing folder, but"),
        ("codes.parquet", (), "no store found in"),
    ],
)
def test_an_output_that_fits_no_format_is_rejected(name, words, message, run, tmp_path, capsys):
    assert hashnet("export", run, tmp_path / name, *words) == 1
    assert message in capsys.readouterr().err
    assert os.listdir(tmp_path) == []


def test_a_folder_without_a_network_is_rejected(tmp_path, capsys):
    assert hashnet("export", tmp_path, tmp_path / "net.stablehlo") == 1
    assert f"hashnet export: error: no model.npz in {tmp_path}." in capsys.readouterr().err


def test_a_missing_converter_is_reported_with_its_extra(run, tmp_path, capsys, monkeypatch):
    monkeypatch.delitem(sys.modules, "hashnet_jax.weights._onnx", raising=False)
    monkeypatch.setitem(sys.modules, "jax2onnx", None)
    assert hashnet("export", run, tmp_path / "net.onnx") == 1
    assert "pip install 'hashnet_jax[onnx]', or export to StableHLO." in capsys.readouterr().err


def test_the_help_names_every_format(capsys):
    with pytest.raises(SystemExit):
        hashnet("export", "--help")
    text = capsys.readouterr().out
    for suffix, name in FORMATS.items():
        assert name in text
        assert f"{suffix} " in text
