#include <string>
#include <vector>

#include "mezzo/drivers/ffmpeg/picture_child.h"

int main(int argc, char** argv) {
  return mezzo::drivers::RunPictureChild(std::vector<std::string>(argv + 1, argv + argc));
}
