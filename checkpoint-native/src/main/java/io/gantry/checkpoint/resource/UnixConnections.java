package io.gantry.checkpoint.resource;

import com.google.protobuf.ByteString;
import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.image.unix_sk_entry;
import io.gantry.checkpoint.image.unix_sk_origin;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.Sockets;
import io.gantry.checkpoint.linux.SyscallNumber;
import io.gantry.checkpoint.linux.UnixDiag;
import java.io.IOException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * Brings the Unix sockets of a container together while they are made. Order that must hold: everybody is bound and listens; then
 * connections are made and accepted one listener's after the other, those that nobody has accepted last; then messages are put in
 * ({@link UnixMessages}); only then options, because {@code SO_PASSCRED} would name the sender, and the closing of directions.
 *
 * <p>Where a listener or the other end of a connection is gone, one that lives only meanwhile stands in for it.
 */
final class UnixConnections {
  /** {@code net.core.somaxconn} as it usually is; more connections than that can wait at no listener. */
  private static final int BACKLOG_MAX = 4096;

  /** Connections made before they are accepted; fewer than any system lets wait. */
  private static final int AT_ONCE = 64;

  private static final long KEEP = -1;
  private static final unix_sk_entry ROOT = unix_sk_entry.getDefaultInstance();

  /** Where a socket lies meanwhile. */
  record Seat(StubDescriptors home, int slot) {}

  /** A socket that others connect or send to by its name. */
  record Named(Seat seat, UnixName name, Optional<SocketPlace> place) {}

  /** @param who a witness to whom connects, by its {@code SO_PEERCRED} */
  private record Joining(unix_sk_entry who, Seat client, Named door, int acceptedSlot) {}

  private final Recreation recreation;
  private final String token = Long.toHexString(System.nanoTime()) + "-" + ProcessHandle.current().pid();
  private final Map<Integer, unix_sk_entry> byInode = new LinkedHashMap<>();
  private final Map<Integer, Seat> seats = new HashMap<>();
  private final Map<Integer, Named> named = new HashMap<>();
  private final Map<String, Named> doors = new HashMap<>();
  private final Map<Integer, Seat> otherEnds = new HashMap<>();
  private final Map<StubDescriptors, Integer> roots = new HashMap<>();
  private final List<Map.Entry<StubDescriptors, SocketPlace>> places = new ArrayList<>();
  private int lastPlace;

  UnixConnections(Recreation recreation) {
    this.recreation = recreation;
    recreation.image().getFileList().stream()
        .filter(file -> file.hasUsk())
        .forEach(file -> byInode.put(file.getUsk().getIno(), file.getUsk()));
  }

  /** Listeners and what was accepted from them are made together. */
  static String door(int type, ByteString name) {
    return "unix listener " + type + " " + HexFormat.of().formatHex(name.toByteArray());
  }

  Optional<unix_sk_entry> byInode(int inode) {
    return Optional.ofNullable(byInode.get(inode));
  }

  Seat seat(unix_sk_entry entry) {
    return seats.get(entry.getId());
  }

  /** Our stand-in for the other end; empty when that is in the container. */
  Optional<Seat> otherEnd(unix_sk_entry entry) {
    return Optional.ofNullable(otherEnds.get(entry.getId()));
  }

  void otherEnd(unix_sk_entry entry, StubDescriptors home, int slot) {
    otherEnds.put(entry.getId(), new Seat(home, slot));
  }

  Optional<Named> named(unix_sk_entry entry) {
    return Optional.ofNullable(named.get(entry.getId()));
  }

  Iterable<unix_sk_entry> all() {
    return byInode.values().stream().filter(entry -> seats.containsKey(entry.getId())).toList();
  }

  /** A socket lies in its slot: adds the calls that bind it, and have it listen with room for everybody. */
  void made(unix_sk_entry entry, StubDescriptors home, int slot) {
    var seat = new Seat(home, slot);
    seats.put(entry.getId(), seat);
    var name = new UnixName(entry.getName().toByteArray());
    if (!name.isNone()) {
      named.put(entry.getId(), bind(seat, name, entry.hasPath() ? Optional.of(entry.getPath()) : Optional.empty()));
    }
    if (entry.getState() == UnixDiag.LISTEN) {
      doors.put(door(entry.getType(), entry.getName()), named.get(entry.getId()));
      listen(entry, BACKLOG_MAX);
    }
  }

  void accepted(unix_sk_entry entry, StubDescriptors home, int slot) {
    seats.put(entry.getId(), new Seat(home, slot));
  }

  Named bind(Seat seat, UnixName name, Optional<String> path) {
    var raw = name.raw();
    if (name.isAbstract()) {
      seat.home.need(1, raw.length + 32);
      seat.home.call("bind(" + name.text() + ")", SyscallNumber.BIND, seat.slot, seat.home.bytes(raw), raw.length);
      return new Named(seat, name, Optional.empty());
    }
    var place = SocketPlace.make(name, path, token + "-" + ++lastPlace, seat.home);
    places.add(Map.entry(seat.home, place));
    within(
        Optional.of(place),
        seat.home,
        () -> seat.home.call("bind(" + name.text() + ")", SyscallNumber.BIND, seat.slot, seat.home.bytes(raw), raw.length));
    return new Named(seat, name, Optional.of(place));
  }

  private void within(Optional<SocketPlace> place, StubDescriptors home, Runnable calls) {
    if (place.isEmpty()) {
      home.need(8, 256);
      calls.run();
      return;
    }
    if (!roots.containsKey(home)) {
      roots.put(home, recreation.freshSlot());
      home.open("/", Fd.O_DIRECTORY, roots.get(home));
    }
    place.get().within(home, roots.get(home), calls);
  }

  private void listen(unix_sk_entry entry, int backlog) {
    var seat = seats.get(entry.getId());
    seat.home.need(8, 0);
    asPeer(
        entry, seat.home, () -> seat.home.call("listen(" + backlog + ")", SyscallNumber.LISTEN, seat.slot, backlog));
  }

  /** Adds a call that is made as the user that {@code SO_PEERCRED} of {@code witness} names; seven calls of a unit. */
  static void asPeer(unix_sk_entry witness, StubDescriptors home, Runnable call) {
    int uid = witness.getPeerUid();
    int gid = witness.getPeerGid();
    if (uid == 0 && gid == 0) {
      call.run();
      return;
    }
    home.call("setresgid(peer)", SyscallNumber.SETRESGID, KEEP, gid, KEEP);
    home.call("setresuid(peer)", SyscallNumber.SETRESUID, KEEP, uid, KEEP);
    // Files are still reached as root.
    home.call("setfsuid(root)", SyscallNumber.SETFSUID, 0);
    call.run();
    home.call("setresuid(root)", SyscallNumber.SETRESUID, KEEP, 0, KEEP);
    home.call("setresgid(root)", SyscallNumber.SETRESGID, KEEP, 0, KEEP);
  }

  /** Makes and accepts the connections. Every socket is made, and everything has been run. */
  void join() {
    var joinings = new ArrayList<Joining>();
    for (var entry : all()) {
      if (entry.getOrigin() == unix_sk_origin.ACCEPTED) {
        joinings.add(accepting(entry));
      } else if (entry.getOrigin() == unix_sk_origin.CONNECTED && entry.getPeer() == 0) {
        joinings.add(connectingToNobody(entry));
      }
    }
    flush();
    for (int from = 0; from < joinings.size(); from += AT_ONCE) {
      var some = joinings.subList(from, Math.min(joinings.size(), from + AT_ONCE));
      connect(some);
      for (var joining : some) {
        var door = joining.door.seat;
        door.home.need(3, 0);
        door.home.park(door.home.call("accept()", SyscallNumber.ACCEPT, door.slot, 0, 0), joining.acceptedSlot);
      }
      flush();
    }
    for (var listener : all()) {
      if (listener.getState() == UnixDiag.LISTEN) {
        var waiting = listener.getPendingList().stream().map(this::pending).toList();
        connect(waiting.stream().map(seat -> new Joining(ROOT, seat, named.get(listener.getId()), -1)).toList());
        listen(listener, listener.getBacklog());
      }
    }
    flush();
  }

  private Joining accepting(unix_sk_entry entry) {
    var seat = seats.get(entry.getId());
    var peer = byInode(entry.getPeer()).filter(other -> entry.getPeer() != 0);
    var door = door(entry.getType(), entry.getName(), seat.home, peer.orElse(ROOT));
    if (peer.isPresent()) {
      return new Joining(entry, seats.get(peer.get().getId()), door, seat.slot);
    }
    var client = standIn(entry.getType(), seat.home);
    otherEnds.put(entry.getId(), client);
    if (entry.hasPeerName() && !entry.getPeerName().isEmpty()) {
      bind(client, new UnixName(entry.getPeerName().toByteArray()), Optional.empty());
    }
    return new Joining(entry, client, door, seat.slot);
  }

  private Joining connectingToNobody(unix_sk_entry entry) {
    var seat = seats.get(entry.getId());
    var door = door(entry.getType(), entry.getPeerName(), seat.home, entry);
    var accepted = new Seat(door.seat.home, recreation.freshSlot());
    otherEnds.put(entry.getId(), accepted);
    return new Joining(ROOT, seat, door, accepted.slot);
  }

  private Seat pending(int inode) {
    return byInode(inode)
        .map(this::seat)
        .orElseThrow(
            () -> new CheckpointException("the image is damaged: Unix socket " + inode + ", which waits, is not there"));
  }

  /** The listener with a name, or one that stands in for it. */
  private Named door(int type, ByteString name, StubDescriptors home, unix_sk_entry witness) {
    return doors.computeIfAbsent(
        door(type, name),
        key -> {
          var seat = standIn(type, home);
          var bound = bind(seat, new UnixName(name.toByteArray()), Optional.empty());
          home.need(8, 0);
          asPeer(witness, home, () -> home.call("listen()", SyscallNumber.LISTEN, seat.slot, BACKLOG_MAX));
          return bound;
        });
  }

  Seat standIn(int type, StubDescriptors home) {
    var seat = new Seat(home, recreation.freshSlot());
    home.need(3, 0);
    home.park(home.call("socket()", SyscallNumber.SOCKET, Sockets.AF_UNIX, type, 0), seat.slot);
    return seat;
  }

  /** A listener takes connections in the order in which they are made, whichever stub makes them. */
  private void connect(List<Joining> joinings) {
    Optional<StubDescriptors> last = Optional.empty();
    for (var joining : joinings) {
      var home = joining.client.home;
      last.filter(other -> other != home).ifPresent(StubDescriptors::flush);
      last = Optional.of(home);
      connect(joining.client, joining.door, joining.who);
    }
    last.ifPresent(StubDescriptors::flush);
  }

  void connect(Seat client, Named door, unix_sk_entry who) {
    var raw = door.name.raw();
    within(
        door.place,
        client.home,
        () ->
            asPeer(
                who,
                client.home,
                () ->
                    client.home.call(
                        "connect(" + door.name.text() + ")",
                        SyscallNumber.CONNECT,
                        client.slot,
                        client.home.bytes(raw),
                        raw.length)));
  }

  /** Options, closed directions and the files' owners; all messages are in place. */
  void settle() {
    for (var entry : all()) {
      var seat = seats.get(entry.getId());
      SocketOptions.recreate(entry.getOpts(), seat.slot, seat.home);
      if (entry.getOpts().getReuseaddr()) {
        SocketOptions.set(seat.home, seat.slot, SocketOptions.SO_REUSEADDR, 1);
      }
      int shutdown = entry.getShutdown().getNumber();
      // What is left of a connection is shut down by the closing of its other end already.
      if (shutdown != 0 && (entry.getPeer() != 0 || entry.getState() != UnixDiag.ESTABLISHED)) {
        seat.home.need(1, 0);
        // SHUT_RD 0, SHUT_WR 1, SHUT_RDWR 2
        seat.home.call("shutdown(socket)", SyscallNumber.SHUTDOWN, seat.slot, shutdown - 1);
      }
      if (entry.hasFilePerms() && named.containsKey(entry.getId())) {
        named.get(entry.getId()).place.ifPresent(place -> place.setPermissions(entry.getFilePerms(), seat.home));
      }
    }
    flush();
  }

  /** Removes the files of sockets that have none any more; returns those that wait to be put in place. */
  List<SocketFiles.Waiting> files() {
    var waiting = new ArrayList<SocketFiles.Waiting>();
    for (var made : places) {
      var place = made.getValue();
      if (place.destination().isPresent()) {
        waiting.add(new SocketFiles.Waiting(place.directory(), place.file(), place.destination().get()));
      } else {
        remove(place, made.getKey());
      }
    }
    return waiting;
  }

  private static void remove(SocketPlace place, StubDescriptors home) {
    try {
      SocketFiles.removeTree(place.reachedThrough(home));
    } catch (IOException e) {
      throw new CheckpointException("removing the hidden directory " + place.directory() + ": " + e, e);
    }
  }

  /** After a failure: removes every hidden directory that was made; what cannot be removed is left. */
  void abandon() {
    for (var made : places) {
      try {
        SocketFiles.removeTree(made.getValue().reachedThrough(made.getKey()));
      } catch (IOException gone) {
        // The stub has ended, and whoever failed says why.
      }
    }
  }

  private void flush() {
    recreation.stubs().forEach(StubDescriptors::flush);
  }
}
