#include "mezzo/app/memory.h"

#include <malloc.h>

namespace mezzo::app {

void ReturnFreeMemory() { ::malloc_trim(0); }

}  // namespace mezzo::app
