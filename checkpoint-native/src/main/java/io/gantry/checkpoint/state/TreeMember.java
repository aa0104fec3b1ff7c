package io.gantry.checkpoint.state;

import io.gantry.checkpoint.image.pstree_entry;
import java.util.List;

/**
 * One process of a container as far as its place in the tree goes. All ids count as the container's pid namespace does.
 *
 * @param pid process id
 * @param ppid parent, 0 for the container's first process
 * @param pgid process group; 0 when its leader is outside the namespace
 * @param sid session; 0 when its leader is outside the namespace
 * @param threads ids of all threads, {@code pid} included
 * @param zombie ended, but not yet waited for
 * @param startTicks field 22 of {@code /proc/PID/stat}, which tells a process from a later one with the same id
 * @param terminal number of the controlling pseudo-terminal plus one; 0 when there is none. A zombie has none
 */
public record TreeMember(
    int pid, int ppid, int pgid, int sid, List<Integer> threads, boolean zombie, long startTicks, int terminal) {
  public TreeMember {
    threads = List.copyOf(threads);
  }

  /** One without a controlling terminal. */
  public TreeMember(int pid, int ppid, int pgid, int sid, List<Integer> threads, boolean zombie, long startTicks) {
    this(pid, ppid, pgid, sid, threads, zombie, startTicks, 0);
  }

  /** The schema's record of it. */
  public pstree_entry toEntry() {
    var entry = pstree_entry.newBuilder().setPid(pid).setPpid(ppid).setPgid(pgid).setSid(sid).addAllThreads(threads);
    if (terminal != 0) {
      entry.setTerminal(terminal);
    }
    return entry.build();
  }

  /** From the schema's record, which does not say what is a zombie. */
  public static TreeMember of(pstree_entry entry, boolean zombie) {
    return new TreeMember(
        entry.getPid(), entry.getPpid(), entry.getPgid(), entry.getSid(), entry.getThreadsList(), zombie, 0, entry.getTerminal());
  }
}
