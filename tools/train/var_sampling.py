"""Pictures from a next-scale model: a KV cache, guidance that grows with the scales, filters.

Official code: FoundationVision/VAR models/var.py:autoregressive_infer_cfg, models/helpers.py.
"""
import torch
from torch import Tensor

from tools.train.text import TextEncoder, Tokenizer
from tools.train.var import VAR, Condition, kept_blocks
from tools.train.vqvae import VQVAE, VectorQuantizer2


def filter_logits(logits: Tensor, top_k: int, top_p: float) -> Tensor:
    """logits [..., V] with -inf for tokens below the k largest, then for the unlikely tail whose
    probabilities sum to at most 1 - top_p; 0 leaves a filter out."""
    if top_k > 0:
        least = logits.topk(min(top_k, logits.shape[-1]), dim=-1).values[..., -1:]
        logits = logits.masked_fill(logits < least, -torch.inf)
    if top_p > 0:
        ordered, order = logits.sort(dim=-1)
        dropped = ordered.softmax(-1).cumsum(-1) <= 1 - top_p
        dropped[..., -1] = False
        logits = logits.masked_fill(dropped.scatter(-1, order, dropped), -torch.inf)
    return logits


def draw_tokens(logits: Tensor, uniforms: Tensor) -> Tensor:
    """The first token whose running sum of probabilities exceeds uniforms [...], else the last
    that is not filtered out."""
    probabilities = logits.softmax(-1)
    token = (probabilities.cumsum(-1) <= uniforms[..., None]).sum(-1)
    indices = torch.arange(logits.shape[-1], device=logits.device)
    last = torch.where(probabilities > 0, indices, 0).amax(-1)
    return torch.minimum(token, last)


def sub_network(model: VAR, scale: int, late: int | None, kept: int | None) -> list[int]:
    """The blocks that scale `scale` runs through."""
    depth = len(model.blocks)
    if late is None or kept is None or scale < late:
        return list(range(depth))
    return kept_blocks(depth, kept)


@torch.no_grad()
def sample_tokens(model: VAR, quantizer: VectorQuantizer2, condition: Condition, uniforms: Tensor,
                  cfg: float, top_k: int = 0, top_p: float = 0.0, late: int | None = None,
                  kept: int | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """condition of 2B rows, the last B unconditional; uniforms [B, L] -> (tokens [B, L], map
    [B, z, N, N], guided logits [B, L, V]). Scales from `late` on run `kept` blocks only."""
    rows, scales, full = len(uniforms), len(model.sides), model.sides[-1]
    caches: list[list[Tensor]] = [[] for _ in model.blocks]
    modulation, x = model.modulation(condition.vector), model.start(condition.vector)
    f_hat = torch.zeros(rows, quantizer.embedding.embedding_dim, full, full, device=x.device,
                        dtype=x.dtype)
    tokens, guided = [], []
    for scale, (side, end) in enumerate(zip(model.sides, model.ends)):
        for index in sub_network(model, scale, late, kept):
            x = model.blocks[index](x, modulation, condition, None, caches[index])
        given, free = model.logits(x, condition.vector).chunk(2)
        strength = cfg * scale / max(scales - 1, 1)
        guided.append((1 + strength) * given - strength * free)
        chosen = filter_logits(guided[-1], top_k, top_p)
        tokens.append(draw_tokens(chosen, uniforms[:, end - side * side:end]))
        f_hat = f_hat + quantizer.contribution(tokens[-1], scale)
        if scale < scales - 1:
            following = model.word_embed(quantizer.resized(f_hat, scale + 1))
            x = model.placed(following, end).repeat(2, 1, 1)
    return torch.cat(tokens, 1), f_hat, torch.cat(guided, 1)


@torch.no_grad()
def generate(model: VAR, vqvae: VQVAE, encoder: TextEncoder, tokenizer: Tokenizer,
             prompts: list[str], seed: int = 0, **settings) -> Tensor:
    """One picture per prompt, [B, 3, H, W] in [-1, 1]; settings are those of sample_tokens."""
    device = model.pos_start.device
    ids, mask = (t.to(device) for t in tokenizer([*prompts, *[""] * len(prompts)]))
    condition = model.text_condition(encoder(ids, mask))
    uniforms = torch.rand(len(prompts), model.ends[-1], dtype=torch.float64,
                          generator=torch.Generator().manual_seed(seed))
    _, f_hat, _ = sample_tokens(model, vqvae.quantize, condition, uniforms.float().to(device),
                                **settings)
    return vqvae.decode(f_hat).float().clamp(-1, 1)
