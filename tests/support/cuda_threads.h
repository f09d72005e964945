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
  template <class Busy, class Body>
  void ForEachWarp(const Busy& busy, const Body& body) {
    ForEachWarp([&](int t) {
      EXPECT_EQ(busy(begin_), busy(end_ - 1));
      if (busy(t)) body();
    });
  }
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
  void Barrier() const {}
  void WarpBarrier() const {}

  void Copy(void* to, const void* from, bool takes) {
    EXPECT_EQ(reinterpret_cast<uintptr_t>(to) % 16, 0u);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(from) % 16, 0u);
    groups_.back().push_back({to, takes ? from : nullptr});
    if (arrival_ == Arrival::kEarly) Arrive(groups_.back());
  }
  void CommitCopies() { groups_.emplace_back(); }
  void AwaitAllButNewest() { AwaitAllBut<1>(); }
  template <int kNewest>
  void AwaitAllBut() {
    for (size_t i = 0; i + 1 + kNewest < groups_.size(); ++i) Arrive(groups_[i]);
  }

  void GroupMax(Each<cuda::Couple>& values) const {
    Reduce(values, [](float a, float b) { return std::fmax(a, b); });
  }
  void GroupSum(Each<cuda::Couple>& values) const {
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
        [&](int row, int k) {  // a0, a1 | a2, a3 | a4, a5 | a6, a7 in four registers
          const int lane = row % 8 * 4 + k % 8 / 2;
          return Half(left, lane, row / 8 + k / 8 * 2, k % 2);
        },
        [&](int k, int column) {
          return Half(rights, column * 4 + k % 8 / 2, kFirst + k / 8, k % 2);
        });
  }
  template <int kFirst>
  void MultiplyTf32(Each<cuda::Accumulator>& sum, const Each<cuda::Registers>& left,
                    const Each<cuda::Registers>& rights) const {
    Multiply<8>(
        sum, [&](int row, int k) { return Tf32(left, row % 8 * 4 + k % 4, row / 8 + k / 4 * 2); },
        [&](int k, int column) { return Tf32(rights, column * 4 + k % 4, kFirst + k / 4); });
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

  template <class Op>
  void Reduce(Each<cuda::Couple>& values, const Op& op) const {
    for (int t = begin_; t < end_; t += 4) {
      for (size_t r = 0; r < 2; ++r) {
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
          const uint16_t* from = at(warp + matrix * 8 + row);
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
  double Half(const Each<cuda::Registers>& from, int lane, int index, int half) const {
    return cuda::BitsToFloat(from[warp_ + lane].at[index] >> (16 * half) << 16);
  }
  double Tf32(const Each<cuda::Registers>& from, int lane, int index) const {
    const uint32_t bits = from[warp_ + lane].at[index];
    if ((bits & 0x1fffu) != 0 && !std::isnan(cuda::BitsToFloat(bits))) {
      ADD_FAILURE() << "more bits than TF32 has: " << bits;
    }
    return cuda::BitsToFloat(bits);
  }

  // sum [16, 8] += left [16, kDepth] right [kDepth, 8] of every warp. What a float32 cannot hold is
  // cut off, as tensor cores do it.
  template <int kDepth, class Left, class Right>
  void Multiply(Each<cuda::Accumulator>& sum, const Left& left, const Right& right) const {
    for (warp_ = begin_; warp_ < end_; warp_ += 32) {
      for (int row = 0; row < 16; ++row) {
        for (int column = 0; column < 8; ++column) {
          float& to = sum[warp_ + row % 8 * 4 + column / 2].at[row / 8 * 2 + column % 2];
          double total = to;
          for (int k = 0; k < kDepth; ++k) total += left(row, k) * right(k, column);
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
