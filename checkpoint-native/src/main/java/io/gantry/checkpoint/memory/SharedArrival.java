package io.gantry.checkpoint.memory;

import io.gantry.checkpoint.PageReader;
import io.gantry.checkpoint.image.shared_memory;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.KernelException;
import io.gantry.checkpoint.linux.Memfd;
import io.gantry.checkpoint.linux.SharedMemory;
import java.lang.foreign.MemorySegment;

/** One shared-memory object on the destination, held by a descriptor of the agent until every process has it. One thread at a time. */
final class SharedArrival implements PageReader, AutoCloseable {
  /** {@code F_SEAL_SEAL} alone: what a memfd has that was created without {@code MFD_ALLOW_SEALING}. */
  private static final int NEVER_SEALED = 1;

  private final shared_memory entry;
  private final int fd;
  private final int readOnlyFd;
  private long bytes;
  private int seals;

  SharedArrival(shared_memory entry) {
    this.entry = entry;
    this.seals = entry.getSeals();
    this.bytes = -1;
    if (entry.hasMemfdName()) {
      fd = Memfd.create(entry.getMemfdName(), Memfd.CLOEXEC | (seals == NEVER_SEALED ? 0 : Memfd.ALLOW_SEALING));
    } else {
      fd = SharedMemory.createAnonymous(Math.max(Mmap.PAGE, entry.getSize()));
      bytes = entry.getSize();
    }
    readOnlyFd = Fd.open("/proc/self/fd/" + fd, Fd.O_RDONLY | Fd.O_CLOEXEC, 0);
    update(entry);
  }

  int space() {
    return entry.getSpace();
  }

  long shmid() {
    return entry.getShmid();
  }

  /** Open for reading and writing. */
  int descriptor() {
    return fd;
  }

  /** The one to map from, so that a mapping can be made writable exactly when the original could. */
  int descriptorFor(Vma vma) {
    return vma.openFlags() == Fd.O_RDWR ? fd : readOnlyFd;
  }

  /** What {@code /proc/PID/maps} says of a mapping of it. */
  String mapsName() {
    return entry.hasMemfdName()
        ? AddressSpaceReader.MEMFD + entry.getMemfdName() + AddressSpaceReader.DELETED
        : AddressSpaceReader.SHARED_ANONYMOUS;
  }

  /** Size and seals as they are in a later round. */
  void update(shared_memory now) {
    seals = now.getSeals();
    if (now.getSize() != bytes && entry.hasMemfdName()) {
      bytes = now.getSize();
      long result = Fd.truncate(fd, bytes);
      if (result < 0) {
        throw new KernelException("ftruncate(" + mapsName() + ", " + bytes + ")", (int) -result);
      }
    }
  }

  void write(long[] offsets, int[] pageCounts, int runCount, MemorySegment data) {
    long at = 0;
    for (int run = 0; run < runCount; run++) {
      long length = pageCounts[run] * Mmap.PAGE;
      // The last page may reach beyond the end of the object; writing it whole would make the object longer.
      long inside = Math.min(length, bytes - offsets[run]);
      for (long done = 0; done < inside; ) {
        long wrote = Fd.pwrite(fd, data.asSlice(at + done, inside - done), offsets[run] + done);
        if (wrote <= 0) {
          throw new KernelException("pwrite(" + mapsName() + ", " + (offsets[run] + done) + ")", (int) -wrote);
        }
        done += wrote;
      }
      at += length;
    }
  }

  void zero(long offset, long length) {
    SharedMemory.punch(fd, offset, length);
  }

  @Override
  public void read(long[] offsets, int[] pageCounts, int runCount, MemorySegment destination) {
    long at = 0;
    for (int run = 0; run < runCount; run++) {
      long length = pageCounts[run] * Mmap.PAGE;
      read(offsets[run], destination.asSlice(at, length));
      at += length;
    }
  }

  void read(long offset, MemorySegment destination) {
    long done = 0;
    while (done < destination.byteSize()) {
      long read = Fd.pread(fd, destination.asSlice(done), offset + done);
      if (read <= 0) {
        destination.asSlice(done).fill((byte) 0);
        return;
      }
      done += read;
    }
  }

  long bytes() {
    return bytes;
  }

  /** Puts the seals on. After the last write and the last mapping. */
  void seal() {
    if (entry.hasMemfdName() && seals != NEVER_SEALED && seals != 0) {
      long result = Fd.fcntl(fd, Fd.F_ADD_SEALS, seals);
      if (result < 0 && Fd.fcntl(fd, Fd.F_GET_SEALS, 0) != seals) {
        throw new KernelException("fcntl(" + mapsName() + ", F_ADD_SEALS, " + seals + ")", (int) -result);
      }
    }
  }

  @Override
  public void close() {
    Fd.close(readOnlyFd);
    Fd.close(fd);
  }
}
