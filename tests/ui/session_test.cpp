// Sessions by mouse and keyboard on the null platform.
#include <gtest/gtest.h>
#include <imgui.h>

#include "tests/ui/editor_fixture.h"
#include "ui/app.h"
#include "ui/commands.h"

namespace gesso::ui {
namespace {

namespace fs = std::filesystem;

// A session on the null platform.
class SessionTest : public EditorFixture {
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

TEST_F(SessionTest, AComparisonEndsTheStrokeThatIsBeingDrawn) {
  Play(
      "new 400 300\nbrush 20 1\nframes 2\nmove 100 100\ndown\nmove 150 100\nframes 1\nkey C\n"
      "frames 2\n");
  EXPECT_TRUE(editor_.compare);
  EXPECT_FALSE(editor_.is_editing());
  EXPECT_EQ(editor_.history().size(), 1u);
  EXPECT_EQ(*editor_.document().mask.At(120, 100), 255);
  // The other way round: the divider in hand when the comparison ends does not keep tools away.
  Play("move 200 150\ndown\nframes 2\nkey C\nframes 2\nup\nframes 2\n");
  EXPECT_FALSE(editor_.compare);
  Play("drag 300 200 350 200\nframes 2\n");
  EXPECT_EQ(*editor_.document().mask.At(320, 200), 255);
}

TEST_F(SessionTest, TheCanvasGrowsAtAPress) {
  OpenWithMask();
  Play("frames 3\nclick outpaint-all\nframes 2\n");
  EXPECT_EQ(editor_.request.outpaint, (Margins{32, 32, 32, 32}));
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
