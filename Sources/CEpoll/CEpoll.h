// CEpoll: what Swift cannot say about the Linux kernel, said once in C.
//
// Header only, so a SwiftPM `.systemLibrary` target is enough: no object file, nothing to link.
//
// Three rules:
//  - Every function returns the result of its system call, or -errno. The error is read in the same C function as the
//    call, so that no release, allocation or signal handler of the Swift side can overwrite it in between (errno(3)).
//  - Every constant has one type. glibc spells some as enumerators and some as macros, musl all as macros; Swift would
//    see three shapes of the same thing.
//  - `_GNU_SOURCE` is never defined here: it changes `fd_set` and `sockaddr` under the feet of Swift's Glibc module.
//    The few prototypes that hide behind it are declared by hand below.
#pragma once

#include <arpa/inet.h>
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

// Hidden behind _GNU_SOURCE in glibc: declared, not redefined.
extern int accept4(int, struct sockaddr *__restrict, socklen_t *__restrict, int);
extern int pipe2(int[2], int);
extern ssize_t splice(int, void *, int, void *, size_t, unsigned);
extern int recvmmsg(int, void *, unsigned, int, void *);
extern int sendmmsg(int, void *, unsigned, int);
extern long syscall(long, ...);

// ---- constants -------------------------------------------------------------------------------------------------------

static const uint32_t EDDY_EPOLLIN = (uint32_t)EPOLLIN;
static const uint32_t EDDY_EPOLLPRI = (uint32_t)EPOLLPRI;
static const uint32_t EDDY_EPOLLOUT = (uint32_t)EPOLLOUT;
static const uint32_t EDDY_EPOLLERR = (uint32_t)EPOLLERR;
static const uint32_t EDDY_EPOLLHUP = (uint32_t)EPOLLHUP;
static const uint32_t EDDY_EPOLLRDHUP = (uint32_t)EPOLLRDHUP;
static const uint32_t EDDY_EPOLLEXCLUSIVE = (uint32_t)EPOLLEXCLUSIVE;
static const uint32_t EDDY_EPOLLONESHOT = (uint32_t)EPOLLONESHOT;
static const uint32_t EDDY_EPOLLET = (uint32_t)EPOLLET;

static const int32_t EDDY_EPOLL_CTL_ADD = EPOLL_CTL_ADD;
static const int32_t EDDY_EPOLL_CTL_MOD = EPOLL_CTL_MOD;
static const int32_t EDDY_EPOLL_CTL_DEL = EPOLL_CTL_DEL;

static const int32_t EDDY_SOCK_STREAM = SOCK_STREAM;
static const int32_t EDDY_SOCK_DGRAM = SOCK_DGRAM;
static const int32_t EDDY_SOCK_SEQPACKET = SOCK_SEQPACKET;
static const int32_t EDDY_SOCK_NONBLOCK = SOCK_NONBLOCK;
static const int32_t EDDY_SOCK_CLOEXEC = SOCK_CLOEXEC;
static const int32_t EDDY_MSG_NOSIGNAL = MSG_NOSIGNAL;
static const int32_t EDDY_MSG_PEEK = MSG_PEEK;
static const int32_t EDDY_MSG_DONTWAIT = MSG_DONTWAIT;
static const int32_t EDDY_MSG_TRUNC = MSG_TRUNC;
static const int32_t EDDY_MSG_CTRUNC = MSG_CTRUNC;
static const int32_t EDDY_MSG_ERRQUEUE = MSG_ERRQUEUE;
static const int32_t EDDY_MSG_CMSG_CLOEXEC = MSG_CMSG_CLOEXEC;
static const int32_t EDDY_SCM_RIGHTS = SCM_RIGHTS;
static const int32_t EDDY_IPPROTO_TCP = IPPROTO_TCP;
static const int32_t EDDY_IPPROTO_IPV6 = IPPROTO_IPV6;
static const int32_t EDDY_IPV6_V6ONLY = IPV6_V6ONLY;
static const int32_t EDDY_TCP_NODELAY = TCP_NODELAY;
static const int32_t EDDY_SOL_SOCKET = SOL_SOCKET;
static const int32_t EDDY_SO_REUSEADDR = SO_REUSEADDR;
static const int32_t EDDY_SO_REUSEPORT = SO_REUSEPORT;
static const int32_t EDDY_SO_ERROR = SO_ERROR;
static const int32_t EDDY_SO_LINGER = SO_LINGER;
static const int32_t EDDY_SHUT_RD = SHUT_RD;
static const int32_t EDDY_SHUT_WR = SHUT_WR;
static const int32_t EDDY_SHUT_RDWR = SHUT_RDWR;

#define EDDY_RESULT(call)            \
    long result = (long)(call);      \
    return result < 0 ? -(long)errno : result

// ---- epoll -----------------------------------------------------------------------------------------------------------

static inline long eddy_epoll_create(void) { EDDY_RESULT(epoll_create1(EPOLL_CLOEXEC)); }

// epoll_event is packed on x86-64 only; it is filled and read here so that Swift never forms a pointer into it.
static inline long eddy_epoll_control(int epoll, int operation, int fd, uint32_t events, uint64_t tag) {
    struct epoll_event event;
    event.events = events;
    event.data.u64 = tag;
    EDDY_RESULT(epoll_ctl(epoll, operation, fd, &event));
}

static inline long eddy_epoll_wait(int epoll, void *events, int capacity, int milliseconds) {
    EDDY_RESULT(epoll_wait(epoll, (struct epoll_event *)events, capacity, milliseconds));
}

// Waits with nanoseconds. Kernels before 5.11 and some seccomp filters refuse it; the caller falls back then.
static inline long eddy_epoll_wait_precise(int epoll, void *events, int capacity, int64_t nanoseconds) {
    struct timespec timeout = {.tv_sec = nanoseconds / 1000000000, .tv_nsec = nanoseconds % 1000000000};
#ifdef SYS_epoll_pwait2
    EDDY_RESULT(syscall(SYS_epoll_pwait2, epoll, events, capacity, &timeout, (void *)0, (size_t)0));
#else
    (void)timeout;
    return -ENOSYS;
#endif
}

static inline size_t eddy_event_stride(void) { return sizeof(struct epoll_event); }
static inline uint32_t eddy_event_mask(const void *events, long index) {
    return ((const struct epoll_event *)events)[index].events;
}
static inline uint64_t eddy_event_tag(const void *events, long index) {
    return ((const struct epoll_event *)events)[index].data.u64;
}
static inline void eddy_event_store(void *events, long index, uint32_t mask, uint64_t tag) {
    struct epoll_event *event = &((struct epoll_event *)events)[index];
    event->events = mask;
    event->data.u64 = tag;
}

// ---- timerfd, eventfd, clock -----------------------------------------------------------------------------------------

static inline long eddy_timer_create(void) { EDDY_RESULT(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)); }

// Arms for an absolute instant of CLOCK_MONOTONIC. An it_value of zero would disarm (timerfd_create(2)), so the least
// instant is 1 ns. A negative instant disarms on purpose.
static inline long eddy_timer_set(int timer, int64_t nanoseconds) {
    struct itimerspec spec = {{0, 0}, {0, 0}};
    if (nanoseconds >= 0) {
        if (nanoseconds == 0) nanoseconds = 1;
        spec.it_value.tv_sec = nanoseconds / 1000000000;
        spec.it_value.tv_nsec = nanoseconds % 1000000000;
    }
    EDDY_RESULT(timerfd_settime(timer, TFD_TIMER_ABSTIME, &spec, (struct itimerspec *)0));
}

static inline long eddy_event_descriptor_create(void) { EDDY_RESULT(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)); }

static inline int64_t eddy_monotonic_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

// The clocks beside CLOCK_MONOTONIC: CLOCK_BOOTTIME, which goes on while the machine is suspended, and CLOCK_REALTIME, the
// wall clock, which can be set.
static inline clockid_t eddy_clock(int is_wall_clock) { return is_wall_clock ? CLOCK_REALTIME : CLOCK_BOOTTIME; }

static inline long eddy_clock_timer_create(int is_wall_clock) {
    EDDY_RESULT(timerfd_create(eddy_clock(is_wall_clock), TFD_NONBLOCK | TFD_CLOEXEC));
}

// As eddy_timer_set. One of the wall clock also becomes readable when that clock is set (timerfd_create(2)).
static inline long eddy_clock_timer_set(int timer, int is_wall_clock, int64_t nanoseconds) {
    if (nanoseconds < 1) nanoseconds = 1;
    struct itimerspec spec = {{0, 0}, {nanoseconds / 1000000000, nanoseconds % 1000000000}};
    int flags = TFD_TIMER_ABSTIME | (is_wall_clock ? TFD_TIMER_CANCEL_ON_SET : 0);
    EDDY_RESULT(timerfd_settime(timer, flags, &spec, (struct itimerspec *)0));
}

static inline int64_t eddy_clock_now(int is_wall_clock) {
    struct timespec now;
    clock_gettime(eddy_clock(is_wall_clock), &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

// ---- descriptors -----------------------------------------------------------------------------------------------------

static inline long eddy_read(int fd, void *buffer, size_t count) { EDDY_RESULT(read(fd, buffer, count)); }
static inline long eddy_write(int fd, const void *buffer, size_t count) { EDDY_RESULT(write(fd, buffer, count)); }
static inline long eddy_receive(int fd, void *buffer, size_t count, int flags) {
    EDDY_RESULT(recv(fd, buffer, count, flags));
}
static inline long eddy_send(int fd, const void *buffer, size_t count) {
    // MSG_NOSIGNAL: a closed peer is the error EPIPE, never a signal that ends the process (send(2)).
    EDDY_RESULT(send(fd, buffer, count, MSG_NOSIGNAL));
}

// write(2), sendfile(2) and splice(2) have no MSG_NOSIGNAL. Where the reader may be gone, SIGPIPE is blocked in this thread for the
// length of the call, and the one that the call itself made is taken back: it is sent to the thread that wrote (signal(7)). One
// that was pending before stays pending. The process's own handling of SIGPIPE is never touched.
struct eddy_sigpipe_guard {
    sigset_t previous;
    int had_pending;
};
static inline void eddy_sigpipe_block(struct eddy_sigpipe_guard *guard) {
    sigset_t pipe;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, &guard->previous);
    guard->had_pending = 0;
    if (sigismember(&guard->previous, SIGPIPE)) {
        sigset_t pending;
        sigpending(&pending);
        guard->had_pending = sigismember(&pending, SIGPIPE);
    }
}
static inline long eddy_sigpipe_restore(const struct eddy_sigpipe_guard *guard, long result) {
    if (result == -EPIPE && !guard->had_pending) {
        struct timespec none = {0, 0};
        sigset_t pipe;
        sigemptyset(&pipe);
        sigaddset(&pipe, SIGPIPE);
        while (sigtimedwait(&pipe, (siginfo_t *)0, &none) < 0 && errno == EINTR) {}
    }
    pthread_sigmask(SIG_SETMASK, &guard->previous, (sigset_t *)0);
    return result;
}
#define EDDY_RESULT_WITHOUT_SIGPIPE(call)                              \
    struct eddy_sigpipe_guard guard;                                   \
    eddy_sigpipe_block(&guard);                                        \
    long result = (long)(call);                                        \
    return eddy_sigpipe_restore(&guard, result < 0 ? -(long)errno : result)

static inline long eddy_write_vectored(int fd, const void *vectors, int count) {
    EDDY_RESULT_WITHOUT_SIGPIPE(writev(fd, (const struct iovec *)vectors, count));
}
static inline long eddy_send_file(int out, int in, int64_t *offset, size_t count) {
    EDDY_RESULT_WITHOUT_SIGPIPE(sendfile(out, in, (off_t *)offset, count));
}
// SPLICE_F_MOVE | SPLICE_F_NONBLOCK: the flags' names are hidden behind _GNU_SOURCE.
static inline long eddy_splice(int in, int out, size_t count) {
    EDDY_RESULT_WITHOUT_SIGPIPE(splice(in, (void *)0, out, (void *)0, count, 1 | 2));
}
// Into a pipe whose reader is open in this process: nobody can be gone, so there is no signal to guard against.
static inline long eddy_splice_into_own_pipe(int in, int pipe, size_t count) {
    EDDY_RESULT(splice(in, (void *)0, pipe, (void *)0, count, 1 | 2));
}

// Waits until a descriptor takes bytes or has an error: 1; 0 when the time is over first.
static inline long eddy_poll_writable(int fd, int milliseconds) {
    struct pollfd entry = {.fd = fd, .events = POLLOUT, .revents = 0};
    EDDY_RESULT(poll(&entry, 1, milliseconds));
}
// Writes to an inherited standard stream what it takes at once: -EAGAIN when that is nothing. O_NONBLOCK belongs to the open file,
// which the shell and the program's siblings share, and is left as it is; so is the process's handling of SIGPIPE.
//
// - A socket has MSG_DONTWAIT.
// - A pipe has RWF_NOWAIT (pwritev2(2); pipes since Linux 6.5). On an older kernel it is asked whether it has room: then it takes
//   PIPE_BUF bytes, unless another process is faster.
// - A terminal is opened anew, with flags of its own; where that can't be done it is asked for room.
// - A file does not make anybody wait for a reader.
static inline long eddy_write_at_once(int fd, const void *bytes, size_t count, int knows_no_wait) {
    enum { least_room = 4096, no_wait = 8 };
    int flags = fcntl(fd, F_GETFD);
    if (flags < 0) return -(long)errno;
    // The process was started without this stream, and has opened something else under its number: what was inherited can't be
    // close-on-exec, and what we open is.
    if (flags & FD_CLOEXEC) return -EBADF;
    struct stat status;
    if (fstat(fd, &status) != 0) return -(long)errno;
    mode_t type = status.st_mode & S_IFMT;
    if (type == S_IFSOCK) { EDDY_RESULT(send(fd, bytes, count, MSG_DONTWAIT | MSG_NOSIGNAL)); }
    struct eddy_sigpipe_guard guard;
    eddy_sigpipe_block(&guard);
    long result = -EOPNOTSUPP;
    // Tests say no here, as an older kernel does.
    (void)knows_no_wait;
#ifdef SYS_pwritev2
    if (type == S_IFIFO && knows_no_wait) {
        struct iovec vector = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = count};
        // Offset -1: as writev(2), from the position. The offset is two words wide for the kernel.
        result = syscall(SYS_pwritev2, (long)fd, &vector, 1L, -1L, -1L, (long)no_wait);
        if (result < 0) result = -(long)errno;
    }
#endif
    if (result == -EOPNOTSUPP || result == -ENOSYS || result == -EINVAL || result == -EPERM) {
        int own = -1;
        if (type == S_IFCHR && fd < 10 && isatty(fd)) {
            char path[] = "/proc/self/fd/0";
            path[sizeof path - 2] = (char)('0' + fd);
            own = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        }
        int may_wait = own < 0 && (type == S_IFIFO || type == S_IFCHR);
        if (may_wait && eddy_poll_writable(fd, 0) <= 0) {
            result = -EAGAIN;
        } else {
            result = write(own < 0 ? fd : own, bytes, may_wait && count > least_room ? least_room : count);
            if (result < 0) result = -(long)errno;
        }
        if (own >= 0) close(own);
    }
    return eddy_sigpipe_restore(&guard, result);
}
static inline long eddy_close(int fd) { EDDY_RESULT(close(fd)); }
static inline long eddy_pipe(int32_t ends[2]) { EDDY_RESULT(pipe2(ends, O_NONBLOCK | O_CLOEXEC)); }
static inline long eddy_set_nonblocking(int fd) {
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0) return -(long)errno;
    if (flags & O_NONBLOCK) return 0;
    EDDY_RESULT(fcntl(fd, F_SETFL, flags | O_NONBLOCK));
}

// F_GETFD: FD_CLOEXEC or nothing, or -errno.
static inline long eddy_get_descriptor_flags(int fd) { EDDY_RESULT(fcntl(fd, F_GETFD)); }
static inline long eddy_set_close_on_exec(int fd) { EDDY_RESULT(fcntl(fd, F_SETFD, FD_CLOEXEC)); }
// Another number of the same open file description, which stays clear of the standard streams' numbers.
static inline long eddy_duplicate(int fd) { EDDY_RESULT(fcntl(fd, F_DUPFD_CLOEXEC, 3)); }
static inline long eddy_read_at(int fd, void *buffer, size_t count, int64_t offset) {
    EDDY_RESULT(pread(fd, buffer, count, (off_t)offset));
}
// F_GETFL, or -errno.
static inline long eddy_get_flags(int fd) { EDDY_RESULT(fcntl(fd, F_GETFL)); }
// F_SETPIPE_SZ: 1031, hidden behind _GNU_SOURCE. Answers the size in bytes that the pipe has now.
static inline long eddy_set_pipe_size(int fd, int size) { EDDY_RESULT(fcntl(fd, 1031, size)); }
static inline long eddy_open(const char *path, int flags, uint32_t mode) {
    EDDY_RESULT(open(path, flags | O_CLOEXEC, (mode_t)mode));
}
static inline long eddy_unlink(const char *path) { EDDY_RESULT(unlink(path)); }
static inline long eddy_change_mode(const char *path, uint32_t mode) { EDDY_RESULT(chmod(path, (mode_t)mode)); }
static inline long eddy_change_descriptor_mode(int fd, uint32_t mode) { EDDY_RESULT(fchmod(fd, (mode_t)mode)); }
static inline long eddy_make_fifo(const char *path, uint32_t mode) { EDDY_RESULT(mkfifo(path, (mode_t)mode)); }
// S_IFMT of an open file, or -errno.
static inline long eddy_file_type(int fd) {
    struct stat status;
    if (fstat(fd, &status) != 0) return -(long)errno;
    return (long)(status.st_mode & S_IFMT);
}
// S_IFMT of what stands at a path, without following a link, or -errno.
static inline long eddy_path_type(const char *path) {
    struct stat status;
    if (lstat(path, &status) != 0) return -(long)errno;
    return (long)(status.st_mode & S_IFMT);
}
// As above, and which file it is: no two files that exist at the same time have both numbers in common (inode(7)).
static inline long eddy_path_identity(const char *path, uint64_t *device, uint64_t *inode) {
    struct stat status;
    if (lstat(path, &status) != 0) return -(long)errno;
    *device = (uint64_t)status.st_dev;
    *inode = (uint64_t)status.st_ino;
    return (long)(status.st_mode & S_IFMT);
}
static inline long eddy_file_size(int fd) {
    struct stat status;
    if (fstat(fd, &status) != 0) return -(long)errno;
    return (long)status.st_size;
}

// ---- files -----------------------------------------------------------------------------------------------------------

// What glibc hides behind _GNU_SOURCE (copy_file_range, renameat2, getdents64) is called by number.
static inline long eddy_open_at(int directory, const char *path, int flags, uint32_t mode) {
    EDDY_RESULT(openat(directory, path, flags | O_CLOEXEC, (mode_t)mode));
}
static inline long eddy_write_at(int fd, const void *buffer, size_t count, int64_t offset) {
    EDDY_RESULT(pwrite(fd, buffer, count, (off_t)offset));
}
static inline long eddy_seek(int fd, int64_t offset, int whence) { EDDY_RESULT(lseek(fd, (off_t)offset, whence)); }
static inline long eddy_truncate(int fd, int64_t size) { EDDY_RESULT(ftruncate(fd, (off_t)size)); }
static inline long eddy_sync(int fd) { EDDY_RESULT(fsync(fd)); }
static inline long eddy_sync_data(int fd) { EDDY_RESULT(fdatasync(fd)); }
static inline long eddy_copy_range(int in, int out, size_t count) {
#ifdef SYS_copy_file_range
    EDDY_RESULT(syscall(SYS_copy_file_range, in, (void *)0, out, (void *)0, count, 0u));
#else
    (void)in, (void)out, (void)count;
    return -ENOSYS;
#endif
}

// What stat(2) tells, in an order of our own: `struct stat` has another layout on every architecture.
enum { EDDY_STATUS_FIELDS = 16 };
static inline void eddy_status_fill(const struct stat *status, int64_t *fields) {
    fields[0] = (int64_t)status->st_dev;
    fields[1] = (int64_t)status->st_ino;
    fields[2] = (int64_t)status->st_mode;
    fields[3] = (int64_t)status->st_nlink;
    fields[4] = (int64_t)status->st_uid;
    fields[5] = (int64_t)status->st_gid;
    fields[6] = (int64_t)status->st_size;
    fields[7] = (int64_t)status->st_blocks;
    fields[8] = (int64_t)status->st_atim.tv_sec;
    fields[9] = (int64_t)status->st_atim.tv_nsec;
    fields[10] = (int64_t)status->st_mtim.tv_sec;
    fields[11] = (int64_t)status->st_mtim.tv_nsec;
    fields[12] = (int64_t)status->st_ctim.tv_sec;
    fields[13] = (int64_t)status->st_ctim.tv_nsec;
    fields[14] = (int64_t)status->st_blksize;
    fields[15] = 0;
}
static inline long eddy_descriptor_status(int fd, int64_t *fields) {
    struct stat status;
    if (fstat(fd, &status) != 0) return -(long)errno;
    eddy_status_fill(&status, fields);
    return 0;
}
static inline long eddy_path_status(int directory, const char *path, int follows_links, int64_t *fields) {
    struct stat status;
    if (fstatat(directory, path, &status, follows_links ? 0 : AT_SYMLINK_NOFOLLOW) != 0) return -(long)errno;
    eddy_status_fill(&status, fields);
    return 0;
}

static inline long eddy_make_directory(int directory, const char *path, uint32_t mode) {
    EDDY_RESULT(mkdirat(directory, path, (mode_t)mode));
}
static inline long eddy_unlink_at(int directory, const char *path, int is_directory) {
    EDDY_RESULT(unlinkat(directory, path, is_directory ? AT_REMOVEDIR : 0));
}
// The flags: 1 is RENAME_NOREPLACE, 2 is RENAME_EXCHANGE (rename(2)).
static inline long eddy_rename(int from_directory, const char *from, int to_directory, const char *to, unsigned flags) {
    if (flags == 0) {
        EDDY_RESULT(renameat(from_directory, from, to_directory, to));
    }
#ifdef SYS_renameat2
    EDDY_RESULT(syscall(SYS_renameat2, from_directory, from, to_directory, to, flags));
#else
    return -ENOSYS;
#endif
}
static inline long eddy_symbolic_link(const char *target, int directory, const char *path) {
    EDDY_RESULT(symlinkat(target, directory, path));
}
static inline long eddy_read_link(const char *path, void *buffer, size_t count) {
    EDDY_RESULT(readlink(path, (char *)buffer, count));
}

// The length of the path, with its NUL (getcwd(2)).
static inline long eddy_current_directory(void *buffer, size_t count) {
    EDDY_RESULT(syscall(SYS_getcwd, buffer, count));
}

// Entries of a directory, as the kernel packs them (getdents(2)).
static inline long eddy_read_directory(int fd, void *buffer, size_t count) {
    EDDY_RESULT(syscall(SYS_getdents64, fd, buffer, count));
}

static inline long eddy_inotify_create(void) { EDDY_RESULT(inotify_init1(IN_NONBLOCK | IN_CLOEXEC)); }
static inline long eddy_inotify_add(int fd, const char *path, uint32_t mask) {
    EDDY_RESULT(inotify_add_watch(fd, path, mask));
}
static inline long eddy_inotify_remove(int fd, int watch) { EDDY_RESULT(inotify_rm_watch(fd, watch)); }

// ---- sockets ---------------------------------------------------------------------------------------------------------

static inline long eddy_socket(int family, int kind) {
    EDDY_RESULT(socket(family, kind | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}
static inline long eddy_socket_pair(int kind, int32_t ends[2]) {
    EDDY_RESULT(socketpair(AF_UNIX, kind | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends));
}
static inline long eddy_bind(int fd, const void *address, uint32_t length) {
    EDDY_RESULT(bind(fd, (const struct sockaddr *)address, (socklen_t)length));
}
static inline long eddy_listen(int fd, int backlog) { EDDY_RESULT(listen(fd, backlog)); }
static inline long eddy_accept(int fd, void *address, uint32_t *length) {
    EDDY_RESULT(accept4(fd, (struct sockaddr *)address, (socklen_t *)length, SOCK_NONBLOCK | SOCK_CLOEXEC));
}
static inline long eddy_connect(int fd, const void *address, uint32_t length) {
    EDDY_RESULT(connect(fd, (const struct sockaddr *)address, (socklen_t)length));
}
static inline long eddy_shutdown(int fd, int how) { EDDY_RESULT(shutdown(fd, how)); }
static inline long eddy_socket_name(int fd, void *address, uint32_t *length) {
    EDDY_RESULT(getsockname(fd, (struct sockaddr *)address, (socklen_t *)length));
}
static inline long eddy_peer_name(int fd, void *address, uint32_t *length) {
    EDDY_RESULT(getpeername(fd, (struct sockaddr *)address, (socklen_t *)length));
}
static inline long eddy_get_option(int fd, int level, int name, void *value, uint32_t *length) {
    EDDY_RESULT(getsockopt(fd, level, name, value, (socklen_t *)length));
}
static inline long eddy_set_option(int fd, int level, int name, const void *value, uint32_t length) {
    EDDY_RESULT(setsockopt(fd, level, name, value, (socklen_t)length));
}

// ---- messages --------------------------------------------------------------------------------------------------------

// One message of sendmsg(2) or recvmsg(2). glibc and musl give some members of `struct msghdr` other types than the kernel does,
// so it is filled in here.
static inline void eddy_message_fill(
    struct msghdr *header, void *name, uint32_t name_length, void *vectors, size_t vector_count, void *control,
    size_t control_length) {
    memset(header, 0, sizeof *header);
    header->msg_name = name;
    header->msg_namelen = name_length;
    header->msg_iov = (struct iovec *)vectors;
    header->msg_iovlen = vector_count;
    header->msg_control = control;
    header->msg_controllen = control_length;
}
static inline long eddy_send_message(
    int fd, const void *name, uint32_t name_length, const void *vectors, size_t vector_count, const void *control,
    size_t control_length, int flags) {
    struct msghdr header;
    eddy_message_fill(
        &header, (void *)name, name_length, (void *)vectors, vector_count, (void *)control, control_length);
    EDDY_RESULT(sendmsg(fd, &header, flags | MSG_NOSIGNAL));
}
static inline long eddy_receive_message(
    int fd, void *name, uint32_t *name_length, void *vectors, size_t vector_count, void *control, size_t *control_length,
    int *flags) {
    struct msghdr header;
    eddy_message_fill(&header, name, *name_length, vectors, vector_count, control, *control_length);
    long result = (long)recvmsg(fd, &header, *flags | MSG_CMSG_CLOEXEC);
    if (result < 0) return -(long)errno;
    *name_length = header.msg_namelen;
    *control_length = header.msg_controllen;
    *flags = header.msg_flags;
    return result;
}

// Several messages in one call: an array of `struct mmsghdr`, which <sys/socket.h> hides behind _GNU_SOURCE.
struct eddy_batch_entry {
    struct msghdr header;
    unsigned length;
};
static inline size_t eddy_batch_stride(void) { return sizeof(struct eddy_batch_entry); }
static inline void eddy_batch_set(
    void *batch, long index, void *name, uint32_t name_length, void *vectors, size_t vector_count, void *control,
    size_t control_length) {
    struct eddy_batch_entry *entry = &((struct eddy_batch_entry *)batch)[index];
    eddy_message_fill(&entry->header, name, name_length, vectors, vector_count, control, control_length);
    entry->length = 0;
}
static inline uint32_t eddy_batch_length(const void *batch, long index) {
    return ((const struct eddy_batch_entry *)batch)[index].length;
}
static inline int32_t eddy_batch_flags(const void *batch, long index) {
    return ((const struct eddy_batch_entry *)batch)[index].header.msg_flags;
}
static inline uint32_t eddy_batch_name_length(const void *batch, long index) {
    return ((const struct eddy_batch_entry *)batch)[index].header.msg_namelen;
}
static inline size_t eddy_batch_control_length(const void *batch, long index) {
    return ((const struct eddy_batch_entry *)batch)[index].header.msg_controllen;
}
static inline long eddy_send_messages(int fd, void *batch, uint32_t count) {
    EDDY_RESULT(sendmmsg(fd, batch, count, MSG_NOSIGNAL));
}
static inline long eddy_receive_messages(int fd, void *batch, uint32_t count) {
    EDDY_RESULT(recvmmsg(fd, batch, count, 0, (void *)0));
}

// Control messages, cmsg(3): Swift can't see the macros.
static inline size_t eddy_control_space(size_t length) { return CMSG_SPACE(length); }

// Appends a control message at an offset. Answers the offset behind it, or 0 when it does not fit.
static inline size_t eddy_control_append(
    void *control, size_t capacity, size_t offset, int level, int type, const void *data, size_t length) {
    if (offset > capacity || capacity - offset < CMSG_SPACE(length)) return 0;
    struct cmsghdr *header = (struct cmsghdr *)((char *)control + offset);
    memset(header, 0, CMSG_SPACE(length));
    header->cmsg_level = level;
    header->cmsg_type = type;
    header->cmsg_len = CMSG_LEN(length);
    memcpy(CMSG_DATA(header), data, length);
    return offset + CMSG_SPACE(length);
}

// Reads the control message at an offset. Answers the offset of the next, or 0 at the end, or when its length is a lie.
static inline size_t eddy_control_read(
    void *control, size_t total, size_t offset, int *level, int *type, void **data, size_t *length) {
    if (offset > total || total - offset < sizeof(struct cmsghdr)) return 0;
    struct cmsghdr *header = (struct cmsghdr *)((char *)control + offset);
    if (header->cmsg_len < CMSG_LEN(0) || header->cmsg_len > total - offset) return 0;
    *level = header->cmsg_level;
    *type = header->cmsg_type;
    *data = CMSG_DATA(header);
    *length = header->cmsg_len - CMSG_LEN(0);
    return offset + CMSG_SPACE(*length);
}

// ---- threads ---------------------------------------------------------------------------------------------------------

// What the running thread is driving. One variable for the whole process: a `static` would give every object file that
// includes this header a copy of its own, a weak definition is merged by the linker.
__attribute__((weak)) __thread void *eddy_thread_slot_storage = 0;

// Never inlined: a coroutine may move to another thread at any `await`, and an inlined access would let the compiler keep
// the first thread's address across it.
__attribute__((noinline, unused)) static void *eddy_thread_slot_get(void) { return eddy_thread_slot_storage; }
__attribute__((noinline, unused)) static void eddy_thread_slot_set(void *value) { eddy_thread_slot_storage = value; }

// The task that runs on this thread, as an address to compare with, or null: what `withUnsafeCurrentTask` looks up, without the
// closure and the reference count. Part of the runtime's stable ABI; compiled Swift code calls it too.
extern __attribute__((swiftcall)) void *swift_task_getCurrent(void);
static inline uintptr_t eddy_current_task(void) { return (uintptr_t)swift_task_getCurrent(); }

// The priority of the running task, escalated or not, which its new tasks inherit. Of the same ABI.
extern __attribute__((swiftcall)) size_t swift_task_currentPriority(void *task);
static inline intptr_t eddy_task_priority(uintptr_t task) { return (intptr_t)swift_task_currentPriority((void *)task); }

// Cancels a task: `Task.cancel()` for one that is known by its address. Of the same ABI.
extern __attribute__((swiftcall)) void swift_task_cancel(void *task);
static inline void eddy_cancel_task(uintptr_t task) { swift_task_cancel((void *)task); }

// The name of the running task (SE-0469), or null: what `Task.name` makes a string of. The memory is the task's.
extern __attribute__((swiftcall)) const char *swift_task_getCurrentTaskName(void);
static inline const char *eddy_current_task_name(void) { return swift_task_getCurrentTaskName(); }

// How many forks lie between the first process and this one. A child shares the parent's epoll set (fork(2), epoll(7)): a
// reactor must know that it is in a child, with a load and no system call. A child made by clone(2) by hand is not counted.
__attribute__((weak)) uint32_t eddy_fork_generation_storage = 0;
__attribute__((weak)) int eddy_fork_is_watched = 0;
__attribute__((noinline, unused)) static void eddy_fork_count(void) { eddy_fork_generation_storage++; }
static inline void eddy_fork_watch(void) {
    if (__atomic_exchange_n(&eddy_fork_is_watched, 1, __ATOMIC_RELAXED) == 0) pthread_atfork(0, 0, eddy_fork_count);
}
static inline uint32_t eddy_fork_generation(void) { return __atomic_load_n(&eddy_fork_generation_storage, __ATOMIC_RELAXED); }

static inline int32_t eddy_process_id(void) { return (int32_t)getpid(); }
static inline int32_t eddy_thread_id(void) { return (int32_t)syscall(SYS_gettid); }
static inline int32_t eddy_is_main_thread(void) { return getpid() == (int32_t)syscall(SYS_gettid); }

// What ThreadSanitizer must be told about locks whose code it does not see. Weak: absent in every other build.
extern __attribute__((weak)) void __tsan_acquire(void *);
extern __attribute__((weak)) void __tsan_release(void *);
static inline int32_t eddy_has_thread_sanitizer(void) { return __tsan_acquire != 0; }
static inline void eddy_lock_acquired(const void *lock) {
    if (__tsan_acquire) __tsan_acquire((void *)lock);
}
static inline void eddy_lock_released(const void *lock) {
    if (__tsan_release) __tsan_release((void *)lock);
}

// libdispatch's main queue, the pair that CoreFoundation's run loop uses: a descriptor that becomes readable when the queue
// has work, and the function that drains it. Weak: absent when the program does not carry libdispatch.
extern __attribute__((weak)) int _dispatch_get_main_queue_handle_4CF(void);
extern __attribute__((weak)) void _dispatch_main_queue_callback_4CF(void *);

static inline int32_t eddy_main_queue_descriptor(void) {
    return _dispatch_get_main_queue_handle_4CF ? _dispatch_get_main_queue_handle_4CF() : -1;
}
static inline void eddy_main_queue_drain(void) {
    if (_dispatch_main_queue_callback_4CF) _dispatch_main_queue_callback_4CF((void *)0);
}

// Whether the program itself uses libdispatch, through Swift's Dispatch module. libswift_Concurrency links the C library in any
// case. Statically linked programs can't be asked, so they count as using it.
static inline int32_t eddy_program_uses_dispatch(void) {
    void *overlay = dlopen("libswiftDispatch.so", RTLD_NOLOAD | RTLD_LAZY);
    if (overlay) {
        dlclose(overlay);
        return 1;
    }
    void *library = dlopen("libdispatch.so", RTLD_NOLOAD | RTLD_LAZY);
    if (library) {
        dlclose(library);
        return 0;
    }
    return _dispatch_get_main_queue_handle_4CF != 0;
}

// How many threads the process has, or -1.
static inline int32_t eddy_thread_count(void) {
    DIR *directory = opendir("/proc/self/task");
    if (!directory) return -1;
    int32_t count = 0;
    for (struct dirent *entry; (entry = readdir(directory));) count += entry->d_name[0] != '.';
    closedir(directory);
    return count;
}

// How many processors the running thread may use (sched_getaffinity(2), whose macros hide behind _GNU_SOURCE): one bit each, for
// as many as Linux can be built for.
static inline long eddy_available_processors(void) {
    unsigned char mask[1024];
    long length = syscall(SYS_sched_getaffinity, 0, sizeof mask, mask);
    if (length < 0) return -(long)errno;
    long count = 0;
    for (long index = 0; index < length; index++) count += __builtin_popcount(mask[index]);
    return count;
}

// Starts a thread. Answers 0, or -errno as pthread_create(3) has it. With `joinable` null nobody joins it; otherwise it is named
// there, for eddy_thread_join.
//
// It takes no signals, so that those of the process go on reaching the threads that expect them; the mask is inherited, so it is
// there from the first instruction. What a fault of the thread itself raises stays open: blocked, it would end the process without
// its handler's report (sigprocmask(2)).
static inline long eddy_thread_start(void *(*body)(void *), void *argument, uintptr_t *joinable) {
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS};
    static const size_t least_stack = 1 << 20;
    pthread_attr_t attributes;
    int result = pthread_attr_init(&attributes);
    if (result != 0) return -(long)result;
    if (!joinable) pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    // musl's 128 KiB are too little for a resolver and whatever runs above it.
    size_t stack = 0;
    if (pthread_attr_getstacksize(&attributes, &stack) == 0 && stack < least_stack)
        pthread_attr_setstacksize(&attributes, least_stack);
    sigset_t blocked, previous;
    sigfillset(&blocked);
    for (size_t index = 0; index < sizeof faults / sizeof *faults; index++) sigdelset(&blocked, faults[index]);
    pthread_sigmask(SIG_SETMASK, &blocked, &previous);
    pthread_t thread;
    result = pthread_create(&thread, &attributes, body, argument);
    pthread_sigmask(SIG_SETMASK, &previous, (sigset_t *)0);
    pthread_attr_destroy(&attributes);
    if (joinable && result == 0) *joinable = (uintptr_t)thread;
    return -(long)result;
}
// Waits until a thread has ended, and frees what is left of it.
static inline void eddy_thread_join(uintptr_t thread) { pthread_join((pthread_t)thread, (void **)0); }
// Nobody will wait: the thread frees itself when it ends.
static inline void eddy_thread_detach(uintptr_t thread) { pthread_detach((pthread_t)thread); }
// At most 15 bytes (pthread_setname_np(3), which hides behind _GNU_SOURCE).
static inline void eddy_thread_set_name(const char *name) { prctl(PR_SET_NAME, name, 0, 0, 0); }
// Whether the running thread blocks a signal.
static inline int32_t eddy_signal_is_blocked(int signal) {
    sigset_t current;
    pthread_sigmask(SIG_SETMASK, (sigset_t *)0, &current);
    return sigismember(&current, signal) == 1;
}

// A lock that a thread can wait under.
struct eddy_monitor {
    pthread_mutex_t lock;
    pthread_cond_t changed;
};
static inline struct eddy_monitor *eddy_monitor_create(void) {
    struct eddy_monitor *monitor = (struct eddy_monitor *)malloc(sizeof *monitor);
    pthread_condattr_t attributes;
    pthread_mutex_init(&monitor->lock, (pthread_mutexattr_t *)0);
    pthread_condattr_init(&attributes);
    // The default clock jumps when somebody sets the time.
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&monitor->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    return monitor;
}
static inline void eddy_monitor_destroy(struct eddy_monitor *monitor) {
    pthread_cond_destroy(&monitor->changed);
    pthread_mutex_destroy(&monitor->lock);
    free(monitor);
}
static inline void eddy_monitor_lock(struct eddy_monitor *monitor) { pthread_mutex_lock(&monitor->lock); }
static inline void eddy_monitor_unlock(struct eddy_monitor *monitor) { pthread_mutex_unlock(&monitor->lock); }
static inline void eddy_monitor_notify_one(struct eddy_monitor *monitor) { pthread_cond_signal(&monitor->changed); }
static inline void eddy_monitor_notify_all(struct eddy_monitor *monitor) { pthread_cond_broadcast(&monitor->changed); }
// Waits until notified, or until an instant of CLOCK_MONOTONIC. Answers 0 when that has come. May answer 1 without cause.
static inline int32_t eddy_monitor_wait(struct eddy_monitor *monitor, int64_t deadline) {
    struct timespec until = {.tv_sec = deadline / 1000000000, .tv_nsec = deadline % 1000000000};
    return pthread_cond_timedwait(&monitor->changed, &monitor->lock, &until) == 0;
}

// ---- signals ---------------------------------------------------------------------------------------------------------

// What a handler is told: the signal, si_code, and the process and user that sent it, zero where nobody did (sigaction(2)).
typedef void (*eddy_signal_callback)(int32_t signal, int32_t code, int32_t process, uint32_t user);
__attribute__((weak)) eddy_signal_callback eddy_signal_callback_storage = 0;

__attribute__((noinline, unused)) static void eddy_signal_handle(int signal, siginfo_t *information, void *context) {
    (void)context;
    // The interrupted code may be between a call and its look at errno.
    int interrupted = errno;
    int code = information->si_code;
    // SI_USER, SI_QUEUE, SI_TKILL and a child's changes name a process; other codes keep other things in that place.
    int is_sent = code == SI_USER || code == SI_QUEUE || code == -6 || (signal == SIGCHLD && code > 0);
    eddy_signal_callback_storage(
        signal, code, is_sent ? (int32_t)information->si_pid : 0, is_sent ? (uint32_t)information->si_uid : 0);
    errno = interrupted;
}

// Installs a handler. Answers the former action, for eddy_signal_restore, or null when the kernel refuses, or when only the
// default action may be replaced and there is another one.
static inline void *eddy_signal_install(int signal, eddy_signal_callback callback, int32_t only_default) {
    struct sigaction current, replacement;
    if (sigaction(signal, (struct sigaction *)0, &current) != 0) return 0;
    if (only_default && ((current.sa_flags & SA_SIGINFO) || current.sa_handler != SIG_DFL)) return 0;
    struct sigaction *former = (struct sigaction *)malloc(sizeof *former);
    *former = current;
    eddy_signal_callback_storage = callback;
    memset(&replacement, 0, sizeof replacement);
    replacement.sa_sigaction = eddy_signal_handle;
    replacement.sa_flags = SA_SIGINFO | SA_RESTART;
    // One handler at a time on a thread: none of them has to expect another one half way.
    sigfillset(&replacement.sa_mask);
    if (sigaction(signal, &replacement, (struct sigaction *)0) != 0) {
        free(former);
        return 0;
    }
    return former;
}
static inline int32_t eddy_signal_was_default(const void *former) {
    const struct sigaction *action = (const struct sigaction *)former;
    return !(action->sa_flags & SA_SIGINFO) && action->sa_handler == SIG_DFL;
}
// A child whose parent ignores SIGCHLD, or has SA_NOCLDWAIT for it, is gone when it ends, and nobody learns how (waitid(2), NOTES).
// An ignored signal is inherited through execve(2), so mostly nobody here has asked for that. A handler stays.
__attribute__((weak)) int32_t eddy_keeps_children_storage = 0;
static inline void eddy_keep_children(void) {
    struct sigaction action;
    __atomic_store_n(&eddy_keeps_children_storage, 1, __ATOMIC_RELAXED);
    if (sigaction(SIGCHLD, (struct sigaction *)0, &action) != 0) return;
    if (action.sa_handler != SIG_IGN && !(action.sa_flags & SA_NOCLDWAIT)) return;
    if (action.sa_handler == SIG_IGN) action.sa_handler = SIG_DFL;
    action.sa_flags &= ~SA_NOCLDWAIT;
    sigaction(SIGCHLD, &action, (struct sigaction *)0);
}

// Puts a former action back, unless somebody has installed another one meanwhile. Frees it.
static inline void eddy_signal_restore(int signal, void *former) {
    struct sigaction current;
    if (sigaction(signal, (struct sigaction *)0, &current) == 0 && (current.sa_flags & SA_SIGINFO) &&
        current.sa_sigaction == eddy_signal_handle)
        sigaction(signal, (const struct sigaction *)former, (struct sigaction *)0);
    // What was ignored before there were children of ours must not be now.
    if (signal == SIGCHLD && __atomic_load_n(&eddy_keeps_children_storage, __ATOMIC_RELAXED)) eddy_keep_children();
    free(former);
}
// Gives a signal its default action, now. Async-signal-safe: used inside the handler, at whose end it takes effect.
static inline void eddy_signal_default(int signal) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = SIG_DFL;
    sigemptyset(&action.sa_mask);
    sigaction(signal, &action, (struct sigaction *)0);
    raise(signal);
    // The first process of a container survives the default action (pid_namespaces(7)): it ends with the status that a shell would
    // have shown.
    if (getpid() == 1) _exit(128 + signal);
}
// Blocks or unblocks a signal in the running thread. Answers whether it was blocked before.
static inline int32_t eddy_signal_set_blocked(int signal, int32_t is_blocked) {
    sigset_t set, former;
    sigemptyset(&set);
    sigaddset(&set, signal);
    pthread_sigmask(is_blocked ? SIG_BLOCK : SIG_UNBLOCK, &set, &former);
    return sigismember(&former, signal) == 1;
}
// Ends the process by a signal's default action, on whatever thread.
static inline void eddy_signal_end(int signal) {
    eddy_signal_default(signal);
    eddy_signal_set_blocked(signal, 0);
    // Only where the default action ends nothing.
    _exit(128 + signal);
}

// SIGRTMIN and SIGRTMAX are calls in glibc.
static inline int32_t eddy_first_real_time_signal(void) { return SIGRTMIN; }
static inline int32_t eddy_last_real_time_signal(void) { return SIGRTMAX; }

// A thread waits here for signals; a handler may post (sem_post(3) is async-signal-safe).
__attribute__((weak)) sem_t eddy_signal_semaphore_storage = {{0}};
static inline void eddy_signal_semaphore_create(void) { sem_init(&eddy_signal_semaphore_storage, 0, 0); }
static inline void eddy_signal_semaphore_post(void) { sem_post(&eddy_signal_semaphore_storage); }
static inline void eddy_signal_semaphore_wait(void) {
    while (sem_wait(&eddy_signal_semaphore_storage) != 0 && errno == EINTR) {}
}

// ---- processes -------------------------------------------------------------------------------------------------------

// How a child is started, and what became of that.
struct eddy_spawn {
    // Tried in this order; null at the end.
    const char *const *paths;
    char *const *arguments;
    char *const *environment;
    // Null: the parent's.
    const char *directory;
    // What becomes descriptor 0, 1 and 2; -1 leaves one as it is.
    int32_t descriptors[3];
    // -1: the parent's process group; 0: one of its own; otherwise the group to join.
    int32_t group;
    int32_t begins_session;
    // Answers: a descriptor of the process, or -1 where the kernel has none; what failed (1 descriptors, 2 group or session,
    // 3 directory, 4 the program), and its error number.
    int32_t process_descriptor;
    int32_t failed_step;
    int32_t error;
};

// The child, until it is another program. It shares the parent's memory, and the parent's thread waits meanwhile (CLONE_VM and
// CLONE_VFORK, clone(2)): so only system calls, made past the C library, whose locks and records (and the sanitizers') are the
// parent's. Descriptors and signal actions are its own.
//
// Not instrumented: it never returns, and a sanitizer would keep its frame in the books of the parent's thread.
__attribute__((noinline, unused, disable_sanitizer_instrumentation)) static int eddy_spawn_child(void *argument) {
    struct eddy_spawn *spawn = (struct eddy_spawn *)argument;
    uint64_t no_signals = 0;
    int sources[3];
    // A signal must not run a handler of the parent's in the parent's memory. Ignored ones stay ignored, as execve(2) has it, but
    // for SIGPIPE: a program that expects it, as `yes` in `yes | head`, would write for ever.
    for (int signal = 1; signal <= 64; signal++) {
        // The kernel's struct, whose first word is the handler; all zero is the default.
        unsigned long action[8] = {0}, standard[8] = {0};
        if (syscall(SYS_rt_sigaction, signal, (void *)0, action, sizeof no_signals) != 0) continue;
        if (action[0] == (unsigned long)SIG_DFL || (action[0] == (unsigned long)SIG_IGN && signal != SIGPIPE)) continue;
        syscall(SYS_rt_sigaction, signal, standard, (void *)0, sizeof no_signals);
    }
    spawn->failed_step = 1;
    for (int index = 0; index < 3; index++) {
        sources[index] = spawn->descriptors[index];
        // Out of the way of what is put there next.
        if (sources[index] < 0 || sources[index] > 2 || sources[index] == index) continue;
        sources[index] = (int)syscall(SYS_fcntl, sources[index], F_DUPFD_CLOEXEC, 3);
        if (sources[index] < 0) goto failed;
    }
    for (int index = 0; index < 3; index++) {
        if (sources[index] < 0) continue;
        long result = sources[index] == index ? syscall(SYS_fcntl, index, F_SETFD, 0)
                                              : syscall(SYS_dup3, sources[index], index, 0);
        if (result < 0) goto failed;
    }
#ifdef SYS_close_range
    // What others have opened without close-on-exec. Before Linux 5.9 they are inherited.
    syscall(SYS_close_range, 3u, ~0u, 0u);
#endif
    spawn->failed_step = 2;
    if (spawn->begins_session && syscall(SYS_setsid) < 0) goto failed;
    if (!spawn->begins_session && spawn->group >= 0 && syscall(SYS_setpgid, 0, spawn->group) < 0) goto failed;
    spawn->failed_step = 3;
    if (spawn->directory && syscall(SYS_chdir, spawn->directory) < 0) goto failed;
    spawn->failed_step = 4;
    // The mask is inherited by the program, which expects none.
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &no_signals, (void *)0, sizeof no_signals);
    // As execvp(3): a place without it is passed over, and one that may not be used is remembered.
    int denied = 0;
    for (const char *const *path = spawn->paths; *path; path++) {
        syscall(SYS_execve, *path, spawn->arguments, spawn->environment);
        if (errno == EACCES) denied = 1;
        else if (errno != ENOENT && errno != ENOTDIR && errno != ENAMETOOLONG) goto failed;
    }
    errno = denied ? EACCES : errno ? errno : ENOENT;
failed:
    spawn->error = errno;
    syscall(SYS_exit_group, 127);
    return 127;
}

// By its other name, which ThreadSanitizer does not replace: its own takes every clone for a fork with a memory of its own.
#ifdef __GLIBC__
extern int __clone(int (*)(void *), void *, int, void *, ...);
#define EDDY_CLONE __clone
#else
extern int clone(int (*)(void *), void *, int, void *, ...);
#define EDDY_CLONE clone
#endif

// Starts a child process. Answers its number, or -errno.
static inline long eddy_spawn_process(struct eddy_spawn *spawn) {
    // As glibc's posix_spawn does it, with a descriptor of the process from the start (CLONE_PIDFD, Linux 5.2), and with the step that
    // failed.
    static const size_t stack_size = 64 * 1024;
    char *stack = (char *)malloc(stack_size);
    if (!stack) return -ENOMEM;
    spawn->process_descriptor = -1;
    spawn->failed_step = 0;
    spawn->error = 0;
    eddy_keep_children();
    sigset_t all, former;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &former);
    char *top = (char *)((uintptr_t)(stack + stack_size) & ~(uintptr_t)15);
    // CLONE_VM | CLONE_VFORK | CLONE_PIDFD: their names hide behind _GNU_SOURCE.
    int child = EDDY_CLONE(eddy_spawn_child, top, 0x100 | 0x4000 | 0x1000 | SIGCHLD, spawn, &spawn->process_descriptor);
    long result = child < 0 ? -(long)errno : child;
    if (child >= 0 && spawn->error != 0) {
        // It has ended already.
        while (waitpid(child, (int *)0, 0) < 0 && errno == EINTR) {}
        if (spawn->process_descriptor >= 0) close(spawn->process_descriptor);
        spawn->process_descriptor = -1;
        result = -(long)spawn->error;
    }
    pthread_sigmask(SIG_SETMASK, &former, (sigset_t *)0);
    free(stack);
    return result;
}

// waitid(2) for the end of a child, named by descriptor or by number. Answers -EAGAIN while it runs, unless it waits.
static inline long eddy_wait_process(
    int id, int32_t is_descriptor, int32_t waits, int32_t keeps, int32_t *code, int32_t *status) {
    siginfo_t information;
    memset(&information, 0, sizeof information);
    int flags = WEXITED | (waits ? 0 : WNOHANG) | (keeps ? WNOWAIT : 0);
    // P_PIDFD is 3 (Linux 5.4), P_PID is 1.
    long result = syscall(SYS_waitid, is_descriptor ? 3 : 1, id, &information, flags, (void *)0);
    if (result < 0) return -(long)errno;
    if (information.si_pid == 0) return -EAGAIN;
    *code = information.si_code;
    *status = information.si_status;
    return 0;
}
static inline long eddy_signal_process_descriptor(int fd, int signal) {
#ifdef SYS_pidfd_send_signal
    EDDY_RESULT(syscall(SYS_pidfd_send_signal, fd, signal, (void *)0, 0));
#else
    (void)fd, (void)signal;
    return -ENOSYS;
#endif
}
static inline long eddy_kill(int32_t process, int signal) { EDDY_RESULT(kill(process, signal)); }
extern char **environ;
static inline char **eddy_environment(void) { return environ; }
// A pipe whose ends block, as programs expect of their standard streams.
static inline long eddy_blocking_pipe(int32_t ends[2]) { EDDY_RESULT(pipe2(ends, O_CLOEXEC)); }

#undef EDDY_CLONE
#undef EDDY_RESULT
#undef EDDY_RESULT_WITHOUT_SIGPIPE
