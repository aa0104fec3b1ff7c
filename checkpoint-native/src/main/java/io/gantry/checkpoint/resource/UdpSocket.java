package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.image.file_entry;
import io.gantry.checkpoint.linux.Sockets;
import java.util.ArrayList;
import java.util.List;

/** A UDP socket that is not connected. Datagrams that wait in it are lost, as UDP allows. */
final class UdpSocket implements FileKind {
  @Override
  public String name(SeenDescriptor seen, int copy) {
    return "UDP socket";
  }

  @Override
  public boolean claims(SeenDescriptor seen, int copy) {
    return InternetSocket.is(seen, copy, Sockets.SOCK_DGRAM, Sockets.IPPROTO_UDP);
  }

  @Override
  public List<String> obstacles(SeenDescriptor seen, int copy, Inventory inventory) {
    var found = new ArrayList<>(InternetSocket.obstacles(copy));
    Sockets.peerAddress(copy)
        .ifPresent(peer -> found.add("it is connected to " + InternetAddress.parse(peer).text()
            + ", and connected UDP cannot be carried"));
    return found;
  }

  @Override
  public file_entry capture(int id, SeenDescriptor seen, int copy, CaptureSession session) {
    return InternetSocket.capture(id, seen, copy, InternetSocket.CLOSE, 0, session);
  }

  @Override
  public boolean describes(file_entry file) {
    return InternetSocket.describes(file, Sockets.IPPROTO_UDP);
  }

  @Override
  public void recreate(file_entry file, StubDescriptors home, Recreation recreation) {
    InternetSocket.recreate(file.getIsk(), home, recreation);
  }

  @Override
  public int lateFlags(file_entry file, Recreation recreation) {
    return InternetSocket.lateFlags(file);
  }
}
