#include "samplers/parameterisation.h"

#include <array>
#include <cmath>

#include "kernels/elementwise.h"

namespace gesso {

namespace {

// Calls body(sigma, begin, end) for each run of pictures with the same noise level.
template <class Body>
void ForEachLevel(std::span<const double> sigmas, const Body& body) {
  for (size_t begin = 0, end = 0; begin < sigmas.size(); begin = end) {
    while (end < sigmas.size() && sigmas[end] == sigmas[begin]) ++end;
    body(sigmas[begin], static_cast<int64_t>(begin), static_cast<int64_t>(end));
  }
}

// D = skip x + out F(in x, sigma).
struct Coefficients {
  double in;
  double skip;
  double out;
};

template <class CoefficientsAt>
void Precondition(Context& ctx, const Network& network, ConstView x, std::span<const double> sigmas,
                  const CoefficientsAt& at, View denoised) {
  CHECK(x.shape[0] == static_cast<int64_t>(sigmas.size()));
  for (const double sigma : sigmas) CHECK(sigma > 0);
  Arena::Scope scope(*ctx.arena);
  const View scaled = ctx.arena->Alloc(x.shape, DType::kF32);
  ForEachLevel(sigmas, [&](double sigma, int64_t begin, int64_t end) {
    const std::array<Term, 1> terms = {
        Term{static_cast<float>(at(sigma).in), x.Slice(0, begin, end)}};
    LinearCombination(ctx, {.terms = terms, .out = scaled.Slice(0, begin, end)});
  });
  network(ctx, scaled, sigmas, denoised);
  ForEachLevel(sigmas, [&](double sigma, int64_t begin, int64_t end) {
    const Coefficients c = at(sigma);
    const View out = denoised.Slice(0, begin, end);
    const std::array<Term, 2> terms = {Term{static_cast<float>(c.skip), x.Slice(0, begin, end)},
                                       Term{static_cast<float>(c.out), out}};
    LinearCombination(ctx, {.terms = terms, .out = out});
  });
}

}  // namespace

KarrasDenoiser::KarrasDenoiser(Network network, double sigma_data)
    : network_(std::move(network)), sigma_data_(sigma_data) {
  Require(sigma_data > 0 && std::isfinite(sigma_data), ErrorKind::kConfig,
          "sigma_data must be positive, not {}", sigma_data);
}

void KarrasDenoiser::Denoise(Context& ctx, ConstView x, double sigma, View denoised) {
  sigmas_.assign(static_cast<size_t>(x.shape[0]), sigma);
  Denoise(ctx, x, sigmas_, denoised);
}

void KarrasDenoiser::Denoise(Context& ctx, ConstView x, std::span<const double> sigmas,
                             View denoised) {
  const auto at = [&](double sigma) {
    const double total = std::hypot(sigma, sigma_data_);
    return Coefficients{.in = 1 / total,
                        .skip = (sigma_data_ / total) * (sigma_data_ / total),
                        .out = sigma * sigma_data_ / total};
  };
  Precondition(ctx, network_, x, sigmas, at, denoised);
}

void EpsDenoiser::Denoise(Context& ctx, ConstView x, double sigma, View denoised) {
  sigmas_.assign(static_cast<size_t>(x.shape[0]), sigma);
  const auto at = [](double level) {
    return Coefficients{.in = 1 / std::hypot(1, level), .skip = 1, .out = -level};
  };
  Precondition(ctx, network_, x, sigmas_, at, denoised);
}

}  // namespace gesso
