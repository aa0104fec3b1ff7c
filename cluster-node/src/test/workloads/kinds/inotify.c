/* inotify: many watches with numbers that are far apart, all masks, events that wait, and files of every type. */
#include "kind.h"

#include <sys/inotify.h>
#include <sys/ioctl.h>

#define SET_NEXT _IOW('I', 0, int32_t)

static int plain, numbers, once, pending, many, blocking;
static int wd_plain, wd_far, wd_near, wd_link, wd_once, wd_pending, wd_blocking, wd_lasts, wds[300];

struct event {
  struct inotify_event head;
  char name[300];
};

/* The next event, or mask 0. */
static struct event next_event(int fd) {
  static char buffer[4096] __attribute__((aligned(8)));
  struct event event = {0};
  static int from, to, whose = -1;
  if (whose != fd || from >= to) {
    from = 0;
    whose = fd;
    to = (int) read(fd, buffer, sizeof buffer);
    if (to <= 0) return event;
  }
  struct inotify_event *head = (struct inotify_event *) (buffer + from);
  event.head = *head;
  if (head->len > 0) snprintf(event.name, sizeof event.name, "%s", head->name);
  from += (int) (sizeof *head + head->len);
  return event;
}

static void expect(int fd, int wd, uint32_t mask, const char *name) {
  struct event event = next_event(fd);
  HOLDS(event.head.wd == wd && event.head.mask == mask && strcmp(event.name, name) == 0, "event %#x of watch %d for '%s', not %#x of %d for '%s'",
      event.head.mask, event.head.wd, event.name, mask, wd, name);
}

static void expect_nothing(int fd) {
  struct event event = next_event(fd);
  HOLDS(event.head.mask == 0, "event %#x of watch %d for '%s' too many", event.head.mask, event.head.wd, event.name);
}

static void touch(const char *path) { close((int) WORKS(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644))); }

static void write_to(const char *path) {
  int file = (int) WORKS(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
  WORKS(write(file, "x", 1));
  close(file);
}

static void make_plain(void) {
  MUST(mkdir(own_path("tree"), 0755));
  plain = (int) MUST(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  wd_plain = (int) MUST(inotify_add_watch(plain, own_path("tree"), IN_CREATE | IN_DELETE | IN_MOVE | IN_ONLYDIR | IN_EXCL_UNLINK));
}

static void look_plain(void) {
  expect_nothing(plain);
  HOLDS((fcntl(plain, F_GETFL) & O_NONBLOCK) && (fcntl(plain, F_GETFD) & FD_CLOEXEC), "its flags are gone");
  touch(own_path("tree/a"));
  expect(plain, wd_plain, IN_CREATE, "a");
  WORKS(rename(own_path("tree/a"), own_path("tree/b")));
  expect(plain, wd_plain, IN_MOVED_FROM, "a");
  expect(plain, wd_plain, IN_MOVED_TO, "b");
  WORKS(unlink(own_path("tree/b")));
  expect(plain, wd_plain, IN_DELETE, "b");
  expect_nothing(plain);
}

static void damage_plain(void) { inotify_rm_watch(plain, wd_plain); }

static void make_numbers(void) {
  numbers = (int) MUST(inotify_init1(IN_NONBLOCK));
  write_to(own_path("near"));
  MUST(symlink("near", own_path("link")));
  int next = 7000000;
  MUST(ioctl(numbers, SET_NEXT, next));
  MUST(mkdir(own_path("far"), 0755));
  wd_far = (int) MUST(inotify_add_watch(numbers, own_path("far"), IN_CREATE));
  MUST(ioctl(numbers, SET_NEXT, 77));
  wd_near = (int) MUST(inotify_add_watch(numbers, own_path("near"), IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB));
  wd_link = (int) MUST(inotify_add_watch(numbers, own_path("link"), IN_DELETE_SELF | IN_MOVE_SELF | IN_DONT_FOLLOW));
}

static void look_numbers(void) {
  HOLDS(wd_far == 7000000 && wd_near == 77 && wd_link == 78, "the numbers were not what they should be at first");
  touch(own_path("far/c"));
  expect(numbers, wd_far, IN_CREATE, "c");
  unlink(own_path("far/c"));
  write_to(own_path("near"));
  expect(numbers, wd_near, IN_MODIFY, "");
  expect(numbers, wd_near, IN_CLOSE_WRITE, "");
  WORKS(chmod(own_path("near"), 0600 + asked_number % 2));
  expect(numbers, wd_near, IN_ATTRIB, "");
  WORKS(rename(own_path("link"), own_path("moved")));
  expect(numbers, wd_link, IN_MOVE_SELF, "");
  WORKS(rename(own_path("moved"), own_path("link")));
  expect(numbers, wd_link, IN_MOVE_SELF, "");
  expect_nothing(numbers);
  /* The same file again is the same watch. */
  HOLDS(inotify_add_watch(numbers, own_path("near"), IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB) == wd_near, "the file has another watch");
}

static void damage_numbers(void) { inotify_add_watch(numbers, own_path("near"), IN_ATTRIB); }

static void make_once(void) {
  once = (int) MUST(inotify_init1(IN_NONBLOCK));
  write_to(own_path("once"));
  wd_once = (int) MUST(inotify_add_watch(once, own_path("once"), IN_MODIFY | IN_ONESHOT));
  write_to(own_path("lasts"));
  wd_lasts = (int) MUST(inotify_add_watch(once, own_path("lasts"), IN_MODIFY));
}

static void look_once(void) {
  write_to(own_path("once"));
  expect(once, wd_once, IN_MODIFY, "");
  expect(once, wd_once, IN_IGNORED, "");
  write_to(own_path("once"));
  expect_nothing(once);
  write_to(own_path("lasts"));
  expect(once, wd_lasts, IN_MODIFY, "");
  int again = (int) WORKS(inotify_add_watch(once, own_path("once"), IN_MODIFY | IN_ONESHOT));
  HOLDS(again > wd_once && again > wd_lasts, "watch %d was there before", again);
  wd_once = again;
}

static void damage_once(void) { write_to(own_path("lasts")); }

/* Events that wait are lost, and the program is told so; before the first move they are there. */
static void make_pending(void) {
  pending = (int) MUST(inotify_init1(IN_NONBLOCK));
  MUST(mkdir(own_path("busy"), 0755));
  wd_pending = (int) MUST(inotify_add_watch(pending, own_path("busy"), IN_CREATE | IN_DELETE));
}

static void look_pending(void) {
  if (asked_number > 1) {
    struct event event = next_event(pending);
    bool kept = event.head.mask == IN_CREATE && event.head.wd == wd_pending;
    HOLDS(kept || (event.head.mask == IN_Q_OVERFLOW && event.head.wd == -1), "event %#x of watch %d instead of those that waited",
        event.head.mask, event.head.wd);
    expect_nothing(pending);
  }
  unlink(own_path("busy/x"));
  while (next_event(pending).head.mask != 0) {}
  touch(own_path("busy/x"));
}

static void damage_pending(void) {
  while (next_event(pending).head.mask != 0) {}
}

static void make_many(void) {
  many = (int) MUST(inotify_init1(IN_NONBLOCK));
  for (int i = 0; i < 300; i++) {
    char name[32];
    snprintf(name, sizeof name, "many%d", i);
    touch(own_path(name));
    wds[i] = (int) MUST(inotify_add_watch(many, own_path(name), IN_ATTRIB));
  }
}

static void look_many(void) {
  for (int i = 0; i < 300; i++) {
    char name[32];
    snprintf(name, sizeof name, "many%d", i);
    WORKS(chmod(own_path(name), 0644));
    expect(many, wds[i], IN_ATTRIB, "");
  }
  expect_nothing(many);
}

static void damage_many(void) { inotify_rm_watch(many, wds[211]); }

/* One that blocks, and whose file is read while a child waits for it. */
static void make_blocking(void) {
  blocking = (int) MUST(inotify_init());
  write_to(own_path("waited"));
  wd_blocking = (int) MUST(inotify_add_watch(blocking, own_path("waited"), IN_ALL_EVENTS));
}

static void look_blocking(void) {
  int queued = -1;
  HOLDS(!(fcntl(blocking, F_GETFL) & O_NONBLOCK), "it does not block any more");
  WORKS(ioctl(blocking, FIONREAD, &queued));
  HOLDS(queued == 0, "%d bytes of events came from the move itself", queued);
  WORKS(chmod(own_path("waited"), 0644));
  WORKS(ioctl(blocking, FIONREAD, &queued));
  HOLDS(queued == sizeof(struct inotify_event), "%d bytes wait", queued);
  if (queued > 0) expect(blocking, wd_blocking, IN_ATTRIB, "");
}

static void damage_blocking(void) { close((int) open(own_path("waited"), O_RDONLY)); }

KIND({"plain", make_plain, look_plain, damage_plain}, {"numbers", make_numbers, look_numbers, damage_numbers},
    {"once", make_once, look_once, damage_once}, {"pending", make_pending, look_pending, damage_pending},
    {"many", make_many, look_many, damage_many}, {"blocking", make_blocking, look_blocking, damage_blocking});
