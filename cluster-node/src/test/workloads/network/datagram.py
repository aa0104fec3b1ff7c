"""Sends a datagram to the echo server at an address, which may be a multicast group, and waits for the answer; says whether it came."""
import socket, sys, time

client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.bind(("10.9.0.1", 0))
client.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("10.9.0.1"))
client.settimeout(1)
for _ in range(5):
    client.sendto(b"here", (sys.argv[1], 7001))
    try:
        if client.recvfrom(64)[0] == b"here":
            print("answered")
            break
    except TimeoutError:
        continue
else:
    print("no answer")
