"""Writes the parity case of the text-conditioned HDiT variant, which no official code covers.

    python -m tools.train.write_parity_case
"""
import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from tools.train.hdit import Denoiser, HDiT, load_config

PATH = Path(__file__).parents[2] / "tests" / "data" / "hdit.text_cross_attention.safetensors"
CONFIG = {
    "model": {
        "type": "image_transformer_v2", "input_channels": 3, "input_size": [32, 40],
        "patch_size": [4, 4], "widths": [24, 40], "depths": [1, 2],
        "self_attns": [{"type": "neighborhood", "d_head": 8, "kernel_size": 7},
                       {"type": "global", "d_head": 8}],
        "cross_attns": [None, {"type": "text", "d_head": 20}],
        "cross_attn_dim": 20, "mapping_cond_dim": 20, "mapping_width": 32, "mapping_depth": 1,
        "loss_config": "karras", "loss_weighting": "soft-min-snr", "dropout_rate": 0.0,
        "augment_prob": 0.0, "sigma_data": 0.5, "sigma_min": 0.01, "sigma_max": 80,
    },
    "dataset": {"type": "scenes", "cond_dropout_rate": 0.1},
}
DOC = (
    "Text extension of HDiT. The official network plus model.cross_attns (one entry a level, null "
    "or {type: text, d_head}) and model.cross_attn_dim = D. In a level with an entry every layer "
    "is self_attn, cross_attn, ff. cross_attn: x + out_proj(softmax(q k^T) v), q = q_proj(AdaRMSNorm"
    "(x)), [k, v] = kv_proj(context) split as (2, heads, d_head); q and k of each head times "
    "sqrt(scale[head]) * rsqrt(sum of squares + 1e-6), no rotary embedding, softmax scale 1; keys "
    "whose context_mask is 0 are left out. context [B,L,D] is used as it is; mapping_cond [B,D] is "
    "the official mapping-condition input. f [B,C,H,W] = F(x, sigma) with x already scaled by "
    "c_in; denoised = Karras-preconditioned D(x_noised, sigma); both with the same text, no aug_cond. "
    "mid/down_level_0 and mid/mid_level [B,h,w,width]; mid/first_attn_block: first layer of level "
    "0 after self_attn; mid/mid_first_attn_block and mid/mid_first_cross_attn_block: first layer "
    "of the middle level after self_attn and after cross_attn.")


def randomize(model: nn.Module, generator: torch.Generator) -> None:
    """Gives every weight a random value, so that no branch is silent."""
    for parameter in model.parameters():
        noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        if parameter.ndim == 1:
            parameter.data = parameter.data * (1 + 0.2 * noise)
        else:
            parameter.data = noise * 0.7 / parameter.shape[1] ** 0.5


def make_inputs(generator: torch.Generator) -> dict[str, Tensor]:
    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64).float()

    mask = torch.tensor([[1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0, 0]], dtype=torch.int32)
    sigma = torch.tensor([0.3, 6.0])
    inputs = {"x": normal(2, 3, 32, 40), "sigma": sigma, "context": normal(2, 7, 20),
              "context_mask": mask, "mapping_cond": normal(2, 20)}
    clean, noise = 0.5 * normal(2, 3, 32, 40), normal(2, 3, 32, 40)
    return inputs | {"x_noised": clean + noise * sigma[:, None, None, None]}


def store(path: Path, groups: dict[str, dict[str, Tensor]], metadata: dict[str, str]) -> None:
    """Writes a case: tensors "group/name", numbers in float32."""
    tensors = {f"{group}/{name}": value.float() if value.is_floating_point() else value
               for group, values in groups.items() for name, value in values.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in tensors.items()}, path,
              metadata=metadata)


def run_in_double(model: nn.Module, inputs: dict[str, Tensor]
                  ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Runs a network conditioned by text, which it makes float64, alone and in its Denoiser on
    x, x_noised, sigma, context, context_mask and mapping_cond -> (what taps saw, f and denoised)."""
    model.double().eval()
    x, sigma, noised = (inputs[name].double() for name in ("x", "sigma", "x_noised"))
    text = {"context": inputs["context"].double(), "mapping_cond": inputs["mapping_cond"].double(),
            "context_mask": inputs["context_mask"].bool()}
    found: dict[str, Tensor] = {}
    with torch.no_grad():
        out = {"f": model(x, sigma, **text, tap=found.__setitem__),
               "denoised": Denoiser(model)(noised, sigma, **text)}
    return found, out


def main() -> None:
    torch.manual_seed(7)
    generator = torch.Generator().manual_seed(8)
    model = HDiT(CONFIG)
    randomize(model, generator)
    model.float()
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    inputs = make_inputs(generator)
    found, out = run_in_double(model, inputs)
    store(PATH, {"weights": weights, "in": inputs, "mid": found, "out": out}, {
        "system": "hdit", "config": json.dumps(load_config(CONFIG)), "tolerance": "0.0001",
        "source": "gesso tools/train/hdit.py:HDiT", "doc": DOC})


if __name__ == "__main__":
    main()
