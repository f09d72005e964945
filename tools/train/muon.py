"""Muon (Jordan et al. 2024): momentum whose matrices are orthogonalised before the step.

Unlike torch.optim.Muon it works in float32 on CPUs without a matrix unit for bfloat16, which are
faster so. Updates have the root mean square of AdamW's (Liu et al. 2025), so one rate serves both.
"""
import torch
from torch import Tensor

from tools.train.parallel import Workers

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


def orthogonalize(matrices: Tensor, steps: int) -> Tensor:
    """Brings the singular values of matrices [n, rows, columns] near 1 by Newton-Schulz steps."""
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    a, b, c = NEWTON_SCHULZ
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Matrices of one shape are orthogonalised together; of several training processes each takes
    its share of the shapes."""

    def __init__(self, groups, workers: Workers, lr: float, weight_decay: float,
                 momentum: float = 0.95, steps: int = 5):
        self.workers = workers
        defaults = {"lr": lr, "weight_decay": weight_decay, "momentum": momentum, "steps": steps}
        super().__init__(groups, defaults)

    def updates(self, alike: list[Tensor], momentum: float, steps: int) -> list[Tensor]:
        """The orthogonalised Nesterov steps of parameters of one shape, a convolution's weight
        [out, in, kh, kw] taken as the matrix [out, in*kh*kw]."""
        directions = torch.stack([p.grad.lerp(self.state[p]["momentum"], momentum).flatten(1)
                                  for p in alike])
        with self.workers.autocast():
            steps = orthogonalize(directions, steps).to(alike[0].dtype)
        return [step.reshape(alike[0].shape) for step in steps]

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            trained = [p for p in group["params"] if p.grad is not None]
            if not trained:
                continue
            shapes: dict[torch.Size, list[Tensor]] = {}
            for parameter in trained:
                state = self.state[parameter]
                if not state:
                    state["momentum"] = torch.zeros_like(parameter)
                shapes.setdefault(parameter.shape, []).append(parameter)
            momenta = [self.state[p]["momentum"] for p in trained]
            torch._foreach_lerp_(momenta, [p.grad for p in trained], 1 - group["momentum"])
            updates: dict[Tensor, Tensor] = {}
            for index, alike in enumerate(shapes.values()):
                mine = index % self.workers.count == self.workers.rank
                found = (self.updates(alike, group["momentum"], group["steps"]) if mine
                         else [torch.zeros_like(p) for p in alike])
                updates.update(zip(alike, found))
            steps = [updates[p] for p in trained]
            self.workers.sum(steps)
            # Larger matrices get larger steps, so that every update's root mean square is AdamW's.
            scales = [-0.2 * group["lr"] * max(p.shape[0], p[0].numel())**0.5 for p in trained]
            torch._foreach_mul_(trained, 1 - group["lr"] * group["weight_decay"])
            torch._foreach_mul_(steps, scales)
            torch._foreach_add_(trained, steps)
