// The threads of a CUDA block on the host: what kernels/cuda/device/block_threads.cuh does with
// tensor cores and asynchronous copies, by loops over all threads. Layouts of fragments are those
// of the PTX ISA, written down here once more, so that a kernel's indices are checked against them.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstring>
#include <vector>

#include "kernels/cuda/device/fragments.cuh"

namespace gesso::testing_support {

// Copies into shared memory arrive as early or as late as the device may do them.
enum class Arrival { kEarly, kLate };

class CudaThreads {
 public:
  static constexpr int kMost = 512;

  template <class T>
  struct Each {
    std::array<T, kMost> all{};
    T& operator[](int thread) { return all.at(static_cast<size_t>(thread)); }
    const T& operator[](int thread) const { return all.at(static_cast<size_t>(thread)); }
  };

  CudaThreads(int warps, Arrival arrival) : count_(32 * warps), end_(count_), arrival_(arrival) {}

  int count() const { return count_; }
  // In one order or in the other: threads that do not wait for each other have none.
  template <class Body>
  void ForEach(const Body& body) const {
    const bool backwards = Toss();
    for (int i = begin_; i < end_; ++i) body(backwards ? begin_ + end_ - 1 - i : i);
  }
  template <class Body>
  void ForEachAnew(const Body& body) const {
    ForEach(body);
  }
  // Every warp by itself, told of its first or its last thread: what a body decides is to be the
  // same for both.
  template <class Body>
  void ForEachWarp(const Body& body) {
    const bool backwards = Toss();
    for (int i = 0; i < count_; i += 32) {
      begin_ = backwards ? count_ - 32 - i : i;
      end_ = begin_ + 32;
      body(arrival_ == Arrival::kEarly ? begin_ : end_ - 1);
    }
    begin_ = 0;
    end_ = count_;
  }
  bool Any(const Each<bool>& says) const {
    EXPECT_EQ(end_ - begin_, 32);
    bool any = false;
    for (int t = begin_; t < end_; ++t) any = any || says[t];
    return any;
  }
  void Barrier() const {}
  void WarpBarrier() const {}

  void Copy(void* to, const void* from, bool takes) {
    EXPECT_EQ(reinterpret_cast<uintptr_t>(to) % 16, 0u);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(from) % 16, 0u);
    groups_.back().push_back({to, takes ? from : nullptr});
    if (arrival_ == Arrival::kEarly) Arrive(groups_.back());
  }
  void CommitCopies() { groups_.emplace_back(); }
  // Groups closed so far, but for the `newest`; the last one of the list is open.
  template <int kNewest>
  void AwaitAllBut() {
    for (size_t i = 0; i + 1 + kNewest < groups_.size(); ++i) Arrive(groups_[i]);
  }
  static const char* Whole(const char* pointer) { return pointer; }

  template <int kRows>
  void GroupMax(Each<cuda::RowNumbers<kRows>>& values) const {
    Reduce(values, [](float a, float b) { return std::fmax(a, b); });
  }
  template <int kRows>
  void GroupSum(Each<cuda::RowNumbers<kRows>>& values) const {
    Reduce(values, [](float a, float b) { return a + b; });
  }

  template <class At>
  void LoadMatrices(Each<cuda::Registers>& to, const At& at) const {
    Load(to, at, false);
  }
  template <class At>
  void LoadTransposed(Each<cuda::Registers>& to, const At& at) const {
    Load(to, at, true);
  }

  template <int kFirst>
  void MultiplyBf16(Each<cuda::Accumulator>& sum, const Each<cuda::Registers>& left,
                    const Each<cuda::Registers>& rights) const {
    Multiply<16>(
        sum,
        [&](size_t row, size_t k) {  // a0, a1 | a2, a3 | a4, a5 | a6, a7 in four registers
          const size_t lane = row % 8 * 4 + k % 8 / 2;
          return Half(left, lane, row / 8 + k / 8 * 2, k % 2);
        },
        [&](size_t k, size_t column) {
          return Half(rights, column * 4 + k % 8 / 2, kFirst + k / 8, k % 2);
        });
  }
  template <int kFirst>
  void MultiplyTf32(Each<cuda::Accumulator>& sum, const Each<cuda::Registers>& left,
                    const Each<cuda::Registers>& rights) const {
    Multiply<8>(
        sum,
        [&](size_t row, size_t k) { return Tf32(left, row % 8 * 4 + k % 4, row / 8 + k / 4 * 2); },
        [&](size_t k, size_t column) { return Tf32(rights, column * 4 + k % 4, kFirst + k / 4); });
  }

 private:
  bool Toss() const {
    tossed_ = tossed_ * 1664525u + 1013904223u;
    return tossed_ >> 31 != 0;
  }

  struct Chunk {
    void* to;
    const void* from;  // or null: zeros
  };

  static void Arrive(std::vector<Chunk>& group) {
    for (const Chunk& chunk : group) {
      if (chunk.from == nullptr) {
        std::memset(chunk.to, 0, 16);
      } else {
        std::memcpy(chunk.to, chunk.from, 16);
      }
    }
    group.clear();
  }

  template <int kRows, class Op>
  void Reduce(Each<cuda::RowNumbers<kRows>>& values, const Op& op) const {
    for (int t = begin_; t < end_; t += 4) {
      for (int r = 0; r < kRows; ++r) {
        float result = values[t].at[r];
        for (int i = 1; i < 4; ++i) result = op(result, values[t + i].at[r]);
        for (int i = 0; i < 4; ++i) values[t + i].at[r] = result;
      }
    }
  }

  template <class At>
  void Load(Each<cuda::Registers>& to, const At& at, bool transposed) const {
    for (int warp = begin_; warp < end_; warp += 32) {
      for (int matrix = 0; matrix < 4; ++matrix) {
        uint16_t values[8][8];
        for (int row = 0; row < 8; ++row) {
          const void* from = at(warp + matrix * 8 + row);
          EXPECT_EQ(reinterpret_cast<uintptr_t>(from) % 16, 0u);
          std::memcpy(values[row], from, 16);
        }
        for (int lane = 0; lane < 32; ++lane) {
          const int g = lane / 4;
          const int i = lane % 4 * 2;
          const uint32_t first = transposed ? values[i][g] : values[g][i];
          const uint32_t second = transposed ? values[i + 1][g] : values[g][i + 1];
          to[warp + lane].at[matrix] = first | second << 16;
        }
      }
    }
  }

  // Numbers of the factors' elements, counted by the lane that holds them; `warp_` is being worked.
  double Half(const Each<cuda::Registers>& from, size_t lane, size_t index, size_t half) const {
    return cuda::BitsToFloat(from[warp_ + static_cast<int>(lane)].at[index] >> (16 * half) << 16);
  }
  double Tf32(const Each<cuda::Registers>& from, size_t lane, size_t index) const {
    const uint32_t bits = from[warp_ + static_cast<int>(lane)].at[index];
    if ((bits & 0x1fffu) != 0 && !std::isnan(cuda::BitsToFloat(bits))) {
      ADD_FAILURE() << "more bits than TF32 has: " << bits;
    }
    return cuda::BitsToFloat(bits);
  }

  // sum [16, 8] += left [16, kDepth] right [kDepth, 8] of every warp. What a float32 cannot hold is
  // cut off, as tensor cores do it.
  template <size_t kDepth, class Left, class Right>
  void Multiply(Each<cuda::Accumulator>& sum, const Left& left, const Right& right) const {
    for (warp_ = begin_; warp_ < end_; warp_ += 32) {
      std::array<std::array<double, kDepth>, 16> rows;
      std::array<std::array<double, kDepth>, 8> columns;
      for (size_t k = 0; k < kDepth; ++k) {
        for (size_t row = 0; row < 16; ++row) rows[row][k] = left(row, k);
        for (size_t column = 0; column < 8; ++column) columns[column][k] = right(k, column);
      }
      for (size_t row = 0; row < 16; ++row) {
        for (size_t column = 0; column < 8; ++column) {
          const size_t lane = row % 8 * 4 + column / 2;
          float& to = sum[warp_ + static_cast<int>(lane)].at[row / 8 * 2 + column % 2];
          double total = to;
          for (size_t k = 0; k < kDepth; ++k) total += rows[row][k] * columns[column][k];
          to = static_cast<float>(total);
          if (std::abs(static_cast<double>(to)) > std::abs(total)) to = std::nextafter(to, 0.0f);
        }
      }
    }
  }

  int count_;
  mutable uint32_t tossed_ = 1;
  int begin_ = 0;  // of the threads at work
  int end_;
  Arrival arrival_;
  mutable int warp_ = 0;
  std::vector<std::vector<Chunk>> groups_ = std::vector<std::vector<Chunk>>(1);
};

}  // namespace gesso::testing_support
