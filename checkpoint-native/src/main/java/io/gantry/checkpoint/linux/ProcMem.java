package io.gantry.checkpoint.linux;

import java.lang.foreign.MemorySegment;

/**
 * {@code /proc/PID/mem} of one process: reads and writes whatever the protection of the mapping is, as a debugger does. The
 * descriptor belongs to the address space that the process had when it was opened; after {@code exec} it reads nothing. Any thread.
 */
public final class ProcMem implements AutoCloseable {
  private final int pid;
  private final int fd;

  private ProcMem(int pid, int fd) {
    this.pid = pid;
    this.fd = fd;
  }

  public static ProcMem open(int pid) {
    return new ProcMem(pid, Fd.open("/proc/" + pid + "/mem", Fd.O_RDWR | Fd.O_CLOEXEC, 0));
  }

  /** Reads up to {@code destination.byteSize()} bytes; returns how many, 0 when the address space is gone, or minus the error number. */
  public long tryRead(long address, MemorySegment destination) {
    return Fd.pread(fd, destination, address);
  }

  /** Reads exactly {@code destination.byteSize()} bytes. */
  public void read(long address, MemorySegment destination) {
    for (long done = 0; done < destination.byteSize(); ) {
      done += moved(tryRead(address + done, destination.asSlice(done)), "reading", address + done);
    }
  }

  /** Writes the whole of {@code source}. */
  public void write(long address, MemorySegment source) {
    for (long done = 0; done < source.byteSize(); ) {
      done += moved(Fd.pwrite(fd, source.asSlice(done), address + done), "writing", address + done);
    }
  }

  private long moved(long result, String what, long address) {
    if (result <= 0) {
      throw new KernelException(
          what + " /proc/" + pid + "/mem at 0x" + Long.toHexString(address), result == 0 ? Errno.ESRCH : (int) -result);
    }
    return result;
  }

  @Override
  public void close() {
    Fd.close(fd);
  }
}
