// A server of OpenAI's pictures and videos whose jobs make texts that say what they were made from: what the
// official client sees of the protocol does not hang on a model. Prints its port; ends with its standard
// input.

#include <unistd.h>

#include <array>
#include <cstdio>

#include "fake_media.h"
#include "queue_server.h"

#include "mezzo/api/openai/images_handler.h"
#include "mezzo/api/openai/videos_handler.h"
#include "mezzo/api/platform/artifacts_handler.h"
#include "mezzo/api/platform/job_artifacts.h"
#include "mezzo/api/platform/jobs_handler.h"

namespace mezzo::api::openai {
namespace {

void Serve() {
  QueueServer queue;
  FakePainter painter(queue.artifacts(), queue.clock());
  FakeFilmer filmer(queue.artifacts(), queue.clock());
  queue.Run({{"image", &painter}, {"storyboard", &filmer}});
  BlobServer blobs({}, {.store = queue.artifacts(),
                        .pool = queue.pool(),
                        .clock = queue.clock(),
                        .registry = queue.registry()});
  cache::SignedUrls urls(queue.artifacts(), nullptr, queue.clock());
  const platform::JobArtifacts list(
      {}, {.store = queue.artifacts(), .urls = urls, .pool = queue.pool(), .clock = queue.clock()});
  ImagesHandler images({}, {.media = queue.media()});
  VideosHandler videos({}, {.media = queue.media(), .blobs = blobs});
  platform::JobsHandler jobs({},
                             {.service = queue.media().jobs(), .clock = queue.clock(), .artifacts = &list});
  platform::ArtifactsHandler artifacts({.blobs = blobs, .signer = queue.signer(), .clock = queue.clock()});
  queue.Serve({{.protocol = &images, .prefixes = {ImagesHandler::kRoot}},
               {.protocol = &videos, .prefixes = {VideosHandler::kRoot}},
               {.protocol = &artifacts, .prefixes = {platform::ArtifactsHandler::kRoot}},
               {.protocol = &jobs, .prefixes = {"/v1/jobs"}}});
  std::printf("%d\n", queue.port());
  std::fflush(stdout);
  std::array<char, 64> ignored{};
  while (::read(STDIN_FILENO, ignored.data(), ignored.size()) > 0) {
  }
  queue.Stop();
}

}  // namespace
}  // namespace mezzo::api::openai

int main() {
  mezzo::api::openai::Serve();
  return 0;
}
