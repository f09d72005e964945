#include "kernels/cpu/low_bit.h"

#include <algorithm>
#include <cstring>

#include "kernels/core/float8.h"
#include "kernels/core/parallel.h"
#include "kernels/cpu/bf16_panels.h"

namespace gesso::cpu {

namespace {

// Where the code of output j and input k of a panel lies, counted in codes.
int64_t Place(const PanelOrder& order, int64_t j, int64_t k) {
  return (k / order.run * order.width + j) * order.run + k % order.run;
}

// Its byte, and whether it is the byte's high half, at 4 bits.
struct NibblePlace {
  int64_t byte;
  bool high;
};
NibblePlace PlaceOfNibble(const PanelOrder& order, int64_t j, int64_t k) {
  const int64_t row = order.width * order.run;
  const int64_t place = Place(order, j, k);
  const int64_t within = place % row;
  // One output alone has no second half: its codes take a byte each.
  const int64_t half = std::max<int64_t>(row / 2, 1);
  return {place / row * half + within % half, within >= half};
}

int64_t CodeBytes(const LowBitPanels& panels) {
  const int64_t row = panels.order.width * panels.order.run;
  return panels.padded / panels.order.run *
         (IsFourBit(panels.type) ? std::max<int64_t>(row / 2, 1) : row);
}

// Of e4m3: its bits.
int CodeOf(const LowBitMatrix& matrix, int64_t row, int64_t col) {
  if (IsFloat8(matrix.type)) return matrix.codes.Data<E4M3>()[row * matrix.cols + col].bits;
  if (!IsFourBit(matrix.type)) return matrix.codes.Data<int8_t>()[row * matrix.cols + col];
  const uint8_t byte = matrix.codes.Data<uint8_t>()[row * ((matrix.cols + 1) / 2) + col / 2];
  return (col % 2 == 0 ? byte & 0x0f : byte >> 4) - 8;
}

float ScaleOf(const LowBitMatrix& matrix, int64_t i) {
  return matrix.scale.dtype() == DType::kBF16 ? static_cast<float>(matrix.scale.Data<BFloat16>()[i])
                                              : matrix.scale.Data<float>()[i];
}

void PackPanel(const LowBitMatrix& matrix, const LowBitPanels& panels, int64_t panel, uint8_t* to) {
  const int64_t width = panels.order.width;
  const int64_t first = panel * width;
  const int64_t count = std::min(width, matrix.rows - first);
  uint8_t* const codes = to + panels.HeadBytes();
  const bool four = IsFourBit(matrix.type);
  if (four) std::fill_n(codes, CodeBytes(panels), uint8_t{0x88});
  auto* const scales = reinterpret_cast<float*>(to);
  auto* const sums = reinterpret_cast<int32_t*>(to + width * 4);
  uint8_t* const factors = to + width * 8;
  for (int64_t j = 0; j < count; ++j) {
    const int64_t row = first + j;
    int32_t sum = 0;
    for (int64_t k = 0; k < matrix.cols; ++k) {
      const int code = CodeOf(matrix, row, k);
      const int64_t group = row * panels.groups + k / kLowBitGroup;
      sum += code * (matrix.type == LowBit::kW4A8 ? matrix.group_scale.Data<uint8_t>()[group] : 1);
      if (!four) {
        codes[Place(panels.order, j, k)] = static_cast<uint8_t>(code);
        continue;
      }
      const NibblePlace place = PlaceOfNibble(panels.order, j, k);
      const int nibble = code + 8;
      uint8_t& byte = codes[place.byte];
      byte =
          static_cast<uint8_t>(place.high ? (byte & 0x0f) | (nibble << 4) : (byte & 0xf0) | nibble);
    }
    if (IsIntegerProduct(matrix.type)) {
      scales[j] = ScaleOf(matrix, row);
      sums[j] = 128 * sum;
    }
    for (int64_t g = 0; g < panels.groups; ++g) {
      const int64_t group = row * panels.groups + g;
      if (matrix.type == LowBit::kW4A8) {
        factors[g * width + j] = matrix.group_scale.Data<uint8_t>()[group];
      } else if (!IsIntegerProduct(matrix.type)) {
        scales[g * width + j] = ScaleOf(matrix, RoundsInputs(matrix.type) ? row : group);
      }
    }
  }
}

}  // namespace

int64_t LowBitPanels::HeadBytes() const {
  if (!IsIntegerProduct(type)) return groups * order.width * 4;
  return order.width * 8 + (type == LowBit::kW4A8 ? groups * order.width : 0);
}

int64_t LowBitPanels::PanelBytes() const {
  constexpr int64_t kLine = 64;
  return (HeadBytes() + CodeBytes(*this) + kLine - 1) / kLine * kLine;
}

void LowBitPanels::Unpack(float* weight) const {
  const bool integer = IsIntegerProduct(type);
  ParallelFor(rows, [&](int64_t row) {
    const uint8_t* const panel = Panel(row / order.width);
    const auto* const scales = reinterpret_cast<const float*>(panel);
    const uint8_t* const factors = panel + order.width * 8;
    const uint8_t* const codes = panel + HeadBytes();
    const int64_t j = row % order.width;
    float* const to = weight + row * cols;
    for (int64_t k = 0; k < cols; ++k) {
      const int64_t group = k / kLowBitGroup * order.width + j;
      if (IsFloat8(type)) {
        E4M3 number;
        number.bits = codes[Place(order, j, k)];
        to[k] = static_cast<float>(number) * scales[group];
        continue;
      }
      int code = 0;
      if (IsFourBit(type)) {
        const NibblePlace place = PlaceOfNibble(order, j, k);
        code = (place.high ? codes[place.byte] >> 4 : codes[place.byte] & 0x0f) - 8;
      } else {
        code = static_cast<int8_t>(codes[Place(order, j, k)]);
      }
      if (type == LowBit::kW4A8) code *= factors[group];
      to[k] = static_cast<float>(code) * scales[integer ? j : group];
    }
    if (hadamard > 1) Hadamard(to, cols, hadamard);
  });
}

PackedMatrix PackLowBit(const LowBitMatrix& matrix, DType dtype) {
  if (IsIntegerProduct(matrix.type)) return PackLowBit(matrix, kInt8Order, dtype);
  if (ActivationDType(dtype) == DType::kBF16) {
    return PackLowBit(matrix, {.width = kPairWidth, .run = 2, .depth = kPairDepth}, DType::kBF16);
  }
  return PackLowBit(matrix, {.width = F32PanelWidth(), .run = 1, .depth = 1}, DType::kF32);
}

PackedMatrix PackLowBit(const LowBitMatrix& matrix, const PanelOrder& order, DType dtype) {
  auto storage = std::make_shared<LowBitPanels>();
  storage->rows = matrix.rows;
  storage->type = matrix.type;
  storage->order = order;
  storage->cols = matrix.cols;
  storage->groups = LowBitGroups(matrix.cols);
  storage->padded = (matrix.cols + order.depth - 1) / order.depth * order.depth;
  storage->input_scale = matrix.input_scale;
  storage->hadamard = matrix.hadamard;
  const int64_t panels = (matrix.rows + order.width - 1) / order.width;
  storage->values = Tensor({panels, storage->PanelBytes()}, DType::kU8);
  auto* const to = storage->values.MutableData<uint8_t>();
  ParallelFor(panels, [&](int64_t panel) {
    PackPanel(matrix, *storage, panel, to + panel * storage->PanelBytes());
  });
  const size_t bytes = storage->values.view().bytes();
  return PackedMatrix(storage, matrix.rows, matrix.cols, dtype,
                      IsIntegerProduct(matrix.type) ? PackedMatrix::Encoding::kIntegers
                                                    : PackedMatrix::Encoding::kCodes,
                      bytes);
}

}  // namespace gesso::cpu
