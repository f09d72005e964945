"""GPU kernels of selective_scan.py: scan and convolution of both directions, with gradients.

A program of the scan walks one sequence with the states of a block of channels in registers, as
state-spaces/mamba csrc/selective_scan does; the gradient's program walks it back in chunks whose
states it computes again from the one that the forward pass kept at the chunk's beginning. States
and sums are float32. Tensors as in selective_scan.py; offsets are in tokens ("row") times channels.
"""
import torch
import triton
import triton.language as tl
from torch import Tensor

CHUNK = 16  # tokens
SCAN_CHANNELS = 32
REGISTERS = 128  # of a thread of scan_backward: the compiler takes more and fits fewer programs
CONV_TOKENS = 32
CONV_CHANNELS = 64
LOG2_E = tl.constexpr(1.4426950408889634)


@triton.jit
def softplus(x):
    return tl.where(x > 20.0, x, tl.log(1.0 + tl.exp(x)))


# The compiler must not know that `unit` is 1: of tensors [BLOCK, N] a lane then holds all states of
# its channels, so that sums over states and the broadcasts to them need no other lane.
@triton.jit(do_not_specialize=["unit"])
def scan_forward(u, delta, a, b, c, d, bias, y, starts, length, channels, b_stride, c_stride, unit,
                 N: tl.constexpr, BLOCK: tl.constexpr, TOKENS: tl.constexpr):
    """Grid [channel blocks, B, 2]. a [2, N, E]; starts [2, B, chunks, N, E]: the states before
    each chunk."""
    batch, direction = tl.program_id(1), tl.program_id(2)
    sequence = (direction * tl.num_programs(1) + batch).to(tl.int64)
    e = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK) * unit
    n = (tl.arange(0, N) * unit)[None, :] + tl.zeros([BLOCK, N], tl.int32)
    inside = e < channels
    cells = n * channels + e[:, None]
    steps = 1 - 2 * direction
    row = sequence * length + direction * (length - 1)
    rates = tl.load(a + direction * N * channels + cells, mask=inside[:, None], other=0.0) * LOG2_E
    skip = tl.load(d + direction * channels + e, mask=inside, other=0.0)
    offset = tl.load(bias + direction * channels + e, mask=inside, other=0.0)
    state = tl.zeros([BLOCK, N], tl.float32)
    chunks = tl.cdiv(length, TOKENS)
    u_t = tl.load(u + row * channels + e, mask=inside, other=0.0).to(tl.float32)
    x_t = tl.load(delta + row * channels + e, mask=inside, other=0.0).to(tl.float32)
    b_t = tl.load(b + row * b_stride + n).to(tl.float32)
    c_t = tl.load(c + row * c_stride + n).to(tl.float32)
    for chunk in range(chunks):
        tl.store(starts + (sequence * chunks + chunk) * N * channels + cells, state,
                 mask=inside[:, None])
        for token in range(TOKENS):
            number = chunk * TOKENS + token
            # The next token's values are on their way while this one's are used.
            following = row + tl.where(number + 1 < length, steps, 0)
            u_next = tl.load(u + following * channels + e, mask=inside, other=0.0)
            x_next = tl.load(delta + following * channels + e, mask=inside, other=0.0)
            b_next = tl.load(b + following * b_stride + n)
            c_next = tl.load(c + following * c_stride + n)
            dt = softplus(x_t + offset)
            state = tl.exp2(dt[:, None] * rates) * state + (dt * u_t)[:, None] * b_t
            out = tl.sum(state * c_t, 1) + skip * u_t
            tl.store(y + row * channels + e, out.to(y.dtype.element_ty),
                     mask=e < tl.where(number < length, channels, 0))
            u_t, x_t = u_next.to(tl.float32), x_next.to(tl.float32)
            b_t, c_t = b_next.to(tl.float32), c_next.to(tl.float32)
            row = following


@triton.jit(do_not_specialize=["unit"])
def scan_backward(u, delta, a, b, c, d, bias, starts, dy, scratch, du, ddelta, da, db, dc, dd,
                  dbias, length, channels, b_stride, c_stride, dy_stride, unit,
                  N: tl.constexpr, BLOCK: tl.constexpr, TOKENS: tl.constexpr):
    """Grid as scan_forward's. da [2, B, N, E], dd and dbias [2, B, E] are of one sequence each, db
    and dc [channel blocks, 2, B, L, N] of one block each; scratch [programs, TOKENS, N, BLOCK]. The
    rows of dy are dy_stride apart from one direction to the other."""
    block, batch, direction = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    sequences = 2 * tl.num_programs(1)
    sequence = (direction * tl.num_programs(1) + batch).to(tl.int64)
    lanes = tl.arange(0, BLOCK) * unit
    e = block * BLOCK + lanes
    states = tl.arange(0, N) * unit
    n = states[None, :] + tl.zeros([BLOCK, N], tl.int32)
    inside = e < channels
    cells = n * channels + e[:, None]
    steps = 1 - 2 * direction
    first = sequence * length + direction * (length - 1)
    own = scratch + (sequence * tl.num_programs(0) + block) * TOKENS * N * BLOCK
    own += n * BLOCK + lanes[:, None]
    dy += (direction.to(tl.int64) * dy_stride - direction * tl.num_programs(1).to(tl.int64) * length
           ) * channels + e
    part = (block * sequences).to(tl.int64) * length  # of db and dc
    rates = tl.load(a + direction * N * channels + cells, mask=inside[:, None], other=0.0)
    skip = tl.load(d + direction * channels + e, mask=inside, other=0.0)
    offset = tl.load(bias + direction * channels + e, mask=inside, other=0.0)
    dstate = tl.zeros([BLOCK, N], tl.float32)
    drates = tl.zeros([BLOCK, N], tl.float32)
    dskip = tl.zeros([BLOCK], tl.float32)
    doffset = tl.zeros([BLOCK], tl.float32)
    chunks = tl.cdiv(length, TOKENS)
    for back in range(chunks):
        chunk = chunks - 1 - back
        tokens = tl.minimum(length - chunk * TOKENS, TOKENS)
        state = tl.load(starts + (sequence * chunks + chunk) * N * channels + cells,
                        mask=inside[:, None], other=0.0)
        for token in range(tokens):
            row = first + (chunk * TOKENS + token) * steps
            tl.store(own + token * N * BLOCK, state)
            u_t = tl.load(u + row * channels + e, mask=inside, other=0.0).to(tl.float32)
            x_t = tl.load(delta + row * channels + e, mask=inside, other=0.0).to(tl.float32)
            b_t = tl.load(b + row * b_stride + n).to(tl.float32)
            dt = softplus(x_t + offset)
            state = (tl.exp2(dt[:, None] * (rates * LOG2_E)) * state
                     + (dt * u_t)[:, None] * b_t)
        tl.debug_barrier()
        for done in range(tokens):
            token = tokens - 1 - done
            row = first + (chunk * TOKENS + token) * steps
            before = tl.load(own + token * N * BLOCK)
            u_t = tl.load(u + row * channels + e, mask=inside, other=0.0).to(tl.float32)
            x_t = tl.load(delta + row * channels + e, mask=inside, other=0.0).to(tl.float32)
            dy_t = tl.load(dy + row * channels, mask=inside, other=0.0).to(tl.float32)
            b_t = tl.load(b + row * b_stride + n).to(tl.float32)
            c_t = tl.load(c + row * c_stride + n).to(tl.float32)
            dt = softplus(x_t + offset)
            decay = tl.exp2(dt[:, None] * (rates * LOG2_E))
            decayed = decay * before
            after = decayed + (dt * u_t)[:, None] * b_t
            dstate += dy_t[:, None] * c_t
            tl.store(dc + (part + row) * N + states, tl.sum(dy_t[:, None] * after, 0))
            tl.store(db + (part + row) * N + states, tl.sum(dstate * (dt * u_t)[:, None], 0))
            dinput = tl.sum(dstate * b_t, 1)
            flow = dstate * decayed
            ddt = dinput * u_t + tl.sum(flow * rates, 1)
            dx = ddt * tl.sigmoid(x_t + offset)
            drates += flow * dt[:, None]
            dskip += dy_t * u_t
            doffset += dx
            tl.store(du + row * channels + e, (dinput * dt + skip * dy_t).to(du.dtype.element_ty),
                     mask=inside)
            tl.store(ddelta + row * channels + e, dx.to(ddelta.dtype.element_ty), mask=inside)
            dstate = dstate * decay
        tl.debug_barrier()
    tl.store(da + sequence * N * channels + cells, drates, mask=inside[:, None])
    tl.store(dd + sequence * channels + e, dskip, mask=inside)
    tl.store(dbias + sequence * channels + e, doffset, mask=inside)


def row_stride(x: Tensor) -> int:
    """Between tokens of x [2, B, L, N], whose rows lie one behind the other. Raises ValueError."""
    if x.stride()[:2] != (x.shape[1] * x.stride(1), x.shape[2] * x.stride(2)) or x.stride(3) != 1:
        raise ValueError(f"rows of strides {x.stride()} do not lie one behind the other")
    return x.stride(2)


class Scan(torch.autograd.Function):
    """selective_scan.scan; N a power of two, u and delta contiguous, b and c with equal rows."""

    @staticmethod
    def forward(ctx, u, delta, a, b, c, d, bias):
        _, batch, length, channels = u.shape
        states, u, delta = a.shape[2], u.contiguous(), delta.contiguous()
        a, d, bias = (value.float().contiguous() for value in (a.mT, d, bias))
        ctx.grid = (triton.cdiv(channels, SCAN_CHANNELS), batch, 2)
        ctx.sizes = {"N": states, "BLOCK": SCAN_CHANNELS, "TOKENS": CHUNK}
        y = torch.empty_like(u)
        starts = u.new_empty((2, batch, triton.cdiv(length, CHUNK), states, channels),
                             dtype=torch.float32)
        scan_forward[ctx.grid](u, delta, a, b, c, d, bias, y, starts, length, channels,
                               row_stride(b), row_stride(c), 1, **ctx.sizes, num_warps=1)
        ctx.save_for_backward(u, delta, a, b, c, d, bias, starts)
        return y

    @staticmethod
    def backward(ctx, dy):
        u, delta, a, b, c, d, bias, starts = ctx.saved_tensors
        _, batch, length, channels = u.shape
        states, blocks = ctx.sizes["N"], ctx.grid[0]

        def buffer(*shape: int) -> Tensor:
            return u.new_empty(shape, dtype=torch.float32)

        scratch = buffer(2 * batch * blocks, CHUNK, states, SCAN_CHANNELS)
        du, ddelta = torch.empty_like(u), torch.empty_like(delta)
        da = buffer(2, batch, states, channels)
        db, dc = (buffer(blocks, 2, batch, length, states) for _ in range(2))
        dd, dbias = buffer(2, batch, channels), buffer(2, batch, channels)
        shared = dy.stride(0) == 0 and dy[0].is_contiguous()  # both directions' outputs were added
        dy = dy if shared else dy.contiguous()
        scan_backward[ctx.grid](u, delta, a, b, c, d, bias, starts, dy, scratch, du,
                                ddelta, da, db, dc, dd, dbias, length, channels, row_stride(b),
                                row_stride(c), 0 if shared else batch * length, 1, **ctx.sizes,
                                num_warps=1, maxnreg=REGISTERS)
        return (du, ddelta, da.sum(1).mT, db.sum(0).to(b.dtype), dc.sum(0).to(c.dtype), dd.sum(1),
                dbias.sum(1))


@triton.jit
def convolved(x, weight, bias, first, t, e, inside, length, channels, stride, direction,
              TAPS: tl.constexpr):
    """The convolution at tokens t and channels e of the sequence that begins at row `first`."""
    total = tl.load(bias + direction * channels + e, mask=inside, other=0.0)[None, :]
    total = total + tl.zeros([t.shape[0], e.shape[0]], tl.float32)
    for tap in tl.static_range(TAPS):
        source = t - (TAPS - 1 - tap) * (1 - 2 * direction)
        there = (source >= 0) & (source < length)
        value = tl.load(x + (first + source)[:, None] * stride + e[None, :],
                        mask=there[:, None] & inside[None, :], other=0.0)
        factor = tl.load(weight + (direction * channels + e) * TAPS + tap, mask=inside, other=0.0)
        total += value.to(tl.float32) * factor[None, :]
    return total


@triton.jit
def conv_forward(x, weight, bias, y, length, channels, stride, tiles,
                 TAPS: tl.constexpr, TOKENS: tl.constexpr, BLOCK: tl.constexpr):
    """Grid [channel blocks, B * tiles, 2]; x [B, L, E] with rows `stride` apart."""
    batch, direction = (tl.program_id(1) // tiles).to(tl.int64), tl.program_id(2)
    batches = tl.num_programs(1) // tiles
    t = (tl.program_id(1) % tiles) * TOKENS + tl.arange(0, TOKENS)
    e = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = e < channels
    total = convolved(x, weight, bias, batch * length, t, e, inside, length, channels, stride,
                      direction, TAPS)
    row = (direction * batches + batch) * length + t
    tl.store(y + row[:, None] * channels + e[None, :],
             (total * tl.sigmoid(total)).to(y.dtype.element_ty),
             mask=(t < length)[:, None] & inside[None, :])


@triton.jit
def conv_backward_inner(x, weight, bias, dy, gradient, dweight, dbias, length, channels, stride,
                        TAPS: tl.constexpr, TOKENS: tl.constexpr, BLOCK: tl.constexpr):
    """Grid [channel blocks, B, 2]. gradient [2, B, L, E] of what silu reads; dweight [2, B, TAPS,
    E] and dbias [2, B, E] of one sequence each."""
    batch, direction = tl.program_id(1).to(tl.int64), tl.program_id(2)
    sequence = direction * tl.num_programs(1) + batch
    e = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = e < channels
    taps = tl.arange(0, TAPS)
    sums = tl.zeros([TAPS, BLOCK], tl.float32)
    bias_sum = tl.zeros([BLOCK], tl.float32)
    for tile in range(tl.cdiv(length, TOKENS)):
        t = tile * TOKENS + tl.arange(0, TOKENS)
        total = convolved(x, weight, bias, batch * length, t, e, inside, length, channels, stride,
                          direction, TAPS)
        gate = tl.sigmoid(total)
        here = (sequence * length + t)[:, None] * channels + e[None, :]
        live = (t < length)[:, None] & inside[None, :]
        dtotal = tl.load(dy + here, mask=live, other=0.0).to(tl.float32)
        dtotal = dtotal * gate * (1.0 + total * (1.0 - gate))
        tl.store(gradient + here, dtotal.to(gradient.dtype.element_ty), mask=live)
        bias_sum += tl.sum(dtotal, 0)
        for tap in tl.static_range(TAPS):
            source = t - (TAPS - 1 - tap) * (1 - 2 * direction)
            there = (source >= 0) & (source < length)
            value = tl.load(x + (batch * length + source)[:, None] * stride + e[None, :],
                            mask=there[:, None] & inside[None, :], other=0.0).to(tl.float32)
            sums += tl.where(taps[:, None] == tap, tl.sum(dtotal * value, 0)[None, :], 0.0)
    tl.store(dweight + (sequence * TAPS + taps[:, None]) * channels + e[None, :], sums,
             mask=inside[None, :])
    tl.store(dbias + sequence * channels + e, bias_sum, mask=inside)


@triton.jit
def conv_backward_outer(gradient, weight, dx, length, channels, tiles,
                        TAPS: tl.constexpr, TOKENS: tl.constexpr, BLOCK: tl.constexpr):
    """Grid [channel blocks, B * tiles]; dx [B, L, E] from both directions' gradient."""
    batch = (tl.program_id(1) // tiles).to(tl.int64)
    batches = tl.num_programs(1) // tiles
    t = (tl.program_id(1) % tiles) * TOKENS + tl.arange(0, TOKENS)
    e = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = e < channels
    total = tl.zeros([TOKENS, BLOCK], tl.float32)
    for direction in tl.static_range(2):
        for tap in tl.static_range(TAPS):
            target = t + (TAPS - 1 - tap) * (1 - 2 * direction)
            there = (target >= 0) & (target < length)
            row = (direction * batches + batch) * length + target
            value = tl.load(gradient + row[:, None] * channels + e[None, :],
                            mask=there[:, None] & inside[None, :], other=0.0)
            factor = tl.load(weight + (direction * channels + e) * TAPS + tap, mask=inside,
                             other=0.0)
            total += value.to(tl.float32) * factor[None, :]
    tl.store(dx + (batch * length + t)[:, None] * channels + e[None, :],
             total.to(dx.dtype.element_ty), mask=(t < length)[:, None] & inside[None, :])


class Conv(torch.autograd.Function):
    """selective_scan.conv; x with equal row strides, K a power of two."""

    @staticmethod
    def forward(ctx, x, weight, bias):
        batch, length, channels = x.shape
        if x.stride(2) != 1 or x.stride(0) != length * x.stride(1):
            x = x.contiguous()
        weight, bias = weight.float().contiguous(), bias.float().contiguous()
        ctx.sizes = {"TAPS": weight.shape[2], "TOKENS": CONV_TOKENS, "BLOCK": CONV_CHANNELS}
        tiles = triton.cdiv(length, CONV_TOKENS)
        y = x.new_empty((2, batch, length, channels))
        grid = (triton.cdiv(channels, CONV_CHANNELS), batch * tiles, 2)
        conv_forward[grid](x, weight, bias, y, length, channels, x.stride(1), tiles, **ctx.sizes)
        ctx.save_for_backward(x, weight, bias)
        return y

    @staticmethod
    def backward(ctx, dy):
        x, weight, bias = ctx.saved_tensors
        batch, length, channels = x.shape
        blocks, tiles = triton.cdiv(channels, CONV_CHANNELS), triton.cdiv(length, CONV_TOKENS)
        gradient = x.new_empty((2, batch, length, channels))
        dweight = weight.new_empty((2, batch, weight.shape[2], channels))
        dbias = bias.new_empty((2, batch, channels))
        conv_backward_inner[(blocks, batch, 2)](
            x, weight, bias, dy.contiguous(), gradient, dweight, dbias, length, channels,
            x.stride(1), **ctx.sizes)
        dx = x.new_empty((batch, length, channels))
        conv_backward_outer[(blocks, batch * tiles)](gradient, weight, dx, length, channels, tiles,
                                                     **ctx.sizes)
        return dx, dweight.sum(1).mT, dbias.sum(1)
