// For LD_PRELOAD: writes down, in one journal (JOURNAL) and in their true order over all threads, every write, truncation and flush of
// files below a folder (RECORDED). From it a test makes the files as a disk would have them after a power cut at any moment.
//
// A record: kind ('W', 'T' or 'S'), the lengths of the path and of the data, the offset (-1: at the end); then the path, then the data.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <limits.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

struct header {
  uint32_t kind, path_bytes;
  uint64_t data_bytes;
  int64_t offset;
};

static int journal = -1;

__attribute__((constructor)) static void open_journal(void) {
  const char *path = getenv("JOURNAL");
  if (path) journal = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

// One writev: records of several threads do not mix in a file that is only appended to.
static void record(char kind, int fd, int64_t offset, const void *data, size_t bytes) {
  const char *folder = getenv("RECORDED");
  char link[32], path[PATH_MAX];
  if (journal < 0 || !folder) return;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path);
  if (length < 0 || strncmp(path, folder, strlen(folder)) != 0) return;
  struct header header = {(uint32_t)kind, (uint32_t)length, bytes, offset};
  struct iovec parts[] = {{&header, sizeof header}, {path, (size_t)length}, {(void *)data, bytes}};
  if (writev(journal, parts, 3) != (ssize_t)(sizeof header + length + bytes)) abort();
}

typedef ssize_t write_type(int, const void *, size_t);
typedef ssize_t pwrite_type(int, const void *, size_t, off64_t);
typedef int truncate_type(int, off64_t);
typedef int sync_type(int);
#define REAL(type, name) static type *real; if (!real) real = (type *)dlsym(RTLD_NEXT, name)

ssize_t write(int fd, const void *data, size_t bytes) {
  REAL(write_type, "write");
  ssize_t written = real(fd, data, bytes);
  if (written > 0) record('W', fd, -1, data, (size_t)written);
  return written;
}

ssize_t pwrite64(int fd, const void *data, size_t bytes, off64_t offset) {
  REAL(pwrite_type, "pwrite64");
  ssize_t written = real(fd, data, bytes, offset);
  if (written > 0) record('W', fd, offset, data, (size_t)written);
  return written;
}

ssize_t pwrite(int fd, const void *data, size_t bytes, off_t offset) { return pwrite64(fd, data, bytes, offset); }

int ftruncate64(int fd, off64_t length) {
  REAL(truncate_type, "ftruncate64");
  int result = real(fd, length);
  if (result == 0) record('T', fd, length, NULL, 0);
  return result;
}

int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }

static int synced(int fd, int result) {
  if (result == 0) record('S', fd, 0, NULL, 0);
  return result;
}

int fsync(int fd) {
  REAL(sync_type, "fsync");
  return synced(fd, real(fd));
}

int fdatasync(int fd) {
  REAL(sync_type, "fdatasync");
  return synced(fd, real(fd));
}
