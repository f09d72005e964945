"""Bidirectional Diffusion Mamba in PyTorch, for pictures and videos, with optional text.

Mo & Tian 2024, "Scaling Diffusion Mamba with Bidirectional SSMs for Efficient Image and Video
Generation" (no code is published): a DiT whose blocks are a state-space mixer that reads the tokens
in both directions. Mixer as in hustvl/Vim mamba_ssm/modules/mamba_simple.py:Mamba (bimamba_type
v2). The text extension is this project's: the pooled text state in place of the class embedding,
and the text's states as tokens before those of the picture.
B batch, C channels, T H W frames, rows and columns of pixels, t h w the same of tokens,
N = t*h*w tokens, P text tokens, D hidden size, E inner channels.
"""
import math
from functools import lru_cache
from typing import Any, Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tools.train import selective_scan

EPS = 1e-6
TIME_FEATURES = 256
Tap = Callable[[str, Tensor], None]
Config = dict[str, Any]


def sinusoid_frequencies(count: int, device: torch.device) -> Tensor:
    """10000^(-k/count) for k < count, float64."""
    return 10000.0 ** (-torch.arange(count, dtype=torch.float64, device=device) / count)


@lru_cache(maxsize=8)
def positions(frames: int, height: int, width: int, features: int, device: torch.device,
              dtype: torch.dtype) -> Tensor:
    """Fixed position embeddings [t*h*w, features]: columns in the first half, rows in the second,
    and the frame over all features where there is more than one."""
    def sinusoids(count: int, features: int) -> Tensor:
        place = torch.arange(count, dtype=torch.float64, device=device)
        angles = place[:, None] * sinusoid_frequencies(features // 2, device)
        return torch.cat([angles.sin(), angles.cos()], 1)

    columns = sinusoids(width, features // 2).expand(frames, height, width, -1)
    rows = sinusoids(height, features // 2)[:, None].expand(frames, height, width, -1)
    table = torch.cat([columns, rows], -1)
    if frames > 1:
        table = table + sinusoids(frames, features)[:, None, None]
    return table.flatten(0, 2).to(dtype)


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """LayerNorm of x [B, L, D] without weights, then times 1 + scale [B, D] plus shift [B, D]."""
    normed = F.layer_norm(x, x.shape[-1:], eps=EPS)
    return torch.addcmul(shift[:, None], normed, 1 + scale[:, None])


class Mixer(nn.Module):
    """Two selective scans, forward and backward, that share the projections in and out."""

    def __init__(self, width: int, config: Config):
        super().__init__()
        inner = config.get("expand", 2) * width
        self.states = config.get("d_state", 16)
        rank = config.get("dt_rank", "auto")
        self.rank = math.ceil(width / 16) if rank == "auto" else rank
        taps = config.get("d_conv", 4)
        self.in_proj = nn.Linear(width, 2 * inner, bias=False)
        self.out_proj = nn.Linear(inner, width, bias=False)
        for end in ("", "_b"):
            setattr(self, f"conv1d{end}", nn.Conv1d(inner, inner, taps, groups=inner))
            setattr(self, f"x_proj{end}", nn.Linear(inner, self.rank + 2 * self.states, bias=False))
            setattr(self, f"dt_proj{end}", nn.Linear(self.rank, inner))
            setattr(self, f"D{end}", nn.Parameter(torch.ones(inner)))
            self.start_steps(getattr(self, f"dt_proj{end}"))
        rates = torch.arange(1, self.states + 1).log().repeat(inner, 1)
        self.A_log, self.A_b_log = nn.Parameter(rates), nn.Parameter(rates.clone())

    def start_steps(self, projection: nn.Linear) -> None:
        """Step sizes from 0.001 to 0.1 at the start, as in the official block."""
        nn.init.uniform_(projection.weight, -self.rank**-0.5, self.rank**-0.5)
        low, high = math.log(0.001), math.log(0.1)
        steps = (low + torch.rand(projection.bias.shape) * (high - low)).exp()
        with torch.no_grad():
            projection.bias.copy_(steps + (-torch.expm1(-steps)).log())

    def both(self, name: str) -> Tensor:
        """The parameter of both directions, e.g. "conv1d.bias" with "conv1d_b.bias" [2, E]."""
        module, _, leaf = name.partition(".")
        pair = (getattr(self, module), getattr(self, f"{module}_b"))
        return torch.stack([getattr(part, leaf) if leaf else part for part in pair])

    def forward(self, x: Tensor) -> Tensor:
        """x [B, L, D] -> [B, L, D]."""
        x, z = self.in_proj(x).chunk(2, -1)
        u = selective_scan.conv(x, self.both("conv1d.weight")[:, :, 0], self.both("conv1d.bias"))
        shape = u.shape
        rows = torch.bmm(u.flatten(1, 2), self.both("x_proj.weight").mT)
        low, b, c = rows.split([self.rank, self.states, self.states], -1)
        delta = torch.bmm(low, self.both("dt_proj.weight").mT).view(shape)
        b, c = (value.unflatten(1, shape[1:3]) for value in (b, c))
        a = -torch.stack([self.A_log, self.A_b_log]).exp()
        y = selective_scan.scan(u, delta, a, b, c, self.both("D"), self.both("dt_proj.bias"))
        return self.out_proj(y.sum(0) * F.silu(z))


class Block(nn.Module):
    def __init__(self, width: int, config: Config, order: str):
        super().__init__()
        self.temporal_first = order == "temporal_first"
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 3 * width))
        self.mixer = Mixer(width, config)

    def forward(self, x: Tensor, c: Tensor, frames: int, prefix: int) -> Tensor:
        """x [B, P + N, D] of which the first `prefix` are text, c [B, D] -> like x."""
        shift, scale, gate = self.adaLN_modulation(c).chunk(3, -1)
        normed = modulate(x, shift, scale)
        if not self.temporal_first or frames == 1:
            mixed = self.mixer(normed)
        else:
            text, tokens = normed[:, :prefix], normed[:, prefix:].unflatten(1, (frames, -1))
            mixed = self.mixer(torch.cat([text, tokens.transpose(1, 2).flatten(1, 2)], 1))
            tokens = mixed[:, prefix:].unflatten(1, (-1, frames)).transpose(1, 2).flatten(1, 2)
            mixed = torch.cat([mixed[:, :prefix], tokens], 1)
        return torch.addcmul(x, gate[:, None], mixed)


class PatchEmbedding(nn.Module):
    def __init__(self, channels: int, width: int, patch: tuple[int, int, int]):
        super().__init__()
        self.patch = patch
        self.proj = nn.Conv3d(channels, width, patch, patch)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, T, H, W] -> [B, t, h, w, D]; the convolution as a product of its patches."""
        for axis, side in zip((2, 4, 6), self.patch):
            x = x.unflatten(axis, (-1, side))
        return F.linear(x.permute(0, 2, 4, 6, 1, 3, 5, 7).flatten(4), self.proj.weight.flatten(1),
                        self.proj.bias)


class TimeEmbedding(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(TIME_FEATURES, width), nn.SiLU(),
                                 nn.Linear(width, width))

    def forward(self, t: Tensor) -> Tensor:
        """t [B] -> [B, D]."""
        angles = t[:, None] * sinusoid_frequencies(TIME_FEATURES // 2, t.device).to(t.dtype)
        return self.mlp(torch.cat([angles.cos(), angles.sin()], 1))


class ClassEmbedding(nn.Module):
    def __init__(self, classes: int, width: int):
        super().__init__()
        self.embedding_table = nn.Embedding(classes + 1, width)

    def forward(self, y: Tensor) -> Tensor:
        return self.embedding_table(y)


class FinalLayer(nn.Module):
    def __init__(self, width: int, outputs: int):
        super().__init__()
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width))
        self.linear = nn.Linear(width, outputs)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        return self.linear(modulate(x, *self.adaLN_modulation(c).chunk(2, -1)))


class BiDiM(nn.Module):
    """The raw network: of classes, or with "text" in the config of text.

    config: in_channels, input_size and patch_size [frames, height, width], hidden_size, depth,
    scan_orders (block i takes number i mod their count), learn_sigma, num_classes or
    text {dim}, and the mixer's d_state, d_conv, expand, dt_rank. sigma_data, sigma_min and
    sigma_max are for Denoiser and the samplers.
    """

    def __init__(self, config: Config):
        super().__init__()
        self.config = {"model": config}  # sections as Denoiser expects them
        width, channels = config["hidden_size"], config["in_channels"]
        self.patch = tuple(config["patch_size"])
        outputs = channels * (2 if config.get("learn_sigma", True) else 1)
        self.x_embedder = PatchEmbedding(channels, width, self.patch)
        self.t_embedder = TimeEmbedding(width)
        if "text" in config:
            self.text_proj = nn.Linear(config["text"]["dim"], width)
            self.context_proj = nn.Linear(config["text"]["dim"], width)
        else:
            self.y_embedder = ClassEmbedding(config["num_classes"], width)
        orders = config["scan_orders"]
        self.blocks = nn.ModuleList(Block(width, config, orders[i % len(orders)])
                                    for i in range(config["depth"]))
        self.final_layer = FinalLayer(width, math.prod(self.patch) * outputs)
        self.initialize()

    def initialize(self) -> None:
        """As DiT: time features small, every branch and the output silent."""
        for layer in (self.t_embedder.mlp[0], self.t_embedder.mlp[2]):
            nn.init.normal_(layer.weight, std=0.02)
        silent = [part.adaLN_modulation[1] for part in (*self.blocks, self.final_layer)]
        for layer in (*silent, self.final_layer.linear):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def unpatchify(self, x: Tensor) -> Tensor:
        """x [B, t, h, w, pt*ph*pw*C] -> [B, C, T, H, W]."""
        x = x.unflatten(4, (*self.patch, -1)).permute(0, 7, 1, 4, 2, 5, 3, 6)
        return x.flatten(6, 7).flatten(4, 5).flatten(2, 3)

    def predict(self, x: Tensor, t: Tensor, condition: Tensor, text: Tensor | None = None,
                tap: Tap = lambda name, value: None) -> Tensor:
        """x [B, C, T, H, W], t [B], condition [B, D] of class or text, text [B, P, D] tokens
        -> [B, C_out, T, H, W]. `tap` is shown "tokens", "c" and "block<i>"."""
        grid = self.x_embedder(x)
        frames = grid.shape[1]
        tokens = grid.flatten(1, 3)
        tokens = tokens + positions(*grid.shape[1:], x.device, x.dtype)
        if text is not None:
            tokens = torch.cat([text.to(tokens.dtype), tokens], 1)
        prefix = 0 if text is None else text.shape[1]
        tap("tokens", tokens)
        c = self.t_embedder(t) + condition
        tap("c", c)
        for index, block in enumerate(self.blocks):
            tokens = block(tokens, c, frames, prefix)
            tap(f"block{index}", tokens)
        out = self.final_layer(tokens[:, prefix:], c)
        return self.unpatchify(out.view(*grid.shape[:4], -1))

    def forward(self, x: Tensor, sigma: Tensor, context: Tensor, context_mask: Tensor,
                mapping_cond: Tensor, tap: Tap = lambda name, value: None) -> Tensor:
        """F(x, sigma) of a text model; the text [B, P, text dim] as TextEncoder gives it. Padding
        is no token of its own: its rows are zero."""
        text = self.context_proj(context) * context_mask[:, :, None].to(context.dtype)
        return self.predict(x, 250 * sigma.log(), self.text_proj(mapping_cond), text, tap)
