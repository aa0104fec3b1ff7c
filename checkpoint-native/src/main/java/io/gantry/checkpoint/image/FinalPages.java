package io.gantry.checkpoint.image;

import io.gantry.checkpoint.CheckpointException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * Follows a stream as the destination of a move would, but only takes down where the content of each page of each space is: CRIU's files
 * say what memory holds in the end, and not how it came to hold that. One thread.
 */
final class FinalPages {
  private static final int MAP_PRIVATE = 0x02;
  /** {@code MAP_LOCKED}, and our mark for pages that are locked when they are first touched. */
  private static final int LOCKS = 0x2000 | 1 << 30;
  /** {@code VMA_AREA_HEAP} and {@code VMA_AREA_STACK}: names that the kernel gives, no kinds. */
  private static final int LABELS = 1 << 5 | 1 << 1;

  private final Map<Integer, PageMap> spaces = new HashMap<>();
  private final Map<Integer, round_process> processes = new HashMap<>();
  private final Map<Integer, round_process> toFork = new HashMap<>();

  void begin(round_begin round) {
    var named = new HashSet<Integer>();
    round.getSharedList().forEach(shared -> named.add(shared.getSpace()));
    toFork.clear();
    for (round_process process : round.getProcessesList()) {
      named.add(process.getSpace());
      if (process.getForkFrom() != 0) {
        toFork.put(process.getPid(), process);
        continue;
      }
      var before = processes.put(process.getPid(), process);
      if (before != null && before.getSpace() == process.getSpace()) {
        of(process.getSpace()).keepOnly(kept(before.getMm(), process.getMm()));
      }
    }
    spaces.keySet().retainAll(named);
    processes.values().removeIf(process -> !named.contains(process.getSpace()));
  }

  void fork(int pid) {
    var process = toFork.remove(pid);
    if (process == null) {
      return;
    }
    var parent = processes.get(process.getForkFrom());
    if (parent == null) {
      throw new CheckpointException("process " + pid + " is cloned from " + process.getForkFrom() + ", which the round has not announced");
    }
    var map = of(parent.getSpace()).copy();
    map.keepOnly(kept(parent.getMm(), process.getMm()));
    spaces.put(process.getSpace(), map);
    processes.put(pid, process);
  }

  void pages(int space, PageMap.Run run) {
    of(space).put(run);
  }

  void zero(int space, long address, long pageCount) {
    of(space).put(new PageMap.Run(address, address + pageCount * PagesFile.PAGE_BYTES, Optional.empty(), 0));
  }

  PageMap of(int space) {
    return spaces.computeIfAbsent(space, number -> new PageMap());
  }

  /** What the space of a process holds in the end, as a file of pages has to say it: no zeros where a page that is missing reads so. */
  PageMap ofProcess(round_process process) {
    var map = of(process.getSpace()).copy();
    var ranges = new ArrayList<PageMap.Range>();
    long zerosFrom = 0;
    for (vma_entry vma : process.getMm().getVmasList()) {
      if ((vma.getFlags() & MAP_PRIVATE) != 0 && (vma.getStatus() & VmaImages.WITHOUT_PAGES) == 0) {
        ranges.add(new PageMap.Range(vma.getStart(), vma.getEnd()));
        if (vma.getShmid() != 0) {
          dropZeros(map, zerosFrom, vma.getStart());
          zerosFrom = vma.getEnd();
        }
      }
    }
    dropZeros(map, zerosFrom, Long.MAX_VALUE);
    if (!ranges.isEmpty()) {
      map.keepOnly(ranges);
    }
    return map;
  }

  /** The same for an object of shared memory, where a page that is missing is always one of zeros. */
  PageMap ofShared(shared_memory shared) {
    var map = of(shared.getSpace()).copy();
    dropZeros(map, 0, Long.MAX_VALUE);
    return map;
  }

  private static void dropZeros(PageMap map, long start, long end) {
    for (PageMap.Run run : map.runs()) {
      if (run.file().isEmpty() && run.start() < end && run.end() > start) {
        map.remove(Math.max(start, run.start()), Math.min(end, run.end()));
      }
    }
  }

  /** Where both layouts have a mapping of the same, whose pages stay. */
  private static List<PageMap.Range> kept(mm_entry before, mm_entry now) {
    var kept = new ArrayList<PageMap.Range>();
    var old = mappings(before);
    var fresh = mappings(now);
    int first = 0;
    for (vma_entry vma : fresh) {
      while (first < old.size() && old.get(first).getEnd() <= vma.getStart()) {
        first++;
      }
      for (int i = first; i < old.size() && old.get(i).getStart() < vma.getEnd(); i++) {
        if (sameContent(old.get(i), vma)) {
          kept.add(new PageMap.Range(Math.max(old.get(i).getStart(), vma.getStart()), Math.min(old.get(i).getEnd(), vma.getEnd())));
        }
      }
    }
    return kept;
  }

  private static List<vma_entry> mappings(mm_entry mm) {
    return mm.getVmasList().stream().filter(vma -> (vma.getStatus() & VmaImages.WITHOUT_PAGES) == 0).toList();
  }

  private static boolean sameContent(vma_entry a, vma_entry b) {
    return a.getShmid() == b.getShmid()
        && (a.getFlags() & ~LOCKS) == (b.getFlags() & ~LOCKS)
        && (a.getStatus() & ~LABELS) == (b.getStatus() & ~LABELS)
        && a.getFdflags() == b.getFdflags()
        && (a.getShmid() == 0 || a.getStart() - a.getPgoff() == b.getStart() - b.getPgoff());
  }
}
