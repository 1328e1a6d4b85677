/* A disk that forgets at a power loss what was not synced. Loaded before the C library (LD_PRELOAD).

   DISK_FOLDER holds what the disk would hold if power failed now:
     files/<inode>    bytes of a file as of its last fsync or fdatasync
     folders/<inode>  entries of a folder as of its last fsync, a line each: inode, f or d, name
   A name that was made, renamed or removed counts once its folder was synced; so this is as strict as POSIX allows. The
   real disk is not synced at all: a sync takes no longer on a busy machine.

   DISK_COUNTDOWN is a file of 8 bytes, shared with the test. Each sync has two moments: before it takes effect, and after
   it did and before the program hears of it. Each moment counts down by one; at 0 the program is killed. A countdown that
   starts at 0 never ends, and is counted downwards from there. With DISK_LIES no sync takes effect. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* What is known of a file that was written or synced. */
struct file {
    struct file *next;
    dev_t dev;
    ino_t ino;
    int64_t changed_from; /* Bytes before this are as they were at the last sync. */
};

static struct file *files[256];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static volatile int64_t *countdown;
static const char *folder;
static int lies;

__attribute__((constructor)) static void init(void) {
    const char *path = getenv("DISK_COUNTDOWN");
    int fd;
    folder = getenv("DISK_FOLDER");
    lies = getenv("DISK_LIES") != NULL;
    if (path && (fd = open(path, O_RDWR | O_CLOEXEC)) >= 0) {
        void *map = mmap(0, 8, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (map != MAP_FAILED) countdown = map;
        close(fd);
    }
}

/* A test must not pass because its disk does not work. */
static void broken(const char *what) {
    dprintf(2, "the disk of the test: %s: %s\n", what, strerror(errno));
    abort();
}

static void moment(void) {
    if (countdown && __atomic_sub_fetch(countdown, 1, __ATOMIC_SEQ_CST) == 0) {
        kill(getpid(), SIGKILL);
        for (;;) pause();
    }
}

/* Called with the lock held. Keeps the file open, so that its inode is nobody else's while the program runs. */
static struct file *known(int fd, const struct stat *st) {
    struct file **list = &files[st->st_ino % 256], *f;
    for (f = *list; f; f = f->next)
        if (f->ino == st->st_ino && f->dev == st->st_dev) return f;
    f = malloc(sizeof *f);
    if (!f || fcntl(fd, F_DUPFD_CLOEXEC, 100) < 0) broken("a file cannot be kept open");
    *f = (struct file){*list, st->st_dev, st->st_ino, INT64_MAX};
    return *list = f;
}

/* Bytes from here on were changed. */
static void changed(int fd, int64_t from) {
    struct stat st;
    int error = errno;
    if (folder && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        pthread_mutex_lock(&lock);
        struct file *f = known(fd, &st);
        if (from < f->changed_from) f->changed_from = from;
        pthread_mutex_unlock(&lock);
    }
    errno = error;
}

/* A write at the file's own position, which is behind it now. */
static ssize_t appended(int fd, ssize_t n) {
    if (n > 0) {
        int error = errno;
        off_t end = lseek(fd, 0, SEEK_CUR);
        errno = error;
        if (end >= n) changed(fd, end - n);
    }
    return n;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int fd, const void *buf, size_t n) { return appended(fd, syscall(SYS_write, fd, buf, n)); }

ssize_t writev(int fd, const struct iovec *iov, int n) { return appended(fd, syscall(SYS_writev, fd, iov, n)); }

ssize_t pwrite(int fd, const void *buf, size_t n, off_t at) {
    ssize_t done = syscall(SYS_pwrite64, fd, buf, n, at);
    if (done > 0) changed(fd, at);
    return done;
}

ssize_t pwrite64(int fd, const void *buf, size_t n, off_t at) { return pwrite(fd, buf, n, at); }

ssize_t pwritev(int fd, const struct iovec *iov, int n, off_t at) {
    ssize_t done = REAL(pwritev)(fd, iov, n, at);
    if (done > 0) changed(fd, at);
    return done;
}

ssize_t pwritev64(int fd, const struct iovec *iov, int n, off_t at) { return pwritev(fd, iov, n, at); }

int ftruncate(int fd, off_t length) {
    int done = syscall(SYS_ftruncate, fd, length);
    if (done == 0) changed(fd, length);
    return done;
}

int ftruncate64(int fd, off_t length) { return ftruncate(fd, length); }

/* What a path led to goes on under its inode until the program ends: the folder on the disk may name it still. */
static void outlives(const char *path) {
    struct stat st;
    int error = errno;
    if (folder && lstat(path, &st) == 0 && S_ISREG(st.st_mode)) {
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd >= 0) {
            pthread_mutex_lock(&lock);
            known(fd, &st);
            pthread_mutex_unlock(&lock);
            close(fd);
        }
    }
    errno = error;
}

int unlink(const char *path) {
    outlives(path);
    return syscall(SYS_unlink, path);
}

int rename(const char *from, const char *to) {
    outlives(to);
    return syscall(SYS_rename, from, to);
}

/* The same file or folder, to be read from its beginning. Of the same process, this is always allowed. */
static int again(int fd, int flags) {
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return open(path, O_RDONLY | O_CLOEXEC | flags);
}

static void keep_file(int fd, const struct stat *st) {
    char path[4096];
    static char bytes[1 << 16]; /* Under the lock. */
    struct stat kept;
    pthread_mutex_lock(&lock);
    struct file *f = known(fd, st);
    int64_t from = f->changed_from;
    f->changed_from = INT64_MAX;
    snprintf(path, sizeof path, "%s/files/%ju", folder, (uintmax_t)st->st_ino);
    int to = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600), of = again(fd, 0);
    if (to < 0 || of < 0 || fstat(to, &kept) < 0) broken(path);
    if (kept.st_size < from) from = kept.st_size;
    for (;;) {
        ssize_t n = pread(of, bytes, sizeof bytes, from);
        if (n < 0 || (n > 0 && syscall(SYS_pwrite64, to, bytes, n, from) != n)) broken(path);
        if (n == 0) break;
        from += n;
    }
    if (syscall(SYS_ftruncate, to, from) < 0 || fchmod(to, st->st_mode & 07777) < 0) broken(path);
    close(to);
    close(of);
    pthread_mutex_unlock(&lock);
}

static void keep_folder(int fd, const struct stat *st) {
    char path[4096], aside[4100];
    pthread_mutex_lock(&lock);
    snprintf(path, sizeof path, "%s/folders/%ju", folder, (uintmax_t)st->st_ino);
    snprintf(aside, sizeof aside, "%s.new", path);
    int to = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), of = again(fd, O_DIRECTORY);
    DIR *d = of < 0 ? NULL : fdopendir(of);
    if (to < 0 || !d) broken(path);
    for (struct dirent *e; (e = readdir(d));) {
        struct stat of_it;
        char line[512];
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")) continue;
        /* It may have gone since. */
        if (fstatat(of, e->d_name, &of_it, AT_SYMLINK_NOFOLLOW) < 0) continue;
        if (!S_ISREG(of_it.st_mode) && !S_ISDIR(of_it.st_mode)) continue;
        char kind = S_ISDIR(of_it.st_mode) ? 'd' : 'f';
        int n = snprintf(line, sizeof line, "%ju %c %s\n", (uintmax_t)of_it.st_ino, kind, e->d_name);
        if (syscall(SYS_write, to, line, n) != n) broken(aside);
    }
    closedir(d);
    close(to);
    if (syscall(SYS_rename, aside, path) < 0) broken(path);
    pthread_mutex_unlock(&lock);
}

static int sync_of(int fd) {
    struct stat st;
    if (fstat(fd, &st) < 0) return -1;
    moment();
    if (folder && !lies && S_ISREG(st.st_mode)) keep_file(fd, &st);
    if (folder && !lies && S_ISDIR(st.st_mode)) keep_folder(fd, &st);
    moment();
    return 0;
}

int fsync(int fd) { return sync_of(fd); }
int fdatasync(int fd) { return sync_of(fd); }
