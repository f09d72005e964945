// The few places where oneDNN 2.x and 3.x differ, and what our uses of it share. Included by
// kernels/cpu/*.cpp only.
#pragma once

#include <oneapi/dnnl/dnnl.hpp>

#include "kernels/activation.h"
#include "kernels/conv.h"
#include "kernels/core/dtype.h"
#include "kernels/core/error.h"

namespace gesso::cpu::onednn {

const dnnl::engine& Engine();
dnnl::memory::data_type TypeOf(DType dtype);  // kF32 or kBF16

void AppendActivation(dnnl::post_ops& post_ops, Activation activation);

// `bias` may be an empty description. Throws dnnl::error.
dnnl::convolution_forward::primitive_desc DescribeConvolution(
    const dnnl::memory::desc& x, const dnnl::memory::desc& weights, const dnnl::memory::desc& bias,
    const dnnl::memory::desc& out, const Conv2dShape& conv, const dnnl::primitive_attr& attributes);

// Runs `body`; what oneDNN throws becomes an Error.
template <class Body>
auto Guard(const char* op, const Body& body) {
  try {
    return body();
  } catch (const dnnl::error& error) {
    Fail(error.status == dnnl_out_of_memory ? ErrorKind::kMemory : ErrorKind::kInternal,
         "{}: oneDNN failed: {}", op, error.what());
  }
}

}  // namespace gesso::cpu::onednn
