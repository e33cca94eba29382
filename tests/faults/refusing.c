/* A disk that refuses: preloaded (LD_PRELOAD), it counts the calls that change files below REFUSING_BELOW, and lets the
   one of a given number fail, write half, or kill the process. Driven from Python by ctypes, see refusing.py. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum mode { ONCE, FOR_GOOD, HALF, KILL };

static int armed, number, error, mode, calls;

void refuse(int at, int with, int how) { armed = 1, number = at, error = with, mode = how, calls = 0; }
int calls_made(void) { armed = 0; return calls; }

static int below(const char *path) {
  const char *prefix = getenv("REFUSING_BELOW");
  return prefix && path && !strncmp(path, prefix, strlen(prefix));
}

static int handle_below(int handle) {
  char link[40], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", handle);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return below(path);
}

/* Whether this call is refused. Removing is never refused for good: a full disk still lets go. */
static int refused(int removes) {
  calls++;
  if (calls != number && !(mode == FOR_GOOD && number && calls > number && !removes)) return 0;
  if (mode == KILL) kill(getpid(), SIGKILL);
  errno = error;
  return 1;
}

#define REAL(name) __typeof__(name) *real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)
#define MODE(last) va_list rest; va_start(rest, last); mode_t bits = va_arg(rest, mode_t); va_end(rest)
#define CHANGES(flags) ((flags) & (O_CREAT | O_WRONLY | O_RDWR))

#define OPEN(name) int name(const char *path, int flags, ...) { REAL(name); MODE(flags); \
  return armed && CHANGES(flags) && below(path) && refused(0) ? -1 : real(path, flags, bits); }
#define OPENAT(name) int name(int at, const char *path, int flags, ...) { REAL(name); MODE(flags); \
  return armed && CHANGES(flags) && below(path) && refused(0) ? -1 : real(at, path, flags, bits); }
#define ON_HANDLE(name, declared, passed) declared { REAL(name); \
  return armed && handle_below(handle) && refused(0) ? -1 : real passed; }
#define ON_PATH(name, removes, declared, passed) declared { REAL(name); \
  return armed && below(path) && refused(removes) ? -1 : real passed; }

OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)
ON_HANDLE(fsync, int fsync(int handle), (handle))
ON_HANDLE(fdatasync, int fdatasync(int handle), (handle))
ON_HANDLE(ftruncate, int ftruncate(int handle, off_t size), (handle, size))
ON_HANDLE(ftruncate64, int ftruncate64(int handle, off64_t size), (handle, size))
ON_HANDLE(writev, ssize_t writev(int handle, const struct iovec *parts, int count), (handle, parts, count))
ON_HANDLE(pwrite, ssize_t pwrite(int handle, const void *from, size_t size, off_t at), (handle, from, size, at))
ON_HANDLE(pwrite64, ssize_t pwrite64(int handle, const void *from, size_t size, off64_t at), (handle, from, size, at))
ON_PATH(rename, 0, int rename(const char *path, const char *to), (path, to))
ON_PATH(renameat, 0, int renameat(int from, const char *path, int at, const char *to), (from, path, at, to))
ON_PATH(mkdir, 0, int mkdir(const char *path, mode_t bits), (path, bits))
ON_PATH(unlink, 1, int unlink(const char *path), (path))
ON_PATH(rmdir, 1, int rmdir(const char *path), (path))

int unlinkat(int at, const char *path, int flags) {
  REAL(unlinkat);
  return armed && (below(path) || handle_below(at)) && refused(1) ? -1 : real(at, path, flags);
}

ssize_t write(int handle, const void *from, size_t size) {
  REAL(write);
  if (!armed || !handle_below(handle) || !refused(0)) return real(handle, from, size);
  int kept = errno;
  if (mode == HALF) real(handle, from, size / 2);
  errno = kept;
  return -1;
}
