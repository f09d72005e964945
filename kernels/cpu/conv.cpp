#include "kernels/cpu/conv.h"

#include <algorithm>
#include <cstring>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "kernels/core/parallel.h"
#include "kernels/cpu/conv_split.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/onednn.h"

namespace gesso::cpu {

namespace {

using dnnl::memory;

enum class Residual { kNone, kInOut, kApart };

// What a oneDNN primitive is made for.
struct Key {
  Shape x;
  DType out;
  Activation activation;
  bool bias;
  Residual residual;
  bool operator==(const Key&) const = default;
};

struct Primitive {
  Key key;
  dnnl::convolution_forward convolution;
  std::unordered_map<int, memory> arguments;
};

memory::desc ChannelsLast(const Shape& shape, DType dtype) {
  return {
      {shape[0], shape[3], shape[1], shape[2]}, onednn::TypeOf(dtype), memory::format_tag::nhwc};
}

// The weights in the layouts that oneDNN asked for, and a primitive for each kind of call so far.
class OneDnnKernel final : public PackedKernel::Storage {
 public:
  // `weight` is f32 or bf16.
  OneDnnKernel(const Tensor& weight, Conv2dShape conv) : conv_(conv), shape_(weight.shape()) {
    const auto type = onednn::TypeOf(weight.dtype());
    const memory::desc plain(
        Dims(), type, conv.groups == 1 ? memory::format_tag::oihw : memory::format_tag::goihw);
    weights_.emplace_back(plain, onednn::Engine());
    std::memcpy(weights_[0].get_data_handle(), weight.view().data, weight.view().bytes());
  }

  void Unpack(float* weight) const override {
    const memory::desc plain(
        Dims(), memory::data_type::f32,
        conv_.groups == 1 ? memory::format_tag::oihw : memory::format_tag::goihw);
    const std::lock_guard lock(mutex_);
    memory to(plain, onednn::Engine(), weight);
    Reorder(weights_[0], to);
  }

  // `x` has the dtype of the weights; `key` describes the call.
  void Run(const Key& key, ConstView x, ConstView bias, ConstView residual, View out) const {
    const std::lock_guard lock(mutex_);
    auto found = std::ranges::find(primitives_, key, &Primitive::key);
    if (found == primitives_.end()) {
      primitives_.push_back(Make(key, x.dtype, out.shape));
      found = primitives_.end() - 1;
    }
    auto& arguments = found->arguments;
    arguments.at(DNNL_ARG_SRC).set_data_handle(const_cast<void*>(x.data));
    arguments.at(DNNL_ARG_DST).set_data_handle(out.data);
    if (key.bias) arguments.at(DNNL_ARG_BIAS).set_data_handle(const_cast<void*>(bias.data));
    if (key.residual == Residual::kApart) {
      arguments.at(ResidualArgument(key)).set_data_handle(const_cast<void*>(residual.data));
    }
    found->convolution.execute(stream_, arguments);
    stream_.wait();
  }

 private:
  memory::dims Dims() const {
    const int64_t groups = conv_.groups;
    if (groups == 1) return {shape_[0], shape_[1], shape_[2], shape_[3]};
    return {groups, shape_[0] / groups, shape_[1], shape_[2], shape_[3]};
  }

  static int ResidualArgument(const Key& key) {
    const int position = key.activation == Activation::kNone ? 0 : 1;
    return DNNL_ARG_ATTR_MULTIPLE_POST_OP(position) | DNNL_ARG_SRC_1;
  }

  void Reorder(memory& from, memory& to) const {
    dnnl::reorder(from, to).execute(stream_, from, to);
    stream_.wait();
  }

  // The weights as `wanted`. The first layout that a primitive asks for replaces the plain one:
  // other image sizes rarely want another.
  memory WeightsAs(const memory::desc& wanted) const {
    for (const memory& have : weights_) {
      if (have.get_desc() == wanted) return have;
    }
    memory packed(wanted, onednn::Engine());
    Reorder(weights_[0], packed);
    if (primitives_.empty()) weights_.clear();
    weights_.push_back(packed);
    return packed;
  }

  Primitive Make(const Key& key, DType type, const Shape& out) const {
    const memory::desc x_desc = ChannelsLast(key.x, type);
    const memory::desc out_desc = ChannelsLast(out, key.out);
    const memory::desc bias_desc =
        key.bias ? memory::desc({shape_[0]}, memory::data_type::f32, memory::format_tag::a)
                 : memory::desc();
    dnnl::post_ops post_ops;
    onednn::AppendActivation(post_ops, key.activation);
    if (key.residual == Residual::kInOut) post_ops.append_sum(1.0f);
    if (key.residual == Residual::kApart) {
      post_ops.append_binary(dnnl::algorithm::binary_add, out_desc);
    }
    dnnl::primitive_attr attributes;
    attributes.set_post_ops(post_ops);
    const memory::desc any(Dims(), onednn::TypeOf(type), memory::format_tag::any);
    const auto description =
        onednn::DescribeConvolution(x_desc, any, bias_desc, out_desc, conv_, attributes);
    const dnnl::engine& engine = onednn::Engine();
    Primitive made{key, dnnl::convolution_forward(description), {}};
    made.arguments.emplace(DNNL_ARG_SRC, memory(x_desc, engine, nullptr));
    made.arguments.emplace(DNNL_ARG_WEIGHTS, WeightsAs(description.weights_desc()));
    made.arguments.emplace(DNNL_ARG_DST, memory(out_desc, engine, nullptr));
    if (key.bias) made.arguments.emplace(DNNL_ARG_BIAS, memory(bias_desc, engine, nullptr));
    if (key.residual == Residual::kApart) {
      made.arguments.emplace(ResidualArgument(key), memory(out_desc, engine, nullptr));
    }
    return made;
  }

  Conv2dShape conv_;
  Shape shape_;
  mutable std::mutex mutex_;
  mutable std::vector<memory> weights_;
  mutable std::vector<Primitive> primitives_;
  mutable dnnl::stream stream_{onednn::Engine()};
};

// Values converted element by element into a buffer of this thread that is kept between calls.
template <class From, class To>
const void* Converted(ConstView x, std::vector<To>& buffer) {
  buffer.resize(std::max(buffer.size(), static_cast<size_t>(x.numel())));
  const From* from = x.Data<From>();
  ParallelRange(x.numel(), 1 << 16, [to = buffer.data(), from](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) to[i] = To(static_cast<float>(from[i]));
  });
  return buffer.data();
}

ConstView InDType(ConstView x, DType dtype) {
  thread_local std::vector<float> floats;
  thread_local std::vector<BFloat16> halves;
  if (x.dtype == dtype) return x;
  const void* data =
      dtype == DType::kF32 ? Converted<BFloat16>(x, floats) : Converted<float>(x, halves);
  return ConstView(data, x.shape, dtype);
}

// float32 primitives give float32 only: bf16(sums + residual) for them.
void Narrow(const float* sums, ConstView residual, View out) {
  const BFloat16* add = residual.empty() ? nullptr : residual.Data<BFloat16>();
  BFloat16* to = out.Data<BFloat16>();
  ParallelRange(out.numel(), 1 << 16, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      to[i] = BFloat16(sums[i] + (add == nullptr ? 0.0f : static_cast<float>(add[i])));
    }
  });
}

}  // namespace

PackedKernel PackKernel(ConstView weight, DType dtype, Conv2dShape conv, Factors factors) {
  if (dtype == DType::kF32 && factors == Factors::kSplit && SplitsKernel(weight.shape, conv)) {
    return PackSplitKernel(weight, conv);
  }
  const DType compute = ActivationDType(dtype);
  const Tensor rounded = Cast(weight, dtype);
  return onednn::Guard("conv2d", [&] {
    return PackedKernel(std::make_shared<OneDnnKernel>(Cast(rounded, compute), conv), weight.shape,
                        compute, conv);
  });
}

std::optional<std::string_view> WhyNotOneDnn(const Conv2dArgs& args) {
  const bool ours = dynamic_cast<const OneDnnKernel*>(&args.kernel->storage()) != nullptr;
  return ours ? std::nullopt
              : std::optional<std::string_view>("the kernel is packed for other convolutions");
}

void Conv2d(Context&, const Conv2dArgs& args) {
  thread_local std::vector<float> sums;
  const auto& kernel = static_cast<const OneDnnKernel&>(args.kernel->storage());
  const ConstView x = InDType(args.x, args.kernel->dtype());
  Key key = {args.x.shape, args.out.dtype, args.activation, !args.bias.empty(), Residual::kNone};
  if (x.dtype == DType::kF32 && args.out.dtype == DType::kBF16) {
    sums.resize(std::max(sums.size(), static_cast<size_t>(args.out.numel())));
    key.out = DType::kF32;
    const View out(sums.data(), args.out.shape, DType::kF32);
    onednn::Guard("conv2d", [&] { kernel.Run(key, x, args.bias, {}, out); });
    Narrow(sums.data(), args.residual, args.out);
    return;
  }
  if (!args.residual.empty()) {
    key.residual = args.residual.data == args.out.data ? Residual::kInOut : Residual::kApart;
  }
  onednn::Guard("conv2d", [&] { kernel.Run(key, x, args.bias, args.residual, args.out); });
}

}  // namespace gesso::cpu
