#include "kernels/cuda/blas.h"

#include <dlfcn.h>

#include <string>

#include "kernels/core/error.h"

namespace gesso::cuda {

namespace {

Blas Load() {
  const std::string file = fmt::format("libcublasLt.so.{}", CUBLAS_VER_MAJOR);
  void* library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  Require(library != nullptr, ErrorKind::kDevice,
          "{} was not found: install CUDA {}'s cuBLAS, or add its folder to LD_LIBRARY_PATH", file,
          CUBLAS_VER_MAJOR);
  const auto find = [&]<class Function>(Function& function, const char* name) {
    function = reinterpret_cast<Function>(dlsym(library, name));
    Require(function != nullptr, ErrorKind::kDevice, "{} has no {}", file, name);
  };
  Blas blas{};
  find(blas.Create, "cublasLtCreate");
  find(blas.GetStatusString, "cublasLtGetStatusString");
  find(blas.MatrixLayoutCreate, "cublasLtMatrixLayoutCreate");
  find(blas.MatrixLayoutDestroy, "cublasLtMatrixLayoutDestroy");
  find(blas.MatmulDescCreate, "cublasLtMatmulDescCreate");
  find(blas.MatmulDescDestroy, "cublasLtMatmulDescDestroy");
  find(blas.MatmulDescSetAttribute, "cublasLtMatmulDescSetAttribute");
  find(blas.MatmulPreferenceCreate, "cublasLtMatmulPreferenceCreate");
  find(blas.MatmulPreferenceDestroy, "cublasLtMatmulPreferenceDestroy");
  find(blas.MatmulPreferenceSetAttribute, "cublasLtMatmulPreferenceSetAttribute");
  find(blas.MatmulAlgoGetHeuristic, "cublasLtMatmulAlgoGetHeuristic");
  find(blas.Matmul, "cublasLtMatmul");
  return blas;
}

}  // namespace

const Blas& GetBlas() {
  static const Blas blas = Load();
  return blas;
}

}  // namespace gesso::cuda
