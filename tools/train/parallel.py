"""Data-parallel training in several processes, started by torchrun.

On a GPU each process takes one device. On a CPU one process a core, each of one thread, keeps
working at its own pace where other programs share the machine; threads would wait for each other at
every operation.
"""
import os

import torch
import torch.distributed as dist
from torch import Tensor


def has_bf16(device: torch.device) -> bool:
    """Whether bfloat16 is the faster type here: on CPUs only a matrix unit makes it so."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    return torch.cpu._is_amx_tile_supported()


class Workers:
    """This process's place among those that train together; alone if torchrun did not start it."""

    def __init__(self, device: str):
        self.rank = int(os.environ.get("RANK", 0))
        self.count = int(os.environ.get("WORLD_SIZE", 1))
        self.device = torch.device(device)
        if self.count > 1:
            if self.device.type == "cuda":
                self.device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
            dist.init_process_group("nccl" if self.device.type == "cuda" else "gloo")

    def autocast(self) -> torch.autocast:
        """Mixed precision where that is faster."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=has_bf16(self.device))

    def sum(self, tensors: list[Tensor]) -> None:
        """Replaces each tensor by its sum over the processes."""
        if self.count == 1:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        dist.all_reduce(flat)
        parts = flat.split([tensor.numel() for tensor in tensors])
        torch._foreach_copy_(tensors, [p.view_as(t) for p, t in zip(parts, tensors)])

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in some process."""
        if self.count == 1:
            return flag  # without waiting for the device
        value = torch.tensor([float(flag)], device=self.device)
        self.sum([value])
        return value.item() > 0
