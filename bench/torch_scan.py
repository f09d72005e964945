"""Mamba's selective scan in PyTorch, in every way that might be its fastest without the package
mamba_ssm.

All take and give what tools/train/selective_scan.py:scan does, of one direction or of two: u, delta
[G, B, L, E], a [G, E, N] < 0, b, c [G, B, L, N], d, bias [G, E] -> y like u, with the tokens of
direction 1 read from the last to the first. States are float32.
"""
from typing import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from tools.train import selective_scan

Scan = Callable[..., Tensor]
CHUNK = 32  # tokens


def reversed_second(x: Tensor) -> Tensor:
    """x [G, B, L, ...] with the tokens of direction 1, if there is one, in reverse."""
    return selective_scan.reversed_second(x) if len(x) == 2 else x


def steps_of(delta: Tensor, bias: Tensor) -> Tensor:
    wide = torch.promote_types(delta.dtype, torch.float32)
    return F.softplus(delta.to(wide) + bias[:, None, None].to(wide))


def chunked(u: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor,
            bias: Tensor) -> Tensor:
    """All chunks at once, token by token: first for the states they end in, then, when those have
    been handed on from chunk to chunk, from where they begin."""
    length, dt = u.shape[2], reversed_second(steps_of(delta, bias))
    chunks = -(-length // CHUNK)

    def cut(x: Tensor) -> Tensor:
        """[G, B, L, F] -> [G, B, chunks, CHUNK, F]; the zeros at the end change no state."""
        padded = F.pad(x.to(dt.dtype), (0, 0, 0, chunks * CHUNK - length))
        return padded.unflatten(2, (chunks, CHUNK))

    given, b, c = (cut(reversed_second(x)) for x in (u, b, c))
    dt = cut(dt)
    rates = a[:, None, None].to(dt.dtype)
    decays = (dt[..., None] * rates[:, :, :, None]).exp().unbind(3)
    added = ((dt * given)[..., None] * b[..., None, :]).unbind(3)

    state = torch.zeros_like(added[0])
    for decay, value in zip(decays, added):
        state = torch.addcmul(value, decay, state)
    through = (dt.sum(3)[..., None] * rates).exp()  # what is left of a state after its chunk
    starts = [torch.zeros_like(state[:, :, 0])]
    for i in range(chunks - 1):
        starts.append(torch.addcmul(state[:, :, i], through[:, :, i], starts[-1]))
    state, outputs = torch.stack(starts, 2), []
    for decay, value, read in zip(decays, added, c.unbind(3)):
        state = torch.addcmul(value, decay, state)
        outputs.append((state * read[..., None, :]).sum(-1))
    y = reversed_second(torch.stack(outputs, 3).flatten(2, 3)[:, :, :length])
    return torch.addcmul(y, u.to(y.dtype), d[:, None, None].to(y.dtype)).to(u.dtype)


def associative(u: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor,
                bias: Tensor) -> Tensor:
    """By PyTorch's own associative scan, which compiled code on a GPU alone has."""
    from torch._higher_order_ops.associative_scan import associative_scan
    dt = reversed_second(steps_of(delta, bias))
    b, c = (reversed_second(x).to(dt.dtype) for x in (b, c))
    decay = (dt[..., None] * a[:, None, None].to(dt.dtype)).exp()
    added = (dt * reversed_second(u))[..., None] * b[..., None, :]

    def combine(first, second):
        return first[0] * second[0], second[0] * first[1] + second[1]

    _, states = associative_scan(combine, (decay, added), dim=2)
    y = reversed_second((states * c[..., None, :]).sum(-1))
    return torch.addcmul(y, u.to(y.dtype), d[:, None, None].to(y.dtype)).to(u.dtype)


@torch.compiler.disable
def triton(u: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor,
           bias: Tensor) -> Tensor:
    """The kernel that this project trains with, on a GPU alone. Like mamba_ssm's it keeps states in
    registers; other than that one it walks through a sequence token by token."""
    kernels = selective_scan.kernels
    directions, batch, length, channels = u.shape
    u, delta, b, c = (x.contiguous() for x in (u, delta, b, c))
    a, d, bias = (x.float().contiguous() for x in (a.mT, d, bias))
    y = torch.empty_like(u)
    # Only its gradient reads the states before each chunk.
    starts = u.new_empty((directions, batch, -(-length // kernels.CHUNK), a.shape[1], channels),
                         dtype=torch.float32)
    grid = (-(-channels // kernels.SCAN_CHANNELS), batch, directions)
    kernels.scan_forward[grid](u, delta, a, b, c, d, bias, y, starts, length, channels,
                               kernels.row_stride(b), kernels.row_stride(c), 1, N=a.shape[1],
                               BLOCK=kernels.SCAN_CHANNELS, TOKENS=kernels.CHUNK, num_warps=1)
    return y
