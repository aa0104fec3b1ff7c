package io.gantry.checkpoint.memory;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.image.VmaStatus;
import io.gantry.checkpoint.linux.FileStatus;
import io.gantry.checkpoint.memory.StubProvider.Stub;
import io.gantry.checkpoint.procfs.Maps;
import java.util.ArrayList;
import java.util.List;

/** Compares what the kernel says of a finished stub with what was wanted. */
final class LayoutCheck {
  private static final String LOST = "deleted file ";

  private LayoutCheck() {}

  /** What {@code /proc/PID/maps} shows, as far as it is compared. {@code name} is empty where the kernel only labels. */
  private record Line(long start, long end, int prot, boolean shared, long offset, String name) {
    @Override
    public String toString() {
      return Long.toHexString(start) + "-" + Long.toHexString(end) + " prot " + prot + (shared ? " shared" : " private")
          + (name.isEmpty() ? "" : " " + name + " at 0x" + Long.toHexString(offset));
    }
  }

  /** Maps the object of a mapping to its name in {@code /proc/PID/maps}. */
  @FunctionalInterface
  interface Names {
    String of(Vma vma);
  }

  /** @throws CheckpointException with the first difference */
  static void check(Stub stub, List<Vma> wanted, Names names) {
    var expected = new ArrayList<Line>();
    var lost = new ArrayList<Vma>(0);
    for (var vma : wanted) {
      if (!vma.is(VmaStatus.GUARD)) {
        String name = vma.is(VmaStatus.KERNEL) ? (vma.is(VmaStatus.VDSO) ? "[vdso]" : "[vvar]") : vma.object() == 0 ? "" : names.of(vma);
        if (vma.is(VmaStatus.AIO_RING)) {
          name = AioRing.NAME + AddressSpaceReader.DELETED;
        }
        if (name.startsWith(LOST)) {
          lost.add(vma);
        }
        add(expected, new Line(vma.start(), vma.end(), vma.prot(), vma.shared(), vma.object() == 0 ? 0 : vma.offset(), name));
      }
    }
    var actual = new ArrayList<Line>();
    for (var mapping : Maps.read(stub.pid())) {
      boolean bench = mapping.start() < stub.benchStart() + stub.benchBytes() && stub.benchStart() < mapping.end();
      if (!bench && !mapping.name().equals("[vsyscall]")) {
        boolean kernel = KernelMappings.isOne(mapping);
        boolean anonymous = mapping.inode() == 0 || !mapping.shared() && mapping.name().startsWith(HugePages.ANONYMOUS);
        String name = kernel ? (mapping.name().equals("[vdso]") ? "[vdso]" : "[vvar]") : anonymous ? "" : name(stub, mapping, lost);
        add(actual, new Line(mapping.start(), mapping.end(), mapping.prot(), mapping.shared(), anonymous ? 0 : mapping.offset(), name));
      }
    }
    for (int i = 0; i < Math.max(expected.size(), actual.size()); i++) {
      String want = i < expected.size() ? expected.get(i).toString() : "nothing";
      String have = i < actual.size() ? actual.get(i).toString() : "nothing";
      if (!want.equals(have)) {
        throw new CheckpointException(
            "the address space of the process being built (" + stub.pid() + ") differs: " + have + " where " + want + " should be");
      }
    }
  }

  /** A file without a name is known by its inode: it may have had to be made under another one. */
  static String deleted(FileStatus status) {
    return LOST + status.device() + ":" + status.inode();
  }

  private static String name(Stub stub, Maps.Mapping mapping, List<Vma> lost) {
    if (lost.stream().noneMatch(vma -> vma.start() < mapping.end() && mapping.start() < vma.end())) {
      return mapping.name();
    }
    return FileStatus.of("/proc/" + stub.pid() + "/map_files/" + mapping.link()).filter(status -> status.links() == 0).map(LayoutCheck::deleted)
        .orElse(mapping.name());
  }

  /** Adjacent mappings that look alike are one: the kernel joins them or not depending on their history. */
  private static void add(List<Line> lines, Line line) {
    if (!lines.isEmpty()) {
      var last = lines.getLast();
      boolean alike = last.end == line.start && last.prot == line.prot && last.shared == line.shared && last.name.equals(line.name);
      if (alike && (line.name.isEmpty() || last.offset + (last.end - last.start) == line.offset)) {
        lines.set(lines.size() - 1, new Line(last.start, line.end, last.prot, last.shared, last.offset, last.name));
        return;
      }
    }
    lines.add(line);
  }
}
