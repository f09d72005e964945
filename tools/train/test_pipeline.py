"""Checks that exported files are read, in 8 bits too; run with pytest."""
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tools.train.pipeline import load_weights


@pytest.mark.parametrize("kind, dtype", [("q8", torch.int8), ("f8", torch.float8_e4m3fn)])
def test_weights_are_widened(tmp_path: Path, kind: str, dtype: torch.dtype) -> None:
    """130 inputs: a whole group and one of two."""
    codes = torch.randint(-127, 128, (3, 130)).to(dtype)
    scales = torch.tensor([[0.5, 0.25], [1.0, 2.0], [0.125, 4.0]], dtype=torch.bfloat16)
    plain = torch.randn(4)
    save_file({"a.weight": codes, "a.weight.scale": scales, "norm.scale": plain},
              tmp_path / "few.safetensors", {"low_bit": kind})
    weights = load_weights(tmp_path / "few.safetensors")
    assert set(weights) == {"a.weight", "norm.scale"} and torch.equal(weights["norm.scale"], plain)
    for row in range(3):
        for column in (0, 127, 128, 129):
            expected = codes[row, column].item() * scales[row, column // 128].item()
            assert weights["a.weight"][row, column] == expected


def test_halves_of_bytes_are_widened(tmp_path: Path) -> None:
    """130 inputs of one output, the last two in the second group."""
    codes = torch.randint(1, 16, (1, 130), dtype=torch.uint8)
    scales = torch.tensor([[0.5, 0.25]], dtype=torch.bfloat16)
    save_file({"a.weight": codes[:, ::2] | codes[:, 1::2] << 4, "a.weight.scale": scales},
              tmp_path / "few.safetensors", {"low_bit": "q4"})
    weights = load_weights(tmp_path / "few.safetensors")["a.weight"]
    assert weights.shape == (1, 130)
    for column in range(130):
        assert weights[0, column] == (codes[0, column].item() - 8) * (0.25 if column > 127 else 0.5)


def test_other_types_are_refused(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "w8a8.safetensors", {"low_bit": "w8a8"})
    with pytest.raises(ValueError, match="w8a8.safetensors.*q8"):
        load_weights(tmp_path / "w8a8.safetensors")


def test_other_files_are_as_they_are(tmp_path: Path) -> None:
    """A number beside a weight is a scale of q8 only where the file says so."""
    stored = {"a": torch.ones(2, 2), "a.scale": torch.full((1,), 3.0)}
    save_file(stored, tmp_path / "plain.safetensors")
    weights = load_weights(tmp_path / "plain.safetensors")
    assert set(weights) == set(stored) and torch.equal(weights["a"], stored["a"])
