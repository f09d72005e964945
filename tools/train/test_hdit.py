"""Checks HDiT and neighborhood attention against the parity cases of the official code.

Runs under pytest or as a program. GESSO_PARITY names the folder that holds the cases; the cases in
tests/data are always run.
"""
import json
import os
import sys
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from tools.train.hdit import Denoiser, HDiT
from tools.train.local_attention import IMPLEMENTATIONS, can_tile, neighborhood_attention

ROOT = Path(__file__).parents[2]
FOLDERS = (Path(os.environ.get("GESSO_PARITY", ROOT.parent / "shared" / "parity")),
           ROOT / "tests" / "data")


def read_case(path: Path) -> tuple[dict, dict[str, dict[str, Tensor]]]:
    """Returns a case's config and its tensors in float64, grouped by weights, in, mid, out."""
    groups: dict[str, dict[str, Tensor]] = {"weights": {}, "in": {}, "mid": {}, "out": {}}
    with safe_open(path, "pt") as file:
        for key in file.keys():
            group, name = key.split("/", 1)
            tensor = file.get_tensor(key)
            groups[group][name] = tensor.double() if tensor.is_floating_point() else tensor.long()
        return json.loads(file.metadata()["config"]), groups


def relative_rms(value: Tensor, expected: Tensor) -> float:
    return ((value - expected).square().mean() / expected.square().mean()).sqrt().item()


def hdit_errors(path: Path, dtype: torch.dtype = torch.float32) -> dict[str, float]:
    """Relative RMS error of every recorded output and intermediate of an HDiT case."""
    config, case = read_case(path)
    model = HDiT(config).to(dtype).eval()
    model.load_state_dict(case["weights"])
    inputs = {name: value.to(dtype) if value.is_floating_point() else value
              for name, value in case["in"].items()}
    x, noised, sigma = inputs.pop("x"), inputs.pop("x_noised"), inputs.pop("sigma")
    aug, scale = inputs.pop("aug_cond", None), inputs.pop("cfg_scale", None)
    if "context_mask" in inputs:
        inputs["context_mask"] = inputs["context_mask"].bool()
    found: dict[str, Tensor] = {}
    denoiser = Denoiser(model)
    with torch.no_grad():
        found["f"] = model(x, sigma, aug, **inputs, tap=found.__setitem__)
        found["denoised"] = denoiser(noised, sigma, **inputs)
        if scale is not None:
            no_class = torch.full_like(inputs["class_cond"], config["dataset"]["num_classes"])
            base = denoiser(noised, sigma, class_cond=no_class)
            found["denoised_cfg"] = base + (found["denoised"] - base) * scale
    expected = case["mid"] | case["out"]
    return {name: relative_rms(value.double(), expected[name])
            for name, value in found.items() if name in expected}


def neighborhood_errors(path: Path) -> dict[str, float]:
    config, case = read_case(path)
    q, k, v = (case["in"][name].float() for name in "qkv")
    return {impl: relative_rms(
        neighborhood_attention(q, k, v, config["kernel_size"], config["scale"], impl).double(),
        case["out"]["o"]) for impl in IMPLEMENTATIONS}


def all_errors() -> dict[str, float]:
    """Relative RMS error by "file: tensor" for every case found."""
    errors = {}
    for folder in FOLDERS:
        for pattern, check in (("hdit.*.safetensors", hdit_errors),
                               ("op.neighborhood_attention.*.safetensors", neighborhood_errors)):
            for path in sorted(folder.glob(pattern)):
                errors |= {f"{path.name}: {name}": e for name, e in check(path).items()}
    return errors


def test_tiles_see_what_the_mask_lets_through() -> None:
    q, k, v = torch.randn(3, 2, 2, 32, 24, 16).unbind(0)
    assert can_tile(32, 24, 7) and not can_tile(16, 16, 7) and not can_tile(32, 28, 7)
    wanted, found = (neighborhood_attention(q, k, v, 7, 0.3, impl) for impl in ("masked", "tiled"))
    assert torch.allclose(wanted, found, atol=1e-5)


def test_parity() -> None:
    errors = all_errors()
    assert errors, "no parity case found"
    bad = {name: error for name, error in errors.items() if not error < 1e-4}
    assert not bad, bad


if __name__ == "__main__":
    for name, error in all_errors().items():
        print(f"{error:9.2e}  {name}")
    sys.exit(any(not error < 1e-4 for error in all_errors().values()))
