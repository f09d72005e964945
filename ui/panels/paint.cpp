// Prompt and settings. The fields are those of the request: each that is declared there appears
// here by itself.
#include <imgui.h>
#include <imgui_stdlib.h>

#include <algorithm>
#include <array>

#include "ui/commands.h"
#include "ui/panels/widgets.h"

namespace gesso::ui {

namespace {

// Set by the editor itself, or shown above the list.
constexpr std::array<std::string_view, 6> kElsewhere = {
    "prompt", "negative_prompt", "model", "init_image", "mask", "outpaint"};
// Those that are wanted most come first; the others are folded away.
constexpr std::array<std::string_view, 8> kFirst = {
    "seed", "steps", "cfg_scale", "sampling_method", "width", "height", "strength", "batch_count"};

template <size_t kSize>
bool Contains(const std::array<std::string_view, kSize>& names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

// The value of a field as SetField takes it; empty if it has none.
std::string TextOf(const Request& request, std::string_view field) {
  const Json json = ToJson(request);
  const auto found = json.find(field);
  if (found == json.end()) return "";
  if (found->is_string()) return found->get<std::string>();
  std::string text = found->dump();
  if (found->is_array()) text = text.substr(1, text.size() - 2);
  return text;
}

void SetText(Ui& ui, std::string_view field, const std::string& text) {
  if (!text.empty()) {
    ui.editor.Guard([&] { SetField(ui.editor.request, field, text, std::string(field)); });
    return;
  }
  VisitFields(ui.editor.request, [&](const FieldInfo& info, auto& value) {
    if (info.name == field) value.reset();
  });
}

std::string LabelOf(std::string_view field) {
  std::string label(field);
  std::ranges::replace(label, '_', ' ');
  label[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(label[0])));
  return label;
}

std::string ModelOf(const Editor& editor) {
  return editor.request.model.value_or(std::string(editor.usual_model()));
}

// What the newest job with this model took where nothing was set.
std::string UsualValue(const Ui& ui, std::string_view field) {
  for (const Result& result : ui.editor.results().results()) {
    if (result.request.model.value_or("") == ModelOf(ui.editor)) {
      return TextOf(result.request, field);
    }
  }
  return "";
}

void ChoiceField(Ui& ui, std::string_view field, const std::vector<Choice>& choices,
                 const std::string& usual) {
  const std::string now = TextOf(ui.editor.request, field);
  const std::string shown = now.empty() ? usual : now;
  ImGui::SetNextItemWidth(-1);
  if (!ImGui::BeginCombo("##choice", shown.c_str())) return;
  if (ImGui::Selectable(("Usual: " + usual).c_str(), now.empty())) SetText(ui, field, "");
  for (const Choice& choice : choices) {
    if (ImGui::Selectable(choice.name.c_str(), choice.name == now)) SetText(ui, field, choice.name);
    Tooltip(choice.help);
  }
  ImGui::EndCombo();
}

void TextField(Ui& ui, std::string_view field, const std::string& usual) {
  // What is being typed becomes the field's value at its end.
  static std::map<std::string, std::string, std::less<>> typed;
  std::string& text = typed.try_emplace(std::string(field)).first->second;
  ImGui::SetNextItemWidth(-1);
  ImGui::InputTextWithHint("##text", usual.c_str(), &text);
  if (ImGui::IsItemDeactivatedAfterEdit()) SetText(ui, field, text);
  if (!ImGui::IsItemActive()) text = TextOf(ui.editor.request, field);
}

std::string HintOf(std::string_view field, const std::string& usual) {
  if (field == "seed") return "random";
  if (field == "batch_count") return "1";
  return usual.empty() ? "the model's" : usual;
}

void Field(Ui& ui, const FieldInfo& info, bool is_switch) {
  const std::string field(info.name);
  ImGui::PushID(field.c_str());
  const float label_width = Scaled(118);
  ImGui::AlignTextToFramePadding();
  ImGui::TextColored(ImGui::ColorConvertU32ToFloat4(Colours().muted), "%s", LabelOf(field).c_str());
  Tooltip(std::string(info.help));
  ImGui::SameLine(label_width);
  const std::string usual = UsualValue(ui, field);
  if (field == "sampling_method") {
    ChoiceField(ui, field, SamplerChoices(), usual.empty() ? "the model's" : usual);
  } else if (field == "scheduler") {
    ChoiceField(ui, field, ScheduleChoices(), usual.empty() ? "the model's" : usual);
  } else if (field == "cache") {
    ChoiceField(ui, field, CacheChoices(), usual.empty() ? "none" : usual);
  } else if (field == "dtype") {
    ChoiceField(ui, field, {{"float32", ""}, {"bfloat16", ""}}, "float32");
  } else if (is_switch) {
    bool on = TextOf(ui.editor.request, field) == "true";
    if (ImGui::Checkbox("##switch", &on)) SetText(ui, field, on ? "true" : "");
  } else {
    TextField(ui, field, HintOf(field, usual));
  }
  ui.Mark(field);
  ImGui::PopID();
}

void Fields(Ui& ui, bool first) {
  VisitFields(ui.editor.request, [&]<class T>(const FieldInfo& info, const std::optional<T>&) {
    if (Contains(kElsewhere, info.name) || info.medium == Medium::kClip) return;
    if (Contains(kFirst, info.name) == first) Field(ui, info, std::is_same_v<T, bool>);
  });
}

void ModelField(Ui& ui) {
  const std::string now = ModelOf(ui.editor);
  ImGui::SetNextItemWidth(-1);
  if (!ImGui::BeginCombo("##model", now.c_str())) return ui.Mark("model");
  // Folders are looked at when the list opens, not in every frame.
  static std::vector<Choice> models;
  if (ImGui::IsWindowAppearing()) models = ModelChoices();
  for (const Choice& choice : models) {
    if (ImGui::Selectable(choice.name.c_str(), choice.name == now)) {
      ui.editor.request.model = choice.name;
    }
    Tooltip(choice.help);
  }
  ImGui::EndCombo();
}

void PromptField(Ui& ui, const char* name, const char* label, std::optional<std::string>& text,
                 float height) {
  Hint(ui, label);
  std::string typed = text.value_or("");
  ImGui::PushID(name);
  if (ImGui::InputTextMultiline("##prompt", &typed, {-1, Scaled(height)})) {
    ui.fonts.Need(typed);
    text = typed.empty() ? std::nullopt : std::optional(typed);
  }
  ImGui::PopID();
  ui.Mark(name);
}

// What a press of the button will do.
std::string Intention(const Editor& editor) {
  if (editor.document().layers.empty()) return "Makes a new picture.";
  if (editor.document().song != nullptr) {
    return "Composes anew what is under the mask; every other note stays.";
  }
  if (editor.request.outpaint) return "Paints beyond the border of the picture.";
  if (!editor.document().mask.IsZero()) return "Paints anew what is under the mask.";
  if (editor.use_picture) return "Starts from the picture, as far as its strength says.";
  return "Makes a new picture, as a layer of its own. Draw a mask to paint a part.";
}

}  // namespace

void DrawPaintPanel(Ui& ui) {
  Editor& editor = ui.editor;
  PromptField(ui, "prompt", "Prompt", editor.request.prompt, 84);
  PromptField(ui, "negative_prompt", "Without", editor.request.negative_prompt, 40);
  Hint(ui, "Model");
  ModelField(ui);
  ImGui::Dummy({0, Scaled(2)});
  if (AccentButton("Paint", {ImGui::GetContentRegionAvail().x * 0.62f, Scaled(38)})) {
    RunCommand(ui, "paint");
  }
  ui.Mark("paint");
  Tooltip("Ctrl+Enter");
  ImGui::SameLine();
  if (ImGui::Button("Another seed", {-1, Scaled(38)})) RunCommand(ui, "again");
  ui.Mark("again");
  Tooltip("The same with another seed   Ctrl+Shift+Enter");
  Hint(ui, Intention(editor));
  if (editor.document().song == nullptr) {
    ImGui::Checkbox("Start from the picture", &editor.use_picture);
    ui.Mark("use-picture");
    DrawOutpainting(ui);
  }
  ImGui::Dummy({0, Scaled(4)});
  Fields(ui, true);
  ImGui::Dummy({0, Scaled(2)});
  if (ImGui::TreeNodeEx("All settings", ImGuiTreeNodeFlags_NoTreePushOnOpen)) Fields(ui, false);
}

}  // namespace gesso::ui
