#pragma once

#include <string>

#include "mezzo/config/internal/node.h"
#include "mezzo/config/internal/problems.h"
#include "mezzo/config/internal/scalar.h"
#include "mezzo/config/load.h"
#include "mezzo/config/schema.h"

namespace mezzo::config::internal {

/// "serving" and "batching" make "serving.batching"; an empty parent makes the name alone.
std::string JoinPath(const std::string& parent, const std::string& name);
/// " in serving", or " at the top level".
std::string InSection(const std::string& path);
/// The names of a struct's fields.
std::vector<std::string> FieldNames(const ValueType& type);
/// The field called `name`, or null.
const FieldDescriptor* FindField(const ValueType& type, std::string_view name);

/// Writes a tree of nodes into a struct, adding every problem it finds to `problems`.
class Decoder {
 public:
  /// The references must outlive the decoder; `provenance` may be null.
  Decoder(const SecretSource& secrets, Problems& problems, Provenance* provenance)
      : secrets_(secrets), problems_(problems), provenance_(provenance) {}

  /// `type` is a struct's, `root` a mapping or null.
  void DecodeRoot(const ValueType& type, const Node& root, void* object);

 private:
  void Decode(const ValueType& type, const FieldDescriptor& field, const Node& node, void* object,
              const std::string& path);
  void DecodeStruct(const ValueType& type, const Node& node, void* object, const std::string& path);
  void DecodeList(const ValueType& type, const FieldDescriptor& field, const Node& node, void* object,
                  const std::string& path);
  void DecodeMap(const ValueType& type, const FieldDescriptor& field, const Node& node, void* object,
                 const std::string& path);
  void DecodeScalar(const ValueType& type, const FieldDescriptor& field, const Node& node, void* object,
                    const std::string& path);
  /// Required fields of a struct that is not given at all; `near` is what encloses it.
  void RequireAbsent(const FieldDescriptor& field, const Node& near, const std::string& path);
  void CheckItems(const FieldDescriptor& field, const Node& node, const std::string& path);
  void Record(const std::string& path, const Node& node);
  void AddInvalid(const Node& node, const std::string& path, const std::string& message);

  const SecretSource& secrets_;
  Problems& problems_;
  Provenance* provenance_;
};

}  // namespace mezzo::config::internal
