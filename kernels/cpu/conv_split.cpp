#include "kernels/cpu/conv_split.h"

#include <vector>

#include "kernels/core/parallel.h"
#include "kernels/cpu/bf16_panels.h"
#include "kernels/cpu/conv.h"
#include "kernels/cpu/highway.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/x86.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/conv_split.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/split-inl.h"

// A task takes a band of output rows. It splits the input rows that they need, with the padding
// around them, into its scratch [rows, padded width, channels]; there the inputs of an output pixel
// at one tap of the kernel lie a fixed distance from those of the first tap, and the next pixel's
// one pixel further. So the pixels of a whole band are the rows of a product whose inputs are
// segments, one a tap. Between the image's rows it also computes a few pixels that do not exist.

HWY_BEFORE_NAMESPACE();
namespace gesso::HWY_NAMESPACE {

#if HWY_TARGET == HWY_AVX3

ConstView PanelsOf(const PackedKernel& kernel) {
  const auto& split = static_cast<const cpu::SplitConv&>(kernel.storage());
  return static_cast<const cpu::Panels&>(split.matrix.storage()).values;
}

struct ConvJob {
  explicit ConvJob(const Conv2dArgs& call)
      : args(call),
        kernel_height(call.kernel->shape()[2]),
        kernel_width(call.kernel->shape()[3]),
        padding(call.kernel->conv().padding),
        channels(call.kernel->shape()[1]),
        outputs(call.kernel->shape()[0]),
        width(call.x.shape[2] + 2 * padding),
        pixel(SplitStride(channels)),
        panels(PanelsOf(*call.kernel)),
        panel_size(panels.numel() / panels.shape[0]) {
    constexpr int64_t kInputBytes = 1 << 20;  // of a band: they stay in the L2
    constexpr int64_t kPanelBytes = 3 << 18;  // ... with the panels that are multiplied by them
    constexpr int64_t kTasks = 8;             // enough for a few threads
    const int64_t row_bytes = width * pixel * 2;
    band = std::clamp<int64_t>(kInputBytes / row_bytes - kernel_height + 1, 1, call.out.shape[1]);
    bands = (call.out.shape[1] + band - 1) / band;
    chunk = std::clamp<int64_t>(kPanelBytes / (2 * panel_size), 1, kChunk);
    chunks = (panels.shape[0] + chunk - 1) / chunk;
    const int64_t tasks = call.x.shape[0] * bands;
    groups = std::clamp<int64_t>((kTasks + tasks - 1) / tasks, 1, chunks);
  }

  const Conv2dArgs& args;
  int64_t kernel_height, kernel_width, padding;
  int64_t channels, outputs;
  int64_t width;  // of a padded row of inputs
  int64_t pixel;  // bfloat16 numbers from one pixel to the next
  ConstView panels;
  int64_t panel_size;
  int64_t band, bands;            // output rows of a task
  int64_t chunk, chunks, groups;  // panels at a time; groups of chunks are tasks of their own
};

// Input rows begin..end-1 of an image, some of which are padding, split.
template <class T>
void SplitImageRows(const ConvJob& job, int64_t image, int64_t begin, int64_t end, BFloat16* to) {
  const Shape& shape = job.args.x.shape;
  const auto clear = [&](int64_t pixels) {
    std::fill_n(to, pixels * job.pixel, BFloat16());
    to += pixels * job.pixel;
  };
  for (int64_t y = begin; y < end; ++y) {
    if (y < 0 || y >= shape[1]) {
      clear(job.width);
      continue;
    }
    clear(job.padding);
    const T* from = job.args.x.Data<T>() + (image * shape[1] + y) * shape[2] * job.channels;
    for (int64_t x = 0; x < shape[2]; ++x, from += job.channels, to += job.pixel) {
      SplitRow(from, job.channels, to);
    }
    clear(job.padding);
  }
}

// Finishes those of `count` sums from pixel `first` of a band on that are pixels of the image,
// outputs column..column + columns - 1.
template <Activation kActivation, class Out>
void FinishPixels(const ConvJob& job, Rows<const float> sums, int64_t first, int64_t count,
                  int64_t out_row, int64_t column, int64_t columns) {
  const int64_t out_width = job.args.out.shape[2];
  const auto* residual = static_cast<const Out*>(job.args.residual.data);
  for (int64_t i = 0; i < count;) {
    const int64_t x = (first + i) % job.width;
    if (x >= out_width) {
      i += job.width - x;
      continue;
    }
    const int64_t run = std::min(out_width - x, count - i);
    const int64_t pixel = (out_row + (first + i) / job.width) * out_width + x;
    const int64_t at = pixel * job.outputs + column;
    Finish<kActivation, Out>({sums.At(i, 0).data, sums.stride}, run, columns,
                             residual == nullptr ? nullptr : residual + at, job.outputs,
                             static_cast<Out*>(job.args.out.data) + at);
    i += run;
  }
}

template <Activation kActivation, class Out>
void RunBand(const ConvJob& job, const Segments& taps, int64_t image, int64_t band, int64_t group) {
  constexpr int64_t kStride = kChunk * cpu::kPairWidth;
  alignas(64) float sum_buffer[kSplitRows * kStride];
  alignas(64) float bias[kStride] = {};
  const int64_t height = job.args.out.shape[1];
  const int64_t begin = band * job.band;
  const int64_t rows = std::min(job.band, height - begin);
  const int64_t input_rows = rows + job.kernel_height - 1;
  auto* buffer =
      reinterpret_cast<BFloat16*>(cpu::Scratch(input_rows * job.width * job.pixel / 2).Take(0));
  const int64_t first_input = begin - job.padding;
  (job.args.x.dtype == DType::kF32
       ? SplitImageRows<float>
       : SplitImageRows<BFloat16>)(job, image, first_input, first_input + input_rows, buffer);
  const int64_t pixels = (rows - 1) * job.width + job.args.out.shape[2];
  const int64_t tiles = (pixels + kSplitRows - 1) / kSplitRows;
  for (int64_t c = job.chunks * group / job.groups; c < job.chunks * (group + 1) / job.groups;
       ++c) {
    const int64_t first_panel = c * job.chunk;
    const int64_t panels = std::min(job.chunk, job.panels.shape[0] - first_panel);
    const int64_t column = first_panel * cpu::kPairWidth;
    const int64_t columns = std::min(panels * cpu::kPairWidth, job.outputs - column);
    if (!job.args.bias.empty()) {
      std::copy_n(job.args.bias.Data<float>() + column, columns, bias);
    }
    for (int64_t tile = 0; tile < tiles; ++tile) {
      const int64_t first = pixels * tile / tiles;
      const int64_t count = pixels * (tile + 1) / tiles - first;
      SplitMultiply(
          count, {buffer + first * job.pixel, job.pixel}, taps,
          {job.panels.Data<BFloat16>() + first_panel * job.panel_size, panels, 0, tile == 0},
          job.panel_size, {bias, 0}, {sum_buffer, kStride});
      FinishPixels<kActivation, Out>(job, {sum_buffer, kStride}, first, count,
                                     image * height + begin, column, columns);
    }
  }
}

template <Activation kActivation, class Out>
void RunConv(const Conv2dArgs& args) {
  const ConvJob job(args);
  std::array<int64_t, cpu::kMostTaps> offsets;
  Segments taps = {offsets.data(), 0, cpu::PaddedDepth(job.channels)};
  for (int64_t y = 0; y < job.kernel_height; ++y) {
    for (int64_t x = 0; x < job.kernel_width; ++x) {
      offsets[static_cast<size_t>(taps.count++)] = (y * job.width + x) * job.pixel;
    }
  }
  ParallelFor(args.x.shape[0] * job.bands * job.groups, [&](int64_t task) {
    const int64_t band = task / job.groups;
    RunBand<kActivation, Out>(job, taps, band / job.bands, band % job.bands, task % job.groups);
  });
}

template <class Out>
void RunConvTo(const Conv2dArgs& args) {
  switch (args.activation) {
    case Activation::kNone:
      return RunConv<Activation::kNone, Out>(args);
    case Activation::kGeluErf:
      return RunConv<Activation::kGeluErf, Out>(args);
    case Activation::kGeluTanh:
      return RunConv<Activation::kGeluTanh, Out>(args);
    case Activation::kSilu:
      return RunConv<Activation::kSilu, Out>(args);
    case Activation::kRelu:
      return RunConv<Activation::kRelu, Out>(args);
  }
}

void RunConvSplit(const Conv2dArgs& args) {
  (args.out.dtype == DType::kBF16 ? RunConvTo<BFloat16> : RunConvTo<float>)(args);
}

#else  // CPUs without AVX-512 are refused below

void RunConvSplit(const Conv2dArgs&) { CHECK(false); }

#endif

}  // namespace gesso::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace gesso::cpu {

HWY_EXPORT(RunConvSplit);

namespace {

// Of an output map. There is little to compute then, and errors matter more: of the few numbers of
// a group of channels all may be nearly equal, and a norm enlarges their differences.
constexpr int64_t kFewPixels = 64;

bool HasInstructions() { return HasAmxBF16() && HasAvx512BF16(); }

// Whether a kernel [O, I, KH, KW] is kept whole too, for maps of few pixels: where it takes little
// memory, and groups of channels are narrow.
bool KeepsWhole(const Shape& kernel) {
  constexpr int64_t kMostChannels = 128;
  return std::max(kernel[0], kernel[1]) <= kMostChannels && ForcedImplementation("conv2d").empty();
}

}  // namespace

void SplitConv::Unpack(float* weight) const {
  const int64_t taps = shape[2] * shape[3];
  const int64_t depth = PaddedDepth(shape[1]);
  std::vector<float> values(static_cast<size_t>(shape[0] * taps * depth));
  matrix.storage().Unpack(values.data());
  const float* from = values.data();
  for (int64_t output = 0; output < shape[0]; ++output, from += taps * depth) {
    for (int64_t channel = 0; channel < shape[1]; ++channel, weight += taps) {
      for (int64_t tap = 0; tap < taps; ++tap) weight[tap] = from[tap * depth + channel];
    }
  }
}

const PackedKernel& SplitConv::PackedWhole(const Conv2dShape& conv) const {
  std::call_once(is_packed_,
                 [&] { packed_whole_ = PackKernel(whole, DType::kF32, conv, Factors::kWhole); });
  return packed_whole_;
}

bool SplitsKernel(const Shape& kernel, const Conv2dShape& conv) {
  return HasInstructions() && !IsForcedElsewhere("conv2d", kSplitName) && conv.stride == 1 &&
         conv.dilation == 1 && conv.groups == 1 && conv.end_padding == 0 &&
         kernel[1] >= kPairDepth / 2 && kernel[2] * kernel[3] <= kMostTaps;
}

PackedKernel PackSplitKernel(ConstView weight, const Conv2dShape& conv) {
  const Shape& shape = weight.shape;
  const int64_t taps = shape[2] * shape[3];
  const int64_t depth = PaddedDepth(shape[1]);
  const Tensor copy = weight.dtype == DType::kF32 ? Tensor() : Cast(weight, DType::kF32);
  const float* values = (copy.empty() ? weight : copy.view()).Data<float>();
  auto split = std::make_shared<SplitConv>();
  split->shape = shape;
  if (KeepsWhole(shape)) split->whole = copy.empty() ? Cast(weight, DType::kF32) : copy;
  split->matrix = PackSplit(shape[0], taps * depth, [&](int64_t output, float* to) {
    const float* from = values + output * shape[1] * taps;
    std::fill_n(to, taps * depth, 0.0f);
    for (int64_t channel = 0; channel < shape[1]; ++channel, from += taps) {
      for (int64_t tap = 0; tap < taps; ++tap) to[tap * depth + channel] = from[tap];
    }
  });
  return PackedKernel(std::move(split), shape, DType::kF32, conv);
}

std::optional<std::string_view> WhyNotSplitConv(const Conv2dArgs& args) {
  const auto* split = dynamic_cast<const SplitConv*>(&args.kernel->storage());
  if (split == nullptr) return "the kernel is packed for other convolutions";
  if (!HasInstructions()) return "this CPU or operating system lacks the instructions";
  return std::nullopt;
}

void Conv2dSplit(Context& ctx, const Conv2dArgs& args) {
  const auto& split = static_cast<const SplitConv&>(args.kernel->storage());
  if (!split.whole.empty() && args.out.shape[1] * args.out.shape[2] <= kFewPixels) {
    Conv2dArgs whole = args;
    whole.kernel = &split.PackedWhole(args.kernel->conv());
    return cpu::Conv2d(ctx, whole);
  }
  HWY_DYNAMIC_DISPATCH(RunConvSplit)(args);
}

}  // namespace gesso::cpu

#endif  // HWY_ONCE
