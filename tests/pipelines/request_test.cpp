#include "pipelines/request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/files.h"

namespace gesso {
namespace {

using ::testing::HasSubstr;

Request Full() {
  Request request;
  request.model = "demo-hdit";
  request.prompt = "a \"red\" äpple,\n und 🍎";
  request.negative_prompt = "blur";
  request.class_label = 3;
  request.width = 64;
  request.height = 48;
  request.steps = 20;
  request.cfg_scale = 2.1;
  request.cfg_rescale = 0.7;
  request.guidance_interval = Interval{0.28, 2.9};
  request.sampling_method = "dpmpp_2m_sde:eta=0.5,solver_type=heun";
  request.scheduler = "karras";
  request.seed = UINT64_MAX;
  request.batch_count = 4;
  request.init_image = "in.png";
  request.strength = 0.6;
  request.frames = 48;
  request.fps = 7.5;
  request.prompt_schedule = "0:a cat|24:a dog";
  request.overlap = 4;
  request.interpolate = 1;
  request.loop = true;
  request.dtype = "bfloat16";
  return request;
}

std::string MessageOf(const Json& json) {
  try {
    RequestFromJson(json, "job 3");
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    return error.what();
  }
  return "no error";
}

TEST(Request, ComesBackFromItsJson) {
  EXPECT_EQ(RequestFromJson(Json::parse(ToJson(Full()).dump()), "test"), Full());
  EXPECT_EQ(ToJson(Request{}), Json::object());
}

TEST(Request, ReadsMargins) {
  Request request;
  SetField(request, "outpaint", "1,2,3,4", "--outpaint");
  EXPECT_EQ(request.outpaint, (Margins{1, 2, 3, 4}));
  EXPECT_EQ(RequestFromJson(ToJson(request), "test"), request);
  EXPECT_THAT(MessageOf({{"outpaint", {1, 2, 3}}}),
              HasSubstr("expected [left, top, right, bottom]"));
}

TEST(Request, NamesSourceAndFieldOfWhatIsWrong) {
  EXPECT_THAT(MessageOf({{"step", 20}}), HasSubstr("job 3: there is no field 'step'"));
  EXPECT_THAT(MessageOf({{"steps", 0}}), HasSubstr("job 3: field 'steps': 0 is outside 1 to"));
  EXPECT_THAT(MessageOf({{"steps", 1000000000}}), HasSubstr("outside 1 to 10000"));
  EXPECT_THAT(MessageOf({{"steps", 20.5}}), HasSubstr("whole number"));
  EXPECT_THAT(MessageOf({{"steps", "20"}}), HasSubstr("whole number"));
  EXPECT_THAT(MessageOf({{"width", UINT64_MAX}}), HasSubstr("whole number in range"));
  EXPECT_THAT(MessageOf({{"seed", -1}}), HasSubstr("field 'seed'"));
  EXPECT_THAT(MessageOf({{"strength", 1.01}}), HasSubstr("outside 0 to 1"));
  EXPECT_THAT(MessageOf({{"guidance_interval", {1}}}), HasSubstr("[low, high]"));
  EXPECT_THAT(MessageOf({{"guidance_interval", {2, 1}}}), HasSubstr("2 is above 1"));
  EXPECT_THAT(MessageOf({{"prompt", 7}}), HasSubstr("expected text"));
  EXPECT_THAT(MessageOf({{"loop", 1}}), HasSubstr("true or false"));
  EXPECT_THAT(MessageOf({{"fps", 0}}), HasSubstr("0 is outside 0.01 to 1000"));
  EXPECT_THAT(MessageOf(Json::array()), HasSubstr("JSON object"));
}

TEST(Request, TakesFieldsAsText) {
  Request request;
  SetField(request, "steps", "10000", "--steps");
  SetField(request, "cfg_scale", "-1.5", "--cfg-scale");
  SetField(request, "guidance_interval", "0.5,3", "--guidance-interval");
  SetField(request, "seed", "18446744073709551615", "--seed");
  SetField(request, "loop", "true", "--loop");
  EXPECT_EQ(request.loop, true);
  EXPECT_THROW(SetField(request, "loop", "yes", "--loop"), Error);
  EXPECT_EQ(request.steps, 10000);
  EXPECT_EQ(request.cfg_scale, -1.5);
  EXPECT_EQ(request.guidance_interval, (Interval{0.5, 3}));
  EXPECT_EQ(request.seed, UINT64_MAX);
  for (const char* wrong : {"", "x", "1x", "1e9", "0", "10001", "99999999999999999999"}) {
    EXPECT_THROW(SetField(request, "steps", wrong, "--steps"), Error) << wrong;
  }
  for (const char* wrong : {"nan", "inf", "", "1,5"}) {
    EXPECT_THROW(SetField(request, "cfg_scale", wrong, "--cfg-scale"), Error) << wrong;
  }
}

TEST(Request, LaterLayersWin) {
  Request over;
  over.steps = 7;
  Request expected = Full();
  expected.steps = 7;
  EXPECT_EQ(Merge(Full(), over), expected);
}

TEST(Request, HasOneOfTwoFieldsThatSayTheSame) {
  Request one;
  one.cfg_scale = 2;
  one.prompt = "a cat";
  Request other;
  other.cfg_per_scale = PerScale{{1, 2}};
  other.prompt_schedule = "0:a cat|8:a dog";
  EXPECT_EQ(Merge(one, other), other) << "the later layer wins";
  EXPECT_EQ(Merge(other, one), one);
  RefuseAlternatives(one);
  RefuseAlternatives(other);
  Request both = one;
  both.cfg_per_scale = other.cfg_per_scale;
  EXPECT_EQ(Merge(Request{}, both), both) << "nobody knows which one is meant";
  ExpectError(ErrorKind::kUsage, {"cfg_scale, cfg_per_scale: give one of them"},
              [&] { RefuseAlternatives(both); });
}

TEST(Request, WritesParametersAsOtherToolsReadThem) {
  Request request = Full();
  request.guidance_interval.reset();
  request.prompt = "an apple";
  EXPECT_EQ(ParametersText(request),
            "an apple\nNegative prompt: blur\nSteps: 20, "
            "Sampler: \"dpmpp_2m_sde:eta=0.5,solver_type=heun\", Schedule type: karras, "
            "CFG scale: 2.1, Seed: 18446744073709551615, Size: 64x48, Model: demo-hdit, "
            "Denoising strength: 0.6, Frames: 48, FPS: 7.5, "
            "Prompt schedule: \"0:a cat|24:a dog\", Overlap: 4, Interpolate: 1, Loop: true, "
            "Class label: 3, Version: gesso");
}

TEST(Utf8, AcceptsTextAndRefusesWhatIsNone) {
  for (const char* text : {"", "abc", "\u00e9", "\u20ac", "\U0001F34E", "\U0010FFFF", "\uFFFD"}) {
    EXPECT_NO_THROW(RequireUtf8(text, "prompt")) << text;
  }
  // Lone continuation, overlong forms, surrogate, beyond U+10FFFF, cut short, never valid.
  for (const char* text : {"\x80", "\xC0\xAF", "\xE0\x80\xAF", "\xED\xA0\x80", "\xF4\x90\x80\x80",
                           "\xF0\x80\x80\x80", "a\xE2\x82", "\xC3", "\xFF"}) {
    EXPECT_THROW(RequireUtf8(text, "prompt"), Error) << text;
  }
  EXPECT_THROW(RequireUtf8(std::string_view("a\0b", 3), "prompt"), Error);
}

}  // namespace
}  // namespace gesso
