package io.gantry.checkpoint.memory;

import static org.assertj.core.api.Assertions.assertThat;

import io.gantry.checkpoint.linux.ProcMem;
import io.gantry.checkpoint.procfs.Maps;
import io.gantry.checkpoint.procfs.MmFields;
import io.gantry.checkpoint.procfs.VmFlags;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;

/** Compares the memory of two stopped processes, as the kernel shows it. */
final class Likeness {
  private static final long FLAGS =
      VmFlags.GROWS_DOWN | VmFlags.LOCKED | VmFlags.SEQUENTIAL | VmFlags.RANDOM | VmFlags.DONT_FORK | VmFlags.ACCOUNTED
          | VmFlags.NO_RESERVE | VmFlags.WIPE_ON_FORK | VmFlags.DONT_DUMP | VmFlags.HUGE_PAGE | VmFlags.NO_HUGE_PAGE
          | VmFlags.MERGEABLE | VmFlags.DROPPABLE;

  private Likeness() {}

  /** One line for each page run with the same properties, neighbours joined. */
  static List<String> layout(int pid, long benchStart, long benchEnd) {
    var flags = VmFlags.read(pid);
    var lines = new ArrayList<String>();
    String last = "";
    long start = 0;
    long end = 0;
    for (var mapping : Maps.read(pid)) {
      if (mapping.start() < benchEnd && benchStart < mapping.end() || mapping.name().equals("[vsyscall]")) {
        continue;
      }
      long bits = flags.of(mapping.start(), mapping.end());
      // May write is only a property of its own on shared mappings.
      long compared = bits & (FLAGS | (mapping.shared() ? VmFlags.MAY_WRITE : 0));
      String what =
          mapping.prot() + (mapping.shared() ? "s " : "p ") + Long.toHexString(compared)
              + (mapping.inode() == 0 ? " " + mapping.name() : " " + mapping.name() + " base " + Long.toHexString(mapping.start() - mapping.offset()));
      if (what.equals(last) && mapping.start() == end) {
        end = mapping.end();
      } else {
        if (end != 0) {
          lines.add(Long.toHexString(start) + "-" + Long.toHexString(end) + " " + last);
        }
        last = what;
        start = mapping.start();
        end = mapping.end();
      }
    }
    lines.add(Long.toHexString(start) + "-" + Long.toHexString(end) + " " + last);
    return lines;
  }

  static void assertAlike(int source, StubProvider.Stub stub) {
    int pid = stub.pid();
    assertThat(layout(pid, stub.benchStart(), stub.benchStart() + stub.benchBytes())).isEqualTo(layout(source, 0, 0));
    assertThat(MmFields.read(pid)).isEqualTo(MmFields.read(source));
    assertSameBytes(source, pid);
  }

  /** Every page that either has, or that shows a file, byte for byte; unreadable ones must be unreadable in both. */
  static long assertSameBytes(int source, int pid) {
    long compared = 0;
    try (var regions = new RegionScan();
        var here = new SpaceTracker(source, 1, regions, new FileTable());
        var there = new SpaceTracker(pid, 2, regions, new FileTable());
        var mine = ProcMem.open(source);
        var theirs = ProcMem.open(pid);
        var arena = Arena.ofConfined()) {
      here.readLayout(false);
      there.readLayout(false);
      var pages = here.content();
      there.content().forEach(pages::add);
      for (var mapping : Maps.read(source)) {
        if (mapping.inode() != 0) {
          pages.add(mapping.start(), mapping.end());
        }
      }
      var one = arena.allocate(4096);
      var other = arena.allocate(4096);
      var runs = new ArrayList<long[]>();
      pages.forEach((start, end) -> runs.add(new long[] {start, end}));
      for (long[] run : runs) {
        for (long at = run[0]; at < run[1]; at += 4096) {
          boolean bench = at < 0x70000;
          long read = mine.tryRead(at, one.fill((byte) 0));
          long readThere = theirs.tryRead(at, other.fill((byte) 0));
          if (!bench) {
            assertThat(readThere).as("page %x", at).isEqualTo(read);
            assertThat(one.mismatch(other)).as("first different byte of page %x", at).isEqualTo(-1);
            compared++;
          }
        }
      }
    }
    return compared;
  }
}
