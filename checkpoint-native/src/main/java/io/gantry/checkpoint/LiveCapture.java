package io.gantry.checkpoint;

import io.gantry.checkpoint.haul.HaulCapture;
import io.gantry.checkpoint.haul.HaulMemory;
import io.gantry.checkpoint.haul.HaulNote;
import io.gantry.checkpoint.image.StreamMessage;
import io.gantry.checkpoint.image.descriptors_entry;
import io.gantry.checkpoint.image.end_entry;
import io.gantry.checkpoint.image.file_lock_entry;
import io.gantry.checkpoint.image.final_state;
import io.gantry.checkpoint.image.timens_entry;
import io.gantry.checkpoint.ipc.ContainerIpc;
import io.gantry.checkpoint.memory.FrozenProcess;
import io.gantry.checkpoint.memory.MemoryCapture;
import io.gantry.checkpoint.memory.OpenMemory;
import io.gantry.checkpoint.memory.ProcessRef;
import io.gantry.checkpoint.network.NetworkCapture;
import io.gantry.checkpoint.network.NetworkPolicy;
import io.gantry.checkpoint.procfs.ProcessGoneException;
import io.gantry.checkpoint.resource.DescriptorCapture;
import io.gantry.checkpoint.resource.FileContentReceiver;
import io.gantry.checkpoint.resource.FileContentSender;
import io.gantry.checkpoint.resource.FileIdentity;
import io.gantry.checkpoint.resource.LockHandover;
import io.gantry.checkpoint.resource.TcpQuiet;
import io.gantry.checkpoint.resource.ThreadTables;
import io.gantry.checkpoint.resource.Unaccepted;
import io.gantry.checkpoint.state.StateCapture;
import io.gantry.checkpoint.state.TreePlanCodec;
import io.gantry.checkpoint.state.TreeReader;
import io.gantry.checkpoint.state.TreeReader.Placed;
import io.gantry.checkpoint.tracee.RemoteTask;
import io.gantry.checkpoint.tracee.StoppedProcess;
import io.gantry.checkpoint.tracee.StoppedThread;
import io.gantry.checkpoint.tracee.StoppedTree;
import io.gantry.checkpoint.tracee.TracerThread;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.locks.LockSupport;
import java.util.function.Consumer;
import java.util.stream.Collectors;

/**
 * Captures a running tree of processes: rounds of memory while it runs, then everything else while it stands still. One thread at a
 * time; what needs ptrace runs on a tracer thread of its own.
 */
final class LiveCapture implements Capture {
  /** For stopping one thread of a running process; a process that waits in the kernel for a disk cannot be stopped before that is over. */
  private static final Duration STOP_ONE_MAX = Duration.ofSeconds(5);

  private static final Duration STOP_ALL_MAX = Duration.ofSeconds(5);
  private static final Duration FREEZER_MAX = Duration.ofSeconds(5);
  private static final Duration LOCKS_MAX = Duration.ofSeconds(5);

  /** For work on the tracer thread; generous, because the phases have deadlines of their own and closing the sink breaks a send that hangs. */
  private static final Duration TRACER_MAX = Duration.ofMinutes(10);

  /** How long a container runs on before it is stopped again: longer each time, and so long in all. */
  private static final long RUN_ON_NS_MIN = Duration.ofMillis(1).toNanos();

  private static final long RUN_ON_NS_MAX = Duration.ofMillis(32).toNanos();
  private static final long RUN_ON_NS_ALL = Duration.ofMillis(300).toNanos();

  /** A program to which ever more connect is cut off after this long, so that it can get to the end of those that wait. */
  private static final long RUN_ON_NS_OPEN = Duration.ofMillis(100).toNanos();

  private enum State {
    RUNNING,
    STOPPED,
    HELD,
    ENDED
  }

  private final CaptureTarget target;
  private final CaptureOptions options;
  private final TracerThread tracer;
  private final ContainerIpc ipc = new ContainerIpc();
  private final MemoryCapture memory = new MemoryCapture(ipc);
  private final TreeTracker tree = new TreeTracker();
  private final FileContentSender contents;
  private final NetworkPolicy networkPolicy;
  private final Optional<HaulCapture> haul;
  private Optional<NetworkCapture> network = Optional.empty();
  private int rounds;
  /** Whether there are TCP connections, which must not notice how the original ends. */
  private boolean connected;

  private Optional<WakefulPause> awake = Optional.empty();
  private State state = State.RUNNING;
  private Optional<StoppedTree> stopped = Optional.empty();
  private long stoppedAtNs;
  private List<file_lock_entry> locks = List.of();

  LiveCapture(CaptureTarget target, CaptureOptions options, NetworkPolicy network, HaulMemory hauls) {
    // First, since it may fail.
    this.haul = options.hauls().isEmpty() ? Optional.empty() : Optional.of(new HaulCapture(target.name(), options.hauls(), hauls));
    this.target = target;
    this.options = options;
    this.networkPolicy = network;
    this.tracer = new TracerThread("tracer of " + target.name());
    this.contents = new FileContentSender(target.console());
  }

  @Override
  public RoundReport round(PageSink sink) {
    require(State.RUNNING, "send a round");
    if (rounds == 0) {
      // Before the first stub maps any of them.
      haul.ifPresent(files -> files.passes(sink, target.processes()));
    }
    long begin = System.nanoTime();
    long bytes = sink.bytesSent();
    long zero = sink.zeroPagesSent();
    var living = TreeReader.living(target::processes);
    describeNetwork(living, sink);
    var change = announce(living, TreeReader.otherThreads(living), false, sink);
    var round = memory.round(rounds++, change.order(), this::whileStopped, sink);
    tree.keepOnly(memory.covered());
    contents.round(
        descriptorOwners(change.order()),
        mappedDeletedFiles(),
        writableDeletedFiles()::contains,
        piece -> sink.message(StreamMessage.FILE_DATA, piece.toByteArray()));
    memory.direct(contents.direct());
    sink.flush();
    long zeroSent = sink.zeroPagesSent() - zero;
    long sent = sink.bytesSent() - bytes;
    long elapsedNs = System.nanoTime() - begin;
    // What has been changed meanwhile; what is left for the freeze is what changes from here on.
    haul.ifPresent(files -> files.passes(sink, target.processes()));
    return new RoundReport(
        round.pages() + round.droppedPages() - zeroSent,
        zeroSent,
        sent,
        elapsedNs,
        memory.dirtyEstimate(),
        round.processes());
  }

  /** Before the first stub is announced, which is born in a network namespace of its own or not. */
  private void describeNetwork(List<Placed> living, PageSink sink) {
    if (rounds == 0) {
      network = NetworkCapture.of(target.name(), living.getFirst().pid(), networkPolicy);
    }
    network.flatMap(NetworkCapture::describe).ifPresent(state -> sink.message(StreamMessage.NETWORK, state.toByteArray()));
  }

  /** Tells the destination how its stubs change; what is not there in the order any more is forgotten by the memory's capture itself. */
  private TreeTracker.Change announce(List<Placed> processes, Map<Integer, int[]> threads, boolean last, PageSink sink) {
    var change = tree.advance(processes, last);
    change.rebuilt().forEach(memory::forget);
    sink.message(StreamMessage.TREE_PLAN, TreePlanCodec.encode(change.steps(), threads).setClocks(clocks(processes)).setLast(last).build().toByteArray());
    return change;
  }

  /** Of stopped processes, both as the container counts. */
  private static Map<Integer, int[]> otherThreads(StoppedTree all) {
    Map<Integer, int[]> threads = new HashMap<>();
    for (var process : all.processes()) {
      int[] tids = process.threads().stream().mapToInt(StoppedThread::nsTid).filter(tid -> tid != process.nsPid()).toArray();
      if (tids.length > 0) {
        threads.put(process.nsPid(), tids);
      }
    }
    return threads;
  }

  private static timens_entry clocks(List<Placed> processes) {
    return ContainerClocks.read(processes.getFirst().pid());
  }

  private void whileStopped(int pid, Consumer<RemoteTask> work) {
    tracer.run(
        () -> {
          try (var thread = StoppedThread.stopOne(pid, STOP_ONE_MAX)) {
            StateCapture.requireCarriable(thread);
            work.accept(thread);
          }
        },
        TRACER_MAX);
  }

  private static List<io.gantry.checkpoint.resource.ProcessRef> descriptorOwners(List<ProcessRef> processes) {
    return processes.stream().map(process -> new io.gantry.checkpoint.resource.ProcessRef(process.pid(), process.nsPid())).toList();
  }

  private static List<io.gantry.checkpoint.resource.ProcessRef> tables(StoppedTree all, List<ProcessRef> order) {
    return ThreadTables.with(
        descriptorOwners(order),
        pid ->
            all.process(pid)
                .filter(process -> process.threads().size() > 1)
                .map(process -> process.threads().stream().map(StoppedThread::tid).toList())
                .orElse(List.of()));
  }

  @Override
  public FreezeReport freeze() {
    require(State.RUNNING, "freeze");
    long begin = System.nanoTime();
    awake = Optional.of(WakefulPause.begin());
    stop();
    cutOff();
    long runNs = RUN_ON_NS_MIN;
    for (var waiting = unaccepted(); waiting != Unaccepted.Waiting.NOTHING && stoppedAtNs - begin < RUN_ON_NS_ALL; waiting = unaccepted()) {
      if (waiting == Unaccepted.Waiting.HALF_MADE || stoppedAtNs - begin < RUN_ON_NS_OPEN) {
        network.ifPresent(NetworkCapture::connect);
      }
      tracer.run(stopped.orElseThrow()::resume, TRACER_MAX);
      stopped = Optional.empty();
      state = State.RUNNING;
      LockSupport.parkNanos(runNs);
      runNs = Math.min(2 * runNs, RUN_ON_NS_MAX);
      stop();
      cutOff();
    }
    return new FreezeReport(System.nanoTime() - stoppedAtNs, stoppedAtNs - begin, stopped.orElseThrow().threadCount());
  }

  private void stop() {
    var tree = tracer.call(() -> target.stop(STOP_ALL_MAX), TRACER_MAX);
    stopped = Optional.of(tree);
    // Before that, all of it was looked at while it ran.
    stoppedAtNs = tree.firstStopNs();
    state = State.STOPPED;
  }

  /** Before anybody looks at connections: what comes from here on vanishes, and its sender sends it again. */
  private void cutOff() {
    network.ifPresent(NetworkCapture::cut);
  }

  private Unaccepted.Waiting unaccepted() {
    return Unaccepted.of(
        stopped.orElseThrow().processes().stream()
            .map(process -> new io.gantry.checkpoint.resource.ProcessRef(process.pid(), process.nsPid()))
            .toList());
  }

  @Override
  public LastReport sendLast(PageSink sink) {
    require(State.STOPPED, "send the last pages");
    return tracer.call(() -> sendLastOnTracer(sink), TRACER_MAX);
  }

  private LastReport sendLastOnTracer(PageSink sink) {
    long begin = System.nanoTime();
    long bytes = sink.bytesSent();
    long zero = sink.zeroPagesSent();
    var all = stopped.orElseThrow();
    memory.awaitRequests(pid -> all.process(pid).map(StoppedProcess::anyThread));
    var own = network.map(NetworkCapture::last);
    var change = announce(placed(all), otherThreads(all), true, sink);
    var members = members(all, change.order());
    var breaks = new HashMap<Integer, Long>();
    final descriptors_entry files;
    final DescriptorCapture.Captured descriptors;
    final final_state.Builder state;
    // Descriptors are described from outside, and meanwhile this thread asks the processes for the rest. Begun first: while the container stands still,
    // connections come to wait at its listening sockets, and only those that came before count.
    try (var describing = Meanwhile.start("descriptors of " + target.name(), () -> DescriptorCapture.capture(tables(all, change.order())))) {
      // Everything that runs calls in the processes comes before their last pages are read.
      state = StateCapture.capture(all, stoppedAtNs, breaks);
      ipc.capture(members, inside(change.order())).ifPresent(state::setIpc);
      descriptors = describing.result();
    }
    // Behind the descriptors, some of which are the only way to queues.
    if (state.hasIpc()) {
      state.getIpcBuilder().addAllPosixQueues(ipc.messageQueues(members, descriptors.queues()));
    }
    own.ifPresent(state::setNetwork);
    files = target.origin().isPresent() ? withConsole(descriptors.state()) : descriptors.state();
    locks = descriptors.locks();
    connected = files.getTcpCount() > 0;
    all.processes().forEach(StoppedProcess::clean);
    // Before the last layouts, which may have mapped some of them.
    haul.ifPresent(hauled -> hauled.last(sink, all.processes().stream().map(process -> process.pid()).toList()));
    long stateDone = System.nanoTime();
    var frozen = change.order().stream().map(process -> new FrozenProcess(process, breaks.get(process.pid()))).toList();
    var openMemory = new HashMap<Integer, List<OpenMemory>>();
    for (var open : descriptors.memory()) {
      openMemory.computeIfAbsent(open.pid(), pid -> new ArrayList<>()).add(new OpenMemory(open.descriptor(), open.link()));
    }
    var round = memory.lastRound(rounds++, frozen, pid -> openMemory.getOrDefault(pid, List.of()), sink);
    memory.tmpfs().ifPresent(state::setTmpfs);
    final_state processes = state.build();
    var deletedFiles = new ArrayList<>(descriptors.deletedFiles());
    deletedFiles.addAll(mappedDeletedFiles());
    contents.last(deletedFiles, writableDeletedFiles()::contains, piece -> sink.message(StreamMessage.FILE_DATA, piece.toByteArray()));
    sink.message(StreamMessage.DESCRIPTORS, files.toByteArray());
    sink.message(StreamMessage.FINAL_STATE, processes.toByteArray());
    var hauledDigest = haul.map(HaulCapture::digest).orElse("");
    var digest = CommitDigest.of(memory.digest(), options.verify() ? memory.verifyDigest() : "", processes, files, hauledDigest);
    sink.message(
        StreamMessage.END, end_entry.newBuilder().setDigest(digest).setVerify(options.verify()).build().toByteArray());
    sink.flush();
    long zeroSent = sink.zeroPagesSent() - zero;
    return new LastReport(
        round.pages() + round.droppedPages() - zeroSent,
        zeroSent,
        sink.bytesSent() - bytes,
        System.nanoTime() - stateDone,
        stateDone - begin,
        digest);
  }

  /** The console of a container that a runtime has made lies outside of it, and somewhere else on each host. */
  private descriptors_entry withConsole(descriptors_entry files) {
    var named = files.toBuilder();
    for (var file : named.getFileBuilderList()) {
      if (file.getReg().getOutside() && file.getReg().getName().equals(target.console().toString())) {
        file.getRegBuilder().setName(FileContentReceiver.CONSOLE_INSIDE);
      }
    }
    return named.build();
  }

  private List<DescriptorCapture.DeletedFileRef> mappedDeletedFiles() {
    return memory.deletedFiles().stream()
        .map(
            file ->
                new DescriptorCapture.DeletedFileRef(
                    new FileIdentity(file.device(), file.inode()), file.pid(), file.link(), file.name(), file.temporary()))
        .toList();
  }

  private Set<FileIdentity> writableDeletedFiles() {
    return memory.writableDeletedFiles().stream().map(file -> new FileIdentity(file.device(), file.inode())).collect(Collectors.toSet());
  }

  private static Map<Integer, Integer> inside(List<ProcessRef> order) {
    Map<Integer, Integer> inside = new HashMap<>();
    order.forEach(process -> inside.put(process.pid(), process.nsPid()));
    return inside;
  }

  private static List<ContainerIpc.Member> members(StoppedTree all, List<ProcessRef> order) {
    return order.stream()
        .flatMap(process -> all.process(process.pid()).stream())
        .map(process -> new ContainerIpc.Member(process.nsPid(), process.anyThread()))
        .toList();
  }

  private static List<Placed> placed(StoppedTree all) {
    var pids = all.processes().stream().map(process -> process.pid()).toList();
    var placed = new ArrayList<>(TreeReader.living(() -> pids));
    Map<Integer, Integer> inside = new HashMap<>();
    placed.forEach(process -> inside.put(process.processId(), process.member().pid()));
    for (var zombie : all.zombies()) {
      placed.add(TreeReader.zombie(zombie.pid(), inside.getOrDefault(zombie.parentPid(), 0)));
    }
    return placed;
  }

  @Override
  public void hold() {
    require(State.STOPPED, "hand over to the freezer");
    haul.ifPresent(files -> target.directory().ifPresent(directory -> HaulNote.HAULED.write(directory, files.volumes())));
    var handover = target.directory().map(LockHandover::new).filter(directory -> !locks.isEmpty());
    handover.ifPresent(directory -> directory.note(locks));
    tracer.run(
        () -> {
          handover.ifPresent(directory -> LockHandover.releaseInside(stopped.orElseThrow(), locks));
          stopped.orElseThrow().hold(target.freezer(), FREEZER_MAX);
        },
        TRACER_MAX);
    stopped = Optional.empty();
    state = State.HELD;
    handover.ifPresent(directory -> LockHandover.releaseOutside(locks));
  }

  @Override
  public void resume() {
    if (state == State.STOPPED || state == State.HELD) {
      network.ifPresent(NetworkCapture::connect);
    }
    leave();
  }

  /**
   * Lets go of processes that were killed while they stood still. What was cut off stays cut off: as long as the kernel takes to
   * end them, it would answer for their connections, which are saved, with resets.
   */
  void killed() {
    leave();
  }

  private void leave() {
    switch (state) {
      case STOPPED -> tracer.run(this::runOn, TRACER_MAX);
      case HELD -> RunningOn.thaw(target, tracer);
      case RUNNING, ENDED -> {}
    }
    stopped = Optional.empty();
    haul.ifPresent(files -> target.directory().ifPresent(HaulNote.HAULED::forget));
    release();
  }

  /** Stopped and not held: either nothing was given up, or handing over to the freezer failed after that. */
  private void runOn() {
    var tree = stopped.orElseThrow();
    target.directory().map(LockHandover::new).filter(LockHandover::isPending).ifPresent(handover -> {
      handover.takeBack(tree, System.nanoTime() + LOCKS_MAX.toNanos());
      handover.forget();
    });
    tree.resume();
  }

  @Override
  public Optional<HaulFigures> haul() {
    return haul.map(HaulCapture::figures);
  }

  @Override
  public void destroyOriginal() {
    if (state == State.STOPPED) {
      throw new IllegalStateException("the original is destroyed only after it was held");
    }
    release();
    if (connected) {
      TcpQuiet.silence(target.processes(), target.networkOutlives());
    }
    target.destroy();
    haul.ifPresent(HaulCapture::moved);
    target.directory().ifPresent(HaulNote.HAULED::forget);
    target.directory().map(LockHandover::new).ifPresent(LockHandover::forget);
  }

  private void require(State wanted, String what) {
    if (state != wanted) {
      throw new IllegalStateException("cannot " + what + ": the capture of " + target.name() + " is " + state);
    }
  }

  /** Tracking first: a tracked process whose tracker is gone would only be slower, but nothing of it may stay. */
  private void release() {
    awake.ifPresent(WakefulPause::close);
    if (state != State.ENDED) {
      state = State.ENDED;
      haul.ifPresent(HaulCapture::close);
      memory.close();
      ipc.close();
      network.ifPresent(NetworkCapture::close);
      tracer.close();
    }
  }

  @Override
  public void close() {
    if (state == State.HELD) {
      release();
    } else {
      resume();
    }
  }
}
