package io.gantry.checkpoint.memory;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.image.VmaStatus;
import io.gantry.checkpoint.image.mapped_file;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.FileStatus;
import io.gantry.checkpoint.linux.ProcessVm;
import io.gantry.checkpoint.linux.SyscallNumber;
import io.gantry.checkpoint.memory.StubProvider.Stub;
import io.gantry.checkpoint.procfs.Maps;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * Turns the mappings of a stub into those of a layout, by what differs, so that pages that are there already stay. Private memory is
 * mapped writable meanwhile (unless it never was writable, which decides how the kernel accounts it). On the tracer thread.
 */
final class StubLayout {
  /** Kept free below a stack, more than the kernel's {@code stack_guard_gap} of 256 pages. */
  private static final long STACK_GAP = 4L << 20;

  /** Larger ones stay as they are: copying them would cost more than the chance that a program resizes just those is worth. */
  private static final long MEND_BYTES_MAX = 8L << 20;

  private static final int MEND_STEP_BYTES = 1 << 20;

  private final Stub stub;
  private final Map<Integer, mapped_file> files;
  private final DeletedFiles deletedFiles;
  private final Map<Long, SharedArrival> shared;

  /** Shares pages copy-on-write with the stub it was cloned from, which copying would undo. */
  private final boolean isClone;

  /** What this class has mapped, by address, neighbours joined. */
  private List<Vma> applied = new ArrayList<>();

  /** The layout that was applied last, as it came. */
  private List<Vma> mended = List.of();

  StubLayout(Stub stub, Map<Integer, mapped_file> files, Map<Long, SharedArrival> shared, DeletedFiles deletedFiles) {
    this(stub, files, shared, deletedFiles, false);
  }

  private StubLayout(
      Stub stub, Map<Integer, mapped_file> files, Map<Long, SharedArrival> shared, DeletedFiles deletedFiles, boolean isClone) {
    this.stub = stub;
    this.files = files;
    this.shared = shared;
    this.deletedFiles = deletedFiles;
    this.isClone = isClone;
  }

  /** The layout of a stub that was cloned from this one's. */
  StubLayout cloned(Stub clone) {
    var copy = new StubLayout(clone, files, shared, deletedFiles, true);
    copy.applied = new ArrayList<>(applied);
    return copy;
  }

  List<Vma> applied() {
    return applied;
  }

  /** Unmaps everything that the stub has of its own, except the bench and what the kernel gave it. */
  void clear() {
    var calls = new StubCalls(stub);
    for (var mapping : Maps.read(stub.pid())) {
      boolean bench = mapping.start() < benchEnd() && stub.benchStart() < mapping.end();
      if (!bench && !KernelMappings.isOne(mapping) && !mapping.name().equals("[vsyscall]")) {
        calls.add("munmap", SyscallNumber.MUNMAP, mapping.start(), mapping.end() - mapping.start());
      }
    }
    // Pages are written one by one; a huge page for each would make memory resident that the original has not.
    calls.add("prctl(PR_SET_THP_DISABLE)", SyscallNumber.PRCTL, Mmap.PR_SET_THP_DISABLE, 1, 0, 0, 0);
    calls.run();
    applied = new ArrayList<>();
    mended = List.of();
  }

  private long benchEnd() {
    return stub.benchStart() + stub.benchBytes();
  }

  /**
   * @param written pages that hold memory
   * @param replaced is told about every range whose content is gone
   */
  void apply(List<Vma> layout, PageSet written, PageSet.Runs replaced) {
    var target = AddressSpace.joined(layout);
    moveBenchOutOf(target);
    var keep = new ArrayList<Vma>();
    var calls = new StubCalls(stub);
    for (var old : applied) {
      keepParts(old, target, keep, calls, replaced);
    }
    KernelMappings.place(calls, stub.pid(), target, bytes -> freeRange(bytes, target));
    var missing = new ArrayList<Vma>();
    int at = 0;
    for (var vma : target) {
      if (vma.madeOtherwise()) {
        continue;
      }
      long from = vma.start();
      while (at < keep.size() && keep.get(at).end() <= vma.start()) {
        at++;
      }
      for (int i = at; i < keep.size() && keep.get(i).start() < vma.end(); i++) {
        if (keep.get(i).start() > from) {
          fill(vma, from, keep.get(i).start(), missing, calls);
        }
        from = keep.get(i).end();
      }
      if (from < vma.end()) {
        fill(vma, from, vma.end(), missing, calls);
      }
    }
    map(missing, target, calls);
    calls.run();
    applied = new ArrayList<>(target);
    applied.removeIf(Vma::madeOtherwise);
    if (!isClone && !layout.equals(mended)) {
      mend(layout, written);
      mended = List.copyOf(layout);
    }
  }

  /**
   * Makes a part that is not there: by growing what is kept in front of it, which stays one mapping by that whatever the kernel's rules for
   * joining say, else as a mapping of its own.
   */
  private static void fill(Vma vma, long from, long to, List<Vma> missing, StubCalls calls) {
    if (from > vma.start() && isPlain(vma)) {
      calls.add("mremap " + vma, SyscallNumber.MREMAP, from - Mmap.PAGE, Mmap.PAGE, Mmap.PAGE + (to - from), 0);
    } else {
      missing.add(vma.within(from, to));
    }
  }

  /** Private anonymous memory that is writable while it is built and does not grow by itself. */
  private static boolean isPlain(Vma vma) {
    return vma.hasPrivatePages()
        && vma.object() == 0
        && !vma.huge()
        && (vma.flags() & Mmap.MAP_GROWSDOWN) == 0
        && (protWhileBuilding(vma) & Mmap.PROT_WRITE) != 0;
  }

  /**
   * Makes one mapping of what is one at the source and came to be several here, because the kernel joins neighbours only when their history allows it:
   * a program may move or resize all of it by one {@code mremap}, which fails across mappings.
   */
  private void mend(List<Vma> layout, PageSet written) {
    var mappings = Maps.read(stub.pid());
    int at = 0;
    for (var vma : layout) {
      while (at < mappings.size() && mappings.get(at).end() <= vma.start()) {
        at++;
      }
      if (at < mappings.size() && mappings.get(at).end() < vma.end() && isPlain(vma) && vma.bytes() <= MEND_BYTES_MAX) {
        rebuild(vma, layout, written);
      }
    }
  }

  private void rebuild(Vma vma, List<Vma> layout, PageSet written) {
    long place = freeRange(vma.bytes(), layout);
    var calls = new StubCalls(stub);
    calls.add(
        "mmap of another place for " + vma, SyscallNumber.MMAP, place, vma.bytes(), protWhileBuilding(vma), flagsWhileBuilding(vma), -1, 0);
    calls.run();
    written.intersect(
        vma.start(),
        vma.end(),
        (start, end) -> {
          for (long from = start; from < end; from += MEND_STEP_BYTES) {
            byte[] content = ProcessVm.read(stub.pid(), from, (int) Math.min(MEND_STEP_BYTES, end - from));
            ProcessVm.write(stub.pid(), place + (from - vma.start()), content, content.length);
          }
        });
    calls.add("munmap", SyscallNumber.MUNMAP, vma.start(), vma.bytes());
    calls.add(
        "mremap " + vma, SyscallNumber.MREMAP, place, vma.bytes(), vma.bytes(), Mmap.MREMAP_MAYMOVE | Mmap.MREMAP_FIXED, vma.start());
    calls.run();
  }

  /** What of a mapping can stay, in {@code keep}; the rest is unmapped. */
  private static void keepParts(Vma old, List<Vma> target, List<Vma> keep, StubCalls calls, PageSet.Runs replaced) {
    long from = old.start();
    for (int i = Vma.firstEndingBehind(target, old.start()); i < target.size() && target.get(i).start() < old.end(); i++) {
      var vma = target.get(i);
      if (!vma.madeOtherwise() && vma.sameContentAs(old)) {
        long start = Math.max(old.start(), vma.start());
        long end = Math.min(old.end(), vma.end());
        unmap(from, start, calls, replaced);
        keep.add(vma.within(start, end));
        from = end;
      }
    }
    unmap(from, old.end(), calls, replaced);
  }

  private static void unmap(long start, long end, StubCalls calls, PageSet.Runs replaced) {
    if (start < end) {
      calls.add("munmap", SyscallNumber.MUNMAP, start, end - start);
      replaced.run(start, end);
    }
  }

  private void map(List<Vma> missing, List<Vma> layout, StubCalls calls) {
    var given = new HashMap<Integer, Integer>();
    if (missing.stream().anyMatch(this::isMappedByDescriptor)) {
      // Its calls run at once, and those collected so far have to come first.
      calls.run();
      try (var gift = new DescriptorGift(stub)) {
        for (var vma : missing) {
          if (isMappedByDescriptor(vma)) {
            given.computeIfAbsent(descriptor(vma), gift::give);
          }
        }
      }
    }
    for (var vma : missing) {
      int flags = flagsWhileBuilding(vma);
      if (vma.is(VmaStatus.SYSV_IPC)) {
        SegmentMapping.attach(calls, vma, object(vma), bytes -> freeRange(bytes, layout));
      } else if (isMappedByDescriptor(vma)) {
        flags &= ~Mmap.MAP_ANONYMOUS;
        calls.add("mmap " + vma, SyscallNumber.MMAP, vma.start(), vma.bytes(), protWhileBuilding(vma), flags, given.get(descriptor(vma)), vma.offset());
      } else if (vma.object() != 0) {
        mapFile(vma, flags, calls);
      } else {
        flags |= vma.huge() ? HugePages.mapFlags(vma.status()) : 0;
        calls.add("mmap " + vma, SyscallNumber.MMAP, vma.start(), vma.bytes(), protWhileBuilding(vma), flags, -1, 0);
      }
    }
    given.values().forEach(descriptor -> calls.add("close", SyscallNumber.CLOSE, descriptor));
  }

  private boolean isMappedByDescriptor(Vma vma) {
    return vma.fromSharedObject() ? !vma.is(VmaStatus.SYSV_IPC) : vma.object() != 0 && file(vma.object()).hasDeleted();
  }

  /** The agent's; so that a mapping can be made writable exactly when the original could. */
  private int descriptor(Vma vma) {
    return vma.fromSharedObject() ? object(vma).descriptorFor(vma) : deletedFiles.descriptor(file(vma.object()), vma.openFlags() == Fd.O_RDWR);
  }

  private SharedArrival object(Vma vma) {
    var object = shared.get(vma.object());
    if (object == null) {
      throw new CheckpointException("the round names no shared object for mapping " + vma);
    }
    return object;
  }

  private void mapFile(Vma vma, int flags, StubCalls calls) {
    String path = deletedFiles.whereNow(file(vma.object()).getName());
    var batch = calls.room(3, path.length() * 3 + 32);
    var open =
        batch.call("open(\"" + path + "\")", SyscallNumber.OPENAT, Fd.AT_FDCWD, batch.string(path), vma.openFlags() | Fd.O_CLOEXEC, 0);
    batch
        .call("mmap of " + path + ", " + vma, SyscallNumber.MMAP, vma.start(), vma.bytes(), protWhileBuilding(vma), flags, 0, vma.offset())
        .link(4, open);
    batch.call("close", SyscallNumber.CLOSE, 0).link(0, open);
  }

  mapped_file file(long number) {
    var file = files.get((int) number);
    if (file == null) {
      throw new CheckpointException("the round names no file with number " + number);
    }
    return file;
  }

  /** What {@link LayoutCheck} is to find for a mapping of a file. */
  String mapsName(Vma vma) {
    var file = file(vma.object());
    return file.hasDeleted() ? LayoutCheck.deleted(FileStatus.of(descriptor(vma))) : file.getName();
  }

  /** Flags for {@code mmap}: locks and seals come with {@link LayoutFinish}, and nothing that is there is replaced. */
  private static int flagsWhileBuilding(Vma vma) {
    return vma.flags() & ~(Mmap.MAP_LOCKED | Mmap.LOCK_ON_FAULT | Mmap.SEALED) | Mmap.MAP_FIXED_NOREPLACE;
  }

  /** How a mapping is protected until {@link LayoutFinish}. */
  static int protWhileBuilding(Vma vma) {
    boolean private_ = (vma.flags() & (Mmap.MAP_PRIVATE | Mmap.MAP_DROPPABLE)) != 0;
    return private_ && !vma.is(VmaStatus.NOT_ACCOUNTABLE) && !vma.shared() ? Mmap.PROT_READ | Mmap.PROT_WRITE : vma.prot();
  }

  private void moveBenchOutOf(List<Vma> target) {
    long start = stub.benchStart() - Mmap.PAGE;
    long end = benchEnd() + Mmap.PAGE;
    for (var vma : target) {
      if (start < vma.end() && reach(vma) < end) {
        stub.moveBench(freeRange(stub.benchBytes(), target));
        return;
      }
    }
  }

  private static long reach(Vma vma) {
    return (vma.flags() & Mmap.MAP_GROWSDOWN) != 0 ? vma.start() - STACK_GAP : vma.start();
  }

  /** The lowest range that is free now and in the target. */
  private long freeRange(long bytes, List<Vma> target) {
    long candidate = Mmap.ADDRESS_MIN;
    var occupied = new ArrayList<long[]>();
    target.forEach(vma -> occupied.add(new long[] {reach(vma), vma.end()}));
    Maps.read(stub.pid()).forEach(mapping -> occupied.add(new long[] {mapping.start(), mapping.end()}));
    occupied.add(new long[] {stub.benchStart(), benchEnd()});
    occupied.sort((a, b) -> Long.compareUnsigned(a[0], b[0]));
    for (var range : occupied) {
      if (range[0] < 0 || candidate + bytes + Mmap.PAGE <= range[0]) {
        break;
      }
      candidate = Math.max(candidate, range[1] + Mmap.PAGE);
    }
    if (candidate + bytes > Mmap.ADDRESS_END) {
      throw new CheckpointException("process " + stub.pid() + " has no room for " + bytes + " bytes of scratch memory");
    }
    return candidate;
  }
}
