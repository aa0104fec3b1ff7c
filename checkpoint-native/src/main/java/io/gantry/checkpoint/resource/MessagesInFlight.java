package io.gantry.checkpoint.resource;

import com.google.protobuf.ByteString;
import io.gantry.checkpoint.Finding;
import io.gantry.checkpoint.image.scm_entry;
import io.gantry.checkpoint.image.sk_packet_content_entry;
import io.gantry.checkpoint.image.sk_packet_entry;
import io.gantry.checkpoint.image.sk_ucred_entry;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.FileStatus;
import io.gantry.checkpoint.linux.Kcmp;
import io.gantry.checkpoint.linux.Poll;
import io.gantry.checkpoint.linux.SocketMessages;
import io.gantry.checkpoint.linux.Sockets;
import io.gantry.checkpoint.linux.UnixDiag;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * What waits in the Unix sockets of a container that stands still, read by looking at it ({@code MSG_PEEK} with {@code
 * SO_PEEK_OFF}),
 * and the files that are on their way with it ({@code SCM_RIGHTS}), which perhaps no process has open. Leaves the sockets as they
 * were. Holds descriptors of those files until closed.
 *
 * <p>An empty message behind others is seen only by the first who looks that far: the kernel marks it as peeked
 * ({@code net/core/datagram.c}).
 */
final class MessagesInFlight implements AutoCloseable {
  /** {@code asm-generic/socket.h}. */
  private static final int SO_PASSCRED = 16;

  private static final int SO_PEEK_OFF = 42;
  /** {@code DEFAULT_OVERFLOWUID}, {@code linux/highuid.h}: with pid 0 it means that the sender was not recorded. */
  private static final int NOBODY = 65534;

  /** {@code SCM_RIGHTS}, {@code linux/socket.h}. */
  private static final int RIGHTS = 1;

  /** Empty messages in a row after which a socket whose other end is closed is taken to be at its end. */
  private static final int EMPTY_MAX = 64;

  private final CaptureSession session;
  private final Inventory inventory;
  private final List<OpenFile> inFlight = new ArrayList<>();
  /** Who carries a file that nobody has open. */
  private final Map<Integer, SeenDescriptor> carriers = new HashMap<>();

  private final List<Integer> ours = new ArrayList<>();
  private Optional<SocketMessages> messages = Optional.empty();

  MessagesInFlight(CaptureSession session) {
    this.session = session;
    this.inventory = session.inventory();
  }

  /** Looks into all Unix sockets; returns the files that only messages hold, which are to be described like all others. */
  List<OpenFile> look(List<OpenFile> files) {
    var left = new ArrayDeque<OpenFile>();
    files.stream().filter(file -> file.first().isSocket()).forEach(left::add);
    while (!left.isEmpty()) {
      var file = left.poll();
      int before = inFlight.size();
      inventory.findUnixSocket(file.first().status().inode()).ifPresent(socket -> look(file, socket));
      for (var fresh : inFlight.subList(before, inFlight.size())) {
        if (fresh.first().isSocket()) {
          left.add(fresh);
        }
      }
    }
    return inFlight;
  }

  private void look(OpenFile file, UnixDiag socket) {
    if (socket.isListening() || (socket.receiveQueue() == 0 && socket.type() == Sockets.SOCK_STREAM)) {
      return;
    }
    int copy = inventory.take(file.first());
    try {
      // The length of the first message says nothing when that is empty.
      if (socket.receiveQueue() == 0 && (Poll.await(copy, Poll.IN, 0) & Poll.IN) == 0) {
        return;
      }
      makeRoom(socket.receiveQueue());
      for (var message : read(copy, socket)) {
        session.result().addQueue(entry(file, message));
      }
    } finally {
      Fd.close(copy);
    }
  }

  private void makeRoom(long bytes) {
    if (messages.filter(present -> present.room() > bytes).isEmpty()) {
      messages.ifPresent(SocketMessages::close);
      messages = Optional.of(new SocketMessages(bytes + 1));
    }
  }

  private List<SocketMessages.Message> read(int copy, UnixDiag socket) {
    int offset = Sockets.intOption(copy, Sockets.SOL_SOCKET, SO_PEEK_OFF);
    int credentials = Sockets.intOption(copy, Sockets.SOL_SOCKET, SO_PASSCRED);
    set(copy, SO_PEEK_OFF, 0);
    set(copy, SO_PASSCRED, 1);
    try {
      return socket.type() == Sockets.SOCK_STREAM ? stream(copy) : packets(copy);
    } finally {
      set(copy, SO_PEEK_OFF, offset);
      set(copy, SO_PASSCRED, credentials);
    }
  }

  private static void set(int socket, int name, int value) {
    Sockets.setIntOption(socket, Sockets.SOL_SOCKET, name, value);
  }

  private List<SocketMessages.Message> packets(int copy) {
    var found = new ArrayList<SocketMessages.Message>();
    int empty = 0;
    // A connection that was closed by the other end is read as empty messages without end.
    while (empty < EMPTY_MAX) {
      var next = messages.orElseThrow().peek(copy);
      if (next.isEmpty()) {
        return found;
      }
      found.add(next.get());
      empty = isEmpty(next.get()) ? empty + 1 : 0;
    }
    while (!found.isEmpty() && isEmpty(found.getLast())) {
      found.removeLast();
    }
    return found;
  }

  private static boolean isEmpty(SocketMessages.Message message) {
    return message.data().length == 0 && message.descriptors().isEmpty();
  }

  private List<SocketMessages.Message> stream(int copy) {
    var found = new ArrayList<SocketMessages.Message>();
    int at = 0;
    while (true) {
      var next = messages.orElseThrow().peek(copy);
      if (next.isEmpty() || next.get().data().length == 0) {
        return found;
      }
      var run = next.get();
      int length = run.data().length;
      if (!run.descriptors().isEmpty()) {
        // What was sent before the descriptors may be received before them, so it must stay apart.
        set(copy, SO_PEEK_OFF, at);
        int alone = messages.orElseThrow().bytesBeforeLastPiece(copy, length);
        set(copy, SO_PEEK_OFF, at + length);
        if (alone > 0) {
          found.add(
              new SocketMessages.Message(Arrays.copyOf(run.data(), alone), List.of(), run.credentials(), run.address()));
          run =
              new SocketMessages.Message(
                  Arrays.copyOfRange(run.data(), alone, length), run.descriptors(), run.credentials(), run.address());
        }
      }
      found.add(run);
      at += length;
    }
  }

  private sk_packet_content_entry entry(OpenFile receiver, SocketMessages.Message message) {
    var header = sk_packet_entry.newBuilder().setIdFor(receiver.id()).setLength(message.data().length);
    if (!message.descriptors().isEmpty()) {
      var rights = scm_entry.newBuilder().setType(RIGHTS);
      message.descriptors().forEach(descriptor -> rights.addRights(idOf(descriptor, receiver.first())));
      header.addScm(rights);
    }
    message
        .credentials()
        .filter(who -> who.pid() != 0 || who.uid() != NOBODY)
        .ifPresent(
            who -> {
              // A process that has ended, or is outside, has no number there: then nobody is named.
              int pid = who.pid() == 0 ? 0 : inventory.nsId(who.pid()).orElse(0);
              if (pid != 0) {
                header.setUcred(sk_ucred_entry.newBuilder().setPid(pid).setUid(who.uid()).setGid(who.gid()));
              }
            });
    return sk_packet_content_entry.newBuilder()
        .setHeader(header)
        .setData(ByteString.copyFrom(message.data()))
        .setAddress(ByteString.copyFrom(message.address()))
        .build();
  }

  private int idOf(int descriptor, SeenDescriptor carrier) {
    int self = (int) ProcessHandle.current().pid();
    var status = FileStatus.of(descriptor);
    for (var seen : inventory.withInode(status.inode())) {
      if (seen.status().sameInode(status) && Kcmp.compareFiles(self, descriptor, seen.process().pid(), seen.fd()) == 0) {
        Fd.close(descriptor);
        return session.idOf(seen);
      }
    }
    ours.add(descriptor);
    var file = session.inFlight(inventory.adopt(descriptor));
    inFlight.add(file);
    carriers.put(file.id(), carrier);
    return file.id();
  }

  /** Obstacles of a file as they are told: of one that only a message holds, by the socket that the message waits in. */
  List<Finding> explain(OpenFile file, List<Finding> found) {
    var carrier = carriers.get(file.id());
    if (carrier == null) {
      return found;
    }
    var all = new ArrayList<Finding>();
    for (var finding : found) {
      all.add(
          new Finding(
              carrier.process().pid(),
              carrier.fd(),
              finding.kind(),
              "on its way in a message that waits there: " + finding.sentence()));
    }
    var link = file.first().link();
    if (MemoryFile.is(file.first()) || DeletedFile.is(file.first())) {
      all.add(
          new Finding(
              carrier.process().pid(),
              carrier.fd(),
              "file on its way",
              link + " waits in a message and no process has it open, so that its content cannot be followed"));
    }
    return all;
  }

  @Override
  public void close() {
    ours.forEach(Fd::close);
    messages.ifPresent(SocketMessages::close);
  }
}
