package io.gantry.checkpoint.tracee;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.SyscallNumber;
import io.gantry.checkpoint.linux.UserNamespace;
import io.gantry.checkpoint.procfs.IdMaps;
import io.gantry.checkpoint.procfs.ProcText;
import java.nio.file.NoSuchFileException;
import java.util.OptionalInt;

/**
 * How a user namespace comes into being that has the owner, parent and maps of another one: a helping process of the agent
 * becomes the owner, goes where the namespace is to be made, and makes it. It ends as soon as the agent holds the namespace.
 * Tracer thread only.
 *
 * @param owner effective user of whoever makes it, as this process counts; the parent must know it
 * @param group any group that the parent knows; nobody can see later which it was
 * @param parent our descriptor of the parent; empty for this process's own
 * @param users for {@code uid_map}, with ids outside as the parent counts; empty when nothing is mapped
 * @param groups for {@code gid_map}
 * @param setgroupsDenied for {@code setgroups}
 */
public record UserNamespaceBirth(int owner, int group, OptionalInt parent, String users, String groups, boolean setgroupsDenied) {
  /** {@code linux/prctl.h}. */
  private static final int PR_SET_DUMPABLE = 4;

  private static final int PR_SET_SECUREBITS = 28;
  /** {@code SECBIT_NO_SETUID_FIXUP}, {@code linux/securebits.h}. */
  private static final int NO_SETUID_FIXUP = 1 << 2;

  /**
   * A namespace that was made.
   *
   * @param descriptor of ours, with which it can be entered; belongs to the caller
   * @param maps how this process calls its ids
   */
  public record Made(int descriptor, IdMaps maps) {}

  /**
   * @throws CheckpointException when the kernel refuses, as with {@code user.max_user_namespaces} exceeded or another limit of
   *     the host
   */
  public Made make() {
    int pid = Launcher.start();
    try {
      var helper = helper(pid);
      var batch = helper.newBatch();
      var namespace = parent.isPresent() ? fetch(batch, parent.getAsInt()) : null;
      batch.call("prctl(PR_SET_SECUREBITS)", SyscallNumber.PRCTL, PR_SET_SECUREBITS, NO_SETUID_FIXUP);
      batch.call("setresgid(" + group + ")", SyscallNumber.SETRESGID, group, group, group);
      batch.call("setresuid(" + owner + ")", SyscallNumber.SETRESUID, owner, owner, owner);
      if (namespace != null) {
        enter(batch, namespace);
      }
      batch.call("unshare(CLONE_NEWUSER)", SyscallNumber.UNSHARE, UserNamespace.CLONE_NEWUSER);
      // Its files in /proc then belong to this process's root, who is to write the maps.
      batch.call("prctl(PR_SET_DUMPABLE)", SyscallNumber.PRCTL, PR_SET_DUMPABLE, 0);
      helper.run(batch);
      if (parent.isPresent()) {
        writeFromParent(pid);
      } else {
        write(pid);
      }
      return new Made(Fd.open("/proc/" + pid + "/ns/user", Fd.O_RDONLY | Fd.O_CLOEXEC, 0), IdMaps.ofOther(pid));
    } catch (NoSuchFileException killed) {
      throw new CheckpointException("the process that made a user namespace was killed from outside", killed);
    } finally {
      Launcher.end(pid);
    }
  }

  private static Stub helper(int pid) {
    var helper = new Stub(null, pid, pid, Bench.OF_THE_PROGRAM);
    helper.putCode();
    return helper;
  }

  private static CallBatch.Call fetch(CallBatch batch, int ours) {
    var agent = batch.call("pidfd_open(the agent)", SyscallNumber.PIDFD_OPEN, ProcessHandle.current().pid(), 0);
    return batch.call("pidfd_getfd(user namespace)", SyscallNumber.PIDFD_GETFD, 0, ours, 0).link(0, agent);
  }

  private static void enter(CallBatch batch, CallBatch.Call namespace) {
    batch.call("setns(user namespace)", SyscallNumber.SETNS, 0, UserNamespace.CLONE_NEWUSER).link(0, namespace);
  }

  private void write(int pid) {
    if (setgroupsDenied) {
      ProcText.write("/proc/" + pid + "/setgroups", "deny");
    }
    if (!users.isEmpty()) {
      ProcText.write("/proc/" + pid + "/uid_map", users);
    }
    if (!groups.isEmpty()) {
      ProcText.write("/proc/" + pid + "/gid_map", groups);
    }
  }

  /**
   * Only who is in the parent, or in the namespace itself, may open the maps for writing with effect (kernel/user_namespace.c:
   * {@code proc_uid_map_write}).
   */
  private void writeFromParent(int pid) {
    int writer = Launcher.start();
    try {
      var helper = helper(writer);
      var batch = helper.newBatch();
      enter(batch, fetch(batch, parent.getAsInt()));
      if (setgroupsDenied) {
        write(batch, "/proc/" + pid + "/setgroups", "deny");
      }
      if (!users.isEmpty()) {
        write(batch, "/proc/" + pid + "/uid_map", users);
      }
      if (!groups.isEmpty()) {
        write(batch, "/proc/" + pid + "/gid_map", groups);
      }
      helper.run(batch);
    } finally {
      Launcher.end(writer);
    }
  }

  private static void write(CallBatch batch, String path, String text) {
    int flags = Fd.O_WRONLY | Fd.O_CLOEXEC;
    var opened = batch.call("open(\"" + path + "\")", SyscallNumber.OPENAT, Fd.AT_FDCWD, batch.string(path), flags, 0);
    batch.call("writing \"" + text + "\" to " + path, SyscallNumber.WRITE, 0, batch.string(text), text.length()).link(0, opened);
    batch.call("close", SyscallNumber.CLOSE, 0).link(0, opened);
  }
}
