/* TCP connections that wait to be accepted, in their order; and one that is accepted only when it has sent something. */
#include "tcp.h"

enum { WAITING = 3 };

static int listener, listener_port, callers[WAITING], patient, patient_port, silent;
static int six, six_port, six_caller;

static void make_queue(void) {
  listener = listener_at(IPV4, &listener_port);
  for (int i = 0; i < WAITING; i++) {
    callers[i] = call(IPV4, listener_port);
    poll(NULL, 0, 20);
  }
}

static void look_queue(void) {
  for (int i = 0; i < WAITING; i++) {
    HOLDS(readable(listener, 2000), "connection %d does not wait", i);
    int called = (int) WORKS(accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (called < 0) return;
    HOLDS(peer_port_of(called) == port_of(callers[i]), "connection %d is another one", i);
    fcntl(called, F_SETFL, 0);
    struct pair pair = {.caller = callers[i], .called = called};
    talks(&pair);
    cut(called);
    cut(callers[i]);
    callers[i] = call(IPV4, listener_port);
    poll(NULL, 0, 20);
  }
  for (int i = 0; i < WAITING; i++) HOLDS(fcntl(callers[i], F_GETFL) == O_RDWR, "the flags are 0x%x", fcntl(callers[i], F_GETFL));
}

static void damage_queue(void) { close(accept(listener, NULL, NULL)); }

static void make_six(void) {
  six = listener_at(IPV6, &six_port);
  six_caller = call(IPV6, six_port);
}

static void look_six(void) {
  HOLDS(readable(six, 2000), "no connection waits");
  int called = (int) WORKS(accept4(six, NULL, NULL, SOCK_CLOEXEC));
  struct pair pair = {.caller = six_caller, .called = called};
  talks(&pair);
  cut(called);
  cut(six_caller);
  six_caller = call(IPV6, six_port);
}

static void damage_six(void) { put(six_caller, 0, 1); }

/* TCP_DEFER_ACCEPT. */
static void make_silent(void) {
  int seconds = 600;
  patient = listener_at(IPV4, &patient_port);
  MUST(setsockopt(patient, IPPROTO_TCP, TCP_DEFER_ACCEPT, &seconds, sizeof seconds));
  silent = call(IPV4, patient_port);
}

static void look_silent(void) {
  HOLDS(!readable(patient, 0), "it is accepted without having sent anything");
  put(silent, 9, 700);
  HOLDS(readable(patient, 2000), "it is not accepted, having sent something");
  int called = (int) WORKS(accept4(patient, NULL, NULL, SOCK_CLOEXEC));
  get(called, 9, 700, 0);
  cut(called);
  cut(silent);
  silent = call(IPV4, patient_port);
}

static void damage_silent(void) { put(silent, 0, 1), readable(patient, 2000); }

KIND({"queue", make_queue, look_queue, damage_queue}, {"six", make_six, look_six, damage_six},
    {"silent", make_silent, look_silent, damage_silent});
