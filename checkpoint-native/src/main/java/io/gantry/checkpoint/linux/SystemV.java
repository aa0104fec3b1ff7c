package io.gantry.checkpoint.linux;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Supplier;

/**
 * System V IPC ({@code man 7 sysvipc}) in the ipc namespace of the calling thread: what there is, and making it again under the same id. Structures and
 * commands are those of {@code asm-generic/{ipc,shm,sem,msg}buf.h} and {@code linux/{ipc,shm,sem,msg}.h} on x86-64.
 */
public final class SystemV {
  public static final int IPC_PRIVATE = 0;
  public static final int IPC_RMID = 0;
  public static final int IPC_NOWAIT = 04000;

  /** In the mode of a segment: destroyed when nobody has it any more. */
  public static final int SHM_DEST = 01000;

  /** In the mode of a segment: not swapped out. */
  public static final int SHM_LOCKED = 02000;

  public static final int SHM_RDONLY = 010000;
  public static final int SHM_EXEC = 0100000;

  /** Flag of an operation on a semaphore, which the end of the process takes back. */
  public static final int SEM_UNDO = 0x1000;

  /** Largest value of a semaphore, and of what the end of a process adds to it. */
  public static final int SEMVMX = 32767;

  /** {@code semctl(2)}: gives one semaphore a value. */
  public static final int SETVAL = 16;

  private static final int IPC_CREAT_EXCL = 03000;
  private static final int IPC_SET = 1;
  private static final int IPC_INFO = 3;
  private static final int SHM_LOCK = 11;
  private static final int SHM_UNLOCK = 12;
  private static final int SHM_INFO = 14;
  private static final int GETPID = 11;
  private static final int GETALL = 13;
  private static final int SEM_INFO = 19;
  private static final int MSG_INFO = 12;

  /** {@code MSG_NOERROR | MSG_COPY | IPC_NOWAIT}: the message with this number stays in the queue; needs CONFIG_CHECKPOINT_RESTORE. */
  private static final int MSG_PEEK = 010000 | 040000 | IPC_NOWAIT;

  private static final int STRUCTURE_BYTES = 128;
  private static final int PERMISSIONS = 0777;

  /** A type of object: its name in {@code /proc/sys/kernel}, the calls, and the command that describes by index. */
  public enum Type {
    SHM("shm", SyscallNumber.SHMGET, 15),
    SEM("sem", SyscallNumber.SEMGET, 20),
    MSG("msg", SyscallNumber.MSGGET, 13);

    private final String word;
    private final int get;
    private final int statAny;

    Type(String word, int get, int statAny) {
      this.word = word;
      this.get = get;
      this.statAny = statAny;
    }

    private long control(int id, int number, int command, long argument) {
      return switch (this) {
        case SHM -> Libc.syscall(SyscallNumber.SHMCTL, id, command, argument);
        case SEM -> Libc.syscall(SyscallNumber.SEMCTL, id, number, command, argument, 0, 0);
        case MSG -> Libc.syscall(SyscallNumber.MSGCTL, id, command, argument);
      };
    }
  }

  /** Identity and {@code struct ipc_perm}. */
  public record Description(int id, int key, int uid, int gid, int cuid, int cgid, int mode) {}

  /** A segment. @param attached how many mappings it has */
  public record Segment(Description description, long bytes, long attached) {}

  /** A set. @param operated {@code sem_otime} is not 0; @param pids as this thread counts */
  public record Semaphores(Description description, int[] values, int[] pids, boolean operated) {}

  /** A message. */
  public record Message(long type, byte[] content) {}

  /** A queue, oldest message first. @param lastSender as this thread counts, like {@code lastReceiver} */
  public record Queue(Description description, long bytesMax, List<Message> messages, int lastSender, int lastReceiver) {}

  /** What the namespace allows. @param semaphores SEMMSL, SEMMNS, SEMOPM, SEMMNI */
  public record Limits(int[] semaphores, int msgmax, int msgmnb, int msgmni, long shmmax, long shmall, long shmmni, int removeForced) {}

  private SystemV() {}

  /** Number of objects of each type, cheaply. */
  public static int count(Type type) {
    try (var arena = Arena.ofConfined()) {
      var info = arena.allocate(STRUCTURE_BYTES, 8);
      int command = type == Type.SHM ? SHM_INFO : type == Type.SEM ? SEM_INFO : MSG_INFO;
      Libc.check(type.control(0, 0, command, info.address()), () -> type.word + "ctl(INFO)");
      // shm_info.used_ids, seminfo.semusz, msginfo.msgpool
      return info.get(ValueLayout.JAVA_INT, type == Type.SEM ? 28 : 0);
    }
  }

  /** The segments, marked for destruction or not. */
  public static List<Segment> segments() {
    return all(Type.SHM, (id, in) -> new Segment(description(id, in), in.get(ValueLayout.JAVA_LONG, 48), in.get(ValueLayout.JAVA_LONG, 88)));
  }

  /** The sets of semaphores. */
  public static List<Semaphores> semaphores() {
    return all(
        Type.SEM,
        (id, in) -> {
          int count = (int) in.get(ValueLayout.JAVA_LONG, 80);
          int[] values = new int[count];
          int[] pids = new int[count];
          try (var arena = Arena.ofConfined()) {
            var array = arena.allocate(2L * count, 8);
            Libc.check(Type.SEM.control(id, 0, GETALL, array.address()), () -> "semctl(" + id + ", GETALL)");
            for (int i = 0; i < count; i++) {
              int number = i;
              values[i] = Short.toUnsignedInt(array.get(ValueLayout.JAVA_SHORT, 2L * i));
              pids[i] = (int) Libc.check(Type.SEM.control(id, i, GETPID, 0), () -> "semctl(" + id + ", " + number + ", GETPID)");
            }
          }
          return new Semaphores(description(id, in), values, pids, in.get(ValueLayout.JAVA_LONG, 48) != 0);
        });
  }

  /** The queues with their messages, which stay there. */
  public static List<Queue> queues() {
    return all(
        Type.MSG,
        (id, in) ->
            new Queue(
                description(id, in),
                in.get(ValueLayout.JAVA_LONG, 88),
                messages(id, in.get(ValueLayout.JAVA_LONG, 80), in.get(ValueLayout.JAVA_LONG, 72)),
                in.get(ValueLayout.JAVA_INT, 96),
                in.get(ValueLayout.JAVA_INT, 100)));
  }

  private static List<Message> messages(int id, long count, long bytes) {
    var messages = new ArrayList<Message>();
    try (var arena = Arena.ofConfined()) {
      var buffer = arena.allocate(8 + bytes + 1, 8);
      for (int i = 0; i < count; i++) {
        int number = i;
        long got =
            Libc.check(
                Libc.syscall(SyscallNumber.MSGRCV, id, buffer.address(), bytes, number, MSG_PEEK, 0),
                () -> "msgrcv(" + id + ", MSG_COPY of message " + number + ")");
        messages.add(new Message(buffer.get(ValueLayout.JAVA_LONG, 0), buffer.asSlice(8, got).toArray(ValueLayout.JAVA_BYTE)));
      }
    }
    return messages;
  }

  @FunctionalInterface
  private interface Reader<T> {
    T read(int id, MemorySegment structure);
  }

  private static <T> List<T> all(Type type, Reader<T> reader) {
    var found = new ArrayList<T>();
    try (var arena = Arena.ofConfined()) {
      var structure = arena.allocate(STRUCTURE_BYTES, 8);
      int command = type == Type.SHM ? SHM_INFO : type == Type.SEM ? SEM_INFO : MSG_INFO;
      long last = Libc.check(type.control(0, 0, command, structure.address()), () -> type.word + "ctl(INFO)");
      for (int index = 0; index <= last; index++) {
        long id = type.control(index, 0, type.statAny, structure.address());
        if (id >= 0) {
          found.add(reader.read((int) id, structure));
        } else if (id != -Errno.EINVAL && id != -Errno.EIDRM) {
          throw new KernelException(type.word + "ctl(STAT_ANY)", (int) -id);
        }
      }
    }
    return found;
  }

  private static Description description(int id, MemorySegment in) {
    int[] fields = new int[6];
    for (int i = 0; i < fields.length; i++) {
      fields[i] = in.get(ValueLayout.JAVA_INT, 4L * i);
    }
    return new Description(id, fields[0], fields[1], fields[2], fields[3], fields[4], fields[5]);
  }

  /** What may be made here. */
  public static Limits limits() {
    try (var arena = Arena.ofConfined()) {
      var in = arena.allocate(STRUCTURE_BYTES, 8);
      Libc.check(Type.SHM.control(0, 0, IPC_INFO, in.address()), () -> "shmctl(IPC_INFO)");
      long shmmax = in.get(ValueLayout.JAVA_LONG, 0);
      long shmmni = in.get(ValueLayout.JAVA_LONG, 16);
      long shmall = in.get(ValueLayout.JAVA_LONG, 32);
      Libc.check(Type.SEM.control(0, 0, IPC_INFO, in.address()), () -> "semctl(IPC_INFO)");
      int[] semaphores = {
        in.get(ValueLayout.JAVA_INT, 16), in.get(ValueLayout.JAVA_INT, 8), in.get(ValueLayout.JAVA_INT, 20), in.get(ValueLayout.JAVA_INT, 4)
      };
      Libc.check(Type.MSG.control(0, 0, IPC_INFO, in.address()), () -> "msgctl(IPC_INFO)");
      int msgmax = in.get(ValueLayout.JAVA_INT, 8);
      int msgmnb = in.get(ValueLayout.JAVA_INT, 12);
      int msgmni = in.get(ValueLayout.JAVA_INT, 16);
      String forced = new String(Fd.readAll("/proc/sys/kernel/shm_rmid_forced"), StandardCharsets.US_ASCII).strip();
      return new Limits(semaphores, msgmax, msgmnb, msgmni, shmmax, shmall, shmmni, Integer.parseInt(forced));
    }
  }

  /** Changes a limit of the namespace, a file of {@code /proc/sys/kernel}. */
  public static void setLimit(String name, String value) {
    writeLimit("/proc/sys/kernel/" + name, value);
  }

  static void writeLimit(String path, String value) {
    int fd = Fd.open(path, Fd.O_WRONLY | Fd.O_CLOEXEC, 0);
    try (var arena = Arena.ofConfined()) {
      byte[] text = value.getBytes(StandardCharsets.US_ASCII);
      var buffer = arena.allocate(text.length);
      buffer.copyFrom(MemorySegment.ofArray(text));
      Libc.check(Fd.write(fd, buffer), () -> "writing " + value + " to " + path);
    } finally {
      Fd.close(fd);
    }
  }

  /**
   * Makes an object with the id, key, creator, owner and permissions that it had; the owner of a queue has to be set behind it.
   *
   * @param size bytes of a segment, number of semaphores of a set, nothing of a queue
   * @throws KernelException when the id or the key is taken
   */
  public static void create(Type type, Description wanted, long size) {
    setLimit(type.word + "_next_id", Integer.toString(wanted.id()));
    long flags = IPC_CREAT_EXCL | wanted.mode() & PERMISSIONS;
    long id = asCreator(wanted, () -> Libc.syscall(type.get, wanted.key(), type == Type.MSG ? flags : size, flags));
    String what = type.word + "get(key " + wanted.key() + ", " + size + ")";
    Libc.check(id, () -> what);
    if (id != wanted.id()) {
      type.control((int) id, 0, IPC_RMID, 0);
      throw new KernelException(what + " with id " + wanted.id() + ", which is taken,", Errno.EEXIST);
    }
    if (type != Type.MSG) {
      setOwner(type, wanted, 0);
    }
  }

  /** The effective ids of whoever creates an object stay with it. They belong to this thread alone. */
  private static long asCreator(Description wanted, Supplier<Long> creation) {
    if (wanted.cuid() == 0 && wanted.cgid() == 0) {
      return creation.get();
    }
    Libc.check(Libc.syscall(SyscallNumber.SETRESGID, -1, wanted.cgid(), -1), () -> "setresgid");
    Libc.check(Libc.syscall(SyscallNumber.SETRESUID, -1, wanted.cuid(), -1), () -> "setresuid");
    try {
      return creation.get();
    } finally {
      Libc.check(Libc.syscall(SyscallNumber.SETRESUID, -1, 0, -1), () -> "setresuid back");
      Libc.check(Libc.syscall(SyscallNumber.SETRESGID, -1, 0, -1), () -> "setresgid back");
    }
  }

  /** Sets owner and permissions. @param queueBytes most bytes that a queue takes ({@code msg_qbytes}); nothing for others */
  public static void setOwner(Type type, Description wanted, long queueBytes) {
    try (var arena = Arena.ofConfined()) {
      var structure = arena.allocate(STRUCTURE_BYTES, 8);
      structure.set(ValueLayout.JAVA_INT, 4, wanted.uid());
      structure.set(ValueLayout.JAVA_INT, 8, wanted.gid());
      structure.set(ValueLayout.JAVA_INT, 20, wanted.mode() & PERMISSIONS);
      if (type == Type.MSG) {
        structure.set(ValueLayout.JAVA_LONG, 88, queueBytes);
      }
      Libc.check(type.control(wanted.id(), 0, IPC_SET, structure.address()), () -> type.word + "ctl(" + wanted.id() + ", IPC_SET)");
    }
  }

  /** Removes an object; a segment that is attached lives on until it is not. */
  public static void remove(Type type, int id) {
    Libc.check(type.control(id, 0, IPC_RMID, 0), () -> type.word + "ctl(" + id + ", IPC_RMID)");
  }

  /** {@code SHM_LOCK} or {@code SHM_UNLOCK}. */
  public static void lock(int segment, boolean on) {
    Libc.check(Type.SHM.control(segment, 0, on ? SHM_LOCK : SHM_UNLOCK, 0), () -> "shmctl(" + segment + ", SHM_LOCK)");
  }

  /** Appends a message. */
  public static void send(int queue, Message message) {
    try (var arena = Arena.ofConfined()) {
      var buffer = arena.allocate(8L + message.content().length, 8);
      buffer.set(ValueLayout.JAVA_LONG, 0, message.type());
      buffer.asSlice(8).copyFrom(MemorySegment.ofArray(message.content()));
      Libc.check(
          Libc.syscall(SyscallNumber.MSGSND, queue, buffer.address(), message.content().length, IPC_NOWAIT, 0, 0),
          () -> "msgsnd(" + queue + ", " + message.content().length + " bytes)");
    }
  }

  /** A mapping of a segment in this process. @param fd of the segment's memory; belongs to the caller */
  public record Attached(long address, int fd) {}

  /** Maps a segment into this process and opens its memory. */
  public static Attached attach(int segment, long bytes, boolean readOnly) {
    long address =
        Libc.check(Libc.syscall(SyscallNumber.SHMAT, segment, 0, readOnly ? SHM_RDONLY : 0), () -> "shmat(" + segment + ")");
    long end = address + (bytes + 4095 & -4096L);
    try {
      String link = "/proc/self/map_files/" + Long.toHexString(address) + "-" + Long.toHexString(end);
      return new Attached(address, Fd.open(link, (readOnly ? Fd.O_RDONLY : Fd.O_RDWR) | Fd.O_CLOEXEC, 0));
    } catch (KernelException e) {
      detach(address);
      throw e;
    }
  }

  /** Undoes {@link #attach}, in whatever thread and namespace; the descriptor stays. */
  public static void detach(long address) {
    Libc.check(Libc.syscall(SyscallNumber.SHMDT, address, 0, 0), () -> "shmdt(0x" + Long.toHexString(address) + ")");
  }
}
