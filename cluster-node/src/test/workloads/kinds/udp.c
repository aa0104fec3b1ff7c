/* UDP sockets: connected, with options, in multicast groups of both families, and with a filter that is locked. */
#include "kind.h"

#include <linux/filter.h>
#include <netinet/in.h>
#include <sys/socket.h>

static int server, client, options, group4, group6, filtered, six;

static struct sockaddr_in loopback(int port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t) port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  return address;
}

static int udp(int family) { return (int) MUST(socket(family, SOCK_DGRAM | SOCK_NONBLOCK, 0)); }

static struct sockaddr_in name_of(int fd) {
  struct sockaddr_in address = {0};
  socklen_t length = sizeof address;
  WORKS(getsockname(fd, (void *) &address, &length));
  return address;
}

static struct sockaddr_in server_name, client_name;

static int bound(void) {
  struct sockaddr_in any = loopback(0);
  int fd = udp(AF_INET);
  MUST(bind(fd, (void *) &any, sizeof any));
  return fd;
}

static void make_connected(void) {
  server = bound();
  client = udp(AF_INET);
  server_name = name_of(server);
  MUST(connect(client, (void *) &server_name, sizeof server_name));
  client_name = name_of(client);
  MUST(connect(server, (void *) &client_name, sizeof client_name));
}

static void look_connected(void) {
  struct sockaddr_in now = name_of(client), peer = {0};
  socklen_t length = sizeof peer;
  HOLDS(now.sin_port == client_name.sin_port, "the client's port is %d", ntohs(now.sin_port));
  WORKS(getpeername(client, (void *) &peer, &length));
  HOLDS(peer.sin_port == server_name.sin_port, "the client's peer is port %d", ntohs(peer.sin_port));
  char text[10] = "";
  WORKS(send(client, "ping", 4, 0));
  WORKS(recv(server, text, sizeof text - 1, 0));
  HOLDS(strcmp(text, "ping") == 0, "\"%s\" came", text);
  WORKS(send(server, "pong", 4, 0));
  WORKS(recv(client, text, sizeof text - 1, 0));
  HOLDS(strcmp(text, "pong") == 0, "\"%s\" came back", text);
}

static void damage_connected(void) {
  struct sockaddr_in other = loopback(9);
  connect(client, (void *) &other, sizeof other);
}

static const struct {
  int level, name, value;
} OPTIONS[] = {
    {SOL_SOCKET, SO_BROADCAST, 1}, {SOL_SOCKET, SO_REUSEADDR, 1}, {SOL_SOCKET, SO_REUSEPORT, 1}, {IPPROTO_IP, IP_TOS, 0x48},
    {SOL_SOCKET, SO_PRIORITY, 5}, {IPPROTO_IP, IP_TTL, 33}, {IPPROTO_IP, IP_PKTINFO, 1}, {IPPROTO_IP, IP_RECVTTL, 1},
    {IPPROTO_IP, IP_MULTICAST_TTL, 7}, {IPPROTO_IP, IP_MULTICAST_LOOP, 0}, {IPPROTO_IP, IP_RECVERR, 1},
};

static void make_options(void) {
  options = udp(AF_INET);
  for (size_t i = 0; i < sizeof OPTIONS / sizeof *OPTIONS; i++)
    MUST(setsockopt(options, OPTIONS[i].level, OPTIONS[i].name, &OPTIONS[i].value, sizeof(int)));
  MUST(setsockopt(options, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3));
}

static void look_options(void) {
  for (size_t i = 0; i < sizeof OPTIONS / sizeof *OPTIONS; i++) {
    int value = 0;
    socklen_t length = sizeof value;
    WORKS(getsockopt(options, OPTIONS[i].level, OPTIONS[i].name, &value, &length));
    HOLDS(value == OPTIONS[i].value, "option %d of level %d is %d", OPTIONS[i].name, OPTIONS[i].level, value);
  }
  char device[16] = "";
  socklen_t length = sizeof device;
  WORKS(getsockopt(options, SOL_SOCKET, SO_BINDTODEVICE, device, &length));
  HOLDS(strcmp(device, "lo") == 0, "it is bound to device \"%s\"", device);
}

static void damage_options(void) {
  int ttl = 64;
  setsockopt(options, IPPROTO_IP, IP_TTL, &ttl, sizeof ttl);
}

static struct sockaddr_in group_name;

static void make_group4(void) {
  struct sockaddr_in any = {.sin_family = AF_INET};
  struct ip_mreqn join = {.imr_multiaddr.s_addr = htonl(0xe8141e28), .imr_ifindex = 1};
  group4 = udp(AF_INET);
  MUST(bind(group4, (void *) &any, sizeof any));
  MUST(setsockopt(group4, IPPROTO_IP, IP_ADD_MEMBERSHIP, &join, sizeof join));
  group_name = name_of(group4);
  group_name.sin_addr = join.imr_multiaddr;
}

static void look_group4(void) {
  struct ip_mreqn by = {.imr_ifindex = 1};
  int sender = (int) WORKS(socket(AF_INET, SOCK_DGRAM, 0));
  WORKS(setsockopt(sender, IPPROTO_IP, IP_MULTICAST_IF, &by, sizeof by));
  WORKS(sendto(sender, "all", 3, 0, (void *) &group_name, sizeof group_name));
  char text[10] = "";
  WORKS(recv(group4, text, sizeof text - 1, 0));
  HOLDS(strcmp(text, "all") == 0, "\"%s\" came", text);
  close(sender);
}

static void damage_group4(void) {
  struct ip_mreqn leave = {.imr_multiaddr = group_name.sin_addr, .imr_ifindex = 1};
  setsockopt(group4, IPPROTO_IP, IP_DROP_MEMBERSHIP, &leave, sizeof leave);
}

static struct ipv6_mreq join6 = {.ipv6mr_interface = 1};

static void make_group6(void) {
  static const uint8_t address[16] = {0xff, 0x01, [15] = 0x77};
  memcpy(&join6.ipv6mr_multiaddr, address, sizeof address);
  group6 = udp(AF_INET6);
  MUST(setsockopt(group6, IPPROTO_IPV6, IPV6_JOIN_GROUP, &join6, sizeof join6));
}

/* Who is a member can leave. */
static void look_group6(void) {
  WORKS(setsockopt(group6, IPPROTO_IPV6, IPV6_LEAVE_GROUP, &join6, sizeof join6));
  WORKS(setsockopt(group6, IPPROTO_IPV6, IPV6_JOIN_GROUP, &join6, sizeof join6));
}

static void damage_group6(void) { setsockopt(group6, IPPROTO_IPV6, IPV6_LEAVE_GROUP, &join6, sizeof join6); }

/* Takes only datagrams that begin with 'y'; the UDP header comes first. */
static void make_filtered(void) {
  struct sock_filter code[] = {{0x30, 0, 0, 8}, {0x15, 0, 1, 'y'}, {0x06, 0, 0, 0xffff}, {0x06, 0, 0, 0}};
  struct sock_fprog program = {.len = 4, .filter = code};
  int on = 1;
  filtered = bound();
  MUST(setsockopt(filtered, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program));
  MUST(setsockopt(filtered, SOL_SOCKET, SO_LOCK_FILTER, &on, sizeof on));
}

static void look_filtered(void) {
  struct sockaddr_in to = name_of(filtered);
  int sender = (int) WORKS(socket(AF_INET, SOCK_DGRAM, 0));
  WORKS(sendto(sender, "no", 2, 0, (void *) &to, sizeof to));
  WORKS(sendto(sender, "yes", 3, 0, (void *) &to, sizeof to));
  char text[10] = "";
  WORKS(recv(filtered, text, sizeof text - 1, 0));
  HOLDS(strcmp(text, "yes") == 0, "\"%s\" came", text);
  int none = 0;
  HOLDS(setsockopt(filtered, SOL_SOCKET, SO_DETACH_FILTER, &none, sizeof none) == -1 && errno == EPERM, "the filter is not locked");
  close(sender);
}

static void damage_filtered(void) {
  close(filtered);
  filtered = bound();
}

static struct sockaddr_in6 six_name;

static void make_six(void) {
  struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
  socklen_t length = sizeof six_name;
  int on = 1;
  six = udp(AF_INET6);
  MUST(setsockopt(six, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on));
  MUST(bind(six, (void *) &any, sizeof any));
  MUST(getsockname(six, (void *) &six_name, &length));
  MUST(connect(six, (void *) &six_name, sizeof six_name));
}

static void look_six(void) {
  char text[10] = "";
  WORKS(send(six, "self", 4, 0));
  WORKS(recv(six, text, sizeof text - 1, 0));
  HOLDS(strcmp(text, "self") == 0, "\"%s\" came", text);
}

static void damage_six(void) {
  struct sockaddr none = {.sa_family = AF_UNSPEC};
  connect(six, &none, sizeof none);
}

KIND({"connected", make_connected, look_connected, damage_connected}, {"options", make_options, look_options, damage_options},
    {"group4", make_group4, look_group4, damage_group4}, {"group6", make_group6, look_group6, damage_group6},
    {"filtered", make_filtered, look_filtered, damage_filtered}, {"six", make_six, look_six, damage_six});
