package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.image.fd_types;
import io.gantry.checkpoint.image.file_entry;
import io.gantry.checkpoint.image.inotify_file_entry;
import io.gantry.checkpoint.image.inotify_wd_entry;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.Inotify;
import io.gantry.checkpoint.linux.SyscallNumber;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;

/**
 * {@code inotify(7)}: files that are watched, each under its number. Events that wait cannot be looked at without taking them, so they are lost and
 * the copy finds {@code IN_Q_OVERFLOW} in their place, as when the kernel loses them.
 */
final class InotifyInstance implements FileKind {
  @Override
  public String name(SeenDescriptor seen, int copy) {
    return "inotify";
  }

  @Override
  public boolean claims(SeenDescriptor seen, int copy) {
    // Without brackets, unlike all others (fs/notify/inotify/inotify_user.c).
    return seen.isAnonymous("inotify");
  }

  @Override
  public List<String> obstacles(SeenDescriptor seen, int copy, Inventory inventory) {
    var found = new ArrayList<String>();
    try (var files = new WatchedFiles(inventory.root())) {
      for (var line : seen.info().values("inotify wd")) {
        var words = Marks.words("wd", line);
        if (!files.find(words).hasPath()) {
          found.add(Marks.lost("watch " + Marks.number(words, "wd"), words));
        }
      }
    }
    return found;
  }

  @Override
  public file_entry capture(int id, SeenDescriptor seen, int copy, CaptureSession session) {
    var entry =
        inotify_file_entry.newBuilder().setId(id).setFlags(seen.info().statusFlags()).setFown(session.owner(copy));
    // Before any file is looked for: the search may be seen by this very instance.
    if (Inotify.pendingBytes(copy) > 0) {
      entry.setLostEvents(true);
    }
    var watches = new ArrayList<inotify_wd_entry>();
    try (var files = new WatchedFiles(session.inventory().root())) {
      for (var line : seen.info().values("inotify wd")) {
        var words = Marks.words("wd", line);
        var file = files.find(words);
        if (!file.hasPath()) {
          throw new CheckpointException(seen.where() + " is inotify: " + Marks.lost("watch " + Marks.number(words, "wd"), words));
        }
        watches.add(
            inotify_wd_entry.newBuilder()
                .setId(id)
                .setIIno(Long.parseUnsignedLong(words.get("ino"), 16))
                .setMask(Marks.number(words, "mask"))
                .setIgnoredMask(0)
                .setSDev(Marks.number(words, "sdev"))
                .setWd(Marks.number(words, "wd"))
                .setFHandle(file)
                .build());
      }
    }
    // The kernel lists the last one first. In order, the number that is given out next comes by itself.
    watches.sort(Comparator.comparingInt(inotify_wd_entry::getWd));
    return file_entry.newBuilder().setType(fd_types.INOTIFY).setId(id).setIfy(entry.addAllWd(watches)).build();
  }

  @Override
  public boolean describes(file_entry file) {
    return file.getType() == fd_types.INOTIFY;
  }

  @Override
  public void recreate(file_entry file, StubDescriptors home, Recreation recreation) {
    home.need(3, 0);
    home.park(home.call("inotify_init1()", SyscallNumber.INOTIFY_INIT1, 0), recreation.slot(file.getId()));
  }

  @Override
  public int lateFlags(file_entry file, Recreation recreation) {
    return file.getIfy().getFlags() & ~Fd.O_RDWR;
  }

  @Override
  public boolean isFinishedLast(file_entry file) {
    return true;
  }

  /** Watches begin when nothing opens the container's files any more. */
  @Override
  public void finish(file_entry file, int copy, int pid) {
    var entry = file.getIfy();
    if (entry.getLostEvents()) {
      Inotify.overflow(copy);
    }
    for (var watch : entry.getWdList()) {
      Inotify.setNext(copy, watch.getWd());
      int number = Inotify.addWatch(copy, "/proc/" + pid + "/root" + watch.getFHandle().getPath(), watch.getMask() | Inotify.IN_DONT_FOLLOW);
      if (number != watch.getWd()) {
        throw new CheckpointException(
            "watch %d of an inotify instance became watch %d: %s leads to a file that is watched already on this host"
                .formatted(watch.getWd(), number, watch.getFHandle().getPath()));
      }
    }
    if (entry.getWdCount() == 0) {
      // What was given out to fill the queue is free again.
      Inotify.setNext(copy, 1);
    }
  }
}
