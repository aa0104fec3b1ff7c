package io.gantry.checkpoint.memory;

import io.gantry.checkpoint.image.VmaStatus;
import io.gantry.checkpoint.linux.FileStatus;
import io.gantry.checkpoint.procfs.Link;
import io.gantry.checkpoint.procfs.Maps.Mapping;
import io.gantry.checkpoint.procfs.Maps;
import io.gantry.checkpoint.procfs.MmFields;
import io.gantry.checkpoint.procfs.VmFlags;
import io.gantry.checkpoint.shm.ContainerShm;
import io.gantry.checkpoint.shm.ShmTree;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;

/**
 * Reads the layout of one process from outside, stopped or not. {@code smaps}, which has advice, locks and seals, makes the kernel walk
 * the page tables; it is read in every pre-copy round, and in the freeze only when the process has mappings that the last reading did
 * not have. An advice given to a whole unchanged mapping between the last round and the freeze is therefore found only then.
 *
 * <p>One thread.
 */
final class AddressSpaceReader {
  static final String SHARED_ANONYMOUS = "/dev/zero (deleted)";
  static final String MEMFD = "/memfd:";
  static final String SEGMENT = "/SYSV";
  static final String DELETED = " (deleted)";

  private static final Map<Long, Integer> ADVICE = advice();

  private final int pid;
  private final FileTable files;
  private VmFlags known;
  private MmFields fields;
  private int exeFile;
  /** Empty until a mapping asks for it. */
  private Optional<ContainerShm> shm = Optional.empty();

  AddressSpaceReader(int pid, FileTable files) {
    this.pid = pid;
    this.files = files;
  }

  private static Map<Long, Integer> advice() {
    var map = new TreeMap<Long, Integer>();
    map.put(VmFlags.RANDOM, Mmap.MADV_RANDOM);
    map.put(VmFlags.SEQUENTIAL, Mmap.MADV_SEQUENTIAL);
    map.put(VmFlags.DONT_FORK, Mmap.MADV_DONTFORK);
    map.put(VmFlags.MERGEABLE, Mmap.MADV_MERGEABLE);
    map.put(VmFlags.HUGE_PAGE, Mmap.MADV_HUGEPAGE);
    map.put(VmFlags.NO_HUGE_PAGE, Mmap.MADV_NOHUGEPAGE);
    map.put(VmFlags.DONT_DUMP, Mmap.MADV_DONTDUMP);
    map.put(VmFlags.WIPE_ON_FORK, Mmap.MADV_WIPEONFORK);
    return map;
  }

  /** Everything, freshly read; for a process that runs. */
  AddressSpace read() {
    known = VmFlags.read(pid);
    return layout(known.mappings());
  }

  /** For a frozen process: only what is cheap, unless there are mappings that are not known yet. */
  AddressSpace readFrozen() {
    var mappings = Maps.read(pid);
    if (known == null || !allKnown(mappings)) {
      known = VmFlags.read(pid);
    }
    return layout(mappings);
  }

  private boolean allKnown(List<Mapping> mappings) {
    for (var mapping : mappings) {
      if (!mapping.name().equals("[vsyscall]") && known.of(mapping.start(), mapping.end()) < 0) {
        return false;
      }
    }
    return true;
  }

  private AddressSpace layout(List<Mapping> mappings) {
    var vmas = new ArrayList<Vma>(mappings.size());
    for (var mapping : mappings) {
      if (!mapping.name().equals("[vsyscall]")) {
        vmas.add(vma(mapping, Math.max(0, known.of(mapping.start(), mapping.end()))));
      }
    }
    fields = MmFields.read(pid);
    exeFile = files.numberOf(pid, "exe", Link.read(pid, "exe").orElse(""));
    return new AddressSpace(vmas, fields, exeFile);
  }

  private Vma vma(Mapping mapping, long bits) {
    int status = isInOwnShm(mapping) ? ownFile(mapping) : status(mapping) | huge(mapping, bits);
    boolean isHuge = (status & (VmaStatus.HUGE_2M | VmaStatus.HUGE_1G)) != 0;
    long object = 0;
    if ((status & VmaStatus.OWN_TMPFS) != 0) {
      object = mapping.inode() | ShmTree.FILE;
    } else if ((status & (VmaStatus.ANON_SHARED | VmaStatus.MEMFD)) != 0) {
      // Of a segment it is the id (ipc/shm.c, newseg).
      object = (status & VmaStatus.SYSV_IPC) != 0 ? mapping.inode() | Vma.SEGMENT : isHuge ? mapping.inode() | Vma.HUGE : mapping.inode();
    } else if ((status & (VmaStatus.FILE_PRIVATE | VmaStatus.FILE_SHARED)) != 0) {
      object = files.numberOf(pid, "map_files/" + mapping.link(), mapping.name());
    }
    int flags = flags(mapping, status, bits);
    boolean writable = (mapping.prot() & Maps.WRITE) != 0;
    if (!mapping.shared() && !writable && !isHuge && (bits & VmFlags.ACCOUNTED) == 0) {
      status |= VmaStatus.NOT_ACCOUNTABLE;
    }
    boolean openForWriting = mapping.shared() && object != 0 && (bits & VmFlags.MAY_WRITE) != 0;
    return new Vma(
        mapping.start(),
        mapping.end(),
        object == 0 ? 0 : mapping.offset(),
        object,
        mapping.prot(),
        flags,
        status,
        (status & VmaStatus.KERNEL) != 0 ? 0 : adviceOf(bits),
        openForWriting ? io.gantry.checkpoint.linux.Fd.O_RDWR : io.gantry.checkpoint.linux.Fd.O_RDONLY);
  }

  private int huge(Mapping mapping, long bits) {
    if ((bits & VmFlags.HUGE_TLB) == 0) {
      return 0;
    }
    return HugePages.status(FileStatus.of("/proc/" + pid + "/map_files/" + mapping.link()).map(FileStatus::blockBytes).orElse(0L));
  }

  private boolean isInOwnShm(Mapping mapping) {
    if (!ContainerShm.mayHold(mapping.name())) {
      return false;
    }
    if (shm.isEmpty()) {
      shm = ContainerShm.of(pid);
    }
    return shm.filter(own -> own.holds(mapping)).isPresent();
  }

  private static int ownFile(Mapping mapping) {
    return VmaStatus.REGULAR | VmaStatus.OWN_TMPFS | (mapping.shared() ? VmaStatus.FILE_SHARED : VmaStatus.FILE_PRIVATE);
  }

  private static int status(Mapping mapping) {
    String name = mapping.name();
    if (name.equals("[vdso]")) {
      return VmaStatus.REGULAR | VmaStatus.VDSO;
    }
    if (name.startsWith("[vvar")) {
      return VmaStatus.REGULAR | VmaStatus.VVAR;
    }
    if (name.startsWith(AioRing.NAME)) {
      return VmaStatus.REGULAR | VmaStatus.AIO_RING;
    }
    if (name.startsWith(MEMFD)) {
      return VmaStatus.REGULAR | VmaStatus.MEMFD | (mapping.shared() ? VmaStatus.FILE_SHARED : VmaStatus.FILE_PRIVATE);
    }
    if (name.startsWith(SEGMENT) && name.endsWith(DELETED) && mapping.shared()) {
      return VmaStatus.REGULAR | VmaStatus.ANON_SHARED | VmaStatus.SYSV_IPC;
    }
    if (name.startsWith(HugePages.ANONYMOUS) && name.endsWith(DELETED)) {
      return VmaStatus.REGULAR | (mapping.shared() ? VmaStatus.ANON_SHARED : VmaStatus.ANON_PRIVATE);
    }
    if (mapping.inode() != 0) {
      if (mapping.shared()) {
        return VmaStatus.REGULAR | (name.equals(SHARED_ANONYMOUS) ? VmaStatus.ANON_SHARED : VmaStatus.FILE_SHARED);
      }
      return VmaStatus.REGULAR | VmaStatus.FILE_PRIVATE;
    }
    int special = name.equals("[heap]") ? VmaStatus.HEAP : name.equals("[stack]") ? VmaStatus.STACK : 0;
    return VmaStatus.REGULAR | VmaStatus.ANON_PRIVATE | special;
  }

  private static int flags(Mapping mapping, int status, long bits) {
    int flags = mapping.shared() ? Mmap.MAP_SHARED : Mmap.MAP_PRIVATE;
    if ((status & (VmaStatus.ANON_PRIVATE | VmaStatus.ANON_SHARED)) != 0) {
      flags |= Mmap.MAP_ANONYMOUS;
    }
    if ((bits & VmFlags.DROPPABLE) != 0) {
      flags = flags & ~Mmap.MAP_PRIVATE | Mmap.MAP_DROPPABLE;
    }
    if ((status & VmaStatus.KERNEL) == 0) {
      flags |= (bits & VmFlags.GROWS_DOWN) != 0 ? Mmap.MAP_GROWSDOWN : 0;
      flags |= (bits & VmFlags.NO_RESERVE) != 0 ? Mmap.MAP_NORESERVE : 0;
      flags |= (bits & VmFlags.LOCKED) != 0 ? Mmap.MAP_LOCKED : 0;
      flags |= (bits & VmFlags.LOCK_ON_FAULT) != 0 ? Mmap.LOCK_ON_FAULT : 0;
      flags |= (bits & VmFlags.SEALED) != 0 ? Mmap.SEALED : 0;
    }
    return flags;
  }

  private static long adviceOf(long bits) {
    long advice = 0;
    for (var entry : ADVICE.entrySet()) {
      if ((bits & entry.getKey()) != 0) {
        advice |= 1L << entry.getValue();
      }
    }
    return advice;
  }
}
