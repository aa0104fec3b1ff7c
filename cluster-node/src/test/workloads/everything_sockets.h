/* Sockets that have no peer: listening TCP and unconnected UDP. They are only connected to while an item is looked at. */
#ifndef EVERYTHING_SOCKETS_H
#define EVERYTHING_SOCKETS_H

#include "everything.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

static int listener, datagrams;
static struct sockaddr_in listener_name, datagrams_name;

static int option(int socket, int level, int name) {
  int value = -1;
  socklen_t length = sizeof value;
  WORKS(getsockopt(socket, level, name, &value, &length));
  return value;
}

static void set_option(int socket, int level, int name, int value) { MUST(setsockopt(socket, level, name, &value, sizeof value)); }

static void bind_anywhere(int socket, struct sockaddr_in *name) {
  struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof *name;
  MUST(bind(socket, (struct sockaddr *) &any, sizeof any));
  MUST(getsockname(socket, (struct sockaddr *) name, &length));
}

static void prepare_listener(void) {
  listener = (int) MUST(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  set_option(listener, SOL_SOCKET, SO_REUSEADDR, 1);
  set_option(listener, SOL_SOCKET, SO_KEEPALIVE, 1);
  set_option(listener, IPPROTO_TCP, TCP_NODELAY, 1);
  bind_anywhere(listener, &listener_name);
  MUST(listen(listener, 17));
}

static void prepare_datagrams(void) {
  datagrams = (int) MUST(socket(AF_INET, SOCK_DGRAM, 0));
  set_option(datagrams, SOL_SOCKET, SO_BROADCAST, 1);
  set_option(datagrams, IPPROTO_IP, IP_TTL, 9);
  bind_anywhere(datagrams, &datagrams_name);
}

static void check_name(int socket, const struct sockaddr_in *wanted, const char *what) {
  struct sockaddr_in found = {0};
  socklen_t length = sizeof found;
  WORKS(getsockname(socket, (struct sockaddr *) &found, &length));
  HOLDS(found.sin_port == wanted->sin_port && found.sin_addr.s_addr == wanted->sin_addr.s_addr, "%s is bound to port %d instead of %d", what,
      ntohs(found.sin_port), ntohs(wanted->sin_port));
}

static void look_at_listener(void) {
  check_name(listener, &listener_name, "a listening socket");
  HOLDS(option(listener, SOL_SOCKET, SO_ACCEPTCONN) == 1, "a listening socket does not listen");
  HOLDS(option(listener, SOL_SOCKET, SO_REUSEADDR) == 1 && option(listener, SOL_SOCKET, SO_KEEPALIVE) == 1
          && option(listener, IPPROTO_TCP, TCP_NODELAY) == 1, "options of a listening socket are lost");
  HOLDS(fcntl(listener, F_GETFL) & O_NONBLOCK && fcntl(listener, F_GETFD) == FD_CLOEXEC, "flags of a listening socket are lost");
  struct tcp_info info = {0};
  socklen_t length = sizeof info;
  WORKS(getsockopt(listener, IPPROTO_TCP, TCP_INFO, &info, &length));
  HOLDS(info.tcpi_sacked == 17, "a listening socket's backlog is %u instead of 17", info.tcpi_sacked);
  int client = (int) WORKS(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  WORKS(connect(client, (struct sockaddr *) &listener_name, sizeof listener_name));
  struct pollfd coming = {.fd = listener, .events = POLLIN};
  HOLDS(poll(&coming, 1, 2000) == 1, "a connection to a listening socket does not arrive");
  int server = (int) WORKS(accept(listener, NULL, NULL));
  char text[8] = "";
  WORKS(write(client, "hello", 5));
  HOLDS(read(server, text, 8) == 5 && memcmp(text, "hello", 5) == 0, "a connection does not carry what was sent");
  /* The reset leaves no connection behind in TIME-WAIT. */
  struct linger at_once = {.l_onoff = 1, .l_linger = 0};
  setsockopt(client, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  close(client);
  close(server);
}

static void damage_listener(void) { listen(listener, 5); }

static void look_at_datagrams(void) {
  check_name(datagrams, &datagrams_name, "a datagram socket");
  HOLDS(option(datagrams, SOL_SOCKET, SO_BROADCAST) == 1, "SO_BROADCAST is lost");
  HOLDS(option(datagrams, IPPROTO_IP, IP_TTL) == 9, "IP_TTL is %d instead of 9", option(datagrams, IPPROTO_IP, IP_TTL));
  HOLDS((fcntl(datagrams, F_GETFL) & O_NONBLOCK) == 0, "a blocking socket became non-blocking");
  char text[8] = "";
  WORKS(sendto(datagrams, "hello", 5, 0, (struct sockaddr *) &datagrams_name, sizeof datagrams_name));
  HOLDS(recv(datagrams, text, 8, MSG_DONTWAIT) == 5 && memcmp(text, "hello", 5) == 0, "a datagram to itself does not arrive");
}

static void damage_datagrams(void) { set_option(datagrams, IPPROTO_IP, IP_TTL, 10); }

static void add_socket_items(adder *add) {
  add(MAIN, "socket-listening", prepare_listener, look_at_listener, damage_listener);
  add(MAIN, "socket-datagram", prepare_datagrams, look_at_datagrams, damage_datagrams);
}

#endif
