#include "samplers/diffusion/samplers.h"

namespace gesso {

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

void VisitEta(OptionVisitor& visitor, double& eta) {
  visitor.Number("eta", eta, 0, 10, "amount of noise per step; 0 is deterministic");
}

void VisitNoise(OptionVisitor& visitor, double& s_noise) {
  visitor.Number("s_noise", s_noise, 0, 10, "multiplies the noise that is added");
}

}  // namespace

void ChurnOptions::Visit(OptionVisitor& visitor) {
  visitor.Number("s_churn", s_churn, 0, kInfinity, "noise added over all steps; 0 adds none");
  visitor.Number("s_tmin", s_tmin, 0, kInfinity, "lowest noise level at which it is added");
  visitor.Number("s_tmax", s_tmax, 0, kInfinity, "highest noise level at which it is added");
  VisitNoise(visitor, s_noise);
}

void AncestralOptions::Visit(OptionVisitor& visitor) {
  VisitEta(visitor, eta);
  VisitNoise(visitor, s_noise);
}

void LmsOptions::Visit(OptionVisitor& visitor) {
  visitor.Integer("order", order, 1, kMaxOrder, "number of steps that are combined");
}

void DpmFastOptions::Visit(OptionVisitor& visitor) {
  VisitEta(visitor, eta);
  VisitNoise(visitor, s_noise);
}

void DpmSinglestepOptions::Visit(OptionVisitor& visitor) {
  visitor.Integer("order", order, 1, 3, "order of the solver: levels that a step jumps over");
  static constexpr std::string_view kPredictions[] = {"data", "noise"};
  visitor.Choice("prediction", prediction, kPredictions,
                 "what a step takes for constant: data is DPM-Solver++, noise DPM-Solver");
}

void EulerMaruyamaOptions::Visit(OptionVisitor& visitor) {
  visitor.Number("beta_d", beta_d, 0, 100, "growth of the noise rate");
  visitor.Number("beta_min", beta_min, 1e-6, 100, "noise rate at time 0");
}

void DpmAdaptiveOptions::Visit(OptionVisitor& visitor) {
  visitor.Integer("order", order, 2, 3, "order of the solver: 2 or 3 model calls a step");
  visitor.Number("rtol", rtol, 0, 1, "relative error allowed in a step");
  visitor.Number("atol", atol, 1e-9, 1, "absolute error allowed in a step");
  visitor.Number("h_init", h_init, 1e-6, 100, "first step, in log sigma");
  visitor.Number("pcoeff", pcoeff, -10, 10, "proportional coefficient of the step size");
  visitor.Number("icoeff", icoeff, -10, 10, "integral coefficient of the step size");
  visitor.Number("dcoeff", dcoeff, -10, 10, "derivative coefficient of the step size");
  visitor.Number("accept_safety", accept_safety, 0, 1,
                 "a step is kept if the next one may be at "
                 "least this much of its size");
  VisitEta(visitor, eta);
  VisitNoise(visitor, s_noise);
}

void DpmppSdeOptions::Visit(OptionVisitor& visitor) {
  VisitEta(visitor, eta);
  VisitNoise(visitor, s_noise);
  visitor.Number("r", r, 0.01, 1, "where in the step the model is called again");
}

void Dpmpp2mSdeOptions::Visit(OptionVisitor& visitor) {
  VisitEta(visitor, eta);
  VisitNoise(visitor, s_noise);
  static constexpr std::string_view kSolverTypes[] = {"midpoint", "heun"};
  visitor.Choice("solver_type", solver_type, kSolverTypes, "how the second order is reached");
}

}  // namespace gesso
