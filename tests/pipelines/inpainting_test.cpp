// Parts of pictures painted anew, through requests: what is kept is kept to the byte, every option
// shows, and the same request gives the same pixels. Tiny models with random weights.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "kernels/core/parallel.h"
#include "pipelines/generator.h"
#include "pipelines/mask/crop.h"
#include "pipelines/mask/mask.h"
#include "pipelines/media/image_file.h"
#include "pipelines/media/metadata.h"
#include "tests/support/files.h"
#include "tests/support/ops.h"

namespace gesso {
namespace {

using testing_support::ExpectError;

const std::string kModels = std::string(GESSO_SOURCE_DIR) + "/tests/data/models/";

class Collector : public GenerateObserver {
 public:
  void OnStep(const StepReport& step) override { previews = step.preview(); }
  void OnPicture(const Picture& picture) override { pictures.push_back(picture); }

  std::vector<Image> previews;
  std::vector<Picture> pictures;
};

class Inpainting : public testing::Test {
 protected:
  // A picture of stripes, and a mask that is white in `painted` of it.
  Request Job(int width, int height, const Rect& painted, uint8_t paint = 255) {
    picture_ = {width, height, 3, std::vector<uint8_t>(static_cast<size_t>(width * height * 3))};
    for (size_t i = 0; i < picture_.pixels.size(); ++i) {
      picture_.pixels[i] = static_cast<uint8_t>(i * 31 % 256);
    }
    mask_ = {width, height, 1, std::vector<uint8_t>(static_cast<size_t>(width * height))};
    for (int64_t y = painted.top; y < painted.top + painted.height; ++y) {
      std::fill_n(mask_.pixels.begin() + y * width + painted.left, painted.width, paint);
    }
    Request request;
    request.model = kModels + "tiny-hdit";
    request.prompt = "a cat";
    request.seed = 7;
    request.init_image = folder_.Write("picture.png", EncodePng(picture_, {}));
    request.mask = folder_.Write("mask.png", EncodePng(mask_, {}));
    return request;
  }

  static Collector Run(const Request& request) {
    Generator generator(Device::kCpu);
    Collector collector;
    generator.Run(generator.Resolve(request), collector);
    return collector;
  }
  static Image Make(const Request& request) { return Run(request).pictures.at(0).image; }

  // Pixels of `image` where `mask` is 0 are those of the picture; most others are not.
  void ExpectPaintedInside(const Image& image, const Image& mask) const {
    ASSERT_EQ(image.width, picture_.width);
    ASSERT_EQ(image.height, picture_.height);
    int64_t changed = 0;
    int64_t painted = 0;
    for (size_t i = 0; i < image.pixels.size(); ++i) {
      const bool same = image.pixels[i] == picture_.pixels[i];
      if (mask.pixels[i / 3] == 0) {
        ASSERT_TRUE(same) << "pixel " << i / 3;
      } else if (mask.pixels[i / 3] > 127) {
        ++painted;
        changed += same ? 0 : 1;
      }
    }
    EXPECT_GT(changed, painted * 9 / 10);
  }

  TempFolder folder_;
  Image picture_;
  Image mask_;
};

TEST_F(Inpainting, KeepsEveryByteOutsideTheMaskWithEveryMethod) {
  Request request = Job(32, 40, {8, 10, 12, 16});
  std::vector<Image> images;
  for (const std::string method : {"replace", "repaint:jump_length=1", "differential"}) {
    request.inpaint = method;
    const Collector made = Run(request);
    images.push_back(made.pictures.at(0).image);
    ExpectPaintedInside(images.back(), mask_);
    ExpectPaintedInside(made.previews.at(0), mask_);
  }
  EXPECT_EQ(images[0].pixels, images[2].pixels) << "of a hard mask these are the same";
  EXPECT_NE(images[0].pixels, images[1].pixels);
}

TEST_F(Inpainting, ChoosesTheMethodByTheMask) {
  Request request = Job(32, 32, {8, 8, 8, 8});
  EXPECT_EQ(Run(request).pictures.at(0).request.inpaint, "replace");
  request.mask_blur = 2;
  EXPECT_EQ(Run(request).pictures.at(0).request.inpaint, "differential");
  EXPECT_EQ(Run(Job(32, 32, {8, 8, 8, 8}, 128)).pictures.at(0).request.inpaint, "differential");
}

TEST_F(Inpainting, PaintsWhereTheMaskIsGrownBlurredAndInverted) {
  const auto check = [&](const Request& request, const auto& change) {
    Image mask = mask_;
    change(mask);
    ExpectPaintedInside(Make(request), mask);
  };
  Request request = Job(32, 32, {8, 8, 10, 10});
  request.mask_grow = 3;
  check(request, [](Image& mask) { GrowMask(mask, 3); });
  request.mask_grow = -3;
  check(request, [](Image& mask) { GrowMask(mask, -3); });
  request.mask_invert = true;
  check(request, [](Image& mask) {
    InvertMask(mask);
    GrowMask(mask, -3);
  });
  request.mask_grow = 2;
  request.mask_invert = false;
  request.mask_blur = 2;
  request.inpaint = "replace";
  check(request, [](Image& mask) {
    GrowMask(mask, 2);
    FeatherMask(mask, 2);
  });
}

TEST_F(Inpainting, BlendsGreyPixels) {
  Request request = Job(32, 32, {0, 0, 32, 16});
  request.inpaint = "replace";
  const Image hard = Make(request);
  request = Job(32, 32, {0, 0, 32, 16}, 153);
  request.inpaint = "replace";  // by the threshold the same is painted
  const Image soft = Make(request);
  for (size_t i = 0; i < soft.pixels.size(); ++i) {
    const int full = hard.pixels[i] - picture_.pixels[i];
    ASSERT_NEAR(soft.pixels[i] - picture_.pixels[i], full * 0.6, 0.51) << i;
  }
  request.inpaint = "replace:threshold=0.7";  // now nothing is, but the picture's rounding
  EXPECT_EQ(Make(request).pixels, picture_.pixels);
}

TEST_F(Inpainting, ChangesGreyPixelsLess) {
  Request request = Job(32, 32, {0, 0, 32, 32});
  for (int x = 0; x < 32; ++x) {
    for (int y = 0; y < 32; ++y) {
      mask_.pixels[static_cast<size_t>(y * 32 + x)] = static_cast<uint8_t>(x < 16 ? 255 : 100);
    }
  }
  request.mask = folder_.Write("soft.png", EncodePng(mask_, {}));
  request.steps = 12;
  const Image image = Make(request);
  std::array<double, 2> change{};
  for (size_t i = 0; i < image.pixels.size(); ++i) {
    change[i / 3 % 32 < 16 ? 0 : 1] += std::abs(image.pixels[i] - picture_.pixels[i]);
  }
  EXPECT_GT(change[1], 0);
  EXPECT_LT(change[1], 0.5 * change[0]);
}

TEST_F(Inpainting, StartsFromTheMaskedContent) {
  Request request = Job(32, 32, {8, 8, 16, 16});
  request.strength = 0;  // nothing but the content
  EXPECT_EQ(Make(request).pixels, picture_.pixels);
  request.masked_content = "#102030";
  const Image plain = Make(request);
  for (size_t i = 0; i < plain.pixels.size(); ++i) {
    const uint8_t colour = std::array<uint8_t, 3>{0x10, 0x20, 0x30}[i % 3];
    ASSERT_EQ(plain.pixels[i], mask_.pixels[i / 3] == 0 ? picture_.pixels[i] : colour);
  }
  std::vector<std::vector<uint8_t>> painted;
  request.strength = 0.5;
  for (const char* content : {"keep", "blur", "noise", "#102030"}) {
    request.masked_content = content;
    painted.push_back(Make(request).pixels);
    for (size_t i = 0; i + 1 < painted.size(); ++i) EXPECT_NE(painted[i], painted.back());
  }
}

TEST_F(Inpainting, OfOnlyTheMaskedPartWorksAtAnySize) {
  const Rect painted{900, 2111, 150, 97};
  Request request = Job(2008, 3008, painted);
  request.only_masked = true;
  request.mask_blur = 6;
  request.steps = 2;
  const Collector made = Run(request);
  EXPECT_EQ(made.pictures.at(0).request.width, 32) << "what is worked at";
  EXPECT_EQ(made.pictures.at(0).request.mask_padding, 32);
  Image mask = mask_;
  FeatherMask(mask, 6);
  ExpectPaintedInside(made.pictures.at(0).image, mask);
  ExpectPaintedInside(made.previews.at(0), mask);
  // More of the picture is seen.
  request.mask_padding = 200;
  EXPECT_NE(Make(request).pixels, made.pictures.at(0).image.pixels);
  // All of it and beyond its border, at the size that is asked for.
  request.mask_padding = 16384;
  request.width = 48;
  ExpectPaintedInside(Make(request), mask);
}

TEST_F(Inpainting, OfOnlyTheMaskedPartIsThePartPaintedAlone) {
  Request request = Job(90, 70, {40, 30, 12, 12});
  request.only_masked = true;
  request.mask_padding = 10;  // 32 x 32 from 30, 20 on: no resizing
  const Image whole = Make(request);
  const Image part = CutOut(picture_, {30, 20, 32, 32});
  Request alone = request;
  alone.only_masked.reset();
  alone.mask_padding.reset();
  alone.init_image = folder_.Write("part.png", EncodePng(part, {}));
  alone.mask = folder_.Write("part-mask.png", EncodePng(CutOut(mask_, {30, 20, 32, 32}), {}));
  EXPECT_EQ(CutOut(whole, {30, 20, 32, 32}).pixels, Make(alone).pixels);
}

TEST_F(Inpainting, BeyondTheBorderKeepsThePicture) {
  Request request = Job(24, 24, {0, 0, 0, 0});
  request.mask.reset();
  request.outpaint = Margins{8, 0, 16, 8};
  const Collector made = Run(request);
  const Image& image = made.pictures.at(0).image;
  EXPECT_EQ(image.width, 48);
  EXPECT_EQ(image.height, 32);
  const Request settings = made.pictures.at(0).request;
  EXPECT_EQ(settings.mask_grow, 8);
  EXPECT_EQ(settings.mask_blur, 4);
  EXPECT_EQ(settings.masked_content, "blur");
  // With neither growth nor blur all of the picture is kept.
  request.mask_grow = 0;
  request.mask_blur = 0;
  const Image kept = CutOut(Make(request), {8, 0, 24, 24});
  EXPECT_EQ(kept.pixels, picture_.pixels);
  // With a colour and no steps the border is that colour, and the blur does not let black through.
  request.mask_blur = 3;
  request.strength = 0;
  request.masked_content = "#ffffff";
  const Image white = Make(request);
  for (int y = 0; y < 32; ++y) {
    for (int x = 0; x < 48; ++x) {
      if (x >= 8 && x < 32 && y < 24) continue;
      ASSERT_EQ(white.pixels[static_cast<size_t>(3 * (y * 48 + x))], 255) << x << "," << y;
    }
  }
  // A mask of the picture's own is painted too.
  Request both = Job(24, 24, {10, 2, 4, 4});
  both.outpaint = Margins{8, 0, 16, 8};
  both.mask_grow = 0;
  both.mask_blur = 0;
  picture_ = {48, 32, 3, Make(both).pixels};
  const Image part = CutOut(picture_, {8, 0, 24, 24});
  EXPECT_NE(part.pixels[3 * (3 * 24 + 11)], kept.pixels[3 * (3 * 24 + 11)]);
  EXPECT_EQ(part.pixels[0], kept.pixels[0]);
}

TEST_F(Inpainting, IsMadeAgainFromItsMetadataInAnyBatchOnAnyNumberOfThreads) {
  Request request = Job(61, 47, {20, 13, 17, 19});
  request.only_masked = true;
  request.mask_padding = 9;
  request.mask_grow = 2;
  request.mask_blur = 3;
  request.mask_invert = false;
  request.masked_content = "noise";
  request.steps = 2;
  request.inpaint = "repaint:jump_length=1,jump_n_sample=3,threshold=0.4";
  request.sampling_method = "dpmpp_2m_sde";
  request.tile_size = 24;
  request.tile_overlap = 8;
  request.batch_count = 9;  // more than are made together
  const std::vector<Picture> pictures = Run(request).pictures;
  ASSERT_EQ(pictures.size(), 9u);
  EXPECT_NE(pictures[0].image.pixels, pictures[1].image.pixels);
  const int threads = NumThreads();
  for (const size_t i : {size_t{0}, size_t{5}, size_t{8}}) {
    SetNumThreads(i == 5 ? 3 : 1);
    const std::string png = EncodePng(pictures[i].image, MetadataOf({pictures[i].request}));
    const std::vector<Request> settings = ParseMetadata(png, "test.png");
    ASSERT_EQ(settings.size(), 1u);
    EXPECT_EQ(Make(settings[0]).pixels, pictures[i].image.pixels) << i;
  }
  SetNumThreads(threads);
}

TEST_F(Inpainting, OfAThinLineWorksWhereTheModelSeesItSmaller) {
  for (const std::string method : {"replace", "differential", "repaint:jump_length=1"}) {
    Request request = Job(256, 256, {20, 130, 200, 1});
    request.only_masked = true;  // 232 x 232 seen as 32 x 32
    request.inpaint = method;
    ExpectPaintedInside(Make(request), mask_);
  }
}

TEST_F(Inpainting, KeepsTransparencyOutsideTheMask) {
  Request request = Job(32, 40, {8, 10, 12, 16});
  const Image opaque = Make(request);
  Image rgba{32, 40, 4, {}};
  for (size_t i = 0; i < mask_.pixels.size(); ++i) {
    for (size_t c = 0; c < 3; ++c) rgba.pixels.push_back(picture_.pixels[3 * i + c]);
    rgba.pixels.push_back(255);
  }
  const auto make = [&] {
    request.init_image = folder_.Write("rgba.png", EncodePng(rgba, {}));
    Image made = Make(request);
    EXPECT_EQ(made.channels, 4);
    for (size_t i = 0; i < mask_.pixels.size(); ++i) {
      for (size_t c = 0; c < 4 && mask_.pixels[i] == 0; ++c) {
        EXPECT_EQ(made.pixels[4 * i + c], rgba.pixels[4 * i + c]) << "pixel " << i;
      }
      if (mask_.pixels[i] == 255) {
        EXPECT_EQ(made.pixels[4 * i + 3], 255) << "pixel " << i;
      }
    }
    return made;
  };
  // An alpha channel that says nothing changes nothing else.
  const Image same = make();
  for (size_t i = 0; i < opaque.pixels.size(); ++i) {
    ASSERT_EQ(same.pixels[i / 3 * 4 + i % 3], opaque.pixels[i]);
  }
  // The model sees white where nothing is, and not the colour that is hidden there.
  for (size_t i = 0; i < mask_.pixels.size(); ++i) {
    rgba.pixels[4 * i + 3] = static_cast<uint8_t>(i % 3 * 90);
  }
  const Image made = make();
  EXPECT_NE(made.pixels, same.pixels);
  for (size_t i = 0; i < mask_.pixels.size(); i += 3) rgba.pixels[4 * i] ^= 0xff;
  const Image hidden = make();
  for (size_t i = 0; i < mask_.pixels.size(); ++i) {
    for (size_t c = 0; c < 4 && mask_.pixels[i] == 255; ++c) {
      ASSERT_EQ(hidden.pixels[4 * i + c], made.pixels[4 * i + c]) << "pixel " << i;
    }
  }
  // Soft pixels in between; other ways to work.
  std::ranges::replace(mask_.pixels, 255, 128);
  request.mask = folder_.Write("mask.png", EncodePng(mask_, {}));
  request.only_masked = true;
  const Image soft = make();
  for (size_t i = 0; i < mask_.pixels.size(); ++i) {
    const int alpha = rgba.pixels[4 * i + 3];
    const double want = mask_.pixels[i] == 0 ? alpha : alpha + (255 - alpha) * 128 / 255.0;
    ASSERT_NEAR(soft.pixels[4 * i + 3], want, 0.51) << "pixel " << i;
  }
  request.model = kModels + "tiny-var";
  make();
}

TEST_F(Inpainting, BeyondTheBorderOfATransparentPictureIsOpaque) {
  Request request = Job(24, 24, {0, 0, 0, 0});
  const Image rgba{24, 24, 4, std::vector<uint8_t>(24 * 24 * 4, 40)};
  request.init_image = folder_.Write("rgba.png", EncodePng(rgba, {}));
  request.mask.reset();
  request.outpaint = Margins{8, 0, 0, 0};
  request.mask_grow = 0;
  request.mask_blur = 0;
  const Image made = Make(request);
  ASSERT_EQ(made.channels, 4);
  EXPECT_EQ(CutOut(made, {8, 0, 24, 24}).pixels, rgba.pixels);
  const Image border = CutOut(made, {0, 0, 8, 24});
  for (size_t i = 3; i < border.pixels.size(); i += 4) ASSERT_EQ(border.pixels[i], 255);
}

TEST_F(Inpainting, DecodesNothingBeforeTheWork) {
  const Request whole = Job(32, 32, {8, 8, 8, 8});
  const std::string damaged = folder_.Write("damaged.png", EncodePng(mask_, {}).substr(0, 60));
  for (const auto field : {&Request::init_image, &Request::mask}) {
    Request request = whole;
    request.*field = damaged;
    Generator generator(Device::kCpu);
    EXPECT_EQ(generator.Resolve(request).width, 32);
    ExpectError(ErrorKind::kFormat, "damaged.png: cannot be decoded", [&] { Make(request); });
  }
}

TEST_F(Inpainting, ServesNextScaleModels) {
  Request request = Job(30, 21, {9, 4, 12, 9});
  request.model = kModels + "tiny-var";
  request.prompt = "three frogs";
  request.only_masked = true;
  request.mask_padding = 1;
  request.mask_grow = 1;
  request.mask_blur = 1;
  const Image image = Make(request);
  Image mask = mask_;
  GrowMask(mask, 1);
  FeatherMask(mask, 1);
  ASSERT_EQ(image.width, 30);
  int64_t changed = 0;
  for (size_t i = 0; i < image.pixels.size(); ++i) {
    if (mask.pixels[i / 3] == 0) {
      ASSERT_EQ(image.pixels[i], picture_.pixels[i]) << i;
    } else {
      changed += image.pixels[i] == picture_.pixels[i] ? 0 : 1;
    }
  }
  EXPECT_GT(changed, 100);
  // Content shows in the tokens that are given to the model for the smallest maps.
  request.mask_padding = 3;
  request.mask_blur = 0;
  const Image kept = Make(request);
  request.masked_content = "#00ff00";
  EXPECT_NE(Make(request).pixels, kept.pixels);
  Request wider = Job(6, 8, {0, 0, 0, 0});
  wider.model = request.model;
  wider.mask.reset();
  wider.outpaint = Margins{0, 0, 2, 0};
  EXPECT_EQ(Make(wider).width, 8);
  request.inpaint = "replace";
  ExpectError(ErrorKind::kUsage, "inpaint: has no effect", [&] { Make(request); });
}

TEST_F(Inpainting, RefusesWhatDoesNotGoTogether) {
  const Request base = Job(32, 32, {8, 8, 8, 8});
  const auto refuses = [&](ErrorKind kind, const std::string& words, const auto& change) {
    Request request = base;
    change(request);
    ExpectError(kind, words, [&] { Make(request); });
  };
  const auto usage = [&](const std::string& words, const auto& change) {
    refuses(ErrorKind::kUsage, words, change);
  };
  usage("mask: needs the picture", [](Request& r) { r.init_image.reset(); });
  usage("mask_blur: has no effect without", [](Request& r) {
    r.mask.reset();
    r.mask_blur = 3;
  });
  usage("only_masked: has no effect without", [](Request& r) {
    r.mask.reset();
    r.only_masked = true;
  });
  usage("mask_padding: has no effect without only_masked", [](Request& r) { r.mask_padding = 3; });
  usage("masked_content: there is no 'fill'", [](Request& r) { r.masked_content = "fill"; });
  usage("nothing to keep", [](Request& r) {
    r.outpaint = Margins{8, 0, 0, 0};
    r.masked_content = "keep";
  });
  usage("no inpainter 'magic'", [](Request& r) { r.inpaint = "magic"; });
  usage("is 32 x 32, but a picture of 64 x 64", [](Request& r) { r.width = r.height = 64; });
  usage("mask_invert: needs a mask", [](Request& r) {
    r.mask.reset();
    r.outpaint = Margins{8, 0, 0, 0};
    r.mask_invert = true;
  });
  usage("tile_overlap: has no effect", [](Request& r) { r.tile_overlap = 3; });
  usage("cannot overlap by 16", [](Request& r) {
    r.tile_size = 16;
    r.tile_overlap = 16;
  });
  usage("tile_size 20: this model makes multiples of 8", [](Request& r) { r.tile_size = 20; });
  refuses(ErrorKind::kFormat, "leaves nothing to paint", [](Request& r) { r.mask_grow = -4; });
  refuses(ErrorKind::kIo, "nix.png", [](Request& r) { r.mask = "nix.png"; });
}

TEST_F(Inpainting, OfEverythingIsAPictureOfItsOwn) {
  Request request = Job(32, 32, {0, 0, 32, 32});
  const Image image = Make(request);
  ExpectPaintedInside(image, mask_);
}

TEST(TiledPictures, AreMadeAtSizesThatTheModelDoesNotKnow) {
  Request request;
  request.model = kModels + "tiny-hdit";
  request.prompt = "a cat";
  request.seed = 7;
  request.width = 75;
  request.height = 45;
  Generator generator(Device::kCpu);
  const auto make = [&] {
    Collector collector;
    generator.Run(generator.Resolve(request), collector);
    return collector.pictures.at(0).image;
  };
  ExpectError(ErrorKind::kUsage, "multiples of 8", make);
  request.tile_size = 32;
  const Image image = make();
  EXPECT_EQ(image.width, 75);
  EXPECT_EQ(image.height, 45);
  request.tile_overlap = 20;
  EXPECT_NE(make().pixels, image.pixels);
  // One tile that is the whole picture.
  request.width = request.height = 32;
  const Image tiled = make();
  request.tile_size = 0;
  request.tile_overlap.reset();
  EXPECT_EQ(make().pixels, tiled.pixels);
}

}  // namespace
}  // namespace gesso
