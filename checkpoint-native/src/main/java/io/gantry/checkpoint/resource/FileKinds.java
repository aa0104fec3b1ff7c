package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.image.file_entry;
import java.util.List;

/** All kinds, most specific first; {@link Unsupported} claims whatever is left. */
final class FileKinds {
  private static final List<FileKind> ALL =
      List.of(
          new EventFd(),
          new Epoll(),
          new Timer(),
          new SignalFd(),
          new InotifyInstance(),
          new FanotifyGroup(),
          new PidFd(),
          new NamespaceFile(),
          new Pipe(),
          new TcpConnection(),
          new TcpSocket(),
          new UdpSocket(),
          new UnixSocket(),
          new RawSocket(),
          new NetlinkSocket(),
          new PacketSocket(),
          new MemoryFile(),
          new PathDescriptor(),
          new Fifo(),
          new PseudoTerminal(),
          new CharacterDevice(),
          new Directory(),
          new MessageQueue(),
          new DeletedFile(),
          new RegularFile(),
          new Unsupported());

  private FileKinds() {}

  static FileKind of(SeenDescriptor seen, int copy) {
    for (var kind : ALL) {
      if (kind.claims(seen, copy)) {
        return kind;
      }
    }
    throw new AssertionError("the last kind claims everything");
  }

  static FileKind of(file_entry file) {
    for (var kind : ALL) {
      if (kind.describes(file)) {
        return kind;
      }
    }
    throw new CheckpointException(
        "the image has an open file of type " + file.getType() + " (id " + file.getId() + "), which this version cannot make");
  }
}
