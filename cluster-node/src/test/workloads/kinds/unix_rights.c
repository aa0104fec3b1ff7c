/* Descriptors on their way in messages: files that are open elsewhere, files that nobody else has, sockets in sockets, and a circle of them. */
#include "kind.h"

#include <sys/eventfd.h>
#include <sys/socket.h>

static int plain[2], event, alone[2], nested[2], circle[2], behind[2];

static void pass(int by, const char *text, int fd) {
  union {
    struct cmsghdr header;
    char room[CMSG_SPACE(sizeof(int))];
  } control = {0};
  struct iovec vector = {.iov_base = (char *) text, .iov_len = strlen(text)};
  struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  control.header = (struct cmsghdr) {.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
  memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
  WORKS(sendmsg(by, &message, MSG_NOSIGNAL));
}

/* The descriptor that the next message brings; -1 when it brings none. */
static int taken(int from, const char *text, size_t most) {
  union {
    struct cmsghdr header;
    char room[CMSG_SPACE(sizeof(int))];
  } control = {0};
  char got[100] = "";
  struct iovec vector = {.iov_base = got, .iov_len = most};
  struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  WORKS(recvmsg(from, &message, MSG_DONTWAIT));
  HOLDS(strcmp(got, text) == 0, "\"%s\" came, not \"%s\"", got, text);
  int fd = -1;
  if (message.msg_controllen > 0) memcpy(&fd, CMSG_DATA(&control.header), sizeof fd);
  return fd;
}

/* Of a file that is open here as well. */
static void make_plain(void) {
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, plain));
  event = (int) MUST(eventfd(0, EFD_NONBLOCK));
  pass(plain[0], "open", event);
}

static void look_plain(void) {
  int fd = taken(plain[1], "open", 50);
  uint64_t value = 7;
  WORKS(write(fd, &value, sizeof value));
  value = 0;
  WORKS(read(event, &value, sizeof value));
  HOLDS(value == 7, "it is another file than the one that is open here");
  close(fd);
  pass(plain[0], "open", event);
}

static void damage_plain(void) { close(taken(plain[1], "open", 50)); }

static void pass_alone(void) {
  int fd = (int) WORKS(eventfd(23, EFD_NONBLOCK));
  pass(alone[0], "only here", fd);
  close(fd);
  fd = (int) WORKS(open(own_path("file"), O_RDWR | O_CREAT, 0600));
  WORKS(write(fd, "content", 7));
  pass(alone[0], "a file", fd);
  close(fd);
}

/* Of files that nobody has but the messages. */
static void make_alone(void) {
  MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, alone));
  pass_alone();
}

static void look_alone(void) {
  int fd = taken(alone[1], "only here", 50);
  uint64_t value = 0;
  WORKS(read(fd, &value, sizeof value));
  HOLDS(value == 23, "the counter is %lu", (unsigned long) value);
  close(fd);
  fd = taken(alone[1], "a file", 50);
  HOLDS(lseek(fd, 0, SEEK_CUR) == 7, "the position is %ld", (long) lseek(fd, 0, SEEK_CUR));
  close(fd);
  pass_alone();
}

static void damage_alone(void) { close(taken(alone[1], "only here", 50)); }

static void pass_nested(void) {
  int inner[2];
  WORKS(socketpair(AF_UNIX, SOCK_STREAM, 0, inner));
  WORKS(send(inner[0], "deep", 4, 0));
  pass(nested[0], "one end", inner[0]);
  pass(nested[0], "other end", inner[1]);
  close(inner[0]);
  close(inner[1]);
}

/* Both ends of a pair, with data in it, which nobody else has. */
static void make_nested(void) {
  MUST(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, nested));
  pass_nested();
}

static void look_nested(void) {
  int one = taken(nested[1], "one end", 50), two = taken(nested[1], "other end", 50);
  char text[10] = "";
  WORKS(recv(two, text, sizeof text - 1, MSG_DONTWAIT));
  HOLDS(strcmp(text, "deep") == 0, "\"%s\" waits in it", text);
  WORKS(send(two, "up", 2, MSG_NOSIGNAL));
  HOLDS(recv(one, text, sizeof text, MSG_DONTWAIT) == 2, "they are not connected to each other");
  close(one);
  close(two);
  pass_nested();
}

static void damage_nested(void) { close(taken(nested[1], "one end", 50)); }

/* A socket on its way to itself. */
static void make_circle(void) {
  MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, circle));
  pass(circle[0], "itself", circle[1]);
}

static void look_circle(void) {
  int fd = taken(circle[1], "itself", 50);
  WORKS(send(circle[0], "x", 1, MSG_NOSIGNAL));
  char text[10];
  HOLDS(recv(fd, text, sizeof text, MSG_DONTWAIT) == 1, "what came is not the socket itself");
  close(fd);
  pass(circle[0], "itself", circle[1]);
}

static void damage_circle(void) { close(taken(circle[1], "itself", 50)); }

/* In the middle of a stream: what was sent before comes before. */
static void pass_behind(void) {
  WORKS(send(behind[0], "before", 6, 0));
  pass(behind[0], "with", event);
  WORKS(send(behind[0], "after", 5, 0));
}

static void make_behind(void) {
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, behind));
  pass_behind();
}

static void look_behind(void) {
  HOLDS(taken(behind[1], "before", 6) == -1, "the descriptor comes too early");
  int fd = taken(behind[1], "with", 4);
  HOLDS(fd != -1, "the descriptor does not come");
  close(fd);
  HOLDS(taken(behind[1], "after", 50) == -1, "the descriptor comes too late");
  pass_behind();
}

static void damage_behind(void) { taken(behind[1], "before", 6); }

KIND({"plain", make_plain, look_plain, damage_plain}, {"alone", make_alone, look_alone, damage_alone},
    {"nested", make_nested, look_nested, damage_nested}, {"circle", make_circle, look_circle, damage_circle},
    {"behind", make_behind, look_behind, damage_behind});
