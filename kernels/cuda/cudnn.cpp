#include "kernels/cuda/cudnn.h"

#include <dlfcn.h>

#include <string>

namespace gesso::cuda {

namespace {

Cudnn Load() {
  Cudnn cudnn{};
  const std::string file = "libcudnn.so." + std::to_string(CUDNN_MAJOR);
  void* library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    cudnn.why_not = "cuDNN was not found; its folder may be missing in LD_LIBRARY_PATH";
    return cudnn;
  }
  const auto find = [&]<class Function>(Function& function, const char* name) {
    function = reinterpret_cast<Function>(dlsym(library, name));
    if (function == nullptr) cudnn.why_not = "cuDNN lacks a function; another version is needed";
  };
  find(cudnn.Create, "cudnnCreate");
  find(cudnn.SetStream, "cudnnSetStream");
  find(cudnn.GetErrorString, "cudnnGetErrorString");
  find(cudnn.CreateTensorDescriptor, "cudnnCreateTensorDescriptor");
  find(cudnn.SetTensor4dDescriptor, "cudnnSetTensor4dDescriptor");
  find(cudnn.DestroyTensorDescriptor, "cudnnDestroyTensorDescriptor");
  find(cudnn.CreateFilterDescriptor, "cudnnCreateFilterDescriptor");
  find(cudnn.SetFilter4dDescriptor, "cudnnSetFilter4dDescriptor");
  find(cudnn.DestroyFilterDescriptor, "cudnnDestroyFilterDescriptor");
  find(cudnn.CreateConvolutionDescriptor, "cudnnCreateConvolutionDescriptor");
  find(cudnn.SetConvolution2dDescriptor, "cudnnSetConvolution2dDescriptor");
  find(cudnn.SetConvolutionGroupCount, "cudnnSetConvolutionGroupCount");
  find(cudnn.SetConvolutionMathType, "cudnnSetConvolutionMathType");
  find(cudnn.DestroyConvolutionDescriptor, "cudnnDestroyConvolutionDescriptor");
  find(cudnn.GetConvolutionForwardAlgorithm, "cudnnGetConvolutionForwardAlgorithm_v7");
  find(cudnn.GetConvolutionForwardWorkspaceSize, "cudnnGetConvolutionForwardWorkspaceSize");
  find(cudnn.ConvolutionForward, "cudnnConvolutionForward");
  return cudnn;
}

}  // namespace

const Cudnn& GetCudnn() {
  static const Cudnn cudnn = Load();
  return cudnn;
}

}  // namespace gesso::cuda
