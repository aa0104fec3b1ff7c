package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.image.file_perms_entry;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.FileStatus;
import io.gantry.checkpoint.linux.SyscallNumber;
import io.gantry.checkpoint.procfs.IdMaps;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;

/**
 * A directory in which a Unix socket's file is made, hidden beside where it belongs. A stub whose root this directory is for a
 * moment
 * binds to, or connects to, the very name that the program used, whatever is at that name by now. So the original's file stays
 * where
 * it is until the copy takes over.
 *
 * @param directory as the container's file system names it
 * @param name what the socket is bound to
 * @param destination where the file belongs; empty when it is deleted
 */
record SocketPlace(String directory, UnixName name, Optional<String> destination) {
  private static final int DIRECTORY_MODE = 0755;
  /** {@code S_IWOTH}, {@code linux/stat.h}. */
  private static final int OTHERS_WRITE = 02;

  /** Adds the calls that make the directory, empty but for what the name needs. */
  static SocketPlace make(UnixName name, Optional<String> destination, String token, StubDescriptors home) {
    destination.ifPresent(path -> check(path, home));
    var parent = destination.map(path -> path.substring(0, path.lastIndexOf('/'))).orElseGet(() -> somewhere(home));
    var place = new SocketPlace(parent + "/.gantry-" + token, name, destination);
    home.need(2, place.directory.length() * 3 + 32);
    home.call("umask()", SyscallNumber.UMASK, 0);
    home.call("mkdir(\"" + place.directory + "\")", SyscallNumber.MKDIR, home.path(place.directory), DIRECTORY_MODE);
    for (var step : name.directories()) {
      var made = place.directory + "/" + step;
      home.need(1, made.length() * 3 + 32);
      home.call("mkdir(\"" + made + "\")", SyscallNumber.MKDIR, home.path(made), DIRECTORY_MODE);
    }
    return place;
  }

  private static void check(String path, StubDescriptors home) {
    var there = FileStatus.ofLink("/proc/" + home.pid() + "/root" + path);
    if (there.isPresent() && there.get().type() != FileStatus.S_IFSOCK) {
      throw new CheckpointException(
          "the container has a Unix socket bound to " + path + ", and on this host that is no socket's file; move it away");
    }
  }

  /** Where the stub may make something: it has no rights over what belongs to somebody whom its user namespace does not know. */
  private static String somewhere(StubDescriptors home) {
    for (var directory : List.of("/tmp", "/dev/shm", "/run")) {
      var there = FileStatus.of("/proc/" + home.pid() + "/root" + directory);
      if (there.filter(status -> status.type() == FileStatus.S_IFDIR && mayWrite(status, home)).isPresent()) {
        return directory;
      }
    }
    return "";
  }

  private static boolean mayWrite(FileStatus directory, StubDescriptors home) {
    try {
      return (directory.mode() & OTHERS_WRITE) != 0 || IdMaps.of(home.pid()).users().inside(directory.uid()).isPresent();
    } catch (NoSuchFileException killed) {
      return false;
    }
  }

  /** The socket's file, as the container's file system names it. */
  String file() {
    return directory + "/" + String.join("/", name.steps());
  }

  /** Adds calls between two that make the directory the stub's root and back, all in one unit with up to 8 more and 256 bytes. */
  void within(StubDescriptors home, int rootSlot, Runnable calls) {
    home.need(14, directory.length() * 3 + 64 + 256);
    home.call("chroot(\"" + directory + "\")", SyscallNumber.CHROOT, home.path(directory));
    home.call("chdir(\"/\")", SyscallNumber.CHDIR, home.path("/"));
    calls.run();
    home.call("fchdir(root)", SyscallNumber.FCHDIR, rootSlot);
    home.call("chroot(\".\")", SyscallNumber.CHROOT, home.path("."));
  }

  /** Adds the calls that give the file its owner and mode. */
  void setPermissions(file_perms_entry permissions, StubDescriptors home) {
    home.need(2, file().length() * 6 + 64);
    home.call(
        "fchownat(\"" + file() + "\")", SyscallNumber.FCHOWNAT, Fd.AT_FDCWD, home.path(file()), permissions.getUid(),
        permissions.getGid(), 0);
    home.call("fchmodat(\"" + file() + "\")", SyscallNumber.FCHMODAT, Fd.AT_FDCWD, home.path(file()), permissions.getMode());
  }

  /** The directory as this process can reach it. */
  Path reachedThrough(StubDescriptors home) {
    return Path.of("/proc/" + home.pid() + "/root" + directory);
  }
}
