package io.gantry.checkpoint.shm;

import io.gantry.checkpoint.linux.FileStatus;
import io.gantry.checkpoint.linux.FileSystemType;
import io.gantry.checkpoint.linux.FileSystemUse;
import io.gantry.checkpoint.procfs.Maps.Mapping;
import java.util.Optional;

/**
 * The tmpfs that a container has on {@code /dev/shm}, as this process reaches it. Any thread.
 *
 * @param directory its root, through {@code /proc/PID/root}
 * @param device {@code st_dev} of its files
 */
public record ContainerShm(String directory, long device) {
  /** Where every container has it. */
  public static final String PATH = "/dev/shm";

  private static final String BELOW = PATH + "/";
  /** A new tmpfs has its root directory. */
  private static final int INODES_WHEN_EMPTY = 1;

  /** Empty for a process that has this process's own, or none. @param pid as this process counts */
  public static Optional<ContainerShm> of(int pid) {
    String directory = "/proc/" + pid + "/root" + PATH;
    var status = FileStatus.of(directory);
    if (status.isEmpty() || FileStatus.of(PATH).filter(own -> own.device() == status.get().device()).isPresent()) {
      return Optional.empty();
    }
    return FileSystemUse.of(directory)
        .filter(use -> use.type() == FileSystemType.TMPFS)
        .map(use -> new ContainerShm(directory, status.get().device()));
  }

  /** Whether the name of a mapping, or of a descriptor, may be that of a file in it; whether it is, its device tells. */
  public static boolean mayHold(String name) {
    return name.startsWith(BELOW);
  }

  /** Whether a mapping shows a file of it. */
  public boolean holds(Mapping mapping) {
    return mapping.inode() != 0 && mayHold(mapping.name()) && mapping.device() == asInMaps(device);
  }

  /** {@code new_encode_dev} of {@code linux/kdev_t.h} is what {@code stat(2)} gives; maps show major and minor number apart. */
  private static long asInMaps(long device) {
    return (device >> 8 & 0xfff) << 32 | device & 0xff | device >> 12 & 0xfff00;
  }

  /** Whether certainly nothing is in it, named or not. One system call. */
  public boolean isEmpty() {
    return FileSystemUse.of(directory).filter(use -> use.inodes().orElse(Long.MAX_VALUE) > INODES_WHEN_EMPTY).isEmpty();
  }

  /** Bytes that its files take. */
  public long usedBytes() {
    return FileSystemUse.of(directory).map(FileSystemUse::bytes).orElse(0L);
  }
}
