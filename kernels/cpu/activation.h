// Activations on the CPU, and the gated row that the fused products use as their epilogue.
#pragma once

#include "kernels/activation.h"

namespace gesso::cpu {

void Glu(Context& ctx, const GluArgs& args);
void Activate(Context& ctx, const ActivateArgs& args);

// out[i] = value[i] * activation(gate[i]), i < count. `out` is f32 or bf16 and may be one of the
// inputs. Runs on the calling thread, on any CPU.
void GluRow(Activation activation, const float* value, const float* gate, int64_t count, void* out,
            DType out_dtype);

}  // namespace gesso::cpu
