// Has a file mapped, or runs one, whose name is lost, or huge pages; how is its first argument. The second one is a directory.
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

static long check(long result, const char *call) {
  if (result < 0) {
    printf("failed: %s: %s\n", call, strerror(errno));
    exit(1);
  }
  return result;
}

int main(int count, char **arguments) {
  if (count != 3) return 1;
  setvbuf(stdout, NULL, _IONBF, 0);
  const char *how = arguments[1];
  check(chdir(arguments[2]), "chdir");
  if (strcmp(how, "program-in-memory") == 0) {
    int program = check(memfd_create("in-memory", 0), "memfd_create");
    int own = check(open("/proc/self/exe", O_RDONLY), "open");
    struct stat status;
    check(fstat(own, &status), "fstat");
    while (check(sendfile(program, own, NULL, status.st_size), "sendfile") > 0) continue;
    char *next[] = {"in-memory", "run", arguments[2], NULL};
    check(fexecve(program, next, environ), "fexecve");
  }
  if (strncmp(how, "huge", 4) == 0) {
    // Without a reservation, so that the host need not have any huge pages.
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_NORESERVE, file = -1;
    if (strcmp(how, "huge-file") == 0) {
      check(unshare(CLONE_NEWNS), "unshare");
      check(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL), "mount");
      check(mkdir("huge", 0700), "mkdir");
      check(mount("none", "huge", "hugetlbfs", 0, NULL), "mount of hugetlbfs");
      file = check(open("huge/file", O_RDWR | O_CREAT, 0600), "open");
      flags = MAP_SHARED | MAP_NORESERVE;
    }
    if (mmap(NULL, 6 << 20, PROT_READ, flags, file, 0) == MAP_FAILED) check(-1, "mmap");
  } else if (strcmp(how, "run") != 0) {
    int file = check(open("mapped", O_RDWR | O_CREAT, 0600), "open");
    check(ftruncate(file, 4096), "ftruncate");
    if (mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, file, 0) == MAP_FAILED) check(-1, "mmap");
    close(file);
    if (strcmp(how, "linked-elsewhere") == 0) {
      check(mkdir("elsewhere", 0700), "mkdir");
      check(link("mapped", "elsewhere/mapped"), "link");
    }
    if (strcmp(how, "linked-here") == 0) check(link("mapped", "other"), "link");
    check(unlink("mapped"), "unlink");
  }
  puts("ready");
  for (;;) pause();
}
