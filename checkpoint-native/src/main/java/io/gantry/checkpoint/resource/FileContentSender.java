package io.gantry.checkpoint.resource;

import com.dynatrace.hash4j.hashing.Hashing;
import com.google.protobuf.ByteString;
import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.image.file_data_entry;
import io.gantry.checkpoint.image.ghost_file_entry;
import io.gantry.checkpoint.linux.FileStatus;
import io.gantry.checkpoint.linux.KernelException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;

/**
 * Sends the content of files that travel with a container: its console, and files that are open but have no name any more.
 * Most goes
 * while the container runs; in the freeze only what has changed since. Of a deleted file every piece is compared by a
 * 64-bit hash,
 * because a file can also be written through a mapping. Memory: eight bytes for each 64 KiB of deleted files, and one piece.
 *
 * <p>One thread at a time; owns nothing that outlives a call.
 */
public final class FileContentSender {
  /** Most bytes of data in one message. */
  public static final int PIECE_MAX = 1 << 20;

  private static final int CHUNK = 1 << 16;
  private static final long HASH_OF_HOLE = 0;
  private static final byte[] ZEROES = new byte[CHUNK];

  private final Path console;
  /** Less than nothing before the first round: the file has to be made over there even when nothing has been written to it. */
  private long consoleSent = -1;
  private final Map<FileIdentity, long[]> hashes = new HashMap<>();
  private final ByteBuffer piece = ByteBuffer.allocate(PIECE_MAX);

  /** @param console the console file on this host; only ever appended to */
  public FileContentSender(Path console) {
    this.console = console;
  }

  /** While the container runs: sends what is new since the last call. Processes that end meanwhile are left out. */
  public void round(List<ProcessRef> processes, Consumer<file_data_entry> out) {
    console(out);
    if (processes.isEmpty()) {
      return;
    }
    try (var inventory = Inventory.take(processes)) {
      var seenFiles = new HashMap<FileIdentity, SeenDescriptor>();
      for (var seen : inventory.descriptors()) {
        if (DeletedFile.is(seen) && inventory.isMounted(seen.info().required("mnt_id"))) {
          seenFiles.putIfAbsent(new FileIdentity(seen.status().device(), seen.status().inode()), seen);
        }
      }
      hashes.keySet().retainAll(seenFiles.keySet());
      seenFiles.forEach(
          (identity, seen) ->
              deleted(
                  new DescriptorCapture.DeletedFileRef(identity, seen.process().pid(), seen.fd(), seen.pathWithoutRemark()),
                      out, true));
    }
  }

  /** In the freeze: sends what is left, so that the other side has everything. */
  public void last(List<DescriptorCapture.DeletedFileRef> deletedFiles, Consumer<file_data_entry> out) {
    console(out);
    deletedFiles.forEach(file -> deleted(file, out, false));
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

  private void deleted(DescriptorCapture.DeletedFileRef ref, Consumer<file_data_entry> out, boolean mayVanish) {
    var path = "/proc/" + ref.pid() + "/fd/" + ref.fd();
    var status = FileStatus.of(path);
    boolean same = status.isPresent() && status.get().inode() == ref.identity().inode()
        && status.get().device() == ref.identity().device();
    if (!same && mayVanish) {
      return;
    }
    try (var file = FileChannel.open(Path.of(path), StandardOpenOption.READ)) {
      send(ref, status.orElseThrow(() -> new IOException("it is gone")), file, out);
    } catch (IOException | KernelException e) {
      if (!mayVanish) {
        throw new CheckpointException(
            "reading the deleted file %s, descriptor %d of process %d: %s".formatted(ref.path(), ref.fd(), ref.pid(),
                e.getMessage()), e);
      }
    }
  }

  private void send(DescriptorCapture.DeletedFileRef ref, FileStatus status, FileChannel file, Consumer<file_data_entry> out)
      throws IOException {
    long size = file.size();
    int chunks = Math.toIntExact((size + CHUNK - 1) / CHUNK);
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
            .setSize(size);
    // Also when nothing changed: owner, mode and length may have.
    out.accept(template.clone().setOffset(0).build());
    for (long at = 0; at < size; at += PIECE_MAX) {
      piece.clear();
      while (piece.hasRemaining() && file.read(piece, at + piece.position()) > 0) {
        // Until the piece is full or the file ends.
      }
      changed(known, at, piece.position(), template, out);
    }
  }

  /** Sends the runs of chunks of the current piece that are not what the other side has. */
  private void changed(
      long[] known, long at, int length, file_data_entry.Builder template, Consumer<file_data_entry> out) {
    int runFrom = -1;
    for (int from = 0; from < length; from += CHUNK) {
      int bytes = Math.min(CHUNK, length - from);
      int index = (int) ((at + from) / CHUNK);
      if (index >= known.length) {
        // It has grown since its size was asked; the next call sees that.
        length = from;
        break;
      }
      long hash = isZero(from, bytes) ? HASH_OF_HOLE : Hashing.xxh3_64().hashBytesToLong(piece.array(), from, bytes) | 1;
      boolean equal = known[index] == hash;
      known[index] = hash;
      if (!equal && runFrom < 0) {
        runFrom = from;
      } else if (equal && runFrom >= 0) {
        emit(at, runFrom, from, template, out);
        runFrom = -1;
      }
    }
    if (runFrom >= 0) {
      emit(at, runFrom, length, template, out);
    }
  }

  private void emit(long at, int from, int to, file_data_entry.Builder template, Consumer<file_data_entry> out) {
    long end = Math.min(at + to, template.getSize());
    int length = (int) (end - at - from);
    if (length > 0) {
      out.accept(template.clone().setOffset(at + from).setData(ByteString.copyFrom(piece.array(), from, length)).build());
    }
  }

  private boolean isZero(int from, int bytes) {
    return Arrays.mismatch(piece.array(), from, from + bytes, ZEROES, 0, bytes) < 0;
  }
}
