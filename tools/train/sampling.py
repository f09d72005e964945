"""Pictures from a trained model: DPM-Solver++(2M) on Karras sigmas, classifier-free guidance."""
from collections.abc import Callable

import torch
from torch import Tensor

from tools.train.hdit import Denoiser
from tools.train.text import TextEncoder, Tokenizer


def karras_sigmas(steps: int, low: float, high: float, rho: float = 7.0) -> Tensor:
    """[steps + 1], falling from high to low and then 0."""
    ramp = torch.linspace(0, 1, steps)
    sigmas = (high ** (1 / rho) + ramp * (low ** (1 / rho) - high ** (1 / rho))) ** rho
    return torch.cat([sigmas, torch.zeros(1)])


def dpmpp_2m(denoise, x: Tensor, sigmas: Tensor) -> Tensor:
    """`denoise(x, sigma [B])` gives the clean estimate; x [B, C, ...] is noise * sigmas[0]."""
    old = None
    for i, (sigma, following) in enumerate(zip(sigmas[:-1], sigmas[1:])):
        clean = denoise(x, sigma.expand(x.shape[0]))
        if following == 0:
            return clean
        h = (sigma / following).log()
        target = clean
        if old is not None:
            ratio = (sigmas[i - 1] / sigma).log() / h
            target = clean + (clean - old) / (2 * ratio)
        x = (following / sigma) * x - torch.expm1(-h) * target
        old = clean
    return x


def generate(denoiser: Denoiser, encoder: TextEncoder, tokenizer: Tokenizer, prompts: list[str],
             side: int, steps: int = 20, cfg_scale: float = 2.0, seed: int = 0) -> Tensor:
    """One picture of HDiT per prompt, [B, 3, side, side] in [-1, 1]."""
    shape = (denoiser.inner.config["model"]["input_channels"], side, side)
    return sample(denoiser, encoder, tokenizer, prompts, shape, steps, cfg_scale, seed)


def inpaint(denoiser: Denoiser, encoder: TextEncoder, tokenizer: Tokenizer, prompts: list[str],
            pictures: Tensor, mask: Tensor, steps: int = 20, cfg_scale: float = 2.0,
            seed: int = 0) -> Tensor:
    """Pictures [B, C, side, side] in [-1, 1], one a prompt, painted anew where the mask (bool, of
    their shape or [side, side]) is true. The estimate of what stays is what it is, so that its
    noise follows the same path to it."""
    def keep(clean: Tensor) -> Tensor:
        return torch.where(mask, clean, pictures)

    return sample(denoiser, encoder, tokenizer, prompts, pictures.shape[1:], steps, cfg_scale, seed,
                  keep)


def generate_clips(denoiser: Denoiser, encoder: TextEncoder, tokenizer: Tokenizer,
                   prompts: list[str], steps: int = 20, cfg_scale: float = 2.0,
                   seed: int = 0) -> Tensor:
    """One clip of a bidirectional Mamba per prompt, [B, 3, T, H, W] in [-1, 1]."""
    model = denoiser.inner.config["model"]
    shape = (model["in_channels"], *model["input_size"])
    return sample(denoiser, encoder, tokenizer, prompts, shape, steps, cfg_scale, seed)


@torch.no_grad()
def sample(denoiser: Denoiser, encoder: TextEncoder, tokenizer: Tokenizer, prompts: list[str],
           shape: tuple[int, ...], steps: int, cfg_scale: float, seed: int,
           constrain: Callable[[Tensor], Tensor] = lambda clean: clean) -> Tensor:
    """One sample of this shape per prompt, [B, *shape] in [-1, 1]; `constrain` changes the clean
    estimate of every step."""
    device = next(denoiser.parameters()).device
    model = denoiser.inner.config["model"]
    ids, mask = (t.to(device) for t in tokenizer([*prompts, *[""] * len(prompts)]))
    text = encoder(ids, mask)

    def guided(x: Tensor, sigma: Tensor) -> Tensor:
        both = denoiser(torch.cat([x, x]), torch.cat([sigma, sigma]), **text)
        given, free = both.float().chunk(2)
        return constrain(free + (given - free) * cfg_scale)

    generator = torch.Generator().manual_seed(seed)
    sigmas = karras_sigmas(steps, model["sigma_min"], model["sigma_max"]).to(device)
    x = torch.randn((len(prompts), *shape), generator=generator).to(device) * sigmas[0]
    clean = dpmpp_2m(guided, x, sigmas)
    return clean.clamp(-1, 1)
