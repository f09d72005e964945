// Which keys a query attends to: one struct a kind of attention. A warp a query (attention.cuh)
// asks for the keys of one query. A block of queries (flash_attention.cuh) asks for a task, its
// queries and the tiles of keys that it walks through; how much of some keys some queries see
// (SightOf); and for single pairs where that is neither all nor nothing (HasKey, Sees, BiasOf).
#pragma once

#include "kernels/attention.h"
#include "kernels/cuda/device/divisor.cuh"

namespace gesso::cuda {

// Of a token on its grid; a sequence is a grid of one row.
struct Place {
  int y, x;
};

struct Rectangle {
  int y, x, rows, columns;

  GESSO_BOTH int count() const { return rows * columns; }
  GESSO_BOTH int end_y() const { return y + rows; }
  GESSO_BOTH int end_x() const { return x + columns; }
  GESSO_BOTH Place At(int i) const { return {y + i / columns, x + i % columns}; }
  // Of a place that is not before the rectangle.
  GESSO_BOTH bool Holds(Place place) const { return place.y < end_y() && place.x < end_x(); }
};

// The work of one block: the queries from number `first` of a rectangle on, and the keys that at
// least one query of the rectangle sees.
struct AttentionTask {
  Rectangle queries;
  int first;
  Rectangle keys;
};

// The keys of a task that are in shared memory at once, in slots 0, 1, 2, ...; some slots may be
// beyond the keys.
struct KeyTile {
  int first;    // slots of the tiles before it
  Place place;  // of the key in slot 0
};

// How many pairs of some queries and some keys count.
enum class Sight { kNone, kSome, kAll };

GESSO_BOTH int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

// All keys of a sequence; kChosen: with a bias, a mask or both.
template <bool kChosen>
struct SequenceKeys {
  const float* bias;      // [H, Tq, Tk], or null
  const int32_t* masked;  // [B, Tk], 0 takes no part; or null
  int64_t queries, keys;

  explicit SequenceKeys(const AttentionArgs& args)
      : bias(static_cast<const float*>(args.bias.data)),
        masked(static_cast<const int32_t*>(args.key_mask.data)),
        queries(args.q.shape[1]),
        keys(args.k.shape[1]) {}

  GESSO_BOTH int64_t count(int64_t) const { return keys; }
  GESSO_BOTH int64_t At(int64_t, int64_t j) const { return j; }
  GESSO_BOTH bool Takes(int64_t b, int64_t key) const {
    if constexpr (!kChosen) return true;
    return masked == nullptr || masked[b * keys + key] != 0;
  }
  GESSO_BOTH bool HasBias() const { return kChosen && bias != nullptr; }
  // Of the query's keys, or null.
  GESSO_BOTH const float* BiasOf(int64_t h, int64_t query) const {
    if constexpr (!kChosen) return nullptr;
    return bias == nullptr ? nullptr : bias + (h * queries + query) * keys;
  }

  GESSO_BOTH int64_t Token(Place place) const { return place.x; }
  GESSO_BOTH int64_t Tasks(int a_block) const { return CeilDiv(queries, a_block); }
  GESSO_BOTH AttentionTask Task(int i, int a_block) const {
    return {{0, 0, 1, static_cast<int>(queries)}, i * a_block, {0, 0, 1, static_cast<int>(keys)}};
  }
  // Beyond the last query of a task the last one is worked at again, and not stored.
  GESSO_BOTH bool HasQuery(const AttentionTask& task, int slot) const {
    return task.first + slot < task.queries.columns;
  }
  GESSO_BOTH Place QueryAt(const AttentionTask& task, int slot) const {
    return {0, HasQuery(task, slot) ? task.first + slot : task.queries.columns - 1};
  }

  GESSO_BOTH int64_t MostTiles(int, int a_tile) const { return CeilDiv(keys, a_tile); }
  GESSO_BOTH bool HasTile(const AttentionTask& task, const KeyTile& tile) const {
    return tile.first < task.keys.columns;
  }
  GESSO_BOTH KeyTile Next(const AttentionTask&, const KeyTile& tile, int a_tile) const {
    return {tile.first + a_tile, {0, tile.first + a_tile}};
  }
  GESSO_BOTH Place KeyAt(const AttentionTask&, const KeyTile& tile, int slot) const {
    return {0, tile.first + slot};
  }
  GESSO_BOTH Place KeyAfter(const AttentionTask&, Place key) const { return {0, key.x + 1}; }

  GESSO_BOTH Sight SightOf(const AttentionTask& task, int, int, const KeyTile& tile, int slot,
                           int last) const {
    if (tile.first + slot >= task.keys.columns) return Sight::kNone;
    return !kChosen && tile.first + last < task.keys.columns ? Sight::kAll : Sight::kSome;
  }
  GESSO_BOTH bool HasKey(const AttentionTask& task, int b, const KeyTile& tile, int slot) const {
    return tile.first + slot < task.keys.columns && Takes(b, tile.first + slot);
  }
  GESSO_BOTH Place FirstKey(Place) const { return {0, 0}; }
  GESSO_BOTH bool Sees(Place, const KeyTile&, int, int) const { return true; }
};
using AllKeys = SequenceKeys<false>;
using ChosenKeys = SequenceKeys<true>;

// What attentions on a grid [Y, X] of tokens share: no bias, no mask.
struct GridKeys {
  int height, width;

  explicit GridKeys(ConstView grid)
      : height(static_cast<int>(grid.shape[1])), width(static_cast<int>(grid.shape[2])) {}

  GESSO_BOTH bool Takes(int64_t, int64_t) const { return true; }
  GESSO_BOTH bool HasBias() const { return false; }
  GESSO_BOTH const float* BiasOf(int64_t, int64_t) const { return nullptr; }
  GESSO_BOTH int64_t Token(Place place) const { return int64_t{place.y} * width + place.x; }
};

// The kernel_size x kernel_size neighborhood of a token on a grid, moved inwards at the border.
struct NeighborKeys : GridKeys {
  static constexpr int kColumns = 8;  // of queries a task, and of keys a tile
  int kernel_size;
  Divisor tasks_across;

  explicit NeighborKeys(const NeighborhoodAttentionArgs& args)
      : GridKeys(args.q),
        kernel_size(static_cast<int>(args.kernel_size)),
        tasks_across(CeilDiv(width, kColumns)) {}

  GESSO_BOTH int First(int at, int size) const {
    const int first = at - kernel_size / 2;
    return first < 0 ? 0 : first > size - kernel_size ? size - kernel_size : first;
  }
  GESSO_BOTH int64_t count(int64_t) const { return int64_t{kernel_size} * kernel_size; }
  GESSO_BOTH int64_t At(int64_t query, int64_t j) const {
    const Place first =
        FirstKey({static_cast<int>(query / width), static_cast<int>(query % width)});
    return (first.y + j / kernel_size) * width + first.x + j % kernel_size;
  }

  // Tasks are rectangles of 8 columns of queries, cut at the border of the grid; first keys grow
  // with their queries, so that those of the corners bound all.
  GESSO_BOTH int64_t Tasks(int a_block) const {
    return CeilDiv(height, a_block / kColumns) * tasks_across;
  }
  GESSO_BOTH AttentionTask Task(int i, int a_block) const {
    const int down = static_cast<int>(int64_t{i} / tasks_across);
    const int across = i - down * static_cast<int>(tasks_across.value);
    const int rows = a_block / kColumns;
    const int y = down * rows;
    const int x = across * kColumns;
    const Rectangle queries = {y, x, y + rows > height ? height - y : rows,
                               x + kColumns > width ? width - x : kColumns};
    const Place first = FirstKey({queries.y, queries.x});
    const Place last = FirstKey({queries.end_y() - 1, queries.end_x() - 1});
    return {queries,
            0,
            {first.y, first.x, last.y - first.y + kernel_size, last.x - first.x + kernel_size}};
  }
  GESSO_BOTH bool HasQuery(const AttentionTask& task, int slot) const {
    return slot / kColumns < task.queries.rows && slot % kColumns < task.queries.columns;
  }
  GESSO_BOTH Place QueryAt(const AttentionTask& task, int slot) const {
    return {Lower(task.queries.y + slot / kColumns, task.queries.end_y() - 1),
            Lower(task.queries.x + slot % kColumns, task.queries.end_x() - 1)};
  }

  // Tiles of 8 columns, strip by strip, each from its top to its top: but for the strips at
  // either end all queries see the same columns.
  GESSO_BOTH int64_t MostTiles(int a_block, int a_tile) const {
    const int rows = Lower(kernel_size + a_block / kColumns - 1, height);
    const int columns = Lower(kernel_size + kColumns - 1, width);
    return CeilDiv(columns, kColumns) * CeilDiv(rows, a_tile / kColumns);
  }
  GESSO_BOTH bool HasTile(const AttentionTask& task, const KeyTile& tile) const {
    return tile.place.x < task.keys.end_x();
  }
  GESSO_BOTH KeyTile Next(const AttentionTask& task, const KeyTile& tile, int a_tile) const {
    const int first = tile.first + a_tile;
    const int y = tile.place.y + a_tile / kColumns;
    if (y < task.keys.end_y()) return {first, {y, tile.place.x}};
    return {first, {task.keys.y, tile.place.x + kColumns}};
  }
  GESSO_BOTH Place KeyAt(const AttentionTask&, const KeyTile& tile, int slot) const {
    return {tile.place.y + slot / kColumns, tile.place.x + slot % kColumns};
  }
  GESSO_BOTH Place KeyAfter(const AttentionTask&, Place key) const { return {key.y, key.x + 1}; }

  GESSO_BOTH Sight SightOf(const AttentionTask& task, int query, int last_query,
                           const KeyTile& tile, int slot, int last) const {
    const int above = First(QueryAt(task, query).y, height);  // the first key of the first row
    const int below = First(QueryAt(task, last_query).y, height);
    const int y = tile.place.y + slot / kColumns;
    const int last_y = tile.place.y + last / kColumns;
    if (last_y < above || y >= below + kernel_size) return Sight::kNone;
    const int left = First(task.queries.x, width);
    const int right = First(task.queries.end_x() - 1, width);
    const bool all = y >= below && last_y < above + kernel_size && tile.place.x >= right &&
                     tile.place.x + kColumns <= left + kernel_size;
    return all ? Sight::kAll : Sight::kSome;
  }
  GESSO_BOTH Place FirstKey(Place query) const {
    return {First(query.y, height), First(query.x, width)};
  }
  GESSO_BOTH bool HasKey(const AttentionTask&, int, const KeyTile&, int) const {
    return true;  // others are seen by nobody
  }
  GESSO_BOTH bool Sees(Place first, const KeyTile& tile, int run, int i) const {
    const auto near = [this](int from, int to) {
      return static_cast<unsigned>(to - from) < static_cast<unsigned>(kernel_size);
    };
    return near(first.x, tile.place.x + i) && near(first.y, tile.place.y + run);
  }

 private:
  GESSO_BOTH static int Lower(int a, int b) { return a < b ? a : b; }
};

// The window of a token: tokens whose (position + shift) / window agree, cut at the border.
struct WindowKeys : GridKeys {
  int64_t window, shift;
  Divisor tasks_across;  // windows side by side

  explicit WindowKeys(const WindowAttentionArgs& args)
      : GridKeys(args.q),
        window(args.window),
        shift(args.shift),
        tasks_across(CeilDiv(width + shift, window)) {}

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
    return CeilDiv(height + shift, window) * tasks_across * Parts(a_block);
  }
  GESSO_BOTH AttentionTask Task(int i, int a_block) const {
    const int parts = Parts(a_block);
    const int which = i / parts;
    const int64_t down = int64_t{which} / tasks_across;
    const Rectangle tokens = Tokens(down, which - down * tasks_across.value);
    return {tokens, (i - which * parts) * a_block, tokens};
  }
  GESSO_BOTH bool HasQuery(const AttentionTask& task, int slot) const {
    return task.first + slot < task.queries.count();
  }
  GESSO_BOTH Place QueryAt(const AttentionTask& task, int slot) const {
    return task.queries.At(HasQuery(task, slot) ? task.first + slot : task.queries.count() - 1);
  }

  GESSO_BOTH int64_t MostTiles(int, int a_tile) const { return CeilDiv(MostTokens(), a_tile); }
  GESSO_BOTH bool HasTile(const AttentionTask& task, const KeyTile& tile) const {
    return tile.first < task.keys.count();
  }
  GESSO_BOTH KeyTile Next(const AttentionTask&, const KeyTile& tile, int a_tile) const {
    return {tile.first + a_tile, {}};  // places are asked for by number
  }
  GESSO_BOTH Place KeyAt(const AttentionTask& task, const KeyTile& tile, int slot) const {
    return task.keys.At(tile.first + slot);
  }
  GESSO_BOTH Place KeyAfter(const AttentionTask& task, Place key) const {
    if (key.x + 1 < task.keys.end_x()) return {key.y, key.x + 1};
    return {key.y + 1, task.keys.x};
  }

  GESSO_BOTH Sight SightOf(const AttentionTask& task, int, int, const KeyTile& tile, int slot,
                           int last) const {
    if (tile.first + slot >= task.keys.count()) return Sight::kNone;
    return tile.first + last < task.keys.count() ? Sight::kAll : Sight::kSome;
  }
  GESSO_BOTH bool HasKey(const AttentionTask& task, int, const KeyTile& tile, int slot) const {
    return tile.first + slot < task.keys.count();
  }
  GESSO_BOTH Place FirstKey(Place) const { return {0, 0}; }
  GESSO_BOTH bool Sees(Place, const KeyTile&, int, int) const { return true; }

 private:
  GESSO_BOTH int MostTokens() const {
    return static_cast<int>((window < height ? window : height) *
                            (window < width ? window : width));
  }
  GESSO_BOTH int Parts(int a_block) const { return (MostTokens() + a_block - 1) / a_block; }
  // Those of window (row, column), counted from the one that holds token (0, 0).
  GESSO_BOTH Rectangle Tokens(int64_t row, int64_t column) const {
    const auto begin = [](int64_t at) { return static_cast<int>(at < 0 ? 0 : at); };
    const auto end = [](int64_t at, int size) { return at < size ? static_cast<int>(at) : size; };
    const int64_t top = row * window - shift;
    const int64_t left = column * window - shift;
    const int y = begin(top);
    const int x = begin(left);
    return {y, x, end(top + window, height) - y, end(left + window, width) - x};
  }
};

}  // namespace gesso::cuda
