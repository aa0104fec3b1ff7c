package io.gantry.checkpoint.linux;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * {@code sendmsg(2)} with {@code SCM_RIGHTS}: passes a descriptor of ours to whoever reads the other end of a unix socket. Layouts:
 * {@code man 3 cmsg}, {@code struct msghdr} is 56 bytes, a control message with one descriptor 24. Any thread.
 */
public final class SocketRights {
  private static final int SOL_SOCKET = 1;
  private static final int SCM_RIGHTS = 1;
  private static final int MSG_DONTWAIT = 0x40;

  private static final int HEADER_AT = 0;
  private static final int VECTOR_AT = 64;
  private static final int CONTROL_AT = 80;
  private static final int BYTE_AT = 104;

  /** Bytes that {@link #header} needs; the descriptor that arrived is the {@code int} at {@link #DESCRIPTOR_AT}. */
  public static final int BYTES = 112;

  /** Where in the structure of {@link #header} a received descriptor is. */
  public static final int DESCRIPTOR_AT = CONTROL_AT + 16;

  private SocketRights() {}

  /** Sends one descriptor, with one byte of data as the kernel demands. Does not block. */
  public static void send(int socket, int descriptor) {
    var message = Scratch.get().asSlice(0, BYTES);
    fill(message, message.address());
    message.set(ValueLayout.JAVA_LONG, CONTROL_AT, 20);
    message.set(ValueLayout.JAVA_INT, CONTROL_AT + 8, SOL_SOCKET);
    message.set(ValueLayout.JAVA_INT, CONTROL_AT + 12, SCM_RIGHTS);
    message.set(ValueLayout.JAVA_INT, DESCRIPTOR_AT, descriptor);
    Libc.check(
        Libc.syscall(SyscallNumber.SENDMSG, socket, message.address(), MSG_DONTWAIT),
        () -> "sendmsg(" + socket + ", SCM_RIGHTS of descriptor " + descriptor + ")");
  }

  /** A complete {@code msghdr} for {@code recvmsg} of one descriptor, for use at {@code address} in another process. */
  public static byte[] header(long address) {
    var bytes = MemorySegment.ofArray(new long[BYTES / 8]);
    fill(bytes, address);
    return bytes.toArray(ValueLayout.JAVA_BYTE);
  }

  private static void fill(MemorySegment at, long address) {
    at.fill((byte) 0);
    at.set(ValueLayout.JAVA_LONG, HEADER_AT + 16, address + VECTOR_AT);
    at.set(ValueLayout.JAVA_LONG, HEADER_AT + 24, 1);
    at.set(ValueLayout.JAVA_LONG, HEADER_AT + 32, address + CONTROL_AT);
    at.set(ValueLayout.JAVA_LONG, HEADER_AT + 40, 24);
    at.set(ValueLayout.JAVA_LONG, VECTOR_AT, address + BYTE_AT);
    at.set(ValueLayout.JAVA_LONG, VECTOR_AT + 8, 1);
  }
}
