#include "mezzo/api/shared_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <string>

#include <gtest/gtest.h>

namespace mezzo::api {
namespace {

/// A POSIX shared memory object for the time of a test.
class Object {
 public:
  explicit Object(std::string_view content) : key_("/test-mezzo-" + std::to_string(::getpid())) {
    ::shm_unlink(key_.c_str());
    fd_ = ::shm_open(key_.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600);
    EXPECT_GE(fd_, 0);
    EXPECT_EQ(::pwrite(fd_, content.data(), content.size(), 0), static_cast<ssize_t>(content.size()));
  }
  ~Object() {
    ::close(fd_);
    ::shm_unlink(key_.c_str());
  }
  void Shrink() const { EXPECT_EQ(::ftruncate(fd_, 1), 0); }
  [[nodiscard]] std::string Content() const {
    std::string text(64, '\0');
    text.resize(static_cast<std::size_t>(::pread(fd_, text.data(), text.size(), 0)));
    return text;
  }
  [[nodiscard]] const std::string& key() const { return key_; }

 private:
  std::string key_;
  int fd_ = -1;
};

class SharedMemoryTest : public ::testing::Test {
 protected:
  const TenantId alice_{"alice"};
  const TenantId bob_{"bob"};
  SharedMemoryRegions regions_{{.enabled = true, .max_regions = 2}};
  Object object_{"0123456789abcdef"};
};

TEST_F(SharedMemoryTest, ReadsAndWritesARegisteredRegion) {
  ASSERT_TRUE(regions_.Register(alice_, "r", object_.key(), 4, 8).ok());

  const auto window = regions_.Window(alice_, "r", 2, 4);
  ASSERT_TRUE(window.ok());
  EXPECT_EQ(window->Read()->text(), "6789");
  ASSERT_TRUE(window->Write("out", AsBytes("xy")).ok());
  EXPECT_EQ(object_.Content(), "012345xy89abcdef");
}

TEST_F(SharedMemoryTest, ASnapshotDoesNotChange) {
  ASSERT_TRUE(regions_.Register(alice_, "r", object_.key(), 0, 16).ok());
  const auto window = regions_.Window(alice_, "r", 0, 4);
  const auto before = window->Read();
  ASSERT_TRUE(window->Write("out", AsBytes("ZZZZ")).ok());
  EXPECT_EQ(before->text(), "0123");
}

TEST_F(SharedMemoryTest, AShrunkObjectIsAnErrorAndNoCrash) {
  ASSERT_TRUE(regions_.Register(alice_, "r", object_.key(), 0, 16).ok());
  const auto window = regions_.Window(alice_, "r", 0, 16);
  object_.Shrink();
  EXPECT_EQ(window->Read().error().reason(), "shared_memory_shrunk");
  EXPECT_EQ(window->Write("out", AsBytes("0123456789")).error().reason(), "shared_memory_shrunk");
}

TEST_F(SharedMemoryTest, TenantsSeeOnlyTheirOwn) {
  ASSERT_TRUE(regions_.Register(alice_, "r", object_.key(), 0, 16).ok());
  EXPECT_EQ(regions_.Window(bob_, "r", 0, 4).error().message(), "Unable to find shared memory region: 'r'");
  EXPECT_TRUE(regions_.Status(bob_, "")->empty());
  EXPECT_EQ(regions_.Status(bob_, "r").error().code(), Code::kNotFound);
  ASSERT_TRUE(regions_.Unregister(bob_, "r").ok());
  ASSERT_TRUE(regions_.Unregister(bob_, "").ok());
  ASSERT_EQ(regions_.Status(alice_, "")->size(), 1U);
  EXPECT_EQ(regions_.Status(alice_, "r")->front().byte_size, 16U);
}

TEST_F(SharedMemoryTest, AWindowOutlivesItsRegion) {
  ASSERT_TRUE(regions_.Register(alice_, "r", object_.key(), 0, 16).ok());
  const auto window = regions_.Window(alice_, "r", 0, 4);
  ASSERT_TRUE(regions_.Unregister(alice_, "r").ok());
  EXPECT_EQ(window->Read()->text(), "0123");
  EXPECT_FALSE(regions_.Window(alice_, "r", 0, 4).ok());
}

TEST_F(SharedMemoryTest, ChecksRangesWithoutOverflow) {
  ASSERT_TRUE(regions_.Register(alice_, "r", object_.key(), 8, 8).ok());
  EXPECT_EQ(regions_.Window(alice_, "r", 8, 0).error().message(),
            "Invalid offset for shared memory region: 'r': 8 of 8 bytes");
  EXPECT_EQ(regions_.Window(alice_, "r", 4, 5).error().message(),
            "Invalid offset + byte size for shared memory region: 'r': 4 + 5 of 8 bytes");
  EXPECT_EQ(regions_.Window(alice_, "r", 4, ~ByteCount{0}).error().reason(), "shared_memory_range");
  EXPECT_EQ(regions_.Register(alice_, "s", object_.key(), ~ByteCount{0}, 2).error().reason(),
            "shared_memory_size");
  EXPECT_EQ(
      regions_.Register(alice_, "s", object_.key(), 8, 9).error().message(),
      "failed to register shared memory region 's': 9 bytes at offset 8 are not within the 16 bytes of '" +
          object_.key() + "'");
  EXPECT_EQ(regions_.Window(alice_, "r", 0, 2)->Write("out", AsBytes("abc")).error().message(),
            "shared memory size specified with the request for output 'out' (2 bytes) should be at least 3 "
            "bytes to hold the "
            "results");
}

TEST_F(SharedMemoryTest, RefusesKeysThatAreNotPlainNames) {
  for (const std::string key : {"", "/", "//x", "../x", "/a/b", "/.hidden", "a b", "/mezzo_internal",
                                "mezzo-x", "/triton_python_backend_shm_region_1"}) {
    EXPECT_EQ(regions_.Register(alice_, "r", key, 0, 1).error().reason(), "shared_memory_key") << key;
  }
  EXPECT_EQ(regions_.Register(alice_, "r", "/test-mezzo-no-such", 0, 1).error().message(),
            "Unable to open shared memory region: '/test-mezzo-no-such': No such file or directory");
}

TEST_F(SharedMemoryTest, RefusesDoublesAndTooMany) {
  ASSERT_TRUE(regions_.Register(alice_, "a", object_.key(), 0, 16).ok());
  EXPECT_EQ(regions_.Register(alice_, "a", object_.key(), 0, 16).error().message(),
            "shared memory region 'a' already in manager");
  ASSERT_TRUE(regions_.Register(bob_, "a", object_.key(), 0, 16).ok());
  EXPECT_EQ(regions_.Register(bob_, "b", object_.key(), 0, 16).error().reason(), "shared_memory_full");
}

TEST_F(SharedMemoryTest, IsOffByDefault) {
  SharedMemoryRegions off{{}};
  EXPECT_EQ(off.Register(alice_, "r", object_.key(), 0, 16).error().code(), Code::kUnimplemented);
  EXPECT_EQ(off.Unregister(alice_, "").error().reason(), "shared_memory_disabled");
  EXPECT_TRUE(off.Status(alice_, "")->empty());
}

}  // namespace
}  // namespace mezzo::api
