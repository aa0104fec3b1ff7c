/* fanotify: marks on a file, a directory, a mount and a file system, what they ignore, and a group that is asked for permission. */
#include "kind.h"

#include <poll.h>
#include <sys/fanotify.h>

static int files, mounts, permission;
static pthread_t asker;

static void touch(const char *path) {
  int file = (int) WORKS(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
  WORKS(write(file, "x", 1));
  close(file);
}

/* The masks of all events that wait and come from this process, put together. */
static uint64_t taken(int fd) {
  static char buffer[16384] __attribute__((aligned(8)));
  uint64_t all = 0;
  ssize_t got;
  while ((got = read(fd, buffer, sizeof buffer)) > 0) {
    for (struct fanotify_event_metadata *event = (void *) buffer; FAN_EVENT_OK(event, got); event = FAN_EVENT_NEXT(event, got)) {
      if (event->pid == getpid()) all |= event->mask;
      if (event->mask & FAN_Q_OVERFLOW) all |= FAN_Q_OVERFLOW;
      if (event->fd >= 0) close(event->fd);
    }
  }
  return all;
}

static int group(unsigned flags, unsigned event_flags) { return (int) MUST(fanotify_init(flags | FAN_NONBLOCK | FAN_CLOEXEC, event_flags)); }

static void make_files(void) {
  touch(own_path("marked"));
  touch(own_path("ignored"));
  MUST(mkdir(own_path("marks"), 0755));
  files = group(FAN_CLASS_NOTIF, O_RDONLY | O_CLOEXEC);
  MUST(fanotify_mark(files, FAN_MARK_ADD, FAN_MODIFY | FAN_CLOSE_WRITE, AT_FDCWD, own_path("marked")));
  MUST(fanotify_mark(files, FAN_MARK_ADD, FAN_OPEN | FAN_ONDIR | FAN_EVENT_ON_CHILD, AT_FDCWD, own_path("marks")));
  MUST(fanotify_mark(files, FAN_MARK_ADD, FAN_MODIFY | FAN_OPEN, AT_FDCWD, own_path("ignored")));
  MUST(fanotify_mark(files, FAN_MARK_ADD | FAN_MARK_IGNORED_MASK | FAN_MARK_IGNORED_SURV_MODIFY, FAN_OPEN, AT_FDCWD, own_path("ignored")));
}

static void look_files(void) {
  HOLDS((fcntl(files, F_GETFL) & O_NONBLOCK) && (fcntl(files, F_GETFD) & FD_CLOEXEC), "its flags are gone");
  uint64_t events = taken(files);
  HOLDS(events == 0, "events %#lx came from the move", (unsigned long) events);
  touch(own_path("marked"));
  events = taken(files);
  HOLDS(events == (FAN_MODIFY | FAN_CLOSE_WRITE), "the marked file gives %#lx", (unsigned long) events);
  touch(own_path("marks/child"));
  events = taken(files);
  HOLDS(events == FAN_OPEN, "a child of the marked directory gives %#lx", (unsigned long) events);
  close((int) WORKS(open(own_path("marks"), O_RDONLY | O_DIRECTORY)));
  events = taken(files);
  HOLDS(events == FAN_OPEN || events == (FAN_OPEN | FAN_ONDIR), "the marked directory gives %#lx", (unsigned long) events);
  touch(own_path("ignored"));
  events = taken(files);
  HOLDS(events == FAN_MODIFY, "what is ignored in part gives %#lx", (unsigned long) events);
}

static void damage_files(void) { fanotify_mark(files, FAN_MARK_REMOVE, FAN_MODIFY, AT_FDCWD, own_path("marked")); }

/* A whole file system has events of everybody, so this one is for a kind of event that only we make, on our mount of /proc. */
static void make_mounts(void) {
  mounts = group(FAN_CLASS_NOTIF, O_RDONLY);
  MUST(fanotify_mark(mounts, FAN_MARK_ADD | FAN_MARK_MOUNT, FAN_OPEN | FAN_ONDIR, AT_FDCWD, "/proc"));
  MUST(fanotify_mark(mounts, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, FAN_CLOSE_NOWRITE, AT_FDCWD, "/proc"));
  taken(mounts);
}

static void look_mounts(void) {
  taken(mounts);
  close((int) WORKS(open("/proc/version", O_RDONLY)));
  uint64_t events = taken(mounts);
  HOLDS(events == (FAN_OPEN | FAN_CLOSE_NOWRITE), "a file on the marked mount gives %#lx", (unsigned long) events);
}

static void damage_mounts(void) { fanotify_mark(mounts, FAN_MARK_FLUSH | FAN_MARK_MOUNT, 0, AT_FDCWD, "/proc"); }

static atomic_int denied;

static void *tries(void *nothing) {
  (void) nothing;
  int file = open(own_path("guarded"), O_RDONLY | O_CLOEXEC);
  atomic_store(&denied, file < 0 && errno == EPERM ? 1 : 2);
  if (file >= 0) close(file);
  return NULL;
}

static void make_permission(void) {
  touch(own_path("guarded"));
  permission = group(FAN_CLASS_CONTENT, O_RDONLY);
  MUST(fanotify_mark(permission, FAN_MARK_ADD, FAN_OPEN_PERM, AT_FDCWD, own_path("guarded")));
}

static void look_permission(void) {
  atomic_store(&denied, 0);
  HOLDS(pthread_create(&asker, NULL, tries, NULL) == 0, "no thread");
  struct pollfd poller = {.fd = permission, .events = POLLIN};
  HOLDS(poll(&poller, 1, 2000) == 1, "it is not asked for permission");
  struct fanotify_event_metadata event = {0};
  if (read(permission, &event, sizeof event) == sizeof event) {
    struct fanotify_response answer = {.fd = event.fd, .response = FAN_DENY};
    WORKS(write(permission, &answer, sizeof answer));
    close(event.fd);
  }
  pthread_join(asker, NULL);
  HOLDS(atomic_load(&denied) == 1, "what it denies is possible");
}

static void damage_permission(void) { fanotify_mark(permission, FAN_MARK_FLUSH, 0, AT_FDCWD, NULL); }

KIND({"files", make_files, look_files, damage_files}, {"mounts", make_mounts, look_mounts, damage_mounts},
    {"permission", make_permission, look_permission, damage_permission});
