package io.gantry.checkpoint.network;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;

/** What {@code ip -o -d link show} prints, as iproute2 6.1 does. */
class NetworkLinksTest {
  @Test
  void devicesAreUnderstood() {
    var lines =
        List.of(
            "1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue state UNKNOWN mode DEFAULT group default qlen 1000\\    link/loopback 00:00:00:00:00:00 brd"
                + " 00:00:00:00:00:00 promiscuity 0  allmulti 0 minmtu 0 maxmtu 0 addrgenmode eui64 numtxqueues 1",
            "2: eth0@if7: <NO-CARRIER,BROADCAST,MULTICAST,UP> mtu 1400 qdisc noqueue state DOWN mode DEFAULT group default qlen 500\\    link/ether"
                + " 02:00:00:00:00:07 brd ff:ff:ff:ff:ff:ff link-netnsid 0 promiscuity 0  allmulti 0 minmtu 68 maxmtu 65535 \\    veth addrgenmode eui64",
            "7: gt4711@if2: <BROADCAST,MULTICAST> mtu 1400 qdisc noop master br0 state DOWN mode DEFAULT group default qlen 1000\\    link/ether"
                + " 02:00:00:00:00:08 brd ff:ff:ff:ff:ff:ff link-netnsid 0 promiscuity 1 minmtu 68 maxmtu 65535 \\    veth \\    bridge_slave state disabled",
            "9: tunl0@NONE: <NOARP> mtu 1480 qdisc noop state DOWN mode DEFAULT group default qlen 1000\\    link/ipip 0.0.0.0 brd 0.0.0.0 promiscuity 0"
                + " \\    ipip any remote any local any ttl inherit");
    assertThat(NetworkLinks.parse(lines))
        .containsExactly(
            new NetworkLinks.Seen(1, "lo", -1, true, 65536, "00:00:00:00:00:00", 1000, "loopback", Optional.empty()),
            new NetworkLinks.Seen(2, "eth0", 7, true, 1400, "02:00:00:00:00:07", 500, "veth", Optional.empty()),
            new NetworkLinks.Seen(7, "gt4711", 2, false, 1400, "02:00:00:00:00:08", 1000, "veth", Optional.of("br0")),
            new NetworkLinks.Seen(9, "tunl0", -1, false, 1480, "", 1000, "ipip", Optional.empty()));
  }
}
