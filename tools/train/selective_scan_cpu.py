"""CPU kernels of selective_scan.py, compiled by the system's C++ compiler when first used."""
import zlib
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

ROOT = Path(__file__).parents[2]
FOLDER = Path(__file__).with_name("cpu")
STATES = (4, 8, 16)


# By what the CPU has, as its kernels are made to run on this machine only.
ISAS = {"AVX2": ["-mavx2", "-mfma"],
        "AVX512": ["-mavx2", "-mfma", "-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq",
                   "-mprefer-vector-width=512"]}


@lru_cache(maxsize=1)
def kernels():
    """The compiled module, or None where there is no compiler for it or no AVX2."""
    isa = torch.backends.cpu.get_cpu_capability()
    if isa not in ISAS:
        return None
    place = zlib.crc32(str(FOLDER).encode())  # other checkouts have modules of their own
    try:
        from torch.utils import cpp_extension  # slow to import
        return cpp_extension.load(
            f"gesso_selective_scan_{isa.lower()}_{place:08x}",
            [str(source) for source in sorted(FOLDER.glob("*.cpp"))],
            extra_include_paths=[str(ROOT)],
            extra_cflags=["-O3", *ISAS[isa], "-ffast-math", "-fopenmp", "-std=c++20"])
    except (ImportError, OSError, RuntimeError) as error:
        print(f"{FOLDER} cannot be compiled, the scan will be slow: {error}", flush=True)
        return None


def serves(x: Tensor) -> bool:
    """Whether the kernels take tensors like x."""
    return (x.device.type == "cpu" and x.dtype in (torch.float32, torch.bfloat16)
            and kernels() is not None)


class Scan(torch.autograd.Function):
    """selective_scan.scan for STATES; b and c with one row behind the other."""

    @staticmethod
    def forward(ctx, u, delta, a, b, c, d, bias):
        a, d, bias = (value.float().contiguous() for value in (a, d, bias))
        inputs = (u.contiguous(), delta.to(u.dtype).contiguous(), a, b.to(u.dtype), c.to(u.dtype),
                  d, bias)
        y, starts = kernels().forward_scan(*inputs)
        ctx.save_for_backward(*inputs, starts)
        ctx.types = (delta.dtype, b.dtype, c.dtype)
        return y

    @staticmethod
    def backward(ctx, dy):
        u = ctx.saved_tensors[0]
        dy = dy.to(u.dtype)
        shared = dy.stride(0) == 0 and dy[0].is_contiguous()  # both directions' outputs were added
        grads = kernels().backward_scan(*ctx.saved_tensors, dy if shared else dy.contiguous())
        for index, dtype in zip((1, 3, 4), ctx.types):
            grads[index] = grads[index].to(dtype)
        return tuple(grads)


class Conv(torch.autograd.Function):
    """selective_scan.conv; the channels of x one behind the other."""

    @staticmethod
    def forward(ctx, x, weight, bias):
        weight, bias = weight.float().contiguous(), bias.float().contiguous()
        ctx.save_for_backward(x, weight, bias)
        return kernels().forward_conv(x, weight, bias)

    @staticmethod
    def backward(ctx, dy):
        x, weight, bias = ctx.saved_tensors
        return tuple(kernels().backward_conv(x, weight, bias, dy.to(x.dtype).contiguous()))
