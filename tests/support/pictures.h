// Pictures of the tiny model in tests/data, made as the program makes them.
#pragma once

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "kernels/core/backend.h"
#include "pipelines/generator.h"

namespace gesso::testing_support {

inline Request TinyCat() {
  Request request;
  request.model = std::string(GESSO_SOURCE_DIR) + "/tests/data/models/tiny-hdit";
  request.prompt = "a cat";
  request.seed = 7;
  return request;
}

// On the CPU, seen by an observer of type `Collector`, whose `pictures` they are.
template <class Collector>
std::vector<Picture> PicturesOf(const Request& request) {
  Generator generator(Device::kCpu);
  Collector collector;
  generator.Run(generator.Resolve(request), collector);
  return collector.pictures;
}

// Makes the picture of `request` on a GPU four times, by passes that are done as they come,
// recorded and played, and compares it with what a GPU makes without recordings. Skips where there
// is none.
template <class Collector>
void ExpectSameRecordedOnAGpu(const Request& request) {
  Backend* const backend = CurrentBackend();
  if (backend == nullptr) GTEST_SKIP() << "GESSO_TEST_DEVICE=cuda runs this on a GPU";
  const auto pixels = [&](bool records) {
    backend->set_records(records);
    Generator generator(Device::kCuda);
    Collector collector;
    for (int i = 0; i < 4; ++i) generator.Run(generator.Resolve(request), collector);
    return collector.pictures;
  };
  const std::set<std::string> known = backend->obstacles();
  const std::vector<Picture> plain = pixels(false);
  const std::vector<Picture> recorded = pixels(true);
  for (size_t i = 0; i < 4; ++i) EXPECT_EQ(recorded[i].image.pixels, plain[i].image.pixels) << i;
  EXPECT_EQ(backend->obstacles(), known);
}

}  // namespace gesso::testing_support
