#include "mezzo/lifecycle/tracked_artifacts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mezzo::lifecycle {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(TrackedArtifacts, ShowsWhatLiesDirectlyInAFolder) {
  const std::vector<ManifestFile> files = {{.path = "MLmodel", .sha256 = "", .bytes = 5},
                                           {.path = "data/a/x", .sha256 = "", .bytes = 1},
                                           {.path = "data/b", .sha256 = "", .bytes = 2},
                                           {.path = "data.txt", .sha256 = "", .bytes = 3},
                                           {.path = "data/a/y", .sha256 = "", .bytes = 4}};
  EXPECT_THAT(TrackedArtifacts::EntriesOf(files, ""),
              ElementsAre(ArtifactEntry{"MLmodel", false, 5}, ArtifactEntry{"data", true, 0},
                          ArtifactEntry{"data.txt", false, 3}));
  EXPECT_THAT(TrackedArtifacts::EntriesOf(files, "data"),
              ElementsAre(ArtifactEntry{"a", true, 0}, ArtifactEntry{"b", false, 2}));
  EXPECT_THAT(TrackedArtifacts::EntriesOf(files, "data/a"),
              ElementsAre(ArtifactEntry{"x", false, 1}, ArtifactEntry{"y", false, 4}));
  // A file has nothing in it, and a name that only begins alike is another one.
  EXPECT_THAT(TrackedArtifacts::EntriesOf(files, "data/b"), IsEmpty());
  EXPECT_THAT(TrackedArtifacts::EntriesOf(files, "dat"), IsEmpty());
  EXPECT_THAT(TrackedArtifacts::EntriesOf({}, ""), IsEmpty());
}

}  // namespace
}  // namespace mezzo::lifecycle
