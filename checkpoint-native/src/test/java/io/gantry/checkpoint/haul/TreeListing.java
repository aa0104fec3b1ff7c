package io.gantry.checkpoint.haul;

import com.dynatrace.hash4j.hashing.Hashing;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.FileNode;
import io.gantry.checkpoint.linux.FileStatus;
import io.gantry.checkpoint.linux.FileTree;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;

/** Everything that can be told of a tree of files, one line for each name, to be compared with another's. */
final class TreeListing {
  private final Map<Long, String> firstNames = new HashMap<>();
  private final TreeMap<String, String> lines = new TreeMap<>();

  /** By path. @param excluded names in the root */
  static TreeMap<String, String> of(Path root, Set<String> excluded) throws IOException {
    var listing = new TreeListing();
    int fd = Fd.open(root.toString(), Fd.O_PATH | Fd.O_CLOEXEC, 0);
    try {
      listing.add(fd, "", excluded);
    } finally {
      Fd.close(fd);
    }
    return listing.lines;
  }

  private void add(int at, String path, Set<String> excluded) throws IOException {
    var node = FileNode.of(at);
    var line = new StringBuilder();
    line.append(Integer.toOctalString(node.mode())).append(' ').append(node.uid()).append(':').append(node.gid());
    line.append(" modified ").append(node.modified().seconds()).append('.').append(node.modified().nanoseconds());
    FileTree.attributes(at).forEach((name, value) -> line.append(' ').append(name).append('=').append(HexFormat.of().formatHex(value)));
    switch (node.type()) {
      case FileStatus.S_IFDIR -> {
        int fd = FileTree.open("/proc/self/fd/" + at, Fd.O_RDONLY | Fd.O_DIRECTORY, 0);
        try {
          for (var name : new TreeSet<>(FileTree.names(fd))) {
            if (!path.isEmpty() || !excluded.contains(name)) {
              int child = FileTree.open(fd, name, Fd.O_PATH | Fd.O_NOFOLLOW);
              try {
                add(child, path + "/" + name, excluded);
              } finally {
                Fd.close(child);
              }
            }
          }
        } finally {
          Fd.close(fd);
        }
      }
      case FileStatus.S_IFLNK -> line.append(" -> ").append(FileTree.linkTarget(at));
      case FileStatus.S_IFREG -> content(at, node, line);
      default -> line.append(" device ").append(node.rawDevice());
    }
    if (node.type() != FileStatus.S_IFDIR) {
      line.append(" links ").append(node.links()).append(" first ").append(firstNames.computeIfAbsent(node.inode(), inode -> path));
    }
    lines.put(path, line.toString());
  }

  private static void content(int at, FileNode node, StringBuilder line) throws IOException {
    byte[] bytes = Files.readAllBytes(Path.of("/proc/self/fd/" + at));
    line.append(" size ").append(node.size()).append(" content ").append(Hashing.xxh3_128().hashBytesTo128Bits(bytes)).append(" data");
    int fd = FileTree.open("/proc/self/fd/" + at, Fd.O_RDONLY, 0);
    try {
      for (long position = 0; position < node.size(); ) {
        long data = Fd.seek(fd, position, Fd.SEEK_DATA);
        if (data < 0) {
          break;
        }
        position = Fd.seek(fd, data, Fd.SEEK_HOLE);
        line.append(' ').append(data).append('-').append(position);
      }
    } finally {
      Fd.close(fd);
    }
  }
}
