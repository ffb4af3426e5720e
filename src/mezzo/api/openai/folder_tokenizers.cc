#include "mezzo/api/openai/folder_tokenizers.h"

#include <algorithm>
#include <coroutine>
#include <optional>
#include <utility>
#include <vector>

#include "mezzo/api/json_reader.h"
#include "mezzo/base/strings.h"
#include "mezzo/models/repository.h"
#include "mezzo/runtime/loop.h"

namespace mezzo::api::openai {
namespace {

using TokenizerRef = std::shared_ptr<const EmbeddingTokenizer>;

constexpr std::string_view kConfigFile = "tokenizer_config.json";

/// The part of a tokenizer_config.json that matters here.
struct TokenizerConfig {
  text::WordPiece::Options names;
  std::size_t max_tokens = 0;
};

Error Unsupported(const std::string& what) {
  return FailedPrecondition("tokenizer_unsupported", std::string(kConfigFile) + ": " + what);
}

class ConfigParser {
 public:
  explicit ConfigParser(std::string_view text) : reader_(text, kMaxDepth) {}

  Result<TokenizerConfig> Parse() {
    std::string_view key;
    if (!reader_.EnterObject()) return Malformed();
    while (reader_.NextMember(&key)) MEZZO_TRY_VOID(ReadMember(std::string(key)));
    if (reader_.failed() || !reader_.Finish()) return Malformed();
    return config_;
  }

 private:
  static constexpr std::size_t kMaxDepth = 32;

  Error Malformed() { return Unsupported(reader_.error().message()); }

  Result<void> ReadMember(const std::string& key) {
    if (key == "do_lower_case" || key == "strip_accents" || key == "tokenize_chinese_chars")
      return ReadSwitch(key);
    if (key == "model_max_length") return ReadLength();
    if (key == "tokenizer_class") return ReadClass();
    if (key == "cls_token") return ReadName(&config_.names.first);
    if (key == "sep_token") return ReadName(&config_.names.last);
    if (key == "unk_token") return ReadName(&config_.names.unknown);
    if (key == "pad_token") return ReadName(&config_.names.padding);
    return Skip();
  }

  Result<void> Skip() {
    if (!reader_.Skip()) return Malformed();
    return {};
  }

  Result<void> ReadSwitch(const std::string& key) {
    bool on = true;
    if (reader_.Peek() != JsonKind::kBool) return Skip();
    if (!reader_.ReadBool(&on)) return Malformed();
    if (!on) return Unsupported("'" + key + "' is false; only the uncased tokenizer of BERT is there");
    return {};
  }

  Result<void> ReadLength() {
    // "No limit" is written as a number of 31 digits.
    constexpr std::uint64_t kLongest = 1'000'000;
    JsonNumber number;
    if (reader_.Peek() != JsonKind::kNumber) return Skip();
    if (!reader_.ReadNumber(&number)) return Malformed();
    constexpr std::uint64_t kShortest = 3;
    if (number.integer && !number.negative && number.magnitude >= kShortest && number.magnitude <= kLongest) {
      config_.max_tokens = number.magnitude;
    }
    return {};
  }

  Result<void> ReadClass() {
    constexpr std::string_view kKnown[] = {"BertTokenizer", "DistilBertTokenizer", "ElectraTokenizer"};
    std::string_view name;
    if (reader_.Peek() != JsonKind::kString) return Skip();
    if (!reader_.ReadString(&name)) return Malformed();
    std::string_view plain = name;
    if (plain.ends_with("Fast")) plain.remove_suffix(std::string_view("Fast").size());
    if (std::find(std::begin(kKnown), std::end(kKnown), plain) != std::end(kKnown)) return {};
    return Unsupported("'tokenizer_class' is '" + Printable(name) + "', not BertTokenizer or one like it");
  }

  /// A string, or an object whose "content" is one.
  Result<void> ReadName(std::string* name) {
    std::string_view text;
    if (reader_.Peek() == JsonKind::kString) {
      if (!reader_.ReadString(&text)) return Malformed();
      *name = text;
      return {};
    }
    if (reader_.Peek() != JsonKind::kObject) return Skip();
    std::string_view key;
    if (!reader_.EnterObject()) return Malformed();
    while (reader_.NextMember(&key)) {
      if (key == "content" && reader_.Peek() == JsonKind::kString) {
        if (!reader_.ReadString(&text)) return Malformed();
        *name = text;
      } else {
        MEZZO_TRY_VOID(Skip());
      }
    }
    if (reader_.failed()) return Malformed();
    return {};
  }

  JsonReader reader_;
  TokenizerConfig config_;
};

Result<TokenizerConfig> ReadConfig(const std::string& folder) {
  constexpr std::size_t kMaxBytes = std::size_t{4} << 20;
  auto text = models::ReadFileBelow(folder, kConfigFile, kMaxBytes);
  if (text.ok()) return ConfigParser(*text).Parse();
  if (text.error().code() == Code::kNotFound) return TokenizerConfig();
  return Unsupported(text.error().message());
}

}  // namespace

Result<std::shared_ptr<const EmbeddingTokenizer>> ReadTokenizer(const std::string& folder,
                                                                const std::string& file) {
  const auto vocabulary = models::ReadFileBelow(folder, file, text::WordPiece::kMaxVocabularyBytes);
  if (!vocabulary.ok()) {
    return FailedPrecondition("tokenizer_missing",
                              "its vocabulary can't be read: " + vocabulary.error().message());
  }
  MEZZO_TRY(const TokenizerConfig config, ReadConfig(folder));
  auto pieces = text::WordPiece::Parse(*vocabulary, config.names);
  if (!pieces.ok()) {
    return FailedPrecondition("tokenizer_unsupported",
                              "'" + Printable(file) + "': " + pieces.error().message());
  }
  EmbeddingTokenizer made{.pieces = std::move(*pieces), .max_tokens = config.max_tokens};
  return TokenizerRef(std::make_shared<const EmbeddingTokenizer>(std::move(made)));
}

/// One read and those who wait for it.
class FolderTokenizers::Flight {
 public:
  void Land(Result<TokenizerRef> result) EXCLUDES(mu_) {
    std::vector<Waiter> waiters;
    {
      MutexLock lock(mu_);
      result_.emplace(std::move(result));
      waiters.swap(waiters_);
    }
    for (const Waiter& waiter : waiters) {
      if (waiter.home != nullptr) {
        waiter.home->PostResume(waiter.handle);
      } else {
        waiter.handle.resume();
      }
    }
  }

  /// Awaits Land().
  auto Landed() {
    struct Awaiter {
      Flight& flight;
      [[nodiscard]] bool await_ready() const noexcept { return false; }
      bool await_suspend(std::coroutine_handle<> handle) const { return flight.Wait(handle); }
      Result<TokenizerRef> await_resume() const { return flight.result(); }
    };
    return Awaiter{*this};
  }

 private:
  struct Waiter {
    std::coroutine_handle<> handle;
    runtime::Loop* home = nullptr;
  };

  bool Wait(std::coroutine_handle<> handle) EXCLUDES(mu_) {
    MutexLock lock(mu_);
    if (result_.has_value()) return false;
    waiters_.push_back({.handle = handle, .home = runtime::Loop::Current()});
    return true;
  }
  Result<TokenizerRef> result() EXCLUDES(mu_) {
    MutexLock lock(mu_);
    return *result_;
  }

  Mutex mu_;
  std::optional<Result<TokenizerRef>> result_ GUARDED_BY(mu_);
  std::vector<Waiter> waiters_ GUARDED_BY(mu_);
};

FolderTokenizers::FolderTokenizers(runtime::BlockingPool& pool) : pool_(pool) {}
FolderTokenizers::~FolderTokenizers() = default;

runtime::Task<Result<TokenizerRef>> FolderTokenizers::For(runtime::Context /*ctx*/,
                                                          models::VersionRef version, std::string file) {
  auto [flight, leads] = Join(version);
  if (!leads) co_return co_await flight->Landed();
  auto read = [&version, &file]() -> Result<TokenizerRef> {
    auto tokenizer = ReadTokenizer(version->folder, file);
    if (tokenizer.ok()) return tokenizer;
    return std::move(tokenizer).error().WithContext("the tokenizer of model '" + version->name.str() +
                                                    "' version " + version->version_text);
  };
  Result<TokenizerRef> tokenizer = co_await runtime::Offload(pool_, std::move(read));
  if (!tokenizer.ok()) Forget(version.get());
  flight->Land(tokenizer);
  co_return tokenizer;
}

std::pair<std::shared_ptr<FolderTokenizers::Flight>, bool> FolderTokenizers::Join(
    const models::VersionRef& version) {
  MutexLock lock(mu_);
  const auto found = entries_.find(version.get());
  // Another version may have lived at this address.
  if (found != entries_.end() && !found->second.version.expired()) return {found->second.flight, false};
  std::erase_if(entries_, [](const auto& entry) { return entry.second.version.expired(); });
  auto flight = std::make_shared<Flight>();
  entries_.insert_or_assign(version.get(), Entry{.version = version, .flight = flight});
  return {std::move(flight), true};
}

void FolderTokenizers::Forget(const models::ModelVersion* version) {
  MutexLock lock(mu_);
  entries_.erase(version);
}

}  // namespace mezzo::api::openai
