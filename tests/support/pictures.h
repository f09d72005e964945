// Pictures made as the program makes them, for tests: of the tiny model in tests/data, and jobs one
// after another.
#pragma once

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "kernels/core/backend.h"
#include "pipelines/generator.h"
#include "tests/support/fake_backend.h"

namespace gesso::testing_support {

inline Request TinyCat() {
  Request request;
  request.model = std::string(GESSO_SOURCE_DIR) + "/tests/data/models/tiny-hdit";
  request.prompt = "a cat";
  request.seed = 7;
  return request;
}

// Those of all requests by one generator, seen by an observer of type `Collector`, whose `pictures`
// they are: the last one of each request.
template <class Collector>
std::vector<std::vector<uint8_t>> LastPixelsOf(const std::vector<Request>& requests,
                                               Device device = Device::kCpu) {
  Generator generator(device);
  std::vector<std::vector<uint8_t>> pixels;
  for (const Request& request : requests) {
    Collector collector;
    generator.Run(generator.Resolve(request), collector);
    pixels.push_back(collector.pictures.back().image.pixels);
  }
  return pixels;
}

// On the CPU.
template <class Collector>
std::vector<Picture> PicturesOf(const Request& request) {
  Generator generator(Device::kCpu);
  Collector collector;
  generator.Run(generator.Resolve(request), collector);
  return collector.pictures;
}

// Makes the requests one after another on a fake device that records, where a job takes over the
// memory of the one before if it can, and compares each with what it is by itself.
template <class Collector>
void ExpectSameInAnyOrderOfJobs(const std::vector<Request>& requests) {
  std::vector<std::vector<uint8_t>> want;
  for (const Request& request : requests) {
    want.push_back(LastPixelsOf<Collector>({request}).front());
  }
  WithFakeBackend([&](auto&) {
    const auto got = LastPixelsOf<Collector>(requests);
    for (size_t i = 0; i < want.size(); ++i) EXPECT_EQ(got[i], want[i]) << i;
  });
}

// Makes the requests by turns on a GPU, by passes that are done as they come, recorded and played,
// and compares each picture with what a GPU makes without recordings. Skips where there is none.
template <class Collector>
void ExpectSamePlayedOnAGpu(const Request& a, const Request& b) {
  Backend* const backend = CurrentBackend();
  if (backend == nullptr) GTEST_SKIP() << "GESSO_TEST_DEVICE=cuda runs this on a GPU";
  const std::vector<Request> requests = {a, a, b, a, b};
  backend->set_records(false);
  const auto plain = LastPixelsOf<Collector>(requests, Device::kCuda);
  backend->set_records(true);
  const std::set<std::string> known = backend->obstacles();
  const int64_t plays = backend->plays();
  EXPECT_EQ(LastPixelsOf<Collector>(requests, Device::kCuda), plain);
  EXPECT_GT(backend->plays(), plays);
  EXPECT_EQ(backend->obstacles(), known);
}

}  // namespace gesso::testing_support
