"""Optimisers, weight averaging and the noise-level density of HDiT's training recipe."""
import math
from typing import Any

import torch
from torch import Tensor, nn

from tools.train.muon import Muon
from tools.train.parallel import Workers

# Read from small tables or by single channels, so orthogonalised updates make no sense for them.
NOT_MUON = ("embed", "shared", "relative_attention_bias", "patch_in", "patch_out", "time_in_proj",
            "aug_in_proj", "mapping_cond_in_proj", "norm.linear", "class_emb", "ada_lin",
            "ada_gss", "scale_mul", "head.weight", "encoder.conv_in", "decoder.conv_out",
            "adaLN_modulation", "final_layer", "x_proj", "dt_proj", "A_log", "A_b_log")
NO_DECAY = ("scale", "fac", "norm", "shared", "embed", "bias", "time_in_proj", "aug_in_proj",
            "mapping_cond_in_proj", "class_emb", "ada_gss", "pos_", "A_log", "A_b_log", "mixer.D")


def learning_rate_factor(name: str) -> float:
    """The mapping network and the layers that modulate norms learn at a third of the rate."""
    slow = (".mapping.", "norm.linear", "ada_lin", "ada_gss", "adaLN_modulation")
    return 1 / 3 if any(part in f".{name}" for part in slow) else 1.0


def make_optimizers(model: nn.Module, config: dict[str, Any],
                    workers: Workers) -> list[torch.optim.Optimizer]:
    """AdamW, or with "optimizer": "muon" also Muon for the matrices and convolutions of the trunk.

    Every group carries `factor`, its share of the schedule's learning rate.
    """
    muon: dict[float, list[Tensor]] = {}
    adam: dict[tuple[float, float], list[Tensor]] = {}
    trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    for name, parameter in trained:
        factor = learning_rate_factor(name)
        if (config["optimizer"] == "muon" and parameter.ndim in (2, 4)
                and not any(part in name for part in NOT_MUON)):
            muon.setdefault(factor, []).append(parameter)
        else:
            decay = 0.0 if any(part in name for part in NO_DECAY) else config["weight_decay"]
            adam.setdefault((factor, decay), []).append(parameter)
    groups = [{"params": params, "factor": factor, "weight_decay": decay}
              for (factor, decay), params in adam.items()]
    optimizers = [torch.optim.AdamW(groups, lr=config["lr"], betas=(0.9, 0.95), fused=True)]
    if muon:
        groups = [{"params": params, "factor": factor} for factor, params in muon.items()]
        optimizers.append(Muon(groups, workers, config["lr"], config["weight_decay"]))
    return optimizers


def set_learning_rate(optimizers: list[torch.optim.Optimizer], rate: float) -> None:
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate * group["factor"]


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, step: int, power: float) -> None:
    """Moves the exponential moving average towards the model; step 0 copies it."""
    decay = min(0.9999, 1 - (1 + step) ** -power)
    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - decay)


def sample_sigmas(count: int, side: int, model: dict[str, Any], device: torch.device) -> Tensor:
    """Noise levels [count] of the config's "sigma_sample_density", stratified: k-diffusion's
    "cosine-interpolated", for pictures of this side, if it says nothing, or "lognormal"."""
    density = model.get("sigma_sample_density", {"type": "cosine-interpolated"})
    if density["type"] == "lognormal":
        u = (torch.arange(count, device=device) + torch.rand(count, device=device)) / count
        normal = torch.special.ndtri(u.clamp(1e-6, 1 - 1e-6))
        return (density["mean"] + density["std"] * normal).exp()
    if density["type"] != "cosine-interpolated":
        raise ValueError(f"unknown sigma_sample_density {density['type']!r}")
    data, low, high = model["sigma_data"], 1e-3, 1e3
    low, high = min(model["sigma_min"], low), max(model["sigma_max"], high)
    u = (torch.arange(count, device=device) + torch.rand(count, device=device)) / count

    def log_ratio(noise_side: int) -> Tensor:
        k = noise_side / side
        start, end = math.atan(k * high / data), math.atan(k * low / data)
        return (torch.tan(start + u * (end - start)) / k).log()

    return data * ((1 - u) * log_ratio(32) + u * log_ratio(side)).exp()


def nearest_noise(clean: Tensor, candidates: int) -> Tensor:
    """Noise like clean [B, C, ...]: of several draws the one nearest to each picture.

    Immiscible diffusion (Li et al. 2024) in its k-nearest form: pictures and noise are paired so
    that paths cross less.
    """
    noise = torch.randn(candidates, *clean.shape, device=clean.device)
    distance = (noise - clean).square().flatten(2).sum(2)
    return noise[distance.argmin(0), torch.arange(clean.shape[0], device=clean.device)]
