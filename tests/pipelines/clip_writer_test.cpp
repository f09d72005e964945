#include "pipelines/media/clip_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <random>

#include "pipelines/media/enlarge.h"
#include "pipelines/media/image_file.h"
#include "pipelines/media/metadata.h"
#include "tests/support/files.h"

namespace gesso {
namespace {

namespace fs = std::filesystem;

// What a command prints.
std::string OutputOf(const std::string& command) {
  FILE* pipe = popen(command.c_str(), "r");
  CHECK(pipe != nullptr);
  std::string output;
  std::array<char, 4096> buffer{};
  for (size_t count = 0; (count = fread(buffer.data(), 1, buffer.size(), pipe)) > 0;) {
    output.append(buffer.data(), count);
  }
  pclose(pipe);
  return output;
}

bool HasFfmpeg() { return std::system("ffmpeg -version >/dev/null 2>&1") == 0; }

// The pixels of all frames of a file, RGB, as another program decodes them.
std::string Decode(const fs::path& file) {
  return OutputOf("ffmpeg -v error -i '" + file.string() + "' -f rawvideo -pix_fmt rgb24 -");
}

std::string Probe(const fs::path& file, const std::string& entries) {
  std::string said = OutputOf("ffprobe -v error -count_frames -of csv=p=0 -show_entries " +
                              entries + " '" + file.string() + "'");
  while (said.ends_with('\n')) said.pop_back();
  return said;
}

// A colour of its own for each frame, with a dark band that moves.
Image Frame(int width, int height, int index) {
  Image image{width, height, 3, {}};
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const bool dark = (x + index) % 8 < 2;
      image.pixels.push_back(dark ? 20 : 255);
      image.pixels.push_back(dark ? 20 : static_cast<uint8_t>(10 * (index % 20)));
      image.pixels.push_back(20);
    }
  }
  return image;
}

ClipSpec SpecOf(int width, int height, int64_t frames) {
  Request request;
  request.prompt = "a ball";
  request.seed = 5;
  return {.width = width, .height = height, .frames = frames, .fps = 10, .request = request};
}

// Writes `frames` frames and returns them as one string of pixels.
std::string WriteClip(const fs::path& file, int width, int height, int frames,
                      const ClipOptions& options = {}) {
  const auto writer = OpenClip(file, SpecOf(width, height, frames), options);
  std::string pixels;
  for (int i = 0; i < frames; ++i) {
    const Image image = Frame(width, height, i);
    writer->Add(image);
    pixels.append(image.pixels.begin(), image.pixels.end());
  }
  EXPECT_FALSE(fs::exists(file));
  writer->Finish();
  EXPECT_TRUE(fs::exists(file));
  return pixels;
}

double MeanDifference(const std::string& a, const std::string& b) {
  EXPECT_EQ(a.size(), b.size());
  double sum = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    sum += std::abs(int{static_cast<uint8_t>(a[i])} - int{static_cast<uint8_t>(b[i])});
  }
  return sum / static_cast<double>(a.size());
}

class VideoFile : public ::testing::Test {
 protected:
  void SetUp() override {
    if (PresentCodecs() == "none") GTEST_SKIP() << "built without FFmpeg";
    if (!HasFfmpeg()) GTEST_SKIP() << "there is no ffmpeg to read the files with";
  }
  TempFolder folder_;
};

TEST_F(VideoFile, HoldsTheColoursOfItsFrames) {
  for (const char* name : {"a.mp4", "a.webm", "a.mkv"}) {
    const fs::path file = folder_.path() / name;
    // Colours of pairs of pixels would blur the bands.
    const std::string pixels =
        WriteClip(file, 32, 24, 12, {.codec = {}, .crf = 1, .pixel_format = "yuv444p"});
    EXPECT_LT(MeanDifference(Decode(file), pixels), 4) << name;
    EXPECT_EQ(Probe(file, "stream=color_range,color_space,color_transfer,color_primaries"),
              "tv,bt709,bt709,bt709")
        << name;
  }
}

TEST_F(VideoFile, PadsOddSizesWhereColoursComeInPairs) {
  const fs::path file = folder_.path() / "odd.mp4";
  WriteClip(file, 33, 35, 3, {.codec = {}, .crf = 1, .pixel_format = {}});
  EXPECT_EQ(Probe(file, "stream=width,height,nb_read_frames"), "34,36,3");
  const std::string decoded = Decode(file);
  const auto at = [&](size_t x, size_t y) {
    return int{static_cast<uint8_t>(decoded[(y * 34 + x) * 3])};
  };
  EXPECT_NEAR(at(33, 10), at(32, 10), 8);  // a copy of its neighbour
  const fs::path whole = folder_.path() / "whole.mp4";
  WriteClip(whole, 33, 35, 3, {.codec = {}, .crf = 1, .pixel_format = "yuv444p"});
  EXPECT_EQ(Probe(whole, "stream=width,height"), "33,35");
}

TEST_F(VideoFile, KeepsCountAndRateOfManyFrames) {
  const fs::path file = folder_.path() / "long.mp4";
  WriteClip(file, 16, 16, 300);
  EXPECT_EQ(Probe(file, "stream=avg_frame_rate,nb_read_frames:format=duration"),
            "10/1,300\n30.000000");
}

TEST_F(VideoFile, GifsHavePalettesOfTheirOwnColours) {
  const fs::path file = folder_.path() / "a.gif";
  const std::string pixels = WriteClip(file, 32, 24, 130);  // three palettes
  EXPECT_LT(MeanDifference(Decode(file), pixels), 3);
  EXPECT_EQ(Probe(file, "stream=nb_read_frames"), "130");
}

TEST_F(VideoFile, GifsLastAsLongAsTheirFrames) {
  const fs::path file = folder_.path() / "a.gif";
  for (const auto& [fps, frames, duration] :
       {std::tuple{8.0, 1, "0.130000"}, {23.976, 10, "0.420000"}, {50.0, 7, "0.140000"}}) {
    ClipSpec spec = SpecOf(8, 8, frames);
    spec.fps = fps;
    const auto writer =
        OpenClip(file, spec, {.codec = {}, .crf = {}, .pixel_format = {}, .overwrite = true});
    for (int i = 0; i < frames; ++i) writer->Add(Frame(8, 8, i));
    writer->Finish();
    EXPECT_EQ(Probe(file, "format=duration"), duration) << fps;
  }
  ClipSpec fast = SpecOf(8, 8, 2);
  fast.fps = 60;  // which would be played at 10
  ExpectError(ErrorKind::kUsage, {"fps", "60 frames/s are more than 50"},
              [&] { OpenClip(folder_.path() / "b.gif", fast, {}); });
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_.path()), {}), 1);
}

TEST_F(VideoFile, CarriesTheSettings) {
  for (const char* name : {"a.mp4", "a.webm", "a.gif", "a.apng", "a.mov"}) {
    const fs::path file = folder_.path() / name;
    WriteClip(file, 16, 16, 2);
    EXPECT_EQ(ReadMetadata(file), std::vector<Request>{SpecOf(16, 16, 2).request}) << name;
  }
}

TEST_F(VideoFile, NamesTheCodecsPresent) {
  const auto refused = [&](const std::string& name, const ClipOptions& options, ErrorKind kind,
                           const std::vector<std::string>& words) {
    ExpectError(kind, words, [&] { CheckClip(folder_.path() / name, options); });
  };
  refused("a.mp4", {.codec = "theora", .crf = {}, .pixel_format = {}}, ErrorKind::kUsage,
          {"'theora'", PresentCodecs()});
  refused("a.webm", {.codec = "h264", .crf = {}, .pixel_format = {}}, ErrorKind::kUsage,
          {"h264 does not go into a webm", PresentCodecs()});
  refused("a.mp4", {.codec = {}, .crf = 52, .pixel_format = {}}, ErrorKind::kUsage, {"0 to 51"});
  refused("a.mp4", {.codec = {}, .crf = {}, .pixel_format = "rgb24"}, ErrorKind::kUsage,
          {"yuv444p"});
  refused("nix/a.mp4", {}, ErrorKind::kOutput, {"nix"});
}

TEST_F(VideoFile, LeavesNothingWhereItCannotBeWritten) {
  for (const char* name : {"full.mp4", "full.mkv", "full.gif", "full.apng"}) {
    const fs::path file = folder_.path() / name;
    fs::create_symlink("/dev/full", file);
    ExpectError(ErrorKind::kOutput, {name}, [&] {
      const auto writer = OpenClip(file, SpecOf(64, 64, 100), {});
      for (int i = 0; i < 100; ++i) writer->Add(Frame(64, 64, i));
      writer->Finish();
    });
    fs::remove(file);
  }
  OpenClip(folder_.path() / "gone.mp4", SpecOf(16, 16, 2), {})->Add(Frame(16, 16, 0));
  EXPECT_TRUE(fs::is_empty(folder_.path()));
}

TEST(Apng, HoldsEveryFrameAsItIs) {
  const TempFolder folder;
  const fs::path file = folder.path() / "a.apng";
  const std::string pixels = WriteClip(file, 9, 7, 4);
  const std::string bytes = ReadFile(file, 1 << 20);
  const Image first = DecodeImage(bytes, 3, "a.apng");  // as a plain PNG reader sees it
  EXPECT_EQ(first.pixels, Frame(9, 7, 0).pixels);
  std::string delays;
  int controls = 0;
  uint32_t sequence = 0;
  ForEachPngChunk(bytes, [&](std::string_view type, std::string_view data) {
    if (type == "acTL") {
      EXPECT_EQ(data, PngInteger(4) + PngInteger(0));
    }
    if (type != "fcTL" && type != "fdAT") return;
    EXPECT_EQ(data.substr(0, 4), PngInteger(sequence++));
    if (type == "fcTL") ++controls;
    if (type == "fcTL") delays = data.substr(20, 4);
  });
  EXPECT_EQ(controls, 4);
  EXPECT_EQ(sequence, 7u);
  const double seconds =
      (static_cast<uint8_t>(delays[0]) * 256.0 + static_cast<uint8_t>(delays[1])) /
      (static_cast<uint8_t>(delays[2]) * 256.0 + static_cast<uint8_t>(delays[3]));
  EXPECT_NEAR(seconds, 0.1, 1e-6);
  if (HasFfmpeg()) {
    EXPECT_EQ(Decode(file), pixels);
  }
}

// An encoder may spread a frame's data over chunks, each of which would count as a frame here.
TEST(Apng, HoldsALargeFrameInOneChunk) {
  const TempFolder folder;
  const fs::path file = folder.path() / "a.apng";
  std::mt19937 random(1);
  std::string pixels;
  const auto writer = OpenClip(file, SpecOf(80, 60, 4), {});
  for (int i = 0; i < 4; ++i) {
    Image noise{80, 60, 3, std::vector<uint8_t>(80 * 60 * 3)};
    for (uint8_t& value : noise.pixels) value = static_cast<uint8_t>(random());
    writer->Add(noise);
    pixels.append(noise.pixels.begin(), noise.pixels.end());
  }
  writer->Finish();
  const std::string bytes = ReadFile(file, 1 << 20);
  std::vector<std::string> types;
  ForEachPngChunk(bytes, [&](std::string_view type, std::string_view /*data*/) {
    if (type.starts_with("fc") || type.ends_with("AT")) types.emplace_back(type);
  });
  EXPECT_EQ(types, (std::vector<std::string>{"fcTL", "IDAT", "fcTL", "fdAT", "fcTL", "fdAT", "fcTL",
                                             "fdAT"}));
  const Image first = DecodeImage(bytes, 3, "a.apng");
  EXPECT_TRUE(std::string(first.pixels.begin(), first.pixels.end()) ==
              pixels.substr(0, first.pixels.size()));
  if (HasFfmpeg()) {
    EXPECT_TRUE(Decode(file) == pixels);
  }
}

TEST(FrameFolder, HoldsNumberedPictures) {
  const TempFolder folder;
  const fs::path frames = folder.path() / "frames";
  WriteClip(frames, 9, 7, 3);
  for (int i = 0; i < 3; ++i) {
    const fs::path file = frames / fmt::format("frame-{:05}.png", i);
    EXPECT_EQ(ReadImage(file, 3).pixels, Frame(9, 7, i).pixels);
    EXPECT_EQ(ReadMetadata(file).at(0).prompt, "a ball");
  }
  ExpectError(ErrorKind::kOutput, {"new or empty folder"},
              [&] { OpenClip(frames, SpecOf(9, 7, 1), {}); });
  const fs::path mine = folder.path() / "half.part" / "frame-00000.png";
  fs::create_directory(mine.parent_path());
  std::ofstream(mine) << "mine";
  { OpenClip(folder.path() / "half/", SpecOf(9, 7, 2), {})->Add(Frame(9, 7, 0)); }
  EXPECT_EQ(ReadFile(mine, 100), "mine");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), {}), 2);
}

TEST(ClipWriter, RefusesOptionsThatMeanNothing) {
  const auto refused = [&](const std::string& name, const ClipOptions& options,
                           const std::string& word) {
    ExpectError(ErrorKind::kUsage, {word}, [&] { CheckClip(name, options); });
  };
  refused("a.avi", {}, ".mp4, .mov, .webm, .mkv, .gif, .apng");
  refused("a.apng", {.codec = "h264", .crf = {}, .pixel_format = {}}, "codec: means nothing");
  refused("folder", {.codec = {}, .crf = 3, .pixel_format = {}}, "crf: means nothing to a folder");
  refused("a.apng", {.codec = {}, .crf = {}, .pixel_format = "yuv420p"}, "pixel_format");
}

TEST(Enlarge, RepeatsPixelsOrSmoothsThem) {
  const Image small{2, 1, 1, {0, 200}};
  EXPECT_EQ(Enlarge(small, 2, ScaleFilter::kNearest).pixels,
            (std::vector<uint8_t>{0, 0, 200, 200, 0, 0, 200, 200}));
  const Image smooth = Enlarge(small, 4, ParseScaleFilter("smooth"));
  EXPECT_EQ(smooth.width, 8);
  EXPECT_EQ(smooth.height, 4);
  EXPECT_GT(smooth.pixels[4], smooth.pixels[3]);
  EXPECT_GT(smooth.pixels[3], 20);
  EXPECT_THROW(ParseScaleFilter("bad"), Error);
}

}  // namespace
}  // namespace gesso
