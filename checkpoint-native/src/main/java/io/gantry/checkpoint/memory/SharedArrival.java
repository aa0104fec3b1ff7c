package io.gantry.checkpoint.memory;

import io.gantry.checkpoint.PageReader;
import io.gantry.checkpoint.image.shared_memory;
import io.gantry.checkpoint.ipc.IpcArrival;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.HugeMemory;
import io.gantry.checkpoint.linux.KernelException;
import io.gantry.checkpoint.linux.Memfd;
import io.gantry.checkpoint.linux.SharedMemory;
import io.gantry.checkpoint.linux.SystemV;
import io.gantry.checkpoint.shm.ShmArrival;
import java.lang.foreign.MemorySegment;
import java.util.function.Supplier;

/** One shared-memory object on the destination, held by a descriptor of the agent until every process has it. One thread at a time. */
final class SharedArrival implements PageReader, AutoCloseable {
  /** {@code F_SEAL_SEAL} alone: what a memfd has that was created without {@code MFD_ALLOW_SEALING}. */
  private static final int NEVER_SEALED = 1;

  private final shared_memory entry;
  private int fd;
  private final int readOnlyFd;
  private final IpcArrival ipc;
  private final Supplier<ShmArrival> shm;

  /** Of a file in {@code /dev/shm}: what {@code /proc/PID/maps} shows once it has its name. */
  private String fileName = "";

  /** Of a segment: where this process has it. */
  private final long attachedAt;

  private long bytes;
  private int seals;

  /** Of a segment: destroyed when nobody has it any more. */
  private boolean removed;

  /** @param shm the container's own {@code /dev/shm}, asked when it is a file of that */
  SharedArrival(shared_memory entry, IpcArrival ipc, Supplier<ShmArrival> shm) {
    this.entry = entry;
    this.ipc = ipc;
    this.shm = shm;
    this.seals = entry.getSeals();
    this.bytes = -1;
    if (entry.hasSysv()) {
      var attached = ipc.create(entry.getSysv(), entry.getSize());
      attachedAt = attached.address();
      fd = attached.fd();
      bytes = entry.getSize();
      readOnlyFd = -1;
      update(entry);
      return;
    }
    attachedAt = 0;
    if (entry.getTmpfs()) {
      fd = shm.get().create(entry.getSpace());
    } else if (entry.hasMemfdName()) {
      int sealing = seals == NEVER_SEALED ? 0 : Memfd.ALLOW_SEALING;
      fd = Memfd.create(entry.getMemfdName(), Memfd.CLOEXEC | sealing | Memfd.huge(entry.getHugePageBytes()));
    } else if (isHuge()) {
      fd = HugeMemory.createAnonymous(Math.max(entry.getHugePageBytes(), entry.getSize()), entry.getHugePageBytes());
      bytes = entry.getSize();
    } else {
      fd = SharedMemory.createAnonymous(Math.max(Mmap.PAGE, entry.getSize()));
      bytes = entry.getSize();
    }
    readOnlyFd = Fd.open("/proc/self/fd/" + fd, Fd.O_RDONLY | Fd.O_CLOEXEC, 0);
    update(entry);
  }

  private boolean isHuge() {
    return entry.getHugePageBytes() != 0;
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

  /** Id of the segment that it is. */
  int segment() {
    return entry.getSysv().getId();
  }

  /**
   * It has its place, nothing is written to it here any more, and {@code /proc/PID/maps} shows it under a name. What somebody has open for writing
   * cannot become the program of a process ({@code ETXTBSY}).
   */
  void placed(String name) {
    fileName = name;
    Fd.close(fd);
    fd = Fd.dup(readOnlyFd);
  }

  /** What {@code /proc/PID/maps} says of a mapping of it. */
  String mapsName() {
    if (entry.getTmpfs()) {
      return fileName;
    }
    if (entry.hasSysv()) {
      return "%s%08x%s".formatted(AddressSpaceReader.SEGMENT, entry.getSysv().getKey(), AddressSpaceReader.DELETED);
    }
    if (entry.hasMemfdName()) {
      return AddressSpaceReader.MEMFD + entry.getMemfdName() + AddressSpaceReader.DELETED;
    }
    return isHuge() ? HugePages.ANONYMOUS + AddressSpaceReader.DELETED : AddressSpaceReader.SHARED_ANONYMOUS;
  }

  /** Size and seals as they are in a later round. */
  void update(shared_memory now) {
    seals = now.getSeals();
    if (now.hasSysv() && (now.getSysv().getMode() & SystemV.SHM_DEST) != 0) {
      removeSegment();
    }
    if (now.getSize() != bytes && (entry.hasMemfdName() || entry.getTmpfs())) {
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
      if (isHuge()) {
        HugeMemory.write(fd, entry.getHugePageBytes(), offsets[run], data.asSlice(at, inside));
        at += length;
        continue;
      }
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

  private void removeSegment() {
    if (!removed) {
      removed = true;
      ipc.remove(segment());
    }
  }

  /** The original is gone. Nothing maps it any more. */
  void drop() {
    if (entry.hasSysv()) {
      removeSegment();
    }
    if (entry.getTmpfs()) {
      shm.get().remove(fd);
    }
    close();
  }

  @Override
  public void close() {
    if (entry.hasSysv()) {
      SystemV.detach(attachedAt);
    } else {
      Fd.close(readOnlyFd);
    }
    Fd.close(fd);
  }
}
