package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.image.file_data_entry;
import io.gantry.checkpoint.image.reg_file_entry;
import io.gantry.checkpoint.linux.Errno;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.OwnFile;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.HashMap;
import java.util.Map;
import java.util.function.IntSupplier;

/**
 * The other side of {@link FileContentSender}: writes the console file, and makes deleted files under the path they had,
 * without a name
 * again. One thread at a time. Holds one descriptor for each deleted file until closed.
 */
public final class FileContentReceiver implements AutoCloseable {
  /** As containers are born with: see {@code Birth}. */
  private static final int CONSOLE_MODE = 0640;

  private record Received(int fd, String path) {}

  private final Path console;
  private final IntSupplier stubPid;
  private final Map<FileIdentity, Received> files = new HashMap<>();

  /**
   * @param console the console file to be written on this host
   * @param stubPid a stub in the container's mount namespace, as the host counts; asked when the first deleted file comes
   */
  public FileContentReceiver(Path console, IntSupplier stubPid) {
    this.console = console;
    this.stubPid = stubPid;
  }

  /** Takes one piece. */
  public void accept(file_data_entry entry) {
    if (entry.hasGhost()) {
      var identity = new FileIdentity(entry.getGhostDev(), entry.getGhost().getIno());
      var file = files.computeIfAbsent(identity, i -> make(entry));
      OwnFile.setOwner(file.fd, entry.getGhost().getUid(), entry.getGhost().getGid());
      OwnFile.setMode(file.fd, entry.getGhost().getMode() & 07777);
      write(Path.of("/proc/self/fd/" + file.fd), file.path, entry, StandardOpenOption.WRITE);
    } else {
      makeConsole();
      write(console, console.toString(), entry, StandardOpenOption.WRITE);
    }
  }

  private static void write(Path path, String name, file_data_entry entry, StandardOpenOption... options) {
    try (var file = FileChannel.open(path, options)) {
      if (file.size() > entry.getSize()) {
        file.truncate(entry.getSize());
      }
      var data = entry.getData().asReadOnlyByteBuffer();
      for (long at = entry.getOffset(); data.hasRemaining(); ) {
        at += file.write(data, at);
      }
    } catch (IOException e) {
      throw new CheckpointException("writing the content of %s that came with the container: %s".formatted(name,
          e.getMessage()), e);
    }
  }

  private void makeConsole() {
    int fd = Fd.tryOpen(console.toString(), Fd.O_WRONLY | Fd.O_CREAT | Fd.O_CLOEXEC, CONSOLE_MODE);
    if (fd < 0) {
      throw new CheckpointException("making the console file " + console + ": " + Errno.describe(-fd));
    }
    Fd.close(fd);
  }

  /** Under the same path, so that {@code /proc/PID/fd} shows it as before, unless another file has that name by now. */
  private Received make(file_data_entry entry) {
    var path = "/proc/" + stubPid.getAsInt() + "/root" + entry.getName();
    int fd = create(path);
    if (fd == -Errno.EEXIST) {
      path += ".gantry-" + Long.toHexString(entry.getGhostDev()) + "-" + Long.toHexString(entry.getGhost().getIno());
      fd = create(path);
    }
    if (fd < 0) {
      throw new CheckpointException(
          ("making the deleted file %s again, which the container has open: %s;"
                  + " its directory must exist here and be writable")
              .formatted(entry.getName(), Errno.describe(-fd)));
    }
    OwnFile.unlink(path);
    return new Received(fd, entry.getName());
  }

  private static int create(String path) {
    return Fd.tryOpen(path, Fd.O_RDWR | Fd.O_CREAT | Fd.O_EXCL | Fd.O_NOFOLLOW | Fd.O_CLOEXEC, 0600);
  }

  /** Our descriptor of a deleted file, as long as it is in the end. */
  int descriptor(FileIdentity identity, reg_file_entry entry) {
    var file = files.get(identity);
    if (file == null) {
      throw new CheckpointException("the content of the deleted file " + entry.getName() + " did not come");
    }
    OwnFile.resize(file.fd, entry.getSize());
    return file.fd;
  }

  @Override
  public void close() {
    files.values().forEach(file -> Fd.close(file.fd));
    files.clear();
  }
}
