"""Hourglass Diffusion Transformer in PyTorch, with an optional text cross-attention.

Crowson et al. 2024, "Scalable High-Resolution Pixel-Space Image Synthesis with Hourglass Diffusion
Transformers". Key names and config JSON are those of k-diffusion's ImageTransformerDenoiserModelV2,
so its checkpoints load here and ours load there as long as the config names no `cross_attns`.
Tensors inside the network are channels last. B batch, H W token rows and columns, N = H*W tokens,
h heads, D channels per head, L text tokens.
"""
import math
from typing import Any, Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tools.train.local_attention import neighborhood_attention, shifted_window_mask

EPS = 1e-6
Tap = Callable[[str, Tensor], None]
Config = dict[str, Any]


def load_config(config: Config) -> Config:
    """Returns `config` with k-diffusion's defaults filled into the model and dataset sections."""
    model = dict(config["model"])
    levels = len(model["widths"])
    defaults = {
        "d_ffs": [3 * width for width in model["widths"]],
        "mapping_width": 256,
        "mapping_depth": 2,
        "mapping_d_ff": 3 * model.get("mapping_width", 256),
        "mapping_cond_dim": 0,
        "mapping_dropout_rate": 0.0,
        "dropout_rate": 0.0,
        "augment_prob": 0.0,
        "sigma_data": 1.0,
        "loss_weighting": "karras",
        "self_attns": [{"type": "neighborhood"}] * (levels - 1) + [{"type": "global"}],
        "cross_attns": [None] * levels,
        "cross_attn_dim": 0,
    }
    model = defaults | {key: value for key, value in model.items() if value is not None}
    if isinstance(model["dropout_rate"], float):
        model["dropout_rate"] = [model["dropout_rate"]] * levels
    return config | {"model": model, "dataset": config.get("dataset", {})}


def rms_norm(x: Tensor, scale: Tensor) -> Tensor:
    """x [..., C] times scale [C] or [B, 1, C] over its root mean square, statistics in float32."""
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    inverse = torch.rsqrt(wide.square().mean(-1, keepdim=True) + EPS)
    return (wide * (scale * inverse)).to(x.dtype)


def geglu(x: Tensor) -> Tensor:
    """x [..., 2*C] -> [..., C]: the first half is the value, the second half the gate."""
    value, gate = x.chunk(2, dim=-1)
    return value * F.gelu(gate)


def cosine_scale(x: Tensor, scale: Tensor) -> Tensor:
    """x [B, N, h, D] with every head's vector brought to length sqrt(scale[head])."""
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    inverse = torch.rsqrt(wide.square().sum(-1, keepdim=True) + EPS)
    return wide * (scale.sqrt()[:, None] * inverse)


def axial_positions(height: int, width: int, like: Tensor) -> Tensor:
    """Centres (y, x) of a token grid's cells [height, width, 2]; the longer side is [-1, 1]."""
    longer = max(height, width)
    y = (2 * torch.arange(height, device=like.device, dtype=like.dtype) + 1 - height) / longer
    x = (2 * torch.arange(width, device=like.device, dtype=like.dtype) + 1 - width) / longer
    return torch.stack(torch.meshgrid(y, x, indexing="ij"), dim=-1)


def rotary_angles(positions: Tensor, freqs: Tensor) -> Tensor:
    """positions [H, W, 2], freqs [h, D/8] -> angles [H*W, h, D/4], those of y first."""
    angles = positions.flatten(0, 1)[:, :, None, None] * freqs
    return angles.movedim(1, 2).flatten(2)


def rotate(x: Tensor, theta: Tensor) -> Tensor:
    """Rotates the first half of x [B, N, h, D] by theta [N, h, D/4]; channel i pairs with i+D/4."""
    quarter = theta.shape[-1]
    first, second, rest = x.split([quarter, quarter, x.shape[-1] - 2 * quarter], dim=-1)
    cos, sin = theta.cos(), theta.sin()
    return torch.cat([first * cos - second * sin, second * cos + first * sin, rest], dim=-1)


def attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """q, k, v [B, h, N, D], logits not scaled, mask bool (true: seen) -> [B, h, N, D]."""
    if q.is_cuda:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=1.0)
    logits = q @ k.mT  # on CPUs two products and a softmax train faster than PyTorch's fused one
    if mask is not None:
        logits = logits.masked_fill(~mask, -math.inf)
    return logits.softmax(-1).to(v.dtype) @ v


def linear(inputs: int, outputs: int, zero: bool = False) -> nn.Linear:
    """A bias-free layer, optionally zero at the start so that its branch is silent."""
    layer = nn.Linear(inputs, outputs, bias=False)
    if zero:
        nn.init.zeros_(layer.weight)
    return layer


class RMSNorm(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return rms_norm(x, self.scale)


class AdaRMSNorm(nn.Module):
    """RMSNorm whose per-channel scale 1 + linear(cond) is the same for every token."""

    def __init__(self, width: int, cond_width: int):
        super().__init__()
        self.linear = linear(cond_width, width, zero=True)

    def forward(self, x: Tensor, cond: Tensor) -> Tensor:
        """x [B, N, C], cond [B, mapping_width]."""
        return rms_norm(x, self.linear(cond)[:, None, :] + 1)


class FourierFeatures(nn.Module):
    """u [B, inputs] -> [cos, sin] of 2 pi u W^T [B, outputs]; W is a buffer of the checkpoint."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.register_buffer("weight", torch.randn(outputs // 2, inputs))

    def forward(self, u: Tensor) -> Tensor:
        angles = 2 * math.pi * (u @ self.weight.T.to(u.dtype))
        return torch.cat([angles.cos(), angles.sin()], dim=-1)


class FeedForward(nn.Module):
    """GEGLU block of the trunk, normalised by the conditioning vector."""

    def __init__(self, width: int, d_ff: int, cond_width: int, dropout: float):
        super().__init__()
        self.norm = AdaRMSNorm(width, cond_width)
        self.up_proj = linear(width, 2 * d_ff)
        self.dropout = nn.Dropout(dropout)
        self.down_proj = linear(d_ff, width, zero=True)

    def forward(self, x: Tensor, cond: Tensor) -> Tensor:
        return x + self.down_proj(self.dropout(geglu(self.up_proj(self.norm(x, cond)))))


class MappingBlock(nn.Module):
    def __init__(self, width: int, d_ff: int, dropout: float):
        super().__init__()
        self.norm = RMSNorm(width)
        self.up_proj = linear(width, 2 * d_ff)
        self.dropout = nn.Dropout(dropout)
        self.down_proj = linear(d_ff, width, zero=True)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.down_proj(self.dropout(geglu(self.up_proj(self.norm(x)))))


class MappingNetwork(nn.Module):
    """Sum of the conditioning embeddings [B, mw] -> conditioning vector [B, mw]."""

    def __init__(self, depth: int, width: int, d_ff: int, dropout: float):
        super().__init__()
        self.in_norm = RMSNorm(width)
        self.blocks = nn.ModuleList(MappingBlock(width, d_ff, dropout) for _ in range(depth))
        self.out_norm = RMSNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.in_norm(x)
        for block in self.blocks:
            x = block(x)
        return self.out_norm(x)


class RotaryFrequencies(nn.Module):
    """Log-spaced frequencies from pi to 10 pi, dealt out to the heads in turn: freqs [h, D/8]."""

    def __init__(self, d_head: int, heads: int):
        super().__init__()
        per_head = d_head // 8
        steps = torch.arange(heads * per_head, dtype=torch.float64) / (heads * per_head)
        freqs = math.pi * 10 ** steps
        self.register_buffer("freqs", freqs.view(per_head, heads).T.contiguous().float())


class SelfAttention(nn.Module):
    """Cosine-similarity self-attention with axial rotary embedding, of the kind `spec` names."""

    def __init__(self, width: int, spec: Config, cond_width: int, dropout: float, index: int):
        super().__init__()
        self.spec, self.index = spec, index
        self.d_head = spec.get("d_head", 64)
        self.heads = width // self.d_head
        self.norm = AdaRMSNorm(width, cond_width)
        self.qkv_proj = linear(width, 3 * width)
        self.scale = nn.Parameter(torch.full([self.heads], 10.0))
        self.pos_emb = RotaryFrequencies(self.d_head, self.heads)
        self.dropout = nn.Dropout(dropout)
        self.out_proj = linear(width, width, zero=True)
        self.neighborhood_impl = "tiled"

    def attend(self, q: Tensor, k: Tensor, v: Tensor, height: int, width: int) -> Tensor:
        """q, k, v [B, h, N, D] over a height x width token grid -> [B, h, N, D]."""
        kind = self.spec["type"]
        if kind == "neighborhood":
            grid = [tensor.unflatten(2, (height, width)) for tensor in (q, k, v)]
            kernel = self.spec.get("kernel_size", 7)
            return neighborhood_attention(*grid, kernel, 1.0, self.neighborhood_impl).flatten(2, 3)
        mask = None
        if kind == "shifted-window":
            window = self.spec["window_size"]
            shift = window // 2 if self.index % 2 else 0
            mask = shifted_window_mask(height, width, window, shift, q.device)
        return attention(q, k, v, mask)

    def forward(self, x: Tensor, positions: Tensor, cond: Tensor) -> Tensor:
        """x [B, N, C], positions [H, W, 2], cond [B, mw]."""
        qkv = self.qkv_proj(self.norm(x, cond)).unflatten(-1, (3, self.heads, self.d_head))
        q, k, v = qkv.unbind(2)
        theta = rotary_angles(positions, self.pos_emb.freqs.to(positions.dtype))
        q = rotate(cosine_scale(q, self.scale), theta).to(v.dtype)
        k = rotate(cosine_scale(k, self.scale), theta).to(v.dtype)
        q, k, v = (tensor.transpose(1, 2) for tensor in (q, k, v))
        out = self.attend(q, k, v, *positions.shape[:2]).transpose(1, 2).flatten(2)
        return x + self.out_proj(self.dropout(out))


class CrossAttention(nn.Module):
    """Cosine-similarity attention of the picture's tokens to the text encoder's states."""

    def __init__(self, width: int, spec: Config, context_width: int, cond_width: int,
                 dropout: float):
        super().__init__()
        self.d_head = spec["d_head"]
        self.heads = width // self.d_head
        self.norm = AdaRMSNorm(width, cond_width)
        self.q_proj = linear(width, width)
        self.kv_proj = linear(context_width, 2 * width)
        self.scale = nn.Parameter(torch.full([self.heads], 10.0))
        self.dropout = nn.Dropout(dropout)
        self.out_proj = linear(width, width, zero=True)

    def forward(self, x: Tensor, cond: Tensor, context: Tensor, context_mask: Tensor) -> Tensor:
        """x [B, N, C], cond [B, mw], context [B, L, context_width], context_mask [B, L] bool."""
        q = self.q_proj(self.norm(x, cond)).unflatten(-1, (self.heads, self.d_head))
        k, v = self.kv_proj(context).unflatten(-1, (2, self.heads, self.d_head)).unbind(2)
        q, k = (cosine_scale(tensor, self.scale).to(v.dtype) for tensor in (q, k))
        q, k, v = (tensor.transpose(1, 2) for tensor in (q, k, v))
        mask = context_mask[:, None, None, :]
        out = attention(q, k, v, mask)
        return x + self.out_proj(self.dropout(out.transpose(1, 2).flatten(2)))


class Layer(nn.Module):
    """self_attn, cross_attn, ff; the first two only where the level's config names them."""

    def __init__(self, model: Config, level: int, index: int):
        super().__init__()
        width, cond_width = model["widths"][level], model["mapping_width"]
        dropout = model["dropout_rate"][level]
        self_spec, cross_spec = model["self_attns"][level], model["cross_attns"][level]
        if self_spec["type"] != "none":
            self.self_attn = SelfAttention(width, self_spec, cond_width, dropout, index)
        if cross_spec:
            self.cross_attn = CrossAttention(width, cross_spec, model["cross_attn_dim"],
                                             cond_width, dropout)
        self.ff = FeedForward(width, model["d_ffs"][level], cond_width, dropout)

    def forward(self, x: Tensor, positions: Tensor, cond: Tensor, context: Tensor | None,
                context_mask: Tensor | None, tap: Tap | None = None) -> Tensor:
        if hasattr(self, "self_attn"):
            x = self.self_attn(x, positions, cond)
            if tap:
                tap("attn_block", x.unflatten(1, positions.shape[:2]))
        if hasattr(self, "cross_attn"):
            x = self.cross_attn(x, cond, context, context_mask)
            if tap:
                tap("cross_attn_block", x.unflatten(1, positions.shape[:2]))
        return self.ff(x, cond)


def fold(x: Tensor, ph: int, pw: int) -> Tensor:
    """[B, H*ph, W*pw, C] -> [B, H, W, ph*pw*C], features ordered (dy, dx, channel)."""
    x = x.unflatten(1, (-1, ph)).unflatten(3, (-1, pw))
    return x.transpose(2, 3).flatten(3)


def unfold(x: Tensor, ph: int, pw: int) -> Tensor:
    """The inverse of fold."""
    x = x.unflatten(3, (ph, pw, -1)).transpose(2, 3)
    return x.flatten(3, 4).flatten(1, 2)


class TokenMerge(nn.Module):
    def __init__(self, inputs: int, outputs: int, patch: tuple[int, int]):
        super().__init__()
        self.patch = patch
        self.proj = linear(inputs * patch[0] * patch[1], outputs)

    def forward(self, x: Tensor) -> Tensor:
        """[B, H*ph, W*pw, inputs] -> [B, H, W, outputs]."""
        return self.proj(fold(x, *self.patch))


class TokenSplit(nn.Module):
    """Upsamples 2x2 and mixes with the skip by a learned factor."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.proj = linear(inputs, 4 * outputs)
        self.fac = nn.Parameter(torch.full([1], 0.5))

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """x [B, H, W, inputs], skip [B, 2H, 2W, outputs] -> like skip."""
        return torch.lerp(skip, unfold(self.proj(x), 2, 2).to(skip.dtype), self.fac.to(skip.dtype))


class TokenSplitLast(nn.Module):
    def __init__(self, inputs: int, outputs: int, patch: tuple[int, int]):
        super().__init__()
        self.patch = patch
        self.proj = linear(inputs, outputs * patch[0] * patch[1], zero=True)

    def forward(self, x: Tensor) -> Tensor:
        return unfold(self.proj(x), *self.patch)


class HDiT(nn.Module):
    """The raw network F(x, sigma, conditioning)."""

    def __init__(self, config: Config):
        super().__init__()
        config = load_config(config)
        model = config["model"]
        widths, depths, mw = model["widths"], model["depths"], model["mapping_width"]
        classes, last = config["dataset"].get("num_classes", 0), len(widths) - 1
        patch = tuple(model["patch_size"])
        self.config = config
        self.patch_in = TokenMerge(model["input_channels"], widths[0], patch)
        self.time_emb = FourierFeatures(1, mw)
        self.time_in_proj = linear(mw, mw)
        self.aug_emb = FourierFeatures(9, mw)
        self.aug_in_proj = linear(mw, mw)
        self.class_emb = nn.Embedding(classes + 1, mw) if classes else None
        cond_dim = model["mapping_cond_dim"]
        self.mapping_cond_in_proj = linear(cond_dim, mw) if cond_dim else None
        self.mapping = MappingNetwork(model["mapping_depth"], mw, model["mapping_d_ff"],
                                      model["mapping_dropout_rate"])

        def level(number: int, start: int = 0) -> nn.ModuleList:
            indices = range(start, start + depths[number])
            return nn.ModuleList(Layer(model, number, index) for index in indices)

        self.down_levels = nn.ModuleList(level(i) for i in range(last))
        self.up_levels = nn.ModuleList(level(i, depths[i]) for i in range(last))
        self.mid_level = level(last)
        steps = list(zip(widths[:-1], widths[1:]))
        self.merges = nn.ModuleList(TokenMerge(fine, coarse, (2, 2)) for fine, coarse in steps)
        self.splits = nn.ModuleList(TokenSplit(coarse, fine) for fine, coarse in steps)
        self.out_norm = RMSNorm(widths[0])
        self.patch_out = TokenSplitLast(widths[0], model["input_channels"], patch)

    def set_neighborhood_impl(self, impl: str) -> None:
        """Chooses among local_attention.IMPLEMENTATIONS; they differ in speed and memory only."""
        for module in self.modules():
            if isinstance(module, SelfAttention):
                module.neighborhood_impl = impl

    def conditioning(self, sigma: Tensor, aug_cond: Tensor | None, class_cond: Tensor | None,
                     mapping_cond: Tensor | None) -> Tensor:
        """sigma [B], aug_cond [B, 9], class_cond [B] int, mapping_cond [B, M] -> [B, mw]."""
        if aug_cond is None:
            aug_cond = sigma.new_zeros(sigma.shape[0], 9)
        cond = self.time_in_proj(self.time_emb(sigma.log()[:, None] / 4))
        cond = cond + self.aug_in_proj(self.aug_emb(aug_cond))
        if self.class_emb is not None:
            cond = cond + self.class_emb(class_cond)
        if self.mapping_cond_in_proj is not None:
            cond = cond + self.mapping_cond_in_proj(mapping_cond)
        return self.mapping(cond)

    def forward(self, x: Tensor, sigma: Tensor, aug_cond: Tensor | None = None,
                class_cond: Tensor | None = None, mapping_cond: Tensor | None = None,
                context: Tensor | None = None, context_mask: Tensor | None = None,
                tap: Tap | None = None) -> Tensor:
        """x [B, C, H, W] already scaled by c_in, sigma [B] raw noise level -> F [B, C, H, W].

        `tap`, if given, is called with the name and value of the intermediates of parity cases.
        """
        note = tap or (lambda name, value: None)
        cond = self.conditioning(sigma, aug_cond, class_cond, mapping_cond)
        note("cond", cond)
        x = self.patch_in(x.movedim(1, -1))
        note("patch_in", x)
        position_type = torch.promote_types(sigma.dtype, torch.float32)
        like = torch.empty(0, device=x.device, dtype=position_type)

        def run(layers: nn.ModuleList, x: Tensor, name: str = "") -> Tensor:
            first_tap = (lambda part, value: tap(f"{name}_{part}", value)) if tap and name else None
            height, width = x.shape[1:3]
            positions = axial_positions(height, width, like)
            tokens = x.flatten(1, 2)
            for index, layer in enumerate(layers):
                tokens = layer(tokens, positions, cond, context, context_mask,
                               first_tap if index == 0 else None)
            return tokens.unflatten(1, (height, width))

        skips = []
        for number, (layers, merge) in enumerate(zip(self.down_levels, self.merges)):
            x = run(layers, x, "first" if number == 0 else "")
            note(f"down_level_{number}", x)
            skips.append(x)
            x = merge(x)
        x = run(self.mid_level, x, "mid_first" if skips else "first")
        note("mid_level", x)
        for layers, split in zip(reversed(self.up_levels), reversed(self.splits)):
            x = run(layers, split(x, skips.pop()))
        return self.patch_out(self.out_norm(x)).movedim(-1, 1)


class Denoiser(nn.Module):
    """Karras preconditioning (Karras et al. 2022, Table 1) and training loss around a network F.

    Pictures are [B, C, H, W], videos [B, C, T, H, W].
    """

    def __init__(self, inner: nn.Module):
        super().__init__()
        self.inner = inner
        self.sigma_data = inner.config["model"]["sigma_data"]

    def scalings(self, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """c_skip, c_out, c_in, each shaped as sigma."""
        total = sigma**2 + self.sigma_data**2
        return self.sigma_data**2 / total, sigma * self.sigma_data / total.sqrt(), total.rsqrt()

    def loss_weight(self, sigma: Tensor) -> Tensor:
        """Weight [B] of the error of F, by the config's loss_weighting."""
        total = sigma**2 + self.sigma_data**2
        weighting = self.inner.config["model"]["loss_weighting"]
        if weighting == "karras":
            return torch.ones_like(sigma)
        if weighting == "soft-min-snr":
            return (sigma * self.sigma_data) ** 2 / total**2
        if weighting == "snr":
            return self.sigma_data**2 / total
        if weighting == "v-prediction":  # of data whose deviation is 0.5, whatever sigma_data is
            return self.sigma_data**2 / 0.25 * (sigma**2 + 0.25) / total
        raise ValueError(f"unknown loss_weighting {weighting!r}")

    def loss(self, clean: Tensor, noise: Tensor, sigma: Tensor, **cond: Tensor) -> Tensor:
        """Weighted mean square error of F [B]; clean and noise [B, C, ...], sigma [B]."""
        levels = sigma.view(-1, *[1] * (clean.ndim - 1))
        c_skip, c_out, c_in = self.scalings(levels)
        noised = clean + noise * levels
        out = self.inner(noised * c_in, sigma, **cond)
        error = out.float() - (clean - c_skip * noised) / c_out
        return self.loss_weight(sigma) * error.square().flatten(1).mean(1)

    def forward(self, x: Tensor, sigma: Tensor, **cond: Tensor) -> Tensor:
        """x [B, C, ...] noised, sigma [B] -> estimate of the clean picture [B, C, ...]."""
        c_skip, c_out, c_in = self.scalings(sigma.view(-1, *[1] * (x.ndim - 1)))
        return c_skip * x + c_out * self.inner(x * c_in, sigma, **cond)
