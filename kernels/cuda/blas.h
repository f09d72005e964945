// cuBLASLt, loaded when the first product runs on the GPU: the library is so large that mapping it
// at the start would slow down every use of the program that needs no GPU.
#pragma once

#include <cublasLt.h>

namespace gesso::cuda {

// The functions used, by their names without the prefix cublasLt.
struct Blas {
  decltype(&::cublasLtCreate) Create;
  decltype(&::cublasLtGetStatusString) GetStatusString;
  decltype(&::cublasLtMatrixLayoutCreate) MatrixLayoutCreate;
  decltype(&::cublasLtMatrixLayoutDestroy) MatrixLayoutDestroy;
  decltype(&::cublasLtMatmulDescCreate) MatmulDescCreate;
  decltype(&::cublasLtMatmulDescDestroy) MatmulDescDestroy;
  decltype(&::cublasLtMatmulDescSetAttribute) MatmulDescSetAttribute;
  decltype(&::cublasLtMatmulPreferenceCreate) MatmulPreferenceCreate;
  decltype(&::cublasLtMatmulPreferenceDestroy) MatmulPreferenceDestroy;
  decltype(&::cublasLtMatmulPreferenceSetAttribute) MatmulPreferenceSetAttribute;
  decltype(&::cublasLtMatmulAlgoGetHeuristic) MatmulAlgoGetHeuristic;
  decltype(&::cublasLtMatmul) Matmul;
};

// Throws kDevice, naming the file looked for, where the library is missing or too old.
const Blas& GetBlas();

}  // namespace gesso::cuda
