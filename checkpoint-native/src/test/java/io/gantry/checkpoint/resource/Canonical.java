package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.image.descriptors_entry;
import io.gantry.checkpoint.image.file_entry;
import java.util.HashMap;
import java.util.Map;

/** An image without what a move is allowed to change: inode numbers, and the time that timers have left. */
final class Canonical {
  private Canonical() {}

  static descriptors_entry of(descriptors_entry image) {
    var inodes = new HashMap<Integer, Integer>();
    inodes.put(0, 0);
    var result = image.toBuilder().clearFile();
    image.getFileList().forEach(file -> result.addFile(of(file, inodes)));
    result.getMemfdBuilderList().forEach(memfd -> memfd.clearSourceDev().clearSourceIno());
    return result.build();
  }

  private static file_entry of(file_entry file, Map<Integer, Integer> inodes) {
    var result = file.toBuilder();
    if (file.hasReg()) {
      result.getRegBuilder().clearGhostIno().clearGhostDev();
    }
    if (file.hasTfd()) {
      // Of an absolute timer of a clock that differs between hosts only the time left is set.
      result.getTfdBuilder().setVsec(0).setVnsec(0).clearDeadlineRealtimeNs();
      if (file.getTfd().getInsec() != 0) {
        result.getTfdBuilder().setTicks(0);
      }
    }
    for (var target : result.getEpfdBuilder().getTfdBuilderList()) {
      // Adding a one-shot entry that has fired arms it for ERR (8) and HUP (16), whatever it is added for.
      if ((target.getEvents() & ~0x18) == 1 << 30) {
        target.setEvents(1 << 30);
      }
    }
    if (!file.hasEpfd()) {
      result.clearEpfd();
    }
    if (file.hasIsk()) {
      result.getIskBuilder().setIno(0);
    }
    if (file.hasUsk()) {
      var socket = file.getUsk();
      result.getUskBuilder().setIno(inodes.computeIfAbsent(socket.getIno(), ino -> inodes.size()));
      result.getUskBuilder().setPeer(inodes.computeIfAbsent(socket.getPeer(), ino -> inodes.size()));
    }
    return result.build();
  }
}
