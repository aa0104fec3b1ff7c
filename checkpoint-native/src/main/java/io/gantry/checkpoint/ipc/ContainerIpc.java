package io.gantry.checkpoint.ipc;

import com.google.protobuf.ByteString;
import io.gantry.checkpoint.image.ipc_desc_entry;
import io.gantry.checkpoint.image.ipc_msg;
import io.gantry.checkpoint.image.ipc_msg_entry;
import io.gantry.checkpoint.image.ipc_sem_entry;
import io.gantry.checkpoint.image.ipc_shm_entry;
import io.gantry.checkpoint.image.ipc_state;
import io.gantry.checkpoint.image.ipc_var_entry;
import io.gantry.checkpoint.image.posix_queue_entry;
import io.gantry.checkpoint.image.sem_undo_entry;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.FileSystemType;
import io.gantry.checkpoint.linux.IpcThread;
import io.gantry.checkpoint.linux.Kcmp;
import io.gantry.checkpoint.linux.PosixQueue;
import io.gantry.checkpoint.linux.SystemV;
import io.gantry.checkpoint.linux.SystemV.Segment;
import io.gantry.checkpoint.procfs.Link;
import io.gantry.checkpoint.tracee.RemoteTask;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;

/**
 * The ipc namespace of a container that is being captured. Looking changes nothing there. Any thread, one at a time.
 *
 * <p>Not kept, because no call sets them: times, and the process that made a segment or last attached it.
 */
public final class ContainerIpc implements AutoCloseable {
  /** No huge page is smaller. */
  private static final long HUGE_PAGE = 2 << 20;

  private Optional<IpcThread> thread = Optional.empty();

  /** Shows its POSIX message queues. */
  private OptionalInt queues = OptionalInt.empty();

  /** A container is in an ipc namespace of its own; a tree in the host's has nothing there that is its own. */
  private Optional<Boolean> own = Optional.empty();

  private boolean enter(int root) {
    if (own.isEmpty()) {
      own = Optional.of(isOwn(root));
      if (own.get()) {
        thread = Optional.of(IpcThread.enter(root));
        queues = thread.get().call(PosixQueue::mount);
      }
    }
    return own.get();
  }

  /** Whether a process is in another ipc namespace than this one is. */
  public static boolean isOwn(int root) {
    return !Link.read(root, "ns/ipc").equals(Link.read((int) ProcessHandle.current().pid(), "ns/ipc"));
  }

  /** All segments. @param root the container's first process, as the host counts */
  public List<Segment> segments(int root) {
    return enter(root) ? thread.orElseThrow().call(() -> SystemV.count(SystemV.Type.SHM) == 0 ? List.of() : SystemV.segments()) : List.of();
  }

  /** A descriptor of the memory of a segment that nobody has mapped; belongs to the caller. Empty when it has gone meanwhile. */
  public OptionalInt openDetached(Segment segment) {
    try {
      return thread
          .orElseThrow()
          .call(
              () -> {
                var attached = SystemV.attach(segment.description().id(), segment.bytes(), true);
                SystemV.detach(attached.address());
                return OptionalInt.of(attached.fd());
              });
    } catch (io.gantry.checkpoint.linux.KernelException gone) {
      return OptionalInt.empty();
    }
  }

  /** What speaks against carrying the segments, in sentences. @param root the container's first process, as the host counts */
  public List<String> obstacles(int root) {
    var found = new ArrayList<String>();
    for (var segment : segments(root)) {
      int id = segment.description().id();
      if (segment.attached() == 0 && thread.orElseThrow().call(SystemV::limits).removeForced() != 0) {
        found.add(
            "segment " + id + " is attached nowhere and lives only as long as its maker, because kernel.shm_rmid_forced is 1; set that to 0 or remove"
                + " the segment with ipcrm(1)");
      } else if (segment.attached() == 0 && segment.bytes() % HUGE_PAGE == 0) {
        openDetached(segment)
            .ifPresent(
                fd -> {
                  if (FileSystemType.of(fd) == FileSystemType.HUGETLBFS) {
                    found.add("segment " + id + " lies in reserved huge pages (SHM_HUGETLB), which cannot be carried; remove it with ipcrm(1)");
                  }
                  Fd.close(fd);
                });
      }
    }
    return found;
  }

  /** A process of the container. @param nsPid its id as the container counts; @param task a stopped thread of it */
  public record Member(int nsPid, RemoteTask task) {}

  /** A POSIX message queue that is open. @param number its inode number; @param pid a process that has it, as the host counts; @param fd there */
  public record OpenQueue(long number, int pid, int fd) {}

  /**
   * Limits and System V objects, of a container that stands still.
   *
   * @param members all processes, the first of the container first
   * @param inside the container's number of each process, by the host's
   */
  public Optional<ipc_state> capture(List<Member> members, Map<Integer, Integer> inside) {
    if (!enter(members.getFirst().task().pid())) {
      return Optional.empty();
    }
    var there = thread.orElseThrow();
    var state = there.call(() -> objects(inside));
    if (state.getSemaphoresCount() > 0) {
      for (var member : members) {
        // Most processes have no undo list, as the thread has none.
        if (!Kcmp.sameUndoList(member.task().pid(), there.tid())) {
          for (var set : state.getSemaphoresList()) {
            state.addAllUndo(undo(member, set));
          }
        }
      }
    }
    return Optional.of(state.build());
  }

  /**
   * The POSIX message queues of a container that stands still, behind {@link #capture}. On the tracer thread.
   *
   * @param members all processes, the first of the container first
   * @param open queues that processes have open, each once
   */
  public List<posix_queue_entry> messageQueues(List<Member> members, List<OpenQueue> open) {
    return queues.isPresent() ? PosixQueueReading.all(queues.getAsInt(), open, members) : List.of();
  }

  private static List<sem_undo_entry> undo(Member member, ipc_sem_entry set) {
    var found = new ArrayList<sem_undo_entry>();
    new SemaphoreUndo(member.task(), set.getDesc().getId(), set.getValuesList())
        .read()
        .forEach(
            (number, adjustment) ->
                found.add(
                    sem_undo_entry.newBuilder()
                        .setPid(member.nsPid())
                        .setSemid(set.getDesc().getId())
                        .setNumber(number)
                        .setAdjustment(adjustment)
                        .build()));
    return found;
  }

  private static ipc_state.Builder objects(Map<Integer, Integer> inside) {
    var state = ipc_state.newBuilder().setLimits(entry(SystemV.limits()));
    if (SystemV.count(SystemV.Type.SHM) > 0) {
      SystemV.segments().forEach(segment -> state.addSegments(entry(segment)));
    }
    if (SystemV.count(SystemV.Type.SEM) > 0) {
      SystemV.semaphores().forEach(set -> state.addSemaphores(entry(set, inside)));
    }
    if (SystemV.count(SystemV.Type.MSG) > 0) {
      SystemV.queues().forEach(queue -> state.addQueues(entry(queue, inside)));
    }
    return state;
  }

  private static ipc_shm_entry entry(Segment segment) {
    return ipc_shm_entry.newBuilder().setDesc(entry(segment.description())).setSize(segment.bytes()).setInPagemaps(true).build();
  }

  private static ipc_sem_entry entry(SystemV.Semaphores set, Map<Integer, Integer> inside) {
    var entry = ipc_sem_entry.newBuilder().setDesc(entry(set.description())).setNsems(set.values().length).setOperated(set.operated());
    for (int i = 0; i < set.values().length; i++) {
      entry.addValues(set.values()[i]).addPids(inside.getOrDefault(set.pids()[i], 0));
    }
    return entry.build();
  }

  private static ipc_msg_entry entry(SystemV.Queue queue, Map<Integer, Integer> inside) {
    var entry =
        ipc_msg_entry.newBuilder()
            .setDesc(entry(queue.description()))
            .setQbytes((int) queue.bytesMax())
            .setQnum(queue.messages().size())
            .setLastSender(inside.getOrDefault(queue.lastSender(), 0))
            .setLastReceiver(inside.getOrDefault(queue.lastReceiver(), 0));
    for (var message : queue.messages()) {
      entry.addMessages(
          ipc_msg.newBuilder()
              .setMtype(message.type())
              .setMsize(message.content().length)
              .setContent(ByteString.copyFrom(message.content())));
    }
    return entry.build();
  }

  /** As CRIU describes an object. */
  public static ipc_desc_entry entry(SystemV.Description description) {
    return ipc_desc_entry.newBuilder()
        .setId(description.id())
        .setKey(description.key())
        .setUid(description.uid())
        .setGid(description.gid())
        .setCuid(description.cuid())
        .setCgid(description.cgid())
        .setMode(description.mode())
        .build();
  }

  private static ipc_var_entry entry(SystemV.Limits limits) {
    var entry =
        ipc_var_entry.newBuilder()
            .setMsgCtlmax(limits.msgmax())
            .setMsgCtlmnb(limits.msgmnb())
            .setMsgCtlmni(limits.msgmni())
            .setAutoMsgmni(0)
            .setShmCtlmax(limits.shmmax())
            .setShmCtlall(limits.shmall())
            .setShmCtlmni((int) limits.shmmni())
            .setShmRmidForced(limits.removeForced())
            .setMqQueuesMax(PosixQueue.limit("queues_max"))
            .setMqMsgMax(PosixQueue.limit("msg_max"))
            .setMqMsgsizeMax(PosixQueue.limit("msgsize_max"))
            .setMqMsgDefault(PosixQueue.limit("msg_default"))
            .setMqMsgsizeDefault(PosixQueue.limit("msgsize_default"));
    for (int value : limits.semaphores()) {
      entry.addSemCtls(value);
    }
    return entry.build();
  }

  /** Leaves the namespace. Idempotent. */
  @Override
  public void close() {
    thread.ifPresent(IpcThread::close);
    thread = Optional.empty();
    queues.ifPresent(Fd::close);
    queues = OptionalInt.empty();
    own = Optional.of(false);
  }
}
