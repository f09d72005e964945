"""Multi-scale residual VQVAE: the tokenizer of next-scale models, with the official key names.

Tian et al. 2024, "Visual Autoregressive Modeling". Official code: FoundationVision/VAR
models/vqvae.py:VQVAE, models/basic_vae.py, models/quant.py:VectorQuantizer2. Codes of a scale are
laid out row by row and scales follow one another, small to large: L = sum of squares.
"""
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

COMMITMENT = 0.25  # weight of the loss that keeps the encoder near its codes


def group_norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(32, channels, eps=1e-6)


class ResnetBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.norm1, self.conv1 = group_norm(inputs), nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm2, self.conv2 = group_norm(outputs), nn.Conv2d(outputs, outputs, 3, padding=1)
        self.nin_shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        return self.nin_shortcut(x) + self.conv2(F.silu(self.norm2(h)))


class AttnBlock(nn.Module):
    """Attention over the pixels with one head of all channels."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm = group_norm(channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.proj_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm(x)).flatten(2).transpose(1, 2).chunk(3, dim=-1)
        out = F.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None])[:, 0]
        return x + self.proj_out(out.transpose(1, 2).reshape(x.shape))


class Downsample(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Upsample(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2, mode="nearest"))


class Level(nn.Module):
    """Residual blocks of one resolution; with attention after each where asked."""

    def __init__(self, inputs: int, outputs: int, blocks: int, attention: bool):
        super().__init__()
        self.block = nn.ModuleList(ResnetBlock(inputs if i == 0 else outputs, outputs)
                                   for i in range(blocks))
        self.attn = nn.ModuleList(AttnBlock(outputs) for _ in range(blocks if attention else 0))

    def forward(self, x: Tensor) -> Tensor:
        for i, block in enumerate(self.block):
            x = block(x)
            x = self.attn[i](x) if self.attn else x
        return x


class Middle(nn.Module):
    def __init__(self, channels: int, attention: bool):
        super().__init__()
        self.block_1 = ResnetBlock(channels, channels)
        self.attn_1 = AttnBlock(channels) if attention else nn.Identity()
        self.block_2 = ResnetBlock(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.block_2(self.attn_1(self.block_1(x)))


class Encoder(nn.Module):
    """Pictures [B, 3, H, W] in [-1, 1] -> [B, z, H / 2^n, W / 2^n], n = levels - 1."""

    def __init__(self, config: dict[str, Any]):
        super().__init__()
        widths = [config["ch"] * m for m in config["ch_mult"]]
        last = len(widths) - 1
        self.conv_in = nn.Conv2d(3, config["ch"], 3, padding=1)
        self.down = nn.ModuleList()
        for i, (inputs, outputs) in enumerate(zip([config["ch"], *widths], widths)):
            level = Level(inputs, outputs, config["num_res_blocks"],
                          config["using_sa"] and i == last)
            if i < last:
                level.downsample = Downsample(outputs)
            self.down.append(level)
        self.mid = Middle(widths[-1], config["using_mid_sa"])
        self.norm_out = group_norm(widths[-1])
        self.conv_out = nn.Conv2d(widths[-1], config["z_channels"], 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_in(x)
        for i, level in enumerate(self.down):
            x = level(x)
            x = level.downsample(x) if i < len(self.down) - 1 else x
        return self.conv_out(F.silu(self.norm_out(self.mid(x))))


class Decoder(nn.Module):
    """[B, z, h, w] -> pictures [B, 3, h * 2^n, w * 2^n], not clamped."""

    def __init__(self, config: dict[str, Any]):
        super().__init__()
        widths = [config["ch"] * m for m in config["ch_mult"]]
        last = len(widths) - 1
        self.conv_in = nn.Conv2d(config["z_channels"], widths[-1], 3, padding=1)
        self.mid = Middle(widths[-1], config["using_mid_sa"])
        self.up = nn.ModuleList()
        for i, (inputs, outputs) in enumerate(zip([*widths[1:], widths[-1]], widths)):
            level = Level(inputs, outputs, config["num_res_blocks"] + 1,
                          config["using_sa"] and i == last)
            if i > 0:
                level.upsample = Upsample(outputs)
            self.up.append(level)
        self.norm_out = group_norm(widths[0])
        self.conv_out = nn.Conv2d(widths[0], 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.mid(self.conv_in(x))
        for i in reversed(range(len(self.up))):
            x = self.up[i](x)
            x = self.up[i].upsample(x) if i > 0 else x
        return self.conv_out(F.silu(self.norm_out(x)))


class Phi(nn.Conv2d):
    """The convolution after enlarging a code map; `ratio` is its share."""

    def __init__(self, channels: int, ratio: float):
        super().__init__(channels, channels, 3, padding=1)
        self.ratio = ratio

    def forward(self, h: Tensor) -> Tensor:
        return (1 - self.ratio) * h + self.ratio * super().forward(h)


class PhiShared(nn.Module):
    def __init__(self, phi: nn.Module):
        super().__init__()
        self.qresi = phi


class PhiPartiallyShared(nn.Module):
    def __init__(self, phis: nn.ModuleList):
        super().__init__()
        self.qresi_ls = phis


def shared_phi(scale: int, scales: int, count: int) -> int:
    """Which of `count` phis a scale uses: the nearest of evenly spread ticks, found in double."""
    edge = 1 / 3 / count if count == 4 else 1 / 2 / count
    ticks = np.linspace(edge, 1 - edge, count)
    return int(np.argmin(np.abs(ticks - scale / max(scales - 1, 1))))


class VectorQuantizer2(nn.Module):
    """Residual quantiser over scales of growing side, one codebook for all."""

    def __init__(self, config: dict[str, Any]):
        super().__init__()
        self.sides: list[int] = config["v_patch_nums"]
        self.normalized: bool = config["using_znorm"]
        channels, ratio = config["z_channels"], abs(config["quant_resi"])
        self.embedding = nn.Embedding(config["vocab_size"], channels)

        def phi() -> nn.Module:
            return Phi(channels, ratio) if ratio > 1e-6 else nn.Identity()

        self.share: int = config["share_quant_resi"]
        if self.share == 0:
            self.quant_resi = nn.ModuleList(phi() for _ in self.sides)
        elif self.share == 1:
            self.quant_resi = PhiShared(phi())
        else:
            self.quant_resi = PhiPartiallyShared(nn.ModuleList(phi() for _ in range(self.share)))

    def phi(self, scale: int) -> nn.Module:
        if self.share == 1:
            return self.quant_resi.qresi
        count = self.share or len(self.sides)
        phis = self.quant_resi.qresi_ls if self.share else self.quant_resi
        return phis[shared_phi(scale, len(self.sides), count)]

    def contribution(self, tokens: Tensor, scale: int) -> Tensor:
        """tokens [B, n*n] of one scale -> what they add to the map, [B, z, N, N]."""
        side, full = self.sides[scale], self.sides[-1]
        h = self.embedding(tokens).transpose(1, 2).reshape(len(tokens), -1, side, side)
        if scale < len(self.sides) - 1:
            h = F.interpolate(h, size=(full, full), mode="bicubic")
        return self.phi(scale)(h)

    def resized(self, f: Tensor, scale: int) -> Tensor:
        """A map [B, z, N, N] averaged down to a scale and flattened, [B, n*n, z]."""
        side = self.sides[scale]
        if side != f.shape[-1]:
            f = F.interpolate(f, size=(side, side), mode="area")
        return f.flatten(2).transpose(1, 2)

    @torch.no_grad()
    def nearest(self, z: Tensor) -> Tensor:
        """z [..., z] -> the nearest codes' numbers [...]."""
        codes = self.embedding.weight
        if self.normalized:
            return (F.normalize(z, dim=-1) @ F.normalize(codes, dim=-1).T).argmax(-1)
        return (codes.square().sum(1) - 2 * z @ codes.T).argmin(-1)

    def forward(self, f: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The training pass. f [B, z, N, N] -> (the quantised map with f's gradient, loss,
        tokens [B, L], the vectors that were quantised [B, L, z])."""
        target = f.detach()
        rest, f_hat, loss, tokens, vectors = target, torch.zeros_like(f), 0.0, [], []
        for scale in range(len(self.sides)):
            vectors.append(self.resized(rest, scale))
            tokens.append(self.nearest(vectors[-1]))
            h = self.contribution(tokens[-1], scale)
            rest, f_hat = rest - h.detach(), f_hat + h
            loss = loss + COMMITMENT * F.mse_loss(f, f_hat.detach()) + F.mse_loss(f_hat, target)
        straight = f + (f_hat - f).detach()
        return straight, loss / len(self.sides), torch.cat(tokens, 1), torch.cat(vectors, 1)

    def tokenize(self, f: Tensor, tap: Callable[[int, Tensor], Any] = lambda *_: None) -> Tensor:
        """f [B, z, N, N] -> tokens [B, L]; tap(scale, f_hat) sees the partial sums."""
        rest, f_hat, tokens = f, torch.zeros_like(f), []
        for scale in range(len(self.sides)):
            tokens.append(self.nearest(self.resized(rest, scale)))
            h = self.contribution(tokens[-1], scale)
            rest, f_hat = rest - h, f_hat + h
            tap(scale, f_hat)
        return torch.cat(tokens, 1)

    def split(self, tokens: Tensor) -> tuple[Tensor, ...]:
        """tokens [B, L] -> one [B, n*n] a scale."""
        return tokens.split([side * side for side in self.sides], dim=1)

    def partial_maps(self, tokens: Tensor) -> list[Tensor]:
        """tokens [B, L] -> the map [B, z, N, N] after each scale."""
        maps: list[Tensor] = []
        for scale, part in enumerate(self.split(tokens)):
            h = self.contribution(part, scale)
            maps.append(maps[-1] + h if maps else h)
        return maps

    def next_inputs(self, tokens: Tensor) -> Tensor:
        """tokens [B, L] -> what a next-scale model reads under teacher forcing [B, L - n0*n0, z]:
        the map so far, averaged down to the scale that follows."""
        maps = self.partial_maps(tokens)
        return torch.cat([self.resized(f, i + 1) for i, f in enumerate(maps[:-1])], 1)


class VQVAE(nn.Module):
    def __init__(self, config: dict[str, Any]):
        super().__init__()
        self.config = config
        channels, kernel = config["z_channels"], config["quant_conv_ks"]
        self.encoder, self.decoder = Encoder(config), Decoder(config)
        self.quantize = VectorQuantizer2(config)
        self.quant_conv = nn.Conv2d(channels, channels, kernel, padding=kernel // 2)
        self.post_quant_conv = nn.Conv2d(channels, channels, kernel, padding=kernel // 2)

    def side(self) -> int:
        """The side in pixels whose map the scales are made for."""
        return self.quantize.sides[-1] * 2 ** (len(self.config["ch_mult"]) - 1)

    def fitted(self, pictures: Tensor) -> Tensor:
        """Pictures [B, 3, H, W] averaged down to the model's side."""
        return F.avg_pool2d(pictures, pictures.shape[-1] // self.side())

    def encode(self, pictures: Tensor) -> Tensor:
        """pictures [B, 3, H, W] in [-1, 1] -> map [B, z, N, N], not quantised."""
        return self.quant_conv(self.encoder(pictures))

    def decode(self, f_hat: Tensor) -> Tensor:
        """map [B, z, N, N] -> pictures [B, 3, H, W], not clamped."""
        return self.decoder(self.post_quant_conv(f_hat))

    @torch.no_grad()
    def tokens(self, pictures: Tensor) -> Tensor:
        """pictures [B, 3, H, W] in [-1, 1] -> tokens [B, L]."""
        return self.quantize.tokenize(self.encode(pictures).float())

    @torch.no_grad()
    def pictures(self, tokens: Tensor) -> Tensor:
        """tokens [B, L] -> pictures [B, 3, H, W] in [-1, 1]."""
        return self.decode(self.quantize.partial_maps(tokens)[-1]).float().clamp(-1, 1)
