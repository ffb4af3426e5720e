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

/// Each handler below its root.
class Front final : public net::HttpHandler {
 public:
  struct Mount {
    std::string_view root;
    net::HttpHandler* handler;
  };
  explicit Front(std::vector<Mount> mounts) : mounts_(std::move(mounts)) {}
  [[nodiscard]] net::BodyPlan PlanBody(const net::HttpRequest& head) const override {
    if (net::HttpHandler* handler = Find(head.path())) return handler->PlanBody(head);
    net::BodyPlan plan;
    plan.refusal = std::make_unique<net::HttpResponse>(net::HttpResponse::ErrorJson(404, "Not Found"));
    return plan;
  }
  runtime::Task<net::HttpResponse> Handle(runtime::Context ctx, net::HttpRequest* request) override {
    return Find(request->path())->Handle(std::move(ctx), request);
  }

 private:
  [[nodiscard]] net::HttpHandler* Find(std::string_view path) const {
    for (const Mount& mount : mounts_) {
      if (path.starts_with(mount.root)) return mount.handler;
    }
    return nullptr;
  }
  const std::vector<Mount> mounts_;
};

void Serve() {
  QueueServer queue;
  FakePainter painter(queue.artifacts(), queue.clock());
  FakeFilmer filmer(queue.artifacts(), queue.clock());
  queue.Run({{"image", &painter}, {"storyboard", &filmer}});
  const tenancy::Directory directory = Anybody();
  BlobServer blobs({}, {.store = queue.artifacts(),
                        .pool = queue.pool(),
                        .clock = queue.clock(),
                        .registry = queue.registry()});
  const platform::JobArtifacts list(
      {}, {.store = queue.artifacts(), .pool = queue.pool(), .clock = queue.clock()});
  ImagesHandler images({}, {.media = queue.media(), .directory = directory});
  VideosHandler videos({}, {.media = queue.media(), .blobs = blobs, .directory = directory});
  platform::JobsHandler jobs(
      {},
      {.service = queue.media().jobs(), .directory = directory, .clock = queue.clock(), .artifacts = &list});
  platform::ArtifactsHandler artifacts({.blobs = blobs, .signer = queue.signer(), .clock = queue.clock()});
  Front front({{ImagesHandler::kRoot, &images},
               {VideosHandler::kRoot, &videos},
               {platform::ArtifactsHandler::kRoot, &artifacts},
               {"/v1/jobs", &jobs}});
  queue.Serve(front);
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
