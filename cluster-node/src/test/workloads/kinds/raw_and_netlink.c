/* Raw IP sockets, packet sockets and netlink sockets. */
#include "kind.h"

#include <linux/filter.h>
#include <linux/icmp.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <sys/socket.h>

#ifndef SOL_RAW
#define SOL_RAW 255
#endif

/* A protocol number that is set aside for experiments, RFC 3692. */
#define EXPERIMENT 253

static int raw, connected, packets, cooked, route, groups;

static struct sockaddr_in loopback(void) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  return address;
}

static void make_raw(void) {
  struct icmp_filter filter = {.data = ~(1u << ICMP_ECHO)};
  int on = 1;
  raw = (int) MUST(socket(AF_INET, SOCK_RAW | SOCK_NONBLOCK, IPPROTO_ICMP));
  MUST(setsockopt(raw, SOL_RAW, ICMP_FILTER, &filter, sizeof filter));
  MUST(setsockopt(raw, IPPROTO_IP, IP_HDRINCL, &on, sizeof on));
}

static void look_raw(void) {
  struct icmp_filter filter = {0};
  socklen_t length = sizeof filter;
  WORKS(getsockopt(raw, SOL_RAW, ICMP_FILTER, &filter, &length));
  HOLDS(filter.data == ~(1u << ICMP_ECHO), "the filter of ICMP types is %#x", filter.data);
  int on = 0;
  length = sizeof on;
  WORKS(getsockopt(raw, IPPROTO_IP, IP_HDRINCL, &on, &length));
  HOLDS(on == 1, "IP_HDRINCL is %d", on);
}

static void damage_raw(void) {
  struct icmp_filter filter = {0};
  setsockopt(raw, SOL_RAW, ICMP_FILTER, &filter, sizeof filter);
}

static void make_connected(void) {
  struct sockaddr_in self = loopback();
  connected = (int) MUST(socket(AF_INET, SOCK_RAW | SOCK_NONBLOCK, EXPERIMENT));
  MUST(bind(connected, (void *) &self, sizeof self));
  MUST(connect(connected, (void *) &self, sizeof self));
}

static void look_connected(void) {
  char text[100];
  WORKS(send(connected, "experiment", 10, 0));
  ssize_t length = WORKS(recv(connected, text, sizeof text, 0));
  HOLDS(length == 30 && memcmp(text + 20, "experiment", 10) == 0, "%zd bytes came", length);
}

static void damage_connected(void) {
  struct sockaddr none = {.sa_family = AF_UNSPEC};
  connect(connected, &none, sizeof none);
}

static void make_packets(void) {
  struct sock_filter code[] = {{0x28, 0, 0, 12}, {0x15, 0, 1, 0x88b5}, {0x06, 0, 0, 0xffff}, {0x06, 0, 0, 0}};
  struct sock_fprog program = {.len = 4, .filter = code};
  struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(0x88b5), .sll_ifindex = 1};
  int on = 1;
  packets = (int) MUST(socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, 0));
  MUST(setsockopt(packets, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program));
  MUST(setsockopt(packets, SOL_PACKET, PACKET_AUXDATA, &on, sizeof on));
  MUST(bind(packets, (void *) &address, sizeof address));
}

static void look_packets(void) {
  uint8_t frame[60] = {[12] = 0x88, [13] = 0xb5, 'h', 'i'}, got[60] = {0};
  WORKS(send(packets, frame, sizeof frame, 0));
  ssize_t length = WORKS(recv(packets, got, sizeof got, 0));
  HOLDS(length == sizeof frame && memcmp(got, frame, sizeof frame) == 0, "%zd bytes came", length);
  while (recv(packets, got, sizeof got, 0) > 0) continue;
  int on = 0;
  socklen_t size = sizeof on;
  WORKS(getsockopt(packets, SOL_PACKET, PACKET_AUXDATA, &on, &size));
  HOLDS(on == 1, "PACKET_AUXDATA is %d", on);
  struct sock_filter code[8];
  size = 8;
  WORKS(getsockopt(packets, SOL_SOCKET, SO_GET_FILTER, code, &size));
  HOLDS(size == 4 && code[1].k == 0x88b5, "the filter has %u instructions", size);
}

static void damage_packets(void) {
  int none = 0;
  setsockopt(packets, SOL_SOCKET, SO_DETACH_FILTER, &none, sizeof none);
}

static void make_cooked(void) { cooked = (int) MUST(socket(AF_PACKET, SOCK_DGRAM, 0)); }

static void look_cooked(void) {
  struct sockaddr_ll address;
  socklen_t length = sizeof address;
  WORKS(getsockname(cooked, (void *) &address, &length));
  HOLDS(address.sll_protocol == 0 && address.sll_ifindex == 0, "it is bound");
  int type = 0;
  length = sizeof type;
  WORKS(getsockopt(cooked, SOL_SOCKET, SO_TYPE, &type, &length));
  HOLDS(type == SOCK_DGRAM, "its type is %d", type);
}

static void damage_cooked(void) {
  close(cooked);
  cooked = (int) MUST(socket(AF_PACKET, SOCK_RAW, 0));
}

static uint32_t route_port;

static uint32_t port_of(int fd) {
  struct sockaddr_nl address = {0};
  socklen_t length = sizeof address;
  WORKS(getsockname(fd, (void *) &address, &length));
  return address.nl_pid;
}

static void make_route(void) {
  struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_pid = 0x51000000 + (uint32_t) getpid()};
  int on = 1;
  route = (int) MUST(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
  MUST(setsockopt(route, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on));
  MUST(bind(route, (void *) &address, sizeof address));
  route_port = port_of(route);
}

/* Asks for the loopback device. */
static void look_route(void) {
  struct {
    struct nlmsghdr header;
    struct ifinfomsg what;
  } ask = {{sizeof ask, RTM_GETLINK, NLM_F_REQUEST, 7, 0}, {.ifi_index = 1}};
  static char answer[16384];
  HOLDS(port_of(route) == route_port, "its port is %u", port_of(route));
  int on = 0;
  socklen_t length = sizeof on;
  WORKS(getsockopt(route, SOL_NETLINK, NETLINK_EXT_ACK, &on, &length));
  HOLDS(on == 1, "NETLINK_EXT_ACK is %d", on);
  WORKS(send(route, &ask, sizeof ask, 0));
  WORKS(recv(route, answer, sizeof answer, MSG_DONTWAIT));
  struct nlmsghdr *header = (void *) answer;
  HOLDS(header->nlmsg_type == RTM_NEWLINK && header->nlmsg_seq == 7, "the answer is a message of type %d", header->nlmsg_type);
}

static void damage_route(void) {
  int off = 0;
  setsockopt(route, SOL_NETLINK, NETLINK_EXT_ACK, &off, sizeof off);
}

static void make_groups(void) {
  int high = RTNLGRP_NEXTHOP, low = RTNLGRP_TC;
  groups = (int) MUST(socket(AF_NETLINK, SOCK_DGRAM, NETLINK_ROUTE));
  MUST(setsockopt(groups, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &high, sizeof high));
  MUST(setsockopt(groups, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &low, sizeof low));
}

static void look_groups(void) {
  uint32_t bits[8] = {0};
  socklen_t length = sizeof bits;
  WORKS(getsockopt(groups, SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS, bits, &length));
  HOLDS(bits[0] & 1u << (RTNLGRP_TC - 1), "it has left a group");
  HOLDS(bits[(RTNLGRP_NEXTHOP - 1) / 32] & 1u << ((RTNLGRP_NEXTHOP - 1) % 32), "it has left a group of a high number");
}

static void damage_groups(void) {
  int low = RTNLGRP_TC;
  setsockopt(groups, SOL_NETLINK, NETLINK_DROP_MEMBERSHIP, &low, sizeof low);
}

KIND({"raw", make_raw, look_raw, damage_raw}, {"connected", make_connected, look_connected, damage_connected},
    {"packets", make_packets, look_packets, damage_packets}, {"cooked", make_cooked, look_cooked, damage_cooked},
    {"route", make_route, look_route, damage_route}, {"groups", make_groups, look_groups, damage_groups});
