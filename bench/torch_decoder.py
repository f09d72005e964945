"""The decoder of VAR's VQVAE in PyTorch, in every way that might be its fastest."""
from typing import Any, Callable

import torch
import torch._inductor.config as inductor
from torch import Tensor, nn

from bench.torch_variants import Variant
from tools.train.vqvae import Decoder

Config = dict[str, Any]

# The published tokenizer.
OFFICIAL: Config = {
    "ch": 160, "ch_mult": [1, 1, 2, 2, 4], "num_res_blocks": 2, "z_channels": 32,
    "vocab_size": 4096, "v_patch_nums": [1, 2, 3, 4, 5, 6, 8, 10, 13, 16], "quant_resi": 0.5,
    "share_quant_resi": 4, "using_sa": True, "using_mid_sa": True, "quant_conv_ks": 3,
    "using_znorm": False}


def _call(model: nn.Module, x: Tensor) -> Callable[[], Tensor]:
    def run() -> Tensor:
        with torch.no_grad():
            return model(x)
    return run


def variants(config: Config, weights: dict[str, Tensor], latents: Tensor,
             dtypes: list[str]) -> list[Variant]:
    """Every combination of eager or compiled, memory layout and element type."""
    inductor.freezing = True  # packs the weights for oneDNN: faster than without
    made = []
    for dtype in dtypes:
        for layout in ("channels first", "channels last"):
            order = torch.channels_last if layout == "channels last" else torch.contiguous_format
            for compiled in (False, True):
                model = Decoder(config)
                model.load_state_dict(weights)
                model = model.eval().requires_grad_(False).to(getattr(torch, dtype))
                model = model.to(memory_format=order)
                x = latents.to(getattr(torch, dtype)).contiguous(memory_format=order)
                name = f"{'compiled' if compiled else 'eager'} {dtype} {layout}"
                made.append(Variant(name, dtype, _call(torch.compile(model) if compiled else model,
                                                       x)))
    return made
