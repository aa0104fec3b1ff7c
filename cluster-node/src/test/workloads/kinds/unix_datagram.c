/* Unix datagram sockets: pairs, named, connected to each other, with messages from several senders waiting, and their credentials. */
#include "kind.h"
#include "unix_name.h"

#include <sys/socket.h>

static int pair[2], inbox, alice, bob, client, server, automatic, logger, log_client, unconnected;

static const char *abstract_name(const char *suffix) {
  static char text[100];
  snprintf(text, sizeof text, "@gantry datagrams %d %s", (int) getpid(), suffix);
  return text;
}

static int bound(const char *name) {
  struct sockaddr_un address;
  int fd = (int) MUST(socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0));
  MUST(bind(fd, (void *) &address, address_of(&address, name)));
  return fd;
}

static void send_to(int fd, const char *name, const char *text) {
  struct sockaddr_un address;
  WORKS(sendto(fd, text, strlen(text), 0, (void *) &address, address_of(&address, name)));
}

/* The next message and who sent it; an empty name: nobody that has one. */
static void comes(int fd, const char *text, const char *sender) {
  char got[100] = "";
  struct sockaddr_un address, expected;
  socklen_t length = sizeof address, wanted = sender[0] == 0 ? 0 : address_of(&expected, sender);
  WORKS(recvfrom(fd, got, sizeof got - 1, MSG_DONTWAIT, (void *) &address, &length));
  HOLDS(strcmp(got, text) == 0, "\"%s\" came, not \"%s\"", got, text);
  HOLDS(wanted == 0 ? length <= 2 : length == wanted && memcmp(&address, &expected, length) == 0, "\"%s\" came from %s", text,
      length <= 2 ? "nobody" : address.sun_path);
}

static void nothing_comes(int fd) {
  char got[100];
  HOLDS(recv(fd, got, sizeof got, MSG_DONTWAIT) == -1 && errno == EAGAIN, "more waits than before");
}

static void make_pair(void) {
  MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
  MUST(send(pair[0], "one", 3, 0));
  MUST(send(pair[0], "", 0, 0));
  MUST(send(pair[0], "three", 5, 0));
}

static void look_pair(void) {
  comes(pair[1], "one", "");
  comes(pair[1], "", "");
  comes(pair[1], "three", "");
  nothing_comes(pair[1]);
  WORKS(send(pair[0], "one", 3, 0));
  WORKS(send(pair[0], "", 0, 0));
  WORKS(send(pair[0], "three", 5, 0));
}

static void damage_pair(void) { send(pair[0], "four", 4, 0); }

/* Messages of two that live, one that has closed, and one without a name. */
static void fill_inbox(void) {
  send_to(alice, own_path("inbox"), "from alice");
  send_to(bob, own_path("inbox"), "from bob");
  int carol = bound(own_path("carol")), nobody = (int) WORKS(socket(AF_UNIX, SOCK_DGRAM, 0));
  send_to(carol, own_path("inbox"), "from carol");
  send_to(nobody, own_path("inbox"), "from nobody");
  send_to(alice, own_path("inbox"), "alice again");
  close(carol);
  close(nobody);
  unlink(own_path("carol"));
}

static void make_inbox(void) {
  inbox = bound(own_path("inbox"));
  alice = bound(own_path("alice"));
  bob = bound(abstract_name("bob"));
  fill_inbox();
}

static void look_inbox(void) {
  comes(inbox, "from alice", own_path("alice"));
  comes(inbox, "from bob", abstract_name("bob"));
  comes(inbox, "from carol", own_path("carol"));
  comes(inbox, "from nobody", "");
  comes(inbox, "alice again", own_path("alice"));
  nothing_comes(inbox);
  fill_inbox();
  send_to(inbox, own_path("alice"), "reply");
  comes(alice, "reply", own_path("inbox"));
}

static void damage_inbox(void) {
  char text[40];
  recv(inbox, text, sizeof text, 0);
}

/* Two that are named and connected to each other; before that a stranger wrote. */
static void make_connected(void) {
  struct sockaddr_un address;
  client = bound(abstract_name("client"));
  server = bound(own_path("server"));
  send_to(alice, own_path("server"), "before");
  MUST(connect(client, (void *) &address, address_of(&address, own_path("server"))));
  MUST(connect(server, (void *) &address, address_of(&address, abstract_name("client"))));
  MUST(send(client, "after", 5, 0));
}

static void look_connected(void) {
  struct sockaddr_un address;
  if (asked_number <= 2) {
    char text[40] = "";
    WORKS(recv(server, text, sizeof text - 1, MSG_PEEK));
    HOLDS(strcmp(text, "before") == 0, "the first message is \"%s\"", text);
  }
  HOLDS(sendto(alice, "x", 1, 0, (void *) &address, address_of(&address, own_path("server"))) == -1 && errno == EPERM, "a stranger can write");
  WORKS(send(server, "down", 4, 0));
  comes(client, "down", own_path("server"));
}

static void damage_connected(void) {
  struct sockaddr_un address;
  connect(server, (void *) &address, address_of(&address, own_path("alice")));
}

static struct sockaddr_un automatic_name;
static socklen_t automatic_length;

static void make_automatic(void) {
  sa_family_t family = AF_UNIX;
  automatic = (int) MUST(socket(AF_UNIX, SOCK_DGRAM, 0));
  MUST(bind(automatic, (void *) &family, sizeof family));
  automatic_length = sizeof automatic_name;
  MUST(getsockname(automatic, (void *) &automatic_name, &automatic_length));
}

static void look_automatic(void) {
  WORKS(sendto(alice, "auto", 4, 0, (void *) &automatic_name, automatic_length));
  comes(automatic, "auto", own_path("alice"));
}

static void damage_automatic(void) { close(automatic); }

/* As syslog: connected one way, and who sent is told. */
static void make_log(void) {
  struct sockaddr_un address;
  int on = 1;
  logger = bound(own_path("log"));
  MUST(setsockopt(logger, SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
  log_client = (int) MUST(socket(AF_UNIX, SOCK_DGRAM, 0));
  MUST(connect(log_client, (void *) &address, address_of(&address, own_path("log"))));
  MUST(send(log_client, "line", 4, 0));
}

static void look_log(void) {
  char text[16] = "", control[64];
  struct iovec vector = {.iov_base = text, .iov_len = sizeof text};
  struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  WORKS(recvmsg(logger, &message, MSG_DONTWAIT));
  HOLDS(strcmp(text, "line") == 0, "\"%s\" waits", text);
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  HOLDS(header != NULL && header->cmsg_type == SCM_CREDENTIALS && ((struct ucred *) CMSG_DATA(header))->pid == getpid(), "the sender is unknown");
  nothing_comes(logger);
  WORKS(send(log_client, "line", 4, 0));
}

static void damage_log(void) { send(log_client, "no", 2, 0); }

static void make_unconnected(void) { unconnected = (int) MUST(socket(AF_UNIX, SOCK_DGRAM, 0)); }

static void look_unconnected(void) {
  struct sockaddr_un address;
  socklen_t length = sizeof address;
  WORKS(getsockname(unconnected, (void *) &address, &length));
  HOLDS(length == 2, "it has a name");
  HOLDS(send(unconnected, "x", 1, 0) == -1 && errno == ENOTCONN, "it is connected");
}

static void damage_unconnected(void) {
  struct sockaddr_un address;
  connect(unconnected, (void *) &address, address_of(&address, own_path("log")));
}

KIND({"pair", make_pair, look_pair, damage_pair}, {"inbox", make_inbox, look_inbox, damage_inbox},
    {"connected", make_connected, look_connected, damage_connected}, {"automatic", make_automatic, look_automatic, damage_automatic},
    {"log", make_log, look_log, damage_log}, {"unconnected", make_unconnected, look_unconnected, damage_unconnected});
