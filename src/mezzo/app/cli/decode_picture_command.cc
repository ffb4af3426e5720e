#include "mezzo/app/cli/decode_picture_command.h"

#include "mezzo/drivers/ffmpeg/picture_child.h"

namespace mezzo::app::cli {

CLI::App* AddDecodePictureCommand(CLI::App& app, DecodePictureOptions& options) {
  CLI::App* command =
      app.add_subcommand("decode-picture", "Decodes a picture; the server runs this for itself");
  command->group("");  // Hidden.
  command->add_option("numbers", options.arguments, "Limits");
  return command;
}

int RunDecodePictureCommand(const DecodePictureOptions& options) {
  return drivers::RunPictureChild(options.arguments);
}

}  // namespace mezzo::app::cli
