package io.gantry.checkpoint.memory;

import com.dynatrace.hash4j.hashing.ByteAccess;
import com.dynatrace.hash4j.hashing.Hasher64;
import com.dynatrace.hash4j.hashing.Hashing;
import io.gantry.checkpoint.PageReader;
import io.gantry.checkpoint.image.ipc_desc_entry;
import io.gantry.checkpoint.image.shared_memory;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.FileStatus;
import io.gantry.checkpoint.shm.ShmTree;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.Optional;

/**
 * One shared-memory object. Page tables do not show every write to it (a write by {@code write(2)}, by a process that has unmapped it
 * since, or by one not tracked yet), so each round reads all of it and compares a 64-bit hash of each page with that of what was
 * sent. One thread.
 */
final class SharedPages implements PageReader, AutoCloseable {
  private static final Hasher64 HASHER = Hashing.xxh3_64();
  private static final ByteAccess<MemorySegment> ACCESS = ByteAccess.forMemorySegment(MemorySegment.class);

  /** {@code F_GET_SEALS} of something that never can be sealed. */
  private static final int NEVER_SEALED = 1;

  private final int space;
  private final long inode;
  private final int fd;
  private final Optional<String> memfdName;
  private final MemorySegment chunk;

  private Optional<ipc_desc_entry> segment = Optional.empty();

  /** Hash of what the destination has of each page; 0 for a page that it has not, or has as zeros. */
  private long[] hashes = new long[0];

  private final long zeroHash;

  /** Size that was announced. */
  private long bytes;

  /** @param fd taken over; @param chunk memory for reading ahead, shared by all objects of a capture */
  SharedPages(int space, long inode, int fd, Optional<String> memfdName, MemorySegment chunk) {
    this.space = space;
    this.inode = inode;
    this.fd = fd;
    this.memfdName = memfdName;
    this.chunk = chunk;
    chunk.asSlice(0, Mmap.PAGE).fill((byte) 0);
    this.zeroHash = hash(chunk, 0);
  }

  int space() {
    return space;
  }

  long inode() {
    return inode;
  }

  /** Whether it is a file of the container's own {@code /dev/shm}. */
  private boolean isFile() {
    return (inode & (ShmTree.FILE | Vma.SEGMENT)) == ShmTree.FILE;
  }

  int descriptor() {
    return fd;
  }

  /** It is a {@code shmget(2)} segment, which is like this now. */
  void describe(ipc_desc_entry description) {
    segment = Optional.of(description);
  }

  /** Describes it, and fixes the size for this round: what it grows by meanwhile is the next one's. */
  shared_memory toEntry() {
    bytes = Math.max(0, Fd.seek(fd, 0, Fd.SEEK_END));
    var entry = shared_memory.newBuilder().setSpace(space).setShmid(inode).setSize(bytes);
    segment.ifPresent(entry::setSysv);
    if (isFile()) {
      entry.setTmpfs(true);
    }
    if ((inode & (Vma.HUGE | ShmTree.FILE | Vma.SEGMENT)) == Vma.HUGE) {
      entry.setHugePageBytes(FileStatus.of(fd).blockBytes());
    }
    memfdName.ifPresent(
        name -> {
          long seals = Fd.fcntl(fd, Fd.F_GET_SEALS, 0);
          entry.setMemfdName(name).setSeals((int) Math.max(seals, NEVER_SEALED));
          if (seals >= 0) {
            entry.setSeals((int) seals);
          }
        });
    return entry.build();
  }

  /** Sends every page that differs from what the destination has. */
  void send(PageBatch batch) {
    batch.from(space, this);
    int pages = (int) ((bytes + Mmap.PAGE - 1) / Mmap.PAGE);
    if (pages != hashes.length) {
      hashes = Arrays.copyOf(hashes, pages);
    }
    long end = pages * Mmap.PAGE;
    long at = 0;
    while (at < end) {
      long data = Fd.seek(fd, at, Fd.SEEK_DATA);
      // ENXIO: nothing but a hole up to the end.
      long next = data < 0 ? end : Math.min(end, data & -Mmap.PAGE);
      dropHole(at, next, batch);
      if (next == end) {
        break;
      }
      long hole = Fd.seek(fd, next, Fd.SEEK_HOLE);
      long dataEnd = hole < 0 ? end : Math.min(end, (hole + Mmap.PAGE - 1) & -Mmap.PAGE);
      compare(next, dataEnd, batch);
      at = dataEnd;
    }
    batch.flush();
  }

  private void dropHole(long start, long end, PageBatch batch) {
    for (long at = start; at < end; at += Mmap.PAGE) {
      int page = (int) (at / Mmap.PAGE);
      if (hashes[page] != 0) {
        hashes[page] = 0;
        batch.zero(at, at + Mmap.PAGE);
      }
    }
  }

  private void compare(long start, long end, PageBatch batch) {
    for (long at = start; at < end; at += chunk.byteSize()) {
      long bytes = Math.min(chunk.byteSize(), end - at);
      fill(at, chunk.asSlice(0, bytes));
      for (long offset = 0; offset < bytes; offset += Mmap.PAGE) {
        int page = (int) ((at + offset) / Mmap.PAGE);
        if (hash(chunk, offset) != hashes[page]) {
          batch.add(at + offset, at + offset + Mmap.PAGE);
        }
      }
    }
  }

  private long hash(MemorySegment memory, long offset) {
    long hash = HASHER.hashBytesToLong(memory, offset, Mmap.PAGE, ACCESS);
    return hash == zeroHash ? 0 : hash == 0 ? 1 : hash;
  }

  /** What is sent is read a second time; the hash that is kept is that of what was really sent. */
  @Override
  public void read(long[] addresses, int[] pageCounts, int runCount, MemorySegment destination) {
    long at = 0;
    for (int run = 0; run < runCount; run++) {
      long bytes = pageCounts[run] * Mmap.PAGE;
      fill(addresses[run], destination.asSlice(at, bytes));
      for (long offset = 0; offset < bytes; offset += Mmap.PAGE) {
        hashes[(int) ((addresses[run] + offset) / Mmap.PAGE)] = hash(destination, at + offset);
      }
      at += bytes;
    }
  }

  /** Reads; what lies behind the announced end is zero, as it is on the destination. */
  private void fill(long offset, MemorySegment destination) {
    long inside = Math.clamp(bytes - offset, 0, destination.byteSize());
    long done = 0;
    while (done < inside) {
      long read = Fd.pread(fd, destination.asSlice(done, inside - done), offset + done);
      if (read <= 0) {
        break;
      }
      done += read;
    }
    destination.asSlice(done).fill((byte) 0);
  }

  /** Adds every page with content to a digest. */
  void digest(PageDigest digest) {
    long end = (bytes + Mmap.PAGE - 1) & -Mmap.PAGE;
    for (long at = 0; at < end; at += chunk.byteSize()) {
      var part = chunk.asSlice(0, Math.min(chunk.byteSize(), end - at));
      fill(at, part);
      digest.addContent(space, at, part);
    }
  }

  @Override
  public void close() {
    Fd.close(fd);
  }
}
