#pragma once

namespace mezzo {

#if defined(__has_feature)
#define MEZZO_HAS_FEATURE(feature) __has_feature(feature)
#else
#define MEZZO_HAS_FEATURE(feature) 0
#endif

/// Which sanitizers this build has: they change what allocating, starting processes and time cost.
inline constexpr bool kAddressSanitizer = MEZZO_HAS_FEATURE(address_sanitizer) != 0;
inline constexpr bool kThreadSanitizer = MEZZO_HAS_FEATURE(thread_sanitizer) != 0;
inline constexpr bool kSanitized = kAddressSanitizer || kThreadSanitizer;

#undef MEZZO_HAS_FEATURE

}  // namespace mezzo
