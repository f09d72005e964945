#include "ui/theme.h"

#include <imgui_freetype.h>
#include <imgui_internal.h>
#include <spdlog/spdlog.h>

#include <filesystem>
#include <string>
#include <vector>

namespace gesso::ui {

namespace {

constexpr ImU32 Rgb(unsigned hex) {
  return IM_COL32(hex >> 16 & 255u, hex >> 8 & 255u, hex & 255u, 255);
}

constexpr Palette kDark = {.desk = Rgb(0x131417),
                           .panel = Rgb(0x1b1d21),
                           .raised = Rgb(0x26292f),
                           .hovered = Rgb(0x31353d),
                           .line = Rgb(0x2b2e34),
                           .text = Rgb(0xe6e7ea),
                           .muted = Rgb(0x8d929c),
                           .accent = Rgb(0xe9a13b),
                           .on_accent = Rgb(0x1c1609),
                           .danger = Rgb(0xe5675c)};
constexpr Palette kLight = {.desk = Rgb(0xd9dbdf),
                            .panel = Rgb(0xf5f5f6),
                            .raised = Rgb(0xe6e7ea),
                            .hovered = Rgb(0xd8dade),
                            .line = Rgb(0xd0d2d7),
                            .text = Rgb(0x202226),
                            .muted = Rgb(0x6b707a),
                            .accent = Rgb(0xd98a1c),
                            .on_accent = Rgb(0xffffff),
                            .danger = Rgb(0xc0392b)};

Palette palette = kDark;
float length_scale = 1;

ImVec4 AsVec4(ImU32 colour, float alpha = 1) {
  ImVec4 value = ImGui::ColorConvertU32ToFloat4(colour);
  value.w = alpha;
  return value;
}

void SetColours(ImGuiStyle& style) {
  const auto set = [&](ImGuiCol index, ImU32 colour, float alpha = 1) {
    style.Colors[index] = AsVec4(colour, alpha);
  };
  set(ImGuiCol_Text, palette.text);
  set(ImGuiCol_TextDisabled, palette.muted);
  set(ImGuiCol_WindowBg, palette.panel);
  set(ImGuiCol_ChildBg, palette.panel, 0);
  set(ImGuiCol_PopupBg, palette.panel);
  set(ImGuiCol_Border, palette.line);
  set(ImGuiCol_BorderShadow, palette.line, 0);
  set(ImGuiCol_FrameBg, palette.raised);
  set(ImGuiCol_FrameBgHovered, palette.hovered);
  set(ImGuiCol_FrameBgActive, palette.hovered);
  set(ImGuiCol_MenuBarBg, palette.panel);
  set(ImGuiCol_ScrollbarBg, palette.panel, 0);
  set(ImGuiCol_ScrollbarGrab, palette.hovered);
  set(ImGuiCol_ScrollbarGrabHovered, palette.muted);
  set(ImGuiCol_ScrollbarGrabActive, palette.muted);
  set(ImGuiCol_CheckMark, palette.accent);
  set(ImGuiCol_SliderGrab, palette.accent);
  set(ImGuiCol_SliderGrabActive, palette.accent);
  set(ImGuiCol_Button, palette.raised);
  set(ImGuiCol_ButtonHovered, palette.hovered);
  set(ImGuiCol_ButtonActive, palette.line);
  set(ImGuiCol_Header, palette.raised);
  set(ImGuiCol_HeaderHovered, palette.hovered);
  set(ImGuiCol_HeaderActive, palette.hovered);
  set(ImGuiCol_Separator, palette.line);
  set(ImGuiCol_Tab, palette.panel);
  set(ImGuiCol_TabHovered, palette.hovered);
  set(ImGuiCol_TabActive, palette.raised);
  set(ImGuiCol_PlotHistogram, palette.accent);
  set(ImGuiCol_TextSelectedBg, palette.accent, 0.35f);
  set(ImGuiCol_NavHighlight, palette.accent);
  set(ImGuiCol_DragDropTarget, palette.accent);
  set(ImGuiCol_ModalWindowDimBg, palette.desk, 0.6f);
}

}  // namespace

const Palette& Colours() { return palette; }

float Scaled(float length) { return length * length_scale; }

void ApplyTheme(bool dark, float scale) {
  palette = dark ? kDark : kLight;
  length_scale = scale;
  ImGuiStyle style;
  style.WindowPadding = {16, 14};
  style.WindowRounding = 0;
  style.WindowBorderSize = 0;
  style.ChildRounding = 6;
  style.PopupRounding = 8;
  style.PopupBorderSize = 1;
  style.FramePadding = {10, 7};
  style.FrameRounding = 6;
  style.ItemSpacing = {8, 8};
  style.ItemInnerSpacing = {8, 6};
  style.IndentSpacing = 16;
  style.ScrollbarSize = 10;
  style.ScrollbarRounding = 5;
  style.GrabMinSize = 12;
  style.GrabRounding = 6;
  style.TabRounding = 6;
  style.SelectableTextAlign = {0, 0.5f};
  style.ScaleAllSizes(scale);
  SetColours(style);
  ImGui::GetStyle() = style;
}

namespace {

// The first of these that is installed; packages.txt names those that look best.
std::string FirstFile(const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    const std::string path = "/usr/share/fonts/" + name;
    if (std::filesystem::exists(path)) return path;
  }
  return "";
}

std::string TextFont(bool strong) {
  const std::string weight = strong ? "SemiBold" : "Regular";
  const std::string bold = strong ? "Bold" : "Regular";
  return FirstFile(
      {"opentype/inter/Inter-" + weight + ".otf", "truetype/noto/NotoSans-" + bold + ".ttf",
       strong ? "truetype/dejavu/DejaVuSans-Bold.ttf" : "truetype/dejavu/DejaVuSans.ttf",
       "truetype/liberation/LiberationSans-" + bold + ".ttf"});
}

std::string AsianFont() {
  return FirstFile({"opentype/noto/NotoSansCJK-Regular.ttc",
                    "truetype/droid/DroidSansFallbackFull.ttf", "truetype/wqy/wqy-microhei.ttc",
                    "truetype/arphic/uming.ttc"});
}

// Latin with all its accents, Greek, Cyrillic, punctuation, currency, arrows.
constexpr ImWchar kEuropean[] = {0x20,   0x24F,  0x370,  0x52F,  0x1E00, 0x1EFF, 0x2010,
                                 0x2044, 0x20A0, 0x20BF, 0x2190, 0x21FF, 0};

}  // namespace

void Fonts::Need(std::string_view text) {
  for (const char* at = text.data(); at < text.data() + text.size();) {
    unsigned code = 0;
    at += ImTextCharFromUtf8(&code, at, text.data() + text.size());
    // Beyond the basic plane ImGui's characters do not reach.
    if (code < 0x2E80 || code > 0xFFEF) continue;
    is_stale_ |= extra_.insert(static_cast<ImWchar>(code)).second;
  }
}

bool Fonts::Update(float scale) {
  if (!is_stale_ && scale == scale_) return false;
  is_stale_ = false;
  scale_ = scale;
  ImFontAtlas& atlas = *ImGui::GetIO().Fonts;
  atlas.Clear();
  atlas.FontBuilderIO = ImGuiFreeType::GetBuilderForFreeType();
  ImFontGlyphRangesBuilder builder;
  for (const ImWchar code : extra_) builder.AddChar(code);
  ranges_.clear();
  builder.BuildRanges(&ranges_);
  regular_ = Load(15, false);
  strong_ = Load(15, true);
  small_ = Load(12.5f, false);
  ImGui::GetIO().FontDefault = regular_;
  return true;
}

ImFont* Fonts::Load(float size, bool strong) {
  ImFontAtlas& atlas = *ImGui::GetIO().Fonts;
  const std::string text = TextFont(strong);
  if (text.empty()) {
    spdlog::warn("no typeface found for the window; install fonts-inter");
    ImFontConfig config;
    config.SizePixels = size * scale_;
    return atlas.AddFontDefault(&config);
  }
  ImFont* font = atlas.AddFontFromFileTTF(text.c_str(), size * scale_, nullptr, kEuropean);
  const std::string asian = AsianFont();
  if (!extra_.empty() && !asian.empty()) {
    ImFontConfig merge;
    merge.MergeMode = true;
    atlas.AddFontFromFileTTF(asian.c_str(), size * scale_, &merge, ranges_.Data);
  }
  return font;
}

}  // namespace gesso::ui
