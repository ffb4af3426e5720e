#pragma once

#include "mezzo/storage/testing/blob_content_suite.h"
#include "mezzo/storage/testing/blob_keys_suite.h"
#include "mezzo/storage/testing/blob_retention_suite.h"

/// What every BlobStore must do. A driver's test instantiates it, in namespace mezzo::storage::testing, with
/// a harness:
///
///     struct MyHarness {
///       BlobStore& store();
///       std::string Fetch(const std::string& url);  // What a client gets for a signed URL; "" when refused.
///     };
///     MEZZO_BLOB_STORE_SUITE(My, MyHarness)
#define MEZZO_BLOB_STORE_SUITE(prefix, harness)                      \
  INSTANTIATE_TYPED_TEST_SUITE_P(prefix, BlobContentSuite, harness); \
  INSTANTIATE_TYPED_TEST_SUITE_P(prefix, BlobKeySuite, harness);     \
  INSTANTIATE_TYPED_TEST_SUITE_P(prefix, BlobRetentionSuite, harness)
