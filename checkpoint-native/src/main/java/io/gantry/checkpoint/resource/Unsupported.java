package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.image.file_entry;
import io.gantry.checkpoint.linux.FileStatus;
import io.gantry.checkpoint.linux.Sockets;
import java.util.List;

/** Everything else, refused by name. */
final class Unsupported implements FileKind {
  @Override
  public String name(SeenDescriptor seen, int copy) {
    if (seen.link().startsWith("anon_inode:")) {
      var name = seen.link().substring("anon_inode:".length());
      return name.startsWith("[") && name.endsWith("]") ? name.substring(1, name.length() - 1) : name;
    }
    if (seen.isSocket()) {
      return socket(copy);
    }
    int colon = seen.link().indexOf(":[");
    if (colon > 0) {
      return seen.link().startsWith("pidfd:") ? "pidfd" : seen.link().substring(0, colon) + " namespace";
    }
    return switch (seen.status().type()) {
      case FileStatus.S_IFBLK -> "block device";
      case FileStatus.S_IFLNK -> "symbolic link opened with O_PATH";
      case FileStatus.S_IFSOCK -> "Unix socket's file opened with O_PATH";
      default -> "open file";
    };
  }

  private static String socket(int copy) {
    int family = Sockets.intOption(copy, Sockets.SOL_SOCKET, Sockets.SO_DOMAIN);
    int type = Sockets.intOption(copy, Sockets.SOL_SOCKET, Sockets.SO_TYPE);
    boolean internet = family == Sockets.AF_INET || family == Sockets.AF_INET6;
    return switch (family) {
      case Sockets.AF_NETLINK -> "netlink socket";
      case Sockets.AF_PACKET -> "packet socket";
      case Sockets.AF_VSOCK -> "vsock socket";
      default -> internet && type == Sockets.SOCK_RAW ? "raw socket" : "socket of an unusual kind";
    };
  }

  @Override
  public boolean claims(SeenDescriptor seen, int copy) {
    return true;
  }

  @Override
  public List<String> obstacles(SeenDescriptor seen, int copy, Inventory inventory) {
    if (seen.isSocket()) {
      int family = Sockets.intOption(copy, Sockets.SOL_SOCKET, Sockets.SO_DOMAIN);
      int type = Sockets.intOption(copy, Sockets.SOL_SOCKET, Sockets.SO_TYPE);
      int protocol = Sockets.intOption(copy, Sockets.SOL_SOCKET, Sockets.SO_PROTOCOL);
      return List.of(
          "it is a %s (family %d, type %d, protocol %d), which cannot be carried".formatted(socket(copy), family, type,
              protocol));
    }
    return List.of("it is open as " + seen.link() + ", a kind of file that cannot be carried; the program has to close it first");
  }

  @Override
  public file_entry capture(int id, SeenDescriptor seen, int copy, CaptureSession session) {
    throw new CheckpointException(seen.where() + " is " + name(seen, copy) + ", which cannot be carried");
  }

  @Override
  public boolean describes(file_entry file) {
    return false;
  }

  @Override
  public void recreate(file_entry file, StubDescriptors home, Recreation recreation) {
    throw new IllegalStateException("nothing describes an unsupported file");
  }
}
