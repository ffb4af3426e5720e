#pragma once

#include "mezzo/base/result.h"
#include "mezzo/jobs/job.h"

namespace mezzo::jobs {

/// What a caller gives as `webhook.url` and `webhook.secret`: an http or https URL of at most 2048 bytes, and
/// a secret that WebhookSigner takes, or none. Whether the address may be reached is checked when it is
/// called, and whether the tenant has secrets when the job is submitted. Fails with kInvalidArgument
/// "job_request" or "webhook_secret_invalid".
Result<void> CheckWebhookTarget(const WebhookTarget& target);

}  // namespace mezzo::jobs
