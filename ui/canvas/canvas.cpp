#include "ui/canvas/canvas.h"

#include <cmath>

#include "ui/actions/mask_actions.h"
#include "ui/platform/keys.h"
#include "ui/theme.h"

namespace gesso::ui {

namespace {

constexpr double kSharpZoom = 2;   // from here on pixels are squares
constexpr int kSongColumns = 128;  // that are shown at first: eight bars
constexpr double kZoomStep = 1.15;
constexpr double kRotateStep = M_PI / 36;

ImVec2 AsVec2(Point point) { return {static_cast<float>(point.x), static_cast<float>(point.y)}; }

Point MousePoint() {
  const ImVec2 mouse = ImGui::GetIO().MousePos;
  return {mouse.x, mouse.y};
}

bool IsShape(Tool tool) {
  return tool == Tool::kRectangle || tool == Tool::kEllipse || tool == Tool::kLasso;
}

// Whether enlarged pixels are squares: those of a song are notes.
bool IsSharp(const Editor& editor) {
  return editor.document().song != nullptr || editor.view.zoom() >= kSharpZoom;
}

// The outline of the shape in hand.
std::vector<Point> OutlineOf(Tool tool, const std::vector<Point>& points) {
  if (tool == Tool::kRectangle) {
    // Whole pixels: a rectangle is drawn to be exact.
    const auto whole = [](Point p) { return Point{std::round(p.x), std::round(p.y)}; };
    return RectangleOutline(whole(points.front()), whole(points.back()));
  }
  if (tool == Tool::kEllipse) return EllipseOutline(points.front(), points.back());
  return points;
}

}  // namespace

bool Canvas::Draw(Editor& editor) {
  const ImVec2 at = ImGui::GetCursorScreenPos();
  const ImVec2 size = ImGui::GetContentRegionAvail();
  area_ = {static_cast<int>(at.x), static_cast<int>(at.y), static_cast<int>(at.x + size.x),
           static_cast<int>(at.y + size.y)};
  ImGui::InvisibleButton("canvas", {std::max(size.x, 1.0f), std::max(size.y, 1.0f)},
                         ImGuiButtonFlags_MouseButtonLeft | ImGuiButtonFlags_MouseButtonMiddle |
                             ImGuiButtonFlags_MouseButtonRight);
  const bool is_hovered = ImGui::IsItemHovered();
  if (editor.document().empty()) return true;
  if (fitted_ != editor.serial()) {
    Cancel(editor);
    Fit(editor);
    fitted_ = editor.serial();
  }
  MoveView(editor, is_hovered || ImGui::IsItemActive());
  UseTool(editor, is_hovered);
  const bool is_complete = DrawPicture(editor);
  DrawPreview(editor);
  if (editor.compare) DrawComparison(editor, is_hovered);
  if (is_hovered && !editor.compare) DrawCursor(editor);
  return is_complete;
}

void Canvas::Cancel(Editor& editor) {
  stroke_.reset();
  points_.clear();
  is_dragging_ = false;
  editor.AbandonEdit();
}

void Canvas::Fit(Editor& editor) {
  const Document& document = editor.document();
  const int width =
      document.song != nullptr ? std::min(document.width, kSongColumns) : document.width;
  editor.view.Fit(width, document.height, area_);
}

Point Canvas::Middle() const {
  return {area_.left + area_.width() / 2.0, area_.top + area_.height() / 2.0};
}

Box Canvas::SeenBox(const Editor& editor) const {
  const Point corners[] = {{static_cast<double>(area_.left), static_cast<double>(area_.top)},
                           {static_cast<double>(area_.right), static_cast<double>(area_.top)},
                           {static_cast<double>(area_.left), static_cast<double>(area_.bottom)},
                           {static_cast<double>(area_.right), static_cast<double>(area_.bottom)}};
  Point low = {1e9, 1e9};
  Point high = {-1e9, -1e9};
  for (const Point& corner : corners) {
    const Point p = editor.view.ToPicture(corner);
    low = {std::min(low.x, p.x), std::min(low.y, p.y)};
    high = {std::max(high.x, p.x), std::max(high.y, p.y)};
  }
  return Intersection({static_cast<int>(low.x) - 1, static_cast<int>(low.y) - 1,
                       static_cast<int>(high.x) + 2, static_cast<int>(high.y) + 2},
                      editor.document().mask.bounds());
}

// --- input
// ------------------------------------------------------------------------------------------

void Canvas::MoveView(Editor& editor, bool is_hovered) {
  const ImGuiIO& io = ImGui::GetIO();
  if (!is_hovered) return;
  if (io.MouseWheel != 0 && io.KeyShift) {
    editor.view.RotateAt(MousePoint(), kRotateStep * io.MouseWheel);
  } else if (io.MouseWheel != 0) {
    editor.view.ZoomAt(MousePoint(), std::pow(kZoomStep, io.MouseWheel));
  }
  const bool holds_hand = editor.tool == Tool::kHand || IsHeld(Key::kSpace);
  if (ImGui::IsMouseDragging(ImGuiMouseButton_Middle, 0) ||
      (holds_hand && ImGui::IsMouseDragging(ImGuiMouseButton_Left, 0))) {
    editor.view.Pan(io.MouseDelta.x, io.MouseDelta.y);
  }
}

bool Canvas::Erases(const Editor& editor) const {
  return editor.tool == Tool::kEraser || ImGui::GetIO().KeyAlt;
}

void Canvas::UseTool(Editor& editor, bool is_hovered) {
  moves_divider_ &= editor.compare;
  if (editor.compare) return FinishDrag(editor);  // the comparison began in the midst of a stroke
  const Point at = editor.view.ToPicture(MousePoint());
  if (editor.tool != Tool::kPolygon && !is_dragging_) points_.clear();
  if (editor.tool == Tool::kPolygon) return UsePolygon(editor, at, is_hovered);
  if (editor.tool == Tool::kHand || IsHeld(Key::kSpace)) return;
  if (is_hovered && ImGui::IsMouseClicked(ImGuiMouseButton_Left)) StartDrag(editor, at);
  if (!is_dragging_) return;
  if (stroke_ != nullptr) {
    stroke_->LineTo(at);
  } else if (points_.empty() || !(points_.back() == at)) {
    points_.push_back(at);
  }
  if (!ImGui::IsMouseDown(ImGuiMouseButton_Left)) FinishDrag(editor);
}

void Canvas::FinishDrag(Editor& editor) {
  if (!is_dragging_) return;
  is_dragging_ = false;
  if (stroke_ != nullptr) {
    stroke_.reset();
    editor.EndEdit(Erases(editor) ? "Erase" : "Brush stroke");
  } else {
    FinishShape(editor);
  }
}

void Canvas::StartDrag(Editor& editor, Point at) {
  if (editor.tool == Tool::kBucket) {
    const bool erase = Erases(editor);
    editor.Edit("Bucket", [&](Document& document) {
      BucketFill(document, static_cast<int>(std::floor(at.x)), static_cast<int>(std::floor(at.y)),
                 editor.tolerance, erase);
    });
    return;
  }
  is_dragging_ = true;
  editor.shows_mask = true;
  points_.clear();
  if (IsShape(editor.tool)) return;
  stroke_ = std::make_unique<Stroke>(editor.BeginEdit().mask, editor.brush, Erases(editor));
}

void Canvas::FinishShape(Editor& editor) {
  if (points_.size() > 1) {
    const std::vector<Point> outline = OutlineOf(editor.tool, points_);
    const FillMode mode = Erases(editor) ? FillMode::kErase : FillMode::kPaint;
    editor.Edit("Shape", [&](Document& document) {
      FillPolygon(document.mask, outline, editor.brush.opacity, mode);
    });
  }
  points_.clear();
}

// Each click sets a corner; a double click, the right button or Enter closes it.
void Canvas::UsePolygon(Editor& editor, Point at, bool is_hovered) {
  if (is_hovered && ImGui::IsMouseClicked(ImGuiMouseButton_Left)) points_.push_back(at);
  const bool closes = (is_hovered && (ImGui::IsMouseDoubleClicked(ImGuiMouseButton_Left) ||
                                      ImGui::IsMouseClicked(ImGuiMouseButton_Right))) ||
                      WasPressed(Key::kEnter);
  if (!closes) return;
  if (points_.size() > 2) return FinishShape(editor);
  points_.clear();
}

// --- output
// -----------------------------------------------------------------------------------------

bool Canvas::DrawPicture(Editor& editor) {
  const Document& document = editor.document();
  const Box all = document.mask.bounds();
  const bool is_complete = tiles_.Update(document, SeenBox(editor), IsSharp(editor));
  DrawQuad(editor, 0, all, all, Colours().raised);
  DrawTiles(editor, tiles_, false, all);
  if (editor.shows_mask && !editor.compare) DrawTiles(editor, tiles_, true, all);
  if (IsShape(editor.tool) && points_.size() > 1) {
    DrawOutline(editor, OutlineOf(editor.tool, points_), editor.tool != Tool::kLasso);
  }
  if (editor.tool == Tool::kPolygon && !points_.empty()) {
    std::vector<Point> open = points_;
    open.push_back(editor.view.ToPicture(MousePoint()));
    DrawOutline(editor, open, false);
  }
  if (const auto& margins = editor.request.outpaint) {
    const auto at = [](int64_t x, int64_t y) {
      return Point{static_cast<double>(x), static_cast<double>(y)};
    };
    DrawOutline(
        editor,
        RectangleOutline(at(-margins->left, -margins->top),
                         at(document.width + margins->right, document.height + margins->bottom)),
        true);
  }
  return is_complete;
}

void Canvas::DrawTiles(const Editor& editor, const TileTextures& tiles, bool mask,
                       const Box& part) {
  const auto& c = editor.mask_colour;
  const ImU32 tint = mask ? ImGui::ColorConvertFloat4ToU32({c[0], c[1], c[2], editor.mask_opacity})
                          : IM_COL32_WHITE;
  const Box seen = Intersection(SeenBox(editor), part);
  editor.document().mask.ForEachTile(seen, [&](size_t index, const Box&) {
    const Texture texture = mask ? tiles.mask(index) : tiles.picture(index);
    if (texture == 0) return;
    Box whole = editor.document().mask.TileBox(index);
    const Box box = Intersection(whole, part);
    whole.right = whole.left + kTileSide;  // the texture is a whole tile
    whole.bottom = whole.top + kTileSide;
    DrawQuad(editor, texture, box, whole, tint);
  });
}

// The part `box` of a texture that covers `whole`; without a texture a plain area.
void Canvas::DrawQuad(const Editor& editor, Texture texture, const Box& box, const Box& whole,
                      ImU32 colour) const {
  const auto corner = [&](int x, int y) {
    return AsVec2(editor.view.ToScreen({static_cast<double>(x), static_cast<double>(y)}));
  };
  const auto uv = [&](int x, int y) {
    return ImVec2{static_cast<float>(x - whole.left) / static_cast<float>(whole.width()),
                  static_cast<float>(y - whole.top) / static_cast<float>(whole.height())};
  };
  ImDrawList& draw = *ImGui::GetWindowDrawList();
  const ImVec2 a = corner(box.left, box.top);
  const ImVec2 b = corner(box.right, box.top);
  const ImVec2 c = corner(box.right, box.bottom);
  const ImVec2 d = corner(box.left, box.bottom);
  if (texture == 0) return draw.AddQuadFilled(a, b, c, d, colour);
  draw.AddImageQuad(reinterpret_cast<ImTextureID>(static_cast<uintptr_t>(texture)), a, b, c, d,
                    uv(box.left, box.top), uv(box.right, box.top), uv(box.right, box.bottom),
                    uv(box.left, box.bottom), colour);
}

// What is being painted for this picture, as far as it has got.
void Canvas::DrawPreview(Editor& editor) {
  for (const auto& status : *editor.engine().snapshot()) {
    if (status->state != JobState::kRunning || status->preview == nullptr) continue;
    const Image& preview = *status->preview;
    const Box all = editor.document().mask.bounds();
    if (preview.width != all.width() || preview.height != all.height()) continue;
    if (!editor.IsPainting(status->id)) continue;
    DrawQuad(editor, images_.Of(status->preview), all, all, IM_COL32_WHITE);
  }
}

void Canvas::DrawComparison(Editor& editor, bool is_hovered) {
  const Document& document = editor.document();
  before_tiles_.Update(editor.Before(), SeenBox(editor), IsSharp(editor));
  const int divider = static_cast<int>(std::lround(editor.compare_at * document.width));
  const Box part = {0, 0, divider, document.height};
  DrawQuad(editor, 0, part, part, Colours().raised);
  DrawTiles(editor, before_tiles_, false, part);
  const auto x = static_cast<double>(divider);
  const ImVec2 top = AsVec2(editor.view.ToScreen({x, 0}));
  const ImVec2 bottom = AsVec2(editor.view.ToScreen({x, static_cast<double>(document.height)}));
  ImDrawList& draw = *ImGui::GetWindowDrawList();
  draw.AddLine(top, bottom, Colours().accent, Scaled(2));
  draw.AddCircleFilled({(top.x + bottom.x) / 2, (top.y + bottom.y) / 2}, Scaled(9),
                       Colours().accent, 24);
  moves_divider_ = (moves_divider_ || (is_hovered && ImGui::IsMouseClicked(0))) &&
                   ImGui::IsMouseDown(ImGuiMouseButton_Left);
  if (!moves_divider_) return;
  const double at = editor.view.ToPicture(MousePoint()).x / document.width;
  editor.compare_at = static_cast<float>(std::clamp(at, 0.0, 1.0));
}

void Canvas::DrawOutline(const Editor& editor, const std::vector<Point>& points,
                         bool closed) const {
  std::vector<ImVec2> line;
  for (const Point& point : points) line.push_back(AsVec2(editor.view.ToScreen(point)));
  ImDrawList& draw = *ImGui::GetWindowDrawList();
  const ImDrawFlags flags = closed ? ImDrawFlags_Closed : ImDrawFlags_None;
  const int count = static_cast<int>(line.size());
  draw.AddPolyline(line.data(), count, IM_COL32(0, 0, 0, 160), flags, Scaled(3));
  draw.AddPolyline(line.data(), count, Colours().accent, flags, Scaled(1.5f));
}

void Canvas::DrawCursor(const Editor& editor) const {
  if (editor.tool != Tool::kBrush && editor.tool != Tool::kEraser) return;
  ImDrawList& draw = *ImGui::GetWindowDrawList();
  const auto radius = static_cast<float>(editor.brush.size / 2 * editor.view.zoom());
  const ImVec2 at = ImGui::GetIO().MousePos;
  draw.AddCircle(at, radius + 1, IM_COL32(0, 0, 0, 150), 0, Scaled(1));
  draw.AddCircle(at, radius, IM_COL32(255, 255, 255, 230), 0, Scaled(1));
}

}  // namespace gesso::ui
