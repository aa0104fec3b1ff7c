package io.gantry.checkpoint.image;

import com.google.protobuf.ByteString;
import io.gantry.checkpoint.CheckpointException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Collection;

/** What CRIU says of a process and its threads, with what it leaves out or keeps elsewhere filled in. Pure. */
final class CriuStates {
  /** {@code task_state} of a zombie. */
  private static final int DEAD = 2;
  /** What a process has that never changed it ({@code man 5 core}, {@code /proc/PID/coredump_filter}). */
  private static final int COREDUMP_FILTER = 0x33;
  /** {@code struct sched_attr} ({@code linux/sched/types.h}), its first version. */
  private static final int SCHED_ATTR_BYTES = 48;

  private CriuStates() {}

  static boolean hasEnded(core_entry core) {
    return core.getTc().getTaskState() == DEAD;
  }

  /** @param others ids of the processes that were looked at before */
  static void checkNamespaces(
      int pid, task_kobj_ids_entry own, task_kobj_ids_entry root, Collection<task_kobj_ids_entry> others) {
    boolean host =
        own.getPidNsId() == root.getPidNsId()
            && own.getNetNsId() == root.getNetNsId()
            && own.getIpcNsId() == root.getIpcNsId()
            && own.getUtsNsId() == root.getUtsNsId()
            && own.getMntNsId() == root.getMntNsId()
            && own.getUserNsId() == root.getUserNsId()
            && own.getCgroupNsId() == root.getCgroupNsId();
    if (!host) {
      throw new CheckpointException(
          "process " + pid + " was dumped with namespaces of its own, which cannot be carried from CRIU's images; restore it with CRIU");
    }
    for (task_kobj_ids_entry other : others) {
      boolean shares =
          own.getVmId() == other.getVmId()
              || own.getFilesId() == other.getFilesId()
              || own.getFsId() == other.getFsId()
              || own.getSighandId() == other.getSighandId();
      if (shares) {
        throw new CheckpointException(
            "process " + pid + " shares memory, descriptors, directories or signal handlers with another process, which cannot be carried");
      }
    }
  }

  /** @param leader the core of the first thread; @param first whether this is it */
  static core_entry thread(int pid, core_entry core, core_entry leader, mm_entry mm, boolean first) {
    if (!core.hasThreadInfo() || !core.hasThreadCore() || !core.getThreadCore().hasCreds()) {
      throw new CheckpointException("the images of process " + pid + " lack the registers or credentials of a thread; they are damaged");
    }
    if (core.getThreadCore().getSeccompMode() != seccomp_mode.disabled) {
      throw new CheckpointException(
          "process " + pid + " has seccomp filters or strict mode, which cannot be carried from CRIU's images; restore it with CRIU");
    }
    var full = core.toBuilder().clearIds();
    // The call that a thread was in has been undone or answered already.
    full.getThreadInfoBuilder().getGpregsBuilder().setOrigAx(-1);
    var thread = full.getThreadCoreBuilder();
    if (!thread.hasBlkSigset()) {
      thread.setBlkSigset(core.getTc().getBlkSigset());
    }
    if (!thread.hasComm()) {
      thread.setComm(core.hasTc() ? core.getTc().getComm() : leader.getTc().getComm());
    }
    if (thread.getSchedPolicy() != 0) {
      thread.setSchedAttr(schedulingAttributes(thread));
    }
    if (first) {
      if (!core.hasTc()) {
        throw new CheckpointException("the images of process " + pid + " say nothing of the process itself; they are damaged");
      }
      full.getTcBuilder()
          .setDumpable(mm.hasDumpable() ? mm.getDumpable() : 1)
          .setCoredumpFilter(COREDUMP_FILTER)
          .setThpDisable(mm.getThpDisabled() ? 1 : 0);
    }
    return full.build();
  }

  private static ByteString schedulingAttributes(thread_core_entryOrBuilder thread) {
    // size, policy, flags, nice, priority; the rest is for deadlines, which CRIU does not save
    var attributes = ByteBuffer.allocate(SCHED_ATTR_BYTES).order(ByteOrder.LITTLE_ENDIAN);
    attributes.putInt(SCHED_ATTR_BYTES).putInt(thread.getSchedPolicy()).putLong(0);
    attributes.putInt(thread.getSchedNice()).putInt(thread.getSchedPrio());
    return ByteString.copyFrom(attributes.array());
  }
}
