// Sizes of Mamba blocks, with the official field names.
//
// Official: state-spaces/mamba mamba_ssm/modules/mamba_simple.py:Mamba, mamba2.py:Mamba2.
#pragma once

#include "models/io/json.h"

namespace gesso::mamba {

// What both kinds of blocks have.
struct BlockSize {
  int64_t width = 0;   // d_model
  int64_t inner = 0;   // expand * d_model
  int64_t states = 0;  // d_state
  int64_t taps = 0;    // d_conv
  bool bias = false;   // of in_proj and out_proj
  bool conv_bias = true;
};

struct MambaConfig : BlockSize {
  int64_t dt_rank = 0;  // "auto" = ceil(d_model / 16)
};

struct Mamba2Config : BlockSize {
  int64_t head_dim = 0;            // headdim
  int64_t groups = 1;              // ngroups
  bool skip_has_head_dim = false;  // D_has_hdim
  bool norm_before_gate = false;
  bool has_norm = true;  // rmsnorm

  int64_t heads() const { return inner / head_dim; }
  int64_t conv_width() const { return inner + 2 * groups * states; }
};

// `width` is d_model. Throw kConfig for fields that are wrong or do not fit together.
MambaConfig ParseMambaConfig(const Json& json, int64_t width);
Mamba2Config ParseMamba2Config(const Json& json, int64_t width);

}  // namespace gesso::mamba
