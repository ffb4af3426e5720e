#include "mezzo/app/artifact_store.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "mezzo/base/fd.h"
#include "mezzo/base/strings.h"
#include "mezzo/base/uuid.h"
#include "mezzo/drivers/localfs/local_blob_store.h"
#include "mezzo/drivers/s3/s3_blob_store.h"
#include "mezzo/net/http_client.h"

namespace mezzo::app {
namespace {

using storage::UrlSigner;

/// Threads that wait for the store on behalf of protocols.
constexpr std::size_t kStoreThreads = 8;
constexpr std::size_t kMaxWaitingCalls = 1024;
constexpr Duration kUpkeepPause = std::chrono::seconds(5);
constexpr Duration kUpkeepRound = std::chrono::seconds(10);
constexpr Duration kOpenTime = std::chrono::minutes(2);
constexpr std::size_t kSecretBytes = 32;
constexpr std::size_t kSecretDigits = 2 * kSecretBytes;

Duration Days(std::size_t days) { return std::chrono::hours(24) * static_cast<std::int64_t>(days); }

Error CannotKeep(const std::string& file, int number) {
  return Unavailable("data_dir",
                     "the secret of URLs in '" + file + "' can't be used: " + std::strerror(number));
}

/// Makes the file, or fails with EEXIST. What is half-written is not a secret: ReadSecret() refuses it.
Result<void> MakeSecret(const std::string& file) {
  const Fd fd(::open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd.ok()) return CannotKeep(file, errno);
  std::array<std::uint8_t, kSecretBytes> bytes{};
  RandomBytes(bytes.data(), bytes.size());
  const std::string digits = HexEncode(bytes);
  if (::write(fd.get(), digits.data(), digits.size()) != static_cast<ssize_t>(digits.size()) ||
      ::fsync(fd.get()) != 0) {
    const int number = errno;
    ::unlink(file.c_str());
    return CannotKeep(file, number);
  }
  return {};
}

Result<std::string> ReadSecret(const std::string& file) {
  const Fd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd.ok()) return CannotKeep(file, errno);
  std::string text(kSecretDigits, '\0');
  const ssize_t got = ::read(fd.get(), text.data(), text.size());
  if (got < 0) return CannotKeep(file, errno);
  if (static_cast<std::size_t>(got) != kSecretDigits) {
    return Unavailable("data_dir", "the secret of URLs in '" + file + "' is not complete: remove the file");
  }
  return text;
}

/// What `data_dir` has, made when it has none.
Result<std::string> OwnSecret(const std::string& data_dir) {
  const std::string file = data_dir + "/artifact-url.key";
  if (::access(file.c_str(), F_OK) != 0) MEZZO_TRY_VOID(MakeSecret(file));
  return ReadSecret(file);
}

/// A name for a secret that tells nothing of it and is the same on every host.
UrlSigner::Secret Named(const std::string& secret) {
  constexpr std::size_t kNameDigits = 12;
  return {.id = Sha256Hex("mezzo url secret id " + secret).substr(0, kNameDigits), .secret = secret};
}

Result<std::unique_ptr<UrlSigner>> MakeSigner(const ArtifactsConfig& config, const std::string& data_dir) {
  const std::string& url = config.public_url;
  if (!url.empty() && (!net::IsHttpUrl(url) || url.ends_with('/'))) {
    return InvalidArgument(
        "config_invalid_value",
        "artifacts.public_url must begin with https:// or http:// and not end with '/', got '" +
            Printable(url) + "'");
  }
  std::vector<UrlSigner::Secret> secrets;
  if (config.url_secret.is_set()) {
    secrets.push_back(Named(config.url_secret.Reveal()));
  } else {
    MEZZO_TRY(const std::string own, OwnSecret(data_dir));
    secrets.push_back(Named(own));
  }
  if (config.previous_url_secret.is_set()) secrets.push_back(Named(config.previous_url_secret.Reveal()));
  return UrlSigner::Create(url + std::string(api::platform::ArtifactsHandler::kRoot), std::move(secrets));
}

drivers::S3Options OptionsOf(const S3Config& config) {
  drivers::S3Options options;
  options.endpoint = config.endpoint;
  options.url_endpoint = config.url_endpoint;
  options.private_network = config.private_network;
  options.region = config.region;
  options.bucket = config.bucket;
  options.path_style = config.path_style;
  options.prefix = config.prefix;
  options.ca_file = config.ca_file;
  options.credentials = [config]() -> Result<drivers::S3Credentials> {
    return drivers::S3Credentials{.access_key = config.access_key.Reveal(),
                                  .secret_key = config.secret_key.Reveal(),
                                  .session_token = config.session_token.Reveal()};
  };
  options.storage_class = config.storage_class;
  options.archive_class = config.archive_class;
  options.multipart_threshold = config.multipart_threshold;
  options.spool_folder = config.spool_dir;
  return options;
}

}  // namespace

ArtifactStore::ArtifactStore(Ports ports, Duration url_lifetime)
    : ports_(ports),
      url_lifetime_(url_lifetime),
      pool_({.name = "artifacts", .threads = kStoreThreads, .max_queued = kMaxWaitingCalls}),
      thread_({.name = "artifact-care"}, ports.clock, [this] { return Upkeep(); }) {}

Result<void> ArtifactStore::OpenLocal(const ArtifactsConfig& config, const std::string& folder) {
  drivers::LocalBlobStore::Options options{.root = folder, .min_free_bytes = config.min_free};
  MEZZO_TRY(local_, drivers::LocalBlobStore::Open(std::move(options), *signer_, ports_.clock));
  metered_local_ =
      std::make_unique<storage::MeteredBlobStore>(*local_, "local", ports_.registry, ports_.clock);
  front_ = metered_local_.get();
  return {};
}

Result<void> ArtifactStore::OpenS3(const ArtifactsConfig& config, const std::string& folder) {
  if (!config.s3.access_key.is_set() || !config.s3.secret_key.is_set()) {
    return InvalidArgument("config_invalid_value", "artifacts.s3 needs an access_key and a secret_key");
  }
  MEZZO_TRY(remote_, drivers::S3BlobStore::Create(OptionsOf(config.s3), ports_.clock, ports_.registry));
  metered_remote_ =
      std::make_unique<storage::MeteredBlobStore>(*remote_, "s3", ports_.registry, ports_.clock);
  if (config.s3.spill > 0) {
    MEZZO_TRY_VOID(OpenLocal(config, folder));
    MEZZO_TRY(spill_, storage::SpillBlobStore::Create({.max_local_bytes = config.s3.spill}, *metered_remote_,
                                                      *metered_local_, ports_.clock, ports_.registry,
                                                      ports_.clock.Now() + kOpenTime));
    front_ = spill_.get();
  } else {
    front_ = metered_remote_.get();
  }
  return {};
}

Result<std::unique_ptr<ArtifactStore>> ArtifactStore::Open(const ArtifactsConfig& config,
                                                           const std::string& data_dir, Ports ports) {
  std::unique_ptr<ArtifactStore> made(new ArtifactStore(ports, config.url_ttl));  // A private constructor.
  MEZZO_TRY(made->signer_, MakeSigner(config, data_dir));
  if (config.store == ArtifactsDriver::kLocal) {
    MEZZO_TRY_VOID(made->OpenLocal(config, config.dir.empty() ? data_dir + "/artifacts" : config.dir));
  } else {
    MEZZO_TRY_VOID(made->OpenS3(config, config.dir.empty() ? data_dir + "/artifacts-kept" : config.dir));
  }
  made->lasting_ = made->front_;
  if (config.retention_days > 0) {
    made->retaining_ = std::make_unique<storage::RetainingBlobStore>(
        *made->front_, Days(config.retention_days), ports.clock);
    made->front_ = made->retaining_.get();
  }
  made->blobs_ = std::make_unique<api::BlobServer>(
      api::BlobServer::Options{.max_downloads = config.max_downloads},
      api::BlobServer::Ports{
          .store = *made->front_, .pool = made->pool_, .clock = ports.clock, .registry = ports.registry});
  made->handler_ = std::make_unique<api::platform::ArtifactsHandler>(api::platform::ArtifactsHandler::Ports{
      .blobs = *made->blobs_, .signer = *made->signer_, .clock = ports.clock});
  made->urls_ = std::make_unique<cache::SignedUrls>(*made->front_, ports.recent, ports.clock);
  made->list_ = std::make_unique<api::platform::JobArtifacts>(
      api::platform::JobArtifacts::Options{.url_lifetime = config.url_ttl},
      api::platform::JobArtifacts::Ports{
          .store = *made->front_, .urls = *made->urls_, .pool = made->pool_, .clock = ports.clock});
  storage::BlobUpkeep::Options upkeep;
  if (config.archive_days > 0) upkeep.archive_after = Days(config.archive_days);
  made->upkeep_ =
      std::make_unique<storage::BlobUpkeep>(upkeep, storage::BlobUpkeep::Ports{.store = *made->front_,
                                                                               .spill = made->spill_.get(),
                                                                               .clock = ports.clock,
                                                                               .registry = ports.registry});
  return made;
}

runtime::PeriodicThread::Pause ArtifactStore::Upkeep() {
  const storage::BlobUpkeep::Round round = upkeep_->Run(ports_.clock.Now() + kUpkeepRound);
  if (round.moved > 0) urls_->Clear();  // They name the place where the objects were.
  if (round.error) {
    ports_.log.Limited("artifact_upkeep")
        .Warn("the upkeep of artifacts failed in part",
              {{"reason", round.error->reason()}, {"message", round.error->message()}});
  }
  if (round.moved + round.removed + round.archived > 0) {
    ports_.log.Info("artifacts were looked after",
                    {{"moved", round.moved}, {"removed", round.removed}, {"archived", round.archived}});
  }
  if (round.more) return {};
  return {.longest = kUpkeepPause};
}

}  // namespace mezzo::app
