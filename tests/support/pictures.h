// Pictures of the tiny model in tests/data, made as the program makes them.
#pragma once

#include <string>
#include <vector>

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

}  // namespace gesso::testing_support
