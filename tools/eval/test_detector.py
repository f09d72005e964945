"""Checks that a detector survives its file; run with pytest."""
from pathlib import Path

import torch

from tools.eval.detector import Detector, load_detector, save_detector


def test_file_keeps_the_detector_to_eight_bits(tmp_path: Path) -> None:
    torch.manual_seed(3)
    detector = Detector(16, 32, 1).eval()
    save_detector(detector, tmp_path / "detector.safetensors")
    again = load_detector(tmp_path / "detector.safetensors")
    for (name, before), after in zip(detector.state_dict().items(), again.state_dict().values(),
                                     strict=True):
        bound = before.abs().max() / (254 if before.ndim == 4 else 256)
        assert (after - before).abs().max() <= bound + 1e-7, name
    pictures = torch.randn(2, 3, 64, 64)
    for want, got in zip(detector(pictures), again(pictures), strict=True):
        assert (got - want).std() < 0.03 * want.std()
