"""The decoder of VAR's VQVAE in PyTorch, in every way that might be its fastest."""
from typing import Any, Callable

import torch
import torch._inductor.config as inductor
import torch.nn.functional as F
from torch import Tensor, nn

from bench.torch_variants import Variant

Config = dict[str, Any]

# The published tokenizer; only what the decoder is made of.
OFFICIAL: Config = {"ch": 160, "ch_mult": [1, 1, 2, 2, 4], "num_res_blocks": 2, "z_channels": 32,
                    "vocab_size": 4096}


def norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(32, channels, eps=1e-6)


class ResnetBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.norm1, self.conv1 = norm(inputs), nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm2, self.conv2 = norm(outputs), nn.Conv2d(outputs, outputs, 3, padding=1)
        if inputs != outputs:
            self.nin_shortcut = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        h = self.conv2(F.silu(self.norm2(h)))
        return (self.nin_shortcut(x) if hasattr(self, "nin_shortcut") else x) + h


class AttnBlock(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.norm = norm(channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.proj_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        heads = self.qkv(self.norm(x)).flatten(2).transpose(1, 2).unsqueeze(1)
        h = F.scaled_dot_product_attention(*heads.chunk(3, dim=-1))
        return x + self.proj_out(h.squeeze(1).transpose(1, 2).reshape(x.shape))


class Upsample(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class Level(nn.Module):
    def __init__(self, blocks: list[nn.Module], attentions: list[nn.Module], upsample: bool,
                 channels: int):
        super().__init__()
        self.block, self.attn = nn.ModuleList(blocks), nn.ModuleList(attentions)
        if upsample:
            self.upsample = Upsample(channels)

    def forward(self, x: Tensor) -> Tensor:
        for i, block in enumerate(self.block):
            x = block(x)
            if len(self.attn):
                x = self.attn[i](x)
        return self.upsample(x) if hasattr(self, "upsample") else x


class Decoder(nn.Module):
    """Under the names of the official checkpoint, without its prefix `decoder.`."""

    def __init__(self, config: Config):
        super().__init__()
        widths = [config["ch"] * multiplier for multiplier in config["ch_mult"]]
        top, count = len(widths) - 1, config["num_res_blocks"] + 1
        self.conv_in = nn.Conv2d(config["z_channels"], widths[-1], 3, padding=1)
        self.mid = nn.Module()
        self.mid.block_1 = ResnetBlock(widths[-1], widths[-1])
        self.mid.attn_1 = AttnBlock(widths[-1])
        self.mid.block_2 = ResnetBlock(widths[-1], widths[-1])
        levels = []
        for i, width in enumerate(widths):
            inputs = [widths[min(i + 1, top)]] + [width] * (count - 1)
            attentions = [AttnBlock(width) for _ in range(count)] if i == top else []
            levels.append(Level([ResnetBlock(n, width) for n in inputs], attentions, i > 0, width))
        self.up = nn.ModuleList(levels)
        self.norm_out = norm(widths[0])
        self.conv_out = nn.Conv2d(widths[0], 3, 3, padding=1)

    def forward(self, latents: Tensor) -> Tensor:
        x = self.conv_in(latents)
        x = self.mid.block_2(self.mid.attn_1(self.mid.block_1(x)))
        for level in reversed(self.up):
            x = level(x)
        return self.conv_out(F.silu(self.norm_out(x)))


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
