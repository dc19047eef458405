// A preloaded library that lets one call of the system fail: REEL_FAIL="rename 3 EIO" is the third rename, "write 20+
// ENOSPC" the twentieth write and all after it. With REEL_COUNT=FILE, the numbers of calls are appended to a file in the
// end. Calls on the three standard streams are left alone. Built and used by run.sh.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

enum call { call_write, call_fsync, call_rename, call_open, call_mmap, calls };
static const char* const names[calls] = {"write", "fsync", "rename", "open", "mmap"};
static atomic_long counts[calls];
static int failing = -1;
static long number = 0;
static int from_then_on = 0;
static int reason = 0;

__attribute__((constructor)) static void begin(void) {
    const char* text = getenv("REEL_FAIL");
    char name[16];
    char code[16];
    char sign[2] = "";
    if (text != NULL && (sscanf(text, "%15s %ld%1[+] %15s", name, &number, sign, code) == 4 ||
                         sscanf(text, "%15s %ld %15s", name, &number, code) == 3)) {
        for (int i = 0; i < calls; ++i) {
            failing = strcmp(name, names[i]) == 0 ? i : failing;
        }
        from_then_on = sign[0] == '+';
        reason = strcmp(code, "EIO") == 0 ? EIO : strcmp(code, "EROFS") == 0 ? EROFS : ENOSPC;
    }
}

__attribute__((destructor)) static void end(void) {
    const char* path = getenv("REEL_COUNT");
    FILE* file = path == NULL ? NULL : fopen(path, "a");
    for (int i = 0; file != NULL && i < calls; ++i) {
        fprintf(file, "%s %ld\n", names[i], atomic_load(&counts[i]));
    }
    if (file != NULL) {
        fclose(file);
    }
}

static int fails(enum call call) {
    const long now = atomic_fetch_add(&counts[call], 1) + 1;
    if ((int)call == failing && (now == number || (from_then_on && now > number))) {
        errno = reason;
        return 1;
    }
    return 0;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int file, const void* bytes, size_t size) {
    return file > 2 && fails(call_write) ? -1 : REAL(write)(file, bytes, size);
}
ssize_t writev(int file, const struct iovec* parts, int count) {
    return file > 2 && fails(call_write) ? -1 : REAL(writev)(file, parts, count);
}
ssize_t pwrite(int file, const void* bytes, size_t size, off_t at) {
    return fails(call_write) ? -1 : REAL(pwrite)(file, bytes, size, at);
}
int fsync(int file) {
    return fails(call_fsync) ? -1 : REAL(fsync)(file);
}
int rename(const char* from, const char* to) {
    return fails(call_rename) ? -1 : REAL(rename)(from, to);
}
int renameat2(int from_folder, const char* from, int to_folder, const char* to, unsigned flags) {
    return fails(call_rename) ? -1 : REAL(renameat2)(from_folder, from, to_folder, to, flags);
}
// Only what is opened to be written, and reading maps: a source that cannot be read is another test's.
int open(const char* path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    const mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    return (flags & O_ACCMODE) != O_RDONLY && fails(call_open) ? -1 : REAL(open)(path, flags, mode);
}
void* mmap(void* at, size_t size, int protection, int flags, int file, off_t offset) {
    return file >= 0 && fails(call_mmap) ? MAP_FAILED : REAL(mmap)(at, size, protection, flags, file, offset);
}
