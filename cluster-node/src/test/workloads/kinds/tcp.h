/* Pairs of connected TCP sockets, and what can be asked of them. */
#ifndef TCP_H
#define TCP_H

#include "kind.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* One end is that of who connected, the other that of who accepted. */
struct pair {
  int caller, called;
};

enum { IPV4, IPV6, MAPPED };

static inline socklen_t loopback(struct sockaddr_storage *address, int family, int port) {
  memset(address, 0, sizeof *address);
  if (family == IPV4) {
    struct sockaddr_in *four = (struct sockaddr_in *) address;
    *four = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t) port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    return sizeof *four;
  }
  struct sockaddr_in6 *six = (struct sockaddr_in6 *) address;
  *six = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons((uint16_t) port), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
  if (family == MAPPED) inet_pton(AF_INET6, "::ffff:127.0.0.1", &six->sin6_addr);
  return sizeof *six;
}

static inline int port_of(int fd) {
  struct sockaddr_in6 address;
  socklen_t length = sizeof address;
  WORKS(getsockname(fd, (struct sockaddr *) &address, &length));
  return ntohs(address.sin6_port);
}

static inline int peer_port_of(int fd) {
  struct sockaddr_in6 address;
  socklen_t length = sizeof address;
  WORKS(getpeername(fd, (struct sockaddr *) &address, &length));
  return ntohs(address.sin6_port);
}

static inline int listener_at(int family, int *port) {
  struct sockaddr_storage address;
  socklen_t length = loopback(&address, family, 0);
  int fd = (int) MUST(socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  MUST(bind(fd, (struct sockaddr *) &address, length));
  MUST(listen(fd, 16));
  *port = port_of(fd);
  return fd;
}

static inline int call(int family, int port) {
  struct sockaddr_storage address;
  socklen_t length = loopback(&address, family, port);
  int fd = (int) MUST(socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  MUST(connect(fd, (struct sockaddr *) &address, length));
  return fd;
}

/* With buffers of this many bytes at both ends; 0 as the system has them. */
static inline struct pair pair_of(int caller_family, int called_family, int buffer) {
  int port;
  struct pair pair;
  int listener = listener_at(called_family, &port);
  if (buffer != 0) MUST(setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer));
  if (buffer != 0) MUST(setsockopt(listener, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer));
  struct sockaddr_storage address;
  socklen_t length = loopback(&address, caller_family, port);
  pair.caller = (int) MUST(socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (buffer != 0) MUST(setsockopt(pair.caller, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer));
  if (buffer != 0) MUST(setsockopt(pair.caller, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer));
  MUST(connect(pair.caller, (struct sockaddr *) &address, length));
  pair.called = (int) MUST(accept4(listener, NULL, NULL, SOCK_CLOEXEC));
  close(listener);
  return pair;
}

static inline unsigned char byte_at(size_t position) { return (unsigned char) (position * 7 + (position >> 8) * 13 + 5); }

static inline void put(int fd, size_t from, size_t count) {
  unsigned char bytes[4096];
  while (count > 0) {
    size_t some = count < sizeof bytes ? count : sizeof bytes;
    for (size_t i = 0; i < some; i++) bytes[i] = byte_at(from + i);
    ssize_t sent = WORKS(send(fd, bytes, some, MSG_NOSIGNAL));
    if (sent <= 0) return;
    from += (size_t) sent;
    count -= (size_t) sent;
  }
}

/* Puts until nothing more goes in; returns how many bytes went in. */
static inline size_t stuff(int fd) {
  unsigned char bytes[1000];
  size_t total = 0;
  for (;;) {
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = byte_at(total + i);
    ssize_t sent = send(fd, bytes, sizeof bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
    struct pollfd room = {.fd = fd, .events = POLLOUT};
    if (sent < 0 && poll(&room, 1, 50) == 0) return total;
    if (sent > 0) total += (size_t) sent;
  }
}

static inline bool readable(int fd, int ms) {
  struct pollfd one = {.fd = fd, .events = POLLIN};
  return poll(&one, 1, ms) == 1;
}

/* Waits until so many bytes are there to be read. */
static inline void await_bytes(int fd, int count) {
  int there = 0;
  for (int i = 0; i < 2000 && ioctl(fd, FIONREAD, &there) == 0 && there < count; i++) poll(NULL, 0, 1);
  HOLDS(there == count, "%d bytes wait, of %d", there, count);
}

static inline void get(int fd, size_t from, size_t count, int flags) {
  static unsigned char bytes[1 << 20];
  size_t had = 0;
  while (had < count) {
    size_t room = count - had < sizeof bytes ? count - had : sizeof bytes;
    if (!readable(fd, 2000)) {
      HOLDS(false, "only %zu of %zu bytes come", had, count);
      return;
    }
    ssize_t got = recv(fd, bytes, room, flags | MSG_DONTWAIT);
    HOLDS(got > 0, "%zu of %zu bytes came, and then %s", had, count, got == 0 ? "the end" : strerror(errno));
    if (got <= 0) return;
    for (ssize_t i = 0; i < got; i++) {
      if (bytes[i] != byte_at(from + had + (size_t) i)) {
        HOLDS(false, "byte %zu of %zu is 0x%02x", had + (size_t) i, count, bytes[i]);
        return;
      }
    }
    had += (size_t) got;
    if (flags & MSG_PEEK) {
      HOLDS(had == count, "%zu bytes wait, of %zu", had, count);
      return;
    }
  }
}

static inline void is_empty(int fd) { HOLDS(!readable(fd, 0), "there is more to read, or its end"); }

static inline int state_of(int fd) {
  struct tcp_info info;
  socklen_t length = sizeof info;
  return WORKS(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length)) == 0 ? info.tcpi_state : -1;
}

static inline void is_in_state(int fd, int wanted) {
  int state = state_of(fd);
  HOLDS(state == wanted, "the socket is in state %d, not %d", state, wanted);
}

/* Something goes and comes back over a pair whose queues are empty. */
static inline void talks(struct pair *pair) {
  put(pair->caller, 17, 3000);
  get(pair->called, 17, 3000, 0);
  put(pair->called, 99, 3000);
  get(pair->caller, 99, 3000, 0);
  is_empty(pair->caller);
  is_empty(pair->called);
}

/* Ends a connection so that nothing of it lingers. */
static inline void cut(int fd) {
  struct linger now = {.l_onoff = 1, .l_linger = 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  close(fd);
}

#endif
