// log(1 + e^x), which makes a step of a scan out of a number of the network.
#pragma once

#include "kernels/cuda/device/fragments.cuh"

namespace gesso::cuda {

// As exact as log1pf(expf(x)) to a bit or two, in half as many instructions.
GESSO_BOTH float Softplus(float x) {
  constexpr float kLogOf2 = 0.69314718055994531f;
  constexpr float kRestOfLog2OfE = 1.925963033500011e-8f;
  const float size = fabsf(x);
  const float exponent = size * -kLog2OfE;
  // What rounding has left out of the exponent; of an infinite one any number, for a power of 0.
  const float rounding = fminf(fmaf(size, -kRestOfLog2OfE, fmaf(size, -kLog2OfE, -exponent)), 1);
  float e = Exp2(exponent);
  e += e * (kLogOf2 * rounding);
  // log(1 + e) / e by the polynomial whose largest relative error on [0, 1] is least, 5e-9.
  constexpr float kTerms[] = {
      -0.4999990165233612f,  0.3332996368408203f,   -0.24954134225845337f,
      0.1967593878507614f,   -0.15305592119693756f, 0.10603654384613037f,
      -0.05695952847599983f, 0.019851459190249443f, -0.0032440247014164925f};
  constexpr int kCount = sizeof(kTerms) / sizeof(float);
  float rest = kTerms[kCount - 1];
  GESSO_UNROLL for (int i = kCount - 2; i >= 0; --i) rest = rest * e + kTerms[i];
  return fmaxf(x, 0) + (e + e * e * rest);
}

}  // namespace gesso::cuda
