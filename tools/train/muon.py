"""Muon (Jordan et al. 2024): momentum whose matrices are orthogonalised before the step.

Unlike torch.optim.Muon it works in float32 on CPUs without a matrix unit for bfloat16, which are
faster so. Updates have the root mean square of AdamW's (Liu et al. 2025), so one rate serves both.
"""
import torch
from torch import Tensor

from tools.train.parallel import Workers

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


def orthogonalize(matrix: Tensor, steps: int) -> Tensor:
    """Brings the singular values of matrix [m, n] near 1 by Newton-Schulz iteration."""
    x = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    x = x / (x.norm() + 1e-7)
    a, b, c = NEWTON_SCHULZ
    for _ in range(steps):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if matrix.shape[0] > matrix.shape[1] else x


class Muon(torch.optim.Optimizer):
    """Each of several training processes orthogonalises its share of the matrices."""

    def __init__(self, groups, workers: Workers, lr: float, weight_decay: float,
                 momentum: float = 0.95, steps: int = 5):
        self.workers = workers
        defaults = {"lr": lr, "weight_decay": weight_decay, "momentum": momentum, "steps": steps}
        super().__init__(groups, defaults)

    def update(self, parameter: Tensor, momentum: float, steps: int) -> Tensor:
        """The orthogonalised Nesterov step of one matrix, or of a convolution's weight
        [out, in, kh, kw] as the matrix [out, in*kh*kw]."""
        average = self.state[parameter]["momentum"]
        direction = parameter.grad.lerp(average, momentum).flatten(1)
        with self.workers.autocast():
            return orthogonalize(direction, steps).to(parameter.dtype).reshape(parameter.shape)

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            updates, momentum = [], group["momentum"]
            trained = [p for p in group["params"] if p.grad is not None]
            if not trained:
                continue
            for index, parameter in enumerate(trained):
                state = self.state[parameter]
                if not state:
                    state["momentum"] = torch.zeros_like(parameter)
                state["momentum"].lerp_(parameter.grad, 1 - momentum)
                mine = index % self.workers.count == self.workers.rank
                updates.append(self.update(parameter, momentum, group["steps"]) if mine
                               else torch.zeros_like(parameter))
            self.workers.sum(updates)
            torch._foreach_mul_(trained, 1 - group["lr"] * group["weight_decay"])
            for parameter, update in zip(trained, updates):
                longer = max(parameter.shape[0], parameter[0].numel())
                parameter.add_(update, alpha=-0.2 * group["lr"] * longer**0.5)
