#pragma once

extern "C" {
#include <libavfilter/avfilter.h>
#include <libavfilter/buffersink.h>
#include <libavfilter/buffersrc.h>
}

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <span>

#include <gtest/gtest.h>

#include "mezzo/drivers/ffmpeg/internal/av.h"
#include "mezzo/media/audio.h"

namespace mezzo::drivers::testing {

/// The integrated loudness of `sound` as FFmpeg's own meter, the filter ebur128, sees it. In LUFS, to 0.1.
inline double FfmpegLoudness(std::span<const float> sound) {
  AVFilterGraph* graph = avfilter_graph_alloc();
  AVFilterContext* source = nullptr;
  AVFilterContext* meter = nullptr;
  AVFilterContext* sink = nullptr;
  EXPECT_GE(avfilter_graph_create_filter(
                &source, avfilter_get_by_name("abuffer"), "in",
                "sample_rate=48000:sample_fmt=flt:channel_layout=stereo:time_base=1/48000", nullptr, graph),
            0);
  EXPECT_GE(avfilter_graph_create_filter(&meter, avfilter_get_by_name("ebur128"), "meter", "metadata=1",
                                         nullptr, graph),
            0);
  EXPECT_GE(avfilter_graph_create_filter(&sink, avfilter_get_by_name("abuffersink"), "out", nullptr, nullptr,
                                         graph),
            0);
  EXPECT_GE(avfilter_link(source, 0, meter, 0), 0);
  EXPECT_GE(avfilter_link(meter, 0, sink, 0), 0);
  EXPECT_GE(avfilter_graph_config(graph, nullptr), 0);

  double loudness = -std::numeric_limits<double>::infinity();
  const auto drain = [&loudness, sink] {
    internal::AvFramePtr out(av_frame_alloc());
    while (av_buffersink_get_frame(sink, out.get()) >= 0) {
      const AVDictionaryEntry* value = av_dict_get(out->metadata, "lavfi.r128.I", nullptr, 0);
      if (value != nullptr) loudness = std::atof(value->value);
      av_frame_unref(out.get());
    }
  };
  constexpr std::size_t kPiece = 4800;
  for (std::size_t at = 0; at < sound.size(); at += kPiece * media::kChannels) {
    const std::size_t count = std::min(kPiece * media::kChannels, sound.size() - at);
    internal::AvFramePtr frame(av_frame_alloc());
    frame->format = AV_SAMPLE_FMT_FLT;
    frame->sample_rate = media::kSampleRate;
    frame->nb_samples = static_cast<int>(count / media::kChannels);
    frame->pts = static_cast<std::int64_t>(at / media::kChannels);
    av_channel_layout_default(&frame->ch_layout, 2);
    EXPECT_GE(av_frame_get_buffer(frame.get(), 0), 0);
    std::memcpy(frame->data[0], sound.data() + at, count * sizeof(float));
    EXPECT_GE(av_buffersrc_add_frame(source, frame.get()), 0);
    drain();
  }
  avfilter_graph_free(&graph);
  return loudness;
}

}  // namespace mezzo::drivers::testing
