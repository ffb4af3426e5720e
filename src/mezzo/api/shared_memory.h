#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mezzo/base/bytes.h"
#include "mezzo/base/mutex.h"
#include "mezzo/base/result.h"
#include "mezzo/base/strong_id.h"

namespace mezzo::api {

/// A part of a registered region. Keeps the region's memory object open after the region was unregistered.
///
/// Bytes are copied in and out by pread and pwrite and never mapped: a client that shrinks the object gets an
/// error instead of killing the server with SIGBUS, and one that changes bytes while they are used changes
/// nothing.
class SharedMemoryWindow {
 public:
  [[nodiscard]] ByteCount size() const { return size_; }
  /// A snapshot, aligned to 64 bytes. Fails with kInvalidArgument "shared_memory_shrunk".
  [[nodiscard]] Result<SharedBytes> Read() const;
  /// Writes an output; `name` is for the message. Fails with kInternal "shared_memory_output_size" (as Triton
  /// does) when `bytes` are more than size(), and kInvalidArgument "shared_memory_shrunk" or
  /// "shared_memory_read_only".
  Result<void> Write(std::string_view name, BytesView bytes) const;

 private:
  friend class SharedMemoryRegions;
  struct Object;
  SharedMemoryWindow(std::shared_ptr<const Object> object, ByteCount offset, ByteCount size)
      : object_(std::move(object)), offset_(offset), size_(size) {}

  std::shared_ptr<const Object> object_;
  ByteCount offset_ = 0;  // In the object.
  ByteCount size_ = 0;
};

/// POSIX shared memory that clients on this host have registered for tensors, by names of their own: each
/// tenant sees and uses only its own regions. Thread-safe.
class SharedMemoryRegions {
 public:
  struct Options {
    bool enabled = false;           ///< Off: Register() and Unregister() fail with "shared_memory_disabled".
    std::size_t max_regions = 256;  ///< Of all tenants.
    ByteCount max_region_bytes = ByteCount{4} << 30;
    std::string key_prefix;  ///< Keys must start with this (after the leading slash).
  };
  struct Region {
    std::string name;
    std::string key;
    ByteCount offset = 0;
    ByteCount byte_size = 0;
  };

  explicit SharedMemoryRegions(Options options);
  ~SharedMemoryRegions();

  /// Opens the POSIX shared memory object `key` and names `byte_size` bytes of it from `offset`. Errors:
  /// kUnimplemented "shared_memory_disabled"; kInvalidArgument "shared_memory_key", "shared_memory_size",
  /// "shared_memory_missing"; kAlreadyExists "shared_memory_exists"; kResourceExhausted "shared_memory_full".
  Result<void> Register(const TenantId& owner, std::string name, std::string key, ByteCount offset,
                        ByteCount byte_size) EXCLUDES(mu_);
  /// Forgets a region, or all of the owner's when `name` is empty. Requests in progress keep what they use.
  /// An unknown name is no error.
  Result<void> Unregister(const TenantId& owner, std::string_view name) EXCLUDES(mu_);
  /// The owner's regions by name, or the one named. Fails with kNotFound "shared_memory_unknown".
  [[nodiscard]] Result<std::vector<Region>> Status(const TenantId& owner, std::string_view name) const
      EXCLUDES(mu_);
  /// A part of a region. Fails with kNotFound "shared_memory_unknown", kInvalidArgument
  /// "shared_memory_range".
  [[nodiscard]] Result<SharedMemoryWindow> Window(const TenantId& owner, std::string_view name,
                                                  ByteCount offset, ByteCount byte_size) const EXCLUDES(mu_);
  [[nodiscard]] bool enabled() const { return options_.enabled; }

 private:
  struct Entry {
    Region region;
    std::shared_ptr<const SharedMemoryWindow::Object> object;
  };
  using Key = std::pair<std::string, std::string>;  // Tenant, name.

  [[nodiscard]] Result<void> CheckKey(std::string_view name, std::string_view key) const;

  const Options options_;
  mutable Mutex mu_;
  std::map<Key, Entry> regions_ GUARDED_BY(mu_);
};

}  // namespace mezzo::api
