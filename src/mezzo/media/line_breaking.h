#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace mezzo::media {

/// How wide `text` is in a fixed-pitch sense: East Asian wide characters (Unicode UAX 11) count 2, combining
/// marks and joiners 0, the rest 1. Bytes that are not UTF-8 count 1 each.
std::size_t DisplayColumns(std::string_view text);

/// Breaks `text` into lines of at most `max_columns` (at least 2): as few as possible, and of those the most
/// even, where a break after punctuation is worth some unevenness.
///
/// Latin text breaks at spaces, Chinese between any two characters except before closing punctuation
/// (。，！？」…) and after opening punctuation (「《（…); what has no such place and is too long breaks where
/// it must. Line feeds in `text` always break; other control characters vanish. Runs of spaces become one.
std::vector<std::string> BreakLines(std::string_view text, std::size_t max_columns);

}  // namespace mezzo::media
