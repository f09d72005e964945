"""The Hourglass Diffusion Transformer in PyTorch, in every way that might be its fastest."""
import importlib
import sys
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

import torch
import torch._inductor.config as inductor
from torch import Tensor, nn

from tools.train.hdit import HDiT

Config = dict[str, Any]

# The official config of oxford-flowers at 256 x 256: 22.36 M parameters.
FLOWERS: Config = {
    "model": {
        "type": "image_transformer_v2", "input_channels": 3, "input_size": [256, 256],
        "patch_size": [4, 4], "depths": [2, 2, 4], "widths": [128, 256, 512],
        "self_attns": [{"type": "neighborhood", "d_head": 64, "kernel_size": 7},
                       {"type": "neighborhood", "d_head": 64, "kernel_size": 7},
                       {"type": "global", "d_head": 64}],
        "loss_config": "karras", "loss_weighting": "soft-min-snr", "dropout_rate": [0.0, 0.0, 0.0],
        "mapping_dropout_rate": 0.0, "augment_prob": 0.12, "sigma_data": 0.5, "sigma_min": 1e-2,
        "sigma_max": 160, "sigma_sample_density": {"type": "cosine-interpolated"}},
    "dataset": {"type": "huggingface"}}


def config_of(side: int) -> Config:
    """FLOWERS for another size: as in the paper, every doubling of the side adds a level of local
    attention outside, so that the tokens of the global level stay 16 x 16."""
    steps = {128: -1, 256: 0, 512: 1, 1024: 2}[side]
    model = dict(FLOWERS["model"], input_size=[side, side])
    for key in ("depths", "widths", "self_attns", "dropout_rate"):
        values = model[key]
        model[key] = values[1:] if steps < 0 else [values[0]] * steps + values
    return FLOWERS | {"model": model}


def randomised(model: nn.Module) -> nn.Module:
    """Replaces what starts at zero, which would silence its branch, by random weights."""
    torch.manual_seed(0)
    for parameter in model.parameters():
        if parameter.ndim == 2 and not parameter.detach().any():
            nn.init.normal_(parameter, std=0.5 * parameter.shape[1] ** -0.5)
    return model.eval()


def official_model(path: Path, config: Config) -> nn.Module:
    """k-diffusion's own network. Its packages' __init__ files, which import much that is not
    needed here, are not run."""
    for name in ("k_diffusion", "k_diffusion.models"):
        package = types.ModuleType(name)
        package.__path__ = [str(path.joinpath(*name.split(".")))]
        sys.modules[name] = package
    config_module = importlib.import_module("k_diffusion.config")
    v2 = importlib.import_module("k_diffusion.models.image_transformer_v2")
    sys.modules["k_diffusion"].models = sys.modules["k_diffusion.models"]
    model = config_module.load_config(config)["model"]
    kinds = {"global": v2.GlobalAttentionSpec, "neighborhood": v2.NeighborhoodAttentionSpec,
             "shifted-window": v2.ShiftedWindowAttentionSpec}
    levels = [v2.LevelSpec(depth, width, d_ff, kinds[attention.pop("type")](**attention), dropout)
              for depth, width, d_ff, attention, dropout in
              zip(model["depths"], model["widths"], model["d_ffs"],
                  [dict(spec) for spec in model["self_attns"]], model["dropout_rate"])]
    mapping = v2.MappingSpec(model["mapping_depth"], model["mapping_width"],
                             model["mapping_d_ff"], model["mapping_dropout_rate"])
    return v2.ImageTransformerDenoiserModelV2(
        levels=levels, mapping=mapping, in_channels=model["input_channels"],
        out_channels=model["input_channels"], patch_size=model["patch_size"])


@dataclass
class Variant:
    name: str
    dtype: str  # "float32" or "bfloat16"
    run: Callable[[], Tensor]


def _call(model: nn.Module, x: Tensor, sigma: Tensor, autocast: bool) -> Callable[[], Tensor]:
    def run() -> Tensor:
        """Returns when the result is there."""
        with torch.no_grad(), torch.autocast(x.device.type, torch.bfloat16, enabled=autocast):
            out = model(x, sigma)
        if x.device.type == "cuda":
            torch.cuda.synchronize()
        return out
    return run


def variants(config: Config, weights: dict[str, Tensor], x: Tensor, sigma: Tensor,
             official: Path | None, neighborhood: list[str], dtypes: list[str],
             device: str = "cpu", mode: str | None = None) -> list[Variant]:
    """Every combination of neighborhood attention, eager or compiled, and arithmetic. Eager
    FlexAttention is left out: it computes all scores, like the mask, and then more. `mode` is
    torch.compile's. float32 is not rounded to TF32, which gesso does not do either."""
    inductor.freezing = device == "cpu"  # packs the weights for oneDNN: faster than without
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    made = []
    sources = [(impl, None) for impl in neighborhood]
    sources += [("official", official)] if official else []
    arithmetic = [("float32", False, torch.float32)]
    if "bfloat16" in dtypes:
        arithmetic += [("autocast", True, torch.float32), ("bfloat16", False, torch.bfloat16)]
    for impl, path in sources:
        for kind, autocast, dtype in arithmetic:
            for compiled in (False, True):
                if impl == "flex" and not compiled:
                    continue
                model = official_model(path, config) if path else HDiT(config)
                model.load_state_dict(weights)
                if not path:
                    model.set_neighborhood_impl(impl)
                model = model.eval().requires_grad_(False).to(device, dtype)
                if compiled:
                    model = torch.compile(model, mode=mode)
                name = f"{impl} {'compiled' if compiled else 'eager'} {kind}"
                run = _call(model, x.to(device, dtype), sigma.to(device, dtype), autocast)
                made.append(Variant(name, "float32" if kind == "float32" else "bfloat16", run))
    return made
