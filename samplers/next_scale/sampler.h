// The next-scale sampling loop: for every scale the guided logits of all its tokens, a choice at
// each token, and on to the next scale.
//
// Tian et al. 2024, "Visual autoregressive modeling". Official: FoundationVision/VAR
// models/var.py:VAR.autoregressive_infer_cfg; FoundationVision/Infinity
// infinity/models/infinity.py:Infinity.autoregressive_infer_cfg.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "samplers/next_scale/scale_model.h"
#include "samplers/next_scale/token_noise.h"

namespace gesso {

struct NextScaleOptions {
  // A number a scale each, skipped scales included; empty = 1 everywhere.
  // logits = (guidance * conditional + (1 - guidance) * unconditional) / temperature
  std::vector<double> guidance = {};
  std::vector<double> temperature = {};
  int64_t top_k = 0;  // 0: off; see kernels/sample.h
  double top_p = 0;   // 0: off
  // VAR's smoother pictures for looking at: a mixture of codes in place of the token drawn.
  bool more_smooth = false;
};

// VAR's guidance: 1 + cfg * k / (scales - 1) at scale k.
std::vector<double> RampedGuidance(double cfg, int64_t scales);

// Tokens that are given where keep is not 0, not drawn: editing, or a known beginning. Both
// [B, choices of all scales] i32 on the host; empty = none is given.
struct GivenTokens {
  ConstView tokens = {};
  ConstView keep = {};
};

// What an observer sees after a scale's tokens were committed.
struct NextScaleStep {
  int64_t scale;
  int64_t scales;
  ConstView tokens;  // [B, choices of this scale] i32
};

// Called once a scale that runs, on the meta device too. It cancels the run by throwing
// Error(kCancelled).
using NextScaleObserver = std::function<void(const NextScaleStep&)>;

struct NextScaleRun {
  ScaleModel& model;
  const NextScaleOptions& options;
  const TokenNoise& noise;
  View tokens;  // out [B, choices of all scales] i32 contiguous; those of skipped scales stay
  GivenTokens given = {};
  std::string source = "model";          // the model's file, for messages
  NextScaleObserver observer = nullptr;  // optional
};

// Choices of scales 0..scale-1: where a scale begins in NextScaleRun::tokens.
int64_t ChoicesBefore(const ScaleModel& model, int64_t scale);

// Runs scales begin..end-1 of a model that stands before `begin`; a run cut in pieces, forked in
// between, gives the same pictures. Throws kUsage for options that do not fit the model, kFormat,
// naming source and scale, where its logits are not finite. Shows the guided logits as
// "guided_logits".
void SampleScales(Context& ctx, const NextScaleRun& run, int64_t begin, int64_t end);

// Model::Begin and all scales.
void SampleNextScale(Context& ctx, const NextScaleRun& run);

}  // namespace gesso
