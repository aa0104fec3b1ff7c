/* TCP connections that are closed by half, in every state that lasts, with and without data before the end. */
#include "tcp.h"

enum { ESTABLISHED = 1, FIN_WAIT1 = 4, FIN_WAIT2 = 5, CLOSE_WAIT = 8, LAST_ACK = 9, CLOSING = 11 };

static struct pair half, behind, both, last, deaf;
static int alone;
static size_t behind_bytes, both_bytes, last_bytes;

/* Waits for a state, which takes the other end's answer. */
static void reaches(int fd, int wanted) {
  for (int i = 0; i < 2000 && state_of(fd) != wanted; i++) poll(NULL, 0, 1);
  is_in_state(fd, wanted);
}

static bool ends(int fd) {
  struct pollfd one = {.fd = fd, .events = POLLRDHUP};
  return poll(&one, 1, 0) == 1 && (one.revents & POLLRDHUP) != 0;
}

/* The caller has said its last word; the other end has not read it and goes on talking. */
static void make_half(void) {
  half = pair_of(IPV4, IPV4, 0);
  put(half.caller, 11, 3000);
  MUST(shutdown(half.caller, SHUT_WR));
  reaches(half.caller, FIN_WAIT2);
}

static void look_half(void) {
  is_in_state(half.caller, FIN_WAIT2);
  is_in_state(half.called, CLOSE_WAIT);
  await_bytes(half.called, 3000);
  get(half.called, 11, 3000, MSG_PEEK);
  HOLDS(ends(half.called), "the end is not there");
  put(half.called, 77, 2000);
  get(half.caller, 77, 2000, 0);
  is_empty(half.caller);
}

static void damage_half(void) { get(half.called, 11, 1, 0); }

/* The end stands behind more data than the other end takes. */
static void make_behind(void) {
  behind = pair_of(IPV6, IPV6, 16384);
  behind_bytes = stuff(behind.caller);
  MUST(shutdown(behind.caller, SHUT_WR));
}

static void look_behind(void) {
  unsigned char byte;
  is_in_state(behind.caller, FIN_WAIT1);
  is_in_state(behind.called, ESTABLISHED);
  get(behind.called, 0, behind_bytes, 0);
  HOLDS(readable(behind.called, 2000) && recv(behind.called, &byte, 1, 0) == 0, "no end follows the data");
  cut(behind.called);
  cut(behind.caller);
  make_behind();
}

static void damage_behind(void) { get(behind.called, 0, 1, 0); }

/* Closed by both, and neither has the other's end acknowledged at first: the caller's stands behind its data. */
static void make_both(void) {
  both = pair_of(IPV4, IPV4, 16384);
  both_bytes = stuff(both.caller);
  MUST(shutdown(both.caller, SHUT_WR));
  put(both.called, 3, 100);
  MUST(shutdown(both.called, SHUT_WR));
  reaches(both.caller, CLOSING);
}

static void look_both(void) {
  is_in_state(both.caller, CLOSING);
  is_in_state(both.called, FIN_WAIT2);
  await_bytes(both.caller, 100);
  get(both.caller, 3, 100, 0);
  get(both.called, 0, both_bytes, 0);
  cut(both.called);
  cut(both.caller);
  make_both();
}

static void damage_both(void) { get(both.called, 0, 1, 0); }

/* The other end closed first, and the caller's end stands behind its data. */
static void make_last(void) {
  last = pair_of(IPV4, IPV4, 16384);
  MUST(shutdown(last.called, SHUT_WR));
  reaches(last.caller, CLOSE_WAIT);
  last_bytes = stuff(last.caller);
  MUST(shutdown(last.caller, SHUT_WR));
}

static void look_last(void) {
  is_in_state(last.caller, LAST_ACK);
  is_in_state(last.called, FIN_WAIT2);
  get(last.called, 0, last_bytes, 0);
  cut(last.called);
  cut(last.caller);
  make_last();
}

static void damage_last(void) { get(last.called, 0, 1, 0); }

/* Only deaf: the other end does not know. */
static void make_deaf(void) {
  deaf = pair_of(IPV4, MAPPED, 0);
  MUST(shutdown(deaf.caller, SHUT_RD));
}

static void look_deaf(void) {
  unsigned char byte;
  HOLDS(ends(deaf.caller), "reading is not shut down");
  HOLDS(recv(deaf.caller, &byte, 1, MSG_DONTWAIT) == 0, "reading does not end");
  put(deaf.caller, 5, 1000);
  get(deaf.called, 5, 1000, 0);
  is_in_state(deaf.called, ESTABLISHED);
}

static void damage_deaf(void) { put(deaf.caller, 0, 1); }

/* The other end is gone, and what it has sent has not been read. */
static void make_alone(void) {
  struct pair pair = pair_of(IPV4, IPV4, 0);
  put(pair.called, 21, 6000);
  close(pair.called);
  alone = pair.caller;
}

static void look_alone(void) {
  is_in_state(alone, CLOSE_WAIT);
  await_bytes(alone, 6000);
  get(alone, 21, 6000, MSG_PEEK);
  HOLDS(ends(alone), "the end is not there");
  HOLDS(port_of(alone) != 0 && peer_port_of(alone) != 0, "it has no addresses");
}

static void damage_alone(void) { get(alone, 21, 1, 0); }

KIND({"half", make_half, look_half, damage_half}, {"behind", make_behind, look_behind, damage_behind},
    {"both", make_both, look_both, damage_both}, {"last", make_last, look_last, damage_last}, {"deaf", make_deaf, look_deaf, damage_deaf},
    {"alone", make_alone, look_alone, damage_alone});
