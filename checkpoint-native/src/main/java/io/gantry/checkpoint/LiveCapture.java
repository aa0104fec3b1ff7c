package io.gantry.checkpoint;

import io.gantry.checkpoint.image.StreamMessage;
import io.gantry.checkpoint.image.descriptors_entry;
import io.gantry.checkpoint.image.end_entry;
import io.gantry.checkpoint.image.final_state;
import io.gantry.checkpoint.linux.SyscallNumber;
import io.gantry.checkpoint.memory.FrozenProcess;
import io.gantry.checkpoint.memory.MemoryCapture;
import io.gantry.checkpoint.memory.ProcessRef;
import io.gantry.checkpoint.procfs.ProcessGoneException;
import io.gantry.checkpoint.resource.DescriptorCapture;
import io.gantry.checkpoint.resource.FileContentSender;
import io.gantry.checkpoint.state.StateCapture;
import io.gantry.checkpoint.state.TreePlanCodec;
import io.gantry.checkpoint.state.TreeReader;
import io.gantry.checkpoint.state.TreeReader.Placed;
import io.gantry.checkpoint.tracee.RemoteTask;
import io.gantry.checkpoint.tracee.StoppedThread;
import io.gantry.checkpoint.tracee.StoppedTree;
import io.gantry.checkpoint.tracee.TracerThread;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Consumer;

/**
 * Captures a running tree of processes: rounds of memory while it runs, then everything else while it stands still. One thread at a
 * time; what needs ptrace runs on a tracer thread of its own.
 */
final class LiveCapture implements Capture {
  /** For stopping one thread of a running process; a process that waits in the kernel for a disk cannot be stopped before that is over. */
  private static final Duration STOP_ONE_MAX = Duration.ofSeconds(5);

  private static final Duration STOP_ALL_MAX = Duration.ofSeconds(5);
  private static final Duration FREEZER_MAX = Duration.ofSeconds(5);

  /** For work on the tracer thread; generous, because the phases have deadlines of their own and closing the sink breaks a send that hangs. */
  private static final Duration TRACER_MAX = Duration.ofMinutes(10);

  private enum State {
    RUNNING,
    STOPPED,
    HELD,
    ENDED
  }

  private final CaptureTarget target;
  private final CaptureOptions options;
  private final TracerThread tracer;
  private final MemoryCapture memory = new MemoryCapture();
  private final TreeTracker tree = new TreeTracker();
  private final FileContentSender contents;
  private int rounds;
  private State state = State.RUNNING;
  private Optional<StoppedTree> stopped = Optional.empty();
  private long stoppedAtNs;

  LiveCapture(CaptureTarget target, CaptureOptions options) {
    this.target = target;
    this.options = options;
    this.tracer = new TracerThread("tracer of " + target.name());
    this.contents = new FileContentSender(target.console());
  }

  @Override
  public RoundReport round(PageSink sink) {
    require(State.RUNNING, "send a round");
    long begin = System.nanoTime();
    long bytes = sink.bytesSent();
    long zero = sink.zeroPagesSent();
    var change = announce(TreeReader.living(target::processes), false, sink);
    var round = memory.round(rounds++, change.order(), this::whileStopped, sink);
    tree.keepOnly(memory.covered());
    contents.round(descriptorOwners(change.order()), piece -> sink.message(StreamMessage.FILE_DATA, piece.toByteArray()));
    sink.flush();
    long zeroSent = sink.zeroPagesSent() - zero;
    return new RoundReport(
        round.pages() + round.droppedPages() - zeroSent,
        zeroSent,
        sink.bytesSent() - bytes,
        System.nanoTime() - begin,
        memory.dirtyEstimate(),
        round.processes());
  }

  /** Tells the destination how its stubs change; what is not there in the order any more is forgotten by the memory's capture itself. */
  private TreeTracker.Change announce(List<Placed> processes, boolean last, PageSink sink) {
    var change = tree.advance(processes, last);
    change.rebuilt().forEach(memory::forget);
    sink.message(StreamMessage.TREE_PLAN, TreePlanCodec.encode(change.steps()).toByteArray());
    return change;
  }

  private void whileStopped(int pid, Consumer<RemoteTask> work) {
    tracer.run(
        () -> {
          try (var thread = StoppedThread.stopOne(pid, STOP_ONE_MAX)) {
            work.accept(thread);
          }
        },
        TRACER_MAX);
  }

  private static List<io.gantry.checkpoint.resource.ProcessRef> descriptorOwners(List<ProcessRef> processes) {
    return processes.stream().map(process -> new io.gantry.checkpoint.resource.ProcessRef(process.pid(), process.nsPid())).toList();
  }

  @Override
  public FreezeReport freeze() {
    require(State.RUNNING, "freeze");
    long begin = System.nanoTime();
    var all = tracer.call(() -> target.stop(STOP_ALL_MAX), TRACER_MAX);
    stopped = Optional.of(all);
    stoppedAtNs = begin;
    state = State.STOPPED;
    return new FreezeReport(System.nanoTime() - begin, all.threadCount());
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
    // Descriptors first: while the container stands still, connections come to wait at its listening sockets, and only those that came before count.
    var change = announce(placed(all), true, sink);
    var descriptors = DescriptorCapture.capture(descriptorOwners(change.order()));
    descriptors_entry files = descriptors.state();
    // Everything that runs calls in the processes comes before their last pages are read.
    final_state processes = StateCapture.capture(all, stoppedAtNs).build();
    var breaks = new HashMap<Integer, Long>();
    for (var process : all.processes()) {
      breaks.put(process.pid(), process.anyThread().call("brk", SyscallNumber.BRK, 0));
      process.clean();
    }
    long stateDone = System.nanoTime();
    var frozen = change.order().stream().map(process -> new FrozenProcess(process, breaks.get(process.pid()))).toList();
    var round = memory.lastRound(rounds++, frozen, sink);
    contents.last(descriptors.deletedFiles(), piece -> sink.message(StreamMessage.FILE_DATA, piece.toByteArray()));
    sink.message(StreamMessage.DESCRIPTORS, files.toByteArray());
    sink.message(StreamMessage.FINAL_STATE, processes.toByteArray());
    var digest = CommitDigest.of(memory.digest(), options.verify() ? memory.verifyDigest() : "", processes, files);
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

  private static List<Placed> placed(StoppedTree all) {
    var pids = all.processes().stream().map(process -> process.pid()).toList();
    var placed = new ArrayList<>(TreeReader.living(() -> pids));
    Map<Integer, Integer> inside = new HashMap<>();
    placed.forEach(process -> inside.put(process.pid(), process.member().pid()));
    for (var zombie : all.zombies()) {
      placed.add(TreeReader.zombie(zombie.pid(), inside.getOrDefault(zombie.parentPid(), 0)));
    }
    return placed;
  }

  @Override
  public void hold() {
    require(State.STOPPED, "hand over to the freezer");
    tracer.run(() -> stopped.orElseThrow().hold(target.freezer(), FREEZER_MAX), TRACER_MAX);
    stopped = Optional.empty();
    state = State.HELD;
  }

  @Override
  public void resume() {
    switch (state) {
      case STOPPED -> tracer.run(() -> stopped.orElseThrow().resume(), TRACER_MAX);
      case HELD -> target.freezer().thaw(FREEZER_MAX);
      case RUNNING, ENDED -> {}
    }
    stopped = Optional.empty();
    release();
  }

  @Override
  public void destroyOriginal() {
    if (state == State.STOPPED) {
      throw new IllegalStateException("the original is destroyed only after it was held");
    }
    release();
    target.destroy();
  }

  private void require(State wanted, String what) {
    if (state != wanted) {
      throw new IllegalStateException("cannot " + what + ": the capture of " + target.name() + " is " + state);
    }
  }

  /** Tracking first: a tracked process whose tracker is gone would only be slower, but nothing of it may stay. */
  private void release() {
    if (state != State.ENDED) {
      state = State.ENDED;
      memory.close();
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
