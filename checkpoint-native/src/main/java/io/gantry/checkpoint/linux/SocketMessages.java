package io.gantry.checkpoint.linux;

import java.io.ByteArrayOutputStream;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * Whole messages of sockets with what comes beside the data: {@code recvmsg(2)} that looks without taking, and {@code
 * sendmsg(2)}.
 * Layouts: {@code man 3 cmsg}; constants: {@code linux/socket.h}. Owns a buffer; one thread.
 */
public final class SocketMessages implements AutoCloseable {
  private static final int MSG_OOB = 1;
  private static final int MSG_PEEK = 2;
  private static final int MSG_CTRUNC = 8;
  private static final int MSG_TRUNC = 0x20;
  private static final int MSG_DONTWAIT = 0x40;
  private static final int MSG_NOSIGNAL = 0x4000;
  private static final int MSG_CMSG_CLOEXEC = 0x40000000;

  private static final int SCM_RIGHTS = 1;
  private static final int SCM_CREDENTIALS = 2;
  private static final int SCM_PIDFD = 4;

  private static final int HEADER_BYTES = 56;
  private static final int VECTOR_AT = 64;
  private static final int ADDRESS_AT = 128;
  private static final int ADDRESS_BYTES = 128;
  private static final int CONTROL_AT = 256;
  private static final int CONTROL_BYTES = 4096;
  private static final int DATA_AT = CONTROL_AT + CONTROL_BYTES;
  private static final long DATA_BYTES_MIN = 1 << 20;
  /** Below {@code vm.mmap_min_addr}, so that nothing is ever there. */
  private static final long NOWHERE = 4096;

  private static final int CONTROL_HEADER_BYTES = 16;

  private final Arena arena = Arena.ofConfined();
  private final long room;
  private final MemorySegment memory;

  /** @param bytes as much data as a stream has; at least 1 MiB is made */
  public SocketMessages(long bytes) {
    room = Math.max(bytes, DATA_BYTES_MIN);
    memory = arena.allocate(DATA_AT + room, 64);
  }

  /** Most bytes of a stream that {@link #peek} takes as one. */
  public long room() {
    return room;
  }

  /**
   * One message, or a run of bytes of a stream.
   *
   * @param data what was sent
   * @param descriptors new descriptors of ours for files that came along; whoever gets the message closes them
   * @param credentials who sent it, when that was recorded: pid as this process counts, uid, gid
   * @param address raw {@code sockaddr} of the sender; empty when it has no name or the socket is connected
   */
  public record Message(byte[] data, List<Integer> descriptors, Optional<Credentials> credentials, byte[] address) {}

  /** @param pid 0 when it is none that this process can see */
  public record Credentials(int pid, int uid, int gid) {}

  /**
   * Looks at the message at the socket's peek offset, which moves behind it. A message that is longer than the buffer comes in
   * one
   * piece all the same.
   *
   * @return empty when nothing more waits
   */
  public Optional<Message> peek(int socket) {
    var data = new ByteArrayOutputStream();
    Optional<Message> first = Optional.empty();
    while (true) {
      prepare(room, ADDRESS_BYTES, CONTROL_BYTES);
      long length =
          Libc.syscall(SyscallNumber.RECVMSG, socket, memory.address(), MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
      if (length == -Errno.EAGAIN && first.isEmpty()) {
        return Optional.empty();
      }
      Libc.check(length, () -> "recvmsg(descriptor " + socket + ", MSG_PEEK)");
      int flags = memory.get(ValueLayout.JAVA_INT, 48);
      data.write(memory.asSlice(DATA_AT, length).toArray(ValueLayout.JAVA_BYTE), 0, (int) length);
      var received = received();
      if (first.isEmpty()) {
        first = Optional.of(received);
      } else {
        received.descriptors().forEach(Fd::close);
      }
      if ((flags & MSG_CTRUNC) != 0) {
        first.get().descriptors().forEach(Fd::close);
        throw new KernelException("recvmsg(descriptor " + socket + ", MSG_PEEK) of all descriptors on the way", Errno.EMFILE);
      }
      if ((flags & MSG_TRUNC) == 0) {
        var message = first.get();
        return Optional.of(new Message(data.toByteArray(), message.descriptors(), message.credentials(), message.address()));
      }
    }
  }

  private void prepare(long dataBytes, int addressBytes, int controlBytes) {
    memory.asSlice(0, HEADER_BYTES).fill((byte) 0);
    // struct msghdr: name, namelen, iov, iovlen, control, controllen, flags
    if (addressBytes > 0) {
      memory.set(ValueLayout.JAVA_LONG, 0, memory.address() + ADDRESS_AT);
      memory.set(ValueLayout.JAVA_INT, 8, addressBytes);
    }
    memory.set(ValueLayout.JAVA_LONG, 16, memory.address() + VECTOR_AT);
    memory.set(ValueLayout.JAVA_LONG, 24, 1);
    if (controlBytes > 0) {
      memory.set(ValueLayout.JAVA_LONG, 32, memory.address() + CONTROL_AT);
      memory.set(ValueLayout.JAVA_LONG, 40, controlBytes);
    }
    memory.set(ValueLayout.JAVA_LONG, VECTOR_AT, memory.address() + DATA_AT);
    memory.set(ValueLayout.JAVA_LONG, VECTOR_AT + 8, dataBytes);
  }

  private Message received() {
    var descriptors = new ArrayList<Integer>();
    Optional<Credentials> credentials = Optional.empty();
    long end = CONTROL_AT + memory.get(ValueLayout.JAVA_LONG, 40);
    for (long at = CONTROL_AT; at + CONTROL_HEADER_BYTES <= end; ) {
      long length = memory.get(ValueLayout.JAVA_LONG, at);
      int level = memory.get(ValueLayout.JAVA_INT, at + 8);
      int type = memory.get(ValueLayout.JAVA_INT, at + 12);
      if (level == Sockets.SOL_SOCKET && type == SCM_RIGHTS) {
        for (long i = at + CONTROL_HEADER_BYTES; i + 4 <= at + length; i += 4) {
          descriptors.add(memory.get(ValueLayout.JAVA_INT, i));
        }
      } else if (level == Sockets.SOL_SOCKET && type == SCM_PIDFD) {
        Fd.close(memory.get(ValueLayout.JAVA_INT, at + CONTROL_HEADER_BYTES));
      } else if (level == Sockets.SOL_SOCKET && type == SCM_CREDENTIALS) {
        credentials =
            Optional.of(
                new Credentials(
                    memory.get(ValueLayout.JAVA_INT, at + 16),
                    memory.get(ValueLayout.JAVA_INT, at + 20),
                    memory.get(ValueLayout.JAVA_INT, at + 24)));
      }
      at += Math.max(CONTROL_HEADER_BYTES, (length + 7) & ~7);
    }
    int addressBytes = Math.min(ADDRESS_BYTES, memory.get(ValueLayout.JAVA_INT, 8));
    // Only a family: a sender without a name.
    var address = memory.asSlice(ADDRESS_AT, addressBytes <= 2 ? 0 : addressBytes).toArray(ValueLayout.JAVA_BYTE);
    return new Message(new byte[0], descriptors, credentials, address);
  }

  /**
   * How many bytes of a stream, from the peek offset, were sent in pieces before the one that holds the last of {@code bytes}.
   * Peeking
   * itself does not tell: it brings the descriptors of later pieces too. But a piece that cannot be copied whole is not
   * counted, so
   * the place of its last byte is one where there is no memory ({@code unix_stream_read_generic}, net/unix/af_unix.c).
   */
  public int bytesBeforeLastPiece(int socket, int bytes) {
    prepare(bytes - 1L, 0, 0);
    memory.set(ValueLayout.JAVA_LONG, 24, 2);
    memory.set(ValueLayout.JAVA_LONG, VECTOR_AT + 16, NOWHERE);
    memory.set(ValueLayout.JAVA_LONG, VECTOR_AT + 24, 1);
    long whole = Libc.syscall(SyscallNumber.RECVMSG, socket, memory.address(), MSG_PEEK | MSG_DONTWAIT);
    return whole == -Errno.EFAULT
        ? 0
        : (int) Libc.check(whole, () -> "recvmsg(descriptor " + socket + ", MSG_PEEK of whole pieces)");
  }

  /** Whether a byte of urgent data waits ({@code MSG_OOB}). */
  public boolean hasUrgent(int socket) {
    prepare(1, 0, 0);
    return Libc.syscall(SyscallNumber.RECVMSG, socket, memory.address(), MSG_PEEK | MSG_DONTWAIT | MSG_OOB) > 0;
  }

  /**
   * Sends without waiting.
   *
   * @param from where in {@code data} to begin
   * @param address raw {@code sockaddr} of the receiver; empty when the socket is connected
   * @return bytes sent, or minus the error number
   */
  public long send(
      int socket, byte[] data, int from, List<Integer> descriptors, Optional<Credentials> credentials, byte[] address) {
    int rights = descriptors.isEmpty() ? 0 : CONTROL_HEADER_BYTES + ((4 * descriptors.size() + 7) & ~7);
    int control = rights + (credentials.isPresent() ? CONTROL_HEADER_BYTES + 16 : 0);
    var large = Optional.<Arena>empty();
    prepare(data.length - from, address.length, control);
    MemorySegment.copy(address, 0, memory, ValueLayout.JAVA_BYTE, ADDRESS_AT, address.length);
    memory.asSlice(CONTROL_AT, CONTROL_BYTES).fill((byte) 0);
    if (rights > 0) {
      header(CONTROL_AT, CONTROL_HEADER_BYTES + 4 * descriptors.size(), SCM_RIGHTS);
      for (int i = 0; i < descriptors.size(); i++) {
        memory.set(ValueLayout.JAVA_INT, CONTROL_AT + CONTROL_HEADER_BYTES + 4L * i, descriptors.get(i));
      }
    }
    credentials.ifPresent(
        who -> {
          int at = CONTROL_AT + rights;
          header(at, CONTROL_HEADER_BYTES + 12, SCM_CREDENTIALS);
          memory.set(ValueLayout.JAVA_INT, at + 16, who.pid());
          memory.set(ValueLayout.JAVA_INT, at + 20, who.uid());
          memory.set(ValueLayout.JAVA_INT, at + 24, who.gid());
        });
    try {
      if (data.length - from > room) {
        large = Optional.of(Arena.ofConfined());
        var room = large.get().allocate(data.length - from);
        memory.set(ValueLayout.JAVA_LONG, VECTOR_AT, room.address());
        MemorySegment.copy(data, from, room, ValueLayout.JAVA_BYTE, 0, data.length - from);
      } else {
        MemorySegment.copy(data, from, memory, ValueLayout.JAVA_BYTE, DATA_AT, data.length - from);
      }
      return Libc.syscall(SyscallNumber.SENDMSG, socket, memory.address(), MSG_DONTWAIT | MSG_NOSIGNAL);
    } finally {
      large.ifPresent(Arena::close);
    }
  }

  private void header(int at, int length, int type) {
    memory.set(ValueLayout.JAVA_LONG, at, length);
    memory.set(ValueLayout.JAVA_INT, at + 8, Sockets.SOL_SOCKET);
    memory.set(ValueLayout.JAVA_INT, at + 12, type);
  }

  @Override
  public void close() {
    arena.close();
  }
}
