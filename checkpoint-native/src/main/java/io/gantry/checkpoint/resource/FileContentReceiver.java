package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.image.file_data_entry;
import io.gantry.checkpoint.image.ghost_directory;
import io.gantry.checkpoint.image.mapped_file;
import io.gantry.checkpoint.image.reg_file_entry;
import io.gantry.checkpoint.linux.Errno;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.FileStatus;
import io.gantry.checkpoint.linux.OwnFile;
import io.gantry.checkpoint.linux.SharedMemory;
import io.gantry.checkpoint.memory.DeletedFiles;
import io.gantry.checkpoint.user.UserNamespaces;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.HashMap;
import java.util.Map;
import java.util.function.IntSupplier;
import java.util.function.UnaryOperator;

/**
 * The other side of {@link FileContentSender}: writes the console file, and makes deleted files under the path they had,
 * without a name
 * again. One thread at a time. Holds one or two descriptors for each deleted file until closed.
 */
public final class FileContentReceiver implements DeletedFiles, AutoCloseable {
  /** As containers are born with: see {@code Birth}. */
  private static final int CONSOLE_MODE = 0640;

  /** What the console is called in an image, wherever it lies. */
  public static final String CONSOLE_INSIDE = "/run/gantry/console.log";

  private record Received(int fd, String path) {}

  private final Path console;
  private final IntSupplier stubPid;
  private final UnaryOperator<String> whereNow;
  private final Map<FileIdentity, Received> files = new HashMap<>();
  private final Map<Integer, Integer> outside = new HashMap<>();
  private final Map<FileIdentity, Integer> readOnly = new HashMap<>();

  /**
   * @param console the console file to be written on this host
   * @param stubPid a stub in the container's mount namespace, as the host counts; asked when the first deleted file comes
   */
  public FileContentReceiver(Path console, IntSupplier stubPid) {
    this(console, stubPid, UnaryOperator.identity());
  }

  /** As above. @param whereNow where a path of the container's lies until everything has come */
  public FileContentReceiver(Path console, IntSupplier stubPid, UnaryOperator<String> whereNow) {
    this.console = console;
    this.stubPid = stubPid;
    this.whereNow = whereNow;
  }

  @Override
  public String whereNow(String path) {
    return whereNow.apply(path);
  }

  /** Takes one piece. */
  public void accept(file_data_entry entry) {
    if (entry.hasGhost()) {
      var identity = new FileIdentity(entry.getGhostDev(), entry.getGhost().getIno());
      var file = files.computeIfAbsent(identity, i -> make(i, entry.getName(), entry.getTemporary(), entry.getDirectoryGone()));
      if (entry.getAnew()) {
        empty(file.fd);
      }
      OwnFile.setOwner(file.fd, entry.getGhost().getUid(), entry.getGhost().getGid());
      OwnFile.setMode(file.fd, entry.getGhost().getMode() & 07777);
      write(Path.of("/proc/self/fd/" + file.fd), file.path, entry, StandardOpenOption.WRITE);
      if (entry.getHole() > 0) {
        SharedMemory.punch(file.fd, entry.getOffset(), entry.getHole());
      }
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

  /** Not by cutting it off, which would take the pages from those who have mapped it and written to them. */
  private static void empty(int fd) {
    long size = FileStatus.of(fd).size();
    if (size > 0) {
      SharedMemory.punch(fd, 0, size);
    }
  }

  private Received make(FileIdentity identity, String name, boolean temporary, boolean directoryGone) {
    var file = unnamed(name, identity);
    if (directoryGone) {
      file.makeParents();
    }
    return new Received(temporary ? file.temporary() : file.regular(), name);
  }

  @Override
  public void prepare(mapped_file file, boolean last) {
    var deleted = file.getDeleted();
    var made =
        files.computeIfAbsent(identity(file), i -> make(i, file.getName(), deleted.getTemporary(), deleted.getDirectoryGone()));
    long size = FileStatus.of(made.fd).size();
    // What has become shorter and long again since it was looked at must not lose what has come already.
    if (last ? size != deleted.getSize() : size < deleted.getSize()) {
      OwnFile.resize(made.fd, deleted.getSize());
    }
  }

  private static FileIdentity identity(mapped_file file) {
    return new FileIdentity(file.getDeleted().getDev(), file.getDeleted().getIno());
  }

  @Override
  public int descriptor(mapped_file file, boolean writable) {
    int fd = files.get(identity(file)).fd;
    return writable
        ? fd
        : readOnly.computeIfAbsent(identity(file), i -> Fd.open("/proc/self/fd/" + fd, Fd.O_RDONLY | Fd.O_CLOEXEC, 0));
  }

  @Override
  public int program(mapped_file file) {
    int readable = descriptor(file, false);
    var writable = files.put(identity(file), new Received(Fd.dup(readable), file.getName()));
    Fd.close(writable.fd);
    return readable;
  }

  private UnnamedFile unnamed(String name, FileIdentity identity) {
    int pid = stubPid.getAsInt();
    return new UnnamedFile("/proc/" + pid + "/root", whereNow.apply(name), identity, UserNamespaces.root(pid));
  }

  /** Our descriptor of a directory that has no name any more, made when it is first asked for. */
  int directory(reg_file_entry entry) {
    return directory(
        entry.getName(), new FileIdentity(entry.getGhostDev(), entry.getGhostIno()), entry.getMode(), entry.getGhostUid(), entry.getGhostGid());
  }

  /** Our descriptor of a removed working directory. */
  public int directory(String name, ghost_directory entry) {
    return directory(name, new FileIdentity(entry.getDev(), entry.getIno()), entry.getMode(), entry.getUid(), entry.getGid());
  }

  private int directory(String name, FileIdentity identity, int mode, int uid, int gid) {
    return shaped(files.computeIfAbsent(identity, i -> new Received(unnamed(name, i).makeParents().directory(), name)).fd, mode, uid, gid);
  }

  /** Our descriptor of a FIFO that has no name any more, open both ways. */
  int fifo(reg_file_entry entry) {
    var identity = new FileIdentity(entry.getGhostDev(), entry.getGhostIno());
    var made = files.computeIfAbsent(identity, i -> new Received(unnamed(entry.getName(), i).makeParents().fifo(), entry.getName()));
    return shaped(made.fd, entry.getMode(), entry.getGhostUid(), entry.getGhostGid());
  }

  /**
   * Our descriptor of a file of this host, opened as the container has it open; the console under whatever name it has here. Opened
   * here, as it was by whoever gave it to the container: nobody inside need have a right to.
   */
  int outside(reg_file_entry entry) {
    var name = entry.getName().equals(CONSOLE_INSIDE) ? console.toString() : entry.getName();
    return outside.computeIfAbsent(
        entry.getId(),
        id -> {
          int flags = entry.getFlags() & ~(Fd.O_ASYNC | Fd.O_CREAT | Fd.O_EXCL | Fd.O_TRUNC | Fd.O_NOFOLLOW);
          int fd = Fd.tryOpen(name, flags | Fd.O_NOCTTY | Fd.O_CLOEXEC, 0);
          if (fd < 0) {
            throw new CheckpointException(
                "the container has %s of its host open, which is not on this host (%s); give it another file for its output".formatted(name, Errno.describe(-fd)));
          }
          return fd;
        });
  }

  private static int shaped(int fd, int mode, int uid, int gid) {
    OwnFile.setOwner(fd, uid, gid);
    OwnFile.setMode(fd, mode & 07777);
    return fd;
  }

  /** Our descriptor of a deleted file, as long as it is in the end. */
  int descriptor(FileIdentity identity, reg_file_entry entry) {
    var file = files.get(identity);
    if (file == null) {
      throw new CheckpointException("the content of the deleted file " + entry.getName() + " did not come");
    }
    // That would count as a write.
    if (FileStatus.of(file.fd).size() != entry.getSize()) {
      OwnFile.resize(file.fd, entry.getSize());
    }
    return file.fd;
  }

  /** Takes over a descriptor of a deleted file whose content came as memory does. */
  public void adopt(FileIdentity identity, int fd, String path) {
    files.put(identity, new Received(fd, path));
  }

  @Override
  public void close() {
    files.values().forEach(file -> Fd.close(file.fd));
    files.clear();
    outside.values().forEach(Fd::close);
    outside.clear();
    readOnly.values().forEach(Fd::close);
    readOnly.clear();
  }
}
