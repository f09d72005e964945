"""Checks VAR and its sampling against the parity cases of the official code.

Runs under pytest. GESSO_PARITY names the folder that holds the cases.
"""
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tools.train.test_hdit import FOLDERS, read_case, relative_rms
from tools.train.var import VAR, Condition, kept_blocks
from tools.train.var_sampling import sample_tokens
from tools.train.vqvae import VQVAE, VectorQuantizer2

CASES = [path for path in sorted(FOLDERS[0].glob("var.*.safetensors"))
         if "more_smooth" not in path.name]  # a way to look at maps, not to make pictures
CONFIG = {"depth": 4, "embed_dim": 32, "num_heads": 2, "mlp_ratio": 2.0, "norm_eps": 1e-6,
          "attn_l2_norm": True, "shared_aln": True, "patch_nums": [1, 2, 3], "text": {"dim": 12}}


def part(weights: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in weights.items()
            if key.startswith(prefix)}


def make_model(config: dict, weights: dict[str, Tensor]) -> tuple[VAR, VQVAE]:
    vae = config["vae"]
    model = VAR(config["var"], vae["vocab_size"], vae["z_channels"]).double()
    model.load_state_dict(part(weights, "var."))
    vqvae = VQVAE(vae).double()
    vqvae.quantize.load_state_dict(part(weights, "vae.quantize."))
    vqvae.load_state_dict(part(weights, "vae."), strict=False)  # most cases have no decoder
    return model, vqvae


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.name)
@torch.no_grad()
def test_forward(path: Path) -> None:
    config, case = read_case(path)
    if "x_BLCv_wo_first_l" not in case["in"]:
        pytest.skip("a sampling case")
    model, vqvae = make_model(config, case["weights"])
    found: dict[str, Tensor] = {}
    block = model.blocks[0]
    block.register_forward_pre_hook(lambda _, args: found.update(fwd_embedded=args[0]))
    for name, module in (("attn", block.attn), ("ffn", block.ffn), ("out", block)):
        module.register_forward_hook(
            lambda *args, name=name: found.__setitem__(f"fwd_block0_{name}", args[2]))
    inputs = vqvae.quantize.next_inputs(case["in"]["gt_tokens"])
    found["x_BLCv_wo_first_l"] = inputs
    found["logits"] = model(inputs, model.class_condition(case["in"]["label_B"]))
    expected = case["in"] | case["mid"] | case["out"]
    errors = {name: relative_rms(value, expected[name]) for name, value in found.items()}
    assert len(errors) == 6 and max(errors.values()) < 1e-5, errors


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.name)
@torch.no_grad()
def test_sampling(path: Path) -> None:
    config, case = read_case(path)
    sampling, expected = config["sampling"], case["mid"] | case["out"]
    model, vqvae = make_model(config, case["weights"])
    labels = case["in"]["label_sample"]
    free = torch.full_like(labels, config["var"]["num_classes"])
    uniforms = case["in"].get("uniforms", torch.zeros(len(labels), model.ends[-1]))
    for cfg in sampling["cfg"]:
        tokens, f_hat, guided = sample_tokens(
            model, vqvae.quantize, model.class_condition(torch.cat([labels, free])), uniforms, cfg,
            sampling["top_k"], sampling["top_p"])
        suffix = f"_cfg{cfg:g}" if len(sampling["cfg"]) > 1 else ""
        assert torch.equal(tokens, expected["tokens" + suffix])
        assert relative_rms(f_hat, expected["f_hat" + suffix]) < 1e-5
        assert relative_rms(guided, expected["guided_logits" + suffix]) < 1e-5
        if "image" + suffix in expected:
            picture = (vqvae.decode(f_hat).clamp(-1, 1) + 1) / 2
            assert relative_rms(picture, expected["image" + suffix]) < 1e-5


def test_cases_found() -> None:
    assert CASES, f"no parity case in {FOLDERS[0]}"


def make_text_model() -> tuple[VAR, Condition]:
    """A small random text-conditioned model and a condition of two rows."""
    torch.manual_seed(1)
    model = VAR(CONFIG, 24, 8).double()
    model.head.weight.data.mul_(50)
    mask = torch.tensor([[1, 1, 1, 1, 0], [1, 0, 0, 0, 0]]).bool()
    condition = model.text_condition({"mapping_cond": torch.randn(2, 12).double(),
                                      "context": torch.randn(2, 5, 12).double(),
                                      "context_mask": mask})
    return model, condition


@torch.no_grad()
def test_text_padding_is_not_seen() -> None:
    model, condition = make_text_model()
    inputs = torch.randn(2, model.ends[-1] - 1, 8).double()
    states = torch.where(condition.mask[..., None], condition.states, 7.0)
    padded = model(inputs, condition._replace(states=states))
    assert torch.equal(padded, model(inputs, condition))
    assert not torch.allclose(padded, model(inputs, condition._replace(states=states.flip(2))))


@pytest.mark.parametrize("late", (1, 2))
@torch.no_grad()
def test_sub_network_agrees_with_teacher_forcing(late: int) -> None:
    """Sampling with a KV cache and few blocks gives the logits of the masked training pass."""
    model, condition = make_text_model()
    quantizer = VectorQuantizer2({
        "v_patch_nums": CONFIG["patch_nums"], "using_znorm": False, "z_channels": 8,
        "quant_resi": 0.5, "vocab_size": 24, "share_quant_resi": 4}).double()
    uniforms = torch.rand(1, model.ends[-1])
    tokens, _, guided = sample_tokens(model, quantizer, condition, uniforms, 0.0, late=late, kept=2)
    passed = frozenset(range(4)) - frozenset(kept_blocks(4, 2))
    given = Condition(*(value[:1] for value in condition))
    logits = model(quantizer.next_inputs(tokens), given, passed, late)
    assert torch.allclose(logits, guided)
    assert not torch.allclose(logits, model(quantizer.next_inputs(tokens), given))


def test_kept_blocks() -> None:
    assert kept_blocks(8, 4) == [0, 2, 5, 7]
    assert kept_blocks(6, 3) == [0, 3, 5]  # 2.5 becomes 3
    assert kept_blocks(8, 8) == list(range(8))
