package io.gantry.checkpoint.shm;

import io.gantry.checkpoint.Finding;
import io.gantry.checkpoint.Holding;
import io.gantry.checkpoint.procfs.Link;
import java.util.List;

/** What lies in a container's own {@code /dev/shm}, looked at while the container runs. Any thread. */
public final class ShmSurvey {
  private static final String KIND = "file in /dev/shm";

  private ShmSurvey() {}

  /** What cannot be carried. @param pid of the container's first process, as this process counts */
  public static List<Finding> obstacles(int pid) {
    // In its own mount namespace a root other than the namespace's has a name of more than one character (proc_pid_root(5)). One that was deleted is
    // refused as such.
    var root = Link.read(pid, "root").filter(name -> !name.equals("/") && !name.endsWith(" (deleted)"));
    if (root.isPresent() && !Link.inode(pid, "ns/mnt").equals(Link.inode((int) ProcessHandle.current().pid(), "ns/mnt"))) {
      return List.of(
          new Finding(
              pid,
              -1,
              "root directory",
              "the container's first process has the root directory " + root.get()
                  + ", from where its /dev/shm cannot be looked at; let a child of it call chroot(2)"));
    }
    return ContainerShm.of(pid).stream()
        .flatMap(place -> ShmTree.look(place).obstacles().stream())
        .map(sentence -> new Finding(0, -1, KIND, sentence))
        .toList();
  }

  /** What has a name there, open or not. @param pid as for {@link #obstacles} */
  public static List<Holding> holdings(int pid) {
    return ContainerShm.of(pid).stream()
        .map(place -> ShmTree.look(place).size())
        .filter(count -> count > 0)
        .map(count -> Holding.of("memory", KIND, count, "its content travels as memory does, and it keeps its name, owner, mode and times"))
        .toList();
  }
}
