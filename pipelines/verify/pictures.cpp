#include "pipelines/verify/pictures.h"

namespace gesso {

void CompareMap(ParityCase& parity_case, const std::string& name, const Tensor& map) {
  parity_case.Compare(name, Cast(map.view().Permute({0, 3, 1, 2}), DType::kF32));
}

void ComparePicture(ParityCase& parity_case, const Tensor& picture) {
  const auto crop = Get<std::vector<int64_t>>(parity_case.config(), "crop", std::vector<int64_t>());
  if (crop.empty()) return parity_case.Compare("out/image", picture);
  const Shape& s = picture.shape();
  Require(crop.size() == 4 && 0 <= crop[0] && crop[0] <= crop[1] && crop[1] <= s[2] &&
              0 <= crop[2] && crop[2] <= crop[3] && crop[3] <= s[3],
          ErrorKind::kConfig, "field 'crop' is no part of the picture {}", s);
  const ConstView part = picture.view().Slice(2, crop[0], crop[1]).Slice(3, crop[2], crop[3]);
  parity_case.Compare("out/image_crop", Cast(part, DType::kF32));
}

}  // namespace gesso
