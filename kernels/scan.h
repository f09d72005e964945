// Scans of state-space models: a linear recurrence over the tokens whose coefficients depend on the
// input. Both are linear in the number of tokens and read and write every tensor once.
//
// Gu & Dao 2023, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces"; Dao & Gu 2024,
// "Transformers are SSMs". Official: state-spaces/mamba
// mamba_ssm/ops/selective_scan_interface.py:selective_scan_ref, modules/ssd_minimal.py.
#pragma once

#include "kernels/core/context.h"
#include "kernels/core/op_table.h"

namespace gesso {

// What a selective scan in one direction reads, and the state that it carries.
struct ScanDirection {
  ConstView u = {};           // [B, L, D] f32 or bf16; rows contiguous; empty: no scan this way
  ConstView delta;            // [B, L, D] f32 or bf16; rows contiguous
  ConstView a;                // [D, N] f32 contiguous; negative in a stable model
  ConstView b;                // [B, L, G, N] f32 or bf16; rows contiguous; G divides D
  ConstView c;                // like b
  ConstView d = {};           // [D] f32, or empty
  ConstView delta_bias = {};  // [D] f32, or empty

  ConstView initial_state = {};  // [B, D, N] f32 contiguous, or empty: zeros
  View final_state = {};         // [B, D, N] f32 contiguous, or empty; may be initial_state
};

// h_t = exp(dt a) h_{t-1} + dt b_t u_t, y_t = c_t . h_t + d u_t with dt = softplus(delta +
// delta_bias); channel i uses group i / (D / G). The backward scan runs from the last token to the
// first (Vision Mamba, Zhu et al. 2024). out = (sum of the scans' y) * silu(z).
struct SelectiveScanArgs {
  ScanDirection forward = {};   // one of the two at least
  ScanDirection backward = {};  // follows `forward` while its channels are in the cache
  bool delta_softplus = true;
  ConstView z = {};  // [B, L, D] f32 or bf16; rows contiguous; empty: no gate
  View out;          // [B, L, D] f32 or bf16 contiguous; none of the inputs
};
void SelectiveScan(Context& ctx, const SelectiveScanArgs& args);

// State-space duality, the scan of Mamba-2: one decay a head, h_t = exp(dt a) h_{t-1} +
// (dt x_t) b_t^T, y_t = h_t c_t + d x_t with dt = softplus(dt + dt_bias). Head i uses group
// i / (H / G).
struct SsdArgs {
  ConstView x;       // [B, L, H, P] f32 or bf16; last dimension contiguous, other strides free
  ConstView dt;      // [B, L, H] f32 or bf16; last dimension contiguous, other strides free
  ConstView a = {};  // [H] f32; empty: x is dt x, and dt is dt a already (ssd_minimal_discrete)
  ConstView b;       // [B, L, G, N] f32 or bf16; last dimension contiguous; G divides H
  ConstView c;       // like b
  ConstView d = {};  // [H] or [H, P] f32, or empty
  ConstView dt_bias = {};  // [H] f32, or empty
  bool dt_softplus = false;
  ConstView initial_state = {};  // [B, H, P, N] f32 contiguous, or empty: zeros
  View final_state = {};         // [B, H, P, N] f32 contiguous, or empty; may be initial_state
  View out;                      // [B, L, H, P] f32 or bf16 contiguous; not an input
};
void Ssd(Context& ctx, const SsdArgs& args);

const OpTable<SelectiveScanArgs>& SelectiveScanTable();
const OpTable<SsdArgs>& SsdTable();

}  // namespace gesso
