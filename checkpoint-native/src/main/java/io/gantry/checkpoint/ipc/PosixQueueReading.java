package io.gantry.checkpoint.ipc;

import com.google.protobuf.ByteString;
import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.image.posix_message_entry;
import io.gantry.checkpoint.image.posix_notification_entry;
import io.gantry.checkpoint.image.posix_queue_entry;
import io.gantry.checkpoint.linux.Errno;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.FileStatus;
import io.gantry.checkpoint.linux.PosixQueue;
import io.gantry.checkpoint.linux.PosixQueue.Notification;
import io.gantry.checkpoint.linux.SyscallNumber;
import io.gantry.checkpoint.procfs.Link;
import io.gantry.checkpoint.procfs.TaskStatus;
import io.gantry.checkpoint.tracee.CallBatch;
import io.gantry.checkpoint.tracee.Errand;
import io.gantry.checkpoint.tracee.RemoteTask;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.NoSuchFileException;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;

/**
 * Reads POSIX message queues of a container that stands still. A message can only be looked at by receiving it, so all are received and sent back by an
 * {@link Errand}, which the agent's death does not stop. Who waits to be told of a message is told by that, and registered again. On the tracer thread.
 */
final class PosixQueueReading implements AutoCloseable {
  /** {@code siginfo_t}: where {@code si_value} is, and its size. */
  private static final int VALUE_AT = 24;

  private static final int SIGINFO_BYTES = 128;
  /** {@code struct sigevent}: value, signal, how. */
  private static final int SIGEVENT_BYTES = 64;

  private static final int SIGSET_BYTES = 8;
  private static final int IOVEC_BYTES = 16;
  private static final int CALLS_PER_MESSAGE = 3;

  private final int queue;
  private final FileStatus status;
  private final Optional<String> name;
  private final PosixQueue.Attributes attributes;
  private final Notification told;
  private final List<Received> received = new ArrayList<>();
  private final List<posix_message_entry> messages = new ArrayList<>();

  /** Calls of an errand that take one message out and put it back. */
  private record Received(CallBatch.Call length, CallBatch.Call priority, CallBatch.Call back, long at) {}

  private PosixQueueReading(String path, Optional<String> name) {
    this.queue = PosixQueue.open(path);
    this.status = FileStatus.of(queue);
    this.name = name;
    this.attributes = PosixQueue.attributes(queue);
    this.told = PosixQueue.notification(queue);
  }

  /**
   * @param mount of the container's queues
   * @param open those that processes have open
   * @param members all processes
   */
  static List<posix_queue_entry> all(int mount, List<ContainerIpc.OpenQueue> open, List<ContainerIpc.Member> members) {
    var readings = new ArrayList<PosixQueueReading>();
    try {
      var seen = new HashSet<Long>();
      for (String name : PosixQueue.names(mount)) {
        var reading = new PosixQueueReading("/proc/self/fd/" + mount + "/" + name, Optional.of(name));
        readings.add(reading);
        seen.add(reading.status.inode());
      }
      for (var one : open) {
        if (seen.add(one.number())) {
          var reading = new PosixQueueReading("/proc/" + one.pid() + "/fd/" + one.fd(), Optional.empty());
          readings.add(reading);
          if (reading.status.links() != 0 || reading.status.device() != FileStatus.of(mount).device()) {
            throw new CheckpointException(
                "descriptor " + one.fd() + " of process " + one.pid() + " is a message queue of another ipc namespace than the container's; let the program"
                    + " close it");
          }
        }
      }
      readings.forEach(reading -> reading.requireCarriable(members));
      read(readings.stream().filter(PosixQueueReading::hasSomething).toList());
      return readings.stream().map(reading -> reading.finish(members)).toList();
    } finally {
      readings.forEach(PosixQueueReading::close);
    }
  }

  private boolean signals() {
    return told.pid() != 0 && told.how() == Notification.SIGNAL;
  }

  private boolean hasSomething() {
    return attributes.messages() > 0 || signals();
  }

  private String title() {
    return name.map(word -> "message queue /" + word).orElse("an unlinked message queue");
  }

  private void requireCarriable(List<ContainerIpc.Member> members) {
    if (told.pid() == 0) {
      return;
    }
    var task = owner(members).task();
    if (told.how() == Notification.THREAD || told.actsAtOnce()) {
      throw new CheckpointException("process " + told.pid() + " is told of the next message in " + title() + " in a way that cannot be carried");
    }
    try {
      long pending = TaskStatus.ofThread(told.pid(), task.tid()).set("SigPnd") | TaskStatus.ofProcess(told.pid()).set("ShdPnd");
      if (signals() && (pending & bit(told.signal())) != 0) {
        throw new CheckpointException(
            "process " + told.pid() + " is told of the next message in " + title() + " by signal " + told.signal()
                + ", which waits for it already, so that what the message would say cannot be known; try again");
      }
    } catch (NoSuchFileException ended) {
      throw new CheckpointException("process " + told.pid() + " ended while its message queues were being captured", ended);
    }
  }

  private static long bit(int signal) {
    return 1L << signal - 1;
  }

  private ContainerIpc.Member owner(List<ContainerIpc.Member> members) {
    return members.stream()
        .filter(member -> member.task().pid() == told.pid())
        .findFirst()
        .orElseThrow(
            () ->
                new CheckpointException(
                    "process " + told.pid() + ", which is told of the next message in " + title() + ", is not part of the container"));
  }

  private static void read(List<PosixQueueReading> readings) {
    if (readings.isEmpty()) {
      return;
    }
    long messages = readings.stream().mapToLong(reading -> Math.max(1, reading.attributes.messages())).sum();
    long room = readings.stream().mapToLong(reading -> Math.max(1, reading.attributes.messages()) * reading.slotBytes()).sum();
    int calls = Math.toIntExact(messages * CALLS_PER_MESSAGE + readings.size() + 1);
    int nowhere = Fd.open("/dev/null", Fd.O_WRONLY | Fd.O_CLOEXEC, 0);
    try (var errand = new Errand(calls, Math.toIntExact(messages * IOVEC_BYTES) + IOVEC_BYTES, room)) {
      var sink = errand.fetch(nowhere);
      readings.forEach(reading -> reading.plan(errand, sink));
      errand.run();
      readings.forEach(reading -> reading.take(errand));
    } finally {
      Fd.close(nowhere);
    }
  }

  private long slotBytes() {
    return attributes.messageBytesMax() + 15 & ~15L;
  }

  private void plan(Errand errand, CallBatch.Call sink) {
    var calls = errand.calls();
    var own = errand.fetch(queue);
    if (attributes.messages() == 0) {
      // Only to have the signal sent.
      long at = errand.room(slotBytes());
      calls.attempt("mq_timedsend", SyscallNumber.MQ_TIMEDSEND, 0, at, 0, 0, 0).link(0, own);
      calls.attempt("mq_timedreceive", SyscallNumber.MQ_TIMEDRECEIVE, 0, at, attributes.messageBytesMax(), 0, 0).link(0, own);
      return;
    }
    record Taken(CallBatch.Call length, CallBatch.Call priority, long at) {}
    var all = new ArrayList<Taken>();
    for (long i = 0; i < attributes.messages(); i++) {
      long at = errand.room(slotBytes());
      // A call gives its answer to others only as its result, and writing that many bytes to nowhere answers with their number.
      long vector = calls.bytes(ByteBuffer.allocate(IOVEC_BYTES).order(ByteOrder.LITTLE_ENDIAN).putLong(at).array());
      var length =
          calls
              .attempt("mq_timedreceive", SyscallNumber.MQ_TIMEDRECEIVE, 0, at, attributes.messageBytesMax(), vector + Long.BYTES, 0)
              .link(0, own);
      all.add(new Taken(length, calls.attempt("writev(priority)", SyscallNumber.WRITEV, 0, vector, 1).link(0, sink), at));
    }
    for (var taken : all) {
      var back =
          calls
              .attempt("mq_timedsend", SyscallNumber.MQ_TIMEDSEND, 0, taken.at, 0, 0, 0)
              .link(0, own)
              .link(2, taken.length)
              .link(3, taken.priority);
      received.add(new Received(taken.length, taken.priority, back, taken.at));
    }
  }

  private void take(Errand errand) {
    for (var one : received) {
      require(one.length.result(), "receiving");
      require(one.priority.result(), "keeping the priority of");
      require(one.back.result(), "sending back");
      messages.add(
          posix_message_entry.newBuilder()
              .setPriority((int) one.priority.result())
              .setContent(ByteString.copyFrom(errand.read(one.at, (int) one.length.result())))
              .build());
    }
  }

  private void require(long result, String what) {
    if (result < 0) {
      throw new CheckpointException(what + " a message of " + title() + " failed with " + Errno.describe((int) -result));
    }
  }

  private posix_queue_entry finish(List<ContainerIpc.Member> members) {
    var entry =
        posix_queue_entry.newBuilder()
            .setNumber(status.inode())
            .setUid(status.uid())
            .setGid(status.gid())
            .setMode(status.mode() & 07777)
            .setMaxmsg(attributes.messagesMax())
            .setMsgsize(attributes.messageBytesMax())
            .addAllMessages(messages);
    name.ifPresent(entry::setName);
    if (told.pid() != 0) {
      entry.setNotification(notification(owner(members)));
    }
    return entry.build();
  }

  private posix_notification_entry notification(ContainerIpc.Member owner) {
    var task = owner.task();
    var found =
        posix_notification_entry.newBuilder()
            .setPid(owner.nsPid())
            .setFd(descriptor())
            .setSignal(told.signal())
            .setValue(signals() ? valueSent(task) : 0)
            .build();
    if (hasSomething()) {
      register(task, found);
    }
    return found;
  }

  /** Takes the signal away again that the first message has caused. Every signal is blocked while a stopped task makes calls. */
  private long valueSent(RemoteTask task) {
    var batch = task.newBatch();
    long set = batch.bytes(ByteBuffer.allocate(SIGSET_BYTES).order(ByteOrder.LITTLE_ENDIAN).putLong(bit(told.signal())).array());
    long info = batch.reserve(SIGINFO_BYTES);
    batch.call("rt_sigtimedwait of the signal of " + title(), SyscallNumber.RT_SIGTIMEDWAIT, set, info, batch.reserve(16), SIGSET_BYTES);
    task.run(batch);
    return ByteBuffer.wrap(batch.read(info + VALUE_AT, Long.BYTES)).order(ByteOrder.LITTLE_ENDIAN).getLong();
  }

  /** Has a process ask once more to be told of the next message. */
  static void register(RemoteTask task, posix_notification_entry wanted) {
    var batch = task.newBatch();
    byte[] event =
        ByteBuffer.allocate(SIGEVENT_BYTES)
            .order(ByteOrder.LITTLE_ENDIAN)
            .putLong(wanted.getValue())
            .putInt(wanted.getSignal())
            .putInt(wanted.getSignal() == 0 ? Notification.NONE : Notification.SIGNAL)
            .array();
    batch.call("mq_notify(" + wanted.getFd() + ")", SyscallNumber.MQ_NOTIFY, wanted.getFd(), batch.bytes(event));
    task.run(batch);
  }

  /** Closing one takes the registration away ({@code mqueue_flush_file}), so who is registered has the queue open. */
  private int descriptor() {
    for (int fd : Link.descriptors(told.pid())) {
      String link = "fd/" + fd;
      boolean path = Link.read(told.pid(), link).filter(target -> target.startsWith("/")).isPresent();
      if (path && Link.inode(told.pid(), link).filter(inode -> inode == status.inode()).isPresent()) {
        return fd;
      }
    }
    throw new CheckpointException("process " + told.pid() + " is told of the next message in " + title() + ", which it does not have open");
  }

  @Override
  public void close() {
    Fd.close(queue);
  }
}
