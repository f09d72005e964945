#include "kernels/cpu/onednn.h"

namespace gesso::cpu::onednn {

namespace {

constexpr bool kVersion3 = DNNL_VERSION_MAJOR >= 3;

template <class PostOps>
void Append(PostOps& post_ops, dnnl::algorithm algorithm, float alpha) {
  if constexpr (kVersion3) {
    post_ops.append_eltwise(algorithm, alpha, 0.0f);
  } else {
    post_ops.append_eltwise(1.0f, algorithm, alpha, 0.0f);
  }
}

}  // namespace

const dnnl::engine& Engine() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

dnnl::memory::data_type TypeOf(DType dtype) {
  CHECK(dtype == DType::kF32 || dtype == DType::kBF16);
  return dtype == DType::kF32 ? dnnl::memory::data_type::f32 : dnnl::memory::data_type::bf16;
}

void AppendActivation(dnnl::post_ops& post_ops, Activation activation) {
  switch (activation) {
    case Activation::kNone:
      return;
    case Activation::kGeluErf:
      return Append(post_ops, dnnl::algorithm::eltwise_gelu_erf, 0);
    case Activation::kGeluTanh:
      return Append(post_ops, dnnl::algorithm::eltwise_gelu_tanh, 0);
    case Activation::kSilu:
      return Append(post_ops, dnnl::algorithm::eltwise_swish, 1);
    case Activation::kRelu:
      return Append(post_ops, dnnl::algorithm::eltwise_relu, 0);
  }
}

dnnl::convolution_forward::primitive_desc DescribeConvolution(
    const dnnl::memory::desc& x, const dnnl::memory::desc& weights, const dnnl::memory::desc& bias,
    const dnnl::memory::desc& out, const Conv2dShape& conv,
    const dnnl::primitive_attr& attributes) {
  const dnnl::memory::dims strides = {conv.stride, conv.stride};
  const dnnl::memory::dims before = {conv.padding, conv.padding};
  const dnnl::memory::dims behind = {conv.padding + conv.end_padding,
                                     conv.padding + conv.end_padding};
  const dnnl::memory::dims gaps = {conv.dilation - 1, conv.dilation - 1};
  const auto kind = dnnl::prop_kind::forward_inference;
  const auto algorithm = dnnl::algorithm::convolution_direct;
#if DNNL_VERSION_MAJOR >= 3
  return {Engine(), kind,    algorithm, x,      weights, bias,
          out,      strides, gaps,      before, behind,  attributes};
#else
  return {{kind, algorithm, x, weights, bias, out, strides, gaps, before, behind},
          attributes,
          Engine()};
#endif
}

}  // namespace gesso::cpu::onednn
