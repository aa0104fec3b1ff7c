package io.gantry.checkpoint.memory;

import io.gantry.checkpoint.image.mapped_file;
import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.linux.FileStatus;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * Numbers for the files that processes have mapped or run; a number stays with its path for the whole capture, or with its inode when it has no name any
 * more. One thread.
 */
final class FileTable {
  /** Above all numbers that the descriptors' files get, so that both can be in one image. */
  private static final int FIRST = 1 << 24;

  /** Number of what was there no more when it was looked at. */
  static final int GONE = 1;

  private record Lost(long device, long inode, String name) {}

  private final Map<String, Integer> numbers = new LinkedHashMap<>();
  private final Map<Lost, Integer> lostNumbers = new HashMap<>();
  private final Map<Lost, String> otherNames = new HashMap<>();

  /** Those without a name that this round has found. */
  private final Map<Integer, MappedDeletedFile> deleted = new LinkedHashMap<>();

  private int last = FIRST - 1;

  /** What has no name has to be found again. */
  void beginRound() {
    deleted.clear();
  }

  int numberOf(String path) {
    return numbers.computeIfAbsent(path, name -> ++last);
  }

  /**
   * Of a file that a process has.
   *
   * @param link where in {@code /proc/PID} it can be looked at
   * @param name what the kernel says its name is
   * @return {@link #GONE} when it has been lost meanwhile
   */
  int numberOf(int pid, String link, String name) {
    if (!name.endsWith(AddressSpaceReader.DELETED)) {
      return numberOf(name);
    }
    var found = FileStatus.of("/proc/" + pid + "/" + link);
    if (found.isEmpty()) {
      return GONE;
    }
    var status = found.get();
    var file = new MappedDeletedFile(status.device(), status.inode(), pid, link, MappedDeletedFile.withoutRemark(name), status.size());
    var lost = new Lost(file.device(), file.inode(), name);
    if (status.links() > 0) {
      return numberOf(
          otherName(pid, status, lost)
              .orElseThrow(
                  () -> new CheckpointException("process " + pid + " has mapped a file whose name " + file.name() + " was removed, and none of its "
                      + status.links() + " other names is in that directory; link it there again")));
    }
    int number = lostNumbers.computeIfAbsent(lost, key -> ++last);
    deleted.put(number, file);
    return number;
  }

  private Optional<String> otherName(int pid, FileStatus status, Lost lost) {
    var known = otherNames.get(lost);
    if (known != null && MappedDeletedFile.leadsTo(status, "/proc/" + pid + "/root" + known)) {
      return Optional.of(known);
    }
    var name = MappedDeletedFile.findName(pid, status, lost.name);
    name.ifPresent(path -> otherNames.put(lost, path));
    return name;
  }

  /** Those without a name that were found since {@link #beginRound}. */
  List<MappedDeletedFile> deleted() {
    return List.copyOf(deleted.values());
  }

  /** The one with a number. */
  Optional<MappedDeletedFile> deleted(long number) {
    return Optional.ofNullable(deleted.get((int) number)).filter(file -> number == (int) number);
  }

  /** All files so far, and those without a name that are there. */
  List<mapped_file> entries() {
    var entries = new ArrayList<mapped_file>(numbers.size());
    numbers.forEach((path, number) -> entries.add(mapped_file.newBuilder().setId(number).setName(path).build()));
    deleted.forEach((number, file) -> entries.add(file.toEntry(number)));
    return entries;
  }
}
