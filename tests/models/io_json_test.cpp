#include "models/io/json.h"

#include "tests/support/files.h"

namespace gesso {
namespace {

TEST(Json, RefusesTextThatIsNotJson) {
  const auto refused = [](const std::string& text, const std::string& words) {
    ExpectError(ErrorKind::kFormat, {"config.json: ", words},
                [&] { ParseJson(text, "config.json"); });
  };
  refused("", "not valid JSON");
  refused("{\"a\":1", "not valid JSON");
  refused("{} {}", "not valid JSON");
  refused("{\"a\":1e999}", "not valid JSON");
  refused("{\"\xff\":1}", "not valid JSON");
  refused(std::string("1\0", 2), "zero byte");
  refused(R"({"a":{"b":1,"b":2}})", "duplicate key 'b'");
  refused(std::string(100, '['), "deeper than 64");
  refused(std::string(10'000'000, '['), "deeper than 64");
  EXPECT_EQ(ParseJson(R"([{"a":1},{"a":{"a":2}}])", "x")[1]["a"]["a"], 2);
}

TEST(Json, ConvertsNothingSilently) {
  const Json config = {{"int", 5},    {"big", int64_t{1} << 40}, {"real", 1.5},    {"bool", true},
                       {"text", "x"}, {"list", {1, 2}},          {"null", nullptr}};
  EXPECT_EQ(Get<int>(config, "int"), 5);
  EXPECT_EQ(Get<int64_t>(config, "big"), int64_t{1} << 40);
  EXPECT_EQ(Get<float>(config, "int"), 5.0f);
  EXPECT_EQ(Get<std::vector<int64_t>>(config, "list"), (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(Get<std::string>(config, "absent", "y"), "y");
  EXPECT_EQ(Get<int>(config, "null", 3), 3);
  const auto wrong = [&](auto type, const std::string& key) {
    ExpectError(ErrorKind::kConfig, {"'" + key + "'"}, [&] { Get<decltype(type)>(config, key); });
  };
  wrong(int{}, "big");
  wrong(int{}, "real");
  wrong(int{}, "bool");
  wrong(bool{}, "int");
  wrong(float{}, "text");
  wrong(std::string{}, "int");
  wrong(std::vector<std::string>{}, "list");
  wrong(std::vector<int>{}, "int");
  wrong(int{}, "null");
  wrong(int{}, "absent");
}

}  // namespace
}  // namespace gesso
