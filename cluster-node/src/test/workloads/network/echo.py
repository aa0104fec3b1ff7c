"""Gives back what it is sent, on port 7000 of every address, and holds a UDP socket that does the same and is a member of a multicast group."""
import os, selectors, socket, struct, sys, traceback

selector = selectors.DefaultSelector()
listener = socket.create_server(("::", 7000), family=socket.AF_INET6, dualstack_ipv6=True, backlog=512)
listener.setblocking(False)
datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
datagrams.bind(("", 7001))
datagrams.setblocking(False)
datagrams.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton("239.9.0.5") + struct.pack("=I", 0))
selector.register(listener, selectors.EVENT_READ)
selector.register(datagrams, selectors.EVENT_READ)
waiting = {}


def serve(connection, events):
    if events & selectors.EVENT_READ and len(waiting[connection]) < 1 << 20:
        data = connection.recv(65536)
        if not data:
            selector.unregister(connection)
            # What is owed still goes out: the other end has only said that it sends no more.
            connection.setblocking(True)
            connection.sendall(waiting.pop(connection))
            connection.close()
            return
        waiting[connection] += data
    if waiting[connection]:
        try:
            sent = connection.send(waiting[connection])
            del waiting[connection][:sent]
        except BlockingIOError:
            pass
    selector.modify(connection, selectors.EVENT_READ | (selectors.EVENT_WRITE if waiting[connection] else 0))


def main():
    open(sys.argv[1] + ".new", "w").write(str(os.getpid()))
    os.rename(sys.argv[1] + ".new", sys.argv[1])
    while True:
        for key, events in selector.select():
            if key.fileobj is listener:
                connection, _ = listener.accept()
                connection.setblocking(False)
                waiting[connection] = bytearray()
                selector.register(connection, selectors.EVENT_READ)
            elif key.fileobj is datagrams:
                data, sender = datagrams.recvfrom(2048)
                datagrams.sendto(data, sender)
            else:
                serve(key.fileobj, events)


try:
    main()
except BaseException:
    traceback.print_exc()
    raise
