/* Unix sockets that listen: by path, relative, abstract, with connections nobody accepted yet, and whose file is gone or somebody else's. */
#include "kind.h"
#include "unix_name.h"

#include <sys/socket.h>

static int by_path, abstract, crowded, waiting[3], unlinked, unlinked_client, replaced, replacing, relative, packets;
static struct child server;

static int listening(int type, const char *name, int backlog) {
  struct sockaddr_un address;
  int fd = socket(AF_UNIX, type, 0);
  MUST(bind(fd, (void *) &address, address_of(&address, name)));
  MUST(listen(fd, backlog));
  return fd;
}

static int connected(int type, const char *name) {
  struct sockaddr_un address;
  int fd = (int) WORKS(socket(AF_UNIX, type | SOCK_NONBLOCK, 0));
  if (connect(fd, (void *) &address, address_of(&address, name)) == 0) return fd;
  HOLDS(false, "cannot connect to %s: %s", name, strerror(errno));
  close(fd);
  return -1;
}

/* Connects, has it accepted, and sends both ways. */
static void serves(int listener, int type, const char *name) {
  int client = connected(type, name);
  if (client < 0) return;
  int accepted = (int) WORKS(accept(listener, NULL, NULL));
  char text[8] = "";
  WORKS(send(client, "hello", 5, MSG_NOSIGNAL));
  WORKS(recv(accepted, text, sizeof text - 1, MSG_DONTWAIT));
  HOLDS(strcmp(text, "hello") == 0, "\"%s\" came", text);
  close(client);
  close(accepted);
}

static void make_path(void) {
  by_path = listening(SOCK_STREAM, own_path("server"), 4);
  MUST(chmod(own_path("server"), 0640));
}

static void look_path(void) {
  serves(by_path, SOCK_STREAM, own_path("server"));
  struct stat status;
  WORKS(stat(own_path("server"), &status));
  HOLDS((status.st_mode & 07777) == 0640, "the file's mode is 0%o", status.st_mode & 07777);
}

static void damage_path(void) { unlink(own_path("server")); }

static const char *abstract_name(void) {
  static char text[64];
  snprintf(text, sizeof text, "@gantry test listener %d", (int) getpid());
  return text;
}

static void make_abstract(void) { abstract = listening(SOCK_STREAM, abstract_name(), 4); }
static void look_abstract(void) { serves(abstract, SOCK_STREAM, abstract_name()); }
static void damage_abstract(void) { shutdown(abstract, SHUT_RDWR); }

static void make_packets(void) { packets = listening(SOCK_SEQPACKET, own_path("packets"), 4); }
static void look_packets(void) { serves(packets, SOCK_SEQPACKET, own_path("packets")); }
static void damage_packets(void) { close(packets); }

static void make_crowded(void) {
  crowded = listening(SOCK_STREAM, own_path("crowded"), 2);
  MUST(fcntl(crowded, F_SETFL, O_NONBLOCK));
  for (int i = 0; i < 3; i++) waiting[i] = connected(SOCK_STREAM, own_path("crowded"));
}

/* All three are accepted in their order, and come again. */
static void look_crowded(void) {
  struct sockaddr_un address;
  int fourth = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
  HOLDS(connect(fourth, (void *) &address, address_of(&address, own_path("crowded"))) == -1 && errno == EAGAIN, "more may wait than before");
  close(fourth);
  for (int i = 0; i < 3; i++) {
    int accepted = (int) WORKS(accept(crowded, NULL, NULL));
    char sent = (char) ('a' + i), got = 0;
    WORKS(send(waiting[i], &sent, 1, MSG_NOSIGNAL));
    WORKS(recv(accepted, &got, 1, MSG_DONTWAIT));
    HOLDS(got == sent, "connection %d was accepted out of its turn", i);
    struct ucred who;
    socklen_t length = sizeof who;
    WORKS(getsockopt(accepted, SOL_SOCKET, SO_PEERCRED, &who, &length));
    HOLDS(who.pid == getpid(), "it was made by process %d", who.pid);
    close(accepted);
    close(waiting[i]);
  }
  for (int i = 0; i < 3; i++) waiting[i] = connected(SOCK_STREAM, own_path("crowded"));
}

static void damage_crowded(void) { close(accept(crowded, NULL, NULL)); }

/* Nobody can reach it any more, but who is connected stays so. */
static void make_unlinked(void) {
  unlinked = listening(SOCK_STREAM, own_path("unlinked"), 4);
  unlinked_client = connected(SOCK_STREAM, own_path("unlinked"));
  unlink(own_path("unlinked"));
}

static void look_unlinked(void) {
  HOLDS(access(own_path("unlinked"), F_OK) == -1, "the file is there again");
  int accepted = (int) WORKS(accept(unlinked, NULL, NULL));
  WORKS(send(unlinked_client, "x", 1, MSG_NOSIGNAL));
  char got = 0;
  WORKS(recv(accepted, &got, 1, MSG_DONTWAIT));
  struct sockaddr_un address, expected;
  socklen_t length = sizeof address, wanted = address_of(&expected, own_path("unlinked"));
  WORKS(getsockname(unlinked, (void *) &address, &length));
  HOLDS(length == wanted && memcmp(&address, &expected, length) == 0, "its name is %s", address.sun_path);
  close(accepted);
  close(unlinked_client);
  close(unlinked);
  make_unlinked();
}

static void damage_unlinked(void) { close(unlinked_client); unlinked_client = -1; }

static void make_replaced(void) {
  replaced = listening(SOCK_STREAM, own_path("replaced"), 4);
  unlink(own_path("replaced"));
  replacing = listening(SOCK_STREAM, own_path("replaced"), 4);
  MUST(fcntl(replaced, F_SETFL, O_NONBLOCK));
  MUST(fcntl(replacing, F_SETFL, O_NONBLOCK));
}

static void look_replaced(void) {
  serves(replacing, SOCK_STREAM, own_path("replaced"));
  HOLDS(accept(replaced, NULL, NULL) == -1 && errno == EAGAIN, "the one that was replaced gets connections");
}

static void damage_replaced(void) {
  unlink(own_path("replaced"));
  rename(own_path("server"), own_path("replaced"));
}

/* Bound by a relative name, and renamed since. */
static void make_relative(void) {
  char before[500];
  MUST(getcwd(before, sizeof before) != NULL ? 0 : -1);
  MUST(chdir(report_directory));
  mkdir("below", 0755);
  mkdir("aside", 0755);
  relative = listening(SOCK_STREAM, "aside/../below/relative", 4);
  MUST(rename("below/relative", "renamed"));
  MUST(chdir(before));
}

static void look_relative(void) {
  serves(relative, SOCK_STREAM, own_path("renamed"));
  struct sockaddr_un address;
  socklen_t length = sizeof address;
  WORKS(getsockname(relative, (void *) &address, &length));
  HOLDS(strcmp(address.sun_path, "aside/../below/relative") == 0, "its name is %s", address.sun_path);
}

static void damage_relative(void) { rename(own_path("renamed"), own_path("renamed twice")); }

static int childs, client;

static void child_prepares(void) {
  childs = listening(SOCK_STREAM, own_path("childs"), 5);
}

static int accepted_by_child = -1;

static void child_looks(void) {
  if (accepted_by_child < 0) accepted_by_child = (int) WORKS(accept(childs, NULL, NULL));
  char text[8] = "";
  WORKS(recv(accepted_by_child, text, sizeof text - 1, MSG_DONTWAIT));
  HOLDS(strcmp(text, "ping") == 0, "it got \"%s\"", text);
  WORKS(send(accepted_by_child, "pong", 4, MSG_NOSIGNAL));
}

static void child_damage(void) {
  char text[8];
  recv(accepted_by_child, text, sizeof text, 0);
}

/* A listener in a child, connected from here before it accepts; after that the connection stays. */
static void make_childs(void) {
  server = child_begin(child_prepares, child_looks, child_damage);
  client = connected(SOCK_STREAM, own_path("childs"));
}

static int asked_child;

static void look_childs(void) {
  if (!asked_child) WORKS(send(client, "ping", 4, MSG_NOSIGNAL));
  asked_child = 1;
  child_says(&server);
  char text[8] = "";
  WORKS(recv(client, text, sizeof text - 1, MSG_DONTWAIT));
  HOLDS(strcmp(text, "pong") == 0, "the child answers \"%s\"", text);
  struct ucred who;
  socklen_t length = sizeof who;
  WORKS(getsockopt(client, SOL_SOCKET, SO_PEERCRED, &who, &length));
  HOLDS(who.pid == server.pid, "process %d listens", who.pid);
  WORKS(send(client, "ping", 4, MSG_NOSIGNAL));
}

static void damage_childs(void) { child_damages(&server); }

KIND({"path", make_path, look_path, damage_path}, {"abstract", make_abstract, look_abstract, damage_abstract},
    {"packets", make_packets, look_packets, damage_packets}, {"crowded", make_crowded, look_crowded, damage_crowded},
    {"unlinked", make_unlinked, look_unlinked, damage_unlinked}, {"replaced", make_replaced, look_replaced, damage_replaced},
    {"relative", make_relative, look_relative, damage_relative}, {"childs", make_childs, look_childs, damage_childs});
