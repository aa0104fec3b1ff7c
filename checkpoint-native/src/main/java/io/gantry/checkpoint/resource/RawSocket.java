package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.image.fd_types;
import io.gantry.checkpoint.image.file_entry;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.Sockets;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/**
 * A raw IP socket ({@code man 7 raw}) with its options and filter. Packets that wait in it are lost, as any network may lose
 * them.
 */
final class RawSocket implements FileKind {
  /** Of {@code /proc/net/raw} ({@code net/ipv4/raw.c}). */
  private static final int PEER_COLUMN = 2;

  private static final int INODE_COLUMN = 9;

  @Override
  public String name(SeenDescriptor seen, int copy) {
    return "raw socket";
  }

  @Override
  public boolean claims(SeenDescriptor seen, int copy) {
    if (!seen.isSocket()) {
      return false;
    }
    int family = Sockets.intOption(copy, Sockets.SOL_SOCKET, Sockets.SO_DOMAIN);
    return (family == Sockets.AF_INET || family == Sockets.AF_INET6)
        && Sockets.intOption(copy, Sockets.SOL_SOCKET, Sockets.SO_TYPE) == Sockets.SOCK_RAW;
  }

  @Override
  public List<String> obstacles(SeenDescriptor seen, int copy, Inventory inventory) {
    return UdpSocket.withoutConnection(copy);
  }

  @Override
  public file_entry capture(int id, SeenDescriptor seen, int copy, CaptureSession session) {
    var file = UdpSocket.describe(id, seen, copy, session).toBuilder();
    if (file.getIsk().getState() != InternetSocket.ESTABLISHED) {
      var peer = peer(seen.status().inode(), file.getIsk().getFamily());
      if (peer.stream().anyMatch(word -> word != 0)) {
        file.getIskBuilder().setState(InternetSocket.ESTABLISHED).addAllDstAddr(peer);
      }
    }
    return file.build();
  }

  /** Where it is connected to: {@code getpeername(2)} does not tell without a port, which raw sockets do not need. */
  private static List<Integer> peer(long inode, int family) {
    var text = Fd.readIfThere("/proc/thread-self/net/" + (family == Sockets.AF_INET6 ? "raw6" : "raw"));
    for (var line : new String(text.orElse(new byte[0]), StandardCharsets.ISO_8859_1).split("\n")) {
      // "253: 0100007F:00FD 0100007F:0000 01 …", words as they lie in memory
      var columns = line.strip().split("\\s+");
      if (columns.length > INODE_COLUMN && columns[INODE_COLUMN].equals(Long.toString(inode))) {
        var words = new ArrayList<Integer>();
        var address = columns[PEER_COLUMN].substring(0, columns[PEER_COLUMN].indexOf(':'));
        for (int at = 0; at < address.length(); at += 8) {
          words.add(Integer.parseUnsignedInt(address.substring(at, at + 8), 16));
        }
        return words;
      }
    }
    return List.of();
  }

  @Override
  public boolean describes(file_entry file) {
    return file.getType() == fd_types.INETSK && file.getIsk().getType() == Sockets.SOCK_RAW;
  }

  @Override
  public void recreate(file_entry file, StubDescriptors home, Recreation recreation) {
    UdpSocket.remake(file.getIsk(), home, recreation);
  }

  @Override
  public int lateFlags(file_entry file, Recreation recreation) {
    return InternetSocket.lateFlags(file);
  }
}
