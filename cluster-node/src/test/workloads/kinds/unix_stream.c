/* Unix stream and sequenced-packet sockets: pairs and connections, with data waiting, named in every way, half closed, and what is left of them. */
#include "kind.h"
#include "unix_name.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static int pair[2], packets[2], half[2], orphan, path_client, path_server, abstract_client, abstract_server, bereft, options[2], reset_end;
static struct child other;
static int family_end;

static const char *abstract_name(const char *suffix) {
  static char text[100];
  snprintf(text, sizeof text, "@gantry test %d %s", (int) getpid(), suffix);
  return text;
}

static int waiting(int fd) {
  int count = -1;
  WORKS(ioctl(fd, FIONREAD, &count));
  return count;
}

/* Takes what waits and puts it back through the other end. */
static void look_bytes(int fd, int from, const char *expected) {
  char text[200] = "";
  size_t length = strlen(expected);
  HOLDS(waiting(fd) == (int) length, "%d bytes wait, not %zu", waiting(fd), length);
  WORKS(recv(fd, text, sizeof text - 1, MSG_DONTWAIT));
  HOLDS(strcmp(text, expected) == 0, "what waits is \"%s\"", text);
  if (from >= 0) WORKS(send(from, expected, length, MSG_NOSIGNAL));
}

static void make_pair(void) {
  MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
  MUST(send(pair[0], "to one", 6, 0));
  MUST(send(pair[1], "to nought", 9, 0));
}

static void look_pair(void) {
  look_bytes(pair[1], pair[0], "to one");
  look_bytes(pair[0], pair[1], "to nought");
  struct ucred who;
  socklen_t length = sizeof who;
  WORKS(getsockopt(pair[0], SOL_SOCKET, SO_PEERCRED, &who, &length));
  HOLDS(who.pid == getpid() && who.uid == getuid(), "the other end was made by process %d, user %u", who.pid, who.uid);
}

static void damage_pair(void) { send(pair[0], "!", 1, 0); }

static void make_packets(void) {
  MUST(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, packets));
  MUST(send(packets[0], "first", 5, 0));
  MUST(send(packets[0], "2", 1, 0));
  MUST(send(packets[0], "third one", 9, 0));
}

static void look_packets(void) {
  static const char *const expected[] = {"first", "2", "third one"};
  for (int i = 0; i < 3; i++) {
    char text[40] = "";
    WORKS(recv(packets[1], text, sizeof text - 1, MSG_DONTWAIT));
    HOLDS(strcmp(text, expected[i]) == 0, "packet %d is \"%s\"", i, text);
  }
  for (int i = 0; i < 3; i++) WORKS(send(packets[0], expected[i], strlen(expected[i]), 0));
}

static void damage_packets(void) {
  char text[2];
  recv(packets[1], text, sizeof text, 0);
}

static void make_half(void) {
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, half));
  MUST(send(half[0], "last words", 10, 0));
  MUST(shutdown(half[0], SHUT_WR));
}

static void look_half(void) {
  char text[40] = "";
  HOLDS(recv(half[1], text, sizeof text - 1, MSG_PEEK) == 10 && strcmp(text, "last words") == 0, "what waits is \"%s\"", text);
  HOLDS(send(half[0], "x", 1, MSG_NOSIGNAL) == -1 && errno == EPIPE, "the closed direction is open");
  WORKS(send(half[1], "back", 4, 0));
  HOLDS(recv(half[0], text, sizeof text, MSG_DONTWAIT) == 4, "the open direction is closed");
  struct pollfd poll_half = {.fd = half[1], .events = POLLRDHUP};
  HOLDS(poll(&poll_half, 1, 0) == 1 && (poll_half.revents & POLLRDHUP), "the other end does not know that it was closed");
}

static void damage_half(void) {
  char text[5];
  recv(half[1], text, sizeof text, 0);
}

static void make_orphan(void) {
  int ends[2];
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
  MUST(send(ends[0], "left behind", 11, 0));
  close(ends[0]);
  orphan = ends[1];
}

static void look_orphan(void) {
  char text[40] = "";
  HOLDS(recv(orphan, text, sizeof text - 1, MSG_PEEK) == 11 && strcmp(text, "left behind") == 0, "what waits is \"%s\"", text);
  HOLDS(send(orphan, "x", 1, MSG_NOSIGNAL) == -1 && errno == EPIPE, "somebody is at the other end");
}

static void damage_orphan(void) {
  char text[40];
  recv(orphan, text, sizeof text, 0);
}

static void make_reset(void) {
  int ends[2];
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
  MUST(send(ends[1], "never read", 10, 0));
  close(ends[0]);
  reset_end = ends[1];
}

static void look_reset(void) {
  struct pollfd poll_end = {.fd = reset_end, .events = 0};
  HOLDS(poll(&poll_end, 1, 0) == 1 && (poll_end.revents & POLLERR), "the error is not there any more");
}

static void damage_reset(void) {
  int error;
  socklen_t length = sizeof error;
  getsockopt(reset_end, SOL_SOCKET, SO_ERROR, &error, &length);
}

static void connection(const char *name, int *client, int *server) {
  struct sockaddr_un address;
  socklen_t length = address_of(&address, name);
  int listener = (int) MUST(socket(AF_UNIX, SOCK_STREAM, 0));
  MUST(bind(listener, (void *) &address, length));
  MUST(listen(listener, 3));
  *client = (int) MUST(socket(AF_UNIX, SOCK_STREAM, 0));
  MUST(connect(*client, (void *) &address, length));
  *server = (int) MUST(accept(listener, NULL, NULL));
  close(listener);
  MUST(send(*client, "question", 8, 0));
  MUST(send(*server, "answer", 6, 0));
}

static void look_name(int fd, const char *name, int (*ask)(int, struct sockaddr *, socklen_t *)) {
  struct sockaddr_un address, expected;
  socklen_t length = sizeof address, wanted = address_of(&expected, name);
  WORKS(ask(fd, (void *) &address, &length));
  HOLDS(length == wanted && memcmp(&address, &expected, length) == 0, "the name is \"%.*s\"", (int) length - 2, address.sun_path);
}

static int own_name(int fd, struct sockaddr *address, socklen_t *length) { return getsockname(fd, address, length); }
static int peer_name(int fd, struct sockaddr *address, socklen_t *length) { return getpeername(fd, address, length); }

/* The listener is gone, the file too. */
static void make_path(void) {
  connection(own_path("gone"), &path_client, &path_server);
  unlink(own_path("gone"));
}

static void look_path(void) {
  look_bytes(path_server, path_client, "question");
  look_bytes(path_client, path_server, "answer");
  look_name(path_server, own_path("gone"), own_name);
  look_name(path_client, own_path("gone"), peer_name);
}

static void damage_path(void) { shutdown(path_client, SHUT_WR), send(path_server, "?", 1, 0); }

static void make_abstract(void) { connection(abstract_name("listener"), &abstract_client, &abstract_server); }

static void look_abstract(void) {
  look_bytes(abstract_server, abstract_client, "question");
  look_name(abstract_server, abstract_name("listener"), own_name);
  look_name(abstract_client, abstract_name("listener"), peer_name);
}

static void damage_abstract(void) { close(abstract_client), abstract_client = -1; }

/* The accepting end is closed, with its last words unread. */
static void make_bereft(void) {
  int server;
  connection(own_path("bereft"), &bereft, &server);
  char text[40];
  MUST(recv(server, text, sizeof text, 0));
  close(server);
}

static void look_bereft(void) {
  char text[40] = "";
  HOLDS(recv(bereft, text, sizeof text - 1, MSG_PEEK) == 6 && strcmp(text, "answer") == 0, "what waits is \"%s\"", text);
  look_name(bereft, own_path("bereft"), peer_name);
}

static void damage_bereft(void) {
  char text[40];
  recv(bereft, text, 3, 0);
}

static void make_options(void) {
  MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, options));
  int size = 60000, on = 1, offset = 3;
  struct timeval timeout = {.tv_sec = 5, .tv_usec = 250000};
  MUST(setsockopt(options[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size));
  MUST(setsockopt(options[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
  MUST(setsockopt(options[1], SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout));
  MUST(send(options[0], "peeked", 6, 0));
  MUST(setsockopt(options[1], SOL_SOCKET, SO_PEEK_OFF, &offset, sizeof offset));
}

static void look_options(void) {
  int value = 0;
  socklen_t length = sizeof value;
  WORKS(getsockopt(options[0], SOL_SOCKET, SO_SNDBUF, &value, &length));
  HOLDS(value == 120000, "the send buffer is %d", value);
  WORKS(getsockopt(options[1], SOL_SOCKET, SO_PASSCRED, &value, &length));
  HOLDS(value == 1, "SO_PASSCRED is %d", value);
  WORKS(getsockopt(options[1], SOL_SOCKET, SO_PEEK_OFF, &value, &length));
  HOLDS(value == 3, "SO_PEEK_OFF is %d", value);
  struct timeval timeout;
  length = sizeof timeout;
  WORKS(getsockopt(options[1], SOL_SOCKET, SO_RCVTIMEO, &timeout, &length));
  HOLDS(timeout.tv_sec == 5, "the time-out is %ld seconds", (long) timeout.tv_sec);
  HOLDS((fcntl(options[0], F_GETFL) & O_NONBLOCK) && (fcntl(options[1], F_GETFL) & O_NONBLOCK), "they are not non-blocking any more");
  char text[16] = "", control[64];
  struct iovec vector = {.iov_base = text, .iov_len = sizeof text};
  struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  WORKS(recvmsg(options[1], &message, MSG_PEEK));
  HOLDS(strcmp(text, "ked") == 0, "peeking gives \"%s\"", text);
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  HOLDS(header != NULL && header->cmsg_type == SCM_CREDENTIALS, "no credentials came");
  if (header != NULL) HOLDS(((struct ucred *) CMSG_DATA(header))->pid == getpid(), "it is from process %d", ((struct ucred *) CMSG_DATA(header))->pid);
  int offset = 3;
  WORKS(setsockopt(options[1], SOL_SOCKET, SO_PEEK_OFF, &offset, sizeof offset));
}

static void damage_options(void) {
  int off = 0;
  setsockopt(options[1], SOL_SOCKET, SO_PASSCRED, &off, sizeof off);
}

static void child_looks(void) {
  char text[8] = "";
  WORKS(recv(family_end, text, sizeof text - 1, MSG_DONTWAIT));
  HOLDS(strcmp(text, "dear") == 0, "it got \"%s\"", text);
}

static void child_damage(void) { send(family_end, "no", 2, 0); }

static int parent_end;

/* One end here, one in a child. */
static void make_family(void) {
  int ends[2];
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
  parent_end = ends[0];
  family_end = ends[1];
  other = child_begin(NULL, child_looks, child_damage);
  close(family_end);
  MUST(send(parent_end, "dear", 4, 0));
}

static void look_family(void) {
  child_says(&other);
  HOLDS(waiting(parent_end) == 0, "the child has said something");
  WORKS(send(parent_end, "dear", 4, MSG_NOSIGNAL));
}

static void damage_family(void) { child_damages(&other); }

KIND({"pair", make_pair, look_pair, damage_pair}, {"packets", make_packets, look_packets, damage_packets},
    {"half", make_half, look_half, damage_half}, {"orphan", make_orphan, look_orphan, damage_orphan},
    {"reset", make_reset, look_reset, damage_reset}, {"path", make_path, look_path, damage_path},
    {"abstract", make_abstract, look_abstract, damage_abstract}, {"bereft", make_bereft, look_bereft, damage_bereft},
    {"options", make_options, look_options, damage_options}, {"family", make_family, look_family, damage_family});
