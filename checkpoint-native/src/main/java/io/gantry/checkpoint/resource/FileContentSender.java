package io.gantry.checkpoint.resource;

import com.dynatrace.hash4j.hashing.Hashing;
import com.google.protobuf.ByteString;
import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.image.file_data_entry;
import io.gantry.checkpoint.image.ghost_file_entry;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.FileStatus;
import io.gantry.checkpoint.linux.KernelException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Consumer;
import java.util.function.Predicate;

/**
 * Sends the content of files that travel with a container: its console, and files that are open but have no name any more.
 * Most goes
 * while the container runs; in the freeze only what has changed since. Of a deleted file every piece is compared by a
 * 64-bit hash,
 * because a file can also be written through a mapping; one to which nobody can write like that is read again only when its times
 * say that it was changed. Memory: eight bytes for each 64 KiB of deleted files, and one piece.
 *
 * <p>One thread at a time; owns nothing that outlives a call.
 */
public final class FileContentSender {
  /** Most bytes of data in one message. */
  public static final int PIECE_MAX = 1 << 20;

  private static final int CHUNK = 1 << 16;
  private static final long HASH_OF_HOLE = 0;
  /** Zeros that take room; other hashes are odd. */
  private static final long HASH_OF_ZEROS = 2;
  /** More than the steps in which the kernel's clock for files goes, and than a device takes to write. */
  private static final long SETTLED_NS = Duration.ofMillis(200).toNanos();

  /** No file has been changed then. */
  private static final long CHANGING = -1;

  private static final byte[] ZEROES = new byte[CHUNK];

  private final Path console;
  /** Less than nothing before the first round: the file has to be made over there even when nothing has been written to it. */
  private long consoleSent = -1;
  private final Map<FileIdentity, long[]> hashes = new HashMap<>();
  /** When files were last changed that were read well after that, and to which nobody could write without another time. */
  private final Map<FileIdentity, Long> settled = new HashMap<>();
  private final Set<Integer> direct = new HashSet<>();
  private final ByteBuffer piece = ByteBuffer.allocate(PIECE_MAX);

  /** @param console the console file on this host; only ever appended to */
  public FileContentSender(Path console) {
    this.console = console;
  }

  /**
   * While the container runs: sends what is new since the last call. Processes that end meanwhile are left out.
   *
   * @param mapped deleted files that are not only open
   */
  public void round(List<ProcessRef> processes, List<DescriptorCapture.DeletedFileRef> mapped, Consumer<file_data_entry> out) {
    round(processes, mapped, file -> true, out);
  }

  /**
   * As above.
   *
   * @param writable whether some process may write to a file through a mapping, which does not always show in its times
   */
  public void round(
      List<ProcessRef> processes,
      List<DescriptorCapture.DeletedFileRef> mapped,
      Predicate<FileIdentity> writable,
      Consumer<file_data_entry> out) {
    console(out);
    direct.clear();
    if (processes.isEmpty()) {
      return;
    }
    try (var inventory = Inventory.take(processes)) {
      inventory.descriptors().stream()
          .filter(seen -> (seen.info().statusFlags() & Fd.O_DIRECT) != 0 && seen.status().type() != FileStatus.S_IFIFO)
          .forEach(seen -> direct.add(seen.process().pid()));
      var found = new HashMap<FileIdentity, DescriptorCapture.DeletedFileRef>();
      for (var seen : inventory.descriptors()) {
        if (DeletedFile.is(seen) && inventory.isMounted(seen.info().required("mnt_id")) && !inventory.isInOwnShm(seen.status())) {
          found.computeIfAbsent(
              new FileIdentity(seen.status().device(), seen.status().inode()), identity -> DescriptorCapture.DeletedFileRef.of(identity, seen));
        }
      }
      mapped.forEach(file -> found.putIfAbsent(file.identity(), file));
      hashes.keySet().retainAll(found.keySet());
      settled.keySet().retainAll(found.keySet());
      found.values().forEach(file -> deleted(file, writable.test(file.identity()), out, true));
    }
  }

  /** In the freeze: sends what is left, so that the other side has everything. Who is named twice is sent once. */
  public void last(List<DescriptorCapture.DeletedFileRef> deletedFiles, Consumer<file_data_entry> out) {
    last(deletedFiles, file -> true, out);
  }

  /** As above. A file that nobody has changed since a round has read it is not read again; {@code writable} as for {@link #round}. */
  public void last(List<DescriptorCapture.DeletedFileRef> deletedFiles, Predicate<FileIdentity> writable, Consumer<file_data_entry> out) {
    console(out);
    var done = new HashSet<FileIdentity>();
    for (var file : deletedFiles) {
      if (done.add(file.identity())) {
        deleted(file, writable.test(file.identity()), out, false);
      }
    }
  }

  /** Processes that had a file open past the page cache in the last round. Of a pipe the flag means something else. */
  public Set<Integer> direct() {
    return Set.copyOf(direct);
  }

  private void console(Consumer<file_data_entry> out) {
    if (!Files.exists(console)) {
      return;
    }
    try (var file = FileChannel.open(console, StandardOpenOption.READ)) {
      long size = file.size();
      if (size < consoleSent) {
        // Somebody emptied it: begin again.
        consoleSent = -1;
      }
      if (consoleSent < 0) {
        consoleSent = 0;
        out.accept(file_data_entry.newBuilder().setOffset(0).setSize(0).build());
      }
      while (consoleSent < size) {
        piece.clear().limit((int) Math.min(PIECE_MAX, size - consoleSent));
        int read = file.read(piece, consoleSent);
        if (read <= 0) {
          break;
        }
        var data = ByteString.copyFrom(piece.flip());
        out.accept(file_data_entry.newBuilder().setOffset(consoleSent).setData(data).setSize(consoleSent + read).build());
        consoleSent += read;
      }
    } catch (IOException e) {
      throw new CheckpointException("reading the console file " + console + ": " + e.getMessage(), e);
    }
  }

  private void deleted(DescriptorCapture.DeletedFileRef ref, boolean writable, Consumer<file_data_entry> out, boolean mayVanish) {
    var path = "/proc/" + ref.pid() + "/" + ref.link();
    var status = FileStatus.of(path);
    boolean same = status.isPresent() && status.get().inode() == ref.identity().inode()
        && status.get().device() == ref.identity().device();
    if (!same && mayVanish) {
      return;
    }
    try (var file = FileChannel.open(Path.of(path), StandardOpenOption.READ)) {
      int extents = Fd.open(path, Fd.O_RDONLY | Fd.O_CLOEXEC, 0);
      try {
        send(ref, writable, status.orElseThrow(() -> new IOException("it is gone")), file, extents, out);
      } finally {
        Fd.close(extents);
      }
    } catch (IOException | KernelException e) {
      if (!mayVanish) {
        throw new CheckpointException(
            "reading the deleted file %s, %s of process %d: %s".formatted(ref.path(), ref.link(), ref.pid(), e.getMessage()), e);
      }
    }
  }

  /** @param extents another descriptor of the file, to ask where its holes are */
  private void send(
      DescriptorCapture.DeletedFileRef ref, boolean writable, FileStatus status, FileChannel file, int extents, Consumer<file_data_entry> out)
      throws IOException {
    long size = file.size();
    boolean unchanged = !writable && settled.getOrDefault(ref.identity(), CHANGING) == status.changedNs();
    // One that was changed a moment ago may be changed again without another time, or by a device that has not done yet.
    boolean settles = !writable && status.changedNs() < System.currentTimeMillis() * 1_000_000 - SETTLED_NS;
    settled.put(ref.identity(), settles ? status.changedNs() : CHANGING);
    int chunks = Math.toIntExact((size + CHUNK - 1) / CHUNK);
    boolean anew = !hashes.containsKey(ref.identity());
    // What is not known yet is a hole, and so it is on the other side.
    var known = Arrays.copyOf(hashes.getOrDefault(ref.identity(), new long[0]), chunks);
    hashes.put(ref.identity(), known);
    var template =
        file_data_entry.newBuilder()
            .setGhost(
                ghost_file_entry.newBuilder()
                    .setUid(status.uid())
                    .setGid(status.gid())
                    .setMode(status.mode())
                    .setIno(status.inode())
                    .setSize(size))
            .setGhostDev(status.device())
            .setName(ref.path())
            .setTemporary(ref.temporary())
            .setDirectoryGone(isDirectoryGone(ref))
            .setSize(size);
    // Also when nothing changed: owner, mode and length may have.
    out.accept(template.clone().setOffset(0).setAnew(anew).build());
    if (unchanged && !anew) {
      return;
    }
    for (long at = 0; at < size; at += PIECE_MAX) {
      if (isKnownHole(known, at, size, extents)) {
        continue;
      }
      piece.clear();
      while (piece.hasRemaining() && file.read(piece, at + piece.position()) > 0) {
        // Until the piece is full or the file ends.
      }
      changed(known, at, piece.position(), template, extents, out);
    }
  }

  private static boolean isDirectoryGone(DescriptorCapture.DeletedFileRef ref) {
    return FileStatus.of("/proc/" + ref.pid() + "/root" + ref.path().substring(0, ref.path().lastIndexOf('/') + 1)).isEmpty();
  }

  private static boolean isKnownHole(long[] known, long at, long size, int extents) {
    long end = Math.min(size, at + PIECE_MAX);
    for (int index = (int) (at / CHUNK); index < known.length && (long) index * CHUNK < end; index++) {
      if (known[index] != HASH_OF_HOLE) {
        return false;
      }
    }
    return nextData(extents, at, end) == end;
  }

  /** Where data begins at or behind a position; {@code end} when there is none before. */
  private static long nextData(int extents, long at, long end) {
    long data = Fd.seek(extents, at, Fd.SEEK_DATA);
    return data < 0 ? end : Math.min(data, end);
  }

  /** Sends the runs of chunks of the current piece that are not what the other side has. */
  private void changed(
      long[] known, long at, int length, file_data_entry.Builder template, int extents, Consumer<file_data_entry> out) {
    int runFrom = -1;
    for (int from = 0; from < length; from += CHUNK) {
      int bytes = Math.min(CHUNK, length - from);
      int index = (int) ((at + from) / CHUNK);
      if (index >= known.length) {
        // It has grown since its size was asked; the next call sees that.
        length = from;
        break;
      }
      long hash = isZero(from, bytes) ? hashOfZeros(at + from, bytes, extents) : Hashing.xxh3_64().hashBytesToLong(piece.array(), from, bytes) | 1;
      boolean equal = known[index] == hash;
      known[index] = hash;
      if (!equal && runFrom < 0) {
        runFrom = from;
      } else if (equal && runFrom >= 0) {
        emit(at, runFrom, from, template, extents, out);
        runFrom = -1;
      }
    }
    if (runFrom >= 0) {
      emit(at, runFrom, length, template, extents, out);
    }
  }

  private static long hashOfZeros(long at, int bytes, int extents) {
    return nextData(extents, at, at + bytes) == at + bytes ? HASH_OF_HOLE : HASH_OF_ZEROS;
  }

  /** Data as data and holes as holes ({@code SEEK_DATA}, {@code SEEK_HOLE} of {@code lseek(2)}). */
  private void emit(
      long at, int from, int to, file_data_entry.Builder template, int extents, Consumer<file_data_entry> out) {
    long end = Math.min(at + to, template.getSize());
    long position = at + from;
    while (position < end) {
      long data = nextData(extents, position, end);
      if (data > position) {
        out.accept(template.clone().setOffset(position).setHole(data - position).build());
      }
      if (data < end) {
        long hole = Fd.seek(extents, data, Fd.SEEK_HOLE);
        long stop = hole < 0 ? end : Math.min(hole, end);
        var bytes = ByteString.copyFrom(piece.array(), (int) (data - at), (int) (stop - data));
        out.accept(template.clone().setOffset(data).setData(bytes).build());
        data = stop;
      }
      position = data;
    }
  }

  private boolean isZero(int from, int bytes) {
    return Arrays.mismatch(piece.array(), from, from + bytes, ZEROES, 0, bytes) < 0;
  }
}
