#include "kernels/cpu/gemm.h"

#include <algorithm>
#include <array>
#include <type_traits>
#include <vector>

#include "kernels/core/parallel.h"
#include "kernels/cpu/gemm_bf16.h"
#include "kernels/cpu/highway.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/gemm.cpp"
#include "hwy/cache_control.h"
#include "hwy/foreach_target.h"
#include "kernels/cpu/math-inl.h"

// The product is cut into tiles of kMaxRows x kWidth sums that stay in registers while k runs from
// 0 to K: every output is one chain of fused multiply-adds in the order of k, so its bits depend
// neither on the tile it falls into (the batch size) nor on threads nor on the CPU's vectors.
//
// Why not oneDNN: on the shapes of HDiT at 256 pixels (gesso_bench_ops, one Sapphire Rapids core,
// medians) its 2.6.3 gives 83-90 GFLOP/s under AVX2 (matmul, inner product and packed sgemm are the
// same jit kernel; its 1x1 convolution is within 3% of them) and 163-171 under AVX-512 (brgemm);
// here it is 79-89 and 160-168 with epilogue, residual and gating included, which oneDNN's gated
// product would have to store and read again. Its own 2048 x 2048 product: 84 and 157.

#ifdef __clang__
#define GESSO_UNROLL _Pragma("unroll")
#else
#define GESSO_UNROLL _Pragma("GCC unroll 16")
#endif

HWY_BEFORE_NAMESPACE();
namespace gesso::HWY_NAMESPACE {

constexpr int kLanes = HWY_LANES(float);
constexpr int kVectors = 2;
constexpr int64_t kWidth = kVectors * kLanes;
// Sums in registers: 12 of the 16 that AVX2 has, 28 of AVX-512's 32.
constexpr int kMaxRows = kLanes == 16 ? 14 : 6;
// Panels that are multiplied before the sums are finished; a gated product whose halves do not
// begin at a panel needs one more.
constexpr int64_t kChunk = 4;
constexpr int64_t kSumStride = (kChunk + 1) * kWidth;

// A matrix of floats whose rows lie `stride` apart; with stride 0 all rows are the same.
template <class T>
struct Rows {
  T* data;
  int64_t stride;

  Rows At(int64_t row, int64_t column) const { return {data + row * stride + column, stride}; }
};

// sums[i, j] = init[i, j] + sum_k x[i, k] * panels[j, k] for kPanels panels from `panel` on. `init`
// may be `sums`.
template <int kRows, int kPanels>
void Tile(Rows<const float> x, const float* HWY_RESTRICT panel, int64_t depth,
          Rows<const float> init, Rows<float> sums) {
  constexpr int kColumns = kPanels * kVectors;
  constexpr int64_t kLine = 16;              // floats in a line of the cache
  constexpr int64_t kPrefetch = 8 * kWidth;  // hides the L2's latency while a panel comes from it
  const F32 d;
  VecF sum[kRows][kColumns];
  GESSO_UNROLL for (int i = 0; i < kRows; ++i) {
    GESSO_UNROLL for (int j = 0; j < kColumns; ++j) {
      sum[i][j] = hn::LoadU(d, init.data + i * init.stride + j * kLanes);
    }
    // Here by the time that the sums are done.
    GESSO_UNROLL for (int64_t j = 0; j < kPanels * kWidth; j += kLine) {
      hwy::Prefetch(sums.data + i * sums.stride + j);
    }
  }
  for (int64_t k = 0; k < depth; ++k) {
    VecF weight[kColumns];
    GESSO_UNROLL for (int j = 0; j < kColumns; ++j) {
      const float* from =
          panel + (j / kVectors) * depth * kWidth + k * kWidth + (j % kVectors) * kLanes;
      weight[j] = hn::Load(d, from);
      if (j % kVectors * kLanes % kLine == 0) hwy::Prefetch(from + kPrefetch);
    }
    GESSO_UNROLL for (int i = 0; i < kRows; ++i) {
      const VecF value = hn::Set(d, x.data[i * x.stride + k]);
      GESSO_UNROLL for (int j = 0; j < kColumns; ++j) {
        sum[i][j] = hn::MulAdd(value, weight[j], sum[i][j]);
      }
    }
  }
  GESSO_UNROLL for (int i = 0; i < kRows; ++i) {
    GESSO_UNROLL for (int j = 0; j < kColumns; ++j) {
      hn::StoreU(sum[i][j], d, sums.data + i * sums.stride + j * kLanes);
    }
  }
}

using TileFunction = void (*)(Rows<const float>, const float*, int64_t, Rows<const float>,
                              Rows<float>);

template <size_t... kIndex>
constexpr std::array<TileFunction, sizeof...(kIndex)> TilesOfOnePanel(
    std::index_sequence<kIndex...>) {
  return {Tile<static_cast<int>(kIndex) + 1, 1>...};
}

// The same for `rows` <= kMaxRows rows and `panels` <= kChunk + 1 panels. One or two rows take
// several panels at once: a single panel's sums would wait for each other.
void Multiply(int64_t rows, Rows<const float> x, const float* panel, int64_t panels, int64_t depth,
              Rows<const float> init, Rows<float> sums) {
  static constexpr auto kTiles =
      TilesOfOnePanel(std::make_index_sequence<static_cast<size_t>(kMaxRows)>());
  const TileFunction wide = rows == 1 ? Tile<1, 4> : Tile<2, 2>;
  const int64_t wide_panels = rows == 1 ? 4 : rows == 2 ? 2 : panels + 1;
  for (int64_t p = 0; p < panels;) {
    const bool use_wide = p + wide_panels <= panels;
    const TileFunction tile = use_wide ? wide : kTiles[static_cast<size_t>(rows - 1)];
    tile(x, panel + p * depth * kWidth, depth, init.At(0, p * kWidth), sums.At(0, p * kWidth));
    p += use_wide ? wide_panels : 1;
  }
}

// out[i, j] = activation(sums[i, j]) + residual[i, j], j < count; rows of out and residual lie
// `stride` apart.
template <Activation kActivation, class Out>
void Finish(const float* HWY_RESTRICT sums, int64_t rows, int64_t count, const Out* residual,
            int64_t stride, Out* out) {
  const auto finished = [&](VecF sum, VecF add)
                            HWY_ATTR { return hn::Add(Activate<kActivation>(sum), add); };
  for (int64_t i = 0; i < rows; ++i, sums += kSumStride, out += stride) {
    int64_t j = 0;
    if (residual == nullptr) {
      for (; j + kLanes <= count; j += kLanes)
        Store(Activate<kActivation>(Load(sums + j)), out + j);
      if (j < count) StorePart(Activate<kActivation>(Load(sums + j)), out + j, count - j);
      continue;
    }
    for (; j + kLanes <= count; j += kLanes) {
      Store(finished(Load(sums + j), Load(residual + j)), out + j);
    }
    if (j < count) {
      const int64_t rest = count - j;
      StorePart(finished(Load(sums + j), LoadPart(residual + j, rest)), out + j, rest);
    }
    residual += stride;
  }
}

// out[i, j] = values[i, j] * activation(gates[i, j])
template <Activation kActivation, class Out>
void FinishGated(const float* HWY_RESTRICT values, const float* HWY_RESTRICT gates, int64_t rows,
                 int64_t count, int64_t stride, Out* out) {
  for (int64_t i = 0; i < rows; ++i) {
    int64_t j = 0;
    for (; j + kLanes <= count; j += kLanes) {
      Store(hn::Mul(Load(values + j), Activate<kActivation>(Load(gates + j))), out + j);
    }
    if (j < count) {  // the buffers go on, so whole vectors may be read
      const VecF gated = Activate<kActivation>(Load(gates + j));
      StorePart(hn::Mul(Load(values + j), gated), out + j, count - j);
    }
    values += kSumStride;
    gates += kSumStride;
    out += stride;
  }
}

// One product, cut into tiles of rows and chunks of output columns.
struct Job {
  ConstView x;
  int64_t stride;  // of x's rows
  int64_t rows;
  int64_t depth;    // K
  int64_t columns;  // of out
  const float* panels;
  const float* bias;     // or null
  const void* residual;  // or null
  void* out;
  bool gated;
  int64_t tiles = (rows + kMaxRows - 1) / kMaxRows;
  int64_t chunk = gated ? kChunk / 2 * kWidth : kChunk * kWidth;  // columns of out
  int64_t chunks = (columns + chunk - 1) / chunk;

  // Tiles are as equal in height as can be.
  int64_t RowOf(int64_t tile) const { return rows * tile / tiles; }
};

// Rows begin..end-1 of x as f32: where they lie, or widened into this thread's buffer.
Rows<const float> RowsOf(const Job& job, int64_t begin, int64_t end) {
  if (job.x.dtype == DType::kF32) {
    return {static_cast<const float*>(job.x.data) + begin * job.stride, job.stride};
  }
  thread_local std::vector<float> buffer;
  buffer.resize(std::max(buffer.size(), static_cast<size_t>((end - begin) * job.depth)));
  for (int64_t row = begin; row < end; ++row) {
    const auto* from = static_cast<const BFloat16*>(job.x.data) + row * job.stride;
    float* to = buffer.data() + (row - begin) * job.depth;
    int64_t k = 0;
    for (; k + kLanes <= job.depth; k += kLanes) Store(Load(from + k), to + k);
    if (k < job.depth) StorePart(LoadPart(from + k, job.depth - k), to + k, job.depth - k);
  }
  return {buffer.data(), job.depth};
}

// Whether the sums of a chunk of `count` columns are the result, so that they can go straight to
// out: then they start from the residual or from the bias.
template <Activation kActivation, class Out>
bool IsDirect(const Job& job, int64_t count) {
  return kActivation == Activation::kNone && std::is_same_v<Out, float> && !job.gated &&
         count % kWidth == 0 && (job.bias == nullptr || job.residual == nullptr);
}

// Tiles tile_begin..tile_end-1 of the columns of chunks chunk_begin..chunk_end-1.
template <Activation kActivation, class Out>
void RunBlock(const Job& job, int64_t tile_begin, int64_t tile_end, int64_t chunk_begin,
              int64_t chunk_end) {
  alignas(64) float sum_buffer[kMaxRows * kSumStride];
  alignas(64) float gate_buffer[kMaxRows * kSumStride];
  alignas(64) float bias[kSumStride] = {};
  const Rows<float> sums = {sum_buffer, kSumStride};
  const Rows<float> gates = {gate_buffer, kSumStride};
  const int64_t first_row = job.RowOf(tile_begin);
  const Rows<const float> x = RowsOf(job, first_row, job.RowOf(tile_end));
  const int64_t panel_size = job.depth * kWidth;
  for (int64_t chunk = chunk_begin; chunk < chunk_end; ++chunk) {
    const int64_t column = chunk * job.chunk;
    const int64_t count = std::min(job.chunk, job.columns - column);
    const float* panel = job.panels + column / kWidth * panel_size;
    const int64_t panels = (count + kWidth - 1) / kWidth;
    const int64_t gate = job.columns + column;  // first gate column, where there are gates
    const int64_t gate_offset = gate % kWidth;
    const float* gate_panel = job.panels + gate / kWidth * panel_size;
    const int64_t gate_panels = (gate_offset + count + kWidth - 1) / kWidth;
    if (job.bias != nullptr) std::copy_n(job.bias + column, count, bias);
    const bool direct = IsDirect<kActivation, Out>(job, count);
    int64_t row = first_row;
    for (int64_t tile = tile_begin; tile < tile_end; ++tile) {
      const int64_t end = job.RowOf(tile + 1);
      const int64_t rows = end - row;
      const Rows<const float> from = x.At(row - first_row, 0);
      const int64_t at = row * job.columns + column;
      Out* out = static_cast<Out*>(job.out) + at;
      const Out* residual =
          job.residual == nullptr ? nullptr : static_cast<const Out*>(job.residual) + at;
      if constexpr (std::is_same_v<Out, float>) {
        if (direct) {
          const Rows<const float> init = residual == nullptr
                                             ? Rows<const float>{bias, 0}
                                             : Rows<const float>{residual, job.columns};
          Multiply(rows, from, panel, panels, job.depth, init, {out, job.columns});
          row = end;
          continue;
        }
      }
      Multiply(rows, from, panel, panels, job.depth, {bias, 0}, sums);
      if (job.gated) {
        Multiply(rows, from, gate_panel, gate_panels, job.depth, {bias, 0}, gates);
        FinishGated<kActivation>(sums.data, gates.data + gate_offset, rows, count, job.columns,
                                 out);
      } else {
        Finish<kActivation>(sums.data, rows, count, residual, job.columns, out);
      }
      row = end;
    }
  }
}

// How the product is cut only decides who computes an output, not what.
template <Activation kActivation, class Out>
void RunJob(const Job& job) {
  constexpr int64_t kBlockBytes = 256 << 10;  // of x: stays in the L2 for all of a task's panels
  constexpr double kSmall = 1e6;              // multiply-adds that are not worth waking threads
  const int64_t tile_bytes = kMaxRows * job.depth * static_cast<int64_t>(sizeof(float));
  const int64_t tiles_a_block = std::clamp<int64_t>(kBlockBytes / tile_bytes, 1, 24);
  int64_t blocks = (job.tiles + tiles_a_block - 1) / tiles_a_block;
  int64_t groups = 1;
  const int64_t total_columns = job.columns * (job.gated ? 2 : 1);
  const double work =
      static_cast<double>(job.rows) * static_cast<double>(job.depth * total_columns);
  if (work > kSmall && NumThreads() > 1) {
    const int64_t wanted =
        std::min<int64_t>(8 * NumThreads(), static_cast<int64_t>(work / kSmall) + 1);
    groups = std::clamp<int64_t>((wanted + blocks - 1) / blocks, 1, job.chunks);
    blocks = std::clamp<int64_t>((wanted + groups - 1) / groups, blocks, job.tiles);
  }
  ParallelFor(blocks * groups, [&](int64_t task) {
    const int64_t block = task / groups;
    const int64_t group = task % groups;
    RunBlock<kActivation, Out>(job, job.tiles * block / blocks, job.tiles * (block + 1) / blocks,
                               job.chunks * group / groups, job.chunks * (group + 1) / groups);
  });
}

template <class Out>
void RunActivation(Activation activation, const Job& job) {
  switch (activation) {
    case Activation::kNone:
      return RunJob<Activation::kNone, Out>(job);
    case Activation::kGeluErf:
      return RunJob<Activation::kGeluErf, Out>(job);
    case Activation::kGeluTanh:
      return RunJob<Activation::kGeluTanh, Out>(job);
    case Activation::kSilu:
      return RunJob<Activation::kSilu, Out>(job);
    case Activation::kRelu:
      return RunJob<Activation::kRelu, Out>(job);
  }
}

void Run(Activation activation, const Job& job, DType out) {
  (out == DType::kBF16 ? RunActivation<BFloat16> : RunActivation<float>)(activation, job);
}

void RunLinear(const LinearArgs& args) {
  const int64_t columns = args.weight->rows();
  const int64_t depth = args.weight->cols();
  const auto& panels = static_cast<const cpu::Panels&>(args.weight->storage());
  Run(args.activation,
      {.x = args.x,
       .stride = args.x.shape.rank() == 2 ? args.x.strides[0] : depth,
       .rows = args.out.numel() / columns,
       .depth = depth,
       .columns = columns,
       .panels = panels.values.Data<float>(),
       .bias = args.bias.empty() ? nullptr : args.bias.Data<float>(),
       .residual = args.residual.data,
       .out = args.out.data,
       .gated = false},
      args.out.dtype);
}

void RunLinearGlu(const LinearGluArgs& args) {
  const int64_t columns = args.weight->rows() / 2;
  const int64_t depth = args.weight->cols();
  const auto& panels = static_cast<const cpu::Panels&>(args.weight->storage());
  Run(args.activation,
      {.x = args.x,
       .stride = depth,
       .rows = args.out.numel() / columns,
       .depth = depth,
       .columns = columns,
       .panels = panels.values.Data<float>(),
       .bias = nullptr,
       .residual = nullptr,
       .out = args.out.data,
       .gated = true},
      args.out.dtype);
}

int64_t PanelWidth() { return kWidth; }

}  // namespace gesso::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace gesso::cpu {

HWY_EXPORT(RunLinear);
HWY_EXPORT(RunLinearGlu);
HWY_EXPORT(PanelWidth);

void Panels::Unpack(float* weight) const {
  const int64_t depth = values.shape()[1];
  const int64_t width = values.shape()[2];
  for (int64_t n = 0; n < rows; ++n) {
    const float* from = values.Data<float>() + n / width * depth * width + n % width;
    for (int64_t k = 0; k < depth; ++k) weight[n * depth + k] = from[k * width];
  }
}

DType ActivationDType(DType dtype) {
  return dtype == DType::kBF16 && GainsFromBF16() ? DType::kBF16 : DType::kF32;
}

PackedMatrix PackMatrix(ConstView weight, DType dtype) {
  return ActivationDType(dtype) == DType::kBF16 ? PackBF16(weight) : PackPanels(weight, dtype);
}

PackedMatrix PackPanels(ConstView weight, DType dtype) {
  const int64_t rows = weight.shape[0];
  const int64_t depth = weight.shape[1];
  const int64_t width = WhyNoVectors() ? 1 : HWY_DYNAMIC_DISPATCH(PanelWidth)();
  const Tensor rounded = dtype == DType::kBF16 ? Cast(weight, DType::kBF16) : Tensor();
  const Tensor source = Cast(rounded.empty() ? weight : rounded.view(), DType::kF32);
  auto storage = std::make_shared<Panels>();
  storage->rows = rows;
  storage->values = Tensor({(rows + width - 1) / width, depth, width}, DType::kF32);
  float* values = storage->values.MutableData<float>();
  ParallelFor(storage->values.shape()[0], [&](int64_t panel) {
    const int64_t first = panel * width;
    const int64_t count = std::min(width, rows - first);
    for (int64_t k = 0; k < depth; ++k) {
      for (int64_t j = 0; j < count; ++j) {
        values[(panel * depth + k) * width + j] = source.Data<float>()[(first + j) * depth + k];
      }
    }
  });
  return PackedMatrix(storage, rows, depth, DType::kF32);
}

std::optional<std::string> WhyNotPanels(const PackedMatrix& weight) {
  if (weight.dtype() != DType::kF32) return "the weights are packed in bfloat16";
  return WhyNoVectors();
}

void Linear(Context&, const LinearArgs& args) { HWY_DYNAMIC_DISPATCH(RunLinear)(args); }

void LinearGlu(Context&, const LinearGluArgs& args) { HWY_DYNAMIC_DISPATCH(RunLinearGlu)(args); }

}  // namespace gesso::cpu

#endif  // HWY_ONCE
