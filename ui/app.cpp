#include "ui/app.h"

#include <time.h>

#include "ui/commands.h"
#include "ui/panels/widgets.h"

namespace gesso::ui {

namespace {

constexpr ImGuiWindowFlags kFixed =
    ImGuiWindowFlags_NoDecoration | ImGuiWindowFlags_NoMove | ImGuiWindowFlags_NoSavedSettings |
    ImGuiWindowFlags_NoBringToFrontOnFocus | ImGuiWindowFlags_NoNavFocus;

// Processor time of this thread.
double ThreadSeconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// A part of the window.
template <class Body>
void Region(const char* name, ImVec2 at, ImVec2 size, ImVec2 padding, ImGuiWindowFlags flags,
            const Body& body) {
  ImGui::SetNextWindowPos(at);
  ImGui::SetNextWindowSize(size);
  ImGui::PushStyleVar(ImGuiStyleVar_WindowPadding, padding);
  ImGui::Begin(name, nullptr, kFixed | flags);
  ImGui::PopStyleVar();
  body();
  ImGui::End();
}

void Line(ImVec2 a, ImVec2 b) { ImGui::GetForegroundDrawList()->AddLine(a, b, Colours().line, 1); }

}  // namespace

App::App(Editor& editor, Platform& platform, Autosave& autosave,
         const std::filesystem::path& state_folder)
    : editor_(editor),
      platform_(platform),
      autosave_(autosave),
      images_(platform),
      canvas_(platform, images_),
      ui_{editor, platform, images_, canvas_, fonts_, state_folder} {
  ImGui::GetIO().IniFilename = nullptr;  // the layout is fixed
}

void App::Run(Script* script) {
  while (!ui_.wants_quit && !(script != nullptr && script->is_over())) {
    Frame(WaitSeconds(script != nullptr), script);
    if (platform_.CloseRequested()) ui_.wants_quit = true;
  }
}

double App::WaitSeconds(bool has_script) const {
  if (has_script || draws_again_ || ImGui::GetIO().WantTextInput) return 0;
  constexpr double kIdle = 0.25;  // notices and progress go on
  return kIdle;
}

void App::Frame(double seconds, Script* script) {
  if (scale_ != platform_.scale() || is_dark_ != editor_.is_dark) {
    scale_ = platform_.scale();
    is_dark_ = editor_.is_dark;
    ApplyTheme(is_dark_, scale_);
  }
  if (fonts_.Update(scale_)) platform_.UploadFonts();
  platform_.BeginFrame(seconds);
  const double start = ThreadSeconds();
  editor_.Update();
  autosave_.Update();
  if (script != nullptr) {
    script->BeforeFrame(ui_);
    script->Inject();
  }
  for (const std::string& path : platform_.TakeDroppedFiles()) {
    editor_.Guard([&] { editor_.Open(path); });
  }
  ImGui::NewFrame();
  Layout();
  RunShortcuts(ui_);  // after the fields, whose text they may end
  ImGui::Render();
  const double own = ThreadSeconds() - start;
  platform_.EndFrame();
  images_.EndFrame();
  if (script != nullptr) script->AddFrameTime(own);
}

void App::Layout() {
  const ImVec2 screen = ImGui::GetIO().DisplaySize;
  const float top = Scaled(48);
  const float rail = Scaled(52);
  const float side = Scaled(336);
  const float strip = Scaled(112);
  const float middle = screen.x - rail - side;
  const float tall = screen.y - top;
  const ImVec2 small_padding = {Scaled(8), Scaled(8)};
  Region("Top", {0, 0}, {screen.x, top}, {Scaled(14), Scaled(8)}, 0, [&] { DrawTopBar(ui_); });
  Region("Tools", {0, top}, {rail, tall}, small_padding, 0, [&] { DrawToolRail(ui_); });
  ImGui::PushStyleColor(ImGuiCol_WindowBg, Colours().desk);
  Region("Canvas", {rail, top}, {middle, tall - strip}, {0, 0}, ImGuiWindowFlags_NoScrollWithMouse,
         [&] {
           draws_again_ = !canvas_.Draw(editor_);
           if (editor_.document().empty()) DrawEmptyCanvas(ui_);
         });
  ImGui::PopStyleColor();
  Region("Results", {rail, screen.y - strip}, {middle, strip}, {Scaled(10), Scaled(8)},
         ImGuiWindowFlags_HorizontalScrollbar, [&] { DrawResultStrip(ui_); });
  const ImVec2 padding = {Scaled(16), Scaled(12)};
  Region("Side", {screen.x - side, top}, {side, tall}, padding, 0, [&] {
    if (!ImGui::BeginTabBar("tabs")) return;
    const std::pair<const char*, void (*)(Ui&)> tabs[] = {{"Paint", DrawPaintPanel},
                                                          {"Mask", DrawToolOptions},
                                                          {"Layers", DrawLayersPanel},
                                                          {"Queue", DrawQueuePanel}};
    for (const auto& [name, draw] : tabs) {
      const bool is_open = ImGui::BeginTabItem(name);
      ui_.Mark(std::string("tab-") + name);
      if (!is_open) continue;
      ImGui::BeginChild(name);
      ImGui::Dummy({0, Scaled(2)});
      draw(ui_);
      ImGui::EndChild();
      ImGui::EndTabItem();
    }
    ImGui::EndTabBar();
  });
  Line({0, top}, {screen.x, top});
  Line({rail, top}, {rail, screen.y});
  Line({screen.x - side, top}, {screen.x - side, screen.y});
  Line({rail, screen.y - strip}, {screen.x - side, screen.y - strip});
  DrawHelp(ui_);
  DrawGrid(ui_);
  DrawFileDialog(ui_);
  DrawNotice(ui_);
}

}  // namespace gesso::ui
