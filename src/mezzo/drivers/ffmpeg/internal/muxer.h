#pragma once

#include <memory>
#include <string>
#include <vector>

#include "mezzo/drivers/ffmpeg/internal/av.h"
#include "mezzo/drivers/ffmpeg/internal/temp_file.h"
#include "mezzo/media/video_encoder.h"

namespace mezzo::drivers::internal {

/// One container file, written to a TempFile, its index moved to the front at the end. Not thread-safe.
/// Errors are kInternal "encoder_failed" and kResourceExhausted "disk_full".
class Muxer {
 public:
  /// MP4 or WebM, as `format` says.
  static Result<std::unique_ptr<Muxer>> Open(media::VideoFormat format, TempFile file);
  ~Muxer();
  Muxer(const Muxer&) = delete;
  Muxer& operator=(const Muxer&) = delete;

  /// Streams are added first. Each returns the stream's index.
  Result<int> AddEncoded(const AVCodecContext& codec);
  Result<int> AddText(media::Language language, media::FrameSize frame);
  /// Ends the adding. Encoders for MP4 need AV_CODEC_FLAG_GLOBAL_HEADER before.
  Result<void> Begin();

  /// Times of `packet` are in units of `time_base`; the packet is empty afterwards.
  Result<void> Write(int stream, AVPacket& packet, AVRational time_base);
  /// Shows `cue` on a text stream. In order of time, not overlapping.
  Result<void> WriteCue(int stream, const media::Cue& cue);
  /// Writes the index. Then only file() is left.
  Result<void> End();
  [[nodiscard]] const TempFile& file() const { return file_; }

 private:
  struct Cursor;
  Muxer(media::VideoFormat format, TempFile file);
  static int ReadAt(void* cursor, std::uint8_t* data, int size);
  static int WriteAt(void* cursor, std::uint8_t* data, int size);
  static std::int64_t Seek(void* cursor, std::int64_t offset, int whence);
  static int OpenForReading(AVFormatContext* context, AVIOContext** io, const char* url, int flags,
                            AVDictionary** options);
  static int CloseReading(AVFormatContext* context, AVIOContext* io);
  static AVIOContext* NewIo(TempFile& file, bool writable);
  static void FreeIo(AVIOContext* io);

  const media::VideoFormat format_;
  TempFile file_;
  AVFormatContext* context_ = nullptr;
  AvPacketPtr text_packet_;
};

}  // namespace mezzo::drivers::internal
