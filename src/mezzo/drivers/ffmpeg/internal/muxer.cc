#include "mezzo/drivers/ffmpeg/internal/muxer.h"

#include <cstring>
#include <utility>

#include "mezzo/base/check.h"
#include "mezzo/drivers/ffmpeg/internal/text_track.h"

namespace mezzo::drivers::internal {
namespace {

constexpr int kIoBuffer = 64 << 10;
constexpr AVRational kMilliseconds = {1, 1000};

bool IsMp4(media::VideoFormat format) { return format != media::VideoFormat::kWebmVp9; }

std::int64_t Milliseconds(Duration duration) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
}

/// ISO 639-2, as containers want it.
const char* LanguageCode(media::Language language) {
  return language == media::Language::kChinese ? "chi" : "eng";
}

}  // namespace

/// One place in the file; writing and re-reading (to move the index) have one each.
struct Muxer::Cursor {
  TempFile& file;
  std::uint64_t at = 0;
};

int Muxer::ReadAt(void* cursor, std::uint8_t* data, int size) {
  auto& c = *static_cast<Cursor*>(cursor);
  const std::int64_t n = c.file.Read(data, static_cast<std::size_t>(size), c.at);
  if (n == 0) return AVERROR_EOF;
  if (n > 0) c.at += static_cast<std::uint64_t>(n);
  return static_cast<int>(n);  // A negative errno is what the library expects.
}

int Muxer::WriteAt(void* cursor, std::uint8_t* data, int size) {
  auto& c = *static_cast<Cursor*>(cursor);
  const int code = c.file.Write(data, static_cast<std::size_t>(size), c.at);
  if (code < 0) return code;
  c.at += static_cast<std::uint64_t>(size);
  return size;
}

std::int64_t Muxer::Seek(void* cursor, std::int64_t offset, int whence) {
  auto& c = *static_cast<Cursor*>(cursor);
  const auto size = static_cast<std::int64_t>(c.file.size());
  if (whence == AVSEEK_SIZE) return size;
  std::int64_t base = 0;
  if (whence == SEEK_CUR) base = static_cast<std::int64_t>(c.at);
  if (whence == SEEK_END) base = size;
  if (base + offset < 0) return AVERROR(EINVAL);
  c.at = static_cast<std::uint64_t>(base + offset);
  return base + offset;
}

AVIOContext* Muxer::NewIo(TempFile& file, bool writable) {
  auto cursor = std::make_unique<Cursor>(Cursor{file});
  auto* buffer = static_cast<std::uint8_t*>(av_malloc(kIoBuffer));
  MEZZO_CHECK(buffer != nullptr);
  AVIOContext* io = avio_alloc_context(buffer, kIoBuffer, writable ? 1 : 0, cursor.get(), &ReadAt,
                                       writable ? &WriteAt : nullptr, &Seek);
  MEZZO_CHECK(io != nullptr);
  (void)cursor.release();  // FreeIo() has it now.
  return io;
}

void Muxer::FreeIo(AVIOContext* io) {
  delete static_cast<Cursor*>(io->opaque);
  av_freep(&io->buffer);
  avio_context_free(&io);
}

int Muxer::OpenForReading(AVFormatContext* context, AVIOContext** io, const char* /*url*/, int flags,
                          AVDictionary** /*options*/) {
  if ((flags & AVIO_FLAG_WRITE) != 0) return AVERROR(EACCES);
  *io = NewIo(static_cast<Muxer*>(context->opaque)->file_, false);
  return 0;
}

int Muxer::CloseReading(AVFormatContext* /*context*/, AVIOContext* io) {
  FreeIo(io);
  return 0;
}

Muxer::Muxer(media::VideoFormat format, TempFile file)
    : format_(format), file_(std::move(file)), text_packet_(av_packet_alloc()) {}

Muxer::~Muxer() {
  if (context_ == nullptr) return;
  if (context_->pb != nullptr) FreeIo(std::exchange(context_->pb, nullptr));
  avformat_free_context(context_);
}

Result<std::unique_ptr<Muxer>> Muxer::Open(media::VideoFormat format, TempFile file) {
  std::unique_ptr<Muxer> muxer(new Muxer(format, std::move(file)));
  const int code =
      avformat_alloc_output_context2(&muxer->context_, nullptr, IsMp4(format) ? "mp4" : "webm", nullptr);
  if (code < 0) return EncoderFailure("opening the container", code);
  AVFormatContext& context = *muxer->context_;
  context.opaque = muxer.get();
  context.io_open = &OpenForReading;
  context.io_close2 = &CloseReading;
  context.flags |= AVFMT_FLAG_BITEXACT;  // Same input, same file: no version, no date.
  // Text streams are silent for long; nothing waits for them.
  context.max_interleave_delta = AV_TIME_BASE;
  // Opus begins before zero by its delay, which WebM takes off again: moving all streams for it would put
  // every cue and picture 7 ms late.
  if (!IsMp4(format)) context.avoid_negative_ts = AVFMT_AVOID_NEG_TS_DISABLED;
  context.pb = NewIo(muxer->file_, true);
  return muxer;
}

Result<int> Muxer::AddEncoded(const AVCodecContext& codec) {
  AVStream* stream = avformat_new_stream(context_, nullptr);
  MEZZO_CHECK(stream != nullptr);
  stream->time_base = codec.time_base;
  stream->avg_frame_rate = codec.framerate;
  const int code = avcodec_parameters_from_context(stream->codecpar, &codec);
  if (code < 0) return EncoderFailure("describing a stream", code);
  if (codec.codec_id == AV_CODEC_ID_HEVC) stream->codecpar->codec_tag = MKTAG('h', 'v', 'c', '1');
  return stream->index;
}

Result<int> Muxer::AddText(media::Language language, media::FrameSize frame) {
  AVStream* stream = avformat_new_stream(context_, nullptr);
  MEZZO_CHECK(stream != nullptr);
  AVCodecParameters& parameters = *stream->codecpar;
  stream->time_base = kMilliseconds;
  parameters.codec_type = AVMEDIA_TYPE_SUBTITLE;
  parameters.codec_id = IsMp4(format_) ? AV_CODEC_ID_MOV_TEXT : AV_CODEC_ID_WEBVTT;
  av_dict_set(&stream->metadata, "language", LanguageCode(language), 0);
  if (IsMp4(format_)) {
    const std::string description = TimedTextDescription(frame);
    parameters.width = frame.width;
    parameters.height = frame.height;
    parameters.extradata =
        static_cast<std::uint8_t*>(av_mallocz(description.size() + AV_INPUT_BUFFER_PADDING_SIZE));
    MEZZO_CHECK(parameters.extradata != nullptr);
    std::memcpy(parameters.extradata, description.data(), description.size());
    parameters.extradata_size = static_cast<int>(description.size());
  }
  return stream->index;
}

Result<void> Muxer::Begin() {
  AVDictionary* options = nullptr;
  if (IsMp4(format_)) {
    av_dict_set(&options, "movflags", "faststart", 0);
  } else {
    av_dict_set(&options, "cues_to_front", "1", 0);
  }
  const int code = avformat_write_header(context_, &options);
  av_dict_free(&options);
  if (code < 0) return EncoderFailure("beginning the container", code);
  return {};
}

Result<void> Muxer::Write(int stream, AVPacket& packet, AVRational time_base) {
  packet.stream_index = stream;
  av_packet_rescale_ts(&packet, time_base, context_->streams[stream]->time_base);
  const int code = av_interleaved_write_frame(context_, &packet);
  if (code < 0) return EncoderFailure("writing the container", code);
  return {};
}

Result<void> Muxer::WriteCue(int stream, const media::Cue& cue) {
  const std::string sample = IsMp4(format_) ? TimedTextSample(cue.text) : media::EscapeWebVtt(cue.text);
  const int code = av_new_packet(text_packet_.get(), static_cast<int>(sample.size()));
  if (code < 0) return EncoderFailure("making a subtitle", code);
  std::memcpy(text_packet_->data, sample.data(), sample.size());
  text_packet_->pts = text_packet_->dts = Milliseconds(cue.span.start);
  text_packet_->duration = Milliseconds(cue.span.end) - text_packet_->pts;
  text_packet_->flags |= AV_PKT_FLAG_KEY;
  return Write(stream, *text_packet_, kMilliseconds);
}

Result<void> Muxer::End() {
  int code = av_write_trailer(context_);
  if (code >= 0) {
    avio_flush(context_->pb);
    code = context_->pb->error;
  }
  if (code < 0) return EncoderFailure("ending the container", code);
  return {};
}

}  // namespace mezzo::drivers::internal
