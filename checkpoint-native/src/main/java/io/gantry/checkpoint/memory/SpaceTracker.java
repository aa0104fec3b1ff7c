package io.gantry.checkpoint.memory;

import static io.gantry.checkpoint.linux.PagemapScan.GUARD;
import static io.gantry.checkpoint.linux.PagemapScan.PFNZERO;
import static io.gantry.checkpoint.linux.PagemapScan.PRESENT;
import static io.gantry.checkpoint.linux.PagemapScan.SWAPPED;
import static io.gantry.checkpoint.linux.PagemapScan.WRITTEN;
import static io.gantry.checkpoint.memory.ScanQueries.ABSENT_ANONYMOUS;
import static io.gantry.checkpoint.memory.ScanQueries.CONTENT_ANONYMOUS;
import static io.gantry.checkpoint.memory.ScanQueries.CONTENT_BACKED;
import static io.gantry.checkpoint.memory.ScanQueries.COUNT_WRITTEN;
import static io.gantry.checkpoint.memory.ScanQueries.FROZEN_ANONYMOUS;
import static io.gantry.checkpoint.memory.ScanQueries.GUARDS;
import static io.gantry.checkpoint.memory.ScanQueries.UNCHANGED;
import static io.gantry.checkpoint.memory.ScanQueries.WRITTEN_ANONYMOUS;
import static io.gantry.checkpoint.memory.ScanQueries.WRITTEN_BACKED;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.linux.Errno;
import io.gantry.checkpoint.linux.PagemapScan;
import io.gantry.checkpoint.linux.Userfaultfd;
import io.gantry.checkpoint.memory.PageSet.Runs;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.Predicate;

/**
 * Private pages of one address space: which ones the destination has, and which were written, dropped or added since.
 *
 * <p>Only pages that exist are write-protected (by the scan that reports them), so neither reservations of hundreds of GiB nor sparse
 * mappings cost anything, in time or page tables: a page that appears later is found because it is present and not protected.
 * What is sent is what is present and written, what is zeroed is what was sent and is present no more.
 *
 * <p>The page map and the userfaultfd belong to the address space, not to the process: after an exec every scan says that it is gone.
 * One thread.
 */
final class SpaceTracker implements AutoCloseable {
  /** Type of a page-table marker in a page map entry: the highest of the 32 swap types ({@code linux/swap.h}). */
  private static final int MARKER_TYPE = 31;

  private final int pid;
  private final int space;
  private final RegionScan regions;
  private final PagemapScan scan;
  private final ProcessPages pages;
  private final AddressSpaceReader reader;
  private final MemorySegment entries = Arena.ofAuto().allocate(64 * 1024, 8);
  private Optional<Userfaultfd> tracking = Optional.empty();
  private AddressSpace layout;
  private List<Vma> tracked = List.of();
  private List<Group> groups = List.of();

  /** What the destination has. */
  private final PageSet sent = new PageSet();

  /** Protected by a scan, but outside of the layout that was read before it, so not sent: due when a layout has them. */
  private final PageSet pending = new PageSet();

  /**
   * What was sent since the round before. A device writes into pages without the page table, so also into one that was protected, and
   * sent, after the device had been asked to ({@code O_DIRECT}, {@code io_submit(2)}). Where that may happen, each page is sent twice.
   */
  private PageSet unsettled = new PageSet();

  /** Whether it has files open past the page cache. */
  private boolean direct;

  /** Neighbouring private mappings that one scan can cover. */
  private record Group(long start, long end, boolean backed, boolean huge) {}

  SpaceTracker(int pid, int space, RegionScan regions, FileTable files) {
    this.pid = pid;
    this.space = space;
    this.regions = regions;
    this.reader = new AddressSpaceReader(pid, files);
    this.scan = PagemapScan.open(pid);
    try {
      this.pages = new ProcessPages(pid, scan);
    } catch (CheckpointException e) {
      scan.close();
      throw e;
    }
  }

  int pid() {
    return pid;
  }

  int space() {
    return space;
  }

  AddressSpace layout() {
    return layout;
  }

  PageSet sent() {
    return sent;
  }

  ProcessPages pages() {
    return pages;
  }

  boolean armed() {
    return tracking.isPresent();
  }

  void arm(Userfaultfd userfaultfd) {
    tracking = Optional.of(userfaultfd);
  }

  /** The process has files open past the page cache, or has none any more. */
  void direct(boolean now) {
    direct = now;
  }

  private boolean isDirect() {
    return direct || AioContexts.has(layout);
  }

  /** Whether the process still has this address space. */
  boolean alive() {
    return scan.isAlive();
  }

  /** Reads the layout again and forgets what the destination loses by it. */
  void readLayout(boolean frozen) {
    var before = tracked;
    use(frozen ? reader.readFrozen() : reader.read());
    long end = 0;
    for (var vma : tracked) {
      sent.remove(end, vma.start());
      end = vma.end();
    }
    sent.remove(end, Mmap.ADDRESS_END);
    forgetReplaced(before);
  }

  private void use(AddressSpace now) {
    layout = now;
    tracked = layout.vmas().stream().filter(Vma::hasPrivatePages).toList();
    groups = groups();
    pages.witnesses().watch(tracked);
  }

  /** Treats some mappings as if they were not there; for those that cannot be described. The next layout may have them again. */
  void leaveOut(Predicate<Vma> which) {
    var out = layout.vmas().stream().filter(which).toList();
    if (!out.isEmpty()) {
      out.stream().filter(Vma::hasPrivatePages).forEach(vma -> sent.remove(vma.start(), vma.end(), pending::add));
      use(new AddressSpace(layout.vmas().stream().filter(which.negate()).toList(), layout.fields(), layout.exeFile()));
    }
  }

  private void forgetReplaced(List<Vma> before) {
    int old = 0;
    for (var vma : tracked) {
      while (old < before.size() && before.get(old).end() <= vma.start()) {
        old++;
      }
      for (int i = old; i < before.size() && before.get(i).start() < vma.end(); i++) {
        if (!vma.sameContentAs(before.get(i))) {
          // Pages may have been sent, and protected, after the change but under the old layout: the destination loses them, and
          // no scan reports them again.
          sent.remove(Math.max(vma.start(), before.get(i).start()), Math.min(vma.end(), before.get(i).end()), pending::add);
        }
      }
    }
  }

  private List<Group> groups() {
    var all = new ArrayList<Group>();
    Group open = null;
    for (var vma : layout.vmas()) {
      if (!vma.hasPrivatePages()) {
        open = null;
      } else if (open != null && open.backed == vma.backed() && open.huge == vma.huge()) {
        open = new Group(open.start, vma.end(), open.backed, open.huge);
        all.set(all.size() - 1, open);
      } else {
        open = new Group(vma.start(), vma.end(), vma.backed(), vma.huge());
        all.add(open);
      }
    }
    return all;
  }

  /**
   * Registers what is not registered yet. The process need not be stopped: what is registered ends only where a mapping begins or ends that stays where
   * it is, because a boundary inside a mapping that has come since the layout was read would split it, and a split mapping cannot be moved or
   * resized as a whole any more ({@code man 2 mremap}, EFAULT). Mappings that come later are not reported by scans until they are registered.
   */
  void register() {
    long from = Mmap.ADDRESS_MIN;
    for (var vma : layout.vmas()) {
      if (!vma.trackable()) {
        register(from, vma.start());
        from = vma.end();
      }
    }
    register(from, Mmap.ADDRESS_END);
  }

  private void register(long start, long end) {
    int first = Vma.firstEndingBehind(tracked, start);
    if (first < tracked.size() && tracked.get(first).start() < end && tracking.orElseThrow().register(start, end - start) != 0) {
      // Something in between cannot be tracked after all: the others one by one.
      for (int i = first; i < tracked.size() && tracked.get(i).start() < end; i++) {
        registerAlone(tracked.get(i));
      }
    }
  }

  private void registerAlone(Vma vma) {
    if (tracking.orElseThrow().register(vma.start(), vma.bytes()) == -Errno.EBUSY) {
      throw new CheckpointException(
          "memory " + vma + " of process " + pid + " is watched by a userfaultfd of the program itself, so its writes cannot be tracked");
    }
    // Anything else means that the mapping has changed meanwhile; the next round reads the layout again.
  }

  /** Tells about sent pages that are there no more. In backed mappings they show the file again. */
  boolean dropped(Runs zero, Runs fromFile) {
    for (var group : groups) {
      boolean there = group.backed ? droppedBacked(group, fromFile) : droppedAnonymous(group, zero);
      if (!there) {
        return false;
      }
    }
    return true;
  }

  private boolean droppedAnonymous(Group group, Runs zero) {
    return regions.run(
        scan,
        group.start,
        group.end,
        ABSENT_ANONYMOUS,
        (start, end, categories) -> {
          if ((categories & SWAPPED) == 0 || (categories & GUARD) != 0) {
            sent.remove(start, end, zero);
          }
        });
  }

  private boolean droppedBacked(Group group, Runs fromFile) {
    var content = new PageSet();
    boolean there = contentOf(group, content, new PageSet());
    var gone = new PageSet();
    sent.intersect(group.start, group.end, (start, end) -> content.missing(start, end, gone::add));
    gone.forEach((start, end) -> sent.remove(start, end, fromFile));
    return there;
  }

  /** Collects private pages; those that are not known to be unchanged also into {@code written}. */
  private boolean contentOf(Group group, PageSet content, PageSet written) {
    return regions.run(
        scan,
        group.start,
        group.end,
        group.backed ? CONTENT_BACKED : CONTENT_ANONYMOUS,
        (start, end, categories) -> {
          if (group.backed && (categories & SWAPPED) != 0) {
            addWithoutMarkers(start, end, content);
          } else {
            content.add(start, end);
          }
          if ((categories & WRITTEN) != 0) {
            written.add(start, end);
          }
        });
  }

  /**
   * In file mappings a write-protected page that was dropped leaves a marker, which scans report like a page that was swapped out
   * (mm/memory.c, {@code zap_install_uffd_wp_if_needed}).
   */
  private void addWithoutMarkers(long start, long end, PageSet content) {
    long perRead = entries.byteSize() / 8 * Mmap.PAGE;
    for (long at = start; at < end; at += perRead) {
      int count = (int) (Math.min(end - at, perRead) / Mmap.PAGE);
      scan.entries(at, entries.asSlice(0, count * 8L));
      for (int i = 0; i < count; i++) {
        long entry = entries.getAtIndex(ValueLayout.JAVA_LONG, i);
        if ((entry >>> 62 & 1) == 0 || (entry & 0x1f) != MARKER_TYPE) {
          content.add(at + i * Mmap.PAGE, at + (i + 1) * Mmap.PAGE);
        }
      }
    }
  }

  /** All private pages that there are, without protecting anything. */
  PageSet content() {
    var content = new PageSet();
    for (var group : groups) {
      contentOf(group, content, new PageSet());
    }
    return withinLayout(content);
  }

  /** Tells about pages to be sent, and protects them; pages of zeros that the destination has are told as such. */
  boolean written(Runs sink, Runs zero) {
    var before = isDirect() ? unsettled : new PageSet();
    unsettled = new PageSet();
    Runs send =
        (start, end) -> {
          unsettled.add(start, end);
          sink.run(start, end);
        };
    for (var group : groups) {
      boolean there =
          regions.run(
              scan,
              group.start,
              group.end,
              group.backed ? WRITTEN_BACKED : WRITTEN_ANONYMOUS,
              (start, end, categories) -> {
                if ((categories & PFNZERO) != 0) {
                  sent.remove(start, end, zero);
                } else {
                  due(start, end, send);
                }
              });
      if (!there) {
        return false;
      }
    }
    // Behind the scan, which takes pages of zeros out of what the destination has: what is sent all the same must count as sent.
    flushPending(send);
    before.forEach((start, end) -> sent.intersect(start, end, sink));
    return true;
  }

  /**
   * What a frozen process's last round consists of.
   *
   * @param send pages to be sent, each once
   * @param dropped pages that the destination has and that are zeros now
   * @param fromFile private copies that the destination has where the file shows again
   * @param guards ranges of guard markers
   */
  record LastPages(PageSet send, PageSet dropped, PageSet fromFile, List<Vma> guards) {}

  /** Finds out what a frozen process's last pages are, in one pass over the page tables and without protecting anything. */
  LastPages frozen() {
    var pagesLeft = new LastPages(new PageSet(), new PageSet(), new PageSet(), new ArrayList<>());
    for (var group : groups) {
      boolean there = group.backed ? frozenBacked(group, pagesLeft) : frozenAnonymous(group, pagesLeft);
      if (!there) {
        throw new CheckpointException("process " + pid + " ended while it was frozen");
      }
    }
    pages.witnesses().replaced(pid, sent, (start, end) -> due(start, end, pagesLeft.send::add));
    flushPending(pagesLeft.send::add);
    if (isDirect()) {
      unsettled.forEach((start, end) -> sent.intersect(start, end, pagesLeft.send::add));
    }
    return pagesLeft;
  }

  private boolean frozenAnonymous(Group group, LastPages last) {
    return regions.run(
        scan,
        group.start,
        group.end,
        FROZEN_ANONYMOUS,
        (start, end, categories) -> {
          if ((categories & GUARD) != 0) {
            last.guards.add(Vma.guard(start, end));
          }
          if ((categories & PRESENT) != 0) {
            due(start, end, last.send::add);
          } else if ((categories & SWAPPED) == 0 || (categories & GUARD) != 0) {
            sent.remove(start, end, last.dropped::add);
          } else if ((categories & WRITTEN) != 0 || group.huge) {
            // Huge pages are never swapped out: it was dropped after it was protected.
            due(start, end, last.send::add);
          } else {
            var missing = new PageSet();
            sent.missing(start, end, missing::add);
            missing.forEach((from, to) -> due(from, to, last.send::add));
          }
        });
  }

  private boolean frozenBacked(Group group, LastPages last) {
    var content = new PageSet();
    var changed = new PageSet();
    boolean there =
        contentOf(group, content, changed)
            && regions.run(scan, group.start, group.end, GUARDS, (start, end, categories) -> last.guards.add(Vma.guard(start, end)));
    content.forEach((start, end) -> sent.missing(start, end, changed::add));
    var gone = new PageSet();
    sent.intersect(group.start, group.end, (start, end) -> content.missing(start, end, gone::add));
    gone.forEach((start, end) -> sent.remove(start, end, last.fromFile::add));
    changed.forEach((start, end) -> content.intersect(start, end, (from, to) -> due(from, to, last.send::add)));
    return there;
  }

  private void flushPending(Runs send) {
    pages.vanished().forEach(
        (start, end) -> {
          sent.remove(start, end);
          pending.add(start, end);
        });
    pages.vanished().clear();
    if (!pending.isEmpty()) {
      var now = pending.copy();
      pending.clear();
      now.forEach((start, end) -> due(start, end, send));
    }
  }

  /** Sends what lies within the layout, and keeps the rest for later. */
  private void due(long start, long end, Runs send) {
    long at = start;
    for (int i = Vma.firstEndingBehind(tracked, start); i < tracked.size() && tracked.get(i).start() < end; i++) {
      long from = Math.max(at, tracked.get(i).start());
      long to = Math.min(end, tracked.get(i).end());
      if (from > at) {
        pending.add(at, from);
      }
      sent.add(from, to);
      send.run(from, to);
      at = to;
    }
    if (at < end) {
      pending.add(at, end);
    }
  }

  private PageSet withinLayout(PageSet all) {
    var within = new PageSet();
    for (var vma : tracked) {
      all.intersect(vma.start(), vma.end(), within::add);
    }
    return within;
  }

  /** Pages written since they were protected, without protecting them again, and those to be sent twice. Copies of file pages are not counted. */
  long countWritten() {
    long[] count = {0};
    for (var group : groups) {
      if (!group.backed) {
        regions.run(scan, group.start, group.end, COUNT_WRITTEN, (start, end, categories) -> count[0] += (end - start) / Mmap.PAGE);
      }
    }
    return count[0] + (isDirect() ? unsettled.pages() : 0);
  }

  /** Those of the given pages that are present and have not been written since they were protected. */
  PageSet unchanged(PageSet candidates) {
    var unchanged = new PageSet();
    for (var group : groups) {
      regions.run(
          scan,
          group.start,
          group.end,
          UNCHANGED,
          (start, end, categories) -> candidates.intersect(start, end, unchanged::add));
    }
    return unchanged;
  }

  /** Page map entries; bytes read, or not positive when the address space is gone. */
  long entriesOf(long address, MemorySegment into) {
    return scan.entries(address, into);
  }

  /** Removes tracking without a trace. */
  @Override
  public void close() {
    tracking.ifPresent(Userfaultfd::close);
    tracking = Optional.empty();
    scan.close();
    pages.close();
  }
}
