package io.gantry.checkpoint.memory;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.image.VmaStatus;
import io.gantry.checkpoint.linux.SyscallNumber;
import io.gantry.checkpoint.procfs.Maps.Mapping;
import io.gantry.checkpoint.procfs.Maps;
import java.util.ArrayList;
import java.util.List;

/**
 * Moves the mappings that the kernel gave a stub (vdso, vvar, vvar_vclock) to where the original has them. The kernel follows the
 * vdso when it is moved whole ({@code arch/x86/entry/vdso/vma.c}, {@code vdso_mremap}). On the tracer thread.
 */
final class KernelMappings {
  private KernelMappings() {}

  static boolean isOne(Mapping mapping) {
    return mapping.name().equals("[vdso]") || mapping.name().startsWith("[vvar");
  }

  /** @param free whether a range is free both in the stub as it is and in the layout that it will have */
  static void place(StubCalls calls, int pid, List<Vma> target, FreeRange free) {
    var now = Maps.read(pid).stream().filter(KernelMappings::isOne).toList();
    var wanted = target.stream().filter(vma -> vma.is(VmaStatus.KERNEL)).toList();
    if (!fits(now, wanted)) {
      throw new CheckpointException(
          "the kernel of this host gives processes other vdso and vvar mappings (" + now + ") than the process has (" + wanted
              + "); move between hosts with the same kernel");
    }
    var from = new ArrayList<Long>();
    boolean inPlace = true;
    boolean collide = false;
    for (int i = 0; i < now.size(); i++) {
      from.add(now.get(i).start());
      inPlace &= now.get(i).start() == wanted.get(i).start();
      for (var other : now) {
        collide |= other.start() < wanted.get(i).end() && wanted.get(i).start() < other.end();
      }
    }
    if (inPlace) {
      return;
    }
    if (collide) {
      // Step aside first, so that no piece lands on one that has not moved yet.
      long total = now.getLast().end() - now.getFirst().start();
      long aside = free.find(total);
      for (int i = 0; i < now.size(); i++) {
        long to = aside + now.get(i).start() - now.getFirst().start();
        move(calls, from.get(i), to, wanted.get(i).bytes());
        from.set(i, to);
      }
    }
    for (int i = 0; i < wanted.size(); i++) {
      move(calls, from.get(i), wanted.get(i).start(), wanted.get(i).bytes());
    }
  }

  private static boolean fits(List<Mapping> now, List<Vma> wanted) {
    if (now.size() != wanted.size()) {
      return false;
    }
    for (int i = 0; i < now.size(); i++) {
      boolean vdso = now.get(i).name().equals("[vdso]");
      if (vdso != wanted.get(i).is(VmaStatus.VDSO) || now.get(i).end() - now.get(i).start() != wanted.get(i).bytes()) {
        return false;
      }
    }
    return true;
  }

  private static void move(StubCalls calls, long from, long to, long bytes) {
    calls.add("mremap of a kernel mapping", SyscallNumber.MREMAP, from, bytes, bytes, Mmap.MREMAP_MAYMOVE | Mmap.MREMAP_FIXED, to);
  }

  /** Finds room in an address space. */
  @FunctionalInterface
  interface FreeRange {
    long find(long bytes);
  }
}
