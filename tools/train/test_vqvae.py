"""Checks the VQVAE against the parity cases of the official code.

Runs under pytest. GESSO_PARITY names the folder that holds the cases.
"""
from pathlib import Path

import pytest
import torch

from tools.train.test_hdit import FOLDERS, read_case, relative_rms
from tools.train.vqvae import VQVAE, VectorQuantizer2, shared_phi

CASES = sorted(FOLDERS[0].glob("vqvae.*.safetensors"))
QUANTISER_CASES = sorted(FOLDERS[0].glob("op.multiscale_vq.*.safetensors"))
SHARED_PHIS = {6: [0, 0, 1, 2, 3, 3], 7: [0, 0, 1, 2, 2, 3, 3], 10: [0, 0, 1, 1, 1, 2, 2, 3, 3, 3]}


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.name)
@torch.no_grad()
def test_vqvae(path: Path) -> None:
    config, case = read_case(path)
    expected = case["mid"] | case["out"]
    model = VQVAE(config).double()
    model.load_state_dict(case["weights"])
    encoded = model.encoder(case["in"]["image"])
    f = model.quant_conv(encoded)
    found = {"encoder_out": encoded, "f": f}
    tokens = model.quantize.tokenize(f, lambda k, m: found.__setitem__(f"f_hat_after_scale{k}", m))
    assert torch.equal(tokens, expected["tokens"])
    found["f_hat"] = model.quantize.partial_maps(tokens)[-1]
    found["image_rec"] = model.decode(found["f_hat"]).clamp(-1, 1)
    given = case["in"]["tokens_dec"]
    maps = model.quantize.partial_maps(given)
    found |= {"f_hat_dec": maps[-1], "f_hat_dec_after_scale1": maps[1],
              "image_dec": model.decode(maps[-1]).clamp(-1, 1),
              "x_BLCv_wo_first_l": model.quantize.next_inputs(given)}
    errors = {name: relative_rms(value, expected[name]) for name, value in found.items()
              if name in expected}
    assert len(errors) == len(expected) - 1 and max(errors.values()) < 1e-5, errors


@pytest.mark.parametrize("path", QUANTISER_CASES, ids=lambda path: path.name)
@torch.no_grad()
def test_quantiser(path: Path) -> None:
    config, case = read_case(path)
    quantizer = VectorQuantizer2(config).double()
    quantizer.load_state_dict(case["weights"])
    straight, _, tokens, _ = quantizer(case["in"]["f"])
    assert torch.equal(tokens, case["out"]["tokens"])
    assert relative_rms(straight, case["out"]["f_hat"]) < 1e-5
    inputs = quantizer.next_inputs(tokens)
    assert relative_rms(inputs, case["out"]["x_BLCv_wo_first_l"]) < 1e-5


def test_cases_found() -> None:
    assert CASES and QUANTISER_CASES, f"no parity case in {FOLDERS[0]}"


@pytest.mark.parametrize("scales", SHARED_PHIS)
def test_shared_phi(scales: int) -> None:
    assert [shared_phi(k, scales, 4) for k in range(scales)] == SHARED_PHIS[scales]
