package io.gantry.checkpoint.ipc;

import io.gantry.checkpoint.image.ipc_desc_entry;
import io.gantry.checkpoint.image.ipc_msg;
import io.gantry.checkpoint.image.ipc_msg_entry;
import io.gantry.checkpoint.image.ipc_sem_entry;
import io.gantry.checkpoint.image.ipc_state;
import io.gantry.checkpoint.image.ipc_var_entry;
import io.gantry.checkpoint.image.posix_queue_entry;
import io.gantry.checkpoint.linux.AsUser;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.IpcThread;
import io.gantry.checkpoint.linux.PosixQueue;
import io.gantry.checkpoint.linux.SyscallNumber;
import io.gantry.checkpoint.linux.SystemV;
import io.gantry.checkpoint.linux.SystemV.Type;
import io.gantry.checkpoint.tracee.CallBatch;
import io.gantry.checkpoint.tracee.RemoteTask;
import io.gantry.checkpoint.user.UserNamespaces;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Consumer;
import java.util.function.IntSupplier;
import java.util.function.ToLongFunction;

/**
 * The ipc namespace of a container that is being made. Segments come to be when memory first hears of them, everything else at the end. What a
 * process leaves behind as the last one to have used an object is left by its stub. One thread at a time; {@link #finish} on the tracer thread.
 */
public final class IpcArrival implements AutoCloseable {
  /** Messages up to this size are sent by a stub. */
  private static final int STUB_MESSAGE_BYTES = 16 << 10;

  private final IntSupplier root;
  private Optional<IpcThread> thread = Optional.empty();

  /** @param root asked for the first stub, as the host counts, once it exists */
  public IpcArrival(IntSupplier root) {
    this.root = root;
  }

  private IpcThread thread() {
    if (thread.isEmpty()) {
      thread = Optional.of(IpcThread.enter(root.getAsInt()));
    }
    return thread.get();
  }

  /** Creates a segment and attaches it to this process, which keeps it alive whatever is done to it. */
  public SystemV.Attached create(ipc_desc_entry entry, long bytes) {
    return thread()
        .call(
            () -> {
              SystemV.create(Type.SHM, description(entry), bytes);
              return SystemV.attach(entry.getId(), bytes, false);
            });
  }

  /** Removes a segment; it goes when the last one that has attached it lets go. */
  public void remove(int segment) {
    thread()
        .call(
            () -> {
              SystemV.remove(Type.SHM, segment);
              return true;
            });
  }

  private static SystemV.Description description(ipc_desc_entry entry) {
    return new SystemV.Description(
        entry.getId(), entry.getKey(), entry.getUid(), entry.getGid(), entry.getCuid(), entry.getCgid(), entry.getMode());
  }

  /** Makes the POSIX message queues with what waits in them, before they are opened. */
  public void prepare(ipc_state state) {
    if (state.getPosixQueuesCount() > 0) {
      inside(
          () -> {
            // Until everything is made; a queue beyond the limits would need CAP_SYS_RESOURCE.
            var owner = owner();
            owner.run(
                () -> {
                  setQueueLimit("queues_max", state.getPosixQueuesCount(), true);
                  setQueueLimit("msg_max", largest(state, posix_queue_entry::getMaxmsg), true);
                  setQueueLimit("msgsize_max", largest(state, posix_queue_entry::getMsgsize), true);
                });
            state.getPosixQueuesList().forEach(queue -> make(queue, owner));
          });
    }
  }

  private static int largest(ipc_state state, ToLongFunction<posix_queue_entry> what) {
    return Math.toIntExact(state.getPosixQueuesList().stream().mapToLong(what).max().orElse(0));
  }

  private static void make(posix_queue_entry queue, AsUser owner) {
    var attributes = new PosixQueue.Attributes(queue.getMaxmsg(), queue.getMsgsize(), 0);
    int made = PosixQueue.create(name(queue), queue.getUid(), queue.getGid(), queue.getMode(), attributes, owner);
    try {
      queue.getMessagesList().forEach(message -> PosixQueue.send(made, message.getContent().toByteArray(), message.getPriority()));
    } finally {
      Fd.close(made);
    }
  }

  private static String name(posix_queue_entry queue) {
    return queue.hasName() ? queue.getName() : nameMeanwhile(queue.getNumber());
  }

  /** The name that an unlinked queue has until everybody has opened it. */
  public static String nameMeanwhile(long number) {
    return ".gantry-unlinked-" + number;
  }

  private void finishQueues(ipc_state state, Map<Integer, ? extends RemoteTask> stubs) {
    for (var queue : state.getPosixQueuesList()) {
      if (queue.hasNotification()) {
        PosixQueueReading.register(stubs.get(queue.getNotification().getPid()), queue.getNotification());
      }
      if (!queue.hasName()) {
        inside(() -> PosixQueue.unlink(name(queue)));
      }
    }
  }

  /**
   * Makes the rest.
   *
   * @param stubs by the container's number, the first one first; all their threads exist, and they have every right still
   */
  public void finish(ipc_state state, Map<Integer, ? extends RemoteTask> stubs) {
    var makers = new Makers(stubs);
    inside(
        () -> {
          // Until everything is made; a queue of more than the limit would need CAP_SYS_RESOURCE.
          long room = state.getQueuesList().stream().mapToLong(IpcArrival::room).max().orElse(0);
          owner()
              .run(
                  () -> {
                    setLimits(state.getLimits(), true);
                    set("msgmnb", SystemV.limits().msgmnb(), room, true);
                  });
          state.getSegmentsList().forEach(segment -> finish(segment.getDesc()));
          state.getSemaphoresList().forEach(set -> SystemV.create(Type.SEM, description(set.getDesc()), set.getNsems()));
          state.getQueuesList().forEach(IpcArrival::create);
        });
    var sets = new HashMap<Integer, ipc_sem_entry>();
    for (var set : state.getSemaphoresList()) {
      sets.put(set.getDesc().getId(), set);
      fill(set, makers);
    }
    var lent = new HashSet<List<Integer>>();
    for (var undo : state.getUndoList()) {
      int value = sets.get(undo.getSemid()).getValues(undo.getNumber());
      makers.add(undo.getPid(), batch -> SemaphoreUndo.restore(batch, undo.getSemid(), undo.getNumber(), value, undo.getAdjustment()));
      lent.add(List.of(undo.getSemid(), undo.getNumber()));
    }
    makers.run();
    for (var semaphore : lent) {
      var set = sets.get(semaphore.getFirst());
      int number = semaphore.getLast();
      makers.add(
          set.getPids(number), batch -> SemaphoreUndo.touch(batch, set.getDesc().getId(), number, set.getValues(number)));
    }
    makers.run();
    state.getQueuesList().forEach(queue -> fill(queue, makers));
    finishQueues(state, stubs);
    inside(() -> owner().run(() -> setLimits(state.getLimits(), false)));
  }

  /** The root of the user namespace that owns the ipc namespace: its settings are his alone. */
  private AsUser owner() {
    return UserNamespaces.root(root.getAsInt());
  }

  private void inside(Runnable work) {
    thread()
        .call(
            () -> {
              work.run();
              return true;
            });
  }

  private static void finish(ipc_desc_entry segment) {
    var description = description(segment);
    SystemV.setOwner(Type.SHM, description, 0);
    if ((description.mode() & SystemV.SHM_LOCKED) != 0) {
      SystemV.lock(description.id(), true);
    }
  }

  private static void fill(ipc_sem_entry set, Makers makers) {
    int id = set.getDesc().getId();
    if (set.getOperated()) {
      int who = set.getPidsList().stream().filter(pid -> pid != 0).findFirst().orElse(0);
      makers.add(who, batch -> SemaphoreUndo.operate(batch, id, Math.max(0, set.getPidsList().indexOf(who))));
      makers.run();
    }
    for (int i = 0; i < set.getNsems(); i++) {
      int number = i;
      if (set.getValues(i) != 0 || set.getPids(i) != 0) {
        makers.add(
            set.getPids(i),
            batch ->
                batch.call("semctl(" + id + ", SETVAL)", SyscallNumber.SEMCTL, id, number, SystemV.SETVAL, set.getValues(number)));
      }
    }
    makers.run();
  }

  private static void create(ipc_msg_entry queue) {
    var description = description(queue.getDesc());
    SystemV.create(Type.MSG, description, 0);
    SystemV.setOwner(Type.MSG, description, room(queue));
  }

  /** For all messages, in bytes and, since each counts as a byte, in number; the limit may have been lowered since they were sent. */
  private static long room(ipc_msg_entry queue) {
    long bytes = queue.getMessagesList().stream().mapToLong(ipc_msg::getMsize).sum();
    return Math.max(Integer.toUnsignedLong(queue.getQbytes()), Math.max(bytes, queue.getQnum()));
  }

  private void fill(ipc_msg_entry queue, Makers makers) {
    int id = queue.getDesc().getId();
    if (queue.getLastReceiver() != 0) {
      makers.add(
          queue.getLastReceiver(),
          batch -> {
            send(batch, id, 1, new byte[0]);
            batch.call("msgrcv(" + id + ")", SyscallNumber.MSGRCV, id, batch.reserve(Long.BYTES), 0, 0, SystemV.IPC_NOWAIT);
          });
      makers.run();
    }
    var messages = new ArrayList<ipc_msg>(queue.getMessagesList());
    boolean byStub =
        queue.getLastSender() != 0 && !messages.isEmpty() && messages.getLast().getMsize() <= STUB_MESSAGE_BYTES;
    var last = byStub ? Optional.of(messages.removeLast()) : Optional.<ipc_msg>empty();
    inside(() -> messages.forEach(message -> SystemV.send(id, new SystemV.Message(message.getMtype(), message.getContent().toByteArray()))));
    last.ifPresent(
        message -> {
          makers.add(queue.getLastSender(), batch -> send(batch, id, message.getMtype(), message.getContent().toByteArray()));
          makers.run();
        });
    inside(() -> SystemV.setOwner(Type.MSG, description(queue.getDesc()), Integer.toUnsignedLong(queue.getQbytes())));
  }

  private static void send(CallBatch batch, int queue, long type, byte[] content) {
    byte[] message = ByteBuffer.allocate(Long.BYTES + content.length).order(ByteOrder.LITTLE_ENDIAN).putLong(type).put(content).array();
    batch.call("msgsnd(" + queue + ")", SyscallNumber.MSGSND, queue, batch.bytes(message), content.length, SystemV.IPC_NOWAIT);
  }

  /** @param onlyRaise leave those that are higher already, as long as things are being made */
  private static void setLimits(ipc_var_entry wanted, boolean onlyRaise) {
    var now = SystemV.limits();
    set("msgmax", now.msgmax(), wanted.getMsgCtlmax(), onlyRaise);
    set("msgmnb", now.msgmnb(), wanted.getMsgCtlmnb(), onlyRaise);
    set("msgmni", now.msgmni(), wanted.getMsgCtlmni(), onlyRaise);
    set("shmmax", now.shmmax(), wanted.getShmCtlmax(), onlyRaise);
    set("shmall", now.shmall(), wanted.getShmCtlall(), onlyRaise);
    set("shmmni", now.shmmni(), wanted.getShmCtlmni(), onlyRaise);
    var semaphores = new ArrayList<String>();
    boolean differ = false;
    for (int i = 0; i < now.semaphores().length; i++) {
      int value = onlyRaise ? Math.max(now.semaphores()[i], wanted.getSemCtls(i)) : wanted.getSemCtls(i);
      differ |= value != now.semaphores()[i];
      semaphores.add(Integer.toString(value));
    }
    if (differ) {
      SystemV.setLimit("sem", String.join(" ", semaphores));
    }
    if (!onlyRaise) {
      set("shm_rmid_forced", now.removeForced(), wanted.getShmRmidForced(), false);
      if (wanted.hasMqMsgDefault()) {
        setQueueLimit("queues_max", wanted.getMqQueuesMax(), false);
        setQueueLimit("msg_max", wanted.getMqMsgMax(), false);
        setQueueLimit("msgsize_max", wanted.getMqMsgsizeMax(), false);
        setQueueLimit("msg_default", wanted.getMqMsgDefault(), false);
        setQueueLimit("msgsize_default", wanted.getMqMsgsizeDefault(), false);
      }
    }
  }

  private static void setQueueLimit(String name, int wanted, boolean onlyRaise) {
    int now = PosixQueue.limit(name);
    if (now != wanted && (!onlyRaise || now < wanted)) {
      PosixQueue.setLimit(name, wanted);
    }
  }

  private static void set(String name, long now, long wanted, boolean onlyRaise) {
    if (now != wanted && (!onlyRaise || Long.compareUnsigned(now, wanted) < 0)) {
      SystemV.setLimit(name, Long.toUnsignedString(wanted));
    }
  }

  /** Collects calls by the stub that has to make them; the first one stands in for processes that are gone. */
  private static final class Makers {
    private final Map<Integer, ? extends RemoteTask> stubs;
    private final RemoteTask first;
    private final Map<RemoteTask, CallBatch> batches = new HashMap<>();

    Makers(Map<Integer, ? extends RemoteTask> stubs) {
      this.stubs = stubs;
      this.first = stubs.values().iterator().next();
    }

    void add(int pid, Consumer<CallBatch> calls) {
      RemoteTask known = stubs.get(pid);
      RemoteTask task = known == null ? first : known;
      var batch = batches.computeIfAbsent(task, RemoteTask::newBatch);
      if (!batch.fits(2, 2 * STUB_MESSAGE_BYTES)) {
        task.run(batch);
        batch = task.newBatch();
        batches.put(task, batch);
      }
      calls.accept(batch);
    }

    void run() {
      batches.forEach((task, batch) -> task.run(batch));
      batches.clear();
    }
  }

  /** Leaves the namespace. Idempotent. */
  @Override
  public void close() {
    thread.ifPresent(IpcThread::close);
    thread = Optional.empty();
  }
}
