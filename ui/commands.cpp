#include "ui/commands.h"

#include <algorithm>
#include <cmath>
#include <random>

#include "ui/actions/layer_actions.h"
#include "ui/actions/mask_actions.h"
#include "ui/platform/keys.h"

namespace gesso::ui {

namespace {

constexpr double kZoomStep = 1.25;
constexpr double kTurn = M_PI / 12;
constexpr double kSizeStep = 1.15;
constexpr double kHardnessStep = 0.1;

template <Tool kTool>
void Pick(Ui& ui) {
  ui.canvas.Cancel(ui.editor);
  ui.editor.tool = kTool;
}

template <Dialog kDialog>
void OpenDialog(Ui& ui) {
  ui.dialog = kDialog;
}

// An action on the whole document as a step with a name.
template <void (*kAction)(Document&)>
void OnDocument(Ui& ui, const char* name) {
  ui.editor.Edit(name, kAction);
}

void Resize(Ui& ui, double factor) {
  // Small brushes grow by whole pixels.
  const double step = std::max(1.0, ui.editor.brush.size * (kSizeStep - 1));
  const double size = ui.editor.brush.size + (factor > 1 ? step : -step);
  ui.editor.brush.size = std::clamp(std::round(size), 1.0, kMaxBrushSize);
}

void Harden(Ui& ui, double by) {
  ui.editor.brush.hardness = std::clamp(ui.editor.brush.hardness + by, 0.0, 1.0);
}

void StopWork(Ui& ui) {
  ui.canvas.Cancel(ui.editor);
  ui.dialog = Dialog::kNone;
  ui.shows_help = false;
  ui.editor.grid_job.reset();
}

void CancelRunning(Ui& ui) {
  for (const auto& status : *ui.editor.engine().snapshot()) {
    if (status->state == JobState::kRunning) ui.editor.engine().Cancel(status->id);
  }
}

void SaveAgain(Ui& ui) {
  if (ui.editor.path().empty()) {
    ui.dialog = Dialog::kSave;
  } else {
    ui.editor.Guard([&] { ui.editor.Save(ui.editor.path()); });
  }
}

void Submit(Ui& ui) { ui.editor.Submit(); }
void SubmitAgain(Ui& ui) { ui.editor.Submit(static_cast<uint64_t>(std::random_device{}())); }

void DeleteLayer(Ui& ui) {
  ui.editor.Edit("Delete layer",
                 [&](Document& document) { RemoveLayer(document, ui.editor.selected_layer()); });
}

const std::vector<Command> kCommands = {
    {"open", "Open a picture, a song or a project", "Ctrl+O", OpenDialog<Dialog::kOpen>},
    {"save", "Save", "Ctrl+S", SaveAgain},
    {"save-as", "Save under another name", "Ctrl+Shift+S", OpenDialog<Dialog::kSave>},
    {"quit", "Quit", "Ctrl+Q", [](Ui& ui) { ui.wants_quit = true; }},
    {"undo", "Undo", "Ctrl+Z", [](Ui& ui) { ui.editor.Undo(); }},
    {"redo", "Redo", "Ctrl+Shift+Z", [](Ui& ui) { ui.editor.Redo(); }},
    {"paint", "Paint what the prompt says", "Ctrl+Enter", Submit},
    {"again", "Again with another seed", "Ctrl+Shift+Enter", SubmitAgain},
    {"stop", "Stop the job that runs", "Ctrl+.", CancelRunning},
    {"play", "Play the song, or stop", "Ctrl+Space", [](Ui& ui) { ui.editor.PlayOrStop(); }},
    {"brush", "Brush", "B", Pick<Tool::kBrush>},
    {"eraser", "Eraser", "E", Pick<Tool::kEraser>},
    {"rectangle", "Rectangle", "R", Pick<Tool::kRectangle>},
    {"ellipse", "Ellipse", "O", Pick<Tool::kEllipse>},
    {"lasso", "Lasso", "L", Pick<Tool::kLasso>},
    {"polygon", "Polygon; Enter closes it", "P", Pick<Tool::kPolygon>},
    {"bucket", "Bucket: what hangs together and looks alike", "G", Pick<Tool::kBucket>},
    {"hand", "Move the view; or hold Space", "H", Pick<Tool::kHand>},
    {"smaller", "Smaller brush", "[", [](Ui& ui) { Resize(ui, 1 / kSizeStep); }},
    {"larger", "Larger brush", "]", [](Ui& ui) { Resize(ui, kSizeStep); }},
    {"softer", "Softer brush", "Shift+[", [](Ui& ui) { Harden(ui, -kHardnessStep); }},
    {"harder", "Harder brush", "Shift+]", [](Ui& ui) { Harden(ui, kHardnessStep); }},
    {"clear-mask", "Clear the mask", "Ctrl+D",
     [](Ui& ui) { OnDocument<ClearMask>(ui, "Clear mask"); }},
    {"fill-mask", "Mask everything", "Ctrl+A",
     [](Ui& ui) { OnDocument<FillMask>(ui, "Mask everything"); }},
    {"invert-mask", "Invert the mask", "Ctrl+I",
     [](Ui& ui) { OnDocument<InvertMask>(ui, "Invert mask"); }},
    {"grow-mask", "Grow the mask", "Ctrl+]",
     [](Ui& ui) {
       ui.editor.Edit("Grow mask", [&](Document& d) { GrowMask(d, ui.editor.radius); });
     }},
    {"shrink-mask", "Shrink the mask", "Ctrl+[",
     [](Ui& ui) {
       ui.editor.Edit("Shrink mask", [&](Document& d) { ShrinkMask(d, ui.editor.radius); });
     }},
    {"feather-mask", "Feather the mask", "Ctrl+F",
     [](Ui& ui) {
       ui.editor.Edit("Feather mask", [&](Document& d) { FeatherMask(d, ui.editor.radius); });
     }},
    {"open-mask", "Load a mask", "", OpenDialog<Dialog::kOpenMask>},
    {"save-mask", "Save the mask", "", OpenDialog<Dialog::kSaveMask>},
    {"delete-layer", "Delete the layer", "Delete", DeleteLayer},
    {"flatten", "Make one layer of all", "Ctrl+E",
     [](Ui& ui) { OnDocument<FlattenLayers>(ui, "Flatten"); }},
    {"fit", "Fit the picture into the window", "Ctrl+0", [](Ui& ui) { ui.canvas.Fit(ui.editor); }},
    {"one-to-one", "One pixel a pixel", "Ctrl+1", [](Ui& ui) { ui.canvas.OneToOne(ui.editor); }},
    {"zoom-in", "Zoom in; or turn the wheel",
     "Ctrl+=", [](Ui& ui) { ui.canvas.Zoom(ui.editor, kZoomStep); }},
    {"zoom-out", "Zoom out", "Ctrl+-", [](Ui& ui) { ui.canvas.Zoom(ui.editor, 1 / kZoomStep); }},
    {"turn-left", "Turn the view; or Shift and the wheel", ",",
     [](Ui& ui) { ui.canvas.Rotate(ui.editor, -kTurn); }},
    {"turn-right", "Turn the view", ".", [](Ui& ui) { ui.canvas.Rotate(ui.editor, kTurn); }},
    {"show-mask", "Show or hide the mask", "M",
     [](Ui& ui) { ui.editor.shows_mask = !ui.editor.shows_mask; }},
    {"compare", "Before and after", "C", [](Ui& ui) { ui.editor.compare = !ui.editor.compare; }},
    {"theme", "Dark or light", "Ctrl+T", [](Ui& ui) { ui.editor.is_dark = !ui.editor.is_dark; }},
    {"help", "This page", "F1", [](Ui& ui) { ui.shows_help = !ui.shows_help; }},
    {"cancel", "Leave what is being done", "Escape", StopWork},
};

}  // namespace

const std::vector<Command>& Commands() { return kCommands; }

void RunCommand(Ui& ui, std::string_view id) {
  const auto found = std::ranges::find(kCommands, id, &Command::id);
  Require(found != kCommands.end(), ErrorKind::kUsage, "there is no action '{}'", id);
  found->run(ui);
}

void RunShortcuts(Ui& ui) {
  const bool is_typing = ImGui::GetIO().WantTextInput;
  for (const Command& command : kCommands) {
    if (command.keys.empty()) continue;
    const bool is_safe = command.keys.ends_with("Enter") || command.keys == "F1";
    if (is_typing && !is_safe) continue;
    if (WasPressed(ParseShortcut(command.keys))) command.run(ui);
  }
}

}  // namespace gesso::ui
