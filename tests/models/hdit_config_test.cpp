// The k-diffusion configuration: defaults, and errors that name the field.
#include "models/hdit/config.h"

#include "models/hdit/model.h"
#include "models/nn/load.h"
#include "tests/support/ops.h"

namespace gesso::hdit {
namespace {

using testing_support::ExpectError;

// configs/config_oxford_flowers.json of k-diffusion, what concerns the network.
Json Flowers() {
  return Json::parse(R"({
    "model": {
      "type": "image_transformer_v2", "input_channels": 3, "input_size": [256, 256],
      "patch_size": [4, 4], "depths": [2, 2, 4], "widths": [128, 256, 512],
      "self_attns": [{"type": "neighborhood", "d_head": 64, "kernel_size": 7},
                     {"type": "neighborhood", "d_head": 64, "kernel_size": 7},
                     {"type": "global", "d_head": 64}],
      "dropout_rate": 0.1, "sigma_data": 0.5, "sigma_min": 1e-2, "sigma_max": 160
    },
    "dataset": {"type": "huggingface"}})");
}

TEST(HditConfig, FlowersHasItsPublishedSize) {
  const Config config = ParseConfig(Flowers());
  EXPECT_EQ(config.height_multiple(), 16);
  EXPECT_EQ(config.smallest_width(), 64);  // 7 tokens of 8 pixels in level 1, in whole tokens of 16
  EXPECT_DOUBLE_EQ(config.sigma_data, 0.5);
  Model model(config);
  EXPECT_NEAR(static_cast<double>(nn::CountParameters(model)), 22.36e6, 0.005e6);
}

TEST(HditConfig, AbsentFieldsTakeTheOfficialDefaults) {
  Json json = Flowers();
  json["model"].erase("self_attns");
  json["model"].erase("sigma_data");
  json["model"]["mapping_width"] = 100;
  json["model"]["d_ffs"] = nullptr;
  const Config config = ParseConfig(json);
  EXPECT_EQ(config.mapping_d_ff, 300);
  EXPECT_EQ(config.mapping_depth, 2);
  EXPECT_EQ(config.num_classes, 0);
  EXPECT_DOUBLE_EQ(config.sigma_data, 1);
  EXPECT_EQ(config.levels[0].d_ff, 384);
  EXPECT_EQ(config.levels[0].self_attn.kind, AttentionKind::kNeighborhood);
  EXPECT_EQ(config.levels[0].self_attn.kernel_size, 7);
  EXPECT_EQ(config.levels[1].self_attn.d_head, 64);
  EXPECT_EQ(config.levels[2].self_attn.kind, AttentionKind::kGlobal);
}

struct BadField {
  const char* patch;  // JSON merged into the model section
  const char* message;
  ErrorKind kind = ErrorKind::kConfig;
};

class HditConfigErrors : public testing::TestWithParam<BadField> {};

TEST_P(HditConfigErrors, NameTheField) {
  Json json = Flowers();
  json["model"].merge_patch(Json::parse(GetParam().patch));
  ExpectError(GetParam().kind, GetParam().message, [&] { ParseConfig(json); });
}

INSTANTIATE_TEST_SUITE_P(
    Fields, HditConfigErrors,
    testing::Values(
        BadField{R"({"type": "image_v1"})", "image_v1", ErrorKind::kUnsupported},
        BadField{R"({"has_variance": true})", "has_variance", ErrorKind::kUnsupported},
        BadField{R"({"type": null})", "type"}, BadField{R"({"widths": null})", "widths"},
        BadField{R"({"widths": [128]})", "depths"}, BadField{R"({"widths": 128})", "widths"},
        BadField{R"({"widths": [1,1,1,1,1,1,1,1,1]})", "widths"},
        BadField{R"({"widths": [128, 256, 1e300]})", "widths[2]"},
        BadField{R"({"widths": [128, 256, 9223372036854775807]})", "widths[2]"},
        BadField{R"({"widths": [128, 250, 512]})", "self_attns[1]: d_head 64 does not divide"},
        BadField{R"({"depths": [2, -1, 4]})", "depths[1]"},
        BadField{R"({"depths": [0, 0, 0]})", "depths"},
        BadField{R"({"depths": [2, "2", 4]})", "depths[1]"},
        BadField{R"({"d_ffs": [0, 1, 1]})", "d_ffs[0]"},
        BadField{R"({"input_channels": 0})", "input_channels"},
        BadField{R"({"input_channels": 3.5})", "input_channels"},
        BadField{R"({"input_size": [256]})", "input_size"},
        BadField{R"({"patch_size": 4})", "patch_size"},
        BadField{R"({"patch_size": [4, 0]})", "patch_size[1]"},
        BadField{R"({"mapping_width": 7})", "mapping_width"},
        BadField{R"({"mapping_width": 18446744073709551615})", "mapping_width"},
        BadField{R"({"sigma_max": 0.001})", "sigma_min"},
        BadField{R"({"sigma_min": null})", "sigma_min"},
        BadField{R"({"sigma_data": 0})", "sigma_data"},
        BadField{R"({"self_attns": [{}, {}, {}]})", "self_attns[0]: field 'type'"},
        BadField{R"({"self_attns": [1, 2, 3]})", "self_attns[0]"},
        BadField{R"({"cross_attns": [null, null, {"type": "image"}]})", "cross_attns[2]"},
        BadField{R"({"cross_attns": [null, null, {"type": "text"}]})", "cross_attn_dim"}));

class HditAttentionErrors : public testing::TestWithParam<BadField> {};

TEST_P(HditAttentionErrors, NameTheField) {
  Json json = Flowers();
  json["model"]["self_attns"][1] = Json::parse(GetParam().patch);
  ExpectError(GetParam().kind, std::string("self_attns[1]: ") + GetParam().message,
              [&] { ParseConfig(json); });
}

INSTANTIATE_TEST_SUITE_P(
    Specs, HditAttentionErrors,
    testing::Values(BadField{R"({"type": "local"})", "unknown attention type 'local'"},
                    BadField{R"({"type": "global", "d_head": 4})", "d_head 4 is not a multiple"},
                    BadField{R"({"type": "neighborhood", "kernel_size": 6})", "kernel_size 6"},
                    BadField{R"({"type": "neighborhood", "kernel_size": 0})",
                             "field 'kernel_size'"},
                    BadField{R"({"type": "shifted-window"})", "field 'window_size' is missing"}));

TEST(HditConfig, RefusesWhatIsNoObject) {
  ExpectError(ErrorKind::kConfig, "JSON object", [] { ParseConfig(Json::array()); });
  ExpectError(ErrorKind::kConfig, "model", [] { ParseConfig(Json{{"model", 3}}); });
  Json json = Flowers();
  json["dataset"]["num_classes"] = -1;
  ExpectError(ErrorKind::kConfig, "num_classes", [&] { ParseConfig(json); });
}

}  // namespace
}  // namespace gesso::hdit
