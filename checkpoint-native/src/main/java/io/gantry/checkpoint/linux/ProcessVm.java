package io.gantry.checkpoint.linux;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * {@code process_vm_readv(2)} and {@code process_vm_writev(2)}. They obey the mapping's protection; {@link ProcMem} does not. Any
 * thread may call. Local segments must be native.
 */
public final class ProcessVm {
  /** Most remote pieces of one system call ({@code UIO_MAXIOV}); the methods here split longer lists. */
  public static final int PIECES_MAX = 1024;

  private static final int IOVEC_BYTES = 16;

  /** Where, in the thread's scratch memory, arrays are copied through: behind the iovecs. */
  private static final int SMALL_AT = 17 * 1024;

  private static final int SMALL_MAX = Scratch.BYTES - SMALL_AT;

  private ProcessVm() {}

  /** Reads exactly {@code destination.byteSize()} bytes. */
  public static void read(int pid, long address, MemorySegment destination) {
    whole(pid, address, destination, SyscallNumber.PROCESS_VM_READV, "process_vm_readv");
  }

  /** Writes the whole of {@code source}. */
  public static void write(int pid, long address, MemorySegment source) {
    whole(pid, address, source, SyscallNumber.PROCESS_VM_WRITEV, "process_vm_writev");
  }

  /** Reads {@code length} bytes into a new array. */
  public static byte[] read(int pid, long address, int length) {
    byte[] bytes = new byte[length];
    for (int done = 0; done < length; done += SMALL_MAX) {
      var local = small(Math.min(SMALL_MAX, length - done));
      read(pid, address + done, local);
      MemorySegment.copy(local, ValueLayout.JAVA_BYTE, 0, bytes, done, (int) local.byteSize());
    }
    return bytes;
  }

  /** Reads one long. */
  public static long readLong(int pid, long address) {
    var local = small(8);
    read(pid, address, local);
    return local.get(ValueLayout.JAVA_LONG, 0);
  }

  /** Writes the first {@code length} bytes of an array. */
  public static void write(int pid, long address, byte[] bytes, int length) {
    for (int done = 0; done < length; done += SMALL_MAX) {
      var local = small(Math.min(SMALL_MAX, length - done));
      MemorySegment.copy(bytes, done, local, ValueLayout.JAVA_BYTE, 0, (int) local.byteSize());
      write(pid, address + done, local);
    }
  }

  /** Reads two pieces with one call, into two new arrays. */
  public static byte[][] read(int pid, long address, int length, long secondAddress, int secondLength) {
    if (length + secondLength > SMALL_MAX) {
      return new byte[][] {read(pid, address, length), read(pid, secondAddress, secondLength)};
    }
    var local = small(length + secondLength);
    both(pid, address, length, secondAddress, secondLength, local, SyscallNumber.PROCESS_VM_READV, "process_vm_readv");
    byte[][] pieces = {new byte[length], new byte[secondLength]};
    MemorySegment.copy(local, ValueLayout.JAVA_BYTE, 0, pieces[0], 0, length);
    MemorySegment.copy(local, ValueLayout.JAVA_BYTE, length, pieces[1], 0, secondLength);
    return pieces;
  }

  /** Writes an array and the first bytes of another one to two places with one call. */
  public static void write(int pid, long address, byte[] bytes, long secondAddress, byte[] second, int secondLength) {
    if (bytes.length + secondLength > SMALL_MAX) {
      write(pid, address, bytes, bytes.length);
      write(pid, secondAddress, second, secondLength);
      return;
    }
    var local = small(bytes.length + secondLength);
    MemorySegment.copy(bytes, 0, local, ValueLayout.JAVA_BYTE, 0, bytes.length);
    MemorySegment.copy(second, 0, local, ValueLayout.JAVA_BYTE, bytes.length, secondLength);
    both(pid, address, bytes.length, secondAddress, secondLength, local, SyscallNumber.PROCESS_VM_WRITEV, "process_vm_writev");
  }

  private static void both(
      int pid, long address, int length, long secondAddress, int secondLength, MemorySegment local, int number, String name) {
    var scratch = Scratch.get();
    piece(scratch, 0, local.address(), local.byteSize());
    piece(scratch, IOVEC_BYTES, address, length);
    piece(scratch, 2 * IOVEC_BYTES, secondAddress, secondLength);
    long result = Libc.syscall(number, pid, scratch.address(), 1, scratch.address() + IOVEC_BYTES, 2, 0);
    if (result != local.byteSize()) {
      long failedAt = result < length ? address + Math.max(0, result) : secondAddress + (result - length);
      throw new KernelException(
          name + "(process " + pid + ", 0x" + Long.toHexString(failedAt) + ", two pieces of " + length + " and " + secondLength
              + " bytes)",
          result < 0 ? (int) -result : Errno.EFAULT);
    }
  }

  private static MemorySegment small(int length) {
    return Scratch.get().asSlice(SMALL_AT, length);
  }

  private static void whole(int pid, long address, MemorySegment local, int number, String name) {
    long done = 0;
    long length = local.byteSize();
    var scratch = Scratch.get();
    while (done < length) {
      piece(scratch, 0, local.address() + done, length - done);
      piece(scratch, IOVEC_BYTES, address + done, length - done);
      long result = Libc.syscall(number, pid, scratch.address(), 1, scratch.address() + IOVEC_BYTES, 1, 0);
      if (result <= 0) {
        long failedAt = address + done;
        throw new KernelException(
            name + "(process " + pid + ", 0x" + Long.toHexString(failedAt) + ", " + (length - done) + " bytes)",
            result == 0 ? Errno.EFAULT : (int) -result);
      }
      done += result;
    }
  }

  /**
   * Reads several remote pieces, one behind the other, into {@code destination}.
   *
   * @param addresses first byte of each piece
   * @param counts length of each piece in units of {@code unit} bytes
   * @param from index of the first piece
   * @param pieces how many pieces
   * @return bytes read; fewer than asked for when a piece (the one after those bytes) cannot be read, or minus the error number when
   *     nothing was read
   */
  public static long read(
      int pid, long[] addresses, int[] counts, int unit, int from, int pieces, MemorySegment destination) {
    return pieces(pid, addresses, counts, unit, from, pieces, destination, SyscallNumber.PROCESS_VM_READV);
  }

  /** Writes {@code source} into several remote pieces; as {@link #read(int, long[], int[], int, int, int, MemorySegment)}. */
  public static long write(int pid, long[] addresses, int[] counts, int unit, int from, int pieces, MemorySegment source) {
    return pieces(pid, addresses, counts, unit, from, pieces, source, SyscallNumber.PROCESS_VM_WRITEV);
  }

  private static long pieces(
      int pid, long[] addresses, int[] counts, int unit, int from, int pieces, MemorySegment local, int number) {
    var scratch = Scratch.get();
    long done = 0;
    for (int start = from; start < from + pieces; start += PIECES_MAX) {
      int now = Math.min(PIECES_MAX, from + pieces - start);
      long bytes = 0;
      for (int i = 0; i < now; i++) {
        long length = (long) counts[start + i] * unit;
        piece(scratch, IOVEC_BYTES * (1 + i), addresses[start + i], length);
        bytes += length;
      }
      if (done + bytes > local.byteSize()) {
        throw new IllegalArgumentException("the pieces are longer than the local memory of " + local.byteSize() + " bytes");
      }
      piece(scratch, 0, local.address() + done, bytes);
      long result = Libc.syscall(number, pid, scratch.address(), 1, scratch.address() + IOVEC_BYTES, now, 0);
      if (result < 0) {
        return done > 0 ? done : result;
      }
      done += result;
      if (result < bytes) {
        return done;
      }
    }
    return done;
  }

  private static void piece(MemorySegment scratch, int at, long address, long length) {
    scratch.set(ValueLayout.JAVA_LONG, at, address);
    scratch.set(ValueLayout.JAVA_LONG, at + 8, length);
  }
}
