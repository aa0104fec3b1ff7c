package io.gantry.checkpoint.tracee;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.linux.Clone3;
import io.gantry.checkpoint.linux.Errno;
import io.gantry.checkpoint.linux.KernelException;
import io.gantry.checkpoint.linux.ProcessVm;
import io.gantry.checkpoint.linux.Ptrace;
import io.gantry.checkpoint.linux.Signals;
import io.gantry.checkpoint.linux.SyscallNumber;
import io.gantry.checkpoint.linux.Wait;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.IntConsumer;
import java.util.stream.Collectors;

/**
 * A process with a chosen id that holds nothing but its bench, a stack and the kernel's own mappings, and that is going to become
 * another one. It is its own main thread. Tracer thread only.
 */
public final class Stub extends StubTask {
  private static final long THREAD_FLAGS =
      Clone3.VM | Clone3.FS | Clone3.FILES | Clone3.SIGHAND | Clone3.THREAD | Clone3.SYSVSEM | Clone3.PTRACE;

  /** Data bytes of one {@code clone3}: arguments and id, each rounded up to 16. */
  private static final int CLONE_DATA = 96 + 16;

  /** {@code linux/prctl.h}. */
  private static final int PR_SET_NAME = 15;

  /** {@code PROT_READ|PROT_WRITE|PROT_EXEC}, {@code MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED_NOREPLACE} ({@code asm-generic/mman.h}). */
  private static final int BENCH_PROTECTION = 7;

  private static final int BENCH_MAP = 0x02 | 0x20 | 0x100000;

  private final StubTree tree;
  private final List<StubThread> threads = new ArrayList<>();
  private Bench bench;
  private int runs;

  Stub(StubTree tree, int pid, int nsPid, Bench bench) {
    super(pid, nsPid);
    this.tree = tree;
    this.bench = bench;
  }

  @Override
  Stub stub() {
    return this;
  }

  Bench bench() {
    return bench;
  }

  /** How often calls were run in this process so far, in whichever thread: each time costs two changes of context. */
  public int runs() {
    return runs;
  }

  void countRun() {
    runs++;
  }

  /** How many threads can run a batch of a lane at once. */
  public int lanes() {
    return bench.lanes();
  }

  /**
   * A batch for {@link Together}, which may run in one thread of this process while batches of other lanes run in others.
   *
   * @param lane 0 to {@link #lanes} − 1
   * @return takes at least 160 calls and 4 KiB
   */
  public CallBatch laneBatch(int lane) {
    return bench.laneBatch(lane);
  }

  /** Process id in the innermost pid namespace. */
  public int nsPid() {
    return nsTid();
  }

  /** Where the bench is now. */
  public long benchStart() {
    return bench.start();
  }

  public long benchBytes() {
    return bench.bytes();
  }

  /** Threads started so far, without the main one, in the order in which they were asked for. */
  public List<StubThread> threads() {
    return Collections.unmodifiableList(threads);
  }

  /**
   * Moves the bench out of the way of the layout that is wanted. Batches made before are void.
   *
   * @param newAddress a multiple of 4096; {@link #benchBytes} bytes from there must be unmapped
   */
  public void moveBench(long newAddress) {
    moveBench(bench.at(newAddress), bench.start(), bench.bytes());
  }

  /** Maps the wanted bench, goes over to it, and unmaps {@code oldBytes} from {@code oldStart}. */
  void moveBench(Bench wanted, long oldStart, long oldBytes) {
    call(
        "mapping a bench at 0x" + Long.toHexString(wanted.start()),
        SyscallNumber.MMAP,
        wanted.start(),
        wanted.bytes(),
        BENCH_PROTECTION,
        BENCH_MAP,
        -1,
        0);
    bench = wanted;
    putCode();
    call("unmapping the old bench", SyscallNumber.MUNMAP, oldStart, oldBytes);
  }

  void putCode() {
    ProcessVm.write(pid(), bench.code(), CallLoop.code(), CallLoop.length());
  }

  /**
   * Another process from this one's memory, copy on write; stopped.
   *
   * @param born told the new process's id as the host counts
   */
  Stub fork(long flags, int nsPid, int cgroupDescriptor, IntConsumer born) {
    var batch = newBatch();
    var clone = addClone(batch, flags | Clone3.PTRACE, (flags & Clone3.PARENT) != 0 ? 0 : Signals.SIGCHLD, nsPid, cgroupDescriptor);
    try {
      run(batch);
    } catch (KernelException refused) {
      throw refused.errno() == Errno.EEXIST ? taken(nsPid, refused) : refused;
    }
    int pid = tree.hostTid(Math.toIntExact(clone.result()));
    awaitFirstStop(pid);
    born.accept(pid);
    return new Stub(tree, pid, nsPid, bench);
  }

  private CheckpointException taken(int nsPid, KernelException refused) {
    return new CheckpointException(
        "process id " + nsPid + " is taken on this host, so the process that had it cannot be recreated; end the other one first", refused);
  }

  private static CallBatch.Call addClone(CallBatch batch, long flags, int exitSignal, int wantedTid, int cgroupDescriptor) {
    long setTid = batch.bytes(ByteBuffer.allocate(4).order(ByteOrder.LITTLE_ENDIAN).putInt(wantedTid).array());
    long arguments = batch.bytes(Clone3.arguments(flags, exitSignal, setTid, 1, cgroupDescriptor));
    return batch.call("clone3 with id " + wantedTid, SyscallNumber.CLONE3, arguments, Clone3.BYTES);
  }

  private void awaitFirstStop(int tid) {
    int status = StopWait.await(tid, System.nanoTime() + RUN_MAX_NS);
    if (!Wait.stopped(status) || Wait.event(status) != Ptrace.EVENT_STOP) {
      throw new CheckpointException("a new stub, thread " + tid + ", did not stop as it should (wait status " + status + ")");
    }
  }

  /**
   * Starts those of some threads that it does not have yet, and ends all others.
   *
   * @param nsTids wanted ids in the innermost pid namespace, without the main thread's
   * @return them, in the order of {@code nsTids}
   */
  public List<StubThread> haveThreads(int[] nsTids) {
    keepOnlyThreads(nsTids);
    var found = new HashMap<Integer, StubThread>();
    threads.forEach(thread -> found.put(thread.nsTid(), thread));
    startThreads(Arrays.stream(nsTids).filter(tid -> !found.containsKey(tid)).toArray()).forEach(thread -> found.put(thread.nsTid(), thread));
    return Arrays.stream(nsTids).mapToObj(found::get).toList();
  }

  /** Ends every thread but the main one and these, and waits until their ids are free. */
  public void keepOnlyThreads(int[] nsTids) {
    var kept = Arrays.stream(nsTids).boxed().collect(Collectors.toSet());
    var surplus = threads.stream().filter(thread -> !kept.contains(thread.nsTid())).toList();
    surplus.forEach(StubThread::exit);
    threads.removeAll(surplus);
  }

  /**
   * Starts threads that stand still before their first instruction.
   *
   * @param nsTids wanted ids in the innermost pid namespace
   */
  public List<StubThread> startThreads(int[] nsTids) {
    var started = new ArrayList<StubThread>(nsTids.length);
    for (int next = 0; next < nsTids.length; ) {
      var batch = newBatch();
      int from = next;
      while (next < nsTids.length && batch.fits(1, CLONE_DATA)) {
        addClone(batch, THREAD_FLAGS, 0, nsTids[next++], 0);
      }
      run(batch);
      for (int i = from; i < next; i++) {
        int tid = tree.hostTid(nsTids[i]);
        awaitFirstStop(tid);
        started.add(new StubThread(this, tid, nsTids[i]));
      }
    }
    threads.addAll(started);
    return started;
  }

  /**
   * As {@link #startThreads}, for a process that may not choose ids: each thread gets the one that the kernel gives out next.
   *
   * @param announce has the kernel give out an id next
   * @throws CheckpointException when a thread gets another one
   */
  public List<StubThread> startThreadsInTurn(int[] nsTids, IntConsumer announce) {
    var started = new ArrayList<StubThread>(nsTids.length);
    for (int nsTid : nsTids) {
      announce.accept(nsTid);
      var batch = newBatch();
      long arguments = batch.bytes(Clone3.arguments(THREAD_FLAGS, 0, 0, 0, 0));
      var clone = batch.call("clone3", SyscallNumber.CLONE3, arguments, Clone3.BYTES);
      run(batch);
      int tid = tree.hostTid(Math.toIntExact(clone.result()));
      awaitFirstStop(tid);
      var thread = new StubThread(this, tid, Math.toIntExact(clone.result()));
      threads.add(thread);
      started.add(thread);
      if (thread.nsTid() != nsTid) {
        var what = "clone3 with id " + nsTid + " next, which gave " + thread.nsTid() + ",";
        throw taken(nsTid, new KernelException(what, Errno.EEXIST));
      }
    }
    return started;
  }

  /** Calls it what the program in it called itself: all that is left to see of a process that is to end. */
  void rename(String name) {
    var batch = newBatch();
    batch.call("prctl(PR_SET_NAME)", SyscallNumber.PRCTL, PR_SET_NAME, batch.string(name));
    run(batch);
  }

  /**
   * Lets the process end by itself, as the program in it did; does not wait for that.
   *
   * @param signal what killed it, or 0 when it exited with {@code code}
   */
  void leave(int signal, int code) {
    if (signal == 0) {
      var batch = newBatch();
      batch.call("exit_group(" + code + ")", SyscallNumber.EXIT_GROUP, code);
      begin(batch);
      Ptrace.cont(tid(), 0);
      return;
    }
    if (signal == Signals.SIGKILL) {
      // Nothing holds a process up that is killed, not even its tracer (man 2 ptrace).
      Signals.kill(pid(), signal);
      return;
    }
    setSignalMask(0);
    Signals.kill(pid(), signal);
    Ptrace.cont(tid(), 0);
    long end = System.nanoTime() + RUN_MAX_NS;
    int status = StopWait.await(tid(), end);
    while (Wait.stopped(status) && System.nanoTime() < end) {
      boolean delivered = Wait.event(status) == 0 && Wait.stopSignal(status) == signal;
      Ptrace.cont(tid(), delivered ? signal : 0);
      if (delivered) {
        return;
      }
      status = StopWait.await(tid(), end);
    }
  }

  /**
   * Unmaps the bench: the very last call of this process, made with a {@code syscall} instruction that is not in the bench. Set the final
   * registers of this thread afterwards.
   *
   * @param vdsoSyscallAddress from {@link Vdso#systemCallAddress}, in the final layout
   */
  public void unmapBenchLast(long vdsoSyscallAddress) {
    unmapBenchesLast(Map.of(this, vdsoSyscallAddress));
  }

  /**
   * The same for several, which do it at the same time.
   *
   * @param vdsoSyscallAddresses for each of them
   */
  public static void unmapBenchesLast(Map<Stub, Long> vdsoSyscallAddresses) {
    long end = System.nanoTime() + RUN_MAX_NS;
    vdsoSyscallAddresses.forEach(Stub::beginUnmapping);
    // In and out again. No single step: its trap would reset a signal disposition that has been restored already.
    vdsoSyscallAddresses.keySet().forEach(stub -> {
      stub.awaitSystemCallStop(end);
      Ptrace.continueToSystemCall(stub.tid());
    });
    vdsoSyscallAddresses.keySet().forEach(stub -> {
      stub.awaitSystemCallStop(end);
      stub.endUnmapping();
    });
    for (var stub : vdsoSyscallAddresses.keySet()) {
      while (Wait.event(stub.awaitStop(end)) != Ptrace.EVENT_STOP) {
        Ptrace.cont(stub.tid(), 0);
      }
    }
  }

  private void beginUnmapping(long vdsoSyscallAddress) {
    Registers.read(tid())
        .with(Registers.RIP, vdsoSyscallAddress)
        .with(Registers.RAX, SyscallNumber.MUNMAP)
        .with(Registers.RDI, bench.start())
        .with(Registers.RSI, bench.bytes())
        .with(Registers.ORIG_RAX, -1)
        .write(tid());
    Ptrace.continueToSystemCall(tid());
  }

  private void awaitSystemCallStop(long end) {
    while (true) {
      int status = awaitStop(end);
      if (Wait.event(status) == 0 && Wait.stopSignal(status) == Signals.SIGTRAP) {
        return;
      }
      Ptrace.continueToSystemCall(tid());
    }
  }

  private void endUnmapping() {
    long result = Ptrace.registers(tid())[Registers.RAX];
    if (result != 0) {
      throw new KernelException("unmapping the bench of " + this, (int) -result);
    }
    // On to a stop from which the kernel looks at restart codes; behind a system call's exit it would not.
    Ptrace.interrupt(tid());
    Ptrace.cont(tid(), 0);
  }

  @Override
  public String toString() {
    return "the stub of process " + nsPid();
  }
}
