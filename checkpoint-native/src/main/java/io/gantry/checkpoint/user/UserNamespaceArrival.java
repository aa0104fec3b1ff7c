package io.gantry.checkpoint.user;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.image.uid_gid_extent;
import io.gantry.checkpoint.image.userns_entry;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.UserNamespace;
import io.gantry.checkpoint.procfs.IdMap;
import io.gantry.checkpoint.procfs.IdMaps;
import io.gantry.checkpoint.tracee.UserNamespaceBirth;
import java.nio.file.NoSuchFileException;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import java.util.stream.Collectors;

/**
 * Makes the user namespaces again that {@link UserNamespaces} has described, each when it is first needed. Holds them until
 * closed. Tracer thread only.
 */
public final class UserNamespaceArrival implements AutoCloseable {
  private final List<userns_entry> entries;
  private final int root;
  private final IdMaps container;
  private final Map<Integer, UserNamespaceBirth.Made> made = new HashMap<>();

  /** @param root a stub in the container's own user namespace, as the host counts */
  public UserNamespaceArrival(List<userns_entry> entries, int root) {
    this.entries = List.copyOf(entries);
    this.root = root;
    try {
      this.container = IdMaps.of(root);
    } catch (NoSuchFileException killed) {
      throw new CheckpointException("the first stub of the container was killed", killed);
    }
  }

  /** How this process calls the ids of the container's own. */
  public IdMaps container() {
    return container;
  }

  /** @param number from 1 on */
  public UserNamespaceBirth.Made get(int number) {
    var known = made.get(number);
    if (known != null) {
      return known;
    }
    if (number < 1 || number > entries.size() || entries.get(number - 1).getParent() >= number) {
      throw new CheckpointException("the image is damaged: it has no user namespace " + number + ", or it is its own ancestor");
    }
    var namespace = make(entries.get(number - 1));
    made.put(number, namespace);
    return namespace;
  }

  private UserNamespaceBirth.Made make(userns_entry entry) {
    int owner = container.users().outside(entry.getOwner()).orElseThrow(() -> unknown(entry.getOwner()));
    if (entry.getParent() != 0) {
      var parent = get(entry.getParent());
      return make(entry, owner, parent.maps().groups(), OptionalInt.of(parent.descriptor()));
    }
    if (container.equals(IdMaps.IDENTITY)) {
      return make(entry, owner, container.groups(), OptionalInt.empty());
    }
    try (var parent = UserNamespace.of(root)) {
      return make(entry, owner, container.groups(), OptionalInt.of(parent.descriptor()));
    }
  }

  private static UserNamespaceBirth.Made make(userns_entry entry, int owner, IdMap groups, OptionalInt parent) {
    if (groups.extents().isEmpty()) {
      throw new CheckpointException("the image is damaged: nobody can have made a user namespace in one without groups");
    }
    int group = (int) groups.extents().getFirst().outside();
    var users = text(entry.getUidMapList());
    return new UserNamespaceBirth(owner, group, parent, users, text(entry.getGidMapList()), entry.getSetgroupsDenied()).make();
  }

  private static CheckpointException unknown(int uid) {
    return new CheckpointException(
        "a user namespace of the container belongs to user %s, whom the container's own does not know here"
            .formatted(Integer.toUnsignedString(uid)));
  }

  private static String text(List<uid_gid_extent> extents) {
    return extents.stream()
        .map(each -> new IdMap.Extent(unsigned(each.getFirst()), unsigned(each.getLowerFirst()), unsigned(each.getCount())))
        .collect(Collectors.collectingAndThen(Collectors.toList(), IdMap::new))
        .text();
  }

  private static long unsigned(int id) {
    return Integer.toUnsignedLong(id);
  }

  @Override
  public void close() {
    made.values().forEach(namespace -> Fd.close(namespace.descriptor()));
    made.clear();
  }
}
