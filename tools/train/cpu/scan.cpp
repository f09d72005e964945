// A thread walks one sequence in chunks of tokens. The states of 16 channels are in registers; the
// gradient walks back and computes a chunk's states again from those that the forward pass kept at
// the chunk's beginning, as selective_scan_triton.py does.
#include <algorithm>

#include "tools/train/cpu/kernels.h"
#include "tools/train/cpu/lanes.h"

namespace gesso_train {

namespace {

constexpr int64_t kChunk = 16;  // tokens

struct Scan {
  int64_t batch, length, channels, states, padded, chunks;
  int64_t b_stride, c_stride;         // from token to token
  std::vector<float> rates, d, bias;  // [2, N, padded] times log2(e); [2, padded] twice

  Scan(const torch::Tensor& u, const torch::Tensor& a, const torch::Tensor& b,
       const torch::Tensor& c, const torch::Tensor& d_in, const torch::Tensor& bias_in)
      : batch(u.size(1)),
        length(u.size(2)),
        channels(u.size(3)),
        states(a.size(2)),
        padded(Padded(channels)),
        chunks((length + kChunk - 1) / kChunk),
        b_stride(b.stride(2)),
        c_stride(c.stride(2)),
        rates(2 * states * padded),
        d(2 * padded),
        bias(2 * padded) {
    constexpr float kLog2E = 1.44269504f;
    const auto from = a.accessor<float, 3>();
    for (int64_t way = 0; way < 2; ++way) {
      for (int64_t e = 0; e < channels; ++e) {
        for (int64_t n = 0; n < states; ++n) {
          rates[(way * states + n) * padded + e] = from[way][e][n] * kLog2E;
        }
        d[way * padded + e] = d_in.accessor<float, 2>()[way][e];
        bias[way * padded + e] = bias_in.accessor<float, 2>()[way][e];
      }
    }
  }
  int64_t StatesOfChunk() const { return states * padded; }
  // The token that direction `way` reads as number `step`.
  int64_t Token(int64_t way, int64_t step) const { return way == 0 ? step : length - 1 - step; }
};

// The inputs of one chunk, float32 [tokens, padded] and [tokens, N].
struct ChunkRows {
  std::vector<float> u, dt, b, c;

  explicit ChunkRows(const Scan& scan)
      : u(kChunk * scan.padded),
        dt(kChunk * scan.padded),
        b(kChunk * scan.states),
        c(kChunk * scan.states) {}

  template <class T>
  void Fill(const Scan& scan, int64_t sequence, int64_t first, int64_t count, const T* u_in,
            const T* delta, const T* b_in, const T* c_in) {
    const int64_t way = sequence / scan.batch;
    const float* bias = &scan.bias[way * scan.padded];
    for (int64_t i = 0; i < count; ++i) {
      const int64_t row = sequence * scan.length + scan.Token(way, first + i);
      Read(u_in + row * scan.channels, scan.channels, &u[i * scan.padded]);
      float* to = &dt[i * scan.padded];
      Read(delta + row * scan.channels, scan.channels, to);
      for (int64_t e = 0; e < scan.padded; e += kLanes) {
        Store(Softplus(Load(to + e) + Load(bias + e)), to + e);
      }
      Read(b_in + row * scan.b_stride, scan.states, &b[i * scan.states]);
      Read(c_in + row * scan.c_stride, scan.states, &c[i * scan.states]);
    }
  }
};

template <class T, int N>
void ScanForward(const Scan& scan, int64_t sequence, const T* u, const T* delta, const T* b,
                 const T* c, float* starts, T* y) {
  const int64_t way = sequence / scan.batch, padded = scan.padded;
  ChunkRows rows(scan);
  std::vector<float> out(kChunk * padded);
  std::vector<float> states(scan.StatesOfChunk());
  for (int64_t chunk = 0; chunk < scan.chunks; ++chunk) {
    const int64_t first = chunk * kChunk, count = std::min(kChunk, scan.length - first);
    rows.Fill(scan, sequence, first, count, u, delta, b, c);
    std::copy(states.begin(), states.end(),
              starts + (sequence * scan.chunks + chunk) * scan.StatesOfChunk());
    for (int64_t e = 0; e < padded; e += kLanes) {
      Lanes rate[N], h[N];
#pragma GCC unroll 16
      for (int n = 0; n < N; ++n) {
        rate[n] = Load(&scan.rates[(way * N + n) * padded + e]);
        h[n] = Load(&states[n * padded + e]);
      }
      const Lanes skip = Load(&scan.d[way * padded + e]);
      for (int64_t i = 0; i < count; ++i) {
        const Lanes x = Load(&rows.u[i * padded + e]), dt = Load(&rows.dt[i * padded + e]);
        const Lanes in = dt * x;
        Lanes sum = skip * x;
#pragma GCC unroll 16
        for (int n = 0; n < N; ++n) {
          h[n] = Exp2(dt * rate[n]) * h[n] + in * rows.b[i * N + n];
          sum += h[n] * rows.c[i * N + n];
        }
        Store(sum, &out[i * padded + e]);
      }
#pragma GCC unroll 16
      for (int n = 0; n < N; ++n) Store(h[n], &states[n * padded + e]);
    }
    for (int64_t i = 0; i < count; ++i) {
      const int64_t row = sequence * scan.length + scan.Token(way, first + i);
      Write(&out[i * padded], scan.channels, y + row * scan.channels);
    }
  }
}

// Where the gradients of one sequence go. da [N, padded], dd and dbias [padded] are its own share.
template <class T>
struct ScanGradients {
  T *du, *ddelta;
  float *db, *dc;  // [2, B, L, N]
  float *da, *dd, *dbias;
};

// One block of channels of one chunk, backwards. `carried` [N]: what later tokens say of the
// states.
template <int N>
void ScanBackwardBlock(const Scan& scan, int64_t way, int64_t e, int64_t count,
                       const ChunkRows& rows, const float* start, const float* dy, float* carried,
                       float* du, float* ddelta, Lanes* db, Lanes* dc, float* da, float* dd,
                       float* dbias) {
  const int64_t padded = scan.padded;
  Lanes rate[N], h[kChunk + 1][N], decay[kChunk][N], back[N], rate_sum[N];  // h: before each token
#pragma GCC unroll 16
  for (int n = 0; n < N; ++n) {
    rate[n] = Load(&scan.rates[(way * N + n) * padded + e]);
    h[0][n] = Load(start + n * padded + e);
    back[n] = Load(carried + n * padded + e);
    rate_sum[n] = Load(da + n * padded + e);
  }
  for (int64_t i = 0; i < count; ++i) {
    const Lanes dt = Load(&rows.dt[i * padded + e]), in = dt * Load(&rows.u[i * padded + e]);
#pragma GCC unroll 16
    for (int n = 0; n < N; ++n) {
      decay[i][n] = Exp2(dt * rate[n]);
      h[i + 1][n] = decay[i][n] * h[i][n] + in * rows.b[i * N + n];
    }
  }
  constexpr float kLn2 = 0.69314718f;  // rates are of powers of two
  const Lanes skip = Load(&scan.d[way * padded + e]);
  Lanes skip_sum = Load(dd + e), bias_sum = Load(dbias + e);
  for (int64_t i = count - 1; i >= 0; --i) {
    const Lanes dt = Load(&rows.dt[i * padded + e]), x = Load(&rows.u[i * padded + e]);
    const Lanes out = Load(dy + i * padded + e), in = dt * x;
    Lanes of_in = All(0), of_exponent = All(0);
#pragma GCC unroll 16
    for (int n = 0; n < N; ++n) {
      const Lanes of_h = back[n] + out * rows.c[i * N + n];
      dc[i * N + n] += out * h[i + 1][n];
      db[i * N + n] += of_h * in;
      of_in += of_h * rows.b[i * N + n];
      back[n] = of_h * decay[i][n];
      const Lanes through = back[n] * h[i][n];
      of_exponent += through * rate[n];
      rate_sum[n] += through * dt;
    }
    // The slope of softplus is 1 - e^-dt.
    const Lanes of_dt = of_exponent * kLn2 + of_in * x;
    const Lanes of_delta = of_dt * (1.0f - Exp2(dt * (-1.0f / kLn2)));
    Store(skip * out + of_in * dt, du + i * padded + e);
    Store(of_delta, ddelta + i * padded + e);
    skip_sum += out * x;
    bias_sum += of_delta;
  }
#pragma GCC unroll 16
  for (int n = 0; n < N; ++n) {
    Store(back[n], carried + n * padded + e);
    Store(rate_sum[n], da + n * padded + e);
  }
  Store(skip_sum, dd + e);
  Store(bias_sum, dbias + e);
}

template <class T, int N>
void ScanBackward(const Scan& scan, int64_t sequence, const T* u, const T* delta, const T* b,
                  const T* c, const float* starts, const T* dy, int64_t dy_way,
                  const ScanGradients<T>& to) {
  const int64_t way = sequence / scan.batch, padded = scan.padded;
  ChunkRows rows(scan);
  std::vector<float> out(kChunk * padded), du(kChunk * padded), ddelta(kChunk * padded);
  std::vector<float> carried(scan.StatesOfChunk());
  std::vector<Lanes> db(kChunk * N), dc(kChunk * N);
  for (int64_t chunk = scan.chunks - 1; chunk >= 0; --chunk) {
    const int64_t first = chunk * kChunk, count = std::min(kChunk, scan.length - first);
    rows.Fill(scan, sequence, first, count, u, delta, b, c);
    for (int64_t i = 0; i < count; ++i) {
      const int64_t row = sequence % scan.batch * scan.length + scan.Token(way, first + i);
      Read(dy + way * dy_way + row * scan.channels, scan.channels, &out[i * padded]);
    }
    std::fill(db.begin(), db.end(), All(0));
    std::fill(dc.begin(), dc.end(), All(0));
    const float* start = starts + (sequence * scan.chunks + chunk) * scan.StatesOfChunk();
    for (int64_t e = 0; e < padded; e += kLanes) {
      ScanBackwardBlock<N>(scan, way, e, count, rows, start, out.data(), carried.data(), du.data(),
                           ddelta.data(), db.data(), dc.data(), to.da, to.dd, to.dbias);
    }
    for (int64_t i = 0; i < count; ++i) {
      const int64_t row = sequence * scan.length + scan.Token(way, first + i);
      Write(&du[i * padded], scan.channels, to.du + row * scan.channels);
      Write(&ddelta[i * padded], scan.channels, to.ddelta + row * scan.channels);
#pragma GCC unroll 16
      for (int n = 0; n < N; ++n) {
        to.db[row * N + n] = Sum(db[i * N + n]);
        to.dc[row * N + n] = Sum(dc[i * N + n]);
      }
    }
  }
}

// call(T{}, constant N) for the tensor's type and this many states.
template <class Call>
void ForTypeAndStates(const torch::Tensor& x, int64_t states, const Call& call) {
  ForType(x, [&](auto type) {
    switch (states) {
      case 4:
        return call(type, std::integral_constant<int, 4>());
      case 8:
        return call(type, std::integral_constant<int, 8>());
      case 16:
        return call(type, std::integral_constant<int, 16>());
    }
    TORCH_CHECK(false, "the scan has 4, 8 or 16 states, not ", states);
  });
}

// Whether rows of x, the last axis, are one behind the other, be they parts of wider ones.
bool RowsFollow(const torch::Tensor& x) {
  bool follow = x.stride(-1) == 1;
  for (int64_t axis = x.dim() - 3; axis >= 0; --axis) {
    follow =
        follow && (x.size(axis) == 1 || x.stride(axis) == x.size(axis + 1) * x.stride(axis + 1));
  }
  return follow;
}

void CheckScan(const torch::Tensor& u, const torch::Tensor& delta, const torch::Tensor& a,
               const torch::Tensor& b, const torch::Tensor& c) {
  TORCH_CHECK(u.is_contiguous() && delta.is_contiguous() && u.sizes() == delta.sizes(),
              "scan: u and delta [2, B, L, E] have to be contiguous and alike");
  const std::vector<int64_t> rows = {2, u.size(1), u.size(2), a.size(2)};
  TORCH_CHECK(b.sizes() == rows && c.sizes() == rows && RowsFollow(b) && RowsFollow(c),
              "scan: rows of b and c [2, B, L, N] have to be one behind the other");
  for (const torch::Tensor& x : {delta, b, c}) {
    TORCH_CHECK(x.scalar_type() == u.scalar_type(), "scan: inputs of different types");
  }
}

}  // namespace

std::vector<torch::Tensor> ForwardScan(torch::Tensor u, torch::Tensor delta, torch::Tensor a,
                                       torch::Tensor b, torch::Tensor c, torch::Tensor d,
                                       torch::Tensor bias) {
  CheckScan(u, delta, a, b, c);
  const Scan scan(u, a, b, c, d, bias);
  const torch::Tensor y = torch::empty_like(u);
  const torch::Tensor starts =
      torch::empty({2 * scan.batch, scan.chunks, scan.states, scan.padded}, a.options());
  ForTypeAndStates(u, scan.states, [&]<class T, int N>(T, std::integral_constant<int, N>) {
    at::parallel_for(0, 2 * scan.batch, 1, [&](int64_t begin, int64_t end) {
      for (int64_t sequence = begin; sequence < end; ++sequence) {
        ScanForward<T, N>(scan, sequence, In<T>(u), In<T>(delta), In<T>(b), In<T>(c),
                          Out<float>(starts), Out<T>(y));
      }
    });
  });
  return {y, starts};
}

std::vector<torch::Tensor> BackwardScan(torch::Tensor u, torch::Tensor delta, torch::Tensor a,
                                        torch::Tensor b, torch::Tensor c, torch::Tensor d,
                                        torch::Tensor bias, torch::Tensor starts,
                                        torch::Tensor dy) {
  const Scan scan(u, a, b, c, d, bias);
  const auto wide = a.options();
  const torch::Tensor du = torch::empty_like(u), ddelta = torch::empty_like(delta);
  const torch::Tensor db = torch::empty({2, scan.batch, scan.length, scan.states}, wide);
  const torch::Tensor dc = torch::empty_like(db);
  const torch::Tensor da = torch::zeros({2, scan.batch, scan.states, scan.padded}, wide);
  const torch::Tensor dd = torch::zeros({2, scan.batch, scan.padded}, wide);
  const torch::Tensor dbias = torch::zeros_like(dd);
  ForTypeAndStates(u, scan.states, [&]<class T, int N>(T, std::integral_constant<int, N>) {
    at::parallel_for(0, 2 * scan.batch, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        ScanBackward<T, N>(scan, i, In<T>(u), In<T>(delta), In<T>(b), In<T>(c), In<float>(starts),
                           In<T>(dy), dy.stride(0),
                           {Out<T>(du), Out<T>(ddelta), Out<float>(db), Out<float>(dc),
                            Out<float>(da) + i * scan.StatesOfChunk(),
                            Out<float>(dd) + i * scan.padded, Out<float>(dbias) + i * scan.padded});
      }
    });
  });
  const auto own = [&](const torch::Tensor& x) { return x.sum(1).narrow(-1, 0, scan.channels); };
  return {du,      ddelta,    own(da).mT(), db.to(b.scalar_type()), dc.to(c.scalar_type()),
          own(dd), own(dbias)};
}

}  // namespace gesso_train
