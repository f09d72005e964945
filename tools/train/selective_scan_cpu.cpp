// CPU kernels of selective_scan.py: scan and convolution of both directions, with gradients.
//
// A thread walks one sequence in chunks of tokens. The states of 16 channels are in registers; the
// gradient walks back and computes a chunk's states again from those that the forward pass kept at
// the chunk's beginning, as selective_scan_triton.py does. Rows are widened to float32 in buffers
// whose channels are padded to whole vectors. Tensors as in selective_scan.py; b and c may be parts
// of wider rows. Compiled where it runs, by torch.utils.cpp_extension.
#include <torch/extension.h>

#include <algorithm>
#include <cstdint>
#include <vector>

namespace {

constexpr int64_t kLanes = 16;
constexpr int64_t kChunk = 16;  // tokens
typedef float Lanes __attribute__((vector_size(kLanes * sizeof(float))));
typedef int32_t IntLanes __attribute__((vector_size(kLanes * sizeof(int32_t))));

struct Half {
  uint16_t bits;  // of a bfloat16
};

inline float Widen(float x) { return x; }
inline float Widen(Half x) {
  const uint32_t bits = static_cast<uint32_t>(x.bits) << 16;
  float out;
  __builtin_memcpy(&out, &bits, sizeof out);
  return out;
}
inline void Narrow(float x, float& out) { out = x; }
inline void Narrow(float x, Half& out) {
  uint32_t bits;
  __builtin_memcpy(&bits, &x, sizeof bits);
  out.bits = static_cast<uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}

int64_t Padded(int64_t channels) { return (channels + kLanes - 1) / kLanes * kLanes; }

// Rows of `channels` values, widened or narrowed.
template <class T>
void Read(const T* row, int64_t channels, float* out) {
#pragma omp simd
  for (int64_t e = 0; e < channels; ++e) out[e] = Widen(row[e]);
}
template <class T>
void Write(const float* row, int64_t channels, T* out) {
#pragma omp simd
  for (int64_t e = 0; e < channels; ++e) Narrow(row[e], out[e]);
}

inline Lanes Load(const float* x) {
  Lanes out;
  __builtin_memcpy(&out, x, sizeof out);
  return out;
}
inline void Store(Lanes x, float* out) { __builtin_memcpy(out, &x, sizeof x); }
inline Lanes All(float x) { return Lanes{} + x; }
inline float Sum(Lanes x) {
  float sum = 0;
  for (int64_t lane = 0; lane < kLanes; ++lane) sum += x[lane];
  return sum;
}

// 2^x for x <= 0, relative error below 3e-6: the Taylor polynomial around the nearest integer.
inline Lanes Exp2(Lanes x) {
  x = x < -126.0f ? All(-126.0f) : x;
  const IntLanes whole = __builtin_convertvector(x - 0.5f, IntLanes);
  const Lanes f = x - __builtin_convertvector(whole, Lanes);
  Lanes y = f * 1.3333558e-3f + 9.6181291e-3f;
  y = y * f + 5.5504109e-2f;
  y = y * f + 2.4022651e-1f;
  y = y * f + 6.9314718e-1f;
  y = y * f + 1.0f;
  const IntLanes power = (whole + 127) << 23;
  Lanes scale;
  __builtin_memcpy(&scale, &power, sizeof scale);
  return y * scale;
}

inline Lanes Sigmoid(Lanes x) {
  constexpr float kLog2E = 1.44269504f;
  const Lanes small = Exp2((x < 0.0f ? x : -x) * kLog2E);  // e^-|x|
  return (x < 0.0f ? small : All(1.0f)) / (1.0f + small);
}

// ln(1 + e^x), by 2 artanh(z / (2 + z)) = ln(1 + z).
inline Lanes Softplus(Lanes x) {
  constexpr float kLog2E = 1.44269504f;
  const Lanes z = Exp2((x < 0.0f ? x : -x) * kLog2E), s = z / (z + 2.0f), square = s * s;
  Lanes sum = square * (1.0f / 11) + 1.0f / 9;
  sum = sum * square + 1.0f / 7;
  sum = sum * square + 1.0f / 5;
  sum = sum * square + 1.0f / 3;
  sum = sum * square + 1.0f;
  return (x < 0.0f ? All(0.0f) : x) + 2.0f * s * sum;
}

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

template <class T>
const T* In(const torch::Tensor& x) {
  return static_cast<const T*>(x.const_data_ptr());
}
template <class T>
T* Out(const torch::Tensor& x) {
  return static_cast<T*>(x.data_ptr());
}

// call(T{}, constant N) for the tensor's type and this many states.
template <class T, class Call>
void ForStates(int64_t states, const Call& call) {
  switch (states) {
    case 4:
      return call(T{}, std::integral_constant<int, 4>());
    case 8:
      return call(T{}, std::integral_constant<int, 8>());
    case 16:
      return call(T{}, std::integral_constant<int, 16>());
  }
  TORCH_CHECK(false, "the scan has 4, 8 or 16 states, not ", states);
}
template <class Call>
void ForType(const torch::Tensor& x, int64_t states, const Call& call) {
  if (x.scalar_type() == torch::kBFloat16) return ForStates<Half>(states, call);
  TORCH_CHECK(x.scalar_type() == torch::kFloat32, "the scan takes float32 and bfloat16");
  ForStates<float>(states, call);
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

// y like u, and the states before each chunk.
std::vector<torch::Tensor> ForwardScan(torch::Tensor u, torch::Tensor delta, torch::Tensor a,
                                       torch::Tensor b, torch::Tensor c, torch::Tensor d,
                                       torch::Tensor bias) {
  CheckScan(u, delta, a, b, c);
  const Scan scan(u, a, b, c, d, bias);
  const torch::Tensor y = torch::empty_like(u);
  const torch::Tensor starts =
      torch::empty({2 * scan.batch, scan.chunks, scan.states, scan.padded}, a.options());
  ForType(u, scan.states, [&]<class T, int N>(T, std::integral_constant<int, N>) {
    at::parallel_for(0, 2 * scan.batch, 1, [&](int64_t begin, int64_t end) {
      for (int64_t sequence = begin; sequence < end; ++sequence) {
        ScanForward<T, N>(scan, sequence, In<T>(u), In<T>(delta), In<T>(b), In<T>(c),
                          Out<float>(starts), Out<T>(y));
      }
    });
  });
  return {y, starts};
}

// Gradients of u, delta, a, b, c, d and bias; dy may be one tensor for both directions.
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
  ForType(u, scan.states, [&]<class T, int N>(T, std::integral_constant<int, N>) {
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

struct Conv {
  int64_t batch, length, channels, taps, padded;
  std::vector<float> weight, bias;  // [2, taps, padded], [2, padded]

  Conv(const torch::Tensor& x, const torch::Tensor& w, const torch::Tensor& bias_in)
      : batch(x.size(0)),
        length(x.size(1)),
        channels(x.size(2)),
        taps(w.size(2)),
        padded(Padded(channels)),
        weight(2 * taps * padded),
        bias(2 * padded) {
    for (int64_t way = 0; way < 2; ++way) {
      for (int64_t e = 0; e < channels; ++e) {
        for (int64_t k = 0; k < taps; ++k) {
          weight[(way * taps + k) * padded + e] = w.accessor<float, 3>()[way][e][k];
        }
        bias[way * padded + e] = bias_in.accessor<float, 2>()[way][e];
      }
    }
  }
  int64_t Rows() const { return length + 2 * (taps - 1); }
  // The row of a buffer of Rows() that tap k of direction `way` reads for this token.
  int64_t Row(int64_t way, int64_t token, int64_t k) const {
    return way == 0 ? token + k : token + 2 * (taps - 1) - k;
  }
};

// The rows of one picture or clip with taps - 1 rows of zeros on both sides, [Rows, padded].
template <class T>
std::vector<float> RowsOf(const Conv& conv, const T* x, int64_t stride) {
  std::vector<float> rows(conv.Rows() * conv.padded);
  for (int64_t token = 0; token < conv.length; ++token) {
    Read(x + token * stride, conv.channels, &rows[(token + conv.taps - 1) * conv.padded]);
  }
  return rows;
}

// The convolution of 16 channels of one token, before silu.
inline Lanes Convolve(const Conv& conv, int64_t way, int64_t token, int64_t e, const float* rows) {
  Lanes sum = Load(&conv.bias[way * conv.padded + e]);
  for (int64_t k = 0; k < conv.taps; ++k) {
    sum += Load(&conv.weight[(way * conv.taps + k) * conv.padded + e]) *
           Load(rows + conv.Row(way, token, k) * conv.padded + e);
  }
  return sum;
}

template <class T>
void ConvForward(const Conv& conv, int64_t item, const torch::Tensor& x, T* y) {
  const auto rows = RowsOf(conv, In<T>(x) + item * x.stride(0), x.stride(1));
  std::vector<float> out(conv.padded);
  for (int64_t way = 0; way < 2; ++way) {
    T* to = y + (way * conv.batch + item) * conv.length * conv.channels;
    for (int64_t token = 0; token < conv.length; ++token) {
      for (int64_t e = 0; e < conv.padded; e += kLanes) {
        const Lanes value = Convolve(conv, way, token, e, rows.data());
        Store(value * Sigmoid(value), &out[e]);
      }
      Write(out.data(), conv.channels, to + token * conv.channels);
    }
  }
}

// dw [2, taps, padded] and dbias [2, padded] are the item's own share.
template <class T>
void ConvBackward(const Conv& conv, int64_t item, const torch::Tensor& x, const T* dy, T* dx,
                  float* dw, float* dbias) {
  const int64_t padded = conv.padded;
  const auto rows = RowsOf(conv, In<T>(x) + item * x.stride(0), x.stride(1));
  std::vector<float> sums(conv.Rows() * padded), out(padded);
  for (int64_t way = 0; way < 2; ++way) {
    for (int64_t token = 0; token < conv.length; ++token) {
      const int64_t row = (way * conv.batch + item) * conv.length + token;
      Read(dy + row * conv.channels, conv.channels, out.data());
      for (int64_t e = 0; e < padded; e += kLanes) {
        const Lanes value = Convolve(conv, way, token, e, rows.data()), s = Sigmoid(value);
        const Lanes of_value = Load(&out[e]) * s * (1.0f + value * (1.0f - s));
        float* bias = dbias + way * padded + e;
        Store(Load(bias) + of_value, bias);
        for (int64_t k = 0; k < conv.taps; ++k) {
          const int64_t at = conv.Row(way, token, k) * padded + e;
          const int64_t tap = (way * conv.taps + k) * padded + e;
          Store(Load(dw + tap) + of_value * Load(&rows[at]), dw + tap);
          Store(Load(&sums[at]) + of_value * Load(&conv.weight[tap]), &sums[at]);
        }
      }
    }
  }
  for (int64_t token = 0; token < conv.length; ++token) {
    Write(&sums[(token + conv.taps - 1) * padded], conv.channels,
          dx + (item * conv.length + token) * conv.channels);
  }
}

torch::Tensor ForwardConv(torch::Tensor x, torch::Tensor weight, torch::Tensor bias) {
  TORCH_CHECK(x.stride(2) == 1, "conv: channels have to be one behind the other");
  const Conv conv(x, weight, bias);
  const torch::Tensor y = torch::empty({2, conv.batch, conv.length, conv.channels}, x.options());
  ForType(x, 4, [&]<class T, int N>(T, std::integral_constant<int, N>) {
    at::parallel_for(0, conv.batch, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) ConvForward<T>(conv, i, x, Out<T>(y));
    });
  });
  return y;
}

// Gradients of x, weight and bias.
std::vector<torch::Tensor> BackwardConv(torch::Tensor x, torch::Tensor weight, torch::Tensor bias,
                                        torch::Tensor dy) {
  const Conv conv(x, weight, bias);
  const torch::Tensor dx = torch::empty({conv.batch, conv.length, conv.channels}, x.options());
  const torch::Tensor dw = torch::zeros({conv.batch, 2, conv.taps, conv.padded}, weight.options());
  const torch::Tensor dbias = torch::zeros({conv.batch, 2, conv.padded}, weight.options());
  ForType(x, 4, [&]<class T, int N>(T, std::integral_constant<int, N>) {
    at::parallel_for(0, conv.batch, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        ConvBackward<T>(conv, i, x, In<T>(dy), Out<T>(dx),
                        Out<float>(dw) + i * 2 * conv.taps * conv.padded,
                        Out<float>(dbias) + i * 2 * conv.padded);
      }
    });
  });
  return {dx, dw.sum(0).narrow(-1, 0, conv.channels).mT(),
          dbias.sum(0).narrow(-1, 0, conv.channels)};
}

}  // namespace

PYBIND11_MODULE(TORCH_EXTENSION_NAME, module) {
  module.def("forward_scan", &ForwardScan);
  module.def("backward_scan", &BackwardScan);
  module.def("forward_conv", &ForwardConv);
  module.def("backward_conv", &BackwardConv);
}
