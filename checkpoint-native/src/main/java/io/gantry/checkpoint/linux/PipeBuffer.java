package io.gantry.checkpoint.linux;

import java.io.ByteArrayOutputStream;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;

/** What lies in a pipe: {@code tee(2)}, {@code FIONREAD}, {@code F_GETPIPE_SZ}. Any thread. */
public final class PipeBuffer {
  /** {@code asm-generic/ioctls.h}. */
  private static final long FIONREAD = 0x541B;
  /** {@code bits/fcntl-linux.h}. */
  private static final int SPLICE_F_NONBLOCK = 2;

  private PipeBuffer() {}

  /** Bytes that wait in a pipe, a FIFO, or a socket's receive queue. */
  public static int bytesWaiting(int fd) {
    var count = Scratch.get();
    Libc.check(Fd.ioctl(fd, FIONREAD, count), () -> "ioctl(descriptor " + fd + ", FIONREAD)");
    return count.get(ValueLayout.JAVA_INT, 0);
  }

  /** Capacity in bytes. */
  public static int capacity(int fd) {
    return (int) Libc.check(Fd.fcntl(fd, Fd.F_GETPIPE_SZ, 0), () -> "fcntl(descriptor " + fd + ", F_GETPIPE_SZ)");
  }

  /**
   * Copies what waits in a pipe without consuming it.
   *
   * @param readEnd our copy of a descriptor of the pipe that is open for reading
   * @return one element for each packet; bytes that were not written as packets come as one element
   */
  public static List<byte[]> copy(int readEnd) {
    int bytes = bytesWaiting(readEnd);
    if (bytes == 0) {
      return List.of();
    }
    var ends = Scratch.get();
    Libc.check(Libc.syscall(SyscallNumber.PIPE2, ends.address(), Fd.O_CLOEXEC | Fd.O_NONBLOCK, 0), () -> "pipe2()");
    int from = ends.get(ValueLayout.JAVA_INT, 0);
    int to = ends.get(ValueLayout.JAVA_INT, 4);
    try {
      int capacity = capacity(readEnd);
      Libc.check(Fd.fcntl(to, Fd.F_SETPIPE_SZ, capacity), () -> "fcntl(F_SETPIPE_SZ, " + capacity + ")");
      long copied = Libc.syscall(SyscallNumber.TEE, readEnd, to, bytes, SPLICE_F_NONBLOCK, 0, 0);
      Libc.check(copied, () -> "tee(" + bytes + " bytes of a pipe)");
      if (copied != bytes) {
        throw new KernelException("tee() copied " + copied + " of " + bytes + " bytes of a pipe and then", Errno.EAGAIN);
      }
      return drain(from, bytes);
    } finally {
      Fd.close(from);
      Fd.close(to);
    }
  }

  private static List<byte[]> drain(int from, int bytes) {
    var segments = new ArrayList<byte[]>();
    var buffer = Scratch.get();
    var run = new ByteArrayOutputStream();
    for (int left = bytes; left > 0; ) {
      long read = Libc.check(Fd.read(from, buffer), () -> "read(copy of a pipe)");
      run.write(buffer.asSlice(0, read).toArray(ValueLayout.JAVA_BYTE), 0, (int) read);
      left -= (int) read;
      // A read that is not cut short by the buffer ends where a packet ends.
      if (read < buffer.byteSize()) {
        segments.add(run.toByteArray());
        run.reset();
      }
    }
    if (run.size() > 0) {
      segments.add(run.toByteArray());
    }
    return segments;
  }
}
