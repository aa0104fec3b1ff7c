package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.image.sk_packet_content_entry;
import io.gantry.checkpoint.image.unix_sk_entry;
import io.gantry.checkpoint.image.unix_sk_origin;
import io.gantry.checkpoint.linux.Errno;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.SocketMessages;
import io.gantry.checkpoint.linux.SocketMessages.Credentials;
import io.gantry.checkpoint.linux.Sockets;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * Sends again what waited in the Unix sockets of a container, from our own copies of its sockets. A sender that is gone is
 * stood in
 * for by a socket of the same name. Holds copies of the stubs' descriptors until closed. On the tracer thread.
 */
final class UnixMessages implements AutoCloseable {
  /** {@code asm-generic/socket.h}. */
  private static final int SO_SNDBUF = 7;

  private static final int SO_SNDBUFFORCE = 32;
  private static final int SO_BUF_LOCK = 72;
  private static final int LARGE_BYTES = 256 << 20;
  private static final byte[] NOWHERE = {};

  private record Buffer(int bytes, int locks) {}

  private final Recreation recreation;
  private final UnixConnections sockets;
  private final Map<Integer, StubDescriptors> homes;
  private final Map<Integer, StubDescriptors> stubs = new HashMap<>();
  private final Map<UnixConnections.Seat, Integer> copies = new HashMap<>();
  private final Map<Integer, Buffer> enlarged = new LinkedHashMap<>();
  private final Map<String, UnixConnections.Seat> standIns = new HashMap<>();
  private final Map<Integer, List<sk_packet_content_entry>> queues = new LinkedHashMap<>();
  private Optional<SocketMessages> messages = Optional.empty();

  UnixMessages(Recreation recreation, Map<Integer, StubDescriptors> homes) {
    this.recreation = recreation;
    this.sockets = recreation.unix();
    this.homes = homes;
    recreation.stubs().forEach(stub -> stubs.put(stub.nsPid(), stub));
    for (var message : recreation.image().getQueueList()) {
      queues.computeIfAbsent(message.getHeader().getIdFor(), id -> new ArrayList<>()).add(message);
    }
  }

  /** Fills all receive queues and makes the connections of datagram sockets, before which some of it came. */
  void send() {
    for (var entry : sockets.all()) {
      var queue = queues.getOrDefault(entry.getId(), List.of());
      boolean byName = entry.getType() == Sockets.SOCK_DGRAM && entry.getOrigin() == unix_sk_origin.SOCKET;
      if (!byName) {
        queue.forEach(message -> send(message, entry, sender(entry)));
        reset(entry);
        continue;
      }
      var peer = sockets.byInode(entry.getPeer()).filter(other -> entry.getPeer() != 0);
      int strangers = 0;
      for (int i = 0; i < queue.size(); i++) {
        var message = queue.get(i);
        strangers = peer.filter(other -> isFrom(message, other)).isPresent() ? strangers : i + 1;
      }
      queue.subList(0, strangers).forEach(message -> send(message, entry, stranger(message, entry)));
      peer.ifPresent(
          other -> {
            sockets.connect(sockets.seat(entry), sockets.named(other).orElseThrow(), unix_sk_entry.getDefaultInstance());
            sockets.seat(entry).home().flush();
          });
      queue.subList(strangers, queue.size())
          .forEach(message -> send(message, entry, sockets.seat(peer.orElseThrow())));
    }
    enlarged.forEach(UnixMessages::shrink);
  }

  private static boolean isFrom(sk_packet_content_entry message, unix_sk_entry sender) {
    var name = UnixName.parse(message.getAddress().toByteArray());
    return name.key().equals(new UnixName(sender.getName().toByteArray()).key());
  }

  /** The other end of a connection, or what stands in for it. */
  private UnixConnections.Seat sender(unix_sk_entry receiver) {
    return sockets
        .otherEnd(receiver)
        .or(() -> sockets.byInode(receiver.getPeer()).map(sockets::seat))
        .orElseThrow(
            () -> new CheckpointException("the image is damaged: nobody can have sent to Unix socket " + receiver.getId()));
  }

  /** Who sent a datagram from outside a connection: the socket of that name, or one that stands in for it. */
  private UnixConnections.Seat stranger(sk_packet_content_entry message, unix_sk_entry receiver) {
    var name = UnixName.parse(message.getAddress().toByteArray());
    if (!name.isNone()) {
      for (var other : sockets.all()) {
        if (other.getType() == Sockets.SOCK_DGRAM && isFrom(message, other)) {
          return sockets.seat(other);
        }
      }
    }
    return standIns.computeIfAbsent(
        name.key(),
        key -> {
          var seat = sockets.standIn(Sockets.SOCK_DGRAM, sockets.seat(receiver).home());
          if (!name.isNone()) {
            sockets.bind(seat, name, Optional.empty());
          }
          seat.home().flush();
          return seat;
        });
  }

  /** The other end was closed with data unread, which the next call tells: so it is closed again. */
  private void reset(unix_sk_entry entry) {
    if (entry.getReset() && sockets.otherEnd(entry).isPresent()) {
      put(copy(sockets.seat(entry)), new byte[1], List.of(), Optional.empty(), NOWHERE);
    }
  }

  private void send(sk_packet_content_entry message, unix_sk_entry receiver, UnixConnections.Seat sender) {
    var header = message.getHeader();
    var files = new ArrayList<Integer>();
    header.getScmList().forEach(scm -> scm.getRightsList().forEach(id -> files.add(file(id))));
    var who =
        Optional.of(header)
            .filter(present -> present.hasUcred() && stubs.containsKey(present.getUcred().getPid()))
            .map(present -> present.getUcred())
            .map(ucred -> new Credentials(stubs.get(ucred.getPid()).pid(), ucred.getUid(), ucred.getGid()));
    var named = receiver.getType() == Sockets.SOCK_DGRAM ? sockets.named(receiver) : Optional.<UnixConnections.Named>empty();
    if (named.isEmpty()) {
      put(copy(sender), message.getData().toByteArray(), files, who, NOWHERE);
    } else if (named.get().place().isEmpty()) {
      put(copy(sender), message.getData().toByteArray(), files, who, named.get().name().raw());
    } else {
      var place = named.get().place().get();
      int file = Fd.open("/proc/" + sockets.seat(receiver).home().pid() + "/root" + place.file(), Fd.O_PATH | Fd.O_CLOEXEC, 0);
      try {
        var link = new UnixName(("/proc/self/fd/" + file).getBytes(StandardCharsets.US_ASCII));
        put(copy(sender), message.getData().toByteArray(), files, who, link.raw());
      } finally {
        Fd.close(file);
      }
    }
  }

  private int file(int id) {
    return copy(new UnixConnections.Seat(homes.get(id), recreation.slot(id)));
  }

  private int copy(UnixConnections.Seat seat) {
    return copies.computeIfAbsent(seat, where -> where.home().take(where.slot()));
  }

  private void put(int sender, byte[] data, List<Integer> files, Optional<Credentials> who, byte[] address) {
    if (messages.isEmpty()) {
      messages = Optional.of(new SocketMessages(0));
    }
    int done = 0;
    do {
      var rights = done == 0 ? files : List.<Integer>of();
      long sent = messages.get().send(sender, data, done, rights, who, address);
      if (sent == -Errno.EAGAIN && enlarge(sender)) {
        continue;
      }
      if (sent < 0) {
        throw new CheckpointException(
            "%d bytes that wait in a Unix socket cannot be put back: the kernel answered %s%s"
                .formatted(
                    data.length,
                    Errno.describe((int) -sent),
                    sent == -Errno.EAGAIN ? "; net.unix.max_dgram_qlen may be smaller on this host" : ""));
      }
      done += (int) sent;
    } while (done < data.length);
  }

  private boolean enlarge(int sender) {
    if (enlarged.containsKey(sender)) {
      return false;
    }
    var before =
        new Buffer(
            Sockets.intOption(sender, Sockets.SOL_SOCKET, SO_SNDBUF), Sockets.intOption(sender, Sockets.SOL_SOCKET, SO_BUF_LOCK));
    enlarged.put(sender, before);
    Sockets.setIntOption(sender, Sockets.SOL_SOCKET, SO_SNDBUFFORCE, LARGE_BYTES);
    return true;
  }

  private static void shrink(int sender, Buffer before) {
    // The kernel doubles what it is given.
    Sockets.setIntOption(sender, Sockets.SOL_SOCKET, SO_SNDBUFFORCE, before.bytes / 2);
    Sockets.setIntOption(sender, Sockets.SOL_SOCKET, SO_BUF_LOCK, before.locks);
  }

  @Override
  public void close() {
    copies.values().forEach(Fd::close);
    messages.ifPresent(SocketMessages::close);
  }
}
