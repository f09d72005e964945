"""Checks the scan and its kernels: against the operator's parity cases and against each other."""
import pytest
import torch
from torch import Tensor

from tools.train import selective_scan, selective_scan_cpu
from tools.train.selective_scan import plain_conv, plain_scan

kernels = selective_scan.kernels
needs_triton = pytest.mark.skipif(kernels is None, reason="Triton is not installed")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
LIMIT = 1e-4 if DEVICE == "cuda" else 2e-6  # a GPU has fast exponentials and logarithms


def scan_inputs(batch: int, length: int, channels: int, states: int) -> list[Tensor]:
    torch.manual_seed(length)
    rows = torch.randn(2, batch, length, 3 + 2 * states)  # b and c are parts of wider rows
    values = [torch.randn(2, batch, length, channels), torch.randn(2, batch, length, channels),
              -torch.rand(2, channels, states) * 4 - 0.05, rows[..., 3:3 + states],
              rows[..., 3 + states:], torch.randn(2, channels), torch.randn(2, channels)]
    return [value.to(DEVICE).requires_grad_() for value in values]


def gradients(function, inputs: list[Tensor]) -> list[Tensor]:
    """The output and the gradients of a weighted sum of it."""
    out = function(*inputs)
    weights = torch.linspace(-1, 1, out.numel(), device=out.device).view_as(out).sin()
    return [out.detach(), *torch.autograd.grad((out * weights).sum(), inputs)]


def assert_alike(found: list[Tensor], expected: list[Tensor], limit: float) -> None:
    for index, (value, reference) in enumerate(zip(found, expected, strict=True)):
        assert value.shape == reference.shape and value.dtype == reference.dtype
        error = (value - reference).float().norm() / reference.float().norm()
        assert error < limit, (index, error)


@needs_triton
@pytest.mark.parametrize("batch, length, channels, states",
                         [(1, 5, 8, 4), (2, 16, 40, 8), (2, 37, 72, 16)])
def test_scan_kernel(batch: int, length: int, channels: int, states: int) -> None:
    """Lengths below, at and over whole chunks; channels below and over whole blocks."""
    inputs = scan_inputs(batch, length, channels, states)
    assert_alike(gradients(kernels.Scan.apply, inputs), gradients(plain_scan, inputs), LIMIT)


@needs_triton
def test_scan_kernel_of_added_directions() -> None:
    """The gradient of a sum over directions is one tensor for both."""
    inputs = scan_inputs(2, 18, 12, 4)
    assert_alike(gradients(lambda *values: kernels.Scan.apply(*values).sum(0), inputs),
                 gradients(lambda *values: plain_scan(*values).sum(0), inputs), LIMIT)


@needs_triton
def test_scan_kernel_takes_halves() -> None:
    inputs = scan_inputs(1, 20, 16, 8)
    inputs = [value.detach().bfloat16().requires_grad_() if i in (0, 1, 3, 4) else value
              for i, value in enumerate(inputs)]
    assert_alike(gradients(kernels.Scan.apply, inputs), gradients(plain_scan, inputs), 5e-3)


@needs_triton
def test_scan_kernel_refuses_scattered_rows() -> None:
    u, delta, a, b, c, d, bias = scan_inputs(2, 6, 8, 4)
    with pytest.raises(ValueError, match="one behind the other"):
        kernels.Scan.apply(u, delta, a, b.transpose(1, 2).contiguous().transpose(1, 2), c, d, bias)


@needs_triton
@pytest.mark.parametrize("length, channels", [(3, 8), (32, 64), (41, 70)])
def test_conv_kernel(length: int, channels: int) -> None:
    torch.manual_seed(length)
    whole = torch.randn(2, length, 2 * channels)
    values = (whole[..., :channels], torch.randn(2, channels, 4), torch.randn(2, channels))
    inputs = [value.to(DEVICE).requires_grad_() for value in values]
    assert_alike(gradients(kernels.Conv.apply, inputs), gradients(plain_conv, inputs), LIMIT)


needs_compiler = pytest.mark.skipif(selective_scan_cpu.kernels() is None,
                                    reason="the CPU kernels cannot be compiled")
CPU_LIMIT = 5e-6


@needs_compiler
@pytest.mark.parametrize("added", [False, True])
@pytest.mark.parametrize("batch, length, channels, states",
                         [(1, 5, 8, 4), (2, 16, 40, 8), (2, 37, 72, 16)])
def test_cpu_scan(batch: int, length: int, channels: int, states: int, added: bool) -> None:
    """Lengths below, at and over whole chunks; channels below and over whole vectors."""
    def of(function):
        return (lambda *values: function(*values).sum(0)) if added else function

    inputs = [value.detach().cpu().requires_grad_()
              for value in scan_inputs(batch, length, channels, states)]
    assert_alike(gradients(of(selective_scan_cpu.Scan.apply), inputs),
                 gradients(of(plain_scan), inputs), CPU_LIMIT)


@needs_compiler
def test_cpu_scan_takes_halves() -> None:
    inputs = [value.detach().cpu() for value in scan_inputs(1, 20, 16, 8)]
    inputs = [(value.bfloat16() if i in (0, 1, 3, 4) else value).requires_grad_()
              for i, value in enumerate(inputs)]
    assert_alike(gradients(selective_scan_cpu.Scan.apply, inputs), gradients(plain_scan, inputs),
                 5e-3)


@needs_compiler
def test_cpu_scan_of_large_steps() -> None:
    """Where softplus is its argument, and where decay and softplus are nothing."""
    inputs = [value.detach().cpu() for value in scan_inputs(1, 9, 16, 4)]
    inputs[1] = torch.linspace(-120, 120, inputs[1].numel()).view_as(inputs[1])
    inputs = [value.requires_grad_() for value in inputs]
    assert_alike(gradients(selective_scan_cpu.Scan.apply, inputs), gradients(plain_scan, inputs),
                 CPU_LIMIT)


@needs_compiler
def test_cpu_kernels_refuse_scattered_rows() -> None:
    u, delta, a, b, c, d, bias = (value.detach().cpu() for value in scan_inputs(2, 6, 8, 4))
    scattered = b.transpose(1, 2).contiguous().transpose(1, 2)
    with pytest.raises(RuntimeError, match="one behind the other"):
        selective_scan_cpu.Scan.apply(u, delta, a, scattered, c, d, bias)
    with pytest.raises(RuntimeError, match="one behind the other"):
        selective_scan_cpu.Conv.apply(torch.randn(1, 8, 5).mT, torch.randn(2, 8, 4),
                                      torch.randn(2, 8))


@needs_compiler
@pytest.mark.parametrize("length, channels", [(1, 8), (3, 8), (32, 64), (41, 70)])
def test_cpu_conv(length: int, channels: int) -> None:
    torch.manual_seed(length)
    whole = torch.randn(2, length, 2 * channels)
    values = (whole[..., :channels], torch.randn(2, channels, 4), torch.randn(2, channels))
    inputs = [value.requires_grad_() for value in values]
    assert_alike(gradients(selective_scan_cpu.Conv.apply, inputs), gradients(plain_conv, inputs),
                 CPU_LIMIT)


def test_plain_scan_is_the_formula() -> None:
    """One channel and state by hand, in both directions."""
    u = torch.tensor([1.0, 2.0, -1.0], dtype=torch.float64).view(1, 1, 3, 1).expand(2, 1, 3, 1)
    delta = torch.full_like(u, 0.3)
    a = torch.tensor([-0.5, -2.0], dtype=torch.float64).view(2, 1, 1)
    b, c = torch.full_like(u, 0.7), torch.full_like(u, -1.5)
    d = torch.tensor([[0.25], [0.5]], dtype=torch.float64)
    bias = torch.tensor([[0.1], [-0.2]], dtype=torch.float64)
    found = plain_scan(u, delta, a, b, c, d, bias)[:, 0, :, 0]
    for direction, order in enumerate(([0, 1, 2], [2, 1, 0])):
        state, dt = 0.0, (1 + (delta[0, 0, 0, 0] + bias[direction, 0]).exp()).log()
        for token in order:
            value = u[direction, 0, token, 0]
            state = (dt * a[direction, 0, 0]).exp() * state + dt * value * 0.7
            expected = -1.5 * state + d[direction, 0] * value
            assert torch.allclose(found[direction, token], expected, atol=1e-12)
