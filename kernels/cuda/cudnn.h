// cuDNN, loaded when the first convolution runs on the GPU, like cuBLASLt (blas.h). Unlike that it
// may be missing: convolutions then are products of patches.
#pragma once

#include <cudnn.h>

#include <optional>
#include <string_view>

namespace gesso::cuda {

// The functions used, by their names without the prefix cudnn.
struct Cudnn {
  decltype(&::cudnnCreate) Create;
  decltype(&::cudnnSetStream) SetStream;
  decltype(&::cudnnGetErrorString) GetErrorString;
  decltype(&::cudnnCreateTensorDescriptor) CreateTensorDescriptor;
  decltype(&::cudnnSetTensor4dDescriptor) SetTensor4dDescriptor;
  decltype(&::cudnnDestroyTensorDescriptor) DestroyTensorDescriptor;
  decltype(&::cudnnCreateFilterDescriptor) CreateFilterDescriptor;
  decltype(&::cudnnSetFilter4dDescriptor) SetFilter4dDescriptor;
  decltype(&::cudnnDestroyFilterDescriptor) DestroyFilterDescriptor;
  decltype(&::cudnnCreateConvolutionDescriptor) CreateConvolutionDescriptor;
  decltype(&::cudnnSetConvolution2dDescriptor) SetConvolution2dDescriptor;
  decltype(&::cudnnSetConvolutionGroupCount) SetConvolutionGroupCount;
  decltype(&::cudnnSetConvolutionMathType) SetConvolutionMathType;
  decltype(&::cudnnDestroyConvolutionDescriptor) DestroyConvolutionDescriptor;
  decltype(&::cudnnGetConvolutionForwardAlgorithm_v7) GetConvolutionForwardAlgorithm;
  decltype(&::cudnnGetConvolutionForwardWorkspaceSize) GetConvolutionForwardWorkspaceSize;
  decltype(&::cudnnConvolutionForward) ConvolutionForward;

  // Why none of them can be called, if so: cuDNN is missing or too old.
  std::optional<std::string_view> why_not;
};

const Cudnn& GetCudnn();

}  // namespace gesso::cuda
