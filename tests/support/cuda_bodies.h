// Runs the bodies of CUDA kernels on the CPU, by a single lane, and compares them with ref.
#pragma once

#include "tests/support/ops.h"

namespace gesso::testing_support {

struct OneLane {
  static int index() { return 0; }
  static int count() { return 1; }
  static float Sum(float value) { return value; }
  static float Max(float value) { return value; }
  static float From(float value, int) { return value; }
  static void Sync() {}
};

template <class Body>
void RunElements(int64_t count, const Body& body) {
  for (int64_t i = 0; i < count; ++i) body(i);
}

template <class Body>
void RunRows(int64_t rows, const Body& body) {
  for (int64_t row = 0; row < rows; ++row) body(row, OneLane());
}

// Expects that run(args with an out of its own) writes what ref does to an equal one.
template <class Args, class Run>
void ExpectLikeRef(const OpTable<Args>& table, Args args, const Shape& out, DType dtype,
                   const Run& run) {
  Tensor want = RandomTensor(out, 99, dtype);  // some ops leave parts of out as they are
  Tensor got = RandomTensor(out, 99, dtype);
  args.out = want.mutable_view();
  RunImplementation(table, "ref", args);
  args.out = got.mutable_view();
  run(args);
  EXPECT_LT(RmsError(got, want), ToleranceOf(dtype));
}

}  // namespace gesso::testing_support
