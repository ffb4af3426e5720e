#pragma once

namespace mezzo::app {

/// Gives memory that the allocator keeps for reuse back to the system. Takes milliseconds; for background
/// threads.
void ReturnFreeMemory();

}  // namespace mezzo::app
