/*
 * Clients that send at once, and servers that take their time: most of the time a connection waits that has sent something and was not accepted,
 * which cannot be carried as it is. A move has to find a better moment, and nobody may notice.
 */
#include "kind.h"
#include "unix_name.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

enum { SERVER_WAITS_US = 3000, CLIENT_WAITS_US = 6000, WORDS = 500 };

struct pair {
  const char *what;
  int listener;
  struct sockaddr_storage address;
  socklen_t length;
  /* Counts answers; in memory that parent and children share. */
  uint64_t *answers, before;
};

static struct pair by_path, packets, tcp;

/* Whole messages, however many pieces a stream makes of them. */
static bool all(int fd, uint64_t *words, bool in) {
  for (size_t done = 0; done < WORDS * sizeof *words;) {
    char *at = (char *) words + done;
    ssize_t moved = in ? recv(fd, at, WORDS * sizeof *words - done, 0) : send(fd, at, WORDS * sizeof *words - done, MSG_NOSIGNAL);
    if (moved <= 0) return false;
    done += (size_t) moved;
  }
  return true;
}

static void serve(struct pair *pair) {
  static uint64_t words[WORDS];
  for (;;) {
    struct pollfd ready = {.fd = pair->listener, .events = POLLIN};
    if (poll(&ready, 1, -1) != 1) _exit(3);
    usleep(SERVER_WAITS_US);
    int fd = accept(pair->listener, NULL, NULL);
    if (fd < 0 || !all(fd, words, true) || !holds(words, sizeof words, words[0] == mix(1) ? 1 : 2)) _exit(4);
    fill(words, sizeof words, 3);
    if (!all(fd, words, false)) _exit(5);
    close(fd);
  }
}

/* One after the other, so that at any moment at most one connection waits. */
static void call_all(void) {
  static uint64_t words[WORDS];
  struct pair *all_pairs[] = {&by_path, &packets, &tcp};
  for (uint64_t n = 1;; n++) {
    for (int i = 0; i < 3; i++) {
      struct pair *pair = all_pairs[i];
      int fd = socket(pair->address.ss_family, pair == &packets ? SOCK_SEQPACKET : SOCK_STREAM, 0);
      if (fd < 0 || connect(fd, (void *) &pair->address, pair->length) != 0) _exit(6);
      fill(words, sizeof words, 1 + n % 2);
      if (!all(fd, words, false) || !all(fd, words, true) || !holds(words, sizeof words, 3)) _exit(7);
      close(fd);
      __atomic_store_n(pair->answers, n, __ATOMIC_RELEASE);
      usleep(CLIENT_WAITS_US);
    }
  }
}

static void make(struct pair *pair, const char *what, int type) {
  int on = 1;
  pair->what = what;
  pair->listener = (int) MUST(socket(pair->address.ss_family, type, 0));
  MUST(setsockopt(pair->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on));
  MUST(bind(pair->listener, (void *) &pair->address, pair->length));
  MUST(listen(pair->listener, 4));
  MUST(getsockname(pair->listener, (void *) &pair->address, &pair->length));
  pair->answers = (uint64_t *) MUST(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  if (MUST(fork()) == 0) serve(pair);
}

static void look(struct pair *pair) {
  uint64_t before = __atomic_load_n(pair->answers, __ATOMIC_ACQUIRE);
  HOLDS(before >= pair->before && before < UINT64_MAX / 2, "%s: the answers went from %lu to %lu", pair->what, (unsigned long) pair->before,
      (unsigned long) before);
  for (int i = 0; i < 1500 && __atomic_load_n(pair->answers, __ATOMIC_ACQUIRE) == before; i++) usleep(1000);
  pair->before = __atomic_load_n(pair->answers, __ATOMIC_ACQUIRE);
  HOLDS(pair->before > before, "%s: nobody is answered any more", pair->what);
}

static void make_path(void) {
  by_path.length = address_of((void *) &by_path.address, own_path("impatient"));
  make(&by_path, "stream", SOCK_STREAM);
}

static void look_path(void) { look(&by_path); }
static void damage_path(void) { shutdown(by_path.listener, SHUT_RDWR); }

static void make_packets(void) {
  packets.length = address_of((void *) &packets.address, own_path("packets"));
  make(&packets, "packets", SOCK_SEQPACKET);
}

static void look_packets(void) { look(&packets); }
static void damage_packets(void) { packets.before = UINT64_MAX; }

static void make_tcp(void) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  memcpy(&tcp.address, &address, sizeof address);
  tcp.length = sizeof address;
  make(&tcp, "TCP", SOCK_STREAM);
  if (MUST(fork()) == 0) call_all();
}

static void look_tcp(void) { look(&tcp); }
static void damage_tcp(void) { shutdown(tcp.listener, SHUT_RDWR); }

KIND({"path", make_path, look_path, damage_path}, {"packets", make_packets, look_packets, damage_packets}, {"tcp", make_tcp, look_tcp, damage_tcp});
