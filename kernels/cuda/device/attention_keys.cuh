// Which keys a query attends to: one struct a kind of attention. A warp a query (attention.cuh)
// asks for the keys of one query; a block of queries (flash_attention.cuh) for rectangles of
// queries and of the keys that any of them sees; whether any query of some sees any key of some,
// both from one place to another in the order of rows (SeesAny); and then for single pairs, unless
// all count and have no bias (SeesAll).
#pragma once

#include "kernels/attention.h"
#include "kernels/cuda/device/numbers.cuh"

namespace gesso::cuda {

// Of a token on its grid; a sequence is a grid of one row.
struct Place {
  int y, x;
};

struct Rectangle {
  int y, x, rows, columns;

  GESSO_BOTH int count() const { return rows * columns; }
  GESSO_BOTH Place At(int i) const { return {y + i / columns, x + i % columns}; }
};

// The work of one block: the queries from number `first` of a rectangle on, and the keys that at
// least one query of the rectangle sees.
struct AttentionTask {
  Rectangle queries;
  int first;
  Rectangle keys;
};

GESSO_BOTH int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

// All keys of a sequence, with an optional bias and mask.
struct AllKeys {
  Numbers bias;           // [H, Tq, Tk]
  const int32_t* masked;  // [B, Tk], 0 takes no part; or null
  int64_t queries, keys;

  explicit AllKeys(const AttentionArgs& args)
      : bias(args.bias),
        masked(static_cast<const int32_t*>(args.key_mask.data)),
        queries(args.q.shape[1]),
        keys(args.k.shape[1]) {}

  GESSO_BOTH int64_t count(int64_t) const { return keys; }
  GESSO_BOTH int64_t At(int64_t, int64_t j) const { return j; }
  GESSO_BOTH bool Takes(int64_t b, int64_t key) const {
    return masked == nullptr || masked[b * keys + key] != 0;
  }
  GESSO_BOTH float Bias(int64_t h, int64_t query, int64_t key) const {
    return bias.GetOr((h * queries + query) * keys + key, 0);
  }

  GESSO_BOTH int64_t Token(Place place) const { return place.x; }
  GESSO_BOTH int64_t Tasks(int a_block) const { return CeilDiv(queries, a_block); }
  GESSO_BOTH AttentionTask Task(int64_t i, int a_block) const {
    return {{0, 0, 1, static_cast<int>(queries)},
            static_cast<int>(i) * a_block,
            {0, 0, 1, static_cast<int>(keys)}};
  }
  GESSO_BOTH Place FirstKey(Place) const { return {0, 0}; }
  GESSO_BOTH bool Sees(Place, Place) const { return true; }
  GESSO_BOTH bool SeesAll() const { return masked == nullptr && bias.absent(); }
  GESSO_BOTH bool SeesAny(Place, Place, Place, Place) const { return true; }
};

// What attentions on a grid [Y, X] of tokens share: no bias, no mask.
struct GridKeys {
  int64_t height, width;

  GESSO_BOTH bool Takes(int64_t, int64_t) const { return true; }
  GESSO_BOTH float Bias(int64_t, int64_t, int64_t) const { return 0; }
  GESSO_BOTH int64_t Token(Place place) const { return place.y * width + place.x; }
};

// The kernel_size x kernel_size neighborhood of a token on a grid, moved inwards at the border.
struct NeighborKeys : GridKeys {
  static constexpr int kTaskColumns = 8;
  int64_t kernel_size;

  explicit NeighborKeys(const NeighborhoodAttentionArgs& args)
      : GridKeys{args.q.shape[1], args.q.shape[2]}, kernel_size(args.kernel_size) {}

  GESSO_BOTH int64_t First(int64_t at, int64_t size) const {
    const int64_t first = at - kernel_size / 2;
    return first < 0 ? 0 : first > size - kernel_size ? size - kernel_size : first;
  }
  GESSO_BOTH int64_t count(int64_t) const { return kernel_size * kernel_size; }
  GESSO_BOTH int64_t At(int64_t query, int64_t j) const {
    const int64_t y = First(query / width, height) + j / kernel_size;
    return y * width + First(query % width, width) + j % kernel_size;
  }

  // Tasks are squares of queries, or as near to squares as a_block allows; first keys grow with
  // their queries, so that those of the corners bound all.
  GESSO_BOTH int64_t Tasks(int a_block) const {
    return CeilDiv(height, a_block / kTaskColumns) * CeilDiv(width, kTaskColumns);
  }
  GESSO_BOTH AttentionTask Task(int64_t i, int a_block) const {
    const int64_t across = CeilDiv(width, kTaskColumns);
    const Rectangle queries =
        Cut(i / across * (a_block / kTaskColumns), i % across * kTaskColumns, a_block);
    const Place first = FirstKey({queries.y, queries.x});
    const Place last = FirstKey({queries.y + queries.rows - 1, queries.x + queries.columns - 1});
    const int size = static_cast<int>(kernel_size);
    return {queries, 0, {first.y, first.x, last.y - first.y + size, last.x - first.x + size}};
  }
  GESSO_BOTH Place FirstKey(Place query) const {
    return {static_cast<int>(First(query.y, height)), static_cast<int>(First(query.x, width))};
  }
  GESSO_BOTH bool Sees(Place first, Place key) const {
    const int size = static_cast<int>(kernel_size);
    return key.y >= first.y && key.y < first.y + size && key.x >= first.x && key.x < first.x + size;
  }
  GESSO_BOTH bool SeesAll() const { return false; }
  GESSO_BOTH bool SeesAny(Place query, Place last_query, Place key, Place last_key) const {
    return last_key.y >= First(query.y, height) &&
           key.y < First(last_query.y, height) + kernel_size;
  }

 private:
  // The rectangle of a task from (y, x) on, cut at the border of the grid.
  GESSO_BOTH Rectangle Cut(int64_t y, int64_t x, int a_block) const {
    const int64_t rows = a_block / kTaskColumns;
    return {static_cast<int>(y), static_cast<int>(x),
            static_cast<int>(y + rows > height ? height - y : rows),
            static_cast<int>(x + kTaskColumns > width ? width - x : kTaskColumns)};
  }
};

// The window of a token: tokens whose (position + shift) / window agree, cut at the border.
struct WindowKeys : GridKeys {
  int64_t window, shift;

  explicit WindowKeys(const WindowAttentionArgs& args)
      : GridKeys{args.q.shape[1], args.q.shape[2]}, window(args.window), shift(args.shift) {}

  GESSO_BOTH int64_t Begin(int64_t at) const {
    const int64_t begin = (at + shift) / window * window - shift;
    return begin < 0 ? 0 : begin;
  }
  GESSO_BOTH int64_t End(int64_t at, int64_t size) const {
    const int64_t end = (at + shift) / window * window - shift + window;
    return end > size ? size : end;
  }
  GESSO_BOTH int64_t Columns(int64_t query) const {
    return End(query % width, width) - Begin(query % width);
  }
  GESSO_BOTH int64_t count(int64_t query) const {
    return (End(query / width, height) - Begin(query / width)) * Columns(query);
  }
  GESSO_BOTH int64_t At(int64_t query, int64_t j) const {
    const int64_t columns = Columns(query);
    const int64_t y = Begin(query / width) + j / columns;
    return y * width + Begin(query % width) + j % columns;
  }

  // A window's queries are its keys; those of a large window are several tasks.
  GESSO_BOTH int64_t Tasks(int a_block) const {
    return CeilDiv(height + shift, window) * CeilDiv(width + shift, window) * Parts(a_block);
  }
  GESSO_BOTH AttentionTask Task(int64_t i, int a_block) const {
    const int64_t across = CeilDiv(width + shift, window);
    const int64_t which = i / Parts(a_block);
    const Rectangle tokens = Tokens(which / across, which % across);
    return {tokens, static_cast<int>(i % Parts(a_block)) * a_block, tokens};
  }
  GESSO_BOTH Place FirstKey(Place) const { return {0, 0}; }
  GESSO_BOTH bool Sees(Place, Place) const { return true; }
  GESSO_BOTH bool SeesAll() const { return true; }
  GESSO_BOTH bool SeesAny(Place, Place, Place, Place) const { return true; }

 private:
  GESSO_BOTH int64_t Parts(int a_block) const {
    const int64_t rows = window < height ? window : height;
    const int64_t columns = window < width ? window : width;
    return CeilDiv(rows * columns, a_block);
  }
  // Those of window (row, column), counted from the one that holds token (0, 0).
  GESSO_BOTH Rectangle Tokens(int64_t row, int64_t column) const {
    const int64_t y = row * window < shift ? 0 : row * window - shift;
    const int64_t x = column * window < shift ? 0 : column * window - shift;
    return {static_cast<int>(y), static_cast<int>(x), static_cast<int>(End(y, height) - y),
            static_cast<int>(End(x, width) - x)};
  }
};

}  // namespace gesso::cuda
