"""Selective scan and causal convolution of Mamba, both directions of a sequence at once.

Gu & Dao 2023, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces";
state-spaces/mamba mamba_ssm/ops/selective_scan_interface.py:selective_scan_ref. The first axis of
all tensors is the direction: 0 reads from the first token to the last, 1 from the last to the
first. On a GPU these are kernels of selective_scan_triton.py, on a CPU of cpu/;
here are the formulas, in the widest type of the inputs but at least float32. B batch, L tokens, E
channels, N states, K taps.
"""
import torch
import torch.nn.functional as F
from torch import Tensor

from tools.train import selective_scan_cpu

try:
    from tools.train import selective_scan_triton as kernels
except ImportError:  # no Triton on this machine
    kernels = None


def reversed_second(x: Tensor) -> Tensor:
    """x [2, B, L, ...] with the tokens of direction 1 in reverse."""
    return torch.stack([x[0], x[1].flip(1)])


def plain_scan(u: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor,
               bias: Tensor) -> Tensor:
    """The recurrence of `scan`, step by step."""
    wide = torch.promote_types(u.dtype, torch.float32)
    dt = F.softplus(delta.to(wide) + bias[:, None, None, :].to(wide))
    values = (u.to(wide), dt, b.to(wide), c.to(wide))
    steps = zip(*(reversed_second(value).unbind(2) for value in values))
    a = a[:, None].to(wide)
    state, outputs = 0.0, []
    for u_t, dt_t, b_t, c_t in steps:
        state = (dt_t[..., None] * a).exp() * state + (dt_t * u_t)[..., None] * b_t[:, :, None, :]
        outputs.append((state @ c_t[..., None])[..., 0])
    y = reversed_second(torch.stack(outputs, 2))
    return (y + u * d[:, None, None, :]).to(u.dtype)


def plain_conv(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The convolutions of `conv`, by torch's."""
    taps, channels = weight.shape[2], weight.shape[1]
    wide = torch.promote_types(x.dtype, weight.dtype)
    x = x.mT.to(wide)
    sides = ((taps - 1, 0), (0, taps - 1))
    parts = [F.conv1d(F.pad(x, side), w.unsqueeze(1).to(wide), b.to(wide), groups=channels)
             for side, w, b in zip(sides, (weight[0], weight[1].flip(1)), bias)]
    return F.silu(torch.stack(parts)).mT.to(x.dtype)


def on_gpu(x: Tensor, size: int) -> bool:
    """Whether the kernels serve tensors like x with so many states or taps: powers of two."""
    return x.is_cuda and kernels is not None and size & (size - 1) == 0


@torch.compiler.disable
def scan(u: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor,
         bias: Tensor) -> Tensor:
    """y [2, B, L, E] like u: h_t = exp(dt*a) h_{t-1} + dt*u_t*b_t; y_t = c_t.h_t + d*u_t.

    u, delta [2, B, L, E], dt = softplus(delta + bias); a [2, E, N] < 0; b, c [2, B, L, N]; d, bias
    [2, E]. States are float32.
    """
    if on_gpu(u, a.shape[2]):
        return kernels.Scan.apply(u, delta, a, b, c, d, bias)
    if a.shape[2] in selective_scan_cpu.STATES and selective_scan_cpu.serves(u):
        return selective_scan_cpu.Scan.apply(u, delta, a, b, c, d, bias)
    return plain_scan(u, delta, a, b, c, d, bias)


@torch.compiler.disable
def conv(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """silu of the causal depthwise convolutions [2, B, L, E] of x [B, L, E].

    weight [2, E, K], of which the last tap is on the present token; bias [2, E].
    """
    if on_gpu(x, weight.shape[2]):
        return kernels.Conv.apply(x, weight, bias)
    if selective_scan_cpu.serves(x):
        return selective_scan_cpu.Conv.apply(x, weight, bias)
    return plain_conv(x, weight, bias)
