#include "mezzo/models/repository.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/models/internal/override_dir.h"
#include "mezzo/models/internal/source.h"
#include "mezzo/models/testing/temp_repository.h"

namespace mezzo::models {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

std::vector<std::string> NamesIn(const std::vector<ModelFolder>& models) {
  std::vector<std::string> names;
  for (const ModelFolder& model : models) names.push_back(model.name);
  return names;
}

TEST(Repository, FindsModelsAndVersionsAndIgnoresTheRest) {
  const testing::TempRepository files;
  files.Write("b/1/model.onnx", "12345");
  files.Write("b/10/model.onnx");
  files.Write("b/2/model.onnx");
  files.Write("b/01/model.onnx");
  files.Write("b/0/model.onnx");
  files.Write("b/1234567890123456789/model.onnx");
  files.Write("b/v3/model.onnx");
  files.Write("a/config.pbtxt");
  files.Write(".hidden/1/model.onnx");
  files.Write("no spaces/1/model.onnx");
  files.Write("README.md");

  const auto models = Repository({files.path()}).Scan();

  ASSERT_TRUE(models.ok());
  EXPECT_THAT(NamesIn(*models), ElementsAre("a", "b"));
  EXPECT_THAT((*models)[0].versions, IsEmpty());
  ASSERT_THAT((*models)[1].versions, SizeIs(3));
  EXPECT_EQ((*models)[1].versions[0].version, 1);
  EXPECT_EQ((*models)[1].versions[0].bytes, 5U);
  EXPECT_EQ((*models)[1].versions[2].version, 10);
}

TEST(Repository, ThePartsOfAPipelineAreModelsOfTheirOwn) {
  const testing::TempRepository files;
  files.Write("flat/model_index.json", "{}");
  files.Write("flat/unet/model.onnx", "12345");
  files.Write("flat/unet/model.onnx_data", "678");
  files.Write("flat/vae_decoder/model.onnx");
  files.Write("flat/tokenizer/vocab.json");
  files.Write("numbered/1/model_index.json", "{}");
  files.Write("numbered/1/unet/model.onnx");
  files.Write("numbered/2/model_index.json", "{}");
  files.Write("numbered/2/unet/model.onnx");

  const Repository repository({files.path()});
  const auto models = repository.Scan();

  ASSERT_TRUE(models.ok());
  EXPECT_THAT(NamesIn(*models), ElementsAre("flat/unet", "flat/vae_decoder", "numbered/unet"));
  const ModelFolder& unet = (*models)[0];
  EXPECT_EQ(unet.pipeline, "flat");
  ASSERT_THAT(unet.versions, SizeIs(1));
  EXPECT_EQ(unet.versions[0].version, 1);
  EXPECT_EQ(unet.versions[0].bytes, 8U);
  EXPECT_EQ(unet.versions[0].path, files.path() + "/flat/unet");
  ASSERT_THAT((*models)[2].versions, SizeIs(2));
  EXPECT_EQ((*models)[2].versions[1].path, files.path() + "/numbered/2/unet");
  EXPECT_THAT(*repository.PartsOf("flat"), ElementsAre("flat/unet", "flat/vae_decoder"));
  EXPECT_THAT(*repository.PartsOf("none"), IsEmpty());
  EXPECT_EQ(repository.Look("flat/unet")->Stamp(), unet.Stamp());
  EXPECT_FALSE(repository.Look("flat/../flat/unet").ok());
}

TEST(Repository, AChangeOfWhatPartsShareIsAChangeOfEveryPart) {
  const testing::TempRepository files;
  files.Write("p/model_index.json", "{}");
  files.Write("p/unet/model.onnx");
  files.Write("p/scheduler/scheduler_config.json", "{}");
  const Repository repository({files.path()});
  const std::uint64_t before = repository.Look("p/unet")->Stamp();

  files.Write("p/scheduler/scheduler_config.json", "{ }");

  EXPECT_NE(repository.Look("p/unet")->Stamp(), before);
}

TEST(Repository, TheFirstRootWins) {
  const testing::TempRepository first;
  const testing::TempRepository second;
  first.Write("m/1/model.onnx");
  second.Write("m/2/model.onnx");
  second.Write("n/1/model.onnx");

  const auto models = Repository({first.path(), second.path()}).Scan();

  EXPECT_THAT(NamesIn(*models), ElementsAre("m", "n"));
  EXPECT_EQ((*models)[0].versions[0].version, 1);
}

TEST(Repository, AMissingRootIsAnError) {
  const auto models = Repository({"/nonexistent/models"}).Scan();

  EXPECT_EQ(models.error().reason(), "repository_unreadable");
  EXPECT_THAT(models.error().message(), HasSubstr("/nonexistent/models"));
}

TEST(Repository, StampsChangeWithFilesAndOnlyWithTheirOwnVersion) {
  const testing::TempRepository files;
  files.Write("m/1/model.onnx");
  files.Write("m/2/model.onnx");
  const Repository repository({files.path()});
  const auto before = repository.Look("m");
  files.Write("m/2/model.onnx", "another size");
  const auto after = repository.Look("m");

  EXPECT_EQ(before->versions[0].stamp, after->versions[0].stamp);
  EXPECT_NE(before->versions[1].stamp, after->versions[1].stamp);
  EXPECT_EQ(before->config_stamp, after->config_stamp);
  EXPECT_NE(before->Stamp(), after->Stamp());

  files.Write("m/model.yaml", "weight: 2");
  EXPECT_NE(repository.Look("m")->config_stamp, after->config_stamp);
}

TEST(Repository, LinksAreAProblemNotAWayOut) {
  const testing::TempRepository files;
  const testing::TempRepository outside;
  outside.Write("secret/1/model.onnx");
  outside.Write("secret.onnx");
  files.Link(outside.path() + "/secret", "linked");
  files.Link(outside.path() + "/secret/1", "version/1");
  files.Link(outside.path() + "/secret.onnx", "file/1/model.onnx");

  const auto models = Repository({files.path()}).Scan();

  ASSERT_THAT(*models, SizeIs(3));
  for (const ModelFolder& model : *models) {
    ASSERT_TRUE(model.problem.has_value()) << model.name;
    EXPECT_THAT(model.problem->message(), HasSubstr("is a symbolic link, which is not followed"));
  }
}

TEST(Repository, UnsafeNamesAreUnknown) {
  const testing::TempRepository files;
  files.Write("m/1/model.onnx");
  const Repository repository({files.path() + "/m"});

  for (const char* name : {"..", "../m", "", ".", "1/..", "a/b", "/etc"}) {
    EXPECT_EQ(repository.Look(name).error().reason(), "model_unknown") << name;
  }
}

TEST(ReadFileBelow, StaysBelowAndWithinItsLimit) {
  const testing::TempRepository files;
  files.Write("m/labels/en.txt", "cat\ndog\n");
  files.Write("secret", "s");
  files.Link(files.path() + "/secret", "m/link");
  const std::string folder = files.path() + "/m";

  EXPECT_EQ(*ReadFileBelow(folder, "labels/en.txt", 8), "cat\ndog\n");
  EXPECT_EQ(ReadFileBelow(folder, "labels/en.txt", 7).error().reason(), "file_too_large");
  EXPECT_EQ(ReadFileBelow(folder, "../secret", 8).error().reason(), "file_unsafe");
  EXPECT_EQ(ReadFileBelow(folder, "link", 8).error().reason(), "file_unsafe");
  EXPECT_EQ(ReadFileBelow(folder, "labels", 8).error().reason(), "file_unsafe");
  EXPECT_EQ(ReadFileBelow(folder, "none", 8).error().reason(), "file_missing");
}

TEST(FindModelFile, TakesAFileOrAFolderWithOne) {
  const testing::TempRepository files;
  files.Write("m/1/model.onnx");
  files.Write("m/2/model.onnx/model.onnx");
  files.Write("m/3/other");
  const auto model = Repository({files.path()}).Look("m");

  EXPECT_EQ(*FindModelFile(model->versions[0], "model.onnx"), files.path() + "/m/1/model.onnx");
  EXPECT_EQ(*FindModelFile(model->versions[1], "model.onnx"), files.path() + "/m/2/model.onnx/model.onnx");
  EXPECT_EQ(FindModelFile(model->versions[2], "model.onnx").error().reason(), "model_file_missing");
}

TEST(ApplyVersionPolicy, ChoosesNewestAllOrSpecific) {
  using internal::ApplyVersionPolicy;
  const std::vector<std::int64_t> there = {1, 2, 5};
  VersionPolicy policy;
  EXPECT_THAT(ApplyVersionPolicy(policy, there), ElementsAre(5));
  policy.latest_count = 2;
  EXPECT_THAT(ApplyVersionPolicy(policy, there), ElementsAre(2, 5));
  policy.latest_count = 9;
  EXPECT_THAT(ApplyVersionPolicy(policy, there), ElementsAre(1, 2, 5));
  policy.kind = VersionPolicy::Kind::kAll;
  EXPECT_THAT(ApplyVersionPolicy(policy, there), ElementsAre(1, 2, 5));
  policy.kind = VersionPolicy::Kind::kSpecific;
  policy.versions = {2, 7};
  EXPECT_THAT(ApplyVersionPolicy(policy, there), ElementsAre(2));
}

TEST(OverrideDir, IsPrivateAndGoesWithTheObject) {
  const testing::TempRepository temp;
  std::string root;
  {
    const auto dir =
        internal::OverrideDir::Create(temp.path(), "m", {{"1/model.onnx", "x"}, {"labels.txt", "y"}}, {});
    ASSERT_TRUE(dir.ok()) << dir.error().ToString();
    root = (*dir)->root();
    EXPECT_EQ(*ReadFileBelow(root, "m/1/model.onnx", 8), "x");
    EXPECT_EQ(std::filesystem::status(root).permissions() & std::filesystem::perms::all,
              std::filesystem::perms::owner_all);
  }
  EXPECT_FALSE(std::filesystem::exists(root));
}

TEST(OverrideDir, RefusesNamesThatLeaveItAndTooMuch) {
  const testing::TempRepository temp;
  const auto reason = [&temp](std::map<std::string, std::string> files) {
    return internal::OverrideDir::Create(temp.path(), "m", files, {.max_files = 2, .max_bytes = 10})
        .error()
        .reason();
  };
  for (const char* name : {"../x", "/etc/x", "1/../../x", "", "1//x", ".x", "a/b/c/d/e", "1/a b"}) {
    EXPECT_EQ(reason({{name, "x"}}), "override_unsafe") << name;
  }
  EXPECT_EQ(reason({{"a", ""}, {"b", ""}, {"c", ""}}), "override_too_large");
  EXPECT_EQ(reason({{"a", "12345678901"}}), "override_too_large");
  EXPECT_TRUE(std::filesystem::is_empty(temp.path()));
}

}  // namespace
}  // namespace mezzo::models
