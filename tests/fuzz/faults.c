/* Makes the nth call of libc below a folder fail; loaded with LD_PRELOAD by tests.fuzz.faults. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static char folder[PATH_MAX];
static atomic_long calls, failed;
static long first;
static int number, lasting;
static atomic_int armed;

/* From now on, the nth call fails with an error number; if `last` is set, all later ones that need
   space fail as well. */
void fault_arm(const char *path, long n, int error_number, int last) {
  strncpy(folder, path, sizeof folder - 1);
  first = n, number = error_number, lasting = last;
  calls = failed = 0;
  armed = 1;
}

void fault_disarm(void) { armed = 0; }
long fault_calls(void) { return calls; }
long fault_failed(void) { return failed; }

static int fails(int is_below, int needs_space) {
  if (!is_below) return 0;
  long call = ++calls;
  if (call != first && !(lasting && needs_space && call > first)) return 0;
  ++failed;
  errno = number;
  return 1;
}

static int is_below_path(int directory, const char *path) {
  char whole[PATH_MAX * 2] = "";
  if (!armed || !path) return 0;
  if (path[0] != '/') {
    char link[64];
    if (directory == AT_FDCWD) {
      if (!getcwd(whole, PATH_MAX)) return 0;
    } else {
      snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
      ssize_t size = readlink(link, whole, PATH_MAX - 1);
      if (size < 0) return 0;
      whole[size] = 0;
    }
    strcat(whole, "/");
  }
  strncat(whole, path, PATH_MAX - 1);
  return strncmp(whole, folder, strlen(folder)) == 0;
}

static int is_below_file(int file) {
  char link[64], path[PATH_MAX];
  if (!armed) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  ssize_t size = readlink(link, path, sizeof path - 1);
  if (size < 0) return 0;
  path[size] = 0;
  return strncmp(path, folder, strlen(folder)) == 0;
}

#define REAL(name) ((typeof(&name))dlsym(RTLD_NEXT, #name))

#define OPEN(name)                                                              \
  int name(const char *path, int flags, ...) {                                  \
    va_list more;                                                               \
    va_start(more, flags);                                                      \
    mode_t mode = va_arg(more, mode_t);                                         \
    va_end(more);                                                               \
    if (fails(is_below_path(AT_FDCWD, path), flags & O_CREAT)) return -1;        \
    return REAL(name)(path, flags, mode);                                       \
  }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                            \
  int name(int directory, const char *path, int flags, ...) {                   \
    va_list more;                                                               \
    va_start(more, flags);                                                      \
    mode_t mode = va_arg(more, mode_t);                                         \
    va_end(more);                                                               \
    if (fails(is_below_path(directory, path), flags & O_CREAT)) return -1;       \
    return REAL(name)(directory, path, flags, mode);                            \
  }
OPENAT(openat)
OPENAT(openat64)

#define FOPEN(name)                                                             \
  FILE *name(const char *path, const char *mode) {                              \
    if (fails(is_below_path(AT_FDCWD, path), mode[0] != 'r')) return NULL;       \
    return REAL(name)(path, mode);                                              \
  }
FOPEN(fopen)
FOPEN(fopen64)

ssize_t write(int file, const void *data, size_t size) {
  return fails(is_below_file(file), 1) ? -1 : REAL(write)(file, data, size);
}
ssize_t writev(int file, const struct iovec *parts, int count) {
  return fails(is_below_file(file), 1) ? -1 : REAL(writev)(file, parts, count);
}
ssize_t pwrite(int file, const void *data, size_t size, off_t offset) {
  return fails(is_below_file(file), 1) ? -1 : REAL(pwrite)(file, data, size, offset);
}
ssize_t pwrite64(int file, const void *data, size_t size, off64_t offset) {
  return fails(is_below_file(file), 1) ? -1 : REAL(pwrite64)(file, data, size, offset);
}
int fsync(int file) { return fails(is_below_file(file), 1) ? -1 : REAL(fsync)(file); }
int fdatasync(int file) { return fails(is_below_file(file), 1) ? -1 : REAL(fdatasync)(file); }
int ftruncate(int file, off_t size) {
  return fails(is_below_file(file), 0) ? -1 : REAL(ftruncate)(file, size);
}
int ftruncate64(int file, off64_t size) {
  return fails(is_below_file(file), 0) ? -1 : REAL(ftruncate64)(file, size);
}
int rename(const char *from, const char *to) {
  return fails(is_below_path(AT_FDCWD, to), 0) ? -1 : REAL(rename)(from, to);
}
int renameat(int a, const char *from, int b, const char *to) {
  return fails(is_below_path(b, to), 0) ? -1 : REAL(renameat)(a, from, b, to);
}
int renameat2(int a, const char *from, int b, const char *to, unsigned flags) {
  return fails(is_below_path(b, to), 0) ? -1 : REAL(renameat2)(a, from, b, to, flags);
}
int mkdir(const char *path, mode_t mode) {
  return fails(is_below_path(AT_FDCWD, path), 1) ? -1 : REAL(mkdir)(path, mode);
}
int mkdirat(int directory, const char *path, mode_t mode) {
  return fails(is_below_path(directory, path), 1) ? -1 : REAL(mkdirat)(directory, path, mode);
}
int unlink(const char *path) {
  return fails(is_below_path(AT_FDCWD, path), 0) ? -1 : REAL(unlink)(path);
}
int unlinkat(int directory, const char *path, int flags) {
  return fails(is_below_path(directory, path), 0) ? -1 : REAL(unlinkat)(directory, path, flags);
}
int rmdir(const char *path) {
  return fails(is_below_path(AT_FDCWD, path), 0) ? -1 : REAL(rmdir)(path);
}
