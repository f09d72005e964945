// The whole editor without a window: jobs, files, recovery.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <thread>

#include "models/io/output_file.h"
#include "pipelines/generator.h"
#include "pipelines/media/image_file.h"
#include "pipelines/media/metadata.h"
#include "pipelines/media/picture_format.h"
#include "pipelines/media/zip_writer.h"
#include "tests/ui/editor_fixture.h"
#include "ui/actions/layer_actions.h"
#include "ui/actions/mask_actions.h"
#include "ui/state/autosave.h"
#include "ui/state/recent_files.h"

namespace gesso::ui {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

using EditorTest = EditorFixture;

TEST_F(EditorTest, PaintsUnderTheMaskAndNowhereElse) {
  OpenWithMask();
  const Document before = editor_.document();
  editor_.Submit();
  WaitUntilDone();
  ASSERT_EQ(editor_.document().layers.size(), 2u);
  const Image photo = Photo(8, 8);
  const Image painted = Flatten(editor_.document());
  ASSERT_EQ(painted.channels, 3);
  int changed = 0;
  for (size_t i = 0; i < photo.pixels.size(); ++i) {
    if (i / 3 % 8 < 4) {
      EXPECT_EQ(painted.pixels[i], photo.pixels[i]) << i;
    } else {
      changed += painted.pixels[i] != photo.pixels[i] ? 1 : 0;
    }
  }
  EXPECT_GT(changed, 48);  // of 96
  editor_.Undo();
  EXPECT_TRUE(editor_.document() == before);
  editor_.Redo();
  EXPECT_EQ(Flatten(editor_.document()).pixels, painted.pixels);
}

TEST_F(EditorTest, ShowsTheResultWhereThePictureIsTransparentInPart) {
  OpenWithMask();
  Image glass{8, 8, 4, {}};
  for (int i = 0; i < 8 * 8 * 4; ++i) glass.pixels.push_back(static_cast<uint8_t>(1 + i * 7 % 251));
  WriteFile(photo_, EncodePng(glass, {}), true);
  editor_.Open(photo_);
  Image mask{8, 8, 1, {}};  // soft from left to right
  for (int i = 0; i < 8 * 8; ++i) mask.pixels.push_back(static_cast<uint8_t>(i % 8 * 36));
  editor_.Edit("soft", [&](Document& document) { LoadMask(document, mask); });
  editor_.Submit();
  WaitUntilDone();
  ASSERT_EQ(editor_.document().layers.size(), 2u);
  const Image& result = *editor_.results().results().front().image;
  EXPECT_NE(result.pixels, glass.pixels);
  EXPECT_EQ(Flatten(editor_.document()).pixels, result.pixels);
}

TEST_F(EditorTest, MakesThePixelsOfTheCommandLine) {
  OpenWithMask();
  editor_.Submit();
  WaitUntilDone();
  const fs::path saved = folder_.path() / "saved.png";
  editor_.Save(saved);
  WaitUntilDone();
  // What the saved picture says of itself is a request that makes it again.
  class Collector : public GenerateObserver {
   public:
    void OnStep(const StepReport&) override {}
    void OnPicture(const Picture& picture) override { pixels = picture.image.pixels; }
    std::vector<uint8_t> pixels;
  } again;
  Generator generator(Device::kCpu);
  generator.Run(generator.Resolve(ReadMetadata(saved).front()), again);
  EXPECT_EQ(again.pixels, ReadImage(saved, 3).pixels);
}

TEST_F(EditorTest, SeveralPicturesAreChosenFrom) {
  OpenWithMask();
  editor_.request.batch_count = 3;
  editor_.Submit();
  WaitUntilDone();
  EXPECT_EQ(editor_.document().layers.size(), 1u);
  ASSERT_TRUE(editor_.grid_job.has_value());
  EXPECT_EQ(editor_.results().results().size(), 3u);
  editor_.TakeVariation(*editor_.grid_job, 1);
  ASSERT_EQ(editor_.document().layers.size(), 2u);
  EXPECT_EQ(editor_.document().layers.back().info.request->seed, 6u);
  EXPECT_EQ(editor_.document().layers.back().pixels.At(0, 0)[3], 0);  // under the mask only
}

TEST_F(EditorTest, AFailedJobIsANotice) {
  OpenWithMask();
  editor_.request.model = "nix";
  editor_.Submit();
  WaitUntilDone();
  ASSERT_TRUE(editor_.notice().has_value());
  EXPECT_TRUE(editor_.notice()->is_error);
  EXPECT_THAT(editor_.notice()->text, HasSubstr("there is no model 'nix'"));
  EXPECT_EQ(editor_.document().layers.size(), 1u);
}

TEST_F(EditorTest, PaintingGoesOnWhileAJobRuns) {
  OpenWithMask();
  editor_.Submit();
  Stroke stroke(editor_.BeginEdit().mask, {.size = 4}, true);
  stroke.LineTo({6, 6});
  WaitUntilDone();  // the result arrives in the midst of the stroke
  EXPECT_EQ(editor_.document().layers.size(), 1u);
  stroke.LineTo({7, 2});
  editor_.EndEdit("stroke");
  editor_.Update();
  EXPECT_EQ(editor_.document().layers.size(), 2u);
  editor_.Undo();
  EXPECT_EQ(editor_.document().layers.size(), 1u);
  EXPECT_NE(*editor_.document().mask.At(6, 6), 255);
  editor_.Undo();
  EXPECT_EQ(*editor_.document().mask.At(6, 6), 255);
}

TEST_F(EditorTest, AStrokeThatIsCalledOffLeavesTheResult) {
  OpenWithMask();
  const TiledImage mask = editor_.document().mask;
  editor_.Submit();
  Stroke(editor_.BeginEdit().mask, {.size = 4}, true).LineTo({6, 6});
  WaitUntilDone();
  editor_.AbandonEdit();
  editor_.Update();
  EXPECT_EQ(editor_.document().layers.size(), 2u);
  EXPECT_TRUE(editor_.document().mask == mask);
}

TEST_F(EditorTest, PicturesThatNobodyAsksForAnyMoreAreForgotten) {
  OpenWithMask();
  editor_.Submit();
  WaitUntilDone();
  EXPECT_TRUE(engine_.snapshot()->back()->pictures.empty());  // the document has it
  editor_.request.batch_count = 2;
  for (int i = 0; i < 6; ++i) editor_.Submit(i);
  WaitUntilDone();
  size_t kept = 0;
  for (const auto& status : *engine_.snapshot()) kept += status->pictures.empty() ? 0 : 1;
  EXPECT_EQ(kept, 4u);
  editor_.TakeVariation(*editor_.grid_job, 1);  // of the newest
  EXPECT_EQ(editor_.document().layers.size(), 3u);
  editor_.request.batch_count = 1;
  for (int i = 0; i < 60; ++i) editor_.Submit(i);
  WaitUntilDone();
  EXPECT_EQ(engine_.snapshot()->size(), 50u);
  EXPECT_EQ(editor_.document().layers.size(), 63u);
}

TEST_F(EditorTest, PaintsBeyondTheBorder) {
  OpenWithMask();
  editor_.Edit("clear", ClearMask);
  const Document before = editor_.document();
  editor_.request.outpaint = Margins{3, 1, 0, 2};
  editor_.Submit();
  WaitUntilDone();
  const Document& after = editor_.document();
  ASSERT_EQ(after.layers.size(), 2u) << editor_.notice()->text;
  EXPECT_EQ(after.width, 11);
  EXPECT_EQ(after.height, 11);
  EXPECT_FALSE(editor_.request.outpaint.has_value());  // another paint is not for more of it
  // What the command line makes of the same request, whose settings lie in the result.
  Generator generator(Device::kCpu);
  class Collector : public GenerateObserver {
   public:
    void OnStep(const StepReport&) override {}
    void OnPicture(const Picture& picture) override { image = picture.image; }
    Image image;
  } again;
  const Request asked = *after.layers[1].info.request;
  EXPECT_EQ(asked.outpaint, (Margins{3, 1, 0, 2}));
  generator.Run(generator.Resolve(asked), again);
  EXPECT_EQ(Flatten(after).pixels, again.image.pixels);
  EXPECT_EQ(after.layers[0].pixels.At(2, 1)[3], 0);
  EXPECT_EQ(after.layers[0].pixels.At(3, 1)[3], 255);
  editor_.Undo();
  EXPECT_TRUE(editor_.document() == before);
}

TEST_F(EditorTest, ResultsSurviveARestart) {
  OpenWithMask();
  editor_.Submit();
  WaitUntilDone();
  const Image image = ResultStore::ImageOf(editor_.results().results().at(0));
  Background background;
  Editor second(engine_, background, folder_.path() / "state");
  while (!background.is_idle()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  second.Update();
  ASSERT_EQ(second.results().results().size(), 1u);
  const Result& result = second.results().results().front();
  EXPECT_EQ(result.request.prompt, "a cat");
  EXPECT_EQ(ResultStore::ImageOf(result).pixels, image.pixels);
  second.OpenResult(result);
  EXPECT_EQ(Flatten(second.document()).pixels, image.pixels);
}

TEST_F(EditorTest, TheNewestResultsAreKeptAlsoOfOneJob) {
  const fs::path results = folder_.path() / "many" / "results";
  fs::create_directories(results);
  const auto name = [&](size_t i) { return results / fmt::format("1700000000000-{:03}.png", i); };
  for (size_t i = 0; i < kMaxResults + 50; ++i) WriteFile(name(i), "no picture", true);
  const Editor second(engine_, background_, folder_.path() / "many");
  background_.Wait();
  EXPECT_FALSE(fs::exists(name(49)));
  EXPECT_TRUE(fs::exists(name(50)));
  EXPECT_EQ(std::distance(fs::directory_iterator(results), fs::directory_iterator()),
            static_cast<std::ptrdiff_t>(kMaxResults));
}

TEST_F(EditorTest, AProjectKeepsEverything) {
  OpenWithMask();
  editor_.Submit();
  WaitUntilDone();
  editor_.Edit("opacity", [](Document& d) { SetLayerOpacity(d, d.layers[1].info.id, 0.25f); });
  const Document saved = editor_.document();
  const fs::path path = folder_.path() / "work.gesso";
  editor_.Save(path);
  WaitUntilDone();
  editor_.New(20, 20);
  editor_.request = {};
  editor_.Open(path);
  EXPECT_TRUE(editor_.document() == saved);
  EXPECT_EQ(editor_.request.prompt, "a cat");
  EXPECT_FALSE(editor_.is_modified());
}

TEST_F(EditorTest, AProjectBringsItsResultsAlong) {
  OpenWithMask();
  for (int i = 0; i < 3; ++i) editor_.Submit(i);
  WaitUntilDone();
  const fs::path path = folder_.path() / "work.gesso";
  editor_.Save(path);
  WaitUntilDone();
  const std::vector<Result>& made = editor_.results().results();
  ASSERT_EQ(made.size(), 3u);
  // On another machine, with results of its own.
  Editor other(engine_, background_, folder_.path() / "elsewhere");
  const auto settle = [&] {
    background_.Wait();
    other.Update();
  };
  other.request = editor_.request;
  other.New(8, 8);
  other.Submit(9);
  while (other.is_busy()) other.Update();
  other.Open(path);
  settle();
  ASSERT_EQ(other.results().results().size(), 4u);
  for (size_t i = 0; i < 3; ++i) {  // the newest first
    const Result& result = other.results().results()[i + 1];
    EXPECT_EQ(result.path.filename(), made[i].path.filename());
    EXPECT_EQ(result.path.parent_path(), folder_.path() / "elsewhere" / "results");
    EXPECT_EQ(result.request, made[i].request);
    EXPECT_EQ(ResultStore::ImageOf(result).pixels, ResultStore::ImageOf(made[i]).pixels);
  }
  other.Open(path);  // a second time they are there
  settle();
  EXPECT_EQ(other.results().results().size(), 4u);
  // Saved again it still has them; a copy for this machine only their names.
  const fs::path again = folder_.path() / "again.gesso";
  other.Save(again);
  settle();
  EXPECT_EQ(ReadProject(again).results.size(), 3u);
  EXPECT_FALSE(ReadProject(again).results[0].png.empty());
  ProjectWriter().Write(other.ToProject(false), again);
  EXPECT_EQ(ReadProject(again).results.size(), 3u);
  EXPECT_TRUE(ReadProject(again).results[0].png.empty());
}

TEST_F(EditorTest, PicturesAreSavedByTheEndsOfTheirNames) {
  OpenWithMask();
  const Image photo = ReadImage(photo_, 3);
  for (const PictureFormat& format : PictureFormats()) {
    const fs::path path = folder_.path() / ("saved" + std::string(format.suffix));
    editor_.Save(path);
    WaitUntilDone();
    const Image saved = ReadImage(path, 3);
    EXPECT_EQ(saved.width, 8) << path;
    if (format.suffix.starts_with(".j")) continue;  // with loss
    EXPECT_EQ(saved.pixels, photo.pixels) << path;
    editor_.Open(path);
    EXPECT_EQ(Flatten(editor_.document()).pixels, photo.pixels);
  }
}

TEST_F(EditorTest, MasksGoToFilesAndBack) {
  OpenWithMask();
  const TiledImage mask = editor_.document().mask;
  editor_.SaveMask(folder_.path() / "mask.png");
  WaitUntilDone();
  editor_.Edit("clear", ClearMask);
  editor_.OpenMask(folder_.path() / "mask.png");
  EXPECT_TRUE(editor_.document().mask == mask);
}

TEST_F(EditorTest, RefusesFilesThatAreNone) {
  const auto refuses = [&](const std::string& name, std::string_view bytes, ErrorKind kind,
                           const std::vector<std::string>& words) {
    const fs::path path = folder_.Write(name, bytes);
    ExpectError(kind, words, [&] { editor_.Open(path); });
    EXPECT_TRUE(editor_.document().empty());
  };
  refuses("empty.png", "", ErrorKind::kFormat, {"empty.png", "not a PNG"});
  refuses("text.gesso", "hello", ErrorKind::kFormat, {"text.gesso", "no zip"});
  // A PNG of 60000 x 60000 pixels in 70 bytes: refused by its header.
  std::string bomb(kPngSignature);
  bomb +=
      PngChunk("IHDR", PngInteger(60000) + PngInteger(60000) + std::string("\x08\x02\0\0\0", 5));
  bomb += PngChunk("IDAT", "x") + PngChunk("IEND", "");
  refuses("bomb.png", bomb, ErrorKind::kFormat, {"bomb.png", "60000 x 60000"});
  const auto project = [&](const std::string& json) {
    const fs::path path = folder_.path() / "made.zip";
    OutputFile file(path);
    ZipWriter zip(file);
    zip.Add("project.json", json);
    zip.Finish();
    file.Commit();
    return ReadFile(path, 1 << 20);
  };
  refuses("other.gesso", project("{}"), ErrorKind::kFormat, {"other.gesso", "another program"});
  refuses("newer.gesso", project(R"({"program": "gesso", "version": 3})"), ErrorKind::kUnsupported,
          {"newer.gesso", "newer gesso", "version 3", "up to 2"});
  refuses("torn.gesso", project(R"({"program": "gesso", "version": 1})").substr(0, 80),
          ErrorKind::kFormat, {"torn.gesso", "truncated"});
  refuses("lacks.gesso",
          project(R"({"program": "gesso", "version": 1, "width": 5, "height": 5, "last_id": 1,
                      "layers": []})"),
          ErrorKind::kFormat, {"lacks.gesso", "mask.png"});
  const std::string nothing = R"({"program": "gesso", "version": 2, "width": 0, "height": 0,
                                  "last_id": 0, "layers": [], )";
  refuses("escapes.gesso",
          project(nothing + R"("history": [{"name": "../x-000.png", "request": {}}]})"),
          ErrorKind::kFormat, {"escapes.gesso", "'../x-000.png' is no name of a result"});
  refuses("silent.gesso", project(nothing + R"("song": "song.mid"})"), ErrorKind::kFormat,
          {"silent.gesso", "it has no song.mid"});
}

TEST_F(EditorTest, SavesOnlyWhatItCanWrite) {
  OpenWithMask();
  ExpectError(ErrorKind::kUsage, {"a.bmp", ".png, .jpg, .jpeg", ".gesso"},
              [&] { editor_.Save("a.bmp"); });
  ExpectError(ErrorKind::kOutput, {"/nowhere"}, [&] { editor_.Save("/nowhere/a.png"); });
  editor_.Save(folder_.path() / "a.jpg");
  WaitUntilDone();
  EXPECT_EQ(ReadImage(folder_.path() / "a.jpg", 3).width, 8);
}

TEST_F(EditorTest, RecentFilesAreThoseThatExist) {
  const fs::path state = folder_.path() / "state";
  const fs::path a = folder_.Write("a.png", "");
  const fs::path b = folder_.Write("b.png", "");
  RememberFile(state, a);
  RememberFile(state, b);
  RememberFile(state, a);
  EXPECT_EQ(RecentFiles(state), (std::vector<fs::path>{a, b}));
  fs::remove(a);
  EXPECT_EQ(RecentFiles(state), std::vector<fs::path>{b});
}

// Projects in the folder of those that are written unasked.
int64_t CountSaved(const fs::path& state) {
  std::error_code error;
  return std::ranges::count_if(
      fs::directory_iterator(state / "autosave", error),
      [](const fs::directory_entry& entry) { return entry.path().extension() == ".gesso"; });
}

TEST_F(EditorTest, WhatIsLeftBehindIsToldByItsLock) {
  const fs::path state = folder_.path() / "state";
  const auto unsaved = [&] {
    auto autosave = std::make_unique<Autosave>(editor_, background_, state);
    autosave->Finish();
    background_.Wait();
    return autosave;
  };
  editor_.New(30, 20);
  editor_.Edit("mask", FillMask);
  std::unique_ptr<Autosave> one = unsaved();
  std::unique_ptr<Autosave> other = unsaved();
  EXPECT_EQ(CountSaved(state), 2);
  EXPECT_FALSE(Autosave::TakeLeftover(state).has_value());  // both editors run
  one.reset();
  const std::optional<fs::path> left = Autosave::TakeLeftover(state);
  ASSERT_TRUE(left.has_value());
  EXPECT_FALSE(ReadProject(*left).document.mask.IsZero());
  EXPECT_FALSE(Autosave::TakeLeftover(state).has_value());  // the other one runs
  other.reset();
  EXPECT_TRUE(Autosave::TakeLeftover(state).has_value());
  EXPECT_TRUE(fs::is_empty(state / "autosave"));
  // The name says nothing: process 1 runs everywhere, and after a restart of a container this one.
  for (const std::string& name : {std::string("1"), std::to_string(getpid())}) {
    fs::copy_file(*left, state / "autosave" / (name + ".gesso"));
    std::ofstream(state / "autosave" / (name + ".gesso.abcdefgh.part")) << "half";
    std::ofstream(state / "autosave" / (name + ".lock"));  // as a crash leaves it
    EXPECT_TRUE(Autosave::TakeLeftover(state).has_value()) << name;
    EXPECT_TRUE(fs::is_empty(state / "autosave"));
  }
  // What was saved needs no copy.
  editor_.Save(folder_.path() / "saved.gesso");
  WaitUntilDone();
  unsaved();
  EXPECT_TRUE(fs::is_empty(state / "autosave"));
}

TEST(Autosave, AKilledEditorLosesNothingOlderThanFiveSeconds) {
  using Clock = std::chrono::steady_clock;
  const TempFolder folder;
  const fs::path log = folder.path() / "log";
  const pid_t child = fork();
  if (child == 0) {
    // Paints a new column of pixels again and again until it is killed.
    Background background;
    Engine engine(Device::kCpu);
    Editor editor(engine, background, folder.path());
    editor.New(3000, 20);
    Autosave autosave(editor, background, folder.path());
    std::ofstream painted(log);
    for (int x = 0; x < 3000; ++x) {
      editor.Edit("column", [&](Document& document) {
        const double at = x;
        FillPolygon(document.mask, RectangleOutline({at, 0}, {at + 1, 20}), 1, FillMode::kPaint);
      });
      painted << Clock::now().time_since_epoch().count() << std::endl;
      editor.Update();
      autosave.Update();
      usleep(20000);
    }
    while (true) pause();
  }
  const auto start = Clock::now();
  while (CountSaved(folder.path()) == 0 && Clock::now() - start < std::chrono::seconds(60)) {
    usleep(10000);
  }
  usleep(900000);  // in the midst of the pause until the next
  EXPECT_FALSE(Autosave::TakeLeftover(folder.path()).has_value());  // its editor runs
  kill(child, SIGKILL);
  const auto end = Clock::now();
  waitpid(child, nullptr, 0);
  int old = 0;  // columns that were five seconds old by then
  int all = 0;
  std::ifstream lines(log);
  for (int64_t time = 0; lines >> time; ++all) {
    old += (end - Clock::time_point(Clock::duration(time))) > std::chrono::seconds(5) ? 1 : 0;
  }
  const auto leftover = Autosave::TakeLeftover(folder.path());
  ASSERT_TRUE(leftover.has_value());
  Background background;
  Engine engine(Device::kCpu);
  Editor editor(engine, background, folder.path());
  editor.Recover(*leftover);
  EXPECT_TRUE(editor.is_modified());
  const int kept = editor.document().mask.UsedBox().right;
  EXPECT_GT(kept, 0);
  EXPECT_GE(kept, old);
  EXPECT_LE(kept, all + 1);
  EXPECT_FALSE(Autosave::TakeLeftover(folder.path()).has_value());  // given once
}

}  // namespace
}  // namespace gesso::ui
