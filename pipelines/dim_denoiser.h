// DiM as a denoiser: a batch of pictures with their classes.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "models/dim/session.h"
#include "samplers/parameterisation.h"

namespace gesso {

class DimDenoiser : public Denoiser {
 public:
  using TimeOfSigma = std::function<double(double sigma)>;  // the network's time, 0 .. 1000

  // classes [B] i32, the number of classes for none. `times` keeps the network's times, call after
  // call.
  DimDenoiser(std::shared_ptr<const dim::Model> model, const Shape& pictures, Tensor classes,
              TimeOfSigma time, std::vector<double>& times);

  void Denoise(Context& ctx, ConstView x, double sigma, View denoised) override;

 private:
  dim::Session session_;
  Tensor classes_;
  EpsDenoiser denoiser_;
};

}  // namespace gesso
