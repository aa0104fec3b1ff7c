/* Files below /proc that are open: the program's own, a child's, a thread's, directories, and descriptors of namespaces. */
#include "kind.h"

#include <dirent.h>
#include <sched.h>

static int status_file, maps, of_child, of_thread, directory, tasks, names, network;
static pid_t child_pid, thread_id;

static bool begins(int fd, const char *text) {
  static char buffer[8192];
  WORKS(lseek(fd, 0, SEEK_SET));
  ssize_t got = read(fd, buffer, sizeof buffer - 1);
  if (got < 0) return false;
  buffer[got] = 0;
  return strstr(buffer, text) != NULL;
}

static void make_status(void) {
  status_file = (int) MUST(open("/proc/self/status", O_RDONLY | O_CLOEXEC));
  MUST(lseek(status_file, 6, SEEK_SET));
}

static void look_status(void) {
  char name[16] = {0};
  HOLDS(lseek(status_file, 0, SEEK_CUR) == 6, "its position is %ld", (long) lseek(status_file, 0, SEEK_CUR));
  HOLDS(read(status_file, name, 10) == 10 && strncmp(name, "proc_files", 10) == 0, "it reads '%s'", name);
  WORKS(lseek(status_file, 6, SEEK_SET));
}

static void damage_status(void) { lseek(status_file, 0, SEEK_SET); }

static void make_maps(void) { maps = (int) MUST(open("/proc/self/maps", O_RDONLY)); }

static void look_maps(void) { HOLDS(begins(maps, "proc_files"), "the program is not in its own maps"); }

static void damage_maps(void) { close(maps); }

static void make_child(void) {
  child_pid = (pid_t) MUST(fork());
  if (child_pid == 0) {
    for (;;) pause();
  }
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/stat", child_pid);
  of_child = (int) MUST(open(path, O_RDONLY));
}

static void look_child(void) {
  char wanted[32];
  snprintf(wanted, sizeof wanted, "%d (", child_pid);
  HOLDS(begins(of_child, wanted), "it does not begin with %s", wanted);
}

static void damage_child(void) { dup2(status_file, of_child); }

static void make_thread(void) {
  thread_id = thread_begin();
  char path[64];
  snprintf(path, sizeof path, "/proc/self/task/%d/stat", thread_id);
  of_thread = (int) MUST(open(path, O_RDONLY));
}

static void look_thread(void) {
  char wanted[32];
  snprintf(wanted, sizeof wanted, "%d (", thread_id);
  HOLDS(begins(of_thread, wanted), "it does not begin with %s", wanted);
}

static void damage_thread(void) { dup2(of_child, of_thread); }

static void make_directory(void) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d", child_pid);
  directory = (int) MUST(open(path, O_RDONLY | O_DIRECTORY));
  tasks = (int) MUST(open("/proc/self/task", O_RDONLY | O_DIRECTORY));
}

static void look_directory(void) {
  char name[32], wanted[32];
  snprintf(wanted, sizeof wanted, "%d (", child_pid);
  int file = (int) WORKS(openat(directory, "stat", O_RDONLY));
  HOLDS(begins(file, wanted), "the directory is not the child's");
  close(file);
  snprintf(name, sizeof name, "%d", thread_id);
  HOLDS(faccessat(tasks, name, F_OK, 0) == 0, "the thread is not among the tasks");
}

static void damage_directory(void) { dup2(tasks, directory); }

static bool is_own(int fd, const char *name) {
  char path[64];
  struct stat opened = {0}, own = {0};
  snprintf(path, sizeof path, "/proc/self/ns/%s", name);
  return WORKS(fstat(fd, &opened)) == 0 && WORKS(stat(path, &own)) == 0 && opened.st_ino == own.st_ino && opened.st_dev == own.st_dev;
}

static void make_namespaces(void) {
  names = (int) MUST(open("/proc/self/ns/uts", O_RDONLY | O_CLOEXEC));
  network = (int) MUST(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
}

static void look_namespaces(void) {
  HOLDS(is_own(names, "uts"), "it is not the namespace of names that the program is in");
  HOLDS(is_own(network, "net"), "it is not the network namespace that the program is in");
  HOLDS(setns(names, CLONE_NEWUTS) == 0, "it cannot be entered: %s", strerror(errno));
}

static void damage_namespaces(void) { dup2(network, names); }

KIND({"status", make_status, look_status, damage_status}, {"maps", make_maps, look_maps, damage_maps},
    {"child", make_child, look_child, damage_child}, {"thread", make_thread, look_thread, damage_thread},
    {"directory", make_directory, look_directory, damage_directory}, {"namespaces", make_namespaces, look_namespaces, damage_namespaces});
