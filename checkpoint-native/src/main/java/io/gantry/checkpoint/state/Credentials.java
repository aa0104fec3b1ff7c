package io.gantry.checkpoint.state;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.image.creds_entry;
import io.gantry.checkpoint.linux.SyscallNumber;
import io.gantry.checkpoint.procfs.IdMap;
import io.gantry.checkpoint.procfs.IdMaps;
import io.gantry.checkpoint.procfs.TaskStatus;
import io.gantry.checkpoint.tracee.CallBatch;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.List;

/** Who a thread is and what it may do: ids, groups, capabilities, securebits, {@code no_new_privs}. Per thread, as the kernel has it. */
final class Credentials {
  private static final int PR_CAPBSET_DROP = 24;
  private static final int PR_SET_SECUREBITS = 28;
  private static final int PR_SET_NO_NEW_PRIVS = 38;
  private static final int PR_CAP_AMBIENT = 47;
  private static final int PR_CAP_AMBIENT_RAISE = 2;
  private static final int PR_CAP_AMBIENT_CLEAR_ALL = 4;
  /** {@code linux/securebits.h}. */
  private static final int SECBIT_NO_SETUID_FIXUP = 1 << 2;
  /** {@code linux/capability.h}. */
  private static final int CAPABILITY_VERSION_3 = 0x2008_0522;

  private Credentials() {}

  /**
   * @param securebits of {@code prctl(PR_GET_SECUREBITS)}, the only part that is not in the status file
   * @param maps of the container's own user namespace, by which ids are named
   */
  static creds_entry capture(TaskStatus status, int securebits, IdMaps maps) {
    var uids = inside(status, "Uid", maps.users());
    var gids = inside(status, "Gid", maps.groups());
    var entry =
        creds_entry.newBuilder()
            .setUid(uids.get(0))
            .setEuid(uids.get(1))
            .setSuid(uids.get(2))
            .setFsuid(uids.get(3))
            .setGid(gids.get(0))
            .setEgid(gids.get(1))
            .setSgid(gids.get(2))
            .setFsgid(gids.get(3))
            .addAllGroups(inside(status, "Groups", maps.groups()))
            .setSecbits(securebits)
            .setNoNewPrivs((int) status.number("NoNewPrivs"));
    words(status.set("CapInh")).forEach(entry::addCapInh);
    words(status.set("CapPrm")).forEach(entry::addCapPrm);
    words(status.set("CapEff")).forEach(entry::addCapEff);
    words(status.set("CapBnd")).forEach(entry::addCapBnd);
    words(status.set("CapAmb")).forEach(entry::addCapAmb);
    return entry.build();
  }

  private static List<Integer> inside(TaskStatus status, String field, IdMap map) {
    var ids = status.ids(field);
    if (map == IdMap.IDENTITY) {
      return ids;
    }
    return ids.stream()
        .map(
            id ->
                map.inside(id)
                    .orElseThrow(
                        () ->
                            new CheckpointException(
                                "thread %d has the id %s (%s) of this host, which the container's user namespace does not know"
                                    .formatted(status.number("Pid"), Integer.toUnsignedString(id), field))))
        .toList();
  }

  private static List<Integer> words(long set) {
    return List.of((int) set, (int) (set >>> 32));
  }

  private static long set(List<Integer> words) {
    long set = 0;
    for (int i = 0; i < words.size() && i < 2; i++) {
      set |= (words.get(i) & 0xffff_ffffL) << 32 * i;
    }
    return set;
  }

  /**
   * Adds the calls that give a thread with all capabilities these credentials, in the only order that works: ids before securebits (with
   * the automatic changes of capabilities switched off meanwhile), bounding set before the capability that it needs goes.
   *
   * @param capabilitiesMax the kernel's last capability, {@code /proc/sys/kernel/cap_last_cap}
   */
  static void restore(CallBatch batch, creds_entry creds, int capabilitiesMax) {
    become(batch, creds);
    confine(batch, creds, capabilitiesMax);
  }

  /** Adds the calls that give a thread its ids and groups; it keeps all its capabilities, and loses securebits. */
  static void become(CallBatch batch, creds_entry creds) {
    var groups = ByteBuffer.allocate(4 * creds.getGroupsCount()).order(ByteOrder.LITTLE_ENDIAN);
    creds.getGroupsList().forEach(groups::putInt);
    batch.call(
        "setgroups", SyscallNumber.SETGROUPS, creds.getGroupsCount(), groups.capacity() == 0 ? 0 : batch.bytes(groups.array()));
    becomeUser(batch, creds);
  }

  private static void becomeUser(CallBatch batch, creds_entry creds) {
    batch.call("prctl(PR_SET_SECUREBITS)", SyscallNumber.PRCTL, PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP);
    batch.call("setresgid", SyscallNumber.SETRESGID, creds.getGid(), creds.getEgid(), creds.getSgid());
    // Both answer with the old id, so there is nothing to check; the re-capture compares.
    batch.attempt("setfsgid", SyscallNumber.SETFSGID, creds.getFsgid());
    batch.call("setresuid", SyscallNumber.SETRESUID, creds.getUid(), creds.getEuid(), creds.getSuid());
    batch.attempt("setfsuid", SyscallNumber.SETFSUID, creds.getFsuid());
  }

  /**
   * As {@link #restore}, for a thread whose process has {@linkplain #become become} who its main thread is and has then entered a user
   * namespace, where ids have other names and groups can perhaps not be set any more.
   *
   * @param main of the main thread
   * @param names how ids of the container are called in that namespace
   */
  static void restoreWithin(CallBatch batch, creds_entry creds, creds_entry main, IdMaps names, int capabilitiesMax) {
    if (!creds.getGroupsList().equals(main.getGroupsList())) {
      var there = creds.toBuilder();
      for (int i = 0; i < creds.getGroupsCount(); i++) {
        there.setGroups(i, name(names.groups(), creds.getGroups(i)));
      }
      become(batch, users(there, names));
    } else if (!ids(creds).equals(ids(main))) {
      becomeUser(batch, users(creds.toBuilder(), names));
    }
    confine(batch, creds, capabilitiesMax);
  }

  private static List<Integer> ids(creds_entry creds) {
    return List.of(
        creds.getUid(),
        creds.getEuid(),
        creds.getSuid(),
        creds.getFsuid(),
        creds.getGid(),
        creds.getEgid(),
        creds.getSgid(),
        creds.getFsgid());
  }

  private static creds_entry users(creds_entry.Builder creds, IdMaps names) {
    return creds
        .setUid(name(names.users(), creds.getUid()))
        .setEuid(name(names.users(), creds.getEuid()))
        .setSuid(name(names.users(), creds.getSuid()))
        .setFsuid(name(names.users(), creds.getFsuid()))
        .setGid(name(names.groups(), creds.getGid()))
        .setEgid(name(names.groups(), creds.getEgid()))
        .setSgid(name(names.groups(), creds.getSgid()))
        .setFsgid(name(names.groups(), creds.getFsgid()))
        .build();
  }

  private static int name(IdMap map, int id) {
    return map.inside(id)
        .orElseThrow(
            () ->
                new CheckpointException(
                    "a thread has other ids than its process, and its user namespace has no name for "
                        + Integer.toUnsignedString(id)
                        + ", so that it cannot get it"));
  }

  /** Adds the calls that take from a thread with all capabilities what it may not do. */
  private static void confine(CallBatch batch, creds_entry creds, int capabilitiesMax) {
    batch.call("prctl(PR_SET_SECUREBITS)", SyscallNumber.PRCTL, PR_SET_SECUREBITS, creds.getSecbits());
    long bounding = set(creds.getCapBndList());
    for (int capability = 0; capability <= capabilitiesMax; capability++) {
      if ((bounding >>> capability & 1) == 0) {
        batch.call("prctl(PR_CAPBSET_DROP)", SyscallNumber.PRCTL, PR_CAPBSET_DROP, capability);
      }
    }
    setCapabilities(batch, creds);
    batch.call("prctl(PR_CAP_AMBIENT)", SyscallNumber.PRCTL, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    long ambient = set(creds.getCapAmbList());
    for (int capability = 0; capability <= capabilitiesMax; capability++) {
      if ((ambient >>> capability & 1) != 0) {
        batch.call("prctl(PR_CAP_AMBIENT)", SyscallNumber.PRCTL, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0);
      }
    }
    if (creds.getNoNewPrivs() != 0) {
      batch.call("prctl(PR_SET_NO_NEW_PRIVS)", SyscallNumber.PRCTL, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    }
  }

  private static void setCapabilities(CallBatch batch, creds_entry creds) {
    var header = ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN).putInt(CAPABILITY_VERSION_3).putInt(0);
    // struct __user_cap_data_struct twice: effective, permitted, inheritable; low words, then high words.
    var data = ByteBuffer.allocate(24).order(ByteOrder.LITTLE_ENDIAN);
    long effective = set(creds.getCapEffList());
    long permitted = set(creds.getCapPrmList());
    long inheritable = set(creds.getCapInhList());
    for (int word = 0; word < 2; word++) {
      int shift = 32 * word;
      data.putInt((int) (effective >>> shift)).putInt((int) (permitted >>> shift)).putInt((int) (inheritable >>> shift));
    }
    batch.call("capset", SyscallNumber.CAPSET, batch.bytes(header.array()), batch.bytes(data.array()));
  }
}
