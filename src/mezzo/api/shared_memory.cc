#include "mezzo/api/shared_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "mezzo/base/checked.h"
#include "mezzo/base/strings.h"
#include "mezzo/tensor/tensor.h"

namespace mezzo::api {
namespace {

// Objects that servers make for themselves: nobody may register them (CVE-2025-23319 and its relatives).
constexpr std::string_view kReservedPrefixes[] = {"mezzo_", "mezzo-", "triton_python_backend_shm_region_"};

std::string Quoted(std::string_view text) { return "'" + Printable(text) + "'"; }

}  // namespace

/// An open memory object; closed with the last region or window that uses it.
struct SharedMemoryWindow::Object {
  Object(std::string key_text, int descriptor, bool can_write)
      : key(std::move(key_text)), fd(descriptor), writable(can_write) {}
  ~Object() { ::close(fd); }
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;

  /// Bytes it has now.
  [[nodiscard]] ByteCount Size() const {
    struct stat facts{};
    if (::fstat(fd, &facts) != 0 || facts.st_size < 0) return 0;
    return static_cast<ByteCount>(facts.st_size);
  }
  [[nodiscard]] Error Shrunk() const {
    return InvalidArgument("shared_memory_shrunk", "the shared memory object " + Quoted(key) +
                                                       " is smaller than the region registered of it");
  }

  const std::string key;
  const int fd;
  const bool writable;
};

Result<SharedBytes> SharedMemoryWindow::Read() const {
  const tensor::MutableBuffer buffer = tensor::AllocateBuffer(size_);
  ByteCount done = 0;
  while (done < size_) {
    const ssize_t count =
        ::pread(object_->fd, buffer.data() + done, size_ - done, static_cast<off_t>(offset_ + done));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return object_->Shrunk();
    done += static_cast<ByteCount>(count);
  }
  return buffer.Share();
}

Result<void> SharedMemoryWindow::Write(std::string_view name, BytesView bytes) const {
  if (bytes.size() > size_) {
    return Internal("shared_memory_output_size",
                    "shared memory size specified with the request for output '" + std::string(name) + "' (" +
                        std::to_string(size_) + " bytes) should be at least " + std::to_string(bytes.size()) +
                        " bytes to hold the results");
  }
  if (!object_->writable) {
    return InvalidArgument("shared_memory_read_only", "the shared memory object " + Quoted(object_->key) +
                                                          " can't be written by the server");
  }
  if (object_->Size() < offset_ + bytes.size()) return object_->Shrunk();
  ByteCount done = 0;
  while (done < bytes.size()) {
    const ssize_t count =
        ::pwrite(object_->fd, bytes.data() + done, bytes.size() - done, static_cast<off_t>(offset_ + done));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return object_->Shrunk();
    done += static_cast<ByteCount>(count);
  }
  return {};
}

SharedMemoryRegions::SharedMemoryRegions(Options options) : options_(std::move(options)) {}
SharedMemoryRegions::~SharedMemoryRegions() = default;

Result<void> SharedMemoryRegions::CheckKey(std::string_view name, std::string_view key) const {
  const std::string_view bare = key.substr(key.substr(0, 1) == "/" ? 1 : 0);
  if (!IsSafeName(bare)) {
    return InvalidArgument("shared_memory_key",
                           "cannot register shared memory region " + Quoted(name) + " - invalid shm key " +
                               Quoted(key) + ": expected an optional '/' and 1 to 128 of [A-Za-z0-9._-]");
  }
  for (const std::string_view prefix : kReservedPrefixes) {
    if (bare.substr(0, prefix.size()) != prefix) continue;
    return InvalidArgument("shared_memory_key",
                           "cannot register shared memory region " + Quoted(name) + " with key " +
                               Quoted(key) + " as the key contains the reserved prefix " + Quoted(prefix));
  }
  if (bare.substr(0, options_.key_prefix.size()) != options_.key_prefix) {
    return InvalidArgument("shared_memory_key", "cannot register shared memory region " + Quoted(name) +
                                                    ": keys must start with " + Quoted(options_.key_prefix));
  }
  return {};
}

Result<void> SharedMemoryRegions::Register(const TenantId& owner, std::string name, std::string key,
                                           ByteCount offset, ByteCount byte_size) {
  if (!options_.enabled) {
    return Unimplemented("shared_memory_disabled", "Client shared memory is disabled on this server.");
  }
  if (name.empty() || name.size() > 256) {
    return InvalidArgument(
        "shared_memory_key",
        "the name of a shared memory region must have 1 to 256 bytes, got " + std::to_string(name.size()));
  }
  MEZZO_TRY_VOID(CheckKey(name, key));
  const auto end = CheckedAdd(offset, byte_size);
  if (byte_size == 0 || byte_size > options_.max_region_bytes || !end) {
    return InvalidArgument("shared_memory_size",
                           "failed to register shared memory region " + Quoted(name) + ": byte_size " +
                               std::to_string(byte_size) + " at offset " + std::to_string(offset) +
                               ", the limit is " + std::to_string(options_.max_region_bytes));
  }

  const std::string path = key.front() == '/' ? key : "/" + key;
  bool writable = true;
  int fd = ::shm_open(path.c_str(), O_RDWR, 0);
  if (fd < 0 && errno == EACCES) {
    writable = false;
    fd = ::shm_open(path.c_str(), O_RDONLY, 0);
  }
  if (fd < 0) {
    return InvalidArgument("shared_memory_missing", "Unable to open shared memory region: " + Quoted(key) +
                                                        ": " + std::strerror(errno));
  }
  const auto object = std::make_shared<const SharedMemoryWindow::Object>(key, fd, writable);
  struct stat facts{};
  if (::fstat(fd, &facts) != 0 || !S_ISREG(facts.st_mode) || object->Size() < *end) {
    return InvalidArgument("shared_memory_size", "failed to register shared memory region " + Quoted(name) +
                                                     ": " + std::to_string(byte_size) + " bytes at offset " +
                                                     std::to_string(offset) + " are not within the " +
                                                     std::to_string(object->Size()) + " bytes of " +
                                                     Quoted(key));
  }

  MutexLock lock(mu_);
  Key id{owner.str(), name};
  if (regions_.contains(id)) {
    return AlreadyExists("shared_memory_exists",
                         "shared memory region " + Quoted(name) + " already in manager");
  }
  if (regions_.size() >= options_.max_regions) {
    return ResourceExhausted("shared_memory_full", "the limit of " + std::to_string(options_.max_regions) +
                                                       " shared memory regions is reached");
  }
  Entry entry{.region = {.name = name, .key = std::move(key), .offset = offset, .byte_size = byte_size},
              .object = object};
  regions_.emplace(std::move(id), std::move(entry));
  return {};
}

Result<void> SharedMemoryRegions::Unregister(const TenantId& owner, std::string_view name) {
  if (!options_.enabled) {
    return Unimplemented("shared_memory_disabled", "Client shared memory is disabled on this server.");
  }
  MutexLock lock(mu_);
  if (!name.empty()) {
    regions_.erase(Key(owner.str(), name));
    return {};
  }
  std::erase_if(regions_, [&owner](const auto& entry) { return entry.first.first == owner.str(); });
  return {};
}

Result<std::vector<SharedMemoryRegions::Region>> SharedMemoryRegions::Status(const TenantId& owner,
                                                                             std::string_view name) const {
  std::vector<Region> found;
  MutexLock lock(mu_);
  for (const auto& [id, entry] : regions_) {
    if (id.first == owner.str() && (name.empty() || id.second == name)) found.push_back(entry.region);
  }
  if (!name.empty() && found.empty()) {
    return NotFound("shared_memory_unknown", "Unable to find system shared memory region: " + Quoted(name));
  }
  return found;
}

Result<SharedMemoryWindow> SharedMemoryRegions::Window(const TenantId& owner, std::string_view name,
                                                       ByteCount offset, ByteCount byte_size) const {
  MutexLock lock(mu_);
  const auto found = regions_.find(Key(owner.str(), name));
  if (found == regions_.end()) {
    return NotFound("shared_memory_unknown", "Unable to find shared memory region: " + Quoted(name));
  }
  const Region& region = found->second.region;
  if (offset >= region.byte_size) {
    return InvalidArgument("shared_memory_range", "Invalid offset for shared memory region: " + Quoted(name) +
                                                      ": " + std::to_string(offset) + " of " +
                                                      std::to_string(region.byte_size) + " bytes");
  }
  if (byte_size > region.byte_size - offset) {
    return InvalidArgument("shared_memory_range",
                           "Invalid offset + byte size for shared memory region: " + Quoted(name) + ": " +
                               std::to_string(offset) + " + " + std::to_string(byte_size) + " of " +
                               std::to_string(region.byte_size) + " bytes");
  }
  return SharedMemoryWindow(found->second.object, region.offset + offset, byte_size);
}

}  // namespace mezzo::api
