#include <iostream>
#include <iterator>
#include <string>

#include "mezzo/lifecycle/stage_child.h"

/// What `mezzo run-stage` is, for tests of this module.
int main() {
  const std::string text{std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>()};
  const auto task = mezzo::lifecycle::StageChildTask::FromJson(text);
  if (!task.ok()) return 2;
  return mezzo::lifecycle::RunStageChild(*task);
}
