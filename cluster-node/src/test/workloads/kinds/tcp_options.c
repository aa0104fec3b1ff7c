/* Options of TCP connections and of sockets that listen, and what the two ends of a connection agreed on. */
#include "tcp.h"

struct option {
  int level, name, value;
  const char *text;
};

#define TCP(name, value) {IPPROTO_TCP, name, value, #name}
#define SOCKET(name, value) {SOL_SOCKET, name, value, #name}

static const struct option CONNECTION[] = {TCP(TCP_NODELAY, 1), TCP(TCP_KEEPIDLE, 111), TCP(TCP_KEEPINTVL, 22), TCP(TCP_KEEPCNT, 5),
    TCP(TCP_USER_TIMEOUT, 54321), TCP(TCP_SYNCNT, 3), TCP(TCP_LINGER2, 17), TCP(TCP_NOTSENT_LOWAT, 4321), SOCKET(SO_KEEPALIVE, 1),
    SOCKET(SO_REUSEADDR, 1), SOCKET(SO_OOBINLINE, 1), SOCKET(SO_PRIORITY, 3)};
static const struct option LISTENER[] = {TCP(TCP_DEFER_ACCEPT, 7), TCP(TCP_FASTOPEN, 11), TCP(TCP_MAXSEG, 1000), TCP(TCP_KEEPIDLE, 99)};

enum { CONNECTION_COUNT = sizeof CONNECTION / sizeof CONNECTION[0], LISTENER_COUNT = sizeof LISTENER / sizeof LISTENER[0] };

static struct pair set, agreed, plain;
static int listener, shown[LISTENER_COUNT], corked[2];
static struct tcp_info first, last;
static int sizes[2][2];

static int option_of(int fd, int level, int name) {
  int value = -1;
  socklen_t length = sizeof value;
  WORKS(getsockopt(fd, level, name, &value, &length));
  return value;
}

static void make_set(void) {
  set = pair_of(IPV4, IPV4, 0);
  for (int i = 0; i < CONNECTION_COUNT; i++) {
    MUST(setsockopt(set.caller, CONNECTION[i].level, CONNECTION[i].name, &CONNECTION[i].value, sizeof(int)));
  }
  MUST(setsockopt(set.caller, IPPROTO_TCP, TCP_CONGESTION, "reno", 4));
  struct linger linger = {.l_onoff = 1, .l_linger = 9};
  MUST(setsockopt(set.caller, SOL_SOCKET, SO_LINGER, &linger, sizeof linger));
}

static void look_set(void) {
  for (int i = 0; i < CONNECTION_COUNT; i++) {
    int value = option_of(set.caller, CONNECTION[i].level, CONNECTION[i].name);
    HOLDS(value == CONNECTION[i].value, "%s is %d, not %d", CONNECTION[i].text, value, CONNECTION[i].value);
  }
  char name[16] = "";
  socklen_t length = sizeof name;
  WORKS(getsockopt(set.caller, IPPROTO_TCP, TCP_CONGESTION, name, &length));
  HOLDS(strcmp(name, "reno") == 0, "TCP_CONGESTION is %s", name);
  struct linger linger;
  length = sizeof linger;
  WORKS(getsockopt(set.caller, SOL_SOCKET, SO_LINGER, &linger, &length));
  HOLDS(linger.l_onoff == 1 && linger.l_linger == 9, "SO_LINGER is %d, %d", linger.l_onoff, linger.l_linger);
  talks(&set);
}

static void damage_set(void) {
  int value = 6;
  setsockopt(set.caller, IPPROTO_TCP, TCP_KEEPCNT, &value, sizeof value);
}

/* Nobody touched these. */
static void make_plain(void) { plain = pair_of(IPV4, IPV4, 0); }

static void look_plain(void) {
  for (int i = 0; i < CONNECTION_COUNT; i++) {
    if (CONNECTION[i].name == SO_REUSEADDR && CONNECTION[i].level == SOL_SOCKET) {
      HOLDS(option_of(plain.caller, SOL_SOCKET, SO_REUSEADDR) == 0, "SO_REUSEADDR is on");
    }
  }
  HOLDS(option_of(plain.caller, IPPROTO_TCP, TCP_NODELAY) == 0, "TCP_NODELAY is on");
  HOLDS(option_of(plain.caller, SOL_SOCKET, SO_BUF_LOCK) == 0, "the sizes of its buffers are fixed");
  talks(&plain);
}

static void damage_plain(void) {
  int value = 1;
  setsockopt(plain.caller, IPPROTO_TCP, TCP_NODELAY, &value, sizeof value);
}

static struct tcp_info info_of(int fd) {
  struct tcp_info info;
  socklen_t length = sizeof info;
  memset(&info, 0, sizeof info);
  WORKS(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length));
  return info;
}

static void make_agreed(void) {
  int size = 77777, port, segment = 1200;
  int listening = listener_at(IPV4, &port);
  MUST(setsockopt(listening, SOL_SOCKET, SO_RCVBUF, &size, sizeof size));
  MUST(setsockopt(listening, IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof segment));
  agreed.caller = call(IPV4, port);
  agreed.called = (int) MUST(accept(listening, NULL, NULL));
  close(listening);
  size = 55555;
  MUST(setsockopt(agreed.caller, SOL_SOCKET, SO_SNDBUF, &size, sizeof size));
  first = info_of(agreed.caller);
  last = info_of(agreed.called);
  sizes[0][0] = option_of(agreed.called, SOL_SOCKET, SO_RCVBUF);
  sizes[0][1] = option_of(agreed.caller, SOL_SOCKET, SO_SNDBUF);
  sizes[1][0] = option_of(agreed.called, SOL_SOCKET, SO_BUF_LOCK);
  sizes[1][1] = option_of(agreed.caller, SOL_SOCKET, SO_BUF_LOCK);
}

static void same(const char *what, struct tcp_info was, struct tcp_info is) {
  HOLDS(is.tcpi_options == was.tcpi_options, "%s: the options are 0x%x, not 0x%x", what, is.tcpi_options, was.tcpi_options);
  HOLDS(is.tcpi_snd_wscale == was.tcpi_snd_wscale && is.tcpi_rcv_wscale == was.tcpi_rcv_wscale, "%s: the window scales are others", what);
  HOLDS(is.tcpi_snd_mss == was.tcpi_snd_mss, "%s: segments have %u bytes, not %u", what, is.tcpi_snd_mss, was.tcpi_snd_mss);
}

static void look_agreed(void) {
  same("caller", first, info_of(agreed.caller));
  same("called", last, info_of(agreed.called));
  HOLDS(option_of(agreed.called, SOL_SOCKET, SO_RCVBUF) == sizes[0][0], "SO_RCVBUF is another");
  HOLDS(option_of(agreed.caller, SOL_SOCKET, SO_SNDBUF) == sizes[0][1], "SO_SNDBUF is another");
  HOLDS(option_of(agreed.called, SOL_SOCKET, SO_BUF_LOCK) == sizes[1][0], "SO_BUF_LOCK of the called is another");
  HOLDS(option_of(agreed.caller, SOL_SOCKET, SO_BUF_LOCK) == sizes[1][1], "SO_BUF_LOCK of the caller is another");
  talks(&agreed);
}

static void damage_agreed(void) {
  int size = 44444;
  setsockopt(agreed.caller, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
}

static void make_corked(void) {
  struct pair pair = pair_of(IPV4, IPV4, 0);
  int on = 1;
  corked[0] = pair.caller, corked[1] = pair.called;
  MUST(setsockopt(corked[0], IPPROTO_TCP, TCP_CORK, &on, sizeof on));
}

static void look_corked(void) {
  int on = 1, off = 0;
  HOLDS(option_of(corked[0], IPPROTO_TCP, TCP_CORK) == 1, "the cork is out");
  put(corked[0], 0, 10);
  HOLDS(!readable(corked[1], 20), "ten bytes go past the cork");
  WORKS(setsockopt(corked[0], IPPROTO_TCP, TCP_CORK, &off, sizeof off));
  get(corked[1], 0, 10, 0);
  WORKS(setsockopt(corked[0], IPPROTO_TCP, TCP_CORK, &on, sizeof on));
}

static void damage_corked(void) {
  int off = 0;
  setsockopt(corked[0], IPPROTO_TCP, TCP_CORK, &off, sizeof off);
}

static void make_listener(void) {
  int port;
  listener = listener_at(IPV4, &port);
  for (int i = 0; i < LISTENER_COUNT; i++) {
    MUST(setsockopt(listener, LISTENER[i].level, LISTENER[i].name, &LISTENER[i].value, sizeof(int)));
    shown[i] = option_of(listener, LISTENER[i].level, LISTENER[i].name);
  }
}

static void look_listener(void) {
  for (int i = 0; i < LISTENER_COUNT; i++) {
    int value = option_of(listener, LISTENER[i].level, LISTENER[i].name);
    HOLDS(value == shown[i], "%s is %d, not %d", LISTENER[i].text, value, shown[i]);
  }
}

static void damage_listener(void) {
  int value = 500;
  setsockopt(listener, IPPROTO_TCP, TCP_MAXSEG, &value, sizeof value);
}

KIND({"set", make_set, look_set, damage_set}, {"plain", make_plain, look_plain, damage_plain},
    {"agreed", make_agreed, look_agreed, damage_agreed}, {"corked", make_corked, look_corked, damage_corked},
    {"listener", make_listener, look_listener, damage_listener});
