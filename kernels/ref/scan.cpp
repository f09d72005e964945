#include "kernels/ref/scan.h"

#include <vector>

#include "kernels/core/parallel.h"
#include "kernels/ref/scalar.h"

namespace gesso::ref {

namespace {

double Softplus(double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))); }

// Element (b, t, i) of a view with a contiguous last dimension.
double At(ConstView view, int64_t b, int64_t t, int64_t i) {
  return Load(view.data, view.dtype, b * view.strides[0] + t * view.strides[1] + i);
}

double ValueOr(ConstView view, int64_t index, double absent) {
  return view.empty() ? absent : static_cast<double>(view.Data<float>()[index]);
}

std::vector<double> StateOf(ConstView state, int64_t row, int64_t size) {
  std::vector<double> h(static_cast<size_t>(size), 0.0);
  for (int64_t n = 0; n < size; ++n) h[static_cast<size_t>(n)] = ValueOr(state, row * size + n, 0);
  return h;
}

void StoreState(const std::vector<double>& h, View state, int64_t row) {
  if (state.empty()) return;
  float* to = state.Data<float>() + row * static_cast<int64_t>(h.size());
  for (const double value : h) *to++ = static_cast<float>(value);
}

// Adds to y [L] what channel d of picture b gives in this direction.
void AddScan(const SelectiveScanArgs& args, const ScanDirection& in, bool backward, int64_t b,
             int64_t d, std::vector<double>& y) {
  const int64_t length = in.u.shape[1];
  const int64_t channels = in.u.shape[2];
  const int64_t states = in.a.shape[1];
  const int64_t offset = d / (channels / in.b.shape[2]);
  std::vector<double> h = StateOf(in.initial_state, b * channels + d, states);
  for (int64_t i = 0; i < length; ++i) {
    const int64_t t = backward ? length - 1 - i : i;
    const double u = At(in.u, b, t, d);
    double dt = At(in.delta, b, t, d) + ValueOr(in.delta_bias, d, 0);
    if (args.delta_softplus) dt = Softplus(dt);
    double sum = ValueOr(in.d, d, 0) * u;
    for (int64_t n = 0; n < states; ++n) {
      double& state = h[static_cast<size_t>(n)];
      const double decay = std::exp(dt * ValueOr(in.a, d * states + n, 0));
      state = decay * state + dt * At(in.b, b, t, offset * in.b.strides[2] + n) * u;
      sum += At(in.c, b, t, offset * in.c.strides[2] + n) * state;
    }
    y[static_cast<size_t>(t)] += sum;
  }
  StoreState(h, in.final_state, b * channels + d);
}

}  // namespace

void SelectiveScan(Context&, const SelectiveScanArgs& args) {
  const Shape& s = args.out.shape;
  ParallelFor(s[0] * s[2], [&](int64_t channel) {
    const int64_t b = channel / s[2];
    const int64_t d = channel % s[2];
    std::vector<double> y(static_cast<size_t>(s[1]), 0.0);
    if (!args.forward.u.empty()) AddScan(args, args.forward, false, b, d, y);
    if (!args.backward.u.empty()) AddScan(args, args.backward, true, b, d, y);
    for (int64_t t = 0; t < s[1]; ++t) {
      double value = y[static_cast<size_t>(t)];
      if (!args.z.empty()) value *= Activate(Activation::kSilu, At(args.z, b, t, d));
      Store(args.out.data, args.out.dtype, (b * s[1] + t) * s[2] + d, value);
    }
  });
}

void Ssd(Context&, const SsdArgs& args) {
  const Shape& s = args.x.shape;
  const int64_t states = args.b.shape[3];
  ParallelFor(s[0] * s[2] * s[3], [&](int64_t row) {
    const int64_t b = row / (s[2] * s[3]);
    const int64_t head = row / s[3] % s[2];
    const int64_t p = row % s[3];
    const int64_t group = head / (s[2] / args.b.shape[2]);
    const double skip =
        args.d.empty() ? 0 : ValueOr(args.d, args.d.shape.rank() == 2 ? head * s[3] + p : head, 0);
    std::vector<double> h = StateOf(args.initial_state, row, states);
    for (int64_t t = 0; t < s[1]; ++t) {
      const double x = At(args.x, b, t, head * args.x.strides[2] + p);
      double dt = At(args.dt, b, t, head) + ValueOr(args.dt_bias, head, 0);
      if (args.dt_softplus) dt = Softplus(dt);
      const double decay = std::exp(dt * ValueOr(args.a, head, 1));
      const double added = args.a.empty() ? x : dt * x;
      double sum = skip * x;
      for (int64_t n = 0; n < states; ++n) {
        double& state = h[static_cast<size_t>(n)];
        state = decay * state + added * At(args.b, b, t, group * args.b.strides[2] + n);
        sum += state * At(args.c, b, t, group * args.c.strides[2] + n);
      }
      Store(args.out.data, args.out.dtype, ((b * s[1] + t) * s[2] + head) * s[3] + p, sum);
    }
    StoreState(h, args.final_state, row);
  });
}

}  // namespace gesso::ref
