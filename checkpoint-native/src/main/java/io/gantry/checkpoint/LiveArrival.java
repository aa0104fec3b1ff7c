package io.gantry.checkpoint;

import com.google.protobuf.InvalidProtocolBufferException;
import io.gantry.checkpoint.image.StreamMessage;
import io.gantry.checkpoint.image.descriptors_entry;
import io.gantry.checkpoint.image.end_entry;
import io.gantry.checkpoint.image.file_data_entry;
import io.gantry.checkpoint.image.final_state;
import io.gantry.checkpoint.image.process_state;
import io.gantry.checkpoint.image.task_core_entry;
import io.gantry.checkpoint.image.tree_plan_entry;
import io.gantry.checkpoint.memory.MemoryArrival;
import io.gantry.checkpoint.resource.DescriptorArrival;
import io.gantry.checkpoint.resource.FileContentReceiver;
import io.gantry.checkpoint.resource.FileIdentity;
import io.gantry.checkpoint.state.ProcessStateArrival;
import io.gantry.checkpoint.state.TreePlanCodec;
import io.gantry.checkpoint.tracee.Birth;
import io.gantry.checkpoint.tracee.RemoteTask;
import io.gantry.checkpoint.tracee.Stub;
import io.gantry.checkpoint.tracee.TracerThread;
import io.gantry.checkpoint.tracee.Vdso;
import java.lang.foreign.MemorySegment;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** Recreates a container from what a {@link LiveCapture} or an image directory sends. What needs ptrace runs on a tracer thread of its own. */
final class LiveArrival implements Arrival {
  private static final Duration TRACER_MAX = Duration.ofMinutes(10);
  private static final Duration FREEZER_MAX = Duration.ofSeconds(5);

  private final ArrivalSite site;
  private final TracerThread tracer;
  private final StubBuilder builder;
  private final MemoryArrival memory;
  private final FileContentReceiver contents;
  private Optional<final_state> state = Optional.empty();
  private Optional<descriptors_entry> descriptors = Optional.empty();
  private Optional<end_entry> end = Optional.empty();
  private Optional<ContainerHandle> held = Optional.empty();
  private boolean closed;

  LiveArrival(ArrivalSite site) {
    this.site = site;
    this.tracer = new TracerThread("builder of " + site.name());
    this.builder = new StubBuilder(site::begin);
    this.memory = new MemoryArrival(builder.forMemory(), this::onTracer);
    this.contents = new FileContentReceiver(site.console(), () -> builder.tree().root().pid());
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
          var plan = TreePlanCodec.decode(tree_plan_entry.parseFrom(bytes));
          onTracer(() -> builder.plan(plan));
        }
        case StreamMessage.ROUND_BEGIN, StreamMessage.FORK -> memory.message(type, bytes);
        case StreamMessage.ROUND_END -> {
          memory.message(type, bytes);
          onTracer(
              () -> {
                builder.finishPlan();
                builder.keepOnly(memory.processes());
              });
        }
        case StreamMessage.FILE_DATA -> contents.accept(file_data_entry.parseFrom(bytes));
        case StreamMessage.DESCRIPTORS -> descriptors = Optional.of(descriptors_entry.parseFrom(bytes));
        case StreamMessage.FINAL_STATE -> state = Optional.of(final_state.parseFrom(bytes));
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
    var digest = CommitDigest.of(memory.digest(), last.getVerify() ? memory.verifyDigest() : "", processes, files);
    if (!digest.equals(last.getDigest())) {
      throw new CheckpointException(
          "the copy of " + site.name() + " differs from the original: digest " + digest + " here, " + last.getDigest()
              + " on the source; nothing was activated, try again");
    }
    var handle = tracer.call(() -> build(processes, files), TRACER_MAX);
    held = Optional.of(handle);
    memory.close();
    contents.close();
    return new Report(handle, digest, System.nanoTime() - begin);
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
    Map<Integer, RemoteTask> stubs = new LinkedHashMap<>();
    living.keySet().forEach(pid -> stubs.put(pid, builder.find(pid)));
    var opened = DescriptorArrival.recreate(files, stubs, contents, memoryFiles(files));
    var arrivals = new ArrayList<ProcessStateArrival>();
    living.forEach((pid, process) -> arrivals.add(arrival(process)));
    living.keySet().forEach(memory::finish);
    arrivals.forEach(ProcessStateArrival::recreate);
    opened.armTimers(stubs);
    arrivals.forEach(ProcessStateArrival::rearmCalls);
    living.keySet().forEach(pid -> unmapBench(builder.find(pid), memory.vdso(pid)));
    arrivals.forEach(ProcessStateArrival::armAndSetRegisters);
    var root = builder.tree().root();
    builder.tree().holdAll(site.freezer(), FREEZER_MAX);
    return new ContainerHandle(site.name(), root.pid(), Birth.startTicks(root.pid()), site.cgroup(), site.directory());
  }

  private ProcessStateArrival arrival(process_state process) {
    var stub = builder.find(process.getTree().getPid());
    int[] others = process.getTree().getThreadsList().stream().mapToInt(Integer::intValue).filter(tid -> tid != stub.nsPid()).toArray();
    List<RemoteTask> threads = new ArrayList<>();
    threads.add(stub);
    threads.addAll(stub.startThreads(others));
    return new ProcessStateArrival(process, threads);
  }

  private static void unmapBench(Stub stub, MemoryArrival.Vdso vdso) {
    stub.unmapBenchLast(Vdso.systemCallAddress(stub.pid(), vdso.start(), vdso.bytes()));
  }

  private Map<FileIdentity, Integer> memoryFiles(descriptors_entry files) {
    Map<FileIdentity, Integer> found = new HashMap<>();
    for (var file : files.getMemfdList()) {
      found.put(new FileIdentity(file.getSourceDev(), file.getSourceIno()), memory.sharedDescriptor(file.getSourceIno()));
    }
    return found;
  }

  @Override
  public void activate() {
    if (held.isEmpty()) {
      throw new IllegalStateException("the copy of " + site.name() + " is not complete");
    }
    site.freezer().thaw(FREEZER_MAX);
  }

  @Override
  public void discard() {
    release();
    var copy = held;
    held = Optional.empty();
    site.destroy();
    // One that was not held has been taken by the builder already.
    copy.ifPresent(Birth::reap);
  }

  private void release() {
    if (!closed) {
      closed = true;
      memory.close();
      contents.close();
      tracer.run(builder::close, TRACER_MAX);
      tracer.close();
    }
  }

  @Override
  public void close() {
    if (held.isEmpty()) {
      discard();
    } else {
      release();
    }
  }
}
