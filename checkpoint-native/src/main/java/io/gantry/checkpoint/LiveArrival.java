package io.gantry.checkpoint;

import com.google.protobuf.InvalidProtocolBufferException;
import io.gantry.checkpoint.haul.HaulArrival;
import io.gantry.checkpoint.image.StreamMessage;
import io.gantry.checkpoint.image.descriptors_entry;
import io.gantry.checkpoint.image.end_entry;
import io.gantry.checkpoint.image.file_data_entry;
import io.gantry.checkpoint.image.final_state;
import io.gantry.checkpoint.image.fs_entry;
import io.gantry.checkpoint.image.network_state;
import io.gantry.checkpoint.image.process_state;
import io.gantry.checkpoint.image.seccomp_entry;
import io.gantry.checkpoint.image.task_core_entry;
import io.gantry.checkpoint.image.timens_entry;
import io.gantry.checkpoint.image.tree_plan_entry;
import io.gantry.checkpoint.image.tmpfs_state;
import io.gantry.checkpoint.ipc.IpcArrival;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.SyscallNumber;
import io.gantry.checkpoint.linux.TimeNamespace.Offsets;
import io.gantry.checkpoint.memory.DescriptorGift;
import io.gantry.checkpoint.memory.MemoryArrival;
import io.gantry.checkpoint.network.NetworkArrival;
import io.gantry.checkpoint.network.NetworkPolicy;
import io.gantry.checkpoint.procfs.IdMaps;
import io.gantry.checkpoint.resource.DescriptorArrival;
import io.gantry.checkpoint.resource.FileContentReceiver;
import io.gantry.checkpoint.resource.FileIdentity;
import io.gantry.checkpoint.resource.SocketFiles;
import io.gantry.checkpoint.resource.TcpQuiet;
import io.gantry.checkpoint.resource.Terminals;
import io.gantry.checkpoint.shm.ContainerShm;
import io.gantry.checkpoint.state.ProcessStateArrival;
import io.gantry.checkpoint.state.StateDigest;
import io.gantry.checkpoint.state.TreePlanCodec;
import io.gantry.checkpoint.tracee.Birth;
import io.gantry.checkpoint.tracee.Cgroup;
import io.gantry.checkpoint.tracee.RemoteTask;
import io.gantry.checkpoint.tracee.Stub;
import io.gantry.checkpoint.tracee.TracerThread;
import io.gantry.checkpoint.tracee.Vdso;
import io.gantry.checkpoint.user.UserNamespaces;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.locks.LockSupport;

/** Recreates a container from what a {@link LiveCapture} or an image directory sends. What needs ptrace runs on a tracer thread of its own. */
final class LiveArrival implements Arrival {
  private static final Duration TRACER_MAX = Duration.ofMinutes(10);
  private static final Duration FREEZER_MAX = Duration.ofSeconds(5);
  /** A clock that is behind what the container has seen is waited for, so long at most: more than any way through a network takes. */
  private static final long CLOCK_WAIT_MAX_NS = Duration.ofSeconds(1).toNanos();

  private final ArrivalSite site;
  private final boolean stored;
  private final boolean withDigests;
  private final TracerThread tracer;
  private final StubBuilder builder;
  private final IpcArrival ipc;
  private final Terminals terminals;
  private final MemoryArrival memory;
  private final FileContentReceiver contents;
  private final NetworkArrival network;
  private final Optional<HaulArrival> haul;
  private Optional<network_state> ownNetwork = Optional.empty();
  private Optional<final_state> state = Optional.empty();
  /** What {@code state} is as bytes, until they are compared. */
  private byte[] canonicalState = {};

  private Optional<descriptors_entry> descriptors = Optional.empty();
  private Optional<end_entry> end = Optional.empty();
  private Optional<ContainerHandle> held = Optional.empty();
  private Optional<timens_entry> lastClocks = Optional.empty();
  private Optional<Offsets> clocks = Optional.empty();
  private Optional<WakefulPause> awake = Optional.empty();
  private boolean closed;

  /**
   * @param network how a network of its own is connected
   * @param stored whether it comes from images, and not from a container that stands still meanwhile
   */
  LiveArrival(ArrivalSite site, NetworkPolicy network, boolean stored) {
    this(site, network, stored, true, Optional.empty());
  }

  /** From a running container. @param haul files that travel along */
  LiveArrival(ArrivalSite site, NetworkPolicy network, Optional<HaulArrival> haul) {
    this(site, network, false, true, haul);
  }

  /**
   * @param network how a network of its own is connected
   * @param stored whether it comes from images, and not from a container that stands still meanwhile
   * @param withDigests whether the stream says what digests the copy must have; what CRIU saved does not
   */
  LiveArrival(ArrivalSite site, NetworkPolicy network, boolean stored, boolean withDigests) {
    this(site, network, stored, withDigests, Optional.empty());
  }

  private LiveArrival(ArrivalSite site, NetworkPolicy network, boolean stored, boolean withDigests, Optional<HaulArrival> haul) {
    this.haul = haul;
    this.site = site;
    this.stored = stored;
    this.withDigests = withDigests;
    this.tracer = new TracerThread("builder of " + site.name());
    this.network = new NetworkArrival(site.name(), network);
    this.terminals = new Terminals(() -> builder().tree().root().pid());
    this.builder = new StubBuilder(() -> site.begin(clocks.orElseGet(ContainerClocks::ofThisProcess), ownNetwork.isPresent()), terminals::prepare);
    this.ipc = new IpcArrival(() -> builder().tree().root().pid());
    this.contents =
        new FileContentReceiver(
            site.console(), () -> builder.tree().root().pid(), path -> haul.map(files -> files.here(path)).orElse(path));
    this.memory = new MemoryArrival(builder.forMemory(), this::onTracer, ipc, contents, withDigests);
  }

  private StubBuilder builder() {
    return builder;
  }

  private void onTracer(Runnable work) {
    tracer.run(work, TRACER_MAX);
  }

  @Override
  public void pages(int space, long[] addresses, int[] pageCounts, int runCount, MemorySegment data) {
    memory.pages(space, addresses, pageCounts, runCount, data);
  }

  @Override
  public void zero(int space, long address, long pageCount) {
    memory.zero(space, address, pageCount);
  }

  @Override
  public void message(int type, byte[] bytes) {
    try {
      switch (type) {
        case StreamMessage.TREE_PLAN -> {
          var entry = tree_plan_entry.parseFrom(bytes);
          if (entry.getLast() && !stored && awake.isEmpty()) {
            awake = Optional.of(WakefulPause.begin());
          }
          if (entry.hasClocks()) {
            lastClocks = Optional.of(entry.getClocks());
            // At once: every moment from here on would be missing from the container's time.
            clocks = Optional.of(clocks.orElseGet(() -> ContainerClocks.offsetsHere(entry.getClocks(), stored)));
          }
          site.beginsWithFilesAs().ifPresent(group -> haul.ifPresent(files -> files.placeEarly(group)));
          var plan = TreePlanCodec.decode(entry);
          var threads = TreePlanCodec.threads(entry);
          onTracer(() -> builder.plan(plan, threads));
        }
        case StreamMessage.HAUL ->
            haul.orElseThrow(() -> new CheckpointException("the source sends files that it was not asked for")).accept(bytes);
        case StreamMessage.NETWORK -> ownNetwork = Optional.of(network_state.parseFrom(bytes));
        case StreamMessage.ROUND_BEGIN, StreamMessage.FORK -> memory.message(type, bytes);
        case StreamMessage.ROUND_END -> {
          memory.message(type, bytes);
          onTracer(
              () -> {
                builder.finishPlan();
                builder.keepOnly(memory.processes());
              });
          // While the container still runs elsewhere: what has not changed in the end need not be made in the pause.
          ownNetwork.ifPresent(wanted -> network.prepare(builder.tree().root().pid(), wanted));
        }
        case StreamMessage.FILE_DATA -> contents.accept(file_data_entry.parseFrom(bytes));
        case StreamMessage.DESCRIPTORS -> descriptors = Optional.of(descriptors_entry.parseFrom(bytes));
        case StreamMessage.FINAL_STATE -> {
          var came = final_state.parseFrom(bytes);
          state = Optional.of(came);
          // While the source does the same, and not when it waits for the answer.
          canonicalState = StateDigest.canonical(came);
        }
        case StreamMessage.END -> end = Optional.of(end_entry.parseFrom(bytes));
        default ->
            throw new CheckpointException(
                "message type " + type + " is unknown here; the source runs a newer version of Gantry, upgrade this host first");
      }
    } catch (InvalidProtocolBufferException e) {
      throw new CheckpointException("message " + type + " of the stream cannot be read: " + e.getMessage(), e);
    }
  }

  @Override
  public Report complete() {
    long begin = System.nanoTime();
    var processes = state.orElseThrow(LiveArrival::incomplete);
    var files = descriptors.orElseThrow(LiveArrival::incomplete);
    var last = end.orElseThrow(LiveArrival::incomplete);
    var hauled = haul.map(HaulArrival::digest).orElse("");
    var allMemory = last.getVerify() ? memory.verifyDigest() : "";
    var digest = CommitDigest.of(memory.digest(), allMemory, canonicalState, files.toByteArray(), hauled);
    canonicalState = new byte[0];
    if (withDigests && !digest.equals(last.getDigest())) {
      throw new CheckpointException(
          "the copy of " + site.name() + " differs from the original: digest " + digest + " here, " + last.getDigest()
              + " on the source; nothing was activated, try again");
    }
    haul.ifPresent(HaulArrival::place);
    var handle = tracer.call(() -> build(processes, files), TRACER_MAX);
    held = Optional.of(handle);
    memory.close();
    ipc.close();
    contents.close();
    return new Report(handle, digest, System.nanoTime() - begin);
  }

  @Override
  public List<HaulWish> hauls() {
    return haul.map(HaulArrival::wishes).orElse(List.of());
  }

  private static CheckpointException incomplete() {
    return new CheckpointException("the stream ended before the whole state had come; nothing was activated, try again");
  }

  private ContainerHandle build(final_state processes, descriptors_entry files) {
    var ended = new HashMap<Integer, task_core_entry>();
    var living = new LinkedHashMap<Integer, process_state>();
    for (var process : processes.getProcessesList()) {
      int pid = process.getTree().getPid();
      if (builder.zombies().contains(pid)) {
        ended.put(pid, process.getThreads(0).getTc());
      } else {
        living.put(pid, process);
      }
    }
    // Before signal queues are filled: the end of a zombie is announced to its parent's stub, which forgets it again.
    for (int pid : builder.zombies()) {
      var core = ended.getOrDefault(pid, task_core_entry.getDefaultInstance());
      builder.tree().end(builder.find(pid), core.getComm(), core.getExitCode());
    }
    if (processes.hasUtsns() && site.hasOwnNames()) {
      ProcessStateArrival.setNames(builder.tree().root(), processes.getUtsns());
    }
    if (processes.hasNetwork()) {
      network.prepare(builder.tree().root().pid(), processes.getNetwork());
    }
    Map<Integer, RemoteTask> stubs = new LinkedHashMap<>();
    living.keySet().forEach(pid -> stubs.put(pid, builder.find(pid)));
    // Threads before descriptors: one may mean a thread (PIDFD_THREAD).
    var arrivals = new HashMap<Integer, ProcessStateArrival>();
    living.forEach(
        (pid, process) -> {
          if (NestedProcesses.is(process)) {
            NestedProcesses.prepare(builder.find(pid));
          } else {
            arrivals.put(pid, arrival(process, processes.getSeccomp()));
          }
        });
    // Each file is made for a process if any has it, so threads with a table of their own come behind.
    for (var table : files.getProcessList()) {
      int tid = table.getPid();
      arrivals.values().forEach(arrival -> arrival.separateTable(tid).ifPresent(task -> stubs.put(tid, task)));
    }
    if (processes.hasIpc()) {
      ipc.prepare(processes.getIpc());
    }
    if (processes.hasTmpfs()) {
      place(processes.getTmpfs());
    }
    var opened = DescriptorArrival.recreate(files, stubs, contents, memoryFiles(files), terminals);
    terminals.close();
    opened.rememberSocketFiles(site.socketFiles());
    memory.finishAll(living.keySet());
    if (processes.hasIpc()) {
      ipc.finish(processes.getIpc(), stubs);
    }
    living.forEach((pid, process) -> enterRemoved(builder.find(pid), process.getFs()));
    var container = idsOf(builder.tree().root());
    if (arrivals.size() < living.size()) {
      try (var nested = new NestedProcesses(processes, builder.tree())) {
        living.values().stream()
            .filter(NestedProcesses::is)
            .forEach(
                process -> {
                  int pid = process.getTree().getPid();
                  arrivals.put(pid, nested.enter(builder.find(pid), process, processes.getSeccomp()));
                });
      }
    }
    var all = new LinkedHashMap<Integer, ProcessStateArrival>();
    living.keySet().forEach(pid -> all.put(pid, arrivals.get(pid)));
    all.values().forEach(arrival -> arrival.placeThreads(this::enterRemoved));
    boolean foreign = !container.equals(IdMaps.IDENTITY);
    all.forEach(
        (pid, arrival) -> {
          if (foreign || NestedProcesses.is(living.get(pid))) {
            arrival.raiseLimits();
          }
        });
    ProcessStateArrival.recreateAll(all.values());
    opened.armTimers(stubs);
    // Whose calls are made once more, or who is stopped, cannot run others afterwards.
    opened.takeLocks(stubs);
    finishStopped(all, living);
    var running = all.values().stream().filter(arrival -> !arrival.isStopped()).toList();
    ProcessStateArrival.rearmAll(running);
    var last = new LinkedHashMap<Stub, Long>();
    all.forEach((pid, arrival) -> {
      if (!arrival.isStopped()) {
        last.put(builder.find(pid), systemCall(builder.find(pid), memory.vdso(pid)));
      }
    });
    Stub.unmapBenchesLast(last);
    all.forEach((pid, arrival) -> Optional.ofNullable(last.get(builder.find(pid))).ifPresent(arrival::endMainAt));
    running.forEach(ProcessStateArrival::armAndSetRegisters);
    var root = builder.tree().root();
    builder.tree().holdAll(site.freezer(), FREEZER_MAX);
    awaitClocks();
    return new ContainerHandle(site.name(), root.pid(), Birth.startTicks(root.pid()), site.cgroup(), site.directory());
  }

  private static IdMaps idsOf(Stub stub) {
    try {
      return IdMaps.of(stub.pid());
    } catch (NoSuchFileException killed) {
      throw new CheckpointException(stub + " was killed", killed);
    }
  }

  /** What came later than what was seen last would go back in time. */
  private void awaitClocks() {
    if (lastClocks.isEmpty() || clocks.isEmpty()) {
      return;
    }
    long behindNs = ContainerClocks.behindNs(lastClocks.get(), clocks.get());
    if (behindNs > CLOCK_WAIT_MAX_NS) {
      throw new CheckpointException(
          "the monotonic clocks of " + site.name() + " would go back by " + behindNs / 1_000_000 + " ms; is this host's wall clock right?");
    }
    long end = System.nanoTime() + behindNs;
    while (System.nanoTime() < end) {
      LockSupport.parkNanos(end - System.nanoTime());
    }
  }

  /** Descriptors are opened by name, or as those of any other deleted file. */
  private void place(tmpfs_state files) {
    memory.place(files);
    for (var node : files.getNodeList()) {
      if (node.getDeleted()) {
        var identity = new FileIdentity(node.getDev(), node.getIno());
        contents.adopt(identity, Fd.dup(memory.sharedDescriptor(node.getShmid())), ContainerShm.PATH + "/" + node.getName(0));
      }
    }
  }

  /** A working directory that has no name any more is made here and handed in. */
  private void enterRemoved(RemoteTask stub, fs_entry place) {
    if (place.hasCwdGhost()) {
      int directory = contents.directory(place.getCwdPath(), place.getCwdGhost());
      try (var gift = new DescriptorGift(stub)) {
        int given = gift.give(directory);
        stub.call("fchdir(removed working directory)", SyscallNumber.FCHDIR, given);
        stub.call("close", SyscallNumber.CLOSE, given);
      }
    }
  }

  /** Those that job control has stopped are finished before their parents, who get to know of it while they can still run calls. */
  private void finishStopped(LinkedHashMap<Integer, ProcessStateArrival> all, Map<Integer, process_state> living) {
    all.sequencedEntrySet().reversed().forEach(entry -> {
      var arrival = entry.getValue();
      if (arrival.isStopped()) {
        arrival.rearmCalls();
        var stub = builder.find(entry.getKey());
        long systemCall = systemCall(stub, memory.vdso(entry.getKey()));
        stub.unmapBenchLast(systemCall);
        arrival.endMainAt(systemCall);
        arrival.armAndSetRegisters();
        Optional.ofNullable(all.get(living.get(entry.getKey()).getTree().getPpid())).ifPresent(parent -> parent.knowStopped(arrival));
      }
    });
  }

  private ProcessStateArrival arrival(process_state process, seccomp_entry filters) {
    var stub = builder.find(process.getTree().getPid());
    int[] others = process.getTree().getThreadsList().stream().mapToInt(Integer::intValue).filter(tid -> tid != stub.nsPid()).toArray();
    List<RemoteTask> threads = new ArrayList<>();
    threads.add(stub);
    threads.addAll(stub.haveThreads(others));
    return new ProcessStateArrival(process, threads, filters);
  }

  private static long systemCall(Stub stub, MemoryArrival.Vdso vdso) {
    return Vdso.systemCallAddress(stub.pid(), vdso.start(), vdso.bytes());
  }

  private Map<FileIdentity, Integer> memoryFiles(descriptors_entry files) {
    Map<FileIdentity, Integer> found = new HashMap<>();
    for (var file : files.getMemfdList()) {
      found.put(new FileIdentity(file.getSourceDev(), file.getSourceIno()), memory.sharedDescriptor(file));
    }
    return found;
  }

  @Override
  public void activate() {
    if (held.isEmpty()) {
      throw new IllegalStateException("the copy of " + site.name() + " is not complete");
    }
    network.connect();
    if (descriptors.filter(files -> files.getTcpCount() > 0).isPresent()) {
      TcpQuiet.wake(new Cgroup(site.cgroup()).processes());
    }
    int init = held.get().initPid();
    UserNamespaces.root(init).run(() -> SocketFiles.putInPlace(rootOf(init), site.socketFiles()));
    site.freezer().thaw(FREEZER_MAX);
    awake.ifPresent(WakefulPause::close);
    site.activated();
    haul.ifPresent(HaulArrival::activated);
  }

  private static Path rootOf(int pid) {
    return Path.of("/proc/" + pid + "/root");
  }

  @Override
  public void discard() {
    if (Files.exists(site.socketFiles())) {
      int root = held.map(ContainerHandle::initPid).orElseGet(() -> builder.tree().root().pid());
      SocketFiles.discard(rootOf(root), site.socketFiles());
    }
    release();
    var copy = held;
    held = Optional.empty();
    network.discard();
    site.destroy();
    // One that was not held has been taken by the builder already.
    copy.ifPresent(Birth::reap);
    haul.ifPresent(HaulArrival::discard);
  }

  private void release() {
    awake.ifPresent(WakefulPause::close);
    if (!closed) {
      closed = true;
      memory.close();
      ipc.close();
      contents.close();
      tracer.run(builder::close, TRACER_MAX);
      terminals.close();
      tracer.close();
    }
  }

  @Override
  public void close() {
    if (held.isEmpty()) {
      discard();
    } else {
      release();
      haul.ifPresent(HaulArrival::release);
    }
  }
}
