"""DiM in PyTorch, for pictures of the size that its table of positions has.

Official: tyshiwo1/DiM-DiffusionMamba mamba_attn_diff/models/mamba_2d.py:Mamba2DModel, attention.py,
adapter_attn4mamba.py, under the names of its checkpoints. B batch, D width, E inner channels, N
states, H W rows and columns of tokens, p pad tokens.
"""
import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.torch_scan import Scan

Config = dict[str, Any]
EPS = 1e-5
TIME_FEATURES = 256


def official_config(width: int, latent: int, padding: str) -> Config:
    """What of configs/imagenet*_DiM.py changes anything in inference."""
    return {"num_attention_heads": 1, "attention_head_dim": width, "num_layers": 49,
            "in_channels": 4, "out_channels": 4, "patch_size": 2, "sample_size": latent,
            "num_embeds_ada_norm": 1000, "mamba_d_state": 16, "mamba_d_conv": 3, "mamba_expand": 2,
            "pad_token_schedules": ["dec_split", padding], "scan_pattern_len": 3,
            "encoder_start_blk_id": 1}


def sinusoids(t: Tensor, features: int) -> Tensor:
    """t [B] -> [B, features]: cosines, then sines."""
    powers = torch.arange(features // 2, device=t.device) / (features // 2)
    angles = t[:, None] * 10000.0 ** -powers
    return torch.cat([angles.cos(), angles.sin()], 1)


class Mamba(nn.Module):
    """state-spaces/mamba mamba_ssm/modules/mamba_simple.py:Mamba."""

    def __init__(self, width: int, config: Config, scan: Scan):
        super().__init__()
        inner, taps = config["mamba_expand"] * width, config["mamba_d_conv"]
        self.states, self.rank, self.scan = config["mamba_d_state"], math.ceil(width / 16), scan
        self.in_proj = nn.Linear(width, 2 * inner, bias=False)
        self.conv1d = nn.Conv1d(inner, inner, taps, groups=inner, padding=taps - 1)
        self.x_proj = nn.Linear(inner, self.rank + 2 * self.states, bias=False)
        self.dt_proj = nn.Linear(self.rank, inner)
        self.out_proj = nn.Linear(inner, width, bias=False)
        self.A_log = nn.Parameter(torch.arange(1, self.states + 1).log().repeat(inner, 1))
        self.D = nn.Parameter(torch.ones(inner))
        nn.init.uniform_(self.dt_proj.bias, -7, -2)  # steps of 0.001 to 0.1

    def forward(self, x: Tensor) -> Tensor:
        """x [B, L, D] -> [B, L, D]."""
        u, z = self.in_proj(x).chunk(2, -1)
        u = F.silu(self.conv1d(u.mT)[..., :x.shape[1]]).mT
        low, b, c = self.x_proj(u).split([self.rank, self.states, self.states], -1)
        delta = F.linear(low, self.dt_proj.weight)
        parts = (u, delta, -self.A_log.exp(), b, c, self.D, self.dt_proj.bias)
        y = self.scan(*(part[None] for part in parts))[0]
        return self.out_proj(y * F.silu(z))


class Block(nn.Module):
    def __init__(self, width: int, config: Config, has_skip: bool, scan: Scan):
        super().__init__()
        self.scale_shift_table = nn.Parameter(0.1 * torch.randn(3, width))
        self.norm1 = nn.ModuleDict({"norm": nn.RMSNorm(width, EPS)})
        self.attn1 = Mamba(width, config, scan)
        self.split = config.get("skip_split", width > 512)
        if has_skip:
            self.skip_linear = (nn.ModuleList(nn.Linear(width, width) for _ in range(2))
                                if self.split else nn.Linear(2 * width, width))

    def forward(self, x: Tensor, adaln: Tensor, skip: Tensor | None, move: Tensor) -> Tensor:
        """x, skip [B, L, D] in the order of the block before, adaln [B, 3, D], move [L]: where the
        tokens of this block's order are in that one -> [B, L, D] in this block's order."""
        if skip is not None and self.split:
            x = (self.skip_linear[0](x) + self.skip_linear[1](skip)).to(x.dtype)
        elif skip is not None:
            x = self.skip_linear(torch.cat([x, skip], -1)).to(x.dtype)
        x = x[:, move]
        shift, scale, gate = (self.scale_shift_table + adaln)[:, :, None].unbind(1)
        mixed = self.attn1(self.norm1["norm"](x) * (1 + scale) + shift)
        return x + (1 + gate) * mixed


class AdaLN(nn.Module):
    """Time and class to shift, scale and gate, which all blocks share."""

    def __init__(self, width: int, classes: int):
        super().__init__()
        self.emb = nn.ModuleDict({
            "timestep_embedder": nn.ModuleDict({"linear_1": nn.Linear(TIME_FEATURES, width),
                                                "linear_2": nn.Linear(width, width)}),
            "class_embedder": nn.ModuleDict({"embedding_table": nn.Embedding(classes + 1, width)})})
        self.linear = nn.Linear(width, 3 * width)

    def forward(self, timestep: Tensor, y: Tensor) -> Tensor:
        """timestep, y [B] -> [B, 3, D]."""
        time = self.emb["timestep_embedder"]
        hidden = F.silu(time["linear_1"](sinusoids(timestep, TIME_FEATURES)))
        embedded = time["linear_2"](hidden) + self.emb["class_embedder"]["embedding_table"](y)
        return self.linear(F.silu(embedded)).unflatten(1, (3, -1))


class Adapter(nn.Module):
    def __init__(self, width: int, pads: int):
        super().__init__()
        self.pad_token_dec_split = nn.Parameter(0.5 * torch.randn(1, pads, width))
        self.pad_token = nn.Parameter(0.5 * torch.randn(1, width, pads))
        self.first_smoother = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.last_smoother = nn.Conv2d(width, width, 3, padding=1, groups=width)


def padded_grid(side: int, pads: int, lateral: bool) -> Tensor:
    """[(side + pads)^2]: which of the side^2 patches, or behind them of the pads, lies there."""
    total, ids, count = side + pads, [], 0
    for place in range(total * total):
        row, column = divmod(place, total)
        if row < side and column < side:
            ids.append(row * side + column)
            continue
        pad = (column - side if row < side else row - side) if lateral else count % pads
        ids.append(side * side + pad)
        count += 1
    return torch.tensor(ids, device="cpu")


def scan_orders(side: int, prefix: int) -> list[Tensor]:
    """Rows, rows from the end, columns, columns from the end: places [prefix + side^2] in the order
    of rows; the prefix stays in front."""
    rows = torch.arange(side * side, device="cpu")
    columns = rows.view(side, side).mT.flatten()
    front = torch.arange(prefix, device="cpu")
    return [torch.cat([front, order + prefix])
            for order in (rows, rows.flip(0), columns, columns.flip(0))]


class DiM(nn.Module):
    def __init__(self, config: Config, scan: Scan):
        super().__init__()
        width = config["num_attention_heads"] * config["attention_head_dim"]
        classes, self.patch = config["num_embeds_ada_norm"], config["patch_size"]
        self.side = config["sample_size"] // self.patch
        self.layers, self.start = config["num_layers"], config["encoder_start_blk_id"]
        self.skips, self.patterns = (self.layers - self.start) // 2, config["scan_pattern_len"] + 1
        pads = config.get("pad_token_len") or config["mamba_d_conv"]
        self.prefix = 2 + pads
        self.additional_embed = nn.Parameter(0.5 * torch.randn(1, 2 + self.side**2, width))
        self.pos_embed = nn.ModuleDict(
            {"proj": nn.Conv2d(config["in_channels"], width, self.patch, self.patch)})
        self.adaln_single, self.label_emb = AdaLN(width, classes), nn.Embedding(classes + 1, width)
        self.a4m_adapter = Adapter(width, pads)
        self.transformer_blocks = nn.ModuleList(
            Block(width, config, layer >= self.layers - self.skips, scan)
            for layer in range(self.layers))
        self.norm_out = nn.ModuleDict({"norm": nn.RMSNorm(width, EPS)})
        self.proj_out_1 = nn.Linear(width, 2 * width)
        self.proj_out_2 = nn.Linear(width, self.patch**2 * config["out_channels"])
        self.place(pads, "lateral" in config["pad_token_schedules"])

    def place(self, pads: int, lateral: bool) -> None:
        """Lays out the sequences; plain tensors, which checkpoints do not have."""
        total = self.side + pads
        self.grid, orders = padded_grid(self.side, pads, lateral), scan_orders(total, self.prefix)
        places = torch.arange(self.side, device="cpu")
        self.picture = (self.prefix + places[:, None] * total + places).flatten()
        counts = [self.order_of(layer) for layer in range(self.layers)]
        self.moves = [orders[before].argsort()[orders[now]]
                      for before, now in zip([0, *counts], [*counts, 0])]

    def order_of(self, layer: int) -> int:
        if layer < self.start or layer == self.layers - 1:
            return 0
        up = min(layer + 1, self.start + self.skips) - self.start
        return (up - (layer + 1 - self.start - up)) % self.patterns

    def to_device(self, device: str) -> "DiM":
        """The layout of the sequences there; weights are where they were loaded to."""
        self.grid, self.picture = self.grid.to(device), self.picture.to(device)
        self.moves = [move.to(device) for move in self.moves]
        return self

    def smooth(self, convolution: nn.Conv2d, tokens: Tensor) -> Tensor:
        """tokens [B, HW, D] -> like them, in their type."""
        grid = tokens.mT.unflatten(2, (self.side, self.side))
        return convolution(grid).flatten(2).mT.to(tokens.dtype)

    def forward(self, x: Tensor, timestep: Tensor, y: Tensor) -> Tensor:
        """x [B, C, H patch, W patch], timestep [B] in 0..1000, y [B] -> [B, out_channels, ...]."""
        adapter, blocks = self.a4m_adapter, self.transformer_blocks
        time, label = sinusoids(timestep, self.label_emb.weight.shape[1]), self.label_emb(y)
        embed = self.additional_embed
        patches = self.pos_embed["proj"](x).flatten(2).mT.float() + embed[:, 2:]
        patches = self.smooth(adapter.first_smoother, patches)
        grid = torch.cat([patches, adapter.pad_token.mT.expand(len(x), -1, -1)], 1)[:, self.grid]
        front = torch.stack([time, label], 1) + embed[:, :2]
        tokens = torch.cat([front, adapter.pad_token_dec_split.expand(len(x), -1, -1), grid], 1)
        adaln, skips = self.adaln_single(timestep, y).float(), []
        for layer, (block, move) in enumerate(zip(blocks, self.moves)):
            skip = skips.pop() if layer >= self.layers - self.skips else None
            tokens = block(tokens, adaln, skip, move)
            if self.start <= layer < self.start + self.skips:
                skips.append(tokens)
        tokens = self.smooth(adapter.last_smoother, tokens[:, self.moves[-1]][:, self.picture])
        shift, scale = self.proj_out_1(F.silu(time + label))[:, None].chunk(2, -1)
        out = self.proj_out_2(self.norm_out["norm"](tokens) * (1 + scale) + shift)
        out = out.unflatten(1, (self.side, self.side)).unflatten(3, (self.patch, self.patch, -1))
        return out.permute(0, 5, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3)
