package io.gantry.checkpoint.memory;

import com.google.protobuf.ByteString;
import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.PageSink;
import io.gantry.checkpoint.image.StreamMessage;
import io.gantry.checkpoint.image.fork_point;
import io.gantry.checkpoint.image.round_begin;
import io.gantry.checkpoint.image.round_end;
import io.gantry.checkpoint.image.round_process;
import io.gantry.checkpoint.image.tmpfs_state;
import io.gantry.checkpoint.ipc.ContainerIpc;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.KcmpVm;
import io.gantry.checkpoint.linux.KernelException;
import io.gantry.checkpoint.linux.Userfaultfd;
import io.gantry.checkpoint.procfs.ProcessGoneException;
import io.gantry.checkpoint.procfs.TaskState;
import io.gantry.checkpoint.tracee.RemoteTask;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.IntFunction;

/**
 * The memory of a container on its way out: round after round everything that is new since the one before, and the last of it when
 * the container is frozen.
 *
 * <p>A round reads the layout of every process, announces it ({@code round_begin}), then sends dropped and written pages of each,
 * then what changed in shared objects. Whatever a process does meanwhile is found in the next round; what is sent is always
 * either current or found again as written.
 *
 * <p>Used by one thread at a time. The callbacks decide which thread runs system calls in processes.
 */
public final class MemoryCapture implements AutoCloseable {
  private static final int EXECS_MAX = 20;

  private final RegionScan regions = new RegionScan();
  private final FileTable files = new FileTable();
  private final PageDigest digest = new PageDigest();
  private final Map<Integer, SpaceTracker> trackers = new LinkedHashMap<>();
  private final SharedObjects shared;
  private final AioContexts contexts = new AioContexts();
  private int spaces;
  private boolean closed;

  /**
   * What a round did.
   *
   * @param pages pages handed to the sink with their content; how many of them were all zero the sink knows
   * @param droppedPages pages that the destination had and that are gone
   * @param processes how many processes it covered
   */
  public record Round(long pages, long droppedPages, int processes) {}

  /** Of processes in the host's ipc namespace. */
  public MemoryCapture() {
    this(new ContainerIpc());
  }

  /** @param ipc the container's, where its segments are found; stays the caller's */
  public MemoryCapture(ContainerIpc ipc) {
    shared = new SharedObjects(this::newSpace, ipc);
  }

  private int newSpace() {
    return ++spaces;
  }

  /**
   * One round while the processes run. A process seen for the first time, or for the first time since an exec, is stopped for a moment
   * to set up the tracking.
   *
   * @param number counts from 0
   * @param alive every live process, parents before their children; zombies left out
   */
  public Round round(int number, List<ProcessRef> alive, Armer armer, PageSink sink) {
    var batch = new PageBatch(sink, digest);
    var present = new ArrayList<Visit>();
    files.beginRound();
    forgetAllBut(alive);
    for (var process : alive) {
      try {
        follow(process, alive, armer).ifPresent(present::add);
      } catch (CheckpointException e) {
        if (!(e instanceof ProcessGoneException) && !TaskState.ended(process.pid())) {
          throw e;
        }
        // It ended since the list was made; the next list will not have it.
        forget(process.nsPid());
      }
    }
    dropOrphans(present);
    shared.discover(present.stream().map(visit -> visit.tracker()).toList(), OpenMemory::all);
    // Its object or file could not be opened because it was unmapped since the layout was read; the next layout tells what is there instead.
    present.forEach(visit -> visit.tracker().leaveOut(this::isGone));
    begin(number, false, present, Map.of(), Map.of(), batch);
    var families = families(present);
    var cloned = new ArrayList<Family>();
    for (var visit : families.keySet()) {
      var tracker = visit.tracker();
      batch.from(tracker.space(), tracker.pages());
      if (families.get(visit).isEmpty()) {
        if (tracker.dropped(batch::zero, batch::add)) {
          tracker.written(batch::add, batch::zero);
        }
        batch.flush();
      } else {
        var pages = new PageSet();
        if (tracker.dropped(batch::zero, pages::add)) {
          tracker.written(pages::add, batch::zero);
        }
        var family = new Family(visit, false, batch);
        for (var descendant : families.get(visit)) {
          var content = new PageSet();
          descendant.tracker().written(content::add, (start, end) -> {});
          family.add(descendant, content);
        }
        family.sendShared(pages);
        cloned.add(family);
      }
    }
    present.stream().filter(visit -> visit.forkFrom() != 0).forEach(visit -> fork(visit, batch));
    cloned.forEach(Family::sendOwn);
    return finish(number, present, batch, sink);
  }

  private boolean isGone(Vma vma) {
    return vma.fromSharedObject() ? !shared.has(vma.object()) : vma.object() == FileTable.GONE;
  }

  /** Looks at a process that runs, and may replace its address space by exec at any moment. */
  private Optional<Visit> follow(ProcessRef process, List<ProcessRef> alive, Armer armer) {
    for (int attempt = 1; attempt <= EXECS_MAX; attempt++) {
      var visit = visit(process, alive, false);
      if (visit.isEmpty()) {
        return visit;
      }
      var tracker = visit.get().tracker();
      if (!tracker.armed()) {
        var made = new Userfaultfd[1];
        armer.whileStopped(process.pid(), task -> made[0] = Arming.arm(task));
        tracker.arm(made[0]);
      }
      tracker.readLayout(false);
      tracker.register();
      if (tracker.alive()) {
        return visit;
      }
      // The layout may be that of the next program, perhaps in the middle of being loaded.
    }
    throw new CheckpointException("process " + process.pid() + " replaces itself by exec faster than it can be looked at");
  }

  /**
   * The last round. Every thread of every process is stopped and stays so.
   *
   * @throws CheckpointException when two processes share one address space at this moment (vfork): let them run on and try again
   */
  public Round lastRound(int number, List<FrozenProcess> frozen, PageSink sink) {
    return lastRound(number, frozen, OpenMemory::all, sink);
  }

  /**
   * As above.
   *
   * @param open descriptors of a process, by its id as the host counts, that may be of shared memory; as they are while it is stopped
   */
  public Round lastRound(int number, List<FrozenProcess> frozen, IntFunction<List<OpenMemory>> open, PageSink sink) {
    var batch = new PageBatch(sink, digest);
    var alive = frozen.stream().map(FrozenProcess::process).toList();
    var present = new ArrayList<Visit>();
    var breaks = new HashMap<Integer, Long>();
    files.beginRound();
    forgetAllBut(alive);
    for (var process : frozen) {
      var visit =
          visit(process.process(), alive, true)
              .orElseThrow(
                  () ->
                      new CheckpointException(
                          "process " + process.process().pid()
                              + " shares its address space with its parent (vfork), or its parent is about to be reaped; neither lasts, so let the container run on for a moment and freeze it again"));
      visit.tracker().readLayout(true);
      breaks.put(process.process().nsPid(), process.programBreak());
      present.add(visit);
    }
    dropOrphans(present);
    shared.discover(present.stream().map(visit -> visit.tracker()).toList(), open);
    var lastPages = new HashMap<SpaceTracker, SpaceTracker.LastPages>();
    present.forEach(visit -> lastPages.put(visit.tracker(), visit.tracker().frozen()));
    begin(number, true, present, breaks, lastPages, batch);
    var families = families(present);
    var cloned = new ArrayList<Family>();
    for (var visit : families.keySet()) {
      var pages = lastPages.get(visit.tracker());
      batch.from(visit.tracker().space(), visit.tracker().pages());
      pages.dropped().forEach(batch::zero);
      if (families.get(visit).isEmpty()) {
        visit.tracker().pages().trustExclusive();
        pages.send().forEach(batch::add);
        pages.fromFile().forEach(batch::add);
        batch.flush();
      } else {
        pages.fromFile().forEach(pages.send()::add);
        var family = new Family(visit, true, batch);
        families.get(visit).forEach(descendant -> family.add(descendant, lastPages.get(descendant.tracker()).send()));
        family.sendShared(pages.send());
        cloned.add(family);
      }
    }
    present.stream().filter(visit -> visit.forkFrom() != 0).forEach(visit -> fork(visit, batch));
    cloned.forEach(Family::sendOwn);
    return finish(number, present, batch, sink);
  }

  /**
   * Waits for what processes have asked the kernel for by io_submit(2) and not got yet. When all of them are stopped, before anything
   * else is looked at.
   *
   * @param tasks where calls can be run in a process, by its id as the host counts
   */
  public void awaitRequests(IntFunction<Optional<? extends RemoteTask>> tasks) {
    for (var tracker : trackers.values()) {
      if (AioContexts.has(tracker.layout())) {
        tasks.apply(tracker.pid()).ifPresent(contexts::settle);
      }
    }
  }

  private Optional<Visit> visit(ProcessRef process, List<ProcessRef> alive, boolean frozen) {
    var known = trackers.get(process.nsPid());
    if (known != null && known.alive() && known.pid() == process.pid()) {
      return Optional.of(new Visit(process, known, 0));
    }
    if (sharesAddressSpace(process, alive)) {
      return Optional.empty();
    }
    // After an exec the stub stays; another process with a reused id gets another stub.
    boolean hasStub = known != null && known.pid() == process.pid();
    forget(process.nsPid());
    boolean root = alive.getFirst().nsPid() == process.nsPid();
    if (!hasStub && !root && !trackers.containsKey(process.nsPpid())) {
      // Its parent has just ended: the next list shows it under another one.
      return Optional.empty();
    }
    SpaceTracker tracker;
    try {
      tracker = new SpaceTracker(process.pid(), newSpace(), regions, files);
    } catch (KernelException e) {
      throw new ProcessGoneException(process.pid(), e);
    }
    trackers.put(process.nsPid(), tracker);
    return Optional.of(new Visit(process, tracker, hasStub || root ? 0 : process.nsPpid()));
  }

  private static boolean sharesAddressSpace(ProcessRef process, List<ProcessRef> alive) {
    for (var other : alive) {
      // Of two that share, the one that comes first in the list is taken: a vfork child comes behind its parent.
      if (other.pid() == process.pid()) {
        return false;
      }
      if (KcmpVm.same(process.pid(), other.pid())) {
        return true;
      }
    }
    return false;
  }

  private void forgetAllBut(List<ProcessRef> alive) {
    var pids = alive.stream().map(ProcessRef::nsPid).toList();
    for (int nsPid : List.copyOf(trackers.keySet())) {
      if (!pids.contains(nsPid)) {
        forget(nsPid);
      }
    }
  }

  /** The destination has given up what it has of this process, so everything of it is sent again. */
  public void forget(int nsPid) {
    var tracker = trackers.remove(nsPid);
    if (tracker != null) {
      tracker.close();
    }
  }

  /** A process whose parent ended while the list was walked comes with the next list, in which it has another parent. */
  private void dropOrphans(List<Visit> present) {
    present.removeIf(
        visit -> {
          boolean orphan = visit.forkFrom() != 0 && present.stream().noneMatch(other -> other.process().nsPid() == visit.forkFrom());
          if (orphan) {
            forget(visit.process().nsPid());
          }
          return orphan;
        });
  }

  private void begin(
      int number,
      boolean last,
      List<Visit> present,
      Map<Integer, Long> breaks,
      Map<SpaceTracker, SpaceTracker.LastPages> lastPages,
      PageBatch batch) {
    var begin = round_begin.newBuilder().setRound(number).setLast(last);
    for (var visit : present) {
      var layout = visit.tracker().layout();
      long brk = breaks.getOrDefault(visit.process().nsPid(), layout.brkByMapping());
      begin.addProcesses(
          round_process.newBuilder()
              .setPid(visit.process().nsPid())
              .setPpid(visit.process().nsPpid())
              .setSpace(visit.tracker().space())
              .setForkFrom(visit.forkFrom())
              .setMm(
                  layout.toEntry(
                      brk,
                      last ? lastPages.get(visit.tracker()).guards() : List.of(),
                      last ? contexts.entries(visit.tracker().pid(), layout) : List.of())));
    }
    shared.entries().forEach(begin::addShared);
    begin.addAllFiles(files.entries());
    batch.message(StreamMessage.ROUND_BEGIN, begin.build().toByteArray());
  }

  /** For each process that has a stub, its descendants that are to be cloned from it or from each other, parents first. */
  private static Map<Visit, List<Visit>> families(List<Visit> present) {
    var families = new LinkedHashMap<Visit, List<Visit>>();
    var tops = new HashMap<Integer, Visit>();
    for (var visit : present) {
      if (visit.forkFrom() == 0) {
        families.put(visit, new ArrayList<>());
        tops.put(visit.process().nsPid(), visit);
      } else {
        var top = tops.get(visit.forkFrom());
        families.get(top).add(visit);
        tops.put(visit.process().nsPid(), top);
      }
    }
    return families;
  }

  private static void fork(Visit visit, PageBatch batch) {
    batch.message(StreamMessage.FORK, fork_point.newBuilder().setPid(visit.process().nsPid()).build().toByteArray());
  }

  private Round finish(int number, List<Visit> present, PageBatch batch, PageSink sink) {
    shared.send(batch);
    batch.message(
        StreamMessage.ROUND_END,
        round_end.newBuilder().setRound(number).setDigest(ByteString.copyFrom(digest.bytes())).build().toByteArray());
    sink.flush();
    return new Round(batch.pagesSent(), batch.zeroPages(), present.size());
  }

  /** What lies in the container's own {@code /dev/shm} besides content; empty when nothing does. After {@link #lastRound}. */
  public Optional<tmpfs_state> tmpfs() {
    return shared.tmpfs();
  }

  /** Files without a name that the processes of the last round have mapped or run: their content has to be sent as well. */
  public List<MappedDeletedFile> deletedFiles() {
    return files.deleted();
  }

  /** Those of {@link #deletedFiles} that some process can write to through a mapping. */
  public List<MappedDeletedFile> writableDeletedFiles() {
    if (files.deleted().isEmpty()) {
      return List.of();
    }
    return trackers.values().stream()
        .flatMap(tracker -> tracker.layout().vmas().stream())
        .filter(vma -> vma.shared() && vma.openFlags() == Fd.O_RDWR)
        .flatMap(vma -> files.deleted(vma.object()).stream())
        .distinct()
        .toList();
  }

  /** Processes, as the container counts, of which the destination has the memory after the last round. */
  public Set<Integer> covered() {
    return Set.copyOf(trackers.keySet());
  }

  /**
   * Says which processes, as the host counts, have files open past the page cache ({@code O_DIRECT}): what was sent of them is sent once
   * more by the next round.
   */
  public void direct(Set<Integer> pids) {
    trackers.values().forEach(tracker -> tracker.direct(pids.contains(tracker.pid())));
  }

  /** Private pages known to have been written since they were last sent, without resetting anything. */
  public long dirtyEstimate() {
    long pages = 0;
    for (var tracker : trackers.values()) {
      pages += tracker.countWritten();
    }
    return pages;
  }

  /** Digest over all pages sent so far, lower-case hexadecimal; the destination computes the same. */
  public String digest() {
    return digest.text();
  }

  /** Digest over every page of every frozen process and shared object, sent or not; after {@link #lastRound}. Reads all memory. */
  public String verifyDigest() {
    var all = new PageDigest();
    var reading = new WholeMemory();
    for (var tracker : trackers.values()) {
      reading.digest(all, tracker.space(), tracker.layout().vmas(), tracker.content(), tracker.pages());
    }
    shared.digest(all);
    return all.text();
  }

  /** Ends the tracking; nothing of it stays in the processes. Idempotent. */
  @Override
  public void close() {
    if (!closed) {
      closed = true;
      trackers.values().forEach(SpaceTracker::close);
      trackers.clear();
      shared.close();
      regions.close();
    }
  }
}
