#include "tools/train/cpu/kernels.h"
#include "tools/train/cpu/lanes.h"

namespace gesso_train {

namespace {

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

}  // namespace

torch::Tensor ForwardConv(torch::Tensor x, torch::Tensor weight, torch::Tensor bias) {
  TORCH_CHECK(x.stride(2) == 1, "conv: channels have to be one behind the other");
  const Conv conv(x, weight, bias);
  const torch::Tensor y = torch::empty({2, conv.batch, conv.length, conv.channels}, x.options());
  ForType(x, [&]<class T>(T) {
    at::parallel_for(0, conv.batch, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) ConvForward<T>(conv, i, x, Out<T>(y));
    });
  });
  return y;
}

std::vector<torch::Tensor> BackwardConv(torch::Tensor x, torch::Tensor weight, torch::Tensor bias,
                                        torch::Tensor dy) {
  const Conv conv(x, weight, bias);
  const torch::Tensor dx = torch::empty({conv.batch, conv.length, conv.channels}, x.options());
  const torch::Tensor dw = torch::zeros({conv.batch, 2, conv.taps, conv.padded}, weight.options());
  const torch::Tensor dbias = torch::zeros({conv.batch, 2, conv.padded}, weight.options());
  ForType(x, [&]<class T>(T) {
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

}  // namespace gesso_train
