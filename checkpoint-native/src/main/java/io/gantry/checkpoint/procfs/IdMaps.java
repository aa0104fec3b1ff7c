package io.gantry.checkpoint.procfs;

import java.nio.file.NoSuchFileException;

/**
 * How the users and groups of a user namespace are called by this process. Immutable.
 *
 * @param users {@code /proc/PID/uid_map}
 * @param groups {@code /proc/PID/gid_map}
 */
public record IdMaps(IdMap users, IdMap groups) {
  /** Of this process's own user namespace. */
  public static final IdMaps IDENTITY = new IdMaps(IdMap.IDENTITY, IdMap.IDENTITY);

  /** Those of the user namespace that a process is in; of one's own namespace the files would tell what it is in its parent. */
  public static IdMaps of(int pid) throws NoSuchFileException {
    var own = Link.read("self", "ns/user");
    return own.isPresent() && own.equals(Link.read(Integer.toString(pid), "ns/user")) ? IDENTITY : ofOther(pid);
  }

  /** Those of a user namespace that is not this process's own. */
  public static IdMaps ofOther(int pid) throws NoSuchFileException {
    var users = IdMap.parse(ProcText.read("/proc/" + pid + "/uid_map"));
    return new IdMaps(users, IdMap.parse(ProcText.read("/proc/" + pid + "/gid_map")));
  }
}
