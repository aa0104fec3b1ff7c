package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.Finding;
import io.gantry.checkpoint.linux.Fd;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** What speaks against carrying the locks of one descriptor. Reads {@code /proc/locks} only when there are any. */
final class LockObstacles {
  private LockObstacles() {}

  static List<Finding> of(SeenDescriptor seen, Inventory inventory) {
    var found = new ArrayList<Finding>(0);
    for (var line : seen.info().values("lock")) {
      var lock = FileLock.parse(line);
      reason(lock, inventory)
          .ifPresent(sentence -> found.add(new Finding(seen.process().pid(), seen.fd(), FileLock.name(lock.flag()), sentence)));
    }
    return found;
  }

  private static Optional<String> reason(FileLock lock, Inventory inventory) {
    if (lock.flag() == FileLock.LEASE) {
      if (lock.breaking()) {
        return Optional.of("somebody waits for its lease to be given up, and that wait cannot be carried; it is over in a moment");
      }
      // F_WRLCK is given only to the one open file that there is, and the original's is open until the copy runs (fs/locks.c).
      return lock.type() == FileLock.READ
          ? Optional.empty()
          : Optional.of("it holds a write lease (F_SETLEASE), which no copy gets while the original has the file open; release it first");
    }
    return waiter(lock, inventory)
        .map(
            pid ->
                "process " + pid + ", which is not part of the container, waits for this lock and would get it in the middle of the move;"
                    + " release the lock or end that process first");
  }

  /** A lock changes hands during a move, and whoever waits for it gets it first. */
  private static Optional<Integer> waiter(FileLock lock, Inventory inventory) {
    var locks = new String(Fd.readAll("/proc/locks"), StandardCharsets.ISO_8859_1);
    return locks
        .lines()
        .filter(line -> line.contains("->"))
        .map(FileLock::parse)
        .filter(waiting -> waiting.file().equals(lock.file()) && waiting.pid() > 0 && overlap(waiting, lock))
        .map(FileLock::pid)
        .filter(pid -> inventory.nsId(pid).isEmpty())
        .findFirst();
  }

  private static boolean overlap(FileLock a, FileLock b) {
    return (a.flag() == FileLock.FLOCK) == (b.flag() == FileLock.FLOCK)
        && (a.length() == 0 || b.start() < a.start() + a.length())
        && (b.length() == 0 || a.start() < b.start() + b.length());
  }
}
