package io.gantry.checkpoint.user;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.image.uid_gid_extent;
import io.gantry.checkpoint.image.userns_entry;
import io.gantry.checkpoint.linux.AsUser;
import io.gantry.checkpoint.linux.Kcmp;
import io.gantry.checkpoint.linux.KernelException;
import io.gantry.checkpoint.linux.OwnFile;
import io.gantry.checkpoint.linux.UserNamespace;
import io.gantry.checkpoint.procfs.IdMap;
import io.gantry.checkpoint.procfs.IdMaps;
import io.gantry.checkpoint.procfs.ProcText;
import io.gantry.checkpoint.procfs.TaskStatus;
import java.nio.file.NoSuchFileException;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * The user namespaces that a container's processes are in. The container's own is the one that owns its pid namespace: the
 * agent's, unless a runtime has made another one; process 1 itself may have gone into one below. Looks from outside; of processes
 * that run it is a picture of the moment. One thread.
 */
public final class UserNamespaces implements AutoCloseable {
  private final List<Integer> pids;
  private final UserNamespace container;
  private final IdMaps maps;
  private final boolean known;
  private final boolean own;
  /** By inode number, 1 for the first; all are held open, so that the numbers stay theirs. */
  private final Map<Long, Integer> numbers = new HashMap<>();

  private final List<UserNamespace> held = new ArrayList<>();
  /** As this process counts, in the order of their numbers. */
  private final List<IdMaps> nestedMaps = new ArrayList<>();

  private final List<userns_entry> entries = new ArrayList<>();

  private UserNamespaces(List<Integer> pids, UserNamespace container, boolean own, Optional<IdMaps> maps) {
    this.pids = pids;
    this.container = container;
    this.own = own;
    this.maps = maps.orElse(IdMaps.IDENTITY);
    this.known = maps.isPresent();
  }

  /**
   * Looks at the processes of a container, or at a tree of the host's own processes.
   *
   * @param first one of them, in whose pid namespace they are
   * @param pids all of them, as the host counts
   * @throws KernelException when the first has ended
   */
  public static UserNamespaces of(int first, Collection<Integer> pids) {
    var all = List.copyOf(pids);
    int self = (int) ProcessHandle.current().pid();
    boolean own = link(first, "pid").equals(link(self, "pid"));
    var container = own ? UserNamespace.of(self) : UserNamespace.owningPidNamespaceOf(first);
    try {
      boolean agents = isIn(self, container);
      return new UserNamespaces(all, container, own, agents ? Optional.of(IdMaps.IDENTITY) : mapsOf(container, all));
    } catch (RuntimeException failed) {
      container.close();
      throw failed;
    }
  }

  /** How this process calls the ids of the container's own user namespace; parameters as of {@link #of}. */
  public static IdMaps mapsOf(int first, Collection<Integer> pids) {
    try (var namespaces = of(first, pids)) {
      return namespaces.maps();
    }
  }

  /**
   * The root of a container, as whom to make files on what its runtime has mounted in it.
   *
   * @param pid of a process in its own user namespace
   */
  public static AsUser root(int pid) {
    try {
      var maps = IdMaps.of(pid);
      var uid = maps.users().outside(0);
      var gid = maps.groups().outside(0);
      return uid.isPresent() && gid.isPresent() ? new AsUser(uid.getAsInt(), gid.getAsInt()) : AsUser.AGENT;
    } catch (NoSuchFileException ended) {
      return AsUser.AGENT;
    }
  }

  private static String link(int pid, String kind) {
    return OwnFile.readLink("/proc/" + pid + "/ns/" + kind).orElse("");
  }

  private static boolean isIn(int pid, UserNamespace namespace) {
    return link(pid, "user").equals("user:[" + namespace.inode() + "]");
  }

  private static Optional<IdMaps> mapsOf(UserNamespace namespace, List<Integer> pids) {
    for (int pid : pids) {
      try {
        if (isIn(pid, namespace)) {
          return Optional.of(IdMaps.ofOther(pid));
        }
      } catch (NoSuchFileException ended) {
        continue;
      }
    }
    return Optional.empty();
  }

  /** How this process calls the ids of the container's own user namespace. */
  public IdMaps maps() {
    return maps;
  }

  /** Inode number of the container's own user namespace. */
  public long inode() {
    return container.inode();
  }

  /** Whether a thread is in the container's own user namespace. @param tid as the host counts */
  public boolean isContainers(int tid) {
    return isIn(tid, container);
  }

  /** Whether the container's own user namespace is this process's. */
  public boolean isAgents() {
    return maps.equals(IdMaps.IDENTITY);
  }

  /**
   * Why a process cannot be carried because of its user namespace, as a sentence that begins in the middle; empty when it can.
   *
   * @param pid as the host counts
   */
  public Optional<String> obstacle(int pid) {
    try {
      if (isIn(pid, container)) {
        return unmapped(pid);
      }
      if (TaskStatus.ofProcess(pid).state() == 'Z') {
        return Optional.empty();
      }
      number(pid);
      var thread = threadWithTable(pid);
      return thread.isPresent() ? thread : unmapped(pid);
    } catch (KernelException | NoSuchFileException ended) {
      return Optional.empty();
    } catch (CheckpointException impossible) {
      return Optional.of(impossible.getMessage());
    }
  }

  /** Its threads are made when its files are open already. */
  private static Optional<String> threadWithTable(int pid) throws NoSuchFileException {
    for (int tid : ProcText.numbers("/proc/" + pid + "/task")) {
      if (tid != pid && TaskStatus.ofThread(pid, tid).state() != 'Z' && !Kcmp.sameDescriptorTable(pid, tid)) {
        return Optional.of(
            "its thread %d has a descriptor table of its own, which cannot be carried in a user namespace that a process has made"
                .formatted(tid));
      }
    }
    return Optional.empty();
  }

  private Optional<String> unmapped(int pid) throws NoSuchFileException {
    if (isAgents()) {
      return Optional.empty();
    }
    var status = TaskStatus.ofProcess(pid);
    for (int uid : status.ids("Uid")) {
      if (maps.users().inside(uid).isEmpty()) {
        return Optional.of("it runs as user " + uid + " of this host, whom its user namespace does not know; end it");
      }
    }
    var groups = new ArrayList<>(status.ids("Gid"));
    groups.addAll(status.ids("Groups"));
    for (int gid : groups) {
      if (maps.groups().inside(gid).isEmpty()) {
        return Optional.of("it is in group " + gid + " of this host, which its user namespace does not know; end it");
      }
    }
    return Optional.empty();
  }

  /**
   * Which user namespace a process is in: 0 for the container's own, else the number of one of {@link #entries}, which has it
   * from now on.
   *
   * @param pid as the host counts
   * @throws CheckpointException when that cannot be made again
   * @throws KernelException when it has ended
   */
  public int number(int pid) {
    if (isIn(pid, container)) {
      return 0;
    }
    if (own) {
      throw new CheckpointException(
          "its user namespace is not that of the agent; one of its own can be carried in containers only");
    }
    if (!known) {
      throw new CheckpointException(
          "no process of the container is in the container's own user namespace any more, so that nobody can tell its ids; let one stay");
    }
    var chain = new ArrayList<UserNamespace>();
    try {
      chain.add(UserNamespace.of(pid));
      while (chain.getLast().inode() != container.inode() && !numbers.containsKey(chain.getLast().inode())) {
        chain.add(
            chain.getLast().parent()
                .orElseThrow(
                    () ->
                        new CheckpointException(
                            "its user namespace was not made in the container; start it without one, or in the container")));
      }
      int number = numbers.getOrDefault(chain.getLast().inode(), 0);
      for (int i = chain.size() - 2; i >= 0; i--) {
        number = describe(chain.get(i), number);
      }
      return number;
    } finally {
      chain.stream().filter(namespace -> !held.contains(namespace)).forEach(UserNamespace::close);
    }
  }

  private int describe(UserNamespace namespace, int parent) {
    int witness = witness(namespace);
    try {
      if (!ProcText.read("/proc/" + witness + "/projid_map").isBlank()) {
        throw new CheckpointException(
            "its user namespace maps project ids (/proc/PID/projid_map), which cannot be carried; leave that out");
      }
      var ids = IdMaps.ofOther(witness);
      int owner =
          maps.users()
              .inside(namespace.owner())
              .orElseThrow(() -> new CheckpointException("its user namespace belongs to nobody of the container"));
      var above = parent == 0 ? maps : nestedMaps.get(parent - 1);
      var entry =
          userns_entry.newBuilder()
              .addAllUidMap(extents(ids.users().seenFrom(above.users())))
              .addAllGidMap(extents(ids.groups().seenFrom(above.groups())))
              .setParent(parent)
              .setOwner(owner)
              .setSetgroupsDenied(ProcText.read("/proc/" + witness + "/setgroups").strip().equals("deny"));
      held.add(namespace);
      nestedMaps.add(ids);
      entries.add(entry.build());
      numbers.put(namespace.inode(), entries.size());
      return entries.size();
    } catch (NoSuchFileException ended) {
      throw new CheckpointException("process " + witness + " has ended while its user namespace was being looked at", ended);
    }
  }

  /** A process that is in it, from which its maps can be read. */
  private int witness(UserNamespace namespace) {
    return pids.stream()
        .filter(pid -> isIn(pid, namespace))
        .findFirst()
        .orElseThrow(
            () ->
                new CheckpointException(
                    "its user namespace was made in another one that no process of the container is in any more, so that nobody can"
                        + " tell its ids; let one stay in it"));
  }

  private static List<uid_gid_extent> extents(IdMap map) {
    return map.extents().stream().map(UserNamespaces::entry).toList();
  }

  private static uid_gid_extent entry(IdMap.Extent extent) {
    return uid_gid_extent.newBuilder()
        .setFirst((int) extent.inside())
        .setLowerFirst((int) extent.outside())
        .setCount((int) extent.count())
        .build();
  }

  /** Those below the container's own that were asked for so far, parents first; the first has number 1. */
  public List<userns_entry> entries() {
    return List.copyOf(entries);
  }

  @Override
  public void close() {
    held.forEach(UserNamespace::close);
    held.clear();
    container.close();
  }
}
