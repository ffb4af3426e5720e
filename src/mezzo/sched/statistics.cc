#include "mezzo/sched/statistics.h"

#include "mezzo/sched/work_item.h"

namespace mezzo::sched {

std::string_view ClassName(Class cls) {
  switch (cls) {
    case Class::kInteractive:
      return "interactive";
    case Class::kStandard:
      return "standard";
    case Class::kBulk:
      return "bulk";
  }
  return "unknown";
}

std::string_view RefusalName(Refusal refusal) {
  switch (refusal) {
    case Refusal::kQueueFull:
      return "queue_full";
    case Refusal::kDeadlineUnreachable:
      return "deadline_unreachable";
    case Refusal::kDeadlineExpired:
      return "deadline_expired";
    case Refusal::kBreakerOpen:
      return "breaker_open";
    case Refusal::kModelRemoved:
      return "model_removed";
    case Refusal::kBatchTooLarge:
      return "batch_too_large";
    case Refusal::kOverloaded:
      return "overloaded";
  }
  return "unknown";
}

}  // namespace mezzo::sched
