package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.Pidfd;
import io.gantry.checkpoint.linux.SyscallNumber;
import io.gantry.checkpoint.tracee.CallBatch;
import io.gantry.checkpoint.tracee.RemoteTask;
import io.gantry.checkpoint.tracee.Together;
import java.util.Collection;

/**
 * The descriptor table of one stub while it is being filled. Calls are collected into batches; {@link #flush} runs what is left.
 *
 * <p>INVARIANT: until the descriptors are put where they belong, everything lies in numbered <em>slots</em> that no
 * captured process
 * uses, and between two units of calls nothing lies below the slots. So the next descriptor that the kernel gives out is
 * always 0.
 *
 * <p>Only the tracer thread may use it.
 */
final class StubDescriptors implements AutoCloseable {
  private final int nsPid;
  private final RemoteTask task;
  private CallBatch batch;
  private int pidfd = -1;

  StubDescriptors(int nsPid, RemoteTask task) {
    this.nsPid = nsPid;
    this.task = task;
  }

  /** As the container counts. */
  int nsPid() {
    return nsPid;
  }

  RemoteTask task() {
    return task;
  }

  /** Of the process or thread whose table it is, as the host counts. */
  int pid() {
    return task.tid();
  }

  private boolean isThread() {
    return task.tid() != task.pid();
  }

  /**
   * Makes sure that a unit of calls, which may be linked to each other, goes into one batch.
   *
   * @param calls how many at most
   * @param bytes of data at most, each piece rounded up to 16
   */
  void need(int calls, int bytes) {
    if (batch != null && !batch.fits(calls, bytes + 16)) {
      flush();
    }
    if (batch == null) {
      batch = task.newBatch();
    }
  }

  /** Adds a call that must succeed, within a unit that {@link #need} announced. */
  CallBatch.Call call(String what, int number, long... arguments) {
    return batch.call(what, number, arguments);
  }

  /** Adds a call that may fail, as above. */
  void attempt(String what, int number, long... arguments) {
    batch.attempt(what, number, arguments);
  }

  long bytes(byte[] content) {
    return batch.bytes(content);
  }

  /** Puts a path and its final zero byte into the batch; up to three bytes for each character, and 16. */
  long path(String path) {
    return batch.string(path);
  }

  long reserve(int size) {
    return batch.reserve(size);
  }

  /** Moves what a call has opened into a slot; two calls of the unit. */
  void park(CallBatch.Call opened, int slot) {
    call("dup3(into slot)", SyscallNumber.DUP3, 0, slot, Fd.O_CLOEXEC).link(0, opened);
    call("close(moved descriptor)", SyscallNumber.CLOSE, 0).link(0, opened);
  }

  /** Opens a path, as the stub's mount namespace names it, into a slot; a unit of its own. */
  void open(String path, int flags, int slot) {
    need(3, path.length() * 3 + 16);
    int safe = flags | Fd.O_NOCTTY | Fd.O_CLOEXEC;
    park(call("open(\"" + path + "\")", SyscallNumber.OPENAT, Fd.AT_FDCWD, batch.string(path), safe, 0), slot);
  }

  /** Opens what lies in a slot once more, with its own position and flags, into another slot; a unit of its own. The way there is a link. */
  void openAgain(int source, int flags, int slot) {
    open("/proc/thread-self/fd/" + source, flags & ~Fd.O_NOFOLLOW, slot);
  }

  /** Runs what was collected. */
  void flush() {
    if (batch != null && batch.size() > 0) {
      var full = batch;
      batch = null;
      task.run(full);
    }
  }

  /** Runs what was collected for each of them, at the same time; none may need what another one does. */
  static void flushAll(Collection<StubDescriptors> stubs) {
    var together = new Together(Together.USUALLY);
    for (var stub : stubs) {
      if (stub.batch != null && !stub.isThread()) {
        var full = stub.batch;
        stub.batch = null;
        together.add(stub.task, full);
      }
    }
    together.finish();
    // They run their calls in the same place as their process.
    stubs.stream().filter(StubDescriptors::isThread).forEach(StubDescriptors::flush);
  }

  /** Our own copy of one of the stub's descriptors; the caller closes it. Everything collected has been run. */
  int take(int fd) {
    if (pidfd < 0) {
      pidfd = Pidfd.open(pid(), Pidfd.THREAD);
    }
    return Pidfd.getfd(pidfd, fd);
  }

  @Override
  public void close() {
    if (pidfd >= 0) {
      Fd.close(pidfd);
      pidfd = -1;
    }
  }
}
