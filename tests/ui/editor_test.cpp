// The whole editor without a window: jobs, files, recovery, and sessions by mouse and keyboard on
// the null platform.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <imgui.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <thread>

#include "models/io/output_file.h"
#include "pipelines/generator.h"
#include "pipelines/media/image_file.h"
#include "pipelines/media/metadata.h"
#include "pipelines/media/zip_writer.h"
#include "tests/support/files.h"
#include "ui/actions/layer_actions.h"
#include "ui/actions/mask_actions.h"
#include "ui/app.h"
#include "ui/commands.h"
#include "ui/state/recent_files.h"

namespace gesso::ui {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

const std::string kModels = std::string(GESSO_SOURCE_DIR) + "/tests/data/models/";

Image Photo(int width, int height) {
  Image image{width, height, 3, {}};
  for (int i = 0; i < width * height * 3; ++i) {
    image.pixels.push_back(static_cast<uint8_t>(i * 7 % 251));
  }
  return image;
}

class EditorTest : public ::testing::Test {
 protected:
  void WaitUntilDone() {
    do {
      editor_.Update();
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    } while (editor_.is_busy());
    editor_.Update();
  }

  // A picture that tiny-var can paint into, and a mask over its right half.
  void OpenWithMask() {
    WriteFile(photo_, EncodePng(Photo(8, 8), {}), true);
    editor_.Open(photo_);
    editor_.Edit("half", [](Document& document) {
      FillPolygon(document.mask, RectangleOutline({4, 0}, {8, 8}), 1, FillMode::kPaint);
    });
    editor_.request.model = kModels + "tiny-var";
    editor_.request.prompt = "a cat";
    editor_.request.seed = 5;
  }

  const TempFolder folder_;
  const fs::path photo_ = folder_.path() / "photo.png";
  Engine engine_{Device::kCpu};
  Background background_;
  Editor editor_{engine_, background_, folder_.path() / "state"};
};

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
  stroke.LineTo({7, 2});
  editor_.EndEdit("stroke");
  EXPECT_EQ(editor_.document().layers.size(), 2u);
  editor_.Undo();
  EXPECT_EQ(editor_.document().layers.size(), 1u);
  EXPECT_EQ(*editor_.document().mask.At(6, 6), 255);
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
  refuses("newer.gesso", project(R"({"program": "gesso", "version": 2})"), ErrorKind::kUnsupported,
          {"newer.gesso", "newer gesso", "version 2"});
  refuses("torn.gesso", project(R"({"program": "gesso", "version": 1})").substr(0, 80),
          ErrorKind::kFormat, {"torn.gesso", "truncated"});
  refuses("lacks.gesso",
          project(R"({"program": "gesso", "version": 1, "width": 5, "height": 5, "last_id": 1,
                      "layers": []})"),
          ErrorKind::kFormat, {"lacks.gesso", "mask.png"});
}

TEST_F(EditorTest, SavesOnlyWhatItCanWrite) {
  OpenWithMask();
  ExpectError(ErrorKind::kUsage, {"a.webp", ".png"}, [&] { editor_.Save("a.webp"); });
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
  const fs::path saved = folder.path() / "autosave" / (std::to_string(child) + ".gesso");
  const auto start = Clock::now();
  while (!fs::exists(saved) && Clock::now() - start < std::chrono::seconds(60)) usleep(10000);
  usleep(900000);  // in the midst of the pause until the next
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

// A session on the null platform.
class SessionTest : public EditorTest {
 protected:
  SessionTest() {
    ImGui::CreateContext();
    platform_ = MakeNullPlatform(1200, 800);
    autosave_ = std::make_unique<Autosave>(editor_, background_, folder_.path() / "state");
    app_ = std::make_unique<App>(editor_, *platform_, *autosave_, folder_.path() / "state");
  }
  ~SessionTest() override {
    app_.reset();
    platform_.reset();
    ImGui::DestroyContext();
  }

  void Play(const std::string& text) {
    Script script(folder_.Write("session.txt", text));
    app_->Run(&script);
    for (int i = 0; i < 3; ++i) app_->Frame(0, nullptr);
  }

  std::unique_ptr<Platform> platform_;
  std::unique_ptr<Autosave> autosave_;
  std::unique_ptr<App> app_;
};

TEST_F(SessionTest, TheMousePaintsWhereItIs) {
  Play("new 400 300\nbrush 20 1\nframes 2\ndrag 100 100 200 100 200 200\nframes 1\n");
  EXPECT_EQ(*editor_.document().mask.At(150, 100), 255);
  EXPECT_EQ(*editor_.document().mask.At(200, 150), 255);
  EXPECT_EQ(*editor_.document().mask.At(150, 150), 0);
  EXPECT_EQ(editor_.history().size(), 1u);  // one step a stroke
  Play("key Ctrl+Z\n");
  EXPECT_TRUE(editor_.document().mask.IsZero());
  Play("key Ctrl+Shift+Z\n");
  EXPECT_FALSE(editor_.document().mask.IsZero());
}

TEST_F(SessionTest, ShapesAndZoomAndRotation) {
  Play(
      "new 400 300\nframes 2\nkey R\nmove 200 150\nwheel 3\naction turn-right\n"
      "drag 100 100 200 140\nframes 1\n");
  EXPECT_EQ(editor_.document().mask.UsedBox(), (Box{100, 100, 200, 140}));
  Play("key E\nframes 1\n");
  EXPECT_EQ(editor_.tool, Tool::kEraser);
  Play("click lasso\nframes 1\nclick brush\nframes 2\n");
  EXPECT_EQ(editor_.tool, Tool::kBrush);
}

TEST_F(SessionTest, APromptIsTypedAndPainted) {
  OpenWithMask();
  editor_.request.prompt.reset();
  Play("frames 3\nclick prompt\ntype a blue whale\nframes 2\nclick paint\nwait\n");
  EXPECT_EQ(editor_.request.prompt, "a blue whale");
  ASSERT_EQ(editor_.document().layers.size(), 2u);
  EXPECT_EQ(editor_.document().layers[1].info.name, "a blue whale");
}

TEST_F(SessionTest, TheHelpListsEveryKeyAndEveryCommandRuns) {
  OpenWithMask();
  Play("key F1\nframes 2\nclick close-help\nframes 2\n");
  EXPECT_FALSE(app_->ui().shows_help);
  for (const Command& command : Commands()) {
    if (command.id == "quit") continue;
    editor_.Guard([&] { RunCommand(app_->ui(), command.id); });
    app_->Frame(0, nullptr);
    app_->ui().dialog = Dialog::kNone;
    app_->Frame(0, nullptr);
  }
  WaitUntilDone();
}

TEST_F(SessionTest, TextInForeignScriptsFindsGlyphs) {
  OpenWithMask();
  editor_.request.prompt.reset();
  Play("frames 3\nclick prompt\ntype naïve Größe 猫と犬\nframes 3\n");
  EXPECT_EQ(editor_.request.prompt, "naïve Größe 猫と犬");
  const ImFont* font = ImGui::GetIO().FontDefault;
  for (const ImWchar code : {0xEF, 0xF6, 0xDF}) {
    EXPECT_NE(font->FindGlyphNoFallback(static_cast<ImWchar>(code)), nullptr) << code;
  }
  if (!fs::exists("/usr/share/fonts/truetype/droid/DroidSansFallbackFull.ttf")) {
    GTEST_SKIP() << "fonts-droid-fallback is not installed";
  }
  EXPECT_NE(font->FindGlyphNoFallback(0x732B), nullptr);
}

TEST_F(SessionTest, ScriptsSayWhereTheyAreWrong) {
  const auto fails = [&](const std::string& text, const std::string& words) {
    ExpectError(ErrorKind::kUsage, {"session.txt", words}, [&] { Play(text); });
  };
  fails("# fine\nbogus 3\n", "line 2: there is no command 'bogus'");
  fails("new 3\n", "line 1: takes 2 to 2 words");
  fails("new 30 x\n", "line 1: 'x' is not a number");
  fails("click nothing\n", "line 1: there is no widget 'nothing'");
  fails("action nothing\n", "line 1: there is no action 'nothing'");
  fails("set nothing 3\n", "line 1: there is no field 'nothing'");
}

}  // namespace
}  // namespace gesso::ui
