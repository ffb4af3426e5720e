#include "mezzo/drivers/worker/internal/worker_package.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

// The file that the build has made of python/mezzo_worker.
__asm__(
    ".pushsection .rodata\n"
    ".global mezzo_worker_zip\n"
    ".global mezzo_worker_zip_end\n"
    "mezzo_worker_zip:\n"
    ".incbin \"" MEZZO_WORKER_ZIP
    "\"\n"
    "mezzo_worker_zip_end:\n"
    ".byte 0\n"
    ".popsection\n");

extern "C" const char mezzo_worker_zip[];
extern "C" const char mezzo_worker_zip_end[];

namespace mezzo::drivers {

Result<Fd> OpenWorkerPackage() {
  const auto failed = [] {
    return Unavailable("worker_start",
                       std::string("no memory file for the Python package: ") + std::strerror(errno));
  };
  Fd file(::memfd_create("mezzo-worker-package", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!file.ok()) return failed();
  const char* at = mezzo_worker_zip;
  while (at < mezzo_worker_zip_end) {
    const ssize_t written = ::write(file.get(), at, static_cast<std::size_t>(mezzo_worker_zip_end - at));
    if (written <= 0) return failed();
    at += written;
  }
  if (::fcntl(file.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) != 0) {
    return failed();
  }
  return file;
}

}  // namespace mezzo::drivers
