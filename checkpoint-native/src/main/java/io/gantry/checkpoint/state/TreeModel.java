package io.gantry.checkpoint.state;

import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Optional;
import java.util.TreeMap;

/**
 * The kernel's rules for parents, sessions and groups, as far as a {@link TreePlan} needs them. Applying a step that the kernel
 * would refuse throws, so a plan that was made can be carried out. Sources: {@code kernel/sys.c} (setsid, setpgid),
 * {@code kernel/exit.c} (find_new_reaper), {@code kernel/pid.c} (ids are taken while they name a process, session or group).
 */
final class TreeModel {
  /** One existing stub. */
  static final class Node {
    final int pid;
    final long startTicks;
    final boolean helper;
    int ppid;
    int sid;
    int pgid;
    int terminal;
    boolean subreaper;
    boolean zombie;

    Node(int pid, long startTicks, boolean helper, int ppid, int sid, int pgid) {
      this.pid = pid;
      this.startTicks = startTicks;
      this.helper = helper;
      this.ppid = ppid;
      this.sid = sid;
      this.pgid = pgid;
    }
  }

  private final TreeMap<Integer, Node> nodes = new TreeMap<>();

  /** A model of the stubs that exist already. */
  static TreeModel of(Collection<TreeMember> existing) {
    var model = new TreeModel();
    for (TreeMember member : existing) {
      var node = new Node(member.pid(), member.startTicks(), false, member.ppid(), member.sid(), member.pgid());
      node.zombie = member.zombie();
      node.terminal = member.terminal();
      model.nodes.put(member.pid(), node);
    }
    return model;
  }

  Optional<Node> find(int pid) {
    return Optional.ofNullable(nodes.get(pid));
  }

  Node get(int pid) {
    return find(pid).orElseThrow(() -> new IllegalStateException("there is no stub " + pid));
  }

  Collection<Node> all() {
    return nodes.values();
  }

  List<Node> childrenOf(int pid) {
    return nodes.values().stream().filter(node -> node.ppid == pid).toList();
  }

  boolean isDescendant(int pid, int ancestor) {
    for (var node = nodes.get(pid); node != null && node.ppid != 0; node = nodes.get(node.ppid)) {
      if (node.ppid == ancestor) {
        return true;
      }
    }
    return false;
  }

  int depth(int pid) {
    int depth = 0;
    for (var node = nodes.get(pid); node != null && node.ppid != 0; node = nodes.get(node.ppid)) {
      depth++;
    }
    return depth;
  }

  /** Whether a group of that id has members in that session. */
  boolean hasGroup(int pgid, int sid) {
    return nodes.values().stream().anyMatch(node -> node.pgid == pgid && node.sid == sid);
  }

  /** Whether the number cannot be given to a new process, as it still names something. */
  boolean isTaken(int pid) {
    return nodes.values().stream().anyMatch(node -> node.pid == pid || node.sid == pid || node.pgid == pid);
  }

  void fork(int parent, int child, boolean helper, long startTicks) {
    require(!isTaken(child), "the id " + child + " is taken");
    if (parent == 0) {
      nodes.put(child, new Node(child, startTicks, helper, 0, 0, 0));
      return;
    }
    var from = get(parent);
    require(!from.zombie, "a zombie cannot fork");
    var born = new Node(child, startTicks, helper, parent, from.sid, from.pgid);
    born.terminal = from.terminal;
    nodes.put(child, born);
  }

  void setSid(int pid) {
    var node = get(pid);
    require(nodes.values().stream().noneMatch(other -> other.pgid == pid), "a group " + pid + " exists, so setsid is refused");
    node.sid = pid;
    node.pgid = pid;
    node.terminal = 0;
  }

  /** {@code TIOCSCTTY}: only for a session leader, and only for itself; the session's others can but inherit it. */
  void takeTerminal(int pid, int terminal) {
    var node = get(pid);
    require(node.sid == pid && node.terminal == 0, "only a session leader without a terminal can take one");
    node.terminal = terminal;
  }

  /** {@code TIOCNOTTY}: when the session's leader does, all of the session lose it. */
  void leaveTerminal(int pid) {
    var node = get(pid);
    node.terminal = 0;
    if (node.sid == pid) {
      nodes.values().stream().filter(other -> other.sid == pid).forEach(other -> other.terminal = 0);
    }
  }

  void setPgid(int pid, int pgid) {
    var node = get(pid);
    require(node.sid != pid, "a session leader cannot change its group");
    require(pid == pgid || hasGroup(pgid, node.sid), "session " + node.sid + " has no group " + pgid);
    node.pgid = pgid;
  }

  void subreaper(int pid, boolean on) {
    get(pid).subreaper = on;
  }

  /** Ends and reaps a process. */
  void remove(int pid) {
    var gone = get(pid);
    var children = childrenOf(pid);
    if (!children.isEmpty()) {
      int reaper = reaperOf(gone);
      children.forEach(child -> child.ppid = reaper);
    }
    if (gone.sid == pid) {
      // A leader that ends takes the terminal along (drivers/tty/tty_jobctrl.c, disassociate_ctty).
      leaveTerminal(pid);
    }
    nodes.remove(pid);
  }

  void becomeZombie(int pid) {
    var node = get(pid);
    require(childrenOf(pid).isEmpty(), "a zombie has no children");
    node.zombie = true;
  }

  private int reaperOf(Node gone) {
    var node = nodes.get(gone.ppid);
    while (node != null && node.ppid != 0) {
      if (node.subreaper) {
        return node.pid;
      }
      node = nodes.get(node.ppid);
    }
    require(node != null && (node.pid == 1 || node.subreaper), "the children of " + gone.pid + " would leave the tree");
    return node.pid;
  }

  /** Those who would be left without a parent when {@code pid} goes, deepest first, {@code pid} last. */
  List<Node> subtree(int pid) {
    var found = new ArrayList<Node>();
    for (Node child : childrenOf(pid)) {
      found.addAll(subtree(child.pid));
    }
    found.add(get(pid));
    return found;
  }

  private static void require(boolean condition, String otherwise) {
    if (!condition) {
      throw new IllegalStateException(otherwise);
    }
  }
}
