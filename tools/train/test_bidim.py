"""Checks the bidirectional Mamba against its parity cases, in the folders that test_hdit names."""
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tools.train import selective_scan
from tools.train.bidim import BiDiM
from tools.train.hdit import Denoiser
from tools.train.test_hdit import FOLDERS, read_case, relative_rms

CASES = sorted(path for folder in FOLDERS for path in folder.glob("bidim.*.safetensors"))


def outputs(model: BiDiM, inputs: dict[str, Tensor], tap) -> dict[str, Tensor]:
    if "y" in inputs:
        return {"sample": model.predict(inputs["x"], inputs["timestep"],
                                        model.y_embedder(inputs["y"]), tap=tap)}
    text = {name: inputs[name] for name in ("context", "mapping_cond")}
    text["context_mask"] = inputs["context_mask"].bool()
    return {"f": model(inputs["x"], inputs["sigma"], **text, tap=tap),
            "denoised": Denoiser(model)(inputs["x_noised"], inputs["sigma"], **text)}


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}-{path.name}")
@pytest.mark.parametrize("dtype, limit", [(torch.float32, 1e-5), (torch.float64, 2e-7)])
def test_parity(path: Path, dtype: torch.dtype, limit: float) -> None:
    config, case = read_case(path)
    model = BiDiM(config).to(dtype).eval()
    model.load_state_dict(case["weights"])
    inputs = {name: value.to(dtype) if value.is_floating_point() else value
              for name, value in case["in"].items()}
    found: dict[str, Tensor] = {}
    with torch.no_grad():
        found |= outputs(model, inputs, found.__setitem__)
    expected = case["mid"] | case["out"]
    errors = {name: relative_rms(found[name].double(), value) for name, value in expected.items()}
    assert max(errors.values()) < limit, errors
    assert "block0" in errors and set(case["out"]) <= set(errors)


def test_there_are_cases() -> None:
    assert {"bidim.video.safetensors", "bidim.text.safetensors"} <= {path.name for path in CASES}


@pytest.mark.skipif(selective_scan.kernels is None, reason="Triton is not installed")
@pytest.mark.parametrize("autocast, limit", [(False, 1e-4), (True, 3e-2)])
def test_kernels_train_the_network(autocast: bool, limit: float,
                                   monkeypatch: pytest.MonkeyPatch) -> None:
    """The output and all gradients are those of the plain scan and convolution."""
    torch.manual_seed(1)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = BiDiM({"in_channels": 3, "input_size": [2, 8, 8], "patch_size": [1, 4, 4],
                   "hidden_size": 8, "depth": 2, "d_state": 4, "learn_sigma": False,
                   "scan_orders": ["spatial_first", "temporal_first"], "text": {"dim": 5}})
    for parameter in model.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    model.to(device)
    x, sigma = torch.randn(2, 3, 2, 8, 8, device=device), torch.tensor([0.3, 6.0], device=device)
    text = {"context": torch.randn(2, 3, 5, device=device),
            "context_mask": torch.tensor([[1, 1, 1], [1, 0, 0]], device=device).bool(),
            "mapping_cond": torch.randn(2, 5, device=device)}

    def run(kernels: bool) -> list[Tensor]:
        monkeypatch.setattr(selective_scan, "on_gpu", lambda *_: kernels)
        model.zero_grad()
        with torch.autocast(device, torch.bfloat16, enabled=autocast):
            out = model(x, sigma, **text)
        out.float().square().mean().backward()
        gradients = torch.cat([p.grad.flatten() for p in model.parameters()])
        return [out.detach(), gradients]

    for found, expected in zip(run(kernels=True), run(kernels=False)):
        assert relative_rms(found, expected) < limit
