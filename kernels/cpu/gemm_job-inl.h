// What the products of all element types share: how a product is cut into tasks, and how its sums
// become outputs (bias, activation, gate, residual). Included once a Highway target.
//
// A kernel is a struct that multiplies one tile of rows:
//   Input, Weight           element types of x and of the packed weights
//   kWidth, kMaxRows        columns of a panel of weights, rows of a tile at most
//   kBlockBytes             of x that a task goes over for all of its panels: they stay in the L2
//   PanelSize(depth)        elements of a panel
//   PanelsAt(job, first, count, gates)
//                           `count` panels from `first` on, where they lie or in a buffer of this
//                           thread, one for the gates of a gated product and one for the rest
//   Prepare(job)            if there is one: job.prepared, before any task runs
//   RowsOf(job, begin, end) those rows of x as Input, where they lie or in a buffer of this thread
//   Multiply(rows, x, weights, init, sums)
//                           sums[i, j] = init[i, j] + sum_k x[i, k] * weights[j, k], the weights in
//                           a PanelRun; init may be sums

// The guard flips with each target that foreach_target.h compiles; #pragma once would not.
#if defined(GESSO_KERNELS_CPU_GEMM_JOB_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef GESSO_KERNELS_CPU_GEMM_JOB_INL_H_
#undef GESSO_KERNELS_CPU_GEMM_JOB_INL_H_
#else
#define GESSO_KERNELS_CPU_GEMM_JOB_INL_H_
#endif

#include <algorithm>
#include <limits>
#include <type_traits>

#include "kernels/core/parallel.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace gesso::HWY_NAMESPACE {

constexpr int kLanes = HWY_LANES(float);
// Panels that are multiplied before the sums are finished; a gated product whose halves do not
// begin at a panel needs one more.
constexpr int64_t kChunk = 4;

// A matrix whose rows lie `stride` elements apart; with stride 0 all rows are the same.
template <class T>
struct Rows {
  T* data;
  int64_t stride;

  Rows At(int64_t row, int64_t column) const { return {data + row * stride + column, stride}; }
};

// out[i, j] = activation(sums[i, j]) + residual[i, j], j < count; rows of out and residual lie
// `stride` apart.
template <Activation kActivation, class Out>
void Finish(Rows<const float> sums, int64_t rows, int64_t count, const Out* residual,
            int64_t stride, Out* out) {
  const auto finished = [&](VecF sum, VecF add)
                            HWY_ATTR { return hn::Add(Activate<kActivation>(sum), add); };
  for (int64_t i = 0; i < rows; ++i, out += stride) {
    const float* HWY_RESTRICT from = sums.At(i, 0).data;
    int64_t j = 0;
    if (residual == nullptr) {
      for (; j + kLanes <= count; j += kLanes) {
        Store(Activate<kActivation>(Load(from + j)), out + j);
      }
      if (j < count) StorePart(Activate<kActivation>(Load(from + j)), out + j, count - j);
      continue;
    }
    for (; j + kLanes <= count; j += kLanes) {
      Store(finished(Load(from + j), Load(residual + j)), out + j);
    }
    if (j < count) {
      const int64_t rest = count - j;
      StorePart(finished(Load(from + j), LoadPart(residual + j, rest)), out + j, rest);
    }
    residual += stride;
  }
}

// out[i, j] = values[i, j] * activation(gates[i, j])
template <Activation kActivation, class Out>
void FinishGated(Rows<const float> values, Rows<const float> gates, int64_t rows, int64_t count,
                 int64_t stride, Out* out) {
  for (int64_t i = 0; i < rows; ++i, out += stride) {
    const float* HWY_RESTRICT value = values.At(i, 0).data;
    const float* HWY_RESTRICT gate = gates.At(i, 0).data;
    int64_t j = 0;
    for (; j + kLanes <= count; j += kLanes) {
      Store(hn::Mul(Load(value + j), Activate<kActivation>(Load(gate + j))), out + j);
    }
    if (j < count) {  // the buffers go on, so whole vectors may be read
      const VecF gated = Activate<kActivation>(Load(gate + j));
      StorePart(hn::Mul(Load(value + j), gated), out + j, count - j);
    }
  }
}

// Panels of weights that lie one behind the other.
template <class T>
struct PanelRun {
  const T* first;
  int64_t count;
  int64_t depth;
  bool fresh;  // not read by this task yet, so that they may still be in memory
};
// Clang 14 does not find it out by itself.
template <class T>
PanelRun(const T*, int64_t, int64_t, bool) -> PanelRun<T>;

// One product, cut into tiles of rows and chunks of output columns.
struct Job {
  ConstView x;
  int64_t stride;  // of x's rows
  int64_t rows;
  int64_t depth;    // K
  int64_t columns;  // of out
  const cpu::Panels* storage;
  const float* bias;     // or null
  const void* residual;  // or null
  void* out;
  bool gated;
  const void* prepared = nullptr;  // what a kernel made of all of x
};

// Of kernels that multiply weights where they lie.
template <class T>
struct PlainPanels {
  using Weight = T;
  static constexpr int64_t kBlockBytes = 256 << 10;

  static const T* PanelsAt(const Job& job, int64_t first, int64_t /*count*/, bool /*gates*/) {
    const ConstView& values = job.storage->values.view();
    return static_cast<const T*>(values.data) + first * (values.numel() / values.shape[0]);
  }
};

// The job as the tiles and chunks of a kernel.
template <class Kernel>
struct Tiling {
  explicit Tiling(const Job& job)
      : rows(job.rows),
        tiles((rows + Kernel::kMaxRows - 1) / Kernel::kMaxRows),
        chunk((job.gated ? kChunk / 2 : kChunk) * Kernel::kWidth),
        chunks((job.columns + chunk - 1) / chunk) {}

  // Tiles are as equal in height as can be.
  int64_t RowOf(int64_t tile) const { return rows * tile / tiles; }

  int64_t rows;
  int64_t tiles;
  int64_t chunk;  // columns of out
  int64_t chunks;
};

// Whether the sums of a chunk of `count` columns are the result, so that they can go straight to
// out: then they start from the residual or from the bias.
template <class Kernel, Activation kActivation, class Out>
bool IsDirect(const Job& job, int64_t count) {
  return kActivation == Activation::kNone && std::is_same_v<Out, float> && !job.gated &&
         count % Kernel::kWidth == 0 && (job.bias == nullptr || job.residual == nullptr);
}

// Tiles tile_begin..tile_end-1 of the columns of chunks chunk_begin..chunk_end-1.
template <class Kernel, Activation kActivation, class Out>
void RunBlock(const Job& job, int64_t tile_begin, int64_t tile_end, int64_t chunk_begin,
              int64_t chunk_end) {
  constexpr int64_t kWidth = Kernel::kWidth;
  constexpr int64_t kSumStride = (kChunk + 1) * kWidth;
  alignas(64) float sum_buffer[Kernel::kMaxRows * kSumStride];
  alignas(64) float gate_buffer[Kernel::kMaxRows * kSumStride];
  alignas(64) float bias[kSumStride] = {};
  const Rows<float> sums = {sum_buffer, kSumStride};
  const Rows<float> gates = {gate_buffer, kSumStride};
  const Rows<const float> added = {bias, 0};
  const Tiling<Kernel> tiling(job);
  const int64_t first_row = tiling.RowOf(tile_begin);
  const auto x = Kernel::RowsOf(job, first_row, tiling.RowOf(tile_end));
  for (int64_t chunk = chunk_begin; chunk < chunk_end; ++chunk) {
    const int64_t column = chunk * tiling.chunk;
    const int64_t count = std::min(tiling.chunk, job.columns - column);
    const int64_t panels = (count + kWidth - 1) / kWidth;
    const int64_t gate = job.columns + column;  // first gate column, where there are gates
    const int64_t gate_offset = gate % kWidth;
    const int64_t gate_panels = (gate_offset + count + kWidth - 1) / kWidth;
    if (job.bias != nullptr) std::copy_n(job.bias + column, count, bias);
    const bool direct = IsDirect<Kernel, kActivation, Out>(job, count);
    const auto* values = Kernel::PanelsAt(job, column / kWidth, panels, false);
    const auto* gate_values =
        job.gated ? Kernel::PanelsAt(job, gate / kWidth, gate_panels, true) : nullptr;
    for (int64_t tile = tile_begin; tile < tile_end; ++tile) {
      const bool fresh = tile == tile_begin;
      const PanelRun run{values, panels, job.depth, fresh};
      const int64_t row = tiling.RowOf(tile);
      const int64_t rows = tiling.RowOf(tile + 1) - row;
      const auto from = x.At(row - first_row, 0);
      const int64_t at = row * job.columns + column;
      Out* out = static_cast<Out*>(job.out) + at;
      const Out* residual =
          job.residual == nullptr ? nullptr : static_cast<const Out*>(job.residual) + at;
      if constexpr (std::is_same_v<Out, float>) {
        if (direct) {
          const Rows<const float> init =
              residual == nullptr ? added : Rows<const float>{residual, job.columns};
          Kernel::Multiply(rows, from, run, init, {out, job.columns});
          continue;
        }
      }
      Kernel::Multiply(rows, from, run, added, sums);
      if (job.gated) {
        Kernel::Multiply(rows, from, PanelRun{gate_values, gate_panels, job.depth, fresh}, added,
                         gates);
        FinishGated<kActivation, Out>({sums.data, kSumStride},
                                      {gates.data + gate_offset, kSumStride}, rows, count,
                                      job.columns, out);
      } else {
        Finish<kActivation, Out>({sums.data, kSumStride}, rows, count, residual, job.columns, out);
      }
    }
  }
}

// Rows in blocks of tiles, columns in groups of chunks: a task each.
struct Cut {
  int64_t blocks;
  int64_t groups;
};

// The cut of a product into at least `tasks` tasks, if it has as many parts, that reads least:
// every block reads all weights, every group all of x. No block is larger than the L2 holds.
template <class Kernel>
Cut CutProduct(const Job& job, const Tiling<Kernel>& tiling, int64_t tasks) {
  const int64_t tile_bytes =
      Kernel::kMaxRows * job.depth * static_cast<int64_t>(sizeof(typename Kernel::Input));
  const int64_t tiles_a_block = std::clamp<int64_t>(Kernel::kBlockBytes / tile_bytes, 1, 24);
  const int64_t fewest = (tiling.tiles + tiles_a_block - 1) / tiles_a_block;
  const int64_t columns = job.columns * (job.gated ? 2 : 1);
  Cut best{};
  int64_t least = std::numeric_limits<int64_t>::max();
  for (int64_t groups = std::min(tiling.chunks, tasks); groups >= 1; --groups) {
    const int64_t blocks = std::clamp((tasks + groups - 1) / groups, fewest, tiling.tiles);
    const int64_t read = groups * job.rows + blocks * columns;
    if (best.groups > 0 && (blocks * groups < tasks || read >= least)) continue;
    best = {blocks, groups};
    least = read;
  }
  return best;
}

// How the product is cut only decides who computes an output, not what.
template <class Kernel, Activation kActivation, class Out>
void RunJob(Job job) {
  constexpr double kSmall = 1e6;  // multiply-adds that are not worth waking threads
  if constexpr (requires { Kernel::Prepare(job); }) job.prepared = Kernel::Prepare(job);
  const Tiling<Kernel> tiling(job);
  const double work = static_cast<double>(job.rows) * static_cast<double>(job.depth) *
                      static_cast<double>(job.columns * (job.gated ? 2 : 1));
  const int64_t tasks =
      NumThreads() == 1 || work <= kSmall
          ? 1
          : std::min<int64_t>(4 * NumThreads(), static_cast<int64_t>(work / kSmall) + 1);
  const Cut cut = CutProduct(job, tiling, tasks);
  ParallelFor(cut.blocks * cut.groups, [&](int64_t task) {
    const int64_t block = task / cut.groups;
    const int64_t group = task % cut.groups;
    RunBlock<Kernel, kActivation, Out>(
        job, tiling.tiles * block / cut.blocks, tiling.tiles * (block + 1) / cut.blocks,
        tiling.chunks * group / cut.groups, tiling.chunks * (group + 1) / cut.groups);
  });
}

template <class Kernel, class Out>
void RunActivation(Activation activation, const Job& job) {
  switch (activation) {
    case Activation::kNone:
      return RunJob<Kernel, Activation::kNone, Out>(job);
    case Activation::kGeluErf:
      return RunJob<Kernel, Activation::kGeluErf, Out>(job);
    case Activation::kGeluTanh:
      return RunJob<Kernel, Activation::kGeluTanh, Out>(job);
    case Activation::kSilu:
      return RunJob<Kernel, Activation::kSilu, Out>(job);
    case Activation::kRelu:
      return RunJob<Kernel, Activation::kRelu, Out>(job);
  }
}

template <class Kernel>
void RunProduct(Activation activation, const Job& job, DType out) {
  (out == DType::kBF16 ? RunActivation<Kernel, BFloat16> : RunActivation<Kernel, float>)(activation,
                                                                                         job);
}

template <class Kernel>
void RunLinear(const LinearArgs& args) {
  const int64_t columns = args.weight->rows();
  const int64_t depth = args.weight->cols();
  RunProduct<Kernel>(args.activation,
                     {.x = args.x,
                      .stride = args.x.shape.rank() == 2 ? args.x.strides[0] : depth,
                      .rows = args.out.numel() / columns,
                      .depth = depth,
                      .columns = columns,
                      .storage = static_cast<const cpu::Panels*>(&args.weight->storage()),
                      .bias = args.bias.empty() ? nullptr : args.bias.Data<float>(),
                      .residual = args.residual.data,
                      .out = args.out.data,
                      .gated = false},
                     args.out.dtype);
}

template <class Kernel>
void RunLinearGlu(const LinearGluArgs& args) {
  const int64_t columns = args.weight->rows() / 2;
  const int64_t depth = args.weight->cols();
  RunProduct<Kernel>(args.activation,
                     {.x = args.x,
                      .stride = depth,
                      .rows = args.out.numel() / columns,
                      .depth = depth,
                      .columns = columns,
                      .storage = static_cast<const cpu::Panels*>(&args.weight->storage()),
                      .bias = nullptr,
                      .residual = nullptr,
                      .out = args.out.data,
                      .gated = true},
                     args.out.dtype);
}

}  // namespace gesso::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // GESSO_KERNELS_CPU_GEMM_JOB_INL_H_
