// Opens descriptors of every kind and says whether they are still what they were.
//   descriptors open KIND DIRECTORY   opens, prints "ready", closes its console, waits
//   descriptors serve FILE COUNT      COUNT processes that run the system calls they find in FILE: stubs without ptrace
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static char *dir;
static int fails;

#define MUST(x) ({ long must_ = (long)(x); if (must_ < 0) { printf("line %d: %s: %s\n", __LINE__, #x, strerror(errno)); exit(3); } must_; })
// The line of the first failed check is the answer.
#define CHECK(x) do { if (!(x) && !fails) fails = __LINE__; } while (0)

static int at(int fd, int number) {
  if (fd == number) return fd;
  int flags = MUST(fcntl(fd, F_GETFD));
  MUST(dup3(fd, number, flags & FD_CLOEXEC ? O_CLOEXEC : 0));
  MUST(close(fd));
  return number;
}

static char *in_dir(const char *name) {
  static char path[4096];
  snprintf(path, sizeof path, "%s/%s", dir, name);
  return path;
}

// The kernel marks every file opened by a 64-bit program with O_LARGEFILE, which the C library does not name.
static int flags_are(int fd, int flags) { return (fcntl(fd, F_GETFL) & ~0100000) == flags; }
static int readable(int fd) { struct pollfd p = {fd, POLLIN, 0}; return poll(&p, 1, 0) == 1 && p.revents & POLLIN; }

// --- regular file: 10 read-write with a position, 11 a dup of it, 12 append, 13 write-only non-blocking
static void open_regular(void) {
  int fd = at(MUST(open(in_dir("data"), O_RDWR | O_CREAT | O_CLOEXEC, 0640)), 10);
  MUST(write(fd, "hello, world", 12));
  MUST(lseek(fd, 5, SEEK_SET));
  MUST(dup3(fd, 11, 0));
  at(MUST(open(in_dir("data"), O_WRONLY | O_APPEND)), 12);
  at(MUST(open(in_dir("data"), O_WRONLY | O_NONBLOCK | O_SYNC | O_CLOEXEC)), 13);
  fcntl(12, F_SETSIG, SIGUSR1);
  struct f_owner_ex owner = {F_OWNER_PID, getpid()};
  MUST(fcntl(12, F_SETOWN_EX, &owner));
  at(MUST(open("/proc/self/status", O_RDONLY)), 14);
  at(MUST(open("/proc/meminfo", O_RDONLY)), 15);
  char text[10];
  MUST(read(15, text, 10));
}
static void verify_regular(void) {
  char text[20] = "";
  CHECK(read(10, text, 2) == 2 && !memcmp(text, ", ", 2));
  CHECK(lseek(11, 0, SEEK_CUR) == 7);
  CHECK(write(12, "!", 1) == 1 && lseek(12, 0, SEEK_CUR) == 13);
  CHECK(pread(10, text, 20, 0) == 13 && !memcmp(text, "hello, world!", 13));
  CHECK(fcntl(10, F_GETFD) == FD_CLOEXEC && fcntl(11, F_GETFD) == 0);
  CHECK(flags_are(10, O_RDWR) && flags_are(12, O_WRONLY | O_APPEND) && flags_are(13, O_WRONLY | O_NONBLOCK | O_SYNC));
  CHECK(fcntl(12, F_GETSIG) == SIGUSR1);
  struct f_owner_ex owner;
  CHECK(!fcntl(12, F_GETOWN_EX, &owner) && owner.type == F_OWNER_PID && owner.pid == getpid());
  CHECK(read(14, text, 5) == 5 && !memcmp(text, "Name:", 5));
  CHECK(lseek(15, 0, SEEK_CUR) == 10);
}

// --- deleted file: 10 and, opened again, 11; 5 MiB with a hole
static void open_deleted(void) {
  at(MUST(open(in_dir("gone"), O_RDWR | O_CREAT, 0600)), 10);
  at(MUST(open(in_dir("gone"), O_RDONLY)), 11);
  MUST(unlink(in_dir("gone")));
  for (int i = 0; i < 5 << 18; i++) if (i < 1 << 18 || i >= 3 << 18) MUST(pwrite(10, &i, 4, i * 4l) - 4);
  MUST(lseek(10, 1000, SEEK_SET));
  MUST(lseek(11, 2000, SEEK_SET));
}
static void change_deleted(void) { MUST(pwrite(10, "changed!", 8, 1 << 20)); MUST(ftruncate(10, (5 << 20) - 100)); }
static void verify_deleted(void) {
  struct stat s, t;
  CHECK(!fstat(10, &s) && !fstat(11, &t) && s.st_ino == t.st_ino && s.st_nlink == 0 && s.st_size == (5 << 20) - 100);
  CHECK((s.st_mode & 07777) == 0600);
  CHECK(lseek(10, 0, SEEK_CUR) == 1000 && lseek(11, 0, SEEK_CUR) == 2000);
  char text[9] = "", link[4096] = "", wanted[4096];
  CHECK(pread(11, text, 8, 1 << 20) == 8 && !strcmp(text, "changed!"));
  for (int i = 0; i < (5 << 18) - 25; i++) {
    int found = -1;
    if (i == 1 << 18 || i == (1 << 18) + 1) continue;
    CHECK(pread(11, &found, 4, i * 4l) == 4 && found == (i < 1 << 18 || i >= 3 << 18 ? i : 0));
  }
  CHECK(readlink("/proc/self/fd/10", link, 4000) > 0);
  snprintf(wanted, sizeof wanted, "%s/gone (deleted)", dir);
  CHECK(!strcmp(link, wanted));
  CHECK(write(10, "x", 1) == 1 && write(11, "x", 1) == -1 && errno == EBADF);
}

// --- directory: 10, half read
static void open_directory(void) {
  at(MUST(open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)), 10);
  at(MUST(open("/", O_PATH)), 11);
}
static void verify_directory(void) {
  struct stat s, t;
  CHECK(!fstat(10, &s) && !stat(dir, &t) && s.st_ino == t.st_ino);
  CHECK(!fstat(11, &s) && !stat("/", &t) && s.st_ino == t.st_ino && flags_are(11, O_PATH));
}

// --- devices
static void open_devices(void) {
  const char *names[] = {"null", "zero", "full", "random", "urandom"};
  for (int i = 0; i < 5; i++) {
    char path[32];
    snprintf(path, sizeof path, "/dev/%s", names[i]);
    at(MUST(open(path, i < 3 ? O_RDWR : O_RDONLY)), 10 + i);
  }
}
static void verify_devices(void) {
  char c = 1;
  CHECK(read(10, &c, 1) == 0 && read(11, &c, 1) == 1 && c == 0);
  CHECK(write(12, &c, 1) == -1 && errno == ENOSPC);
  CHECK(read(13, &c, 1) == 1 && read(14, &c, 1) == 1);
}

// --- pipes: 10/11 with content; 12 read end, writer gone; 13 write end, reader gone; 14/15 packets; 16/17 large, 18 opened through /proc
static void open_pipe(void) {
  int p[2];
  MUST(pipe2(p, O_NONBLOCK)); at(p[0], 110); at(p[1], 11); at(110, 10);
  MUST(write(11, "content", 7));
  MUST(pipe(p)); MUST(write(p[1], "last words", 10)); close(p[1]); at(p[0], 12);
  MUST(pipe(p)); close(p[0]); at(p[1], 13);
  MUST(pipe2(p, O_DIRECT)); at(p[0], 114); at(p[1], 15); at(114, 14);
  MUST(write(15, "one", 3)); MUST(write(15, "three", 5));
  MUST(pipe2(p, O_CLOEXEC)); at(p[0], 116); at(p[1], 17); at(116, 16);
  MUST(fcntl(17, F_SETPIPE_SZ, 1 << 18));
  static char large[200000];
  for (int i = 0; i < 200000; i++) large[i] = i * 7 / 3;
  MUST(write(17, large, sizeof large));
  at(MUST(open("/proc/self/fd/16", O_RDONLY | O_NONBLOCK)), 18);
}
static void verify_pipe(void) {
  static char text[200001];
  CHECK(read(10, text, 100) == 7 && !memcmp(text, "content", 7) && read(10, text, 1) == -1 && errno == EAGAIN);
  CHECK(write(11, "again", 5) == 5 && read(10, text, 100) == 5);
  CHECK(flags_are(10, O_RDONLY | O_NONBLOCK) && flags_are(11, O_WRONLY | O_NONBLOCK));
  CHECK(read(12, text, 100) == 10 && !memcmp(text, "last words", 10) && read(12, text, 100) == 0);
  signal(SIGPIPE, SIG_IGN);
  CHECK(write(13, "x", 1) == -1 && errno == EPIPE);
  CHECK(read(14, text, 100) == 3 && read(14, text, 100) == 5 && !memcmp(text, "three", 5));
  CHECK(fcntl(16, F_GETPIPE_SZ) == 1 << 18);
  CHECK(read(18, text, sizeof text) == 200000);
  for (int i = 0; i < 200000; i++) CHECK(text[i] == (char)(i * 7 / 3));
  CHECK(read(18, text, 1) == -1 && errno == EAGAIN);
  CHECK(flags_are(18, O_RDONLY | O_NONBLOCK) && flags_are(16, O_RDONLY));
}

// --- FIFO: 10 reader, 11 writer
static void open_fifo(void) {
  MUST(mkfifo(in_dir("fifo"), 0600));
  int both = MUST(open(in_dir("fifo"), O_RDWR));
  at(MUST(open(in_dir("fifo"), O_RDONLY)), 10);
  at(MUST(open(in_dir("fifo"), O_WRONLY | O_NONBLOCK)), 11);
  close(both);
  MUST(write(11, "through the fifo", 16));
}
static void verify_fifo(void) {
  char text[100];
  CHECK(read(10, text, 100) == 16 && !memcmp(text, "through the fifo", 16));
  CHECK(write(11, "more", 4) == 4 && read(10, text, 100) == 4);
  close(11);
  CHECK(read(10, text, 100) == 0);
}

// --- eventfd: 10 plain, 11 semaphore
static void open_eventfd(void) {
  uint64_t n = 1ull << 40;
  at(MUST(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)), 10);
  MUST(write(10, &n, 8));
  at(MUST(eventfd(3, EFD_SEMAPHORE)), 11);
}
static void verify_eventfd(void) {
  uint64_t n = 0;
  CHECK(read(10, &n, 8) == 8 && n == 1ull << 40 && read(10, &n, 8) == -1 && errno == EAGAIN);
  CHECK(read(11, &n, 8) == 8 && n == 1 && read(11, &n, 8) == 8 && n == 1 && readable(11));
}

// --- epoll: 10 watches 11 (eventfd), 12 (a pipe, edge-triggered), number 50 whose descriptor is closed and is the file of 13,
//     14 (one-shot that has fired) and 15 (an epoll that watches 16)
static void add(int epoll, int fd, uint32_t events, uint64_t data) {
  struct epoll_event e = {.events = events, .data.u64 = data};
  MUST(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e));
}
static void open_epoll(void) {
  int p[2];
  at(MUST(epoll_create1(EPOLL_CLOEXEC)), 10);
  at(MUST(eventfd(0, 0)), 11); add(10, 11, EPOLLIN, 0x1111222233334444);
  MUST(pipe(p)); at(p[0], 12); at(p[1], 112); add(10, 12, EPOLLIN | EPOLLET, 12);
  at(MUST(eventfd(0, 0)), 50); MUST(dup3(50, 13, 0)); add(10, 50, EPOLLIN | EPOLLPRI, 50);
  MUST(dup3(11, 50, O_CLOEXEC));
  at(MUST(eventfd(1, 0)), 14); add(10, 14, EPOLLIN | EPOLLONESHOT, 14);
  struct epoll_event e[10];
  if (epoll_wait(10, e, 10, 0) != 1) exit(4);
  at(MUST(epoll_create1(0)), 15); at(MUST(eventfd(0, 0)), 16); add(15, 16, EPOLLIN, 16); add(10, 15, EPOLLIN, 15);
}
static int only(uint64_t data, uint32_t events) {
  struct epoll_event e[10];
  return epoll_wait(10, e, 10, 0) == 1 && e[0].data.u64 == data && e[0].events == events;
}
static void verify_epoll(void) {
  uint64_t one = 1;
  struct epoll_event e[10];
  CHECK(epoll_wait(10, e, 10, 0) == 0);
  CHECK(write(11, &one, 8) == 8 && only(0x1111222233334444, EPOLLIN) && read(11, &one, 8) == 8);
  CHECK(write(112, "x", 1) == 1 && only(12, EPOLLIN) && epoll_wait(10, e, 10, 0) == 0);
  one = 1;
  CHECK(write(13, &one, 8) == 8 && only(50, EPOLLIN) && read(13, &one, 8) == 8);
  CHECK(write(50, &one, 8) == 8 && only(0x1111222233334444, EPOLLIN) && read(11, &one, 8) == 8);
  struct epoll_event again = {.events = EPOLLIN | EPOLLONESHOT, .data.u64 = 144};
  CHECK(epoll_ctl(10, EPOLL_CTL_MOD, 14, &again) == 0 && only(144, EPOLLIN) && epoll_wait(10, e, 10, 0) == 0);
  CHECK(write(16, &one, 8) == 8 && only(15, EPOLLIN));
}

// --- timerfd: 10 fires in 100 s every 7 s, 11 has fired 1 time once, 12 disarmed, 13 wall clock absolute
static void open_timerfd(void) {
  at(MUST(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)), 10);
  struct itimerspec t = {{7, 5}, {100, 0}};
  MUST(timerfd_settime(10, 0, &t, NULL));
  at(MUST(timerfd_create(CLOCK_BOOTTIME, 0)), 11);
  struct itimerspec soon = {{0, 0}, {0, 1}};
  MUST(timerfd_settime(11, 0, &soon, NULL));
  struct pollfd p = {11, POLLIN, 0};
  MUST(poll(&p, 1, 1000));
  at(MUST(timerfd_create(CLOCK_REALTIME, 0)), 12);
  at(MUST(timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK)), 13);
  struct itimerspec date = {{0, 0}, {4102444800, 42}};
  MUST(timerfd_settime(13, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &date, NULL));
  // Every 20 ms, never read: many expirations by now.
  at(MUST(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK)), 14);
  struct itimerspec often = {{0, 20000000}, {0, 1}};
  MUST(timerfd_settime(14, 0, &often, NULL));
  usleep(110000);
}
static void verify_timerfd(void) {
  struct itimerspec t;
  uint64_t n = 0;
  CHECK(!timerfd_gettime(10, &t) && t.it_interval.tv_sec == 7 && t.it_interval.tv_nsec == 5 && t.it_value.tv_sec <= 99 && t.it_value.tv_sec >= 85);
  CHECK(read(10, &n, 8) == -1 && errno == EAGAIN);
  CHECK(readable(11) && read(11, &n, 8) == 8 && n == 1);
  CHECK(!timerfd_gettime(12, &t) && t.it_value.tv_sec == 0 && t.it_value.tv_nsec == 0);
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  CHECK(!timerfd_gettime(13, &t) && labs(t.it_value.tv_sec + now.tv_sec - 4102444800) <= 1);
  CHECK(read(14, &n, 8) == 8 && n >= 5 && n < 100000);
  struct pollfd p = {14, POLLIN, 0};
  CHECK(poll(&p, 1, 1000) == 1 && read(14, &n, 8) == 8 && n < 10);
}

// --- memfd: 10 and 11 the same file opened twice, sealed; 12 another one
static void open_memfd(void) {
  at(MUST(memfd_create("my memory", MFD_ALLOW_SEALING | MFD_CLOEXEC)), 10);
  MUST(ftruncate(10, 100000));
  at(MUST(open("/proc/self/fd/10", O_RDONLY)), 11);
  MUST(fcntl(10, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK));
  MUST(lseek(10, 77, SEEK_SET));
  at(MUST(memfd_create("other", 0)), 12);
}
static void verify_memfd(void) {
  struct stat s, t;
  char link[100] = "";
  CHECK(!fstat(10, &s) && !fstat(11, &t) && s.st_ino == t.st_ino && s.st_size == 100000);
  CHECK(fcntl(10, F_GET_SEALS) == (F_SEAL_GROW | F_SEAL_SHRINK) && fcntl(12, F_GET_SEALS) == F_SEAL_SEAL);
  CHECK(lseek(10, 0, SEEK_CUR) == 77 && lseek(11, 0, SEEK_CUR) == 0);
  CHECK(readlink("/proc/self/fd/10", link, 99) > 0 && !strcmp(link, "/memfd:my memory (deleted)"));
  CHECK(write(11, "x", 1) == -1 && pwrite(10, "x", 1, 0) == 1 && pread(11, link, 1, 0) == 1 && link[0] == 'x');
}

// --- TCP: 10 listens on v4, 11 on v6 only, 12 is nothing yet, 13 is bound; UDP: 14 bound, 15 not
static int on(int fd, int level, int name, int value) { return MUST(setsockopt(fd, level, name, &value, sizeof value)); }
static int value(int fd, int level, int name) { int v = -1; socklen_t l = sizeof v; getsockopt(fd, level, name, &v, &l); return v; }
static int port_of(int fd) { struct sockaddr_in6 a = {0}; socklen_t l = sizeof a; getsockname(fd, (void *)&a, &l); return ntohs(a.sin6_port); }
static void open_tcp(void) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  struct sockaddr_in6 a6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
  at(MUST(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)), 10);
  on(10, SOL_SOCKET, SO_REUSEADDR, 1); on(10, SOL_SOCKET, SO_KEEPALIVE, 1); on(10, SOL_SOCKET, SO_RCVBUF, 50000);
  on(10, IPPROTO_TCP, TCP_NODELAY, 1); on(10, IPPROTO_TCP, TCP_KEEPIDLE, 123); on(10, IPPROTO_IP, IP_TOS, 0x10);
  MUST(bind(10, (void *)&a, sizeof a)); MUST(listen(10, 17));
  at(MUST(socket(AF_INET6, SOCK_STREAM, 0)), 11);
  on(11, IPPROTO_IPV6, IPV6_V6ONLY, 1); on(11, SOL_SOCKET, SO_REUSEPORT, 1);
  MUST(bind(11, (void *)&a6, sizeof a6)); MUST(listen(11, 511));
  at(MUST(socket(AF_INET, SOCK_STREAM, 0)), 12);
  at(MUST(socket(AF_INET, SOCK_STREAM, 0)), 13);
  MUST(bind(13, (void *)&a, sizeof a));
}
static void open_udp(void) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  at(MUST(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0)), 14);
  on(14, SOL_SOCKET, SO_BROADCAST, 1); on(14, IPPROTO_IP, IP_TTL, 9);
  MUST(bind(14, (void *)&a, sizeof a));
  at(MUST(socket(AF_INET6, SOCK_DGRAM, 0)), 15);
}
static void verify_tcp(void) {
  CHECK(value(10, SOL_SOCKET, SO_REUSEADDR) == 1 && value(10, SOL_SOCKET, SO_KEEPALIVE) == 1 && value(10, SOL_SOCKET, SO_RCVBUF) == 100000);
  CHECK(value(10, IPPROTO_TCP, TCP_NODELAY) == 1 && value(10, IPPROTO_TCP, TCP_KEEPIDLE) == 123 && value(10, IPPROTO_IP, IP_TOS) == 0x10);
  CHECK(value(11, IPPROTO_IPV6, IPV6_V6ONLY) == 1 && value(11, SOL_SOCKET, SO_REUSEPORT) == 1 && value(11, SOL_SOCKET, SO_REUSEADDR) == 0);
  CHECK(flags_are(10, O_RDWR | O_NONBLOCK) && flags_are(11, O_RDWR));
  for (int i = 10; i <= 11; i++) {
    struct sockaddr_storage a; socklen_t l = sizeof a;
    int client = socket(i == 10 ? AF_INET : AF_INET6, SOCK_STREAM, 0);
    CHECK(!getsockname(i, (void *)&a, &l) && !connect(client, (void *)&a, l));
    int server = accept(i, NULL, NULL);
    char c = 0;
    CHECK(server >= 0 && write(client, "c", 1) == 1 && read(server, &c, 1) == 1 && c == 'c');
    close(client); close(server);
  }
  struct sockaddr_in a; socklen_t l = sizeof a;
  CHECK(!getsockname(10, (void *)&a, &l) && !connect(12, (void *)&a, l) && port_of(13) != 0);
}
static void verify_udp(void) {
  struct sockaddr_in a; socklen_t l = sizeof a;
  char c = 0;
  CHECK(value(14, SOL_SOCKET, SO_BROADCAST) == 1 && value(14, IPPROTO_IP, IP_TTL) == 9);
  int client = socket(AF_INET, SOCK_DGRAM, 0);
  CHECK(!getsockname(14, (void *)&a, &l) && sendto(client, "d", 1, 0, (void *)&a, l) == 1 && recv(14, &c, 1, 0) == 1 && c == 'd');
  close(client);
  CHECK(port_of(15) == 0);
}

// --- Unix sockets: 10/11 a stream pair, 12 what is left of one, 13/14 a datagram pair shut down one way, 15 unconnected
static void open_unix(void) {
  int p[2];
  MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p)); at(p[0], 110); at(p[1], 11); at(110, 10);
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, p)); close(p[1]); at(p[0], 12);
  MUST(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, p)); at(p[0], 113); at(p[1], 14); at(113, 13);
  MUST(shutdown(13, SHUT_WR));
  at(MUST(socket(AF_UNIX, SOCK_DGRAM, 0)), 15);
  on(15, SOL_SOCKET, SO_PASSCRED, 1);
}
static void verify_unix(void) {
  char c;
  CHECK(write(10, "a", 1) == 1 && read(11, &c, 1) == 1 && c == 'a' && write(11, "b", 1) == 1 && read(10, &c, 1) == 1 && c == 'b');
  CHECK(read(10, &c, 1) == -1 && errno == EAGAIN);
  signal(SIGPIPE, SIG_IGN);
  CHECK(read(12, &c, 1) == 0 && write(12, "x", 1) == -1 && errno == EPIPE);
  CHECK(write(13, "x", 1) == -1 && errno == EPIPE && read(14, &c, 1) == 0 && write(14, "y", 1) == 1 && read(13, &c, 1) == 1 && c == 'y');
  CHECK(value(15, SOL_SOCKET, SO_PASSCRED) == 1);
}

// --- sharing: process 1 has 10 and its dup 11; its child 2 inherits 10, has it as 20, has a pipe end whose other end 1 has, and an
//     epoll that watches a file only process 1 has left
static void open_sharing(void) {
  int p[2];
  at(MUST(open(in_dir("shared"), O_RDWR | O_CREAT, 0600)), 10);
  MUST(write(10, "0123456789", 10));
  MUST(lseek(10, 3, SEEK_SET));
  MUST(dup3(10, 11, O_CLOEXEC));
  at(MUST(open(in_dir("shared"), O_RDWR)), 12);
  MUST(pipe(p)); at(p[0], 113); at(p[1], 14); at(113, 13);
  at(MUST(eventfd(0, 0)), 15);
  at(MUST(epoll_create1(0)), 16); add(16, 15, EPOLLIN, 15);
  int ready[2];
  MUST(pipe(ready));
  if (!fork()) {
    MUST(dup3(10, 20, O_CLOEXEC)); close(11); close(12); close(13); close(15); close(ready[0]);
    at(MUST(timerfd_create(CLOCK_MONOTONIC, 0)), 900);
    int null = open("/dev/null", O_RDWR);
    dup2(null, 0); dup2(null, 1); dup2(null, 2); close(null);
    MUST(write(ready[1], "r", 1)); close(ready[1]);
    for (;;) pause();
  }
  close(14); close(16); close(ready[1]);
  char c;
  MUST(read(ready[0], &c, 1)); close(ready[0]);
}
static void verify_sharing(void) {
  char c;
  if (getpid() == 1) {
    CHECK(lseek(11, 4, SEEK_SET) == 4 && lseek(10, 0, SEEK_CUR) == 4 && lseek(12, 0, SEEK_CUR) == 0);
    CHECK(fcntl(10, F_GETFD) == 0 && fcntl(11, F_GETFD) == FD_CLOEXEC);
    uint64_t one = 1;
    CHECK(write(15, &one, 8) == 8);
    fcntl(13, F_SETFL, O_NONBLOCK);
    CHECK(read(13, &c, 1) == -1 && errno == EAGAIN);
  } else {
    struct epoll_event e[2];
    CHECK(lseek(20, 0, SEEK_CUR) == 4 && lseek(10, 0, SEEK_CUR) == 4 && write(14, "p", 1) == 1);
    CHECK(epoll_wait(16, e, 2, 0) == 1 && e[0].data.u64 == 15);
    CHECK(fcntl(900, F_GETFD) == 0);
  }
}

// --- many: eventfds and files up to 200, for the figures
static void open_many(void) {
  for (int i = 3; i < 200; i += 2) {
    at(MUST(open(in_dir("many"), O_RDWR | O_CREAT, 0600)), i);
    at(MUST(eventfd(i, 0)), i + 1);
  }
}
static void verify_many(void) {
  for (int i = 3; i < 200; i += 2) { uint64_t n = 0; CHECK(read(i + 1, &n, 8) == 8 && n == i); }
}
static void open_nothing(void) {}
static void verify_nothing(void) {}

// --- what is refused: KIND names it
static void open_refused(const char *kind) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t l = sizeof a;
  if (!strcmp(kind, "inotify")) {
    close(open(in_dir("watched"), O_CREAT | O_RDWR, 0600));
    at(MUST(inotify_init()), 10); MUST(inotify_add_watch(10, in_dir("watched"), IN_OPEN));
    at(MUST(open(in_dir("watched"), O_RDONLY)), 20); MUST(unlink(in_dir("watched")));
  } else if (!strcmp(kind, "fanotify")) {
    at(MUST(fanotify_init(0, O_RDONLY)), 10); MUST(fanotify_mark(10, FAN_MARK_ADD, FAN_OPEN | FAN_ONDIR, AT_FDCWD, in_dir(".")));
    close(open(in_dir("."), O_RDONLY));
  } else if (!strcmp(kind, "io_uring")) {
    char parameters[120] = {0};
    at(MUST(syscall(SYS_io_uring_setup, 8, parameters)), 10);
  } else if (!strcmp(kind, "perf_event")) {
    struct { uint32_t type, size; uint64_t config, rest[14]; } counter = {.type = 1, .size = 64};
    at(MUST(syscall(SYS_perf_event_open, &counter, 0, -1, -1, 0)), 10);
  } else if (!strcmp(kind, "bpf-map")) {
    struct { uint32_t type, key, value, entries, rest[28]; } map = {2, 4, 8, 1, {0}};
    at(MUST(syscall(SYS_bpf, 0, &map, sizeof map)), 10);
  } else if (!strcmp(kind, "landlock-ruleset")) {
    uint64_t handled = 1;
    at(MUST(syscall(SYS_landlock_create_ruleset, &handled, sizeof handled, 0)), 10);
  } else if (!strcmp(kind, "character device")) at(MUST(open("/dev/net/tun", O_RDWR)), 10);
  else if (!strcmp(kind, "userfaultfd")) at(MUST(syscall(SYS_userfaultfd, 0)), 10);
  else if (!strcmp(kind, "netlink socket")) {
    // An answer that nobody has read.
    struct { struct nlmsghdr header; struct rtgenmsg what; } ask =
        {{sizeof ask, RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, 1, 0}, {AF_UNSPEC}};
    at(MUST(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE)), 10); MUST(send(10, &ask, sizeof ask, 0));
  }
  else if (!strcmp(kind, "raw socket")) {
    // One source of a group only.
    struct ip_mreq_source group = {.imr_multiaddr.s_addr = htonl(0xe8010203), .imr_sourceaddr.s_addr = htonl(0x0a000001), .imr_interface.s_addr = htonl(INADDR_LOOPBACK)};
    at(MUST(socket(AF_INET, SOCK_RAW, 253)), 10); MUST(setsockopt(10, IPPROTO_IP, IP_ADD_SOURCE_MEMBERSHIP, &group, sizeof group));
  }
  else if (!strcmp(kind, "packet socket")) {
    struct tpacket_req ring = {.tp_block_size = 4096, .tp_block_nr = 1, .tp_frame_size = 2048, .tp_frame_nr = 2};
    at(MUST(socket(AF_PACKET, SOCK_RAW, 0)), 10); MUST(setsockopt(10, SOL_PACKET, PACKET_RX_RING, &ring, sizeof ring));
  }
  else if (!strcmp(kind, "MPTCP socket")) at(MUST(socket(AF_INET, SOCK_STREAM, 262)), 10);
  else if (!strcmp(kind, "vsock socket")) at(MUST(socket(AF_VSOCK, SOCK_STREAM, 0)), 10);
  else if (!strcmp(kind, "POSIX message queue")) {
    // As the C library does it for SIGEV_THREAD: the signal number is a netlink socket, the value a cookie.
    static char cookie[32];
    MUST(unshare(CLONE_NEWIPC));
    at(MUST(syscall(SYS_mq_open, "told by a thread", O_CREAT | O_RDWR, 0600, NULL)), 10);
    struct sigevent event = {.sigev_notify = SIGEV_THREAD, .sigev_value.sival_ptr = cookie};
    event.sigev_signo = at(MUST(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE)), 11);
    MUST(syscall(SYS_mq_notify, 10, &event));
  }
  else if (!strcmp(kind, "terminal")) {
    int unlocked = 0;
    MUST(mkdir(in_dir("pts"), 0700));
    MUST(mount("devpts", in_dir("pts"), "devpts", 0, "ptmxmode=0666"));
    at(MUST(open(in_dir("pts/ptmx"), O_RDWR)), 11);
    MUST(ioctl(11, TIOCSPTLCK, &unlocked));
    at(MUST(ioctl(11, TIOCGPTPEER, O_RDWR | O_NOCTTY)), 10);
  }
  else if (!strcmp(kind, "mnt namespace")) at(MUST(open("/proc/self/ns/mnt", O_RDONLY)), 10), MUST(unshare(CLONE_NEWNS));
  else if (!strcmp(kind, "file of /proc")) at(MUST(open("/proc/self/mem", O_RDONLY)), 10);
  else if (!strcmp(kind, "file lease")) {
    at(MUST(open(in_dir("leased"), O_RDWR | O_CREAT, 0600)), 10); MUST(fcntl(10, F_SETLEASE, F_WRLCK));
  } else if (!strcmp(kind, "regular file")) {
    at(MUST(open(in_dir("replaced"), O_RDWR | O_CREAT, 0600)), 10);
    MUST(mkdir(in_dir("other"), 0700)); MUST(link(strdup(in_dir("replaced")), strdup(in_dir("other/name")))); MUST(unlink(in_dir("replaced")));
  } else if (!strcmp(kind, "TCP connection") || !strcmp(kind, "listening TCP socket")) {
    int server = at(MUST(socket(AF_INET, SOCK_STREAM, 0)), 110);
    MUST(bind(server, (void *)&a, l)); MUST(listen(server, 5)); MUST(getsockname(server, (void *)&a, &l));
    at(MUST(socket(AF_INET, SOCK_STREAM, 0)), 10); MUST(connect(10, (void *)&a, l));
    if (kind[0] == 'l') { close(10); at(server, 10); } else { at(MUST(accept(server, NULL, NULL)), 11); MUST(send(11, "!", 1, MSG_OOB)); }
  } else if (!strcmp(kind, "UDP socket")) {
    struct ip_mreq_source group = {.imr_multiaddr.s_addr = htonl(0xe8010203), .imr_sourceaddr.s_addr = htonl(0x0a000001), .imr_interface.s_addr = htonl(INADDR_LOOPBACK)};
    at(MUST(socket(AF_INET, SOCK_DGRAM, 0)), 10); MUST(setsockopt(10, IPPROTO_IP, IP_ADD_SOURCE_MEMBERSHIP, &group, sizeof group));
  } else if (!strcmp(kind, "Unix socket")) {
    struct sockaddr_un u = {AF_UNIX, ""};
    snprintf(u.sun_path, sizeof u.sun_path, "%s", in_dir("socket"));
    at(MUST(socket(AF_UNIX, SOCK_STREAM, 0)), 10); MUST(bind(10, (void *)&u, sizeof u)); MUST(listen(10, 1));
    // What was sent before anybody has accepted cannot be read.
    at(10, 110); at(MUST(socket(AF_UNIX, SOCK_STREAM, 0)), 10); MUST(connect(10, (void *)&u, sizeof u)); MUST(send(10, "early", 5, 0));
  } else { printf("unknown kind %s\n", kind); exit(2); }
}

#define KINDS(X) X(regular) X(deleted) X(directory) X(devices) X(pipe) X(fifo) X(eventfd) X(epoll) X(timerfd) X(memfd) X(tcp) X(udp) X(unix) X(sharing) X(many) X(nothing)

static int verify(const char *kind) {
  fails = 0;
#define V(k) if (!strcmp(kind, #k)) { verify_##k(); return fails; }
  KINDS(V)
  return 9999;
}

// --- serving: one page of control, then the batch, at a fixed address
struct control { volatile uint32_t state; uint32_t count; int64_t answer; char kind[32], directory[4000]; };
struct call { uint64_t number, flags, arguments[6]; int64_t result; };
enum { IDLE, RUN, VERIFY, DONE };
#define BASE 0x30000000ul
#define AREA (1 << 20)

static void serve(struct control *control) {
  struct call *table = (void *)((char *)control + 4096);
  for (;; usleep(100)) {
    if (control->state == RUN) {
      for (uint32_t i = 0; i < control->count; i++) {
        uint64_t a[6];
        for (int j = 0; j < 6; j++) a[j] = table[i].flags >> j & 1 ? table[table[i].arguments[j]].result : table[i].arguments[j];
        long result = syscall(table[i].number, a[0], a[1], a[2], a[3], a[4], a[5]);
        table[i].result = result == -1 ? -errno : result;
        if (table[i].result < 0 && table[i].flags >> 8 & 1) break;
      }
      __sync_synchronize();
      control->state = DONE;
    } else if (control->state == VERIFY) {
      dir = control->directory;
      control->answer = verify(control->kind);
      __sync_synchronize();
      control->state = DONE;
    }
  }
}

int main(int argc, char **argv) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  if (argc == 4 && !strcmp(argv[1], "serve")) {
    int count = atoi(argv[3]), fd = MUST(open(argv[2], O_RDWR));
    char *area = mmap((void *)BASE, (size_t)count * AREA, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0);
    if (area != (char *)BASE) return 3;
    int index = 0;
    for (int i = 1; i < count; i++) if (!fork()) { index = i; break; }
    if (index == 0) printf("ready\n");
    serve((struct control *)(area + (size_t)index * AREA));
  }
  if (argc != 4 || strcmp(argv[1], "open")) return 2;
  dir = argv[3];
  int known = 0;
#define O(k) if (!strcmp(argv[2], #k)) { open_##k(); known = 1; }
  KINDS(O)
  if (!known) open_refused(argv[2]);
  printf("ready\n");
  if (!strcmp(argv[2], "deleted")) { char line[8]; MUST(read(0, line, 8)); change_deleted(); printf("changed\n"); }
  int null = MUST(open("/dev/null", O_RDWR));
  dup2(null, 0); dup2(null, 1); dup2(null, 2);
  close(null);
  for (;;) pause();
}
