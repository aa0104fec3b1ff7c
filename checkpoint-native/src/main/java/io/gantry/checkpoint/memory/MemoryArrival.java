package io.gantry.checkpoint.memory;

import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.PageReceiver;
import io.gantry.checkpoint.image.StreamMessage;
import io.gantry.checkpoint.image.VmaStatus;
import io.gantry.checkpoint.image.fork_point;
import io.gantry.checkpoint.image.mapped_file;
import io.gantry.checkpoint.image.memfd_inode_entry;
import io.gantry.checkpoint.image.round_begin;
import io.gantry.checkpoint.image.round_end;
import io.gantry.checkpoint.image.round_process;
import io.gantry.checkpoint.image.shared_memory;
import io.gantry.checkpoint.image.tmpfs_state;
import io.gantry.checkpoint.ipc.IpcArrival;
import io.gantry.checkpoint.linux.SystemV;
import io.gantry.checkpoint.shm.ContainerShm;
import io.gantry.checkpoint.shm.ShmArrival;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * The memory of a container on its way in: pages are written straight into stubs, whose layout follows that of the original from round
 * to round.
 *
 * <p>Pages and messages come from one thread; {@link #finish} may be called on another one after the last of them.
 */
public final class MemoryArrival implements PageReceiver, AutoCloseable {
  private final StubProvider stubs;
  private final OnTracer tracer;
  private final IpcArrival ipc;
  private final boolean withDigests;
  private final PageDigest digest = new PageDigest();
  private final Map<Integer, mapped_file> files = new HashMap<>();
  private final DeletedFiles deletedFiles;
  private final Map<Long, SharedArrival> shared = new LinkedHashMap<>();
  private final Map<Integer, SharedArrival> sharedBySpace = new HashMap<>();
  private final Map<Integer, Process> processes = new LinkedHashMap<>();
  private final Map<Integer, StubMemory> memoryBySpace = new HashMap<>();

  /** Processes of this round whose stub is not there yet. */
  private final Map<Integer, round_process> toFork = new HashMap<>();

  /** What the last round wrote, to be read back. */
  private final Map<Integer, PageSet> lastWritten = new LinkedHashMap<>();

  /** The container's first process, with which its namespaces come. */
  private int first;

  /** Empty until something lies in the container's own {@code /dev/shm}. */
  private Optional<ShmArrival> shm = Optional.empty();

  private boolean last;

  /** This round clones stubs. */
  private boolean cloning;

  private boolean complete;

  private record Process(StubMemory memory, StubLayout layout, round_process description) {}

  /** Of processes in the host's ipc namespace. */
  public MemoryArrival(StubProvider stubs, OnTracer tracer) {
    this(
        stubs,
        tracer,
        new IpcArrival(
            () -> {
              throw new CheckpointException("segments of shmget(2) can only be made in a container");
            }),
        DeletedFiles.NONE,
        true);
  }

  /**
   * @param ipc where segments are made; stays the caller's
   * @param deletedFiles where files without a name come from; stays the caller's
   * @param withDigests whether rounds end with a digest, which those that CRIU saved do not
   */
  public MemoryArrival(StubProvider stubs, OnTracer tracer, IpcArrival ipc, DeletedFiles deletedFiles, boolean withDigests) {
    this.stubs = stubs;
    this.tracer = tracer;
    this.ipc = ipc;
    this.deletedFiles = deletedFiles;
    this.withDigests = withDigests;
  }

  @Override
  public void pages(int space, long[] addresses, int[] pageCounts, int runCount, MemorySegment data) {
    for (int run = 0; run < runCount; run++) {
      settle(space, addresses[run], addresses[run] + pageCounts[run] * Mmap.PAGE);
    }
    var memory = memoryBySpace.get(space);
    if (memory != null) {
      memory.write(addresses, pageCounts, runCount, data);
    } else {
      sharedOf(space).write(addresses, pageCounts, runCount, data);
    }
    if (last) {
      var set = lastWritten.computeIfAbsent(space, number -> new PageSet());
      for (int run = 0; run < runCount; run++) {
        set.add(addresses[run], addresses[run] + pageCounts[run] * Mmap.PAGE);
      }
    } else {
      digest.add(space, addresses, pageCounts, 0, runCount, data);
    }
  }

  @Override
  public void zero(int space, long address, long pageCount) {
    settle(space, address, address + pageCount * Mmap.PAGE);
    var memory = memoryBySpace.get(space);
    if (memory != null) {
      memory.zero(address, address + pageCount * Mmap.PAGE);
    } else {
      sharedOf(space).zero(address, pageCount * Mmap.PAGE);
    }
    digest.addZero(space, address, pageCount);
  }

  /** Reads back what the last round wrote here, because something else is about to come to the same place. */
  private void settle(int space, long start, long end) {
    var set = lastWritten.get(space);
    if (set != null) {
      var now = new PageSet();
      set.remove(start, end, now::add);
      if (!now.isEmpty()) {
        readBack(space, now);
      }
    }
  }

  private SharedArrival sharedOf(int space) {
    var object = sharedBySpace.get(space);
    if (object == null) {
      throw new CheckpointException("pages came for space " + space + ", which no round has announced");
    }
    return object;
  }

  /** Takes {@code ROUND_BEGIN}, {@code FORK} and {@code ROUND_END}; the others are not memory's. */
  @Override
  public void message(int type, byte[] bytes) {
    memoryBySpace.values().forEach(StubMemory::flush);
    try {
      switch (type) {
        case StreamMessage.ROUND_BEGIN -> {
          var begin = round_begin.parseFrom(bytes);
          tracer.run(() -> begin(begin));
        }
        case StreamMessage.FORK -> {
          int pid = fork_point.parseFrom(bytes).getPid();
          tracer.run(() -> fork(pid));
        }
        case StreamMessage.ROUND_END -> end(round_end.parseFrom(bytes));
        default -> throw new IllegalArgumentException("message " + type + " is not about memory");
      }
    } catch (InvalidProtocolBufferException e) {
      throw new CheckpointException("message " + type + " of the stream cannot be read: " + e.getMessage(), e);
    }
  }

  private void begin(round_begin round) {
    last = round.getLast();
    if (round.getProcessesCount() > 0) {
      first = round.getProcesses(0).getPid();
    }
    cloning = round.getProcessesList().stream().anyMatch(process -> process.getForkFrom() != 0);
    round.getFilesList().forEach(file -> files.put(file.getId(), file));
    var gone = new HashSet<>(processes.keySet());
    for (var process : round.getProcessesList()) {
      if (process.getForkFrom() == 0) {
        gone.remove(process.getPid());
      }
    }
    gone.forEach(this::remove);
    shareds(round);
    deletedFiles(round);
    toFork.clear();
    for (var process : round.getProcessesList()) {
      if (process.getForkFrom() != 0) {
        toFork.put(process.getPid(), process);
      } else {
        build(process);
      }
    }
    // Only now nothing maps them any more.
    var named = new HashSet<Long>();
    round.getSharedList().forEach(entry -> named.add(entry.getShmid()));
    shared.values().removeIf(
        object -> {
          boolean unused = !named.contains(object.shmid());
          if (unused) {
            sharedBySpace.remove(object.space());
            object.drop();
          }
          return unused;
        });
  }

  private void deletedFiles(round_begin round) {
    for (var file : round.getFilesList()) {
      if (file.hasDeleted()) {
        // Its name is one of the container's, so the first process has to be there.
        stubs.stub(round.getProcesses(0).getPid());
        deletedFiles.prepare(file, last);
      }
    }
  }

  private void shareds(round_begin round) {
    if (round.getSharedList().stream().anyMatch(shared_memory::hasSysv)) {
      // They need the namespace.
      stubs.stub(first);
    }
    var entries = new ArrayList<shared_memory>(round.getSharedList());
    // A segment that is removed gives its key to another.
    entries.sort(Comparator.comparing(entry -> (entry.getSysv().getMode() & SystemV.SHM_DEST) == 0));
    for (var entry : entries) {
      var known = shared.get(entry.getShmid());
      if (known != null && known.space() == entry.getSpace()) {
        known.update(entry);
        continue;
      }
      if (known != null) {
        // The inode number was used again for another object.
        sharedBySpace.remove(known.space());
        known.drop();
      }
      var object = new SharedArrival(entry, ipc, this::shm);
      shared.put(entry.getShmid(), object);
      sharedBySpace.put(entry.getSpace(), object);
    }
  }

  private ShmArrival shm() {
    if (shm.isEmpty()) {
      shm = Optional.of(new ShmArrival(stubs.stub(first).pid()));
    }
    return shm.get();
  }

  /** Gives everything in the container's own {@code /dev/shm} its name. After the last round, before {@link #finish}. */
  public void place(tmpfs_state state) {
    var descriptors = new HashMap<Long, Integer>();
    shared.forEach((shmid, object) -> descriptors.put(shmid, object.descriptor()));
    shm().place(state, descriptors);
    for (var node : state.getNodeList()) {
      if (node.hasShmid()) {
        String name = ContainerShm.PATH + "/" + node.getName(0);
        shared.get(node.getShmid()).placed(node.getDeleted() ? name + AddressSpaceReader.DELETED : name);
      }
    }
  }

  private void remove(int pid) {
    var process = processes.remove(pid);
    memoryBySpace.remove(process.memory.space());
    process.memory.close();
    stubs.remove(pid);
  }

  private void build(round_process process) {
    var known = processes.get(process.getPid());
    StubLayout layout;
    StubMemory memory;
    if (known == null) {
      var stub = stubs.stub(process.getPid());
      LayoutFinish.forgetArguments(stub);
      layout = new StubLayout(stub, files, shared, deletedFiles);
      layout.clear();
      memory = new StubMemory(stub, process.getSpace(), tracer, new PageSet());
    } else if (known.memory.space() != process.getSpace()) {
      // exec: nothing of the old address space stays.
      layout = known.layout;
      layout.clear();
      memoryBySpace.remove(known.memory.space());
      memory = new StubMemory(known.memory.stub(), process.getSpace(), tracer, new PageSet());
      known.memory.close();
    } else {
      layout = known.layout;
      memory = known.memory;
    }
    apply(process, memory, layout);
  }

  private void fork(int pid) {
    var process = toFork.remove(pid);
    if (process == null || !processes.containsKey(process.getForkFrom())) {
      throw new CheckpointException("process " + pid + " is to be cloned, but the round has not announced it and its parent");
    }
    var parent = processes.get(process.getForkFrom());
    var stub = stubs.fork(process.getForkFrom(), pid);
    var memory = new StubMemory(stub, process.getSpace(), tracer, parent.memory.written().copy());
    apply(process, memory, parent.layout.cloned(stub));
  }

  private void apply(round_process process, StubMemory memory, StubLayout layout) {
    layout.apply(vmas(process), memory.written(), memory::forget);
    memory.layout(layout.applied());
    memoryBySpace.put(process.getSpace(), memory);
    processes.put(process.getPid(), new Process(memory, layout, process));
  }

  private static List<Vma> vmas(round_process process) {
    var vmas = new ArrayList<Vma>(process.getMm().getVmasCount());
    process.getMm().getVmasList().forEach(entry -> vmas.add(Vma.of(entry)));
    vmas.removeIf(vma -> vma.is(VmaStatus.GUARD));
    return vmas;
  }

  private void end(round_end round) {
    if (!toFork.isEmpty()) {
      throw new CheckpointException("the round has ended, but these processes were not cloned: " + toFork.keySet());
    }
    lastWritten.forEach(this::readBack);
    lastWritten.clear();
    if (withDigests && !round.getDigest().equals(ByteString.copyFrom(digest.bytes()))) {
      throw new CheckpointException(
          "memory differs after round " + round.getRound() + ": the source computed another digest over the pages than this host, digest here "
              + digest.text() + "; nothing was activated, try again");
    }
    if (last) {
      memoryBySpace.values().forEach(StubMemory::requireWritten);
      shared.values().forEach(SharedArrival::seal);
      complete = true;
    }
  }

  /** The pages of the last round count as they are in the stub, not as they came. */
  private void readBack(int space, PageSet pages) {
    var memory = memoryBySpace.get(space);
    if (memory != null) {
      try (var reader = memory.reader()) {
        if (!cloning) {
          // What was written a moment ago belongs to the stub alone.
          reader.trustExclusive();
        }
        new ReadBack(digest, space, reader).add(pages);
      }
    } else {
      new ReadBack(digest, space, sharedOf(space)).add(pages);
    }
  }

  /** Digest over all pages so far, lower-case hexadecimal; see {@link MemoryCapture#digest()}. */
  public String digest() {
    return digest.text();
  }

  /** Digest over every page; see {@link MemoryCapture#verifyDigest()}. After the last round, before {@link #finish}. */
  public String verifyDigest() {
    var all = new PageDigest();
    var reading = new WholeMemory();
    for (var process : processes.values()) {
      try (var reader = process.memory.reader()) {
        reading.digest(all, process.memory.space(), process.layout.applied(), process.memory.written(), reader);
      }
    }
    try (var arena = Arena.ofConfined()) {
      var chunk = arena.allocate(1 << 20, Mmap.PAGE);
      for (var object : shared.values()) {
        long end = (object.bytes() + Mmap.PAGE - 1) & -Mmap.PAGE;
        for (long at = 0; at < end; at += chunk.byteSize()) {
          var part = chunk.asSlice(0, Math.min(chunk.byteSize(), end - at));
          object.read(at, part);
          all.addContent(object.space(), at, part);
        }
      }
    }
    return all.text();
  }

  /**
   * Gives one process its final protections, advice, locks and addresses, and compares its layout with the original's. After the
   * last round; every process must have been cloned. Afterwards only the bench is left to be unmapped.
   *
   * @throws CheckpointException with the first difference
   */
  public void finish(int nsPid) {
    finishAll(List.of(nsPid));
  }

  /** The same for several, which are made to do it at the same time. */
  public void finishAll(Collection<Integer> nsPids) {
    if (!complete) {
      throw new IllegalStateException("the last round has not come yet");
    }
    var all = new ArrayList<Process>();
    for (int nsPid : nsPids) {
      var process = processes.get(nsPid);
      if (process == null) {
        throw new CheckpointException("process " + nsPid + " was in no round");
      }
      all.add(process);
    }
    tracer.run(
        () -> {
          LayoutFinish.finish(
              all.stream()
                  .map(process -> new LayoutFinish.Wanted(process.memory.stub(), process.layout, process.description.getMm()))
                  .toList(),
              deletedFiles);
          for (var process : all) {
            var stub = process.memory.stub();
            process.description.getMm().getAiosList().forEach(ring -> AioArrival.make(stub, ring));
            LayoutCheck.check(stub, vmas(process.description), vma -> nameOf(vma, process.layout));
          }
        });
  }

  private String nameOf(Vma vma, StubLayout layout) {
    return vma.fromSharedObject() ? shared.get(vma.object()).mapsName() : layout.mapsName(vma);
  }

  /** Where the vdso of a process is in the final layout: its first address and its size in bytes. After {@link #finish}. */
  public Vdso vdso(int nsPid) {
    return vmas(processes.get(nsPid).description).stream()
        .filter(vma -> vma.is(VmaStatus.VDSO))
        .findFirst()
        .map(vma -> new Vdso(vma.start(), Math.toIntExact(vma.bytes())))
        .orElseThrow(() -> new CheckpointException("process " + nsPid + " has no vdso, without which it cannot be recreated"));
  }

  /** A mapped vdso. */
  public record Vdso(long start, int bytes) {}

  /** Processes of the last round, parents before their children. */
  public List<Integer> processes() {
    return List.copyOf(processes.keySet());
  }

  /** The same for a memfd. */
  public int sharedDescriptor(memfd_inode_entry file) {
    return sharedDescriptor(file.getSourceIno() | (file.getHugetlbFlag() != 0 ? Vma.HUGE : 0));
  }

  /**
   * A descriptor of the agent, open for reading and writing, for a shared object whose inode number on the source was {@code shmid}: for
   * descriptors of memfds. Stays open until {@link #close()}.
   */
  public int sharedDescriptor(long shmid) {
    var object = shared.get(shmid);
    if (object == null) {
      throw new CheckpointException("no shared-memory object with inode number " + shmid + " came with the last round");
    }
    return object.descriptor();
  }

  /** Closes the agent's descriptors; the stubs keep what they have. Idempotent. */
  @Override
  public void close() {
    processes.values().forEach(process -> process.memory.close());
    processes.clear();
    memoryBySpace.clear();
    shared.values().forEach(SharedArrival::close);
    shared.clear();
    sharedBySpace.clear();
  }
}
