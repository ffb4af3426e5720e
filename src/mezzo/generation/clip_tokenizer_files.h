#pragma once

#include <string_view>

namespace mezzo::generation {

/// The files of a CLIP tokenizer's folder, as text.
struct ClipTokenizerFiles {
  std::string_view vocab_json;
  std::string_view merges_txt;
  std::string_view tokenizer_config_json;
  std::string_view special_tokens_map_json;  ///< Empty: there is none.
};

}  // namespace mezzo::generation
