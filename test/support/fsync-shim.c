// For LD_PRELOAD: a disk that is slow or fails, told by files in the folder named by FSYNC_SHIM. While `slow` is there, each fsync and
// fdatasync takes half a second; where `fail` is there, the next one takes it away and fails with EIO.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char *told(const char *name) {
  static __thread char path[PATH_MAX];
  snprintf(path, sizeof path, "%s/%s", getenv("FSYNC_SHIM"), name);
  return path;
}

static int sync_with(const char *name, int fd) {
  if (access(told("slow"), F_OK) == 0) usleep(500 * 1000);
  if (unlink(told("fail")) == 0) {
    errno = EIO;
    return -1;
  }
  int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
  return real(fd);
}

int fsync(int fd) { return sync_with("fsync", fd); }
int fdatasync(int fd) { return sync_with("fdatasync", fd); }
