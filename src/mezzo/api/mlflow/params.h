#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "mezzo/base/result.h"
#include "mezzo/lifecycle/registry.h"
#include "mezzo/net/http_types.h"

namespace mezzo::api::mlflow {

/// What a call of MLflow brings: the query of a GET, else a JSON object. Members that are not known are
/// passed over, as MLflow does: newer clients send more. Failures are kInvalidArgument "mlflow_member",
/// naming the member and what it must be.
class Params {
 public:
  static Result<Params> Of(const net::HttpRequest& request);
  static Result<Params> OfJson(std::string_view text);

  /// A member that is absent, null or empty is missing.
  [[nodiscard]] Result<std::string> Text(const std::string& name) const;
  [[nodiscard]] Result<std::optional<std::string>> MaybeText(const std::string& name) const;
  /// Nothing: "".
  [[nodiscard]] Result<std::string> TextOr(const std::string& name, std::string usual) const;
  /// A whole number, or its digits as a text; not below zero.
  [[nodiscard]] Result<std::optional<std::int64_t>> Number(const std::string& name) const;
  [[nodiscard]] Result<bool> Flag(const std::string& name) const;
  /// A list of at most `most`, or one text.
  [[nodiscard]] Result<std::vector<std::string>> Texts(const std::string& name, std::size_t most = 200) const;
  /// [{"key", "value"}]; a key twice is an error.
  [[nodiscard]] Result<lifecycle::Tags> Tags(const std::string& name) const;
  /// A list of objects, `most` at most.
  [[nodiscard]] Result<std::vector<Params>> Objects(const std::string& name, std::size_t most) const;
  [[nodiscard]] Result<std::optional<Params>> MaybeObject(const std::string& name) const;
  /// A number, or "NaN", "Infinity", "-Infinity", as protobuf's JSON has them.
  [[nodiscard]] Result<double> Real(const std::string& name) const;
  /// The object itself.
  [[nodiscard]] const nlohmann::json& json() const { return object_; }

 private:
  explicit Params(nlohmann::json object) : object_(std::move(object)) {}
  [[nodiscard]] const nlohmann::json* Find(const std::string& name) const;

  nlohmann::json object_;
};

/// The number of an experiment, which MLflow writes as a text. kInvalidArgument "mlflow_member".
Result<std::int64_t> ParseExperimentId(const std::string& text);

}  // namespace mezzo::api::mlflow
