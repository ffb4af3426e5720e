#include "mezzo/runtime/context.h"

namespace mezzo::runtime {

void CancelState::Cancel() {
  mu_.Lock();
  cancelled_.store(true, std::memory_order_release);
  while (head_ != nullptr) {
    CancelRegistration* current = head_;
    head_ = current->next_;
    if (head_ != nullptr) head_->previous_ = nullptr;
    current->linked_ = false;
    running_ = current;
    mu_.Unlock();
    current->callback_();
    mu_.Lock();
    running_ = nullptr;
    finished_.NotifyAll();
  }
  mu_.Unlock();
}

CancelRegistration::CancelRegistration(CancelState& state, Callback callback)
    : state_(state), callback_(std::move(callback)) {
  {
    MutexLock lock(state_.mu_);
    if (!state_.cancelled()) {
      next_ = state_.head_;
      if (next_ != nullptr) next_->previous_ = this;
      state_.head_ = this;
      linked_ = true;
      return;
    }
  }
  callback_();
}

CancelRegistration::~CancelRegistration() {
  MutexLock lock(state_.mu_);
  if (linked_) {
    (previous_ != nullptr ? previous_->next_ : state_.head_) = next_;
    if (next_ != nullptr) next_->previous_ = previous_;
  }
  while (state_.running_ == this) state_.finished_.Wait(state_.mu_);
}

}  // namespace mezzo::runtime
