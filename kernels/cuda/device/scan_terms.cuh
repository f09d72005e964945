// What one direction of a selective scan reads and writes, token by token.
#pragma once

#include "kernels/cuda/device/divisor.cuh"
#include "kernels/cuda/device/scan_carry.cuh"
#include "kernels/cuda/device/softplus.cuh"
#include "kernels/cuda/device/vectors.cuh"
#include "kernels/scan.h"

namespace gesso::cuda {

// The type of all that a scan reads for its tokens, where that is one, and all of it and of out can
// be read and written two numbers at a time.
enum class ScanType { kF32, kBF16, kMixed };

// Where a lane goes from token to token.
struct ScanWalk {
  char* at = nullptr;
  int token = 0;  // bytes from one to the next

  GESSO_BOTH char* After(int tokens) const { return at + token * tokens; }
};

// Two numbers as they lie in memory; they become numbers where they are needed, as a thread that
// looks at what it has asked for waits for it.
template <ScanType kType>
struct ScanBits {
  uint32_t at[2];  // of kBF16 both are in the first

  GESSO_BOTH static bool IsBf16(bool bf16) {
    return kType == ScanType::kMixed ? bf16 : kType == ScanType::kBF16;
  }
  // second: whether there is a second one; else it is 0.
  GESSO_BOTH void Ask(const char* from, bool bf16, bool second) {
    if constexpr (kType == ScanType::kBF16) {
      at[0] = reinterpret_cast<const Words<1>*>(from)->at[0];
    } else if constexpr (kType == ScanType::kF32) {
      const auto words = *reinterpret_cast<const Words<2>*>(from);
      at[0] = words.at[0];
      at[1] = words.at[1];
    } else if (bf16) {
      const auto* const numbers = reinterpret_cast<const uint16_t*>(from);
      at[0] = numbers[0];
      at[1] = second ? numbers[1] : 0;
    } else {
      const auto* const numbers = reinterpret_cast<const float*>(from);
      at[0] = FloatToBits(numbers[0]);
      at[1] = second ? FloatToBits(numbers[1]) : 0;
    }
  }
  GESSO_BOTH float Number(bool bf16, int i) const {
    if (kType == ScanType::kBF16) return BitsToFloat(i == 0 ? at[0] << 16 : at[0] & 0xffff0000u);
    return BitsToFloat(IsBf16(bf16) ? at[i] << 16 : at[i]);
  }
  // Writes two numbers, or one if there is no second, of the type that `bf16` says.
  GESSO_BOTH static void Set(char* to, bool bf16, float first, float second, bool has_second) {
    if (bf16) {
      const uint32_t both = PackBf16(first, second);
      if (kType != ScanType::kMixed) return WriteWords(to, Words<1>{{both}});
      auto* const numbers = reinterpret_cast<uint16_t*>(to);
      numbers[0] = static_cast<uint16_t>(both);
      if (has_second) numbers[1] = static_cast<uint16_t>(both >> 16);
    } else {
      if (kType != ScanType::kMixed) {
        *reinterpret_cast<Words<2>*>(to) = {{FloatToBits(first), FloatToBits(second)}};
        return;
      }
      auto* const numbers = reinterpret_cast<float*>(to);
      numbers[0] = first;
      if (has_second) numbers[1] = second;
    }
  }
};

// Numbers of tokens, [B, L, ...] with contiguous rows, in the order of a scan.
struct ScanColumns {
  Numbers values;
  int64_t picture = 0, group = 0, token = 0;  // strides
  int step = 0;                               // from a step's token to the next one's, in bytes

  ScanColumns() = default;
  ScanColumns(ConstView view, bool backward)
      : ScanColumns(Numbers(view), view.strides[0], view.strides[1], backward) {
    if (view.shape.rank() == 4) group = view.strides[2];
  }
  ScanColumns(const Numbers& numbers, int64_t of_picture, int64_t of_token, bool backward)
      : values(numbers),
        picture(of_picture),
        token(of_token),
        step(static_cast<int>(values.BytesOf(backward ? -token : token))) {}

  GESSO_BOTH bool absent() const { return values.absent(); }
  GESSO_BOTH ScanWalk From(int64_t b, int64_t g, int64_t i, int64_t t) const {
    const int64_t at = b * picture + g * group + t * token + i;
    return {static_cast<char*>(values.data) + values.BytesOf(at), step};
  }
  // Whether two numbers in a row can be read and written at once, at even places.
  bool InPairs() const {
    const auto bytes = static_cast<uintptr_t>(values.BytesOf(2));
    return reinterpret_cast<uintptr_t>(values.data) % bytes == 0 &&
           (picture | group | token) % 2 == 0;
  }
};

struct SelectiveTerms {
  ScanShape shape;
  ScanColumns u, delta, b, c, z, out;
  Numbers a, d, delta_bias, initial_state, final_state;
  // In one register: whether steps go through softplus, there is z, and out is bfloat16.
  enum Flag { kSoftplus = 1, kGated = 2, kBf16Out = 4 };
  int flags = 0;
  bool backward = false;

  SelectiveTerms() = default;
  SelectiveTerms(const SelectiveScanArgs& args, bool runs_backward)
      : flags(args.delta_softplus ? kSoftplus : 0), backward(runs_backward) {
    const ScanDirection& in = backward ? args.backward : args.forward;
    shape = {in.u.shape[0], in.u.shape[1], in.u.shape[2], in.a.shape[1], in.b.shape[2]};
    u = ScanColumns(in.u, backward);
    delta = ScanColumns(in.delta, backward);
    b = ScanColumns(in.b, backward);
    c = ScanColumns(in.c, backward);
    WriteTo(Numbers(args.out));
    if (!args.z.empty()) {
      z = ScanColumns(args.z, backward);
      flags |= kGated;
    }
    a = Numbers(in.a);
    d = Numbers(in.d);
    delta_bias = Numbers(in.delta_bias);
    initial_state = Numbers(in.initial_state);
    final_state = Numbers(in.final_state);
  }

  // To [B, L, D], contiguous.
  void WriteTo(const Numbers& numbers) {
    out = ScanColumns(numbers, shape.length * shape.channels, shape.channels, backward);
    flags = (flags & ~kBf16Out) | (numbers.bf16 ? kBf16Out : 0);
  }
  // To float32 numbers, which another scan's are added to before z has its part.
  void LeavePart(float* numbers) {
    Numbers partial;
    partial.data = numbers;
    WriteTo(partial);
    z = {};
    flags &= ~kGated;
  }
  ScanType type() const {
    bool simple = shape.channels / shape.groups % 2 == 0 && shape.states % 2 == 0 && out.InPairs();
    const bool bf16 = u.values.bf16;
    for (const ScanColumns& numbers : {u, delta, b, c, z}) {
      if (numbers.absent()) continue;
      simple = simple && numbers.InPairs() && numbers.values.bf16 == bf16;
    }
    if (!simple) return ScanType::kMixed;
    return bf16 ? ScanType::kBF16 : ScanType::kF32;
  }
  // The token that a step of the scan is at.
  GESSO_BOTH int Token(int step) const {
    return backward ? static_cast<int>(shape.length) - 1 - step : step;
  }
  GESSO_BOTH float Rate(int64_t channel, int64_t n) const {
    return kLog2OfE * a.Get(channel * shape.states + n);
  }
};

// Up to two directions that are scanned at once.
struct SelectiveScans {
  SelectiveTerms terms[2];
  ScanCarry carry[2];  // of several chunks
  int count = 1;
  ScanChunks chunks = {1, 0};

  ScanType type() const {
    const ScanType one = terms[0].type();
    return one == terms[count - 1].type() ? one : ScanType::kMixed;
  }
};

// Both directions; each leaves its part of the sum in memory of its own, [B, L, D] f32.
inline SelectiveScans BothScans(const SelectiveScanArgs& args, float* forward, float* backward) {
  SelectiveScans scans;
  scans.count = 2;
  scans.terms[0] = SelectiveTerms(args, false);
  scans.terms[0].LeavePart(forward);
  scans.terms[1] = SelectiveTerms(args, true);
  scans.terms[1].LeavePart(backward);
  return scans;
}

// What both directions have left, put together: out = (first + second) * silu(z); i counts [B, L,
// D]. first may be out.
struct ScanSumElement {
  static constexpr int kNumbers = 4;
  const float *first, *second;
  Numbers z, out;
  int64_t z_picture, z_token;
  Divisor length, channels;

  ScanSumElement(const SelectiveScanArgs& args, const float* forward, const float* backward)
      : first(forward),
        second(backward),
        z(args.z),
        out(args.out),
        z_picture(args.z.empty() ? 0 : args.z.strides[0]),
        z_token(args.z.empty() ? 0 : args.z.strides[1]),
        length(args.out.shape[1]),
        channels(args.out.shape[2]) {}

  bool TakesVectors() const {
    return channels % kVector == 0 && HasVectors(first) && HasVectors(second) && HasVectors(out) &&
           HasVectors(z, z_picture) && z_token % kVector == 0;
  }
  GESSO_BOTH void operator()(int64_t i) const { Run<1>(i); }
  template <int kCount>
  GESSO_BOTH void Run(int64_t i) const {
    const int64_t token = i / channels;
    const int64_t picture = token / length;
    const int64_t at =
        picture * z_picture + (token - picture * length) * z_token + i - token * channels;
    const auto gate = GetSeveralOr<kCount>(z, at, 0);
    auto y = GetSeveral<kCount>(first, i);
    const auto other = GetSeveral<kCount>(second, i);
    GESSO_UNROLL for (int k = 0; k < kCount; ++k) {
      y.at[k] += other.at[k];
      if (!z.absent()) y.at[k] *= Activated(Activation::kSilu, gate.at[k]);
    }
    SetSeveral(out, i, y);
  }
};

}  // namespace gesso::cuda
