"""VAR, the next-scale transformer, with the official key names, and its text-conditioned variant.

Tian et al. 2024, "Visual Autoregressive Modeling". Official code: FoundationVision/VAR
models/var.py:VAR, models/basic_var.py:AdaLNSelfAttn. The config has the official field names and
either num_classes or, of this project, "text": {"dim": D}: then text_proj of the pooled text stands
for the class embedding, and every block attends to the text between self-attention and FFN.

Depth switching: the tokens of late scales may pass by some blocks ("sub-network"). Such a block
works on the earlier scales alone, so it needs no other weights and keeps no late keys.
"""
import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MAX_SCALE = math.log(100)  # of the logarithm of the attention's learnt scale


class Condition(NamedTuple):
    """What a picture shall show: vector [B, C]; with text also states [B, T, D], mask [B, T]."""
    vector: Tensor
    states: Tensor | None = None
    mask: Tensor | None = None


def attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scale: float) -> Tensor:
    """q [B, H, L, d], k and v [B, H, T, d], mask bool, True = sees -> [B, L, H * d].

    On CPUs, for so short sequences, faster than PyTorch's fused attention, whose backward pass is
    slow there.
    """
    if q.is_cuda:
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)
        return out.transpose(1, 2).flatten(2)
    scores = (q @ k.transpose(2, 3)) * scale
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    return (scores.softmax(-1).to(v.dtype) @ v).transpose(1, 2).flatten(2)


class SelfAttention(nn.Module):
    def __init__(self, width: int, heads: int, l2_norm: bool):
        super().__init__()
        self.heads, self.l2_norm = heads, l2_norm
        self.scale = 1.0 if l2_norm else 0.25 / math.sqrt(width // heads)
        if l2_norm:
            self.scale_mul_1H11 = nn.Parameter(torch.full((1, heads, 1, 1), math.log(4)))
        self.mat_qkv = nn.Linear(width, 3 * width, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(width))
        self.v_bias = nn.Parameter(torch.zeros(width))
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor, mask: Tensor | None, cache: list[Tensor] | None) -> Tensor:
        """x [B, L, C]; mask [L, L] bool, True = sees; cache holds k and v of earlier scales."""
        bias = torch.cat([self.q_bias, torch.zeros_like(self.q_bias), self.v_bias])
        q, k, v = F.linear(x, self.mat_qkv.weight, bias).unflatten(-1, (3, self.heads, -1)).permute(
            2, 0, 3, 1, 4)
        if self.l2_norm:
            scale = self.scale_mul_1H11.clamp_max(MAX_SCALE).exp()
            q = (F.normalize(q.to(x.dtype), dim=-1) * scale).to(v.dtype)
            k = F.normalize(k.to(x.dtype), dim=-1).to(v.dtype)
        if cache is not None:
            if cache:
                k, v = torch.cat([cache[0], k], 2), torch.cat([cache[1], v], 2)
            cache[:] = [k, v]
        return self.proj(attention(q, k, v, mask, self.scale))


class TextAttention(nn.Module):
    """Attention from tokens to the states of the text."""

    def __init__(self, width: int, heads: int, text_dim: int):
        super().__init__()
        self.heads = heads
        self.mat_q = nn.Linear(width, width)
        self.mat_kv = nn.Linear(text_dim, 2 * width, bias=False)
        self.v_bias = nn.Parameter(torch.zeros(width))
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor, states: Tensor, mask: Tensor) -> Tensor:
        """x [B, L, C], states [B, T, D], mask [B, T] bool, False = padding."""
        q = self.mat_q(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        bias = torch.cat([torch.zeros_like(self.v_bias), self.v_bias])
        k, v = F.linear(states, self.mat_kv.weight, bias).unflatten(
            -1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return self.proj(attention(q, k, v, mask[:, None, None], q.shape[-1]**-0.5))


class FFN(nn.Module):
    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x), approximate="tanh"))


def ada_linear(width: int, chunks: int) -> nn.Sequential:
    return nn.Sequential(nn.SiLU(), nn.Linear(width, chunks * width))


class Block(nn.Module):
    """AdaLN transformer block; `modulation` is [B, 1, 6, C] where AdaLN is shared, else [B, C]."""

    def __init__(self, config: dict[str, Any]):
        super().__init__()
        width, heads = config["embed_dim"], config["num_heads"]
        self.width, self.eps, self.shared = width, config["norm_eps"], config["shared_aln"]
        self.attn = SelfAttention(width, heads, config["attn_l2_norm"])
        self.ffn = FFN(width, round(width * config["mlp_ratio"]))
        if self.shared:
            self.ada_gss = nn.Parameter(torch.randn(1, 1, 6, width) / width**0.5)
        else:
            self.ada_lin = ada_linear(width, 6)
        if "text" in config:
            self.ca_norm = nn.LayerNorm(width, eps=self.eps)
            self.ca = TextAttention(width, heads, config["text"]["dim"])

    def normed(self, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        return F.layer_norm(x, (self.width,), eps=self.eps) * (1 + scale) + shift

    def forward(self, x: Tensor, modulation: Tensor, condition: Condition, mask: Tensor | None,
                cache: list[Tensor] | None) -> Tensor:
        chunks = (self.ada_gss + modulation if self.shared
                  else self.ada_lin(modulation).view(-1, 1, 6, self.width))
        gamma1, gamma2, scale1, scale2, shift1, shift2 = chunks.unbind(2)
        x = x + gamma1 * self.attn(self.normed(x, scale1, shift1), mask, cache)
        if condition.states is not None:
            x = x + self.ca(self.ca_norm(x), condition.states, condition.mask)
        return x + gamma2 * self.ffn(self.normed(x, scale2, shift2))


class AdaLNBeforeHead(nn.Module):
    def __init__(self, width: int, eps: float):
        super().__init__()
        self.eps, self.ada_lin = eps, ada_linear(width, 2)

    def forward(self, x: Tensor, vector: Tensor) -> Tensor:
        scale, shift = self.ada_lin(vector)[:, None].chunk(2, dim=-1)
        return F.layer_norm(x, x.shape[-1:], eps=self.eps) * (1 + scale) + shift


class VAR(nn.Module):
    """config as said above; the tokenizer gives vocab_size and the z channels of its maps."""

    def __init__(self, config: dict[str, Any], vocab_size: int, z_channels: int):
        super().__init__()
        self.config, self.sides = config, list(config["patch_nums"])
        width, depth, eps = config["embed_dim"], config["depth"], config["norm_eps"]
        lengths = [side * side for side in self.sides]
        self.ends = [sum(lengths[:i + 1]) for i in range(len(lengths))]
        if "text" in config:
            self.text_proj = nn.Linear(config["text"]["dim"], width)
        else:
            self.class_emb = nn.Embedding(config["num_classes"] + 1, width)
        self.word_embed = nn.Linear(z_channels, width)
        self.pos_start = nn.Parameter(torch.empty(1, lengths[0], width))
        self.pos_1LC = nn.Parameter(torch.empty(1, sum(lengths), width))
        self.lvl_embed = nn.Embedding(len(lengths), width)
        if config["shared_aln"]:
            self.shared_ada_lin = ada_linear(width, 6)
        self.blocks = nn.ModuleList(Block(config) for _ in range(depth))
        self.head_nm, self.head = AdaLNBeforeHead(width, eps), nn.Linear(width, vocab_size)
        level = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
        self.register_buffer("level", level, persistent=False)
        self.register_buffer("sees", level[:, None] >= level, persistent=False)
        self.initialize()

    def initialize(self) -> None:
        """The official initial values, but for gammas that let every block act from the start."""
        width = self.config["embed_dim"]
        std = (1 / width / 3) ** 0.5
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.trunc_normal_(module.weight, std=std)
                if getattr(module, "bias", None) is not None:
                    nn.init.zeros_(module.bias)
        for parameter in (self.pos_start, self.pos_1LC):
            nn.init.trunc_normal_(parameter, std=std)
        self.head.weight.data.mul_(0.02)
        for block in self.blocks:
            for module in (block.attn.proj, block.ffn.fc2):
                module.weight.data.div_((2 * len(self.blocks)) ** 0.5)

    def class_condition(self, labels: Tensor) -> Condition:
        """labels [B]; num_classes stands for no class."""
        return Condition(self.class_emb(labels))

    def text_condition(self, text: dict[str, Tensor]) -> Condition:
        """What TextEncoder gives; the encoding of "" stands for no text."""
        return Condition(self.text_proj(text["mapping_cond"]), text["context"],
                         text["context_mask"])

    def modulation(self, vector: Tensor) -> Tensor:
        if not self.config["shared_aln"]:
            return vector
        return self.shared_ada_lin(vector).view(-1, 1, 6, self.config["embed_dim"])

    def placed(self, x: Tensor, first: int) -> Tensor:
        """Adds the embeddings of level and place to x [B, l, C], whose first token is `first`."""
        span = slice(first, first + x.shape[1])
        return x + self.lvl_embed(self.level[span]) + self.pos_1LC[:, span]

    def start(self, vector: Tensor) -> Tensor:
        """The input of the first scale, [B, n0*n0, C]."""
        return self.placed(vector[:, None] + self.pos_start, 0)

    def logits(self, x: Tensor, vector: Tensor) -> Tensor:
        return self.head(self.head_nm(x, vector))

    def forward(self, inputs: Tensor, condition: Condition, passed: frozenset[int] = frozenset(),
                late: int | None = None) -> Tensor:
        """Teacher forcing: inputs [B, L - n0*n0, z] -> logits [B, L, V].

        Tokens of scale `late` and later pass by the blocks of `passed`.
        """
        start = self.start(condition.vector)
        x = torch.cat([start, self.placed(self.word_embed(inputs), start.shape[1])], 1)
        modulation = self.modulation(condition.vector)
        early = self.ends[late - 1] if passed else 0
        for index, block in enumerate(self.blocks):
            if index in passed:
                first = block(x[:, :early], modulation, condition, self.sees[:early, :early], None)
                x = torch.cat([first, x[:, early:]], 1)
            else:
                x = block(x, modulation, condition, self.sees, None)
        return self.logits(x, condition.vector)


def kept_blocks(depth: int, kept: int) -> list[int]:
    """Which blocks a sub-network of `kept` >= 2 blocks has: evenly spread, with the first and last,
    halves rounded up."""
    return [(2 * i * (depth - 1) + kept - 1) // (2 * (kept - 1)) for i in range(kept)]
