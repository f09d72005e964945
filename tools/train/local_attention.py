"""Attention of tokens on a 2-D grid to the tokens near them: neighborhoods and shifted windows.

B batch, h heads, H W token rows and columns, N = H*W tokens, D channels per head. The borders of a
neighborhood follow NATTEN: windows are shifted inwards, so every query sees kernel^2 keys.
"""
import torch
import torch.nn.functional as F
from torch import Tensor

IMPLEMENTATIONS = ("masked", "gather", "flex", "tiled")
TILE, HALO = 8, 16  # sides of a tile of queries and of the keys that a tile can see


def window_starts(length: int, kernel: int, device: torch.device) -> Tensor:
    """First key [length] of every query's window on one axis, shifted inwards at the borders."""
    return (torch.arange(length, device=device) - kernel // 2).clamp(0, length - kernel)


def neighborhood_indices(height: int, width: int, kernel: int, device: torch.device) -> Tensor:
    """Flat indices [H*W, kernel*kernel] of the keys that each query attends to."""
    steps = torch.arange(kernel, device=device)
    rows = window_starts(height, kernel, device)[:, None] + steps
    columns = window_starts(width, kernel, device)[:, None] + steps
    return (rows[:, None, :, None] * width + columns[None, :, None, :]).reshape(height * width, -1)


def axis_mask(length: int, kernel: int, device: torch.device) -> Tensor:
    """True [length, length] where the key (second axis) lies in the query's window."""
    offset = torch.arange(length, device=device) - window_starts(length, kernel, device)[:, None]
    return (offset >= 0) & (offset < kernel)


@torch.compiler.assume_constant_result
def neighborhood_mask(height: int, width: int, kernel: int, device: torch.device) -> Tensor:
    """True [H*W, H*W] where query (first axis) attends to key."""
    rows, columns = axis_mask(height, kernel, device), axis_mask(width, kernel, device)
    pairs = rows[:, None, :, None] & columns[None, :, None, :]
    return pairs.reshape(height * width, height * width)


def shifted_window_mask(height: int, width: int, window: int, shift: int,
                        device: torch.device) -> Tensor:
    """True [H*W, H*W] where two tokens lie in the same shifted window; windows never wrap."""
    row = (torch.arange(height, device=device) + shift) // window
    column = (torch.arange(width, device=device) + shift) // window
    pairs = (row[:, None] == row)[:, None, :, None] & (column[:, None] == column)[None, :, None, :]
    return pairs.reshape(height * width, height * width)


def gather_attention(q: Tensor, k: Tensor, v: Tensor, indices: Tensor, scale: float) -> Tensor:
    """Attention of q [B, h, N, D] to the rows `indices` [N, K] of k and v."""
    near_k, near_v = k[:, :, indices], v[:, :, indices]
    weights = torch.einsum("bhnd,bhnkd->bhnk", q * scale, near_k).softmax(-1)
    return torch.einsum("bhnk,bhnkd->bhnd", weights, near_v)


def can_tile(height: int, width: int, kernel: int) -> bool:
    """Whether tiles cover the grid, see all they must, and leave something out."""
    whole = height % TILE == 0 and width % TILE == 0 and min(height, width) >= HALO
    return whole and height * width > HALO * HALO and kernel <= HALO - TILE + 1


def halo_starts(length: int) -> list[int]:
    """First key of every tile's halo on one axis, inside the grid."""
    return [min(max(start - (HALO - TILE) // 2, 0), length - HALO)
            for start in range(0, length, TILE)]


@torch.compiler.assume_constant_result
def tile_mask(height: int, width: int, kernel: int, device: torch.device) -> Tensor:
    """True [tiles, TILE*TILE, HALO*HALO] where a tile's query (second axis) sees a halo's key."""
    def axis(length: int) -> Tensor:
        mask = axis_mask(length, kernel, device)
        return torch.stack([mask[i * TILE:(i + 1) * TILE, start:start + HALO]
                            for i, start in enumerate(halo_starts(length))])

    rows, columns = axis(height), axis(width)
    pairs = rows[:, None, :, None, :, None] & columns[None, :, None, :, None, :]
    return pairs.flatten(0, 1).flatten(1, 2).flatten(2, 3)


def tiled_neighborhood(q: Tensor, k: Tensor, v: Tensor, kernel: int, scale: float) -> Tensor:
    """q, k, v and result [B, h, H, W, D]: tiles of queries attend to the keys around them, a
    fraction of all keys. For grids that can_tile."""
    height, width = q.shape[2:4]
    rows, columns = halo_starts(height), halo_starts(width)

    def halos(x: Tensor) -> Tensor:  # -> [B, h*tiles, HALO*HALO, D]
        x = torch.stack([x[:, :, start:start + HALO] for start in rows], 2)
        x = torch.stack([x[:, :, :, :, start:start + HALO] for start in columns], 3)
        return x.flatten(4, 5).flatten(1, 3)

    tiles = q.unflatten(3, (-1, TILE)).unflatten(2, (-1, TILE)).transpose(3, 4)
    mask = tile_mask(height, width, kernel, q.device).repeat(q.shape[1], 1, 1)
    out = F.scaled_dot_product_attention(tiles.flatten(4, 5).flatten(1, 3), halos(k), halos(v),
                                         attn_mask=mask, scale=scale)
    return out.view(tiles.shape).transpose(3, 4).flatten(4, 5).flatten(2, 3)


def flex_neighborhood(q: Tensor, k: Tensor, v: Tensor, height: int, width: int, kernel: int,
                      scale: float) -> Tensor:
    """The same by FlexAttention, which skips blocks of keys that no query of a block sees."""
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    def near(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        row = (query // width - kernel // 2).clamp(0, height - kernel)
        column = (query % width - kernel // 2).clamp(0, width - kernel)
        row_offset, column_offset = key // width - row, key % width - column
        inside = (row_offset >= 0) & (row_offset < kernel)
        return inside & (column_offset >= 0) & (column_offset < kernel)

    tokens = height * width
    block_mask = create_block_mask(near, None, None, tokens, tokens, device=q.device)
    return flex_attention(q, k, v, block_mask=block_mask, scale=scale)


def neighborhood_attention(q: Tensor, k: Tensor, v: Tensor, kernel: int, scale: float,
                           impl: str) -> Tensor:
    """q, k, v and result [B, h, H, W, D]; every query sees a kernel x kernel block of keys."""
    height, width = q.shape[2:4]
    if kernel > min(height, width):
        raise ValueError(f"kernel {kernel} exceeds the token grid {height}x{width}")
    if impl == "tiled" and can_tile(height, width, kernel):
        return tiled_neighborhood(q, k, v, kernel, scale)
    flat = [tensor.flatten(2, 3) for tensor in (q, k, v)]
    if impl == "gather":
        indices = neighborhood_indices(height, width, kernel, q.device)
        out = gather_attention(*flat, indices, scale)
    elif impl == "flex":
        out = flex_neighborhood(*flat, height, width, kernel, scale)
    elif impl in ("masked", "tiled"):
        mask = neighborhood_mask(height, width, kernel, q.device)
        out = F.scaled_dot_product_attention(*flat, attn_mask=mask, scale=scale)
    else:
        raise ValueError(f"neighborhood attention is one of {IMPLEMENTATIONS}, not {impl!r}")
    return out.unflatten(2, (height, width))
