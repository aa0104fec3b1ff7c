/* Established TCP connections: IPv4, IPv6, mixed, with full queues, between two processes, of one socket with itself. */
#include "tcp.h"

static struct pair four, six, mixed, waiting, full, apart;
static int caller_port, own;
static size_t stuffed;
static struct child other;

static void make_four(void) {
  four = pair_of(IPV4, IPV4, 0);
  caller_port = port_of(four.caller);
}

static void look_four(void) {
  talks(&four);
  HOLDS(port_of(four.caller) == caller_port, "the port is another one");
  HOLDS(peer_port_of(four.called) == caller_port, "the other end's port is another one");
}

static void damage_four(void) { put(four.caller, 0, 1); }

static void make_six(void) { six = pair_of(IPV6, IPV6, 0); }

static void look_six(void) { talks(&six); }

static void damage_six(void) { put(six.called, 0, 1); }

static void make_mixed(void) { mixed = pair_of(IPV4, MAPPED, 0); }

static void look_mixed(void) {
  talks(&mixed);
  struct sockaddr_in6 address;
  socklen_t length = sizeof address;
  WORKS(getpeername(mixed.called, (struct sockaddr *) &address, &length));
  HOLDS(address.sin6_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&address.sin6_addr), "the other end's address is no mapped one");
}

static void damage_mixed(void) { close(mixed.caller); }

/* Unread bytes in both directions. */
static void make_waiting(void) {
  waiting = pair_of(IPV4, IPV4, 0);
  put(waiting.caller, 0, 40000);
  put(waiting.called, 5, 10000);
}

static void look_waiting(void) {
  await_bytes(waiting.called, 40000);
  await_bytes(waiting.caller, 10000);
  get(waiting.caller, 5, 10000, MSG_PEEK);
  get(waiting.called, 0, 40000, 0);
  put(waiting.caller, 0, 40000);
}

static void damage_waiting(void) { get(waiting.called, 0, 1, 0); }

/* More than the receiver takes: the rest waits at the sender. */
static void make_full(void) {
  full = pair_of(IPV4, IPV4, 16384);
  stuffed = stuff(full.caller);
}

static void look_full(void) {
  int unsent = 0;
  WORKS(ioctl(full.caller, TIOCOUTQ, &unsent));
  HOLDS(unsent > 0, "nothing waits at the sender");
  get(full.called, 0, stuffed, 0);
  is_empty(full.called);
  stuffed = stuff(full.caller);
}

static void damage_full(void) {
  unsigned char byte;
  WORKS(recv(full.called, &byte, 1, 0));
}

static void child_echoes(void) {
  get(apart.called, 1000, 20000, 0);
  put(apart.called, 7000, 20000);
}

static void child_errs(void) { put(apart.called, 3, 1); }

static void make_apart(void) {
  apart = pair_of(IPV4, IPV4, 0);
  other = child_begin(NULL, child_echoes, child_errs);
  close(apart.called);
}

static void look_apart(void) {
  put(apart.caller, 1000, 20000);
  child_says(&other);
  get(apart.caller, 7000, 20000, 0);
  is_empty(apart.caller);
}

static void damage_apart(void) { child_damages(&other); }

/* A socket that is connected to itself. */
static void make_own(void) {
  struct sockaddr_storage address;
  socklen_t length = loopback(&address, IPV4, 0);
  own = (int) MUST(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  MUST(bind(own, (struct sockaddr *) &address, length));
  length = loopback(&address, IPV4, port_of(own));
  MUST(connect(own, (struct sockaddr *) &address, length));
  put(own, 3, 500);
}

static void look_own(void) {
  get(own, 3, 500, 0);
  is_empty(own);
  put(own, 3, 500);
}

static void damage_own(void) { get(own, 3, 1, 0); }

KIND({"four", make_four, look_four, damage_four}, {"six", make_six, look_six, damage_six}, {"mixed", make_mixed, look_mixed, damage_mixed},
    {"waiting", make_waiting, look_waiting, damage_waiting}, {"full", make_full, look_full, damage_full},
    {"apart", make_apart, look_apart, damage_apart}, {"own", make_own, look_own, damage_own});
