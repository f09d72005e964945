"""Writes the parity case of the text-conditioned bidirectional Mamba, which no other code covers.

    python -m tools.train.write_bidim_case
"""
import json
from pathlib import Path

import torch
from torch import Tensor, nn

from tools.train.bidim import BiDiM
from tools.train.write_parity_case import run_in_double, store

PATH = Path(__file__).parents[2] / "tests" / "data" / "bidim.text.safetensors"
CONFIG = {
    "in_channels": 3, "input_size": [4, 16, 16], "patch_size": [1, 4, 4], "hidden_size": 24,
    "depth": 3, "d_state": 8, "d_conv": 4, "expand": 2, "dt_rank": "auto",
    "scan_orders": ["spatial_first", "temporal_first"], "learn_sigma": False, "text": {"dim": 20},
    "sigma_data": 0.5, "sigma_min": 0.01, "sigma_max": 80, "loss_weighting": "soft-min-snr",
}
DOC = (
    "Text extension of the bidirectional Diffusion Mamba (cases bidim.image and bidim.video). With "
    "text {dim} there is no class table: the y_embedder row of step 3 is text_proj(mapping_cond), "
    "and step 2 ends by putting the text in front: token j = (context_proj(context[j])) * "
    "context_mask[j], no position added, so the sequence is [P text tokens, picture tokens]. Text "
    "tokens pass through every block (LayerNorm, modulation and mixer) as the others do and keep "
    "their places in both scan orders: temporal_first re-orders the picture tokens behind them. "
    "They are dropped before the final layer. in/context [B,P,dim], in/context_mask [B,P], "
    "in/mapping_cond [B,dim], in/x [B,C,T,H,W], in/sigma [B]. out/f = F(x, sigma) with x already "
    "scaled by c_in and the network's timestep t = 250 ln(sigma). out/denoised = c_skip x_noised + "
    "c_out F(c_in x_noised, sigma), c_skip = sd^2/(sigma^2+sd^2), c_out = sigma sd/sqrt(sigma^2+"
    "sd^2), c_in = 1/sqrt(sigma^2+sd^2), sd = sigma_data. mid/tokens: after step 2, [B,P+N,D]; "
    "mid/c [B,D]; mid/block0 and mid/block1 [B,P+N,D]: canonical order behind the text.")


def randomize(model: nn.Module, generator: torch.Generator) -> None:
    """Gives every weight that starts equal or silent a random value."""
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if name.endswith(("A_log", "A_b_log", ".D", ".D_b")):
            parameter.data = parameter.data * (1 + 0.2 * noise)
        elif "adaLN_modulation" in name or name.startswith("final_layer"):
            parameter.data = 0.8 * noise / parameter.shape[-1] ** (0.5 * (parameter.ndim > 1))


def make_inputs(generator: torch.Generator) -> dict[str, Tensor]:
    shape = (2, CONFIG["in_channels"], *CONFIG["input_size"])
    tokens, dim = 6, CONFIG["text"]["dim"]

    def normal(*sizes: int) -> Tensor:
        return torch.randn(sizes, generator=generator)

    mask = torch.tensor([[1] * tokens, [1, 1, 0, 0, 0, 0]], dtype=torch.int32)
    sigma = torch.tensor([0.3, 6.0])
    noised = 0.5 * normal(*shape) + normal(*shape) * sigma.view(-1, 1, 1, 1, 1)
    return {"x": normal(*shape), "x_noised": noised, "sigma": sigma,
            "context": normal(2, tokens, dim), "context_mask": mask, "mapping_cond": normal(2, dim)}


def main() -> None:
    torch.manual_seed(7)
    generator = torch.Generator().manual_seed(8)
    model = BiDiM(CONFIG)
    randomize(model, generator)
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    inputs = make_inputs(generator)
    found, out = run_in_double(model, inputs)
    kept = {name: found[name] for name in ("tokens", "c", "block0", "block1")}
    store(PATH, {"weights": weights, "in": inputs, "mid": kept, "out": out}, {
        "system": "bidim", "config": json.dumps(CONFIG), "tolerance": "0.0001",
        "source": "gesso tools/train/bidim.py:BiDiM", "doc": DOC})


if __name__ == "__main__":
    main()
