// The picture in the window: draws it with its mask, and turns mouse and pen into strokes, shapes
// and movements of the view.
#pragma once

#include <imgui.h>

#include <memory>
#include <vector>

#include "ui/canvas/textures.h"
#include "ui/state/editor.h"

namespace gesso::ui {

class Canvas {
 public:
  Canvas(Platform& platform, ImageTextures& images)
      : tiles_(platform), before_tiles_(platform), images_(images) {}

  // Fills the current window of ImGui. Returns false if something is still to be sent to the
  // graphics card, and another frame should follow at once.
  bool Draw(Editor& editor);
  // Ends what is being drawn without a trace.
  void Cancel(Editor& editor);
  // All of a picture; the beginning of a song, which may be long.
  void Fit(Editor& editor);
  void OneToOne(Editor& editor) { editor.view.OneToOne(area_); }
  void Zoom(Editor& editor, double factor) { editor.view.ZoomAt(Middle(), factor); }
  void Rotate(Editor& editor, double radians) { editor.view.RotateAt(Middle(), radians); }

 private:
  Point Middle() const;
  Box SeenBox(const Editor& editor) const;  // of the picture
  // Input.
  void MoveView(Editor& editor, bool is_hovered);
  void UseTool(Editor& editor, bool is_hovered);
  void StartDrag(Editor& editor, Point at);
  void FinishShape(Editor& editor);
  void UsePolygon(Editor& editor, Point at, bool is_hovered);
  void FinishDrag(Editor& editor);
  bool Erases(const Editor& editor) const;
  // Output.
  bool DrawPicture(Editor& editor);
  void DrawTiles(const Editor& editor, const TileTextures& tiles, bool mask, const Box& part);
  void DrawQuad(const Editor& editor, Texture texture, const Box& box, const Box& whole,
                ImU32 colour) const;
  void DrawPreview(Editor& editor);
  void DrawComparison(Editor& editor, bool is_hovered);
  void DrawOutline(const Editor& editor, const std::vector<Point>& points, bool closed) const;
  void DrawCursor(const Editor& editor) const;

  TileTextures tiles_;
  TileTextures before_tiles_;  // as it was opened, for the comparison
  ImageTextures& images_;
  Box area_;  // on the screen
  std::unique_ptr<Stroke> stroke_;
  std::vector<Point> points_;  // of the shape that is being drawn
  bool is_dragging_ = false;
  bool moves_divider_ = false;
  uint64_t fitted_ = 0;  // serial of the document that was fitted into the window
};

}  // namespace gesso::ui
