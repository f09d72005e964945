"""Checks the bidirectional Mamba against its parity cases, in the folders that test_hdit names."""
from pathlib import Path

import pytest
import torch
from torch import Tensor

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
