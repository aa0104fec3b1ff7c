/* Descriptors of files, pipes, FIFOs, counters, epoll and timers, and how they are shared. */
#ifndef EVERYTHING_FILES_H
#define EVERYTHING_FILES_H

#include "everything.h"

#include <dirent.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <sys/timerfd.h>

#define HIGH_DESCRIPTOR 700

static void check_flags(int file, int wanted, int mask, const char *what) {
  int flags = fcntl(file, F_GETFL);
  HOLDS(flags != -1 && (flags & mask) == wanted, "the flags of %s are 0%o instead of 0%o", what, flags & mask, wanted);
}

static void check_cloexec(int file, int wanted, const char *what) {
  int flags = fcntl(file, F_GETFD);
  HOLDS(flags == wanted, "close-on-exec of %s is %d instead of %d", what, flags, wanted);
}

static void check_position(int file, off_t wanted, const char *what) {
  off_t position = lseek(file, 0, SEEK_CUR);
  HOLDS(position == wanted, "the position of %s is %ld instead of %ld", what, (long) position, (long) wanted);
}

#define KEPT_FLAGS (O_ACCMODE | O_APPEND | O_NONBLOCK | O_DSYNC | O_NOATIME | O_DIRECTORY)

/* ---- regular files ---- */

static int plain_file, append_file, deleted_file, high_file, doubled_file, sync_file;

static void prepare_regular(void) {
  static char content[25 * PAGE];
  char path[600];
  fill(content, sizeof content, 201);
  replace_file("plain", content, sizeof content);
  report_path(path, "plain");
  plain_file = (int) MUST(open(path, O_RDWR | O_NOATIME));
  MUST(lseek(plain_file, 4321, SEEK_SET));
  doubled_file = (int) MUST(fcntl(plain_file, F_DUPFD_CLOEXEC, 0));
  high_file = (int) MUST(dup3((int) MUST(open(path, O_RDONLY | O_CLOEXEC)), HIGH_DESCRIPTOR, O_CLOEXEC));
  MUST(lseek(high_file, 10, SEEK_SET));
  report_path(path, "appended");
  append_file = (int) MUST(open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640));
  sync_file = (int) MUST(open(path, O_RDWR | O_DSYNC | O_NONBLOCK));
  report_path(path, "deleted");
  deleted_file = (int) MUST(open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  MUST(write(deleted_file, content, sizeof content));
  MUST(ftruncate(deleted_file, 40 * PAGE));
  MUST(lseek(deleted_file, 1000, SEEK_SET));
  MUST(unlink(path));
}

static void look_at_regular(void) {
  check_position(plain_file, 4321, "a regular file");
  check_position(doubled_file, 4321, "its duplicate");
  check_position(high_file, 10, "descriptor 700");
  check_flags(plain_file, O_RDWR | O_NOATIME, KEPT_FLAGS, "a regular file");
  check_flags(append_file, O_WRONLY | O_APPEND, KEPT_FLAGS, "a file for appending");
  check_flags(sync_file, O_RDWR | O_DSYNC | O_NONBLOCK, KEPT_FLAGS, "a synchronous file");
  check_cloexec(plain_file, 0, "a regular file");
  check_cloexec(doubled_file, FD_CLOEXEC, "its duplicate");
  char word[8];
  HOLDS(read(plain_file, word, 8) == 8, "a regular file cannot be read");
  check_position(doubled_file, 4329, "the duplicate after a read through the original");
  WORKS(lseek(doubled_file, 4321, SEEK_SET));
  struct stat before, after;
  WORKS(fstat(append_file, &before));
  HOLDS(pwrite(append_file, "x", 1, 0) == 1 && fstat(append_file, &after) == 0 && after.st_size == before.st_size + 1, "a file for appending does not append");
}

static void damage_regular(void) { lseek(doubled_file, 1, SEEK_SET); }

static void look_at_deleted(void) {
  static char content[40 * PAGE];
  struct stat found;
  WORKS(fstat(deleted_file, &found));
  HOLDS(found.st_nlink == 0 && found.st_size == 40 * (off_t) PAGE && (found.st_mode & 07777) == 0600,
      "a deleted file has %lu links, %ld bytes and mode 0%o", (unsigned long) found.st_nlink, (long) found.st_size, found.st_mode & 07777);
  check_position(deleted_file, 1000, "a deleted file");
  HOLDS(pread(deleted_file, content, sizeof content, 0) == sizeof content && holds(content, 25 * PAGE, 201)
          && all_zero(content + 25 * PAGE, 15 * PAGE), "the content of a deleted file is wrong");
  check_flags(deleted_file, O_RDWR, KEPT_FLAGS, "a deleted file");
}

static void damage_deleted(void) { ftruncate(deleted_file, 5) == 0 ? (void) 0 : abort(); }

/* ---- directories and devices ---- */

static int directory_file, null_file, zero_file, random_file, full_file;
static off_t directory_position;

static void prepare_devices(void) {
  char entries[200];
  directory_file = (int) MUST(open("/proc/self/cwd/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  close(directory_file);
  directory_file = (int) MUST(open("/etc", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  MUST(syscall(SYS_getdents64, directory_file, entries, sizeof entries));
  directory_position = MUST(lseek(directory_file, 0, SEEK_CUR));
  null_file = (int) MUST(open("/dev/null", O_RDWR));
  zero_file = (int) MUST(open("/dev/zero", O_RDONLY | O_NONBLOCK));
  random_file = (int) MUST(open("/dev/urandom", O_RDONLY | O_CLOEXEC));
  full_file = (int) MUST(open("/dev/full", O_WRONLY));
}

static void check_device(int file, unsigned minor_number, const char *name) {
  struct stat found;
  WORKS(fstat(file, &found));
  HOLDS(S_ISCHR(found.st_mode) && major(found.st_rdev) == 1 && minor(found.st_rdev) == minor_number, "%s is device %u:%u", name,
      major(found.st_rdev), minor(found.st_rdev));
}

static void look_at_devices(void) {
  struct stat found, etc;
  WORKS(fstat(directory_file, &found));
  WORKS(stat("/etc", &etc));
  HOLDS(found.st_ino == etc.st_ino && found.st_dev == etc.st_dev, "an open directory is another one");
  check_position(directory_file, directory_position, "an open directory");
  check_flags(directory_file, O_RDONLY | O_DIRECTORY, KEPT_FLAGS, "an open directory");
  check_device(null_file, 3, "/dev/null");
  check_device(zero_file, 5, "/dev/zero");
  check_device(random_file, 9, "/dev/urandom");
  check_device(full_file, 7, "/dev/full");
  check_flags(zero_file, O_RDONLY | O_NONBLOCK, KEPT_FLAGS, "/dev/zero");
  char bytes[16];
  HOLDS(read(zero_file, bytes, 16) == 16 && all_zero(bytes, 16), "/dev/zero does not give zeros");
  HOLDS(write(full_file, "x", 1) == -1 && errno == ENOSPC, "/dev/full is not full");
}

static void damage_devices(void) { dup2(zero_file, null_file); }

/* ---- pipes and FIFOs ---- */

#define PIPE_BYTES (200 * 1024)
static int full_pipe[2], packet_pipe[2], half_pipe[2], fifo_both, fifo_reader, fifo_writer;
static char pipe_content[PIPE_BYTES], pipe_back[PIPE_BYTES];

static void prepare_pipes(void) {
  char path[600];
  fill(pipe_content, sizeof pipe_content, 301);
  MUST(pipe2(full_pipe, O_CLOEXEC));
  MUST(fcntl(full_pipe[1], F_SETPIPE_SZ, 256 * 1024));
  MUST(fcntl(full_pipe[0], F_SETFL, O_NONBLOCK));
  /* The first page partly read: the pipe's content begins in the middle of a buffer. */
  MUST(write(full_pipe[1], "0123456789", 10));
  MUST(write(full_pipe[1], pipe_content, sizeof pipe_content));
  MUST(read(full_pipe[0], pipe_back, 10));
  MUST(pipe2(packet_pipe, O_DIRECT | O_NONBLOCK));
  MUST(write(packet_pipe[1], "first", 5));
  MUST(write(packet_pipe[1], "the second", 10));
  MUST(pipe(half_pipe));
  MUST(write(half_pipe[1], "left behind", 11));
  close(half_pipe[1]);
  report_path(path, "fifo");
  MUST(mkfifo(path, 0600));
  fifo_both = (int) MUST(open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC));
  fifo_reader = (int) MUST(open(path, O_RDONLY | O_NONBLOCK));
  fifo_writer = (int) MUST(open(path, O_WRONLY));
  MUST(write(fifo_writer, "through the fifo", 16));
}

static void look_at_pipes(void) {
  int waiting = -1;
  WORKS(ioctl(full_pipe[0], FIONREAD, &waiting));
  HOLDS(waiting == PIPE_BYTES, "a pipe holds %d bytes instead of %d", waiting, PIPE_BYTES);
  HOLDS(fcntl(full_pipe[1], F_GETPIPE_SZ) == 256 * 1024, "a pipe has room for %d bytes instead of %d", fcntl(full_pipe[1], F_GETPIPE_SZ), 256 * 1024);
  check_flags(full_pipe[0], O_RDONLY | O_NONBLOCK, KEPT_FLAGS, "a pipe's reading end");
  check_flags(full_pipe[1], O_WRONLY, KEPT_FLAGS, "a pipe's writing end");
  size_t got = 0;
  while (got < PIPE_BYTES) {
    ssize_t piece = read(full_pipe[0], pipe_back + got, PIPE_BYTES - got);
    if (piece <= 0) break;
    got += (size_t) piece;
  }
  HOLDS(got == PIPE_BYTES && memcmp(pipe_content, pipe_back, PIPE_BYTES) == 0, "the content of a pipe is wrong after %zu bytes", got);
  HOLDS(read(full_pipe[0], pipe_back, 1) == -1 && errno == EAGAIN, "a pipe holds more than was written");
  WORKS(write(full_pipe[1], pipe_content, PIPE_BYTES));
  HOLDS(fcntl(packet_pipe[1], F_GETFL) & O_DIRECT, "a pipe in packet mode is no longer in it");
  ssize_t first = read(packet_pipe[0], pipe_back, 100), second = read(packet_pipe[0], pipe_back + 100, 100);
  HOLDS(first == 5 && second == 10 && memcmp(pipe_back, "first", 5) == 0 && memcmp(pipe_back + 100, "the second", 10) == 0,
      "packets of %zd and %zd bytes came out of a pipe in packet mode", first, second);
  WORKS(write(packet_pipe[1], "first", 5));
  WORKS(write(packet_pipe[1], "the second", 10));
  struct pollfd end = {.fd = half_pipe[0], .events = POLLIN};
  HOLDS(poll(&end, 1, 0) == 1 && end.revents == (POLLIN | POLLHUP), "a pipe without a writer polls as 0x%x", end.revents);
  WORKS(ioctl(half_pipe[0], FIONREAD, &waiting));
  HOLDS(waiting == 11, "a pipe without a writer holds %d bytes instead of 11", waiting);
}

static void damage_pipes(void) { read(full_pipe[0], pipe_back, 1) == 1 ? (void) 0 : abort(); }

static void look_at_fifo(void) {
  char text[100];
  check_flags(fifo_both, O_RDWR | O_NONBLOCK, KEPT_FLAGS, "a FIFO for both");
  check_flags(fifo_reader, O_RDONLY | O_NONBLOCK, KEPT_FLAGS, "a FIFO's reading end");
  check_flags(fifo_writer, O_WRONLY, KEPT_FLAGS, "a FIFO's writing end");
  ssize_t got = read(fifo_reader, text, sizeof text);
  HOLDS(got == 16 && memcmp(text, "through the fifo", 16) == 0, "%zd bytes came out of a FIFO instead of 16, or other ones", got);
  WORKS(write(fifo_writer, "through the fifo", 16));
}

static void damage_fifo(void) { write(fifo_both, "x", 1) == 1 ? (void) 0 : abort(); }

/* ---- counters ---- */

static int counter, semaphore;

static void prepare_eventfd(void) {
  counter = (int) MUST(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  semaphore = (int) MUST(eventfd(3, EFD_SEMAPHORE | EFD_NONBLOCK));
  uint64_t value = 1ull << 40 | 5;
  MUST(write(counter, &value, 8));
}

static void look_at_eventfd(void) {
  uint64_t value = 0, wanted = 1ull << 40 | 5;
  HOLDS(read(counter, &value, 8) == 8 && value == wanted, "an eventfd holds %lx instead of %lx", value, wanted);
  WORKS(write(counter, &wanted, 8));
  for (int i = 0; i < 3; i++) HOLDS(read(semaphore, &value, 8) == 8 && value == 1, "a semaphore eventfd gave %lu", value);
  HOLDS(read(semaphore, &value, 8) == -1 && errno == EAGAIN, "a semaphore eventfd of 3 gave a fourth");
  value = 3;
  WORKS(write(semaphore, &value, 8));
  check_flags(counter, O_RDWR | O_NONBLOCK, KEPT_FLAGS, "an eventfd");
}

static void damage_eventfd(void) {
  uint64_t value = 1;
  write(semaphore, &value, 8) == 8 ? (void) 0 : abort();
}

/* ---- timerfd ---- */

static int ticking, far_off, wall_clock;
static uint64_t far_off_at, ticks_seen, ticks_since;
#define TICK (100 * MS)

static void prepare_timerfd(void) {
  ticking = (int) MUST(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
  struct itimerspec every = {.it_value = timespec_of(TICK), .it_interval = timespec_of(TICK)};
  ticks_since = now_ns();
  MUST(timerfd_settime(ticking, 0, &every, NULL));
  far_off = (int) MUST(timerfd_create(CLOCK_BOOTTIME, 0));
  far_off_at = now_ns() + 3600 * SECOND;
  struct itimerspec once = {.it_value = timespec_of(3600 * SECOND)};
  MUST(timerfd_settime(far_off, 0, &once, NULL));
  wall_clock = (int) MUST(timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK));
  struct itimerspec passed = {.it_value = {.tv_sec = 1000}};
  MUST(timerfd_settime(wall_clock, TFD_TIMER_ABSTIME, &passed, NULL));
}

static void look_at_timerfd(void) {
  uint64_t ticks = 0;
  ssize_t got = read(ticking, &ticks, 8);
  HOLDS(got == 8 || errno == EAGAIN, "reading a timerfd: %s", strerror(errno));
  if (got == 8) ticks_seen += ticks;
  uint64_t wanted = (now_ns() - ticks_since) / TICK;
  /* What passes while the program does not run is not ticked; each gap may also cost a part of a tick. */
  uint64_t lost = 2 + atomic_load(&report_all_gaps_ns) / TICK + atomic_load(&report_gaps);
  HOLDS(ticks_seen <= wanted && ticks_seen + lost >= wanted, "a timerfd has ticked %lu times instead of %lu",
      ticks_seen, wanted);
  struct itimerspec left = {0};
  WORKS(timerfd_gettime(ticking, &left));
  HOLDS(left.it_interval.tv_nsec == TICK && left.it_interval.tv_sec == 0, "a timerfd's interval is %ld ns", left.it_interval.tv_nsec);
  WORKS(timerfd_gettime(far_off, &left));
  int64_t off = (int64_t) (left.it_value.tv_sec * (int64_t) SECOND + left.it_value.tv_nsec) - (int64_t) (far_off_at - now_ns());
  HOLDS(off > -(int64_t) (50 * MS) && off < (int64_t) (SECOND + atomic_load(&report_all_gaps_ns)), "a timerfd of an hour is off by %ld ms", (long) (off / (int64_t) MS));
  struct pollfd ready = {.fd = wall_clock, .events = POLLIN};
  HOLDS(poll(&ready, 1, 0) == 1, "a timerfd that went off long ago says nothing");
  check_flags(ticking, O_RDWR | O_NONBLOCK, KEPT_FLAGS, "a timerfd");
}

static void damage_timerfd(void) {
  struct itimerspec every = {.it_value = timespec_of(TICK), .it_interval = timespec_of(7 * SECOND)};
  timerfd_settime(ticking, 0, &every, NULL);
}

/* ---- epoll ---- */

static int watcher, watched_pipe[2], watched_counter, watched_once;

static void watch_descriptor(int file, uint32_t events, uint64_t data) {
  struct epoll_event event = {.events = events, .data.u64 = data};
  MUST(epoll_ctl(watcher, EPOLL_CTL_ADD, file, &event));
}

static void prepare_epoll(void) {
  watcher = (int) MUST(epoll_create1(EPOLL_CLOEXEC));
  MUST(pipe2(watched_pipe, O_NONBLOCK));
  watched_counter = (int) MUST(eventfd(0, EFD_NONBLOCK));
  watched_once = (int) MUST(eventfd(0, EFD_NONBLOCK));
  watch_descriptor(watched_pipe[0], EPOLLIN, 0x1111222233334444ull);
  watch_descriptor(watched_counter, EPOLLIN | EPOLLET, 0x5555666677778888ull);
  watch_descriptor(watched_once, EPOLLIN | EPOLLONESHOT, 0x9999aaaabbbbccccull);
  uint64_t one = 1;
  struct epoll_event event;
  /* This one fires now and is disarmed from then on, although the counter stays readable. */
  MUST(write(watched_once, &one, 8));
  MUST(epoll_wait(watcher, &event, 1, 0) == 1 ? 0 : -1);
}

static uint64_t epoll_sum(int *count) {
  struct epoll_event events[8];
  *count = epoll_wait(watcher, events, 8, 0);
  uint64_t sum = 0;
  for (int i = 0; i < *count; i++) sum += events[i].data.u64;
  return sum;
}

static void look_at_epoll(void) {
  int count;
  uint64_t one = 1, sum = epoll_sum(&count), value;
  /* An edge may be told once more after it was armed anew, never lost. */
  HOLDS(count == 0, "%d events come out of an epoll instance where none is due (sum of data %lx)", count, sum);
  WORKS(write(watched_pipe[1], "x", 1));
  WORKS(write(watched_counter, &one, 8));
  sum = epoll_sum(&count);
  HOLDS(count == 2 && sum == 0x1111222233334444ull + 0x5555666677778888ull, "%d events with a sum of data %lx come out of an epoll instance", count, sum);
  sum = epoll_sum(&count);
  HOLDS(count == 1 && sum == 0x1111222233334444ull, "an edge is told twice, or a level once: %d events", count);
  char byte;
  WORKS(read(watched_pipe[0], &byte, 1));
  WORKS(read(watched_counter, &value, 8));
  struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT, .data.u64 = 7};
  WORKS(epoll_ctl(watcher, EPOLL_CTL_MOD, watched_once, &event));
  sum = epoll_sum(&count);
  HOLDS(count == 1 && sum == 7, "a one-shot target that is armed again gives %d events", count);
}

static void damage_epoll(void) { epoll_ctl(watcher, EPOLL_CTL_DEL, watched_counter, NULL); }

/* ---- what a fork shares: one open file, moved by the parent, seen by the child ---- */

static int common_file;

static void prepare_common_file(void) {
  char path[600];
  report_path(path, "plain");
  common_file = (int) MUST(open(path, O_RDONLY));
}

static void move_common_file(void) {
  check_position(common_file, asked_number == 1 ? 0 : 100 + asked_number - 1, "a file shared with a child");
  WORKS(lseek(common_file, 100 + asked_number, SEEK_SET));
}

static void look_at_common_file(void) { check_position(common_file, 100 + asked_number, "a file shared with the parent"); }
static void damage_common_file(void) { lseek(common_file, 3, SEEK_SET); }

static void damage_common_file_in_child(void) {
  char path[600];
  report_path(path, "plain");
  int other = open(path, O_RDONLY);
  dup2(other, common_file);
  close(other);
}

static void add_file_items(adder *add) {
  add(MAIN, "file-regular", prepare_regular, look_at_regular, damage_regular);
  add(MAIN, "file-deleted", NULL, look_at_deleted, damage_deleted);
  add(MAIN, "file-devices", prepare_devices, look_at_devices, damage_devices);
  add(MAIN, "file-pipes", prepare_pipes, look_at_pipes, damage_pipes);
  add(MAIN, "file-fifo", NULL, look_at_fifo, damage_fifo);
  add(MAIN, "file-eventfd", prepare_eventfd, look_at_eventfd, damage_eventfd);
  add(MAIN, "file-timerfd", prepare_timerfd, look_at_timerfd, damage_timerfd);
  add(MAIN, "file-epoll", prepare_epoll, look_at_epoll, damage_epoll);
  add(MAIN, "file-shared", prepare_common_file, move_common_file, damage_common_file);
  add(MEMBER, "file-shared-child", NULL, look_at_common_file, damage_common_file_in_child);
}

#endif
